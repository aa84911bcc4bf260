/* SPDX-License-Identifier: Apache-2.0 */

/* The values that a start needs are read from the store right before it, one object after the
 * other, without waiting for any of it: the container holds a place among the starts meanwhile.
 *
 *   none ── resolve ──> asked ── all there ──> ready ── the next plan ──> started, or dropped
 *                         |
 *                         +── not there, no store ──> missing ── a change, a store ──> none
 *
 * Of what is missing the store's changes tell, or that a store is there: nothing is asked for twice
 * without a reason, but for errors whose end nobody tells of; those are tried again at each resync.
 * A change of an object forgets what was read of it for a start that is not through yet.
 *
 * Each run remembers the revisions of what it was started with, and pods that say `update_on` are
 * restarted when there is a later one. Changes tell of that; what changes could not tell of,
 * because the reconciler was away or the store had compacted them, is asked for, one object after
 * the other. An object that is gone restarts nothing: what runs has its values.
 *
 * While the store is not accepted (Held) nothing is taken from it, values neither. */

#include <stdio.h>

#include "bus-names.h"
#include "bus-util.h"
#include "data.h"
#include "document.h"
#include "error.h"
#include "failpoint.h"
#include "log.h"
#include "reconcile-entry.h"
#include "reconcile-resolve.h"
#include "reconcile-values.h"

static int ask_next(Values *v);

/* ---- what is missing ---- */

static void values_missing(Values *v, bool retry, char *consume_message)
{
        ContainerEntry *c = v->container;

        v->call = sd_bus_slot_unref(v->call);
        for (size_t i = 0; i < v->n_objects; i++)
                value_object_clear(&v->objects[i]);
        v->state = VALUES_MISSING;
        v->retry = retry;
        container_free_place(c);
        if (!streq_ptr(c->dependency, consume_message)) {
                log_notice("%s/%s/%s: %s", c->pod->namespace, c->pod->name, c->name,
                                strempty(consume_message));
                free(c->dependency);
                c->dependency = TAKE_PTR(consume_message);
                container_announce_later(c, ANNOUNCE_STATE);
        }
        free(consume_message);
        container_transition(c, CONTAINER_EVENT_WAIT, REASON_DEPENDENCY_WAIT);
}

static void PRINTF_LIKE(3, 4) values_wait(Values *v, bool retry, const char *format, ...);
static void values_wait(Values *v, bool retry, const char *format, ...)
{
        char *message;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        values_missing(v, retry, n < 0 ? NULL : message);
}

static void values_failed(Values *v, int r)
{
        values_wait(v, true, "waits for its secrets and configs, which cannot be read: %s",
                        errno_words(r));
}

/* ---- reading ---- */

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
                values_wait(v, false, "waits for %s %s, which is not in namespace %s: apply it",
                                type, o->name, v->container->pod->namespace);
        else if (is_absence(e))
                values_wait(v, true, "waits for %s %s: the store is not there", type, o->name);
        else
                values_wait(v, true, "waits for %s %s: the store cannot give it: %.512s", type,
                                o->name, isempty(e->message) ? e->name : e->message);
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
                values_failed(v, r);
        return 0;
}

