/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1: what it consists of, its properties and signals, and the connection. The
 * methods are in store-dbus-write.c and store-dbus-read.c. */

#include "store-dbus-admin.h"
#include "store-dbus-internal.h"
#include "store-dbus-kv.h"

#include "bus-names.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-rotate.h"

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
        bool memory = store_is_in_memory(((StoreBus *) userdata)->store);

        return sd_bus_message_append(reply, "s", memory ? "memory" : "rocksdb");
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

/* sd-bus overwrites such a message when it frees it. */
#define MAY_HOLD_SECRETS (SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE)

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
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision),
                        store_method_create, MAY_HOLD_SECRETS),
        SD_BUS_METHOD_WITH_ARGS("Apply", SD_BUS_ARGS("s", document, "a{sv}", options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision, "s", changed),
                        store_method_apply, MAY_HOLD_SECRETS),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("s", document, "a{sv}", options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision, "s", changed),
                        store_method_update, MAY_HOLD_SECRETS),
        SD_BUS_METHOD_WITH_ARGS("Delete",
                        SD_BUS_ARGS("s", type, "s", namespace, "s", name, "a{sv}", options),
                        SD_BUS_RESULT("b", existed, "t", revision), store_method_delete,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Rollback",
                        SD_BUS_ARGS("s", type, "s", namespace, "s", name, "t", revision, "a{sv}",
                                        options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", new_revision, "s", changed),
                        store_method_rollback, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Transaction",
                        SD_BUS_ARGS("a(sa{sv})", operations, "a{sv}", options),
                        SD_BUS_RESULT("t", revision, "a(stts)", results), store_method_transaction,
                        MAY_HOLD_SECRETS),
        SD_BUS_METHOD_WITH_ARGS("Get", SD_BUS_ARGS("s", type, "s", namespace, "s", name),
                        SD_BUS_RESULT("s", document), store_method_get, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetVersion",
                        SD_BUS_ARGS("s", type, "s", namespace, "s", name, "t", revision),
                        SD_BUS_RESULT("s", document), store_method_get_version,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resolve", SD_BUS_ARGS("s", reference, "s", namespace),
                        SD_BUS_RESULT("s", type, "s", resolved_namespace, "s", name, "s", key),
                        store_method_resolve, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_ARGS("s", type, "s", namespace, "a{sv}", options),
                        SD_BUS_RESULT("as", documents, "s", next, "t", revision), store_method_list,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Count", SD_BUS_ARGS("s", type, "s", namespace, "a{sv}", options),
                        SD_BUS_RESULT("t", count, "t", revision), store_method_count,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("History",
                        SD_BUS_ARGS("s", type, "s", namespace, "s", name, "a{sv}", options),
                        SD_BUS_RESULT("a(tssttu)", versions, "s", next), store_method_history,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetChanges",
                        SD_BUS_ARGS("s", database_id, "t", since, "a{sv}", options),
                        SD_BUS_RESULT("a(tsssss)", changes, "b", more, "t", revision),
                        store_method_get_changes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Changed",
                        SD_BUS_ARGS("s", database_id, "t", revision, "a(ssss)", keys), 0),
        SD_BUS_VTABLE_END,
};

/* What the object has, in the order of the introspection. */
static const BusInterface store_interfaces[] = {
        { TANK_STORE_INTERFACE, store_vtable },
        { TANK_STORE_ADMIN_INTERFACE, store_admin_vtable },
        { TANK_STORE_SECRETS_INTERFACE, store_secrets_vtable },
        { TANK_STORE_KEY_VALUE_INTERFACE, store_kv_vtable },
};
static_assert(ARRAY_SIZE(store_interfaces) <= STORE_BUS_INTERFACES, "each has its slot");

/* ---- measuring ---- */

static void on_call(sd_bus_message *m, uint64_t arrived_usec, void *userdata)
{
        metrics_begin(((StoreBus *) userdata)->metrics, sd_bus_message_get_interface(m),
                        sd_bus_message_get_member(m), arrived_usec);
}

static void on_call_served(bool failed, void *userdata)
{
        StoreBus *b = userdata;

        metrics_end(b->metrics, failed);
        /* A client that waits for this answer sends nothing more to put beside it. */
        if (store_gathers(b->store) && bus_access_idle(b->access))
                store_hurry(b->store);
}

static int measure_interface(Metrics *m, const BusInterface *interface)
{
        int r = 0;

        for (const sd_bus_vtable *v = interface->vtable; r >= 0 && v->type != _SD_BUS_VTABLE_END;
                        v++)
                if (v->type == _SD_BUS_VTABLE_METHOD)
                        r = metrics_add_operation(m, interface->name, v->x.method.member);
        return r;
}

static int measure(StoreBus *b, sd_event *event)
{
        int r;

        r = metrics_new(&b->metrics);
        if (r >= 0)
                r = census_new(event, b->store, &b->census);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(store_interfaces); i++)
                r = measure_interface(b->metrics, &store_interfaces[i]);
        return r;
}

