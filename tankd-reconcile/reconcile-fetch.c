/* SPDX-License-Identifier: Apache-2.0 */

/* Reads the objects of a Values, one after the other; see reconcile-fetch.h. */

#include <stdio.h>

#include "bus-names.h"
#include "bus-util.h"
#include "data.h"
#include "document.h"
#include "error.h"
#include "log.h"
#include "reconcile-fetch.h"

static int ask_next(Values *v);

static void PRINTF_LIKE(3, 4) fetch_failed(Values *v, bool retry, const char *format, ...);
static void fetch_failed(Values *v, bool retry, const char *format, ...)
{
        CLEANUP_FREE char *message = NULL;
        va_list ap;
        int n;

        v->call = sd_bus_slot_unref(v->call);
        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0)
                message = NULL;
        for (size_t i = 0; i < v->n_objects; i++)
                value_object_clear(&v->objects[i]);
        v->ops->failed(v, retry, strempty(message)); /* may free @v */
}

static void fetch_errno(Values *v, int r)
{
        fetch_failed(v, true, "its secrets and configs, which cannot be read: %s", errno_words(r));
}

static int read_config(ValueObject *o, const char *text)
{
        CLEANUP_JSON json_t *document = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *key;
        json_t *value;
        int r;

        r = document_parse(text, strlen(text), &document, &error);
        sd_bus_error_free(&error);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        o->revision = (uint64_t) json_get_int(json_object_get(document, "meta"), "revision", 0);
        json_object_foreach (json_object_get(document, "data"), key, value) {
                size_t size;
                char *data;

                r = data_decode(value, &data, &size);
                if (r >= 0)
                        r = value_object_add(o, key, data, size);
                if (r < 0)
                        return r == -ENOMEM ? r : -EBADMSG;
        }
        return 0;
}

static int read_secret_values(ValueObject *o, sd_bus_message *reply)
{
        int r = sd_bus_message_enter_container(reply, 'a', "{say}");

        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "say")) > 0) {
                const void *bytes;
                const char *key;
                size_t size;
                char *data;

                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0)
                        r = sd_bus_message_read_array(reply, 'y', &bytes, &size);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
                data = malloc(MAX(size, (size_t) 1));
                if (!data)
                        return -ENOMEM;
                if (size > 0)
                        memcpy(data, bytes, size);
                r = value_object_add(o, key, data, size);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(reply);
}

static int read_object(ValueObject *o, sd_bus_message *reply)
{
        const char *text;
        int r;

        (void) sd_bus_message_rewind(reply, true);
        switch (o->source) {
        case VALUE_CONFIG:
                r = sd_bus_message_read(reply, "s", &text);
                return r < 0 ? r : read_config(o, text);
        case VALUE_SECRET:
                r = read_secret_values(o, reply);
                return r < 0 ? r : sd_bus_message_read(reply, "t", &o->revision);
        case _VALUE_SOURCE_MAX:
        case _VALUE_SOURCE_INVALID: break;
        }
        return -EINVAL;
}

static bool is_absence(const sd_bus_error *e)
{
        return sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN,
                        SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_NO_REPLY,
                        SD_BUS_ERROR_DISCONNECTED, SD_BUS_ERROR_TIMEOUT);
}

static void object_refused(Values *v, const ValueObject *o, const sd_bus_error *e)
{
        const char *type = value_source_to_string(o->source);

        if (sd_bus_error_has_name(e, TANK_ERROR_NOT_FOUND))
                fetch_failed(v, false, "%s %s, which is not in namespace %s: apply it", type,
                                o->name, v->container->pod->namespace);
        else if (is_absence(e))
                fetch_failed(v, true, "%s %s: the store is not there", type, o->name);
        else
                fetch_failed(v, true, "%s %s: the store cannot give it: %.512s", type, o->name,
                                isempty(e->message) ? e->name : e->message);
}

static int on_object(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        Values *v = userdata;
        ValueObject *o = &v->objects[v->next];
        int r;

        /* What is in it is wiped when it goes. */
        (void) sd_bus_message_sensitive(reply);
        v->call = sd_bus_slot_unref(v->call);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                object_refused(v, o, sd_bus_message_get_error(reply));
                return 0;
        }
        r = read_object(o, reply);
        if (r >= 0) {
                v->next++;
                r = ask_next(v);
        }
        if (r < 0)
                fetch_errno(v, r);
        return 0;
}

int call_store(Manager *m, const char *interface, const char *member, const char *type,
                const char *namespace, const char *name, sd_bus_message_handler_t done,
                void *userdata, sd_bus_slot **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *call = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        m->bus, &call, TANK_STORE_NAME, TANK_STORE_PATH, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(call, false);
        if (r >= 0 && type)
                r = sd_bus_message_append(call, "s", type);
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", namespace, name);
        if (r >= 0 && !type)
                r = sd_bus_message_append(call, "a{sv}", 0);
        return r < 0 ? r : sd_bus_call_async(m->bus, ret, call, done, userdata, 0);
}

static int complete(Values *v)
{
        const PodEntry *p = v->container->pod;
        const Container *spec =
                        p->desired ? pod_find_container(p->desired->pod, v->container->name) : NULL;
        CLEANUP_FREE char *missing = NULL;
        int r;

        r = spec ? values_find_missing(v, p->desired->pod, spec, &missing) : -ESTALE;
        if (r < 0)
                return r;
        if (r > 0)
                fetch_failed(v, false, "%s in namespace %s: apply it with that key", missing,
                                p->namespace);
        else
                v->ops->complete(v); /* may free @v */
        return 0;
}

static int ask_next(Values *v)
{
        const PodEntry *p = v->container->pod;
        const ValueObject *o;
        Manager *m = p->manager;

        if (v->next == v->n_objects)
                return complete(v);
        o = &v->objects[v->next];
        if (m->held_reason)
                fetch_failed(v, true,
                                "%s %s: nothing is taken from a store that is not "
                                "the known one (Held)",
                                value_source_to_string(o->source), o->name);
        else if (!m->bus || !m->store_up)
                fetch_failed(v, true, "%s %s: the store is not there",
                                value_source_to_string(o->source), o->name);
        else if (o->source == VALUE_SECRET)
                return call_store(m, TANK_STORE_SECRETS_INTERFACE, "Reveal", NULL, p->namespace,
                                o->name, on_object, v, &v->call);
        else
                return call_store(m, TANK_STORE_INTERFACE, "Get", value_source_to_string(o->source),
                                p->namespace, o->name, on_object, v, &v->call);
        return 0;
}

void values_fetch(Values *v)
{
        int r = ask_next(v);

        if (r < 0)
                fetch_errno(v, r);
}