/* Calls to the store never start it: whether it runs is for the service manager to say. */
static int call_store(Manager *m, const char *interface, const char *member, const char *type,
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

static int values_complete(Values *v)
{
        ContainerEntry *c = v->container;
        const Pod *pod = c->pod->desired->pod;
        const Container *spec = pod_find_container(pod, c->name);
        CLEANUP_FREE char *missing = NULL;
        int r;

        r = spec ? values_find_missing(v, pod, spec, &missing) : -ESTALE;
        if (r < 0)
                return r;
        if (r > 0) {
                values_wait(v, false, "waits for %s in namespace %s: apply it with that key",
                                missing, c->pod->namespace);
                return 0;
        }
        FAILPOINT("reconcile.values-read");
        v->state = VALUES_READY;
        manager_queue_pod(c->pod);
        return 0;
}

static int ask_next(Values *v)
{
        const PodEntry *p = v->container->pod;
        const ValueObject *o;
        Manager *m = p->manager;

        if (v->next == v->n_objects)
                return values_complete(v);
        o = &v->objects[v->next];
        if (m->held_reason)
                values_wait(v, true,
                                "waits for %s %s: nothing is taken from a store that is not "
                                "the known one (Held)",
                                value_source_to_string(o->source), o->name);
        else if (!m->bus || !m->store_up)
                values_wait(v, true, "waits for %s %s: the store is not there",
                                value_source_to_string(o->source), o->name);
        else if (o->source == VALUE_SECRET)
                return call_store(m, TANK_STORE_SECRETS_INTERFACE, "Reveal", NULL, p->namespace,
                                o->name, on_object, v, &v->call);
        else
                return call_store(m, TANK_STORE_INTERFACE, "Get", value_source_to_string(o->source),
                                p->namespace, o->name, on_object, v, &v->call);
        return 0;
}

void container_resolve(ContainerEntry *c)
{
        const Pod *pod = c->pod->desired->pod;
        const Container *spec = pod_find_container(pod, c->name);
        int r;

        container_drop_values(c);
        r = values_new(pod, spec, &c->values);
        if (r < 0) {
                log_oom();
                c->pod->wake_usec = now_boottime_usec() + USEC_PER_SEC;
                return;
        }
        c->values->container = c;
        container_take_place(c);
        r = ask_next(c->values);
        if (r < 0)
                values_failed(c->values, r);
}

/* ---- changes ---- */

static bool pod_updates_on(const PodEntry *p, ValueSource source)
{
        return p->declared && !p->held && p->desired && p->desired->pod->update_on[source];
}

/* Runs, or shall run again by itself: what is over for good stays so. */
static bool container_is_running(const ContainerEntry *c)
{
        return c->state == RUN_CREATING || c->state == RUN_RUNNING ||
               (c->state == RUN_WAITING && c->reason == REASON_BACKING_OFF);
}

static bool pod_is_running(const PodEntry *p)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (container_is_running(p->containers[i]))
                        return true;
        return false;
}

/* An init container made what the others stand on: all of the pod begins anew. */
static void container_is_outdated(ContainerEntry *c, const UsedObject *u)
{
        PodEntry *p = c->pod;
        bool init = container_is_init(c);

        if (c->restart_wanted || !(init ? pod_is_running(p) : container_is_running(c)))
                return;
        log_info("%s/%s/%s: %s %s has changed: %s", p->namespace, p->name, c->name,
                        value_source_to_string(u->source), u->name,
                        init ? "restarting its pod" : "restarting");
        pod_restart(p, init ? NULL : c);
}

static UsedObject *container_used(ContainerEntry *c, ValueSource source, const char *name)
{
        for (size_t i = 0; i < c->n_used; i++)
                if (c->used[i].source == source && streq(c->used[i].name, name))
                        return &c->used[i];
        return NULL;
}

/* @exact: @revision is that of the object as it stands, else it is one of its changes. */
static void container_compare(ContainerEntry *c, ValueSource source, const char *name,
                uint64_t revision, bool exact)
{
        UsedObject *u = container_used(c, source, name);

        if (!u)
                return;
        if (exact)
                u->unchecked = false;
        if (pod_updates_on(c->pod, source) &&
                        (exact ? revision != u->revision : revision > u->revision))
                container_is_outdated(c, u);
}

void values_object_changed(Manager *m, uint64_t revision, ValueSource source, const char *namespace,
                const char *name, bool deleted)
{
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                if (!streq(p->namespace, namespace))
                        continue;
                for (size_t j = 0; j < p->n_containers; j++) {
                        ContainerEntry *c = p->containers[j];

                        if (c->values && values_use(c->values, source, name)) {
                                container_drop_values(c);
                                manager_queue_pod(p);
                        }
                        if (!deleted && !m->held_reason)
                                container_compare(c, source, name, revision, false);
                }
        }
}

