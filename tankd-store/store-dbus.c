/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1. A write's message is kept in a Reply until the store answers; when the
 * connection goes first, the Reply stays behind without a message and the write happens all the
 * same. */

#include "store-dbus.h"

#include "bus-access.h"
#include "bus-names.h"
#include "bus-options.h"
#include "bus-util.h"
#include "error.h"
#include "limit.h"
#include "log.h"

typedef struct Reply Reply;

struct StoreBus {
        Store *store;
        BusLink *link;
        BusAccess *access;
        sd_bus_slot *vtable_slot, *name_slot, *acquired_slot;
        Reply *replies;
        StoreBusNamed named;
        void *userdata;
};

struct Reply {
        StoreBus *bus;
        Reply *next, **link;
        sd_bus_message *message; /* NULL: nobody waits any more */
        int (*send)(sd_bus_message *m, const StoreAnswer *a);
};

static Reply *reply_new(StoreBus *b, sd_bus_message *m,
                int (*send)(sd_bus_message *m, const StoreAnswer *a))
{
        Reply *r = malloc(sizeof(*r));

        if (!r)
                return NULL;
        *r = (Reply){
                .bus = b,
                .next = b->replies,
                .link = &b->replies,
                .message = sd_bus_message_ref(m),
                .send = send,
        };
        if (r->next)
                r->next->link = &r->next;
        b->replies = r;
        return r;
}

static void reply_free(Reply *r)
{
        *r->link = r->next;
        if (r->next)
                r->next->link = r->link;
        sd_bus_message_unref(r->message);
        free(r);
}

static void on_answered(const StoreAnswer *answer, const sd_bus_error *error, void *userdata)
{
        Reply *r = userdata;
        int e = 0;

        if (r->message)
                e = error ? sd_bus_reply_method_error(r->message, error)
                          : r->send(r->message, answer);
        if (e < 0)
                (void) log_warning_errno(e, "cannot answer a write, ignoring");
        reply_free(r);
}

static BusAccess *get_access(void *userdata)
{
        return ((StoreBus *) userdata)->access;
}

/* ---- writes ---- */

static StoreWrite write_of(const BusCaller *caller)
{
        return (StoreWrite){
                .by = caller->uid,
                .privileged = bus_caller_may(caller, BUS_PRIVILEGED),
                .answered = on_answered,
        };
}

static int send_created(sd_bus_message *m, const StoreAnswer *a)
{
        return sd_bus_reply_method_return(m, "stt", a->uid, a->generation, a->revision);
}

static int send_applied(sd_bus_message *m, const StoreAnswer *a)
{
        return sd_bus_reply_method_return(
                        m, "stts", a->uid, a->generation, a->revision, a->changed);
}

static int send_deleted(sd_bus_message *m, const StoreAnswer *a)
{
        return sd_bus_reply_method_return(m, "bt", a->existed, a->revision);
}

static int method_create_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreWrite w = write_of(caller);
        StoreBus *b = userdata;
        const char *text;
        Reply *reply;
        int r;

        if ((r = sd_bus_message_read(m, "s", &text)) < 0 ||
                        (r = bus_read_options(m, NULL, 0, reterr)) < 0)
                return r;
        reply = w.userdata = reply_new(b, m, send_created);
        if (!reply)
                return -ENOMEM;
        r = store_create(b->store, text, strlen(text), &w, reterr);
        if (r < 0)
                reply_free(reply);
        return r < 0 ? r : 1;
}
BUS_METHOD(method_create, BUS_MANAGE, get_access)

