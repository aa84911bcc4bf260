/* SPDX-License-Identifier: Apache-2.0 */

/* Calls to the store and to the reconciler. */

#include <stdarg.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "document.h"
#include "error.h"
#include "log.h"

int ctl_bus_open(sd_bus **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = bus_open_client(ret, &e);

        return r < 0 ? ctl_bus_failure(NULL, &e, r) : 0;
}

static bool is_absence(const char *name)
{
        return streq(name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               streq(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
               startswith(name, "org.freedesktop.DBus.Error.Spawn.");
}

void ctl_bus_translate(sd_bus_error *e, const char *destination)
{
        CLEANUP_BUS_ERROR sd_bus_error old = *e;
        const char *program = streq(destination, TANK_STORE_NAME)       ? "tankd-store"
                              : streq(destination, TANK_RECONCILE_NAME) ? "tankd-reconcile"
                                                                        : "the container's shim";

        *e = SD_BUS_ERROR_NULL;
        if (!old.name)
                return;
        if (is_absence(old.name))
                (void) tank_error_set(e, TANK_ERROR_UNAVAILABLE,
                                "%s is not on the bus; is it running?", program);
        else if (streq(old.name, SD_BUS_ERROR_NO_REPLY) ||
                        streq(old.name, SD_BUS_ERROR_DISCONNECTED))
                (void) tank_error_set(e, TANK_ERROR_UNAVAILABLE,
                                "%s went away before it answered; try again", program);
        else if (streq(old.name, SD_BUS_ERROR_TIMEOUT))
                (void) tank_error_set(e, TANK_ERROR_TIMED_OUT, "%s does not answer", program);
        else if (streq(old.name, SD_BUS_ERROR_ACCESS_DENIED)) /* by the bus and its policy */
                (void) tank_error_set(e, TANK_ERROR_ACCESS_DENIED,
                                "the bus lets only root and members of group tank call %s",
                                program);
        else {
                *e = old;
                old = SD_BUS_ERROR_NULL;
        }
}

int ctl_bus_failure(const char *what, const sd_bus_error *e, int r)
{
        const char *why = e && e->message ? e->message : errno_words(r);

        if (what)
                ctl_error("%s: %s", what, why);
        else
                ctl_error("%s", why);
        return tank_error_to_exit_code(e && e->name ? e->name : tank_error_from_errno(r));
}

/* Sends @m and waits for the answer. */
static int call(sd_bus *bus, sd_bus_message *m, const char *destination, sd_bus_message **ret,
                sd_bus_error *reterr)
{
        int r = sd_bus_call(bus, m, 0, reterr, ret);

        if (r < 0) {
                if (!sd_bus_error_is_set(reterr))
                        (void) sd_bus_error_set_errno(reterr, r);
                ctl_bus_translate(reterr, destination);
        }
        return r;
}

static int bad_answer(int r, const char *who, sd_bus_error *reterr)
{
        if (sd_bus_error_is_set(reterr))
                return r;
        return tank_error_set_errno(reterr, r, "%s gave an answer that cannot be read", who);
}

static int parse_json(const char *text, json_t **ret, sd_bus_error *reterr)
{
        json_error_t e;
        json_t *o = json_loads(text, 0, &e);

        /* Not document_parse(): with its meta a document may be larger than one may be. */
        if (!json_is_object(o)) {
                json_decref(o);
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "an answer is not JSON");
        }
        *ret = o;
        return 0;
}

/* ---- the store ----------------------------------------------------------------------------- */

static int store_new_call(sd_bus *bus, const char *method, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(
                        bus, ret, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, method);
}

int store_get(sd_bus *bus, const char *type, const char *namespace, const char *name, json_t **ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        const char *text;
        int r;

        r = store_new_call(bus, "Get", &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "sss", type, namespace, name);
        if (r < 0)
                return r;
        r = call(bus, m, TANK_STORE_NAME, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "s", &text);
        if (r >= 0)
                r = parse_json(text, ret, reterr);
        return r < 0 ? bad_answer(r, "tankd-store", reterr) : 0;
}

/* Reads one page into @all; *ret_next is borrowed from @reply. */
static int store_read_page(
                sd_bus_message *reply, json_t *all, const char **ret_next, sd_bus_error *reterr)
{
        const char *text;
        uint64_t revision;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "s", &text)) > 0) {
                json_t *doc = NULL;

                r = parse_json(text, &doc, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(all, doc) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : sd_bus_message_read(reply, "st", ret_next, &revision);
}

static int append_continue(sd_bus_message *m, const char *next)
{
        return isempty(next) ? sd_bus_message_append(m, "a{sv}", 0)
                             : sd_bus_message_append(m, "a{sv}", 1, "continue", "s", next);
}

int store_list(sd_bus *bus, const char *type, const char *namespace, json_t **ret,
                sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *all = json_array();
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *next = "";

        if (!all)
                return -ENOMEM;
        do {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                sd_bus_message *page = NULL;
                int r;

                r = store_new_call(bus, "List", &m);
                if (r < 0)
                        return r;
                r = sd_bus_message_append(m, "ss", type, namespace);
                if (r >= 0)
                        r = append_continue(m, next);
                if (r < 0)
                        return r;
                r = call(bus, m, TANK_STORE_NAME, &page, reterr);
                if (r < 0)
                        return r;
                sd_bus_message_unref(reply);
                reply = page;
                r = store_read_page(reply, all, &next, reterr);
                if (r < 0)
                        return bad_answer(r, "tankd-store", reterr);
        } while (!isempty(next));
        *ret = TAKE_PTR(all);
        return 0;
}

int store_delete(sd_bus *bus, const char *type, const char *namespace, const char *name,
                bool *ret_existed, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        uint64_t revision;
        int r, existed;

        r = store_new_call(bus, "Delete", &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "sssa{sv}", type, namespace, name, 0);
        if (r < 0)
                return r;
        r = call(bus, m, TANK_STORE_NAME, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "bt", &existed, &revision);
        if (r < 0)
                return bad_answer(r, "tankd-store", reterr);
        *ret_existed = existed;
        return 0;
}

/* ---- the reconciler ------------------------------------------------------------------------ */

static int reconcile_new_call(sd_bus *bus, const char *method, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(bus, ret, TANK_RECONCILE_NAME, TANK_RECONCILE_PATH,
                        TANK_RECONCILE_INTERFACE, method);
}

void pod_status_done(PodStatus *s)
{
        free(s->uid);
        json_decref(s->status);
        *s = (PodStatus){};
}

int reconcile_get_status(sd_bus *bus, const char *namespace, const char *pod, PodStatus *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        const char *uid, *text;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = reconcile_new_call(bus, "GetStatus", &m);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", namespace, pod);
        if (r < 0)
                return r;
        r = call(bus, m, TANK_RECONCILE_NAME, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "sts", &uid, &s.generation, &text);
        if (r >= 0)
                r = free_and_strdup(&s.uid, uid);
        if (r >= 0)
                r = parse_json(text, &s.status, reterr);
        if (r < 0)
                return bad_answer(r, "tankd-reconcile", reterr);
        *ret = s;
        s = (PodStatus){};
        return 0;
}

static int reconcile_read_page(
                sd_bus_message *reply, json_t *all, const char **ret_next, sd_bus_error *reterr)
{
        const char *namespace, *name, *uid, *text;
        uint64_t generation;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sssts)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(reply, "(sssts)", &namespace, &name, &uid, &generation,
                                &text)) > 0) {
                json_t *status = NULL;

                r = parse_json(text, &status, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(all,
                                    json_pack("{s:s,s:s,s:s,s:I,s:o}", "namespace", namespace,
                                                    "name", name, "uid", uid, "generation",
                                                    (json_int_t) generation, "status", status)) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : sd_bus_message_read(reply, "s", ret_next);
}

int reconcile_list_status(sd_bus *bus, const char *namespace, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *all = json_array();
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *next = "";

        if (!all)
                return -ENOMEM;
        do {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                sd_bus_message *page = NULL;
                int r;

                r = reconcile_new_call(bus, "ListStatus", &m);
                if (r < 0)
                        return r;
                r = sd_bus_message_append(m, "s", namespace);
                if (r >= 0)
                        r = append_continue(m, next);
                if (r < 0)
                        return r;
                r = call(bus, m, TANK_RECONCILE_NAME, &page, reterr);
                if (r < 0)
                        return r;
                sd_bus_message_unref(reply);
                reply = page;
                r = reconcile_read_page(reply, all, &next, reterr);
                if (r < 0)
                        return bad_answer(r, "tankd-reconcile", reterr);
        } while (!isempty(next));
        *ret = TAKE_PTR(all);
        return 0;
}

int reconcile_call(sd_bus *bus, const char *method, sd_bus_error *reterr, const char *types, ...)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        va_list ap;
        int r;

        r = reconcile_new_call(bus, method, &m);
        if (r < 0)
                return r;
        va_start(ap, types);
        r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
        if (r < 0)
                return r;
        return call(bus, m, TANK_RECONCILE_NAME, &reply, reterr);
}
