/* SPDX-License-Identifier: Apache-2.0 */

/* StartTransientUnit, waited for; see shim-scope.h. The one place where the shim blocks on the bus:
 * it has nothing else to do yet, and there is no sensible way to go on without its cgroup. */

#include <poll.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "shim-scope.h"

#define SYSTEMD_SOCKET     "/run/systemd/private"
#define SCOPE_TIMEOUT_USEC (10 * USEC_PER_SEC)

typedef struct ScopeJob {
        const char *path; /* of the job, once known */
        bool done, failed;
} ScopeJob;

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ScopeJob *job = userdata;
        const char *path, *unit, *result;

        if (sd_bus_message_read(m, "uoss", NULL, &path, &unit, &result) < 0)
                return 0;
        if (job->path && streq(path, job->path)) {
                job->done = true;
                job->failed = !streq(result, "done");
        }
        return 0;
}

static int append_properties(sd_bus_message *m)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Description", "s", "container run by tank");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Slice", "s", "tank.slice");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Delegate", "b", 1);
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed");
        /* The container's end is the shim's to bring about, also at shutdown. */
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t) getpid());
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int start_unit(sd_bus *bus, const char *name, sd_bus_message **ret, sd_bus_error *error)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.systemd1",
                        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                        "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", name, "fail");
        if (r >= 0)
                r = append_properties(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        return sd_bus_call(bus, m, SCOPE_TIMEOUT_USEC, error, ret);
}

static int wait_job(sd_bus *bus, ScopeJob *job, uint64_t deadline)
{
        int r;

        while (!job->done) {
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
        return job->failed ? -EIO : 0;
}

/* "0::/path" of /proc/self/cgroup. */
static int own_path(char **ret)
{
        CLEANUP_FREE char *data = NULL;
        char *state = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &data, &size);
        if (r < 0)
                return r;
        for (char *l = strtok_r(data, "\n", &state); l; l = strtok_r(NULL, "\n", &state)) {
                const char *path = startswith(l, "0::/");

                if (path)
                        return free_and_strdup(ret, path);
        }
        return -ENODATA;
}

/* systemd's own socket, as systemctl has it for root: a container is started without a bus as well.
 * The bus only where there is no such socket. */
static int open_systemd(sd_bus **ret)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=" SYSTEMD_SOCKET);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return sd_bus_open_system(ret);
        *ret = TAKE_PTR(bus);
        return 0;
}

int scope_start(const char *name, char **ret_path, char reterr[static CGROUP_ERROR_MAX])
{
        uint64_t deadline = now_boottime_usec() + SCOPE_TIMEOUT_USEC;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ScopeJob job = { 0 };
        int r;

        r = open_systemd(&bus);
        /* What comes straight from systemd has no sender. */
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL,
                                sd_bus_is_bus_client(bus) > 0 ? "org.freedesktop.systemd1" : NULL,
                                "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                "JobRemoved", on_job_removed, &job);
        if (r < 0) {
                (void) snprintf(reterr, CGROUP_ERROR_MAX, "cannot reach systemd");
                return r;
        }
        for (;;) {
                r = start_unit(bus, name, &reply, &error);
                /* The scope of the last run goes a moment after its last process. */
                if (r >= 0 ||
                                !sd_bus_error_has_name(
                                                &error, "org.freedesktop.systemd1.UnitExists") ||
                                now_boottime_usec() >= deadline)
                        break;
                sd_bus_error_free(&error);
                (void) poll(NULL, 0, 20);
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job.path);
        if (r >= 0)
                r = wait_job(bus, &job, deadline);
        if (r >= 0)
                r = own_path(ret_path);
        if (r < 0)
                (void) snprintf(reterr, CGROUP_ERROR_MAX, "cannot start the scope %.80s: %.120s",
                                name, error.message ?: "systemd refused");
        return r;
}