/* ---- comparing ---- */

static int on_compared(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *document = NULL;
        CLEANUP_FREE char *namespace = NULL, *name = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        Manager *m = userdata;
        uint64_t revision = 0;
        const char *text;

        m->comparing.call = sd_bus_slot_unref(m->comparing.call);
        namespace = TAKE_PTR(m->comparing.namespace);
        name = TAKE_PTR(m->comparing.name);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                if (!sd_bus_message_is_method_error(reply, TANK_ERROR_NOT_FOUND))
                        return 0; /* the next resync goes on */
        } else if (sd_bus_message_read(reply, "s", &text) < 0 ||
                        document_parse(text, strlen(text), &document, &error) < 0) {
                sd_bus_error_free(&error);
                return 0; /* the same */
        } else
                revision = (uint64_t) json_get_int(
                                json_object_get(document, "meta"), "revision", 0);
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers && streq(p->namespace, namespace); j++) {
                        ContainerEntry *c = p->containers[j];
                        UsedObject *u = container_used(c, m->comparing.source, name);

                        if (revision > 0)
                                container_compare(c, m->comparing.source, name, revision, true);
                        else if (u)
                                u->unchecked = false; /* gone: what runs has its values */
                }
        }
        values_compare(m);
        return 0;
}

static const UsedObject *find_unchecked(const Manager *m, const PodEntry **ret)
{
        for (size_t i = 0; i < m->n_pods; i++) {
                const PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers; j++) {
                        const ContainerEntry *c = p->containers[j];

                        for (size_t k = 0; k < c->n_used; k++)
                                if (c->used[k].unchecked && pod_updates_on(p, c->used[k].source)) {
                                        *ret = p;
                                        return &c->used[k];
                                }
                }
        }
        return NULL;
}

void values_compare(Manager *m)
{
        const UsedObject *u;
        const PodEntry *p;
        int r;

        if (!m->comparing.wanted || m->comparing.call || !m->bus || !m->store_up || m->held_reason)
                return;
        u = find_unchecked(m, &p);
        if (!u) {
                m->comparing.wanted = false;
                return;
        }
        m->comparing.source = u->source;
        r = free_and_strdup(&m->comparing.namespace, p->namespace);
        if (r >= 0)
                r = free_and_strdup(&m->comparing.name, u->name);
        if (r >= 0)
                r = call_store(m, TANK_STORE_INTERFACE, "Get", value_source_to_string(u->source),
                                p->namespace, u->name, on_compared, m, &m->comparing.call);
        if (r < 0)
                log_warning_errno(r, "cannot ask the store for %s %s of namespace %s, trying again",
                                value_source_to_string(u->source), u->name, p->namespace);
}

/* ---- a store that comes and goes ---- */

static void values_again(Manager *m, bool all)
{
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers; j++) {
                        ContainerEntry *c = p->containers[j];

                        if (!c->values || c->values->state != VALUES_MISSING ||
                                        (!all && !c->values->retry))
                                continue;
                        container_drop_values(c);
                        manager_queue_pod(p);
                }
        }
}

void values_store_appeared(Manager *m)
{
        values_again(m, false);
}

void values_changes_missed(Manager *m)
{
        values_again(m, true);
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++)
                        container_forget_checks(m->pods[i]->containers[j]);
        values_compare(m);
}

void values_resync(Manager *m)
{
        if (m->store_up && !m->held_reason)
                values_again(m, false);
        values_compare(m);
}

void values_disconnected(Manager *m)
{
        m->comparing.call = sd_bus_slot_unref(m->comparing.call);
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++) {
                        ContainerEntry *c = m->pods[i]->containers[j];

                        if (c->values && c->values->state == VALUES_ASKED)
                                values_wait(c->values, true,
                                                "waits for its secrets and configs: there is no "
                                                "bus");
                }
}
