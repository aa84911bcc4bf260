/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1.Admin: what looks after the database as a whole. */

#include "store-dbus-admin.h"

#include "store-statistics.h"

static int append_number(const char *name, uint64_t value, void *userdata)
{
        return sd_bus_message_append(userdata, "{st}", name, value);
}

static int property_statistics(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{st}");
        if (r >= 0)
                r = store_walk_statistics(b->store, b->metrics, b->census, append_number, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_times(sd_bus_message *m, const MetricsTimes *t)
{
        return sd_bus_message_append_array(m, 't', t->buckets, sizeof(t->buckets));
}

static int append_operation(const char *name, const MetricsTotals *t, void *userdata)
{
        sd_bus_message *m = userdata;
        int r;

        if ((r = sd_bus_message_open_container(m, 'e', "s(tttttat)")) < 0 ||
                        (r = sd_bus_message_append(m, "s", name)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'r', "tttttat")) < 0 ||
                        (r = sd_bus_message_append(m, "ttttt", t->times->n, t->errors,
                                         t->times->usec, t->bytes_in, t->bytes_out)) < 0 ||
                        (r = append_times(m, t->times)) < 0 ||
                        (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int property_operations(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const StoreBus *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{s(tttttat)}");
        if (r >= 0)
                r = metrics_walk_operations(b->metrics, append_operation, reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_syncs(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const MetricsTimes *t = metrics_syncs(((StoreBus *) userdata)->metrics);
        int r;

        if ((r = sd_bus_message_open_container(reply, 'r', "ttat")) < 0 ||
                        (r = sd_bus_message_append(reply, "tt", t->n, t->usec)) < 0 ||
                        (r = append_times(reply, t)) < 0)
                return r;
        return sd_bus_message_close_container(reply);
}

static int property_time_bounds(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        uint64_t bounds[METRICS_BOUNDS];

        metrics_bounds(bounds);
        return sd_bus_message_append_array(reply, 't', bounds, sizeof(bounds));
}

static int admin_method_get_metrics_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        StoreBus *b = userdata;
        int r;

        r = store_print_metrics(b->store, b->metrics, b->census, &text);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", text);
}
BUS_METHOD(admin_method_get_metrics, BUS_ADMIN, store_bus_access)

const sd_bus_vtable store_admin_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Statistics", "a{st}", property_statistics, 0, 0),
        SD_BUS_PROPERTY("Operations", "a{s(tttttat)}", property_operations, 0, 0),
        SD_BUS_PROPERTY("Syncs", "(ttat)", property_syncs, 0, 0),
        SD_BUS_PROPERTY("TimeBounds", "at", property_time_bounds, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_METHOD_WITH_ARGS("GetMetrics", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", text),
                        admin_method_get_metrics, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Backup", SD_BUS_ARGS("h", to, "a{sv}", options),
                        SD_BUS_RESULT("t", revision, "t", bytes), store_admin_method_backup,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Export", SD_BUS_ARGS("h", to, "a{sv}", options),
                        SD_BUS_RESULT("t", count, "t", revision, "as", problems),
                        store_admin_method_export, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Import", SD_BUS_ARGS("h", from, "a{sv}", options),
                        SD_BUS_RESULT("t", created, "t", updated, "t", unchanged),
                        store_admin_method_import, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Verify", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("as", problems, "t", rows), store_admin_method_verify,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Compact", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("t", compacted), store_admin_method_compact,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetRetention",
                        SD_BUS_ARGS("s", type, "t", versions, "t", age_usec), SD_BUS_NO_RESULT,
                        store_admin_method_set_retention, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetRetention", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(stt)", rules),
                        store_admin_method_get_retention, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetLogRetention", SD_BUS_ARGS("t", rows, "t", bytes),
                        SD_BUS_NO_RESULT, store_admin_method_set_log_retention,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetLogRetention", SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("t", rows, "t", bytes), store_admin_method_get_log_retention,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reset", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, store_admin_method_reset,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
