/* SPDX-License-Identifier: Apache-2.0 */

/* One run as an object on the bus: org.tankd.Shim1 at /org/tankd/Shim1, under the name that the
 * launch record gives. The vtable at the bottom is the interface; dbus/org.tankd.Shim1.xml tells it
 * in words and is compared with it.
 *
 * Owns the connection, which comes back by itself; sessions are called for in shim-dbus-exec.c.
 * Neither they nor the run depend on anything here: when the bus dies, calls that wait lose their
 * message, and a session whose client never got its descriptors sees it gone. */

#include "bus-access.h"
#include "bus-names.h"
#include "bus-util.h"
#include "error.h"
#include "log.h"
#include "shim-dbus-internal.h"
#include "shim.h"

static BusAccess *get_access(void *userdata)
{
        ShimBus *b = userdata;

        return b->access;
}

/* ---- Kill ---- */

static int method_kill_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;
        int r, signo;

        r = shim_bus_check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = shim_bus_read_signal(m, &signo, reterr);
        if (r < 0)
                return r;

        r = b->shim->ask->kill(b->shim, signo);
        if (r == -ESRCH)
                return tank_error_set(
                                reterr, TANK_ERROR_NOT_RUNNING, "the container is not running");
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot send signal %d", signo);
        return sd_bus_reply_method_return(m, NULL);
}
BUS_METHOD(method_kill, BUS_MANAGE, get_access)

/* ---- properties ---- */

static int property_string(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Launch *launch = ((ShimBus *) userdata)->shim->launch;

        return sd_bus_message_append(
                        reply, "s", streq(property, "Run") ? launch->run : launch->pod_uid);
}

static int property_state(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "s", run_state_to_string(b->shim->state));
}

static int property_pid(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "u", (uint32_t) b->shim->main.pid);
}

static int property_sessions(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "u",
                        shim_sessions_count(b->shim->sessions) +
                                        shim_attaches_count(b->shim->attaches));
}

static const sd_bus_vtable shim_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_PROPERTY("Run", "s", property_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PodUid", "s", property_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Pid", "u", property_pid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Sessions", "u", property_sessions, 0, 0),

        SD_BUS_METHOD_WITH_ARGS("Exec",
                        SD_BUS_ARGS("aay", argv, "aay", environment, "a{sv}", options),
                        SD_BUS_RESULT("u", session, "h", control, "ah", stdio),
                        shim_bus_method_exec, SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Attach", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("u", session, "h", control, "h", stream),
                        shim_bus_method_attach, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", sessions),
                        shim_bus_method_list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenSession", SD_BUS_ARGS("u", session, "a{sv}", options),
                        SD_BUS_RESULT("h", control, "ah", stdio), shim_bus_method_open_session,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("KillSession", SD_BUS_ARGS("u", session, "i", signal),
                        SD_BUS_NO_RESULT, shim_bus_method_kill_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("i", signal), SD_BUS_NO_RESULT, method_kill,
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_VTABLE_END,
};

int shim_dbus_introspect(void)
{
        static const BusInterface interfaces[] = {
                { TANK_SHIM_INTERFACE, shim_vtable },
        };

        return bus_print_introspection(TANK_SHIM_PATH, interfaces, ARRAY_SIZE(interfaces));
}

/* ---- the connection ---- */

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        uint32_t result = 0;

        if (!error)
                (void) sd_bus_message_read(reply, "u", &result);
        if (error)
                log_warning("cannot take the name %s on the bus: %s", b->shim->launch->bus_name,
                                strempty(error->message));
        else if (result != 1 /* primary owner */)
                log_warning("another process holds the name %s on the bus: waiting for it to go",
                                b->shim->launch->bus_name);
        return 0;
}

static int on_connected(sd_bus *bus, void *userdata)
{
        ShimBus *b = userdata;
        int r;

        r = bus_access_new(bus, &b->access);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(
                        bus, NULL, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, shim_vtable, b);
        if (r < 0)
                return r;
        return sd_bus_request_name_async(
                        bus, NULL, b->shim->launch->bus_name, SD_BUS_NAME_QUEUE, on_name, b);
}

static void on_disconnected(void *userdata)
{
        ShimBus *b = userdata;

        b->access = bus_access_free(b->access);
        shim_bus_calls_disconnected(b);
}

static int on_changed(sd_event_source *source, void *userdata)
{
        ShimBus *b = userdata;
        sd_bus *bus = bus_link_get(b->link);

        /* A lost signal is repaired by whoever reads the properties anew. */
        if (bus)
                (void) sd_bus_emit_properties_changed(
                                bus, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, "State", "Pid", NULL);
        return 0;
}

void shim_bus_changed(ShimBus *b)
{
        if (b)
                (void) sd_event_source_set_enabled(b->changed_source, SD_EVENT_ONESHOT);
}

int shim_bus_new(Shim *shim, ShimBus **ret)
{
        CLEANUP(shim_bus_freep) ShimBus *b = NULL;
        int r;

        if (!shim->launch->bus_name)
                return -EINVAL;
        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->shim = shim;

        r = sd_event_add_defer(shim->event, &b->changed_source, on_changed, b);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(b->changed_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* Behind everything else that this turn of the loop does. */
        r = sd_event_source_set_priority(b->changed_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = bus_link_new(shim->event, "tank-shim", on_connected, on_disconnected, b, &b->link);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(b);
        return 0;
}

ShimBus *shim_bus_free(ShimBus *b)
{
        if (!b)
                return NULL;

        bus_link_free(b->link); /* calls on_disconnected() */
        bus_access_free(b->access);
        shim_bus_calls_orphan(b);
        sd_event_source_disable_unref(b->changed_source);
        free(b);
        return NULL;
}