/* ---- signals ---- */

static size_t count_ops(const CommitBatch *batch)
{
        const Op *ops;
        size_t n = 0;

        for (const Transaction *t = batch->first; t; t = t->next)
                n += store_transaction_ops(t, &ops);
        return n;
}

static int append_keys(sd_bus_message *m, const CommitBatch *batch)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ssss)");
        if (r < 0)
                return r;
        if (batch && count_ops(batch) <= LIMIT_CHANGED_KEYS)
                for (const Transaction *t = batch->first; t; t = t->next) {
                        const Op *ops = NULL;
                        size_t n = store_transaction_ops(t, &ops);

                        for (size_t i = 0; i < n; i++) {
                                r = sd_bus_message_append(m, "(ssss)", ops[i].key.type,
                                                ops[i].key.namespace, ops[i].key.name,
                                                operation_to_string(ops[i].record.operation));
                                if (r < 0)
                                        return r;
                        }
                }
        return sd_bus_message_close_container(m);
}

static void on_changed(const CommitBatch *batch, void *userdata)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        StoreBus *b = userdata;
        sd_bus *bus = bus_link_get(b->link);
        int r;

        if (batch && batch->sync_usec > 0)
                metrics_synced(b->metrics, batch->sync_usec);
        census_batch(b->census, batch);
        if (!bus)
                return;
        store_bus_kv_changed(b, bus, batch);
        if (batch && count_ops(batch) == 0)
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

/* ---- a closed store ---- */

static int refuse_closed(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        const StoreBus *b = userdata;

        return tank_error_set(reterr, TANK_ERROR_DEGRADED, "nothing is served: %s",
                        strempty(store_degraded_reason(b->store)));
}

/* Before any of the methods: none of them has to know. Properties stay. */
static int on_call_closed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *interface = sd_bus_message_get_interface(m);
        StoreBus *b = userdata;

        if (!sd_bus_message_is_method_call(m, NULL, NULL) ||
                        !streq_ptr(sd_bus_message_get_path(m), TANK_STORE_PATH) || !interface ||
                        !startswith(interface, TANK_STORE_INTERFACE))
                return 0;
        return bus_access_dispatch(b->access, m, BUS_INSPECT, refuse_closed, b, reterr);
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

static int add_interfaces(StoreBus *b, sd_bus *bus)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(store_interfaces); i++)
                r = sd_bus_add_object_vtable(bus, &b->vtable_slots[i], TANK_STORE_PATH,
                                store_interfaces[i].name, store_interfaces[i].vtable, b);
        return r;
}

static int on_connected(sd_bus *bus, void *userdata)
{
        const BusObserver observer = { on_call, on_call_served, userdata };
        StoreBus *b = userdata;
        int r;

        r = bus_access_new(bus, &b->access);
        if (r < 0)
                return r;
        bus_access_observe(b->access, &observer);
        if ((r = add_interfaces(b, bus)) < 0 ||
                        (r = sd_bus_match_signal_async(bus, &b->acquired_slot,
                                         "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus", "NameAcquired", on_name_acquired,
                                         NULL, b)) < 0)
                return r;
        if (store_is_closed(b->store) &&
                        (r = sd_bus_add_filter(bus, &b->closed_slot, on_call_closed, b)) < 0)
                return r;
        /* Queued: a predecessor that was killed may still be leaving the bus. */
        return sd_bus_request_name_async(bus, &b->name_slot, TANK_STORE_NAME, SD_BUS_NAME_QUEUE,
                        on_name_requested, b);
}

static void on_disconnected(void *userdata)
{
        StoreBus *b = userdata;

        store_bus_forget_callers(b);
        store_bus_forget_listings(b);
        b->name_slot = sd_bus_slot_unref(b->name_slot);
        b->acquired_slot = sd_bus_slot_unref(b->acquired_slot);
        b->closed_slot = sd_bus_slot_unref(b->closed_slot);
        for (size_t i = 0; i < ARRAY_SIZE(b->vtable_slots); i++)
                b->vtable_slots[i] = sd_bus_slot_unref(b->vtable_slots[i]);
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
        r = measure(b, event);
        if (r >= 0)
                r = bus_link_new(event, "tankd-store", on_connected, on_disconnected, b, &b->link);
        if (r < 0) {
                census_free(b->census);
                metrics_free(b->metrics);
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
        store_end_jobs(b->store); /* they answer */
        store_set_hooks(b->store, &(const StoreHooks){});
        bus = bus_link_get(b->link);
        if (bus)
                (void) sd_bus_release_name_async(bus, NULL, TANK_STORE_NAME, NULL, NULL);
        bus_link_free(b->link); /* flushes */
        assert(!b->replies && !b->listings);
        census_free(b->census);
        metrics_free(b->metrics);
        free(b);
        return NULL;
}

int store_bus_introspect(void)
{
        return bus_print_introspection(
                        TANK_STORE_PATH, store_interfaces, ARRAY_SIZE(store_interfaces));
}