static int method_apply_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreWrite w = write_of(caller);
        StoreBus *b = userdata;
        const BusOption options[] = {
                { "if-revision", 't', &w.if_revision, &w.has_if_revision },
        };
        const char *text;
        Reply *reply;
        int r;

        if ((r = sd_bus_message_read(m, "s", &text)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        reply = w.userdata = reply_new(b, m, send_applied);
        if (!reply)
                return -ENOMEM;
        r = store_apply(b->store, text, strlen(text), &w, reterr);
        if (r < 0)
                reply_free(reply);
        return r < 0 ? r : 1;
}
BUS_METHOD(method_apply, BUS_MANAGE, get_access)

static int method_delete_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreWrite w = write_of(caller);
        StoreBus *b = userdata;
        const BusOption options[] = {
                { "if-revision", 't', &w.if_revision, &w.has_if_revision },
        };
        const char *type, *namespace, *name;
        Reply *reply;
        int r;

        if ((r = sd_bus_message_read(m, "sss", &type, &namespace, &name)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        reply = w.userdata = reply_new(b, m, send_deleted);
        if (!reply)
                return -ENOMEM;
        r = store_delete(b->store, type, namespace, name, &w, reterr);
        if (r < 0)
                reply_free(reply);
        return r < 0 ? r : 1;
}
BUS_METHOD(method_delete, BUS_MANAGE, get_access)

/* ---- reads ---- */

static int method_get_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        const char *type, *namespace, *name;
        StoreBus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", &type, &namespace, &name);
        if (r < 0)
                return r;
        r = store_get(b->store, type, namespace, name, &text, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(m, "s", text);
}
BUS_METHOD(method_get, BUS_INSPECT, get_access)

static int append_document(const char *text, void *userdata)
{
        return sd_bus_message_append(userdata, "s", text);
}

static int method_list_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *next = NULL;
        const char *type, *namespace, *token = "";
        StoreBus *b = userdata;
        uint32_t limit = 0;
        bool limited = false;
        const BusOption options[] = {
                { "limit", 'u', &limit, &limited },
                { "continue", 's', &token, NULL },
        };
        uint64_t revision;
        int r;

        if ((r = sd_bus_message_read(m, "ss", &type, &namespace)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        if (limited && limit == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"limit\": must be greater than 0");
        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "s")) < 0)
                return r;
        r = store_list(b->store, type, namespace, limit, token, append_document, reply, &next,
                        &revision, reterr);
        if (r < 0)
                return r;
        if ((r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "st", strempty(next), revision)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD(method_list, BUS_INSPECT, get_access)

static int append_change(
                uint64_t revision, const StoreChange *c, const char *document, void *userdata)
{
        return sd_bus_message_append(userdata, "(tsssss)", revision,
                        operation_to_string(c->operation), c->key.type, c->key.namespace,
                        c->key.name, document);
}

static int method_get_changes_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        StoreBus *b = userdata;
        uint32_t limit = 0;
        bool documents = false, limited = false, more;
        const BusOption options[] = {
                { "documents", 'b', &documents, NULL },
                { "limit", 'u', &limit, &limited },
        };
        uint64_t since, revision;
        const char *id;
        int r;

        if ((r = sd_bus_message_read(m, "st", &id, &since)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        if (limited && limit == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"limit\": must be greater than 0");
        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(tsssss)")) < 0)
                return r;
        r = store_changes(b->store, id, since, limit, documents, append_change, reply, &more,
                        &revision, reterr);
        if (r < 0)
                return r;
        if ((r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "bt", more, revision)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD(method_get_changes, BUS_INSPECT, get_access)

/* ---- properties ---- */

static int property_database_id(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "s", store_database_id(((StoreBus *) userdata)->store));
}

static int property_revision(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "t", store_revision(((StoreBus *) userdata)->store));
}

static int property_compacted(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(
                        reply, "t", store_compacted_revision(((StoreBus *) userdata)->store));
}

static int property_backend(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "s", "rocksdb");
}

static int property_state(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        bool degraded = store_is_degraded(((StoreBus *) userdata)->store);

        return sd_bus_message_append(reply, "s", degraded ? "degraded" : "ok");
}

static int property_degraded_reason(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const char *reason = store_degraded_reason(((StoreBus *) userdata)->store);

        return sd_bus_message_append(reply, "s", strempty(reason));
}

static const sd_bus_vtable store_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("DatabaseId", "s", property_database_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Revision", "t", property_revision, 0, 0),
        SD_BUS_PROPERTY("CompactedRevision", "t", property_compacted, 0, 0),
        SD_BUS_PROPERTY("Backend", "s", property_backend, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("DegradedReason", "s", property_degraded_reason, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("Create", SD_BUS_ARGS("s", document, "a{sv}", options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision), method_create,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Apply", SD_BUS_ARGS("s", document, "a{sv}", options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision, "s", changed),
                        method_apply, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Get", SD_BUS_ARGS("s", type, "s", namespace, "s", name),
                        SD_BUS_RESULT("s", document), method_get, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_ARGS("s", type, "s", namespace, "a{sv}", options),
                        SD_BUS_RESULT("as", documents, "s", next, "t", revision), method_list,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Delete",
                        SD_BUS_ARGS("s", type, "s", namespace, "s", name, "a{sv}", options),
                        SD_BUS_RESULT("b", existed, "t", revision), method_delete,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetChanges",
                        SD_BUS_ARGS("s", database_id, "t", since, "a{sv}", options),
                        SD_BUS_RESULT("a(tsssss)", changes, "b", more, "t", revision),
                        method_get_changes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Changed",
                        SD_BUS_ARGS("s", database_id, "t", revision, "a(ssss)", keys), 0),
        SD_BUS_VTABLE_END,
};

/* ---- signals ---- */

static int append_keys(sd_bus_message *m, const CommitBatch *batch)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ssss)");
        if (r < 0)
                return r;
        if (batch && batch->n_ops <= LIMIT_CHANGED_KEYS)
                for (const Transaction *t = batch->first; t; t = t->next)
                        for (size_t i = 0; i < t->n_ops; i++) {
                                const Op *op = &t->ops[i];

                                r = sd_bus_message_append(m, "(ssss)", op->key.type,
                                                op->key.namespace, op->key.name,
                                                operation_to_string(op->record.operation));
                                if (r < 0)
                                        return r;
                        }
        return sd_bus_message_close_container(m);
}

static void on_changed(const CommitBatch *batch, void *userdata)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        StoreBus *b = userdata;
        sd_bus *bus = bus_link_get(b->link);
        int r;

        if (!bus)
                return;
        if ((r = sd_bus_message_new_signal(
                             bus, &m, TANK_STORE_PATH, TANK_STORE_INTERFACE, "Changed")) < 0 ||
                        (r = sd_bus_message_append(m, "st", store_database_id(b->store),
                                         store_revision(b->store))) < 0 ||
                        (r = append_keys(m, batch)) < 0 || (r = sd_bus_send(bus, m, NULL)) < 0)
                (void) log_warning_errno(r, "cannot send Changed, ignoring");
}

static void on_state_changed(void *userdata)
{
        StoreBus *b = userdata;
        sd_bus *bus = bus_link_get(b->link);
        int r;

        if (!bus)
                return;
        r = sd_bus_emit_properties_changed(bus, TANK_STORE_PATH, TANK_STORE_INTERFACE, "State",
                        "DegradedReason", NULL);
        if (r < 0)
                (void) log_warning_errno(r, "cannot tell of the changed state, ignoring");
}

/* ---- the connection ---- */

static int on_name_acquired(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        const char *name;
        int r;

        if (!bus_message_is_from_bus(m))
                return 0;
        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (streq(name, TANK_STORE_NAME)) {
                log_info("serving %s", name);
                b->named(b->userdata);
        }
        return 0;
}

static int on_name_requested(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const sd_bus_error *e = sd_bus_message_get_error(m);
        uint32_t answer;

        if (e) {
                log_error("cannot take the name %s: %s", TANK_STORE_NAME, e->message);
                return 0;
        }
        if (sd_bus_message_read(m, "u", &answer) >= 0 && answer == 2)
                log_warning("another process holds %s: waiting for it to go", TANK_STORE_NAME);
        return 0;
}

static int on_connected(sd_bus *bus, void *userdata)
{
        StoreBus *b = userdata;
        int r;

        if ((r = bus_access_new(bus, &b->access)) < 0 ||
                        (r = sd_bus_add_object_vtable(bus, &b->vtable_slot, TANK_STORE_PATH,
                                         TANK_STORE_INTERFACE, store_vtable, b)) < 0 ||
                        (r = sd_bus_match_signal_async(bus, &b->acquired_slot,
                                         "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus", "NameAcquired", on_name_acquired,
                                         NULL, b)) < 0)
                return r;
        /* Queued: a predecessor that was killed may still be leaving the bus. */
        return sd_bus_request_name_async(bus, &b->name_slot, TANK_STORE_NAME, SD_BUS_NAME_QUEUE,
                        on_name_requested, b);
}

static void on_disconnected(void *userdata)
{
        StoreBus *b = userdata;

        for (Reply *r = b->replies; r; r = r->next)
                r->message = sd_bus_message_unref(r->message);
        b->name_slot = sd_bus_slot_unref(b->name_slot);
        b->acquired_slot = sd_bus_slot_unref(b->acquired_slot);
        b->vtable_slot = sd_bus_slot_unref(b->vtable_slot);
        b->access = bus_access_free(b->access);
}

int store_bus_new(sd_event *event, Store *s, StoreBusNamed named, void *userdata, StoreBus **ret)
{
        StoreBus *b;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->store = s;
        b->named = named;
        b->userdata = userdata;
        r = bus_link_new(event, "tankd-store", on_connected, on_disconnected, b, &b->link);
        if (r < 0) {
                free(b);
                return r;
        }
        store_set_hooks(s, &(const StoreHooks){
                                           .changed = on_changed,
                                           .state_changed = on_state_changed,
                                           .userdata = b,
                           });
        *ret = b;
        return 0;
}

StoreBus *store_bus_free(StoreBus *b)
{
        sd_bus *bus;

        if (!b)
                return NULL;
        store_set_hooks(b->store, &(const StoreHooks){});
        bus = bus_link_get(b->link);
        if (bus)
                (void) sd_bus_release_name_async(bus, NULL, TANK_STORE_NAME, NULL, NULL);
        bus_link_free(b->link); /* flushes */
        assert(!b->replies);
        free(b);
        return NULL;
}

int store_bus_introspect(void)
{
        static const BusInterface interfaces[] = { { TANK_STORE_INTERFACE, store_vtable } };

        return bus_print_introspection(TANK_STORE_PATH, interfaces, ARRAY_SIZE(interfaces));
}
