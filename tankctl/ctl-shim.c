/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-shim.h. */

#include <stdio.h>

#include "bus-names.h"
#include "ctl-agent.h"
#include "ctl-shim.h"
#include "error.h"
#include "fd.h"

/* ---- finding it ---------------------------------------------------------------------------- */

int ctl_shim_name(sd_bus *bus, const Target *t, char **ret_name, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        const char *run, *name;
        uint32_t pid;
        int r;

        r = ctl_bus_new_call(bus, &ctl_reconcile, "GetRun", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", t->namespace, t->pod, t->container);
        if (r >= 0)
                r = ctl_bus_call(bus, m, &ctl_reconcile, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "ssu", &run, &name, &pid);
        return r < 0 ? r : free_and_strdup(ret_name, name);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        *(bool *) userdata = true;
        return 0;
}

/* A shim runs its container before it has its name. Waits until the name changes hands or
 * @deadline; the caller then looks again. */
static int wait_for_name(sd_bus *bus, const char *name, uint64_t deadline)
{
        CLEANUP(sd_bus_slot_unrefpp) sd_bus_slot *slot = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        bool changed = false;
        char match[256];
        int r;

        (void) snprintf(match, sizeof(match),
                        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop."
                        "DBus',"
                        "member='NameOwnerChanged',arg0='%s'",
                        name);
        r = sd_bus_add_match(bus, &slot, match, on_owner_changed, &changed);
        if (r < 0)
                return r;
        /* It may have come between the failed call and the match. */
        r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "GetNameOwner", &e, NULL, "s", name);
        if (r >= 0)
                return 0;
        while (!changed) {
                uint64_t now = now_boottime_usec();

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

bool ctl_shim_is_absent(const sd_bus_error *e)
{
        return sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

int ctl_shim_set_absent(sd_bus_error *reterr, const char *name)
{
        return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                        "its shim (%s) is not on the bus; is the bus well?", name);
}

int ctl_shim_watch_names(sd_bus *bus, bool *changed)
{
        return sd_bus_add_match(bus, NULL,
                        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop."
                        "DBus',"
                        "member='NameOwnerChanged',arg0namespace='" TANK_SHIM_INTERFACE "'",
                        on_owner_changed, changed);
}

/* ---- calling it ---------------------------------------------------------------------------- */

static int call_once(sd_bus *bus, const char *name, const char *method, ShimArguments append,
                const void *userdata, sd_bus_message **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        bus, &m, name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, method);
        if (r >= 0 && append)
                r = append(m, userdata);
        return r < 0 ? r : agent_call(bus, m, ret, reterr);
}

int ctl_shim_call(sd_bus *bus, const Target *t, const char *method, ShimArguments append,
                const void *userdata, sd_bus_message **ret, sd_bus_error *reterr)
{
        uint64_t deadline = now_boottime_usec() + CTL_SHIM_NAME_USEC;

        for (;;) {
                CLEANUP_FREE char *name = NULL;
                int r;

                r = ctl_shim_name(bus, t, &name, reterr);
                if (r < 0)
                        return r;
                r = call_once(bus, name, method, append, userdata, ret, reterr);
                if (r >= 0)
                        return r;
                if (!ctl_shim_is_absent(reterr)) {
                        ctl_bus_translate(reterr, name);
                        return r;
                }
                sd_bus_error_free(reterr);
                r = wait_for_name(bus, name, deadline);
                if (r == -ETIMEDOUT)
                        return ctl_shim_set_absent(reterr, name);
                if (r < 0)
                        return r;
        }
}

int ctl_shim_call_async(sd_bus *bus, const char *name, const char *method, uint64_t usec,
                sd_bus_message_handler_t answer, void *userdata)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        bus, &m, name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, method);
        return r < 0 ? r : sd_bus_call_async(bus, NULL, m, answer, userdata, usec);
}

/* ---- what it answers with ------------------------------------------------------------------ */

int ctl_shim_take_fd(sd_bus_message *m, int *ret)
{
        int fd, r = sd_bus_message_read(m, "h", &fd);

        if (r <= 0)
                return r;
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *ret < 0 ? -errno : 1;
}

void ctl_shim_streams_done(ShimStreams *s)
{
        s->control = safe_close(s->control);
        for (size_t i = 0; i < s->n_stdio; i++)
                s->stdio[i] = safe_close(s->stdio[i]);
}

int ctl_shim_take_streams(sd_bus_message *m, ShimStreams *ret)
{
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        int r;

        r = ctl_shim_take_fd(m, &s.control);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "h");
        while (r >= 0 && s.n_stdio < ARRAY_SIZE(s.stdio)) {
                r = ctl_shim_take_fd(m, &s.stdio[s.n_stdio]);
                if (r <= 0)
                        break;
                s.n_stdio++;
        }
        if (r < 0)
                return r;
        *ret = s;
        s = SHIM_STREAMS_NULL;
        return 0;
}
