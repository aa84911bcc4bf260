/* SPDX-License-Identifier: Apache-2.0 */

/* StartTransientUnit and StopUnit, waited for; see shim-scope.h. The one place where the shim
 * blocks on systemd: it has nothing else to do yet, and there is no sensible way to go on without
 * its cgroup.
 *
 * What counts is where this process is, not what was answered: a systemd that executes itself anew
 * drops the connection in the middle of a job that it then goes on with. So a lost connection is
 * made again, and a unit that exists is this call's own: a name is one run's.
 *
 * Who gives up cannot take back what it asked for: systemd reads it whenever it gets to it, and may
 * then put a process that is just ending into a scope that so never becomes empty, and stays. That
 * is why a run's record tells the scope's name before it is asked for (docs/protocol.md, 2.7), and
 * why --cleanup stops it once the shim is gone: after that no request can be carried out. */

#include <poll.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "shim-scope.h"

#define SYSTEMD_SOCKET "/run/systemd/private"
#define SYSTEMD_NAME   "org.freedesktop.systemd1"
#define SYSTEMD_PATH   "/org/freedesktop/systemd1"
#define MANAGER        "org.freedesktop.systemd1.Manager"
#define RETRY_MSEC     50

typedef struct ScopeJob {
        const char *path; /* of the job, once known */
        bool done, failed;
        char result[32]; /* systemd's word, of one that failed */
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
                (void) snprintf(job->result, sizeof(job->result), "%s", result);
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

static int start_unit(sd_bus *bus, const char *name, uint64_t timeout, sd_bus_message **ret,
                sd_bus_error *error)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        bus, &m, SYSTEMD_NAME, SYSTEMD_PATH, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", name, "fail");
        if (r >= 0)
                r = append_properties(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        return sd_bus_call(bus, m, timeout, error, ret);
}

/* Goes on with what @bus has to do, or waits for it. */
static int turn(sd_bus *bus, uint64_t deadline)
{
        uint64_t now = now_boottime_usec();
        int r;

        r = sd_bus_process(bus, NULL);
        if (r != 0)
                return r < 0 ? r : 0;
        if (now >= deadline)
                return -ETIMEDOUT;
        r = sd_bus_wait(bus, deadline - now);
        return r < 0 && r != -EINTR ? r : 0;
}

static int wait_job(sd_bus *bus, ScopeJob *job, uint64_t deadline)
{
        int r = 0;

        while (!job->done && r >= 0)
                r = turn(bus, deadline);
        return r < 0 ? r : job->failed ? -EIO : 0;
}

/* Whether this process is in the scope @name: 1 and its path, as "0::/path" of /proc/self/cgroup
 * has it, or 0. */
static int entered(const char *name, char **ret_path)
{
        CLEANUP_FREE char *data = NULL;
        char *state = NULL;
        size_t size;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &data, &size);
        if (r < 0)
                return r;
        for (char *l = strtok_r(data, "\n", &state); l; l = strtok_r(NULL, "\n", &state)) {
                const char *path = startswith(l, "0::/"), *last;

                if (!path)
                        continue;
                last = strrchr(path, '/');
                if (!streq(last ? last + 1 : path, name))
                        return 0;
                r = free_and_strdup(ret_path, path);
                return r < 0 ? r : 1;
        }
        return -ENODATA;
}

/* systemd's own socket, as systemctl has it for root: a container is started without a bus as well.
 * The bus only where there is no such socket; one that nobody listens at is made anew presently.
 *
 * Until the other side has greeted, libsystemd waits for it without a limit of the caller's, in a
 * call as in a flush: so that is waited for here, and these connections are closed without one. */
static int open_systemd(uint64_t deadline, sd_bus **ret)
{
        CLEANUP(sd_bus_close_unrefpp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, "unix:path=" SYSTEMD_SOCKET);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r == -ENOENT) {
                bus = sd_bus_close_unref(bus);
                r = sd_bus_open_system(&bus);
        }
        while (r >= 0 && (r = sd_bus_is_ready(bus)) == 0)
                r = turn(bus, deadline);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/* One connection's worth: 0 when the job is done. *@error: what systemd answered, if it did. */
static int attempt(const char *name, uint64_t deadline, ScopeJob *job, sd_bus_error *error)
{
        CLEANUP(sd_bus_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        uint64_t now;
        int r;

        r = open_systemd(deadline, &bus);
        /* What comes straight from systemd has no sender. */
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL,
                                sd_bus_is_bus_client(bus) > 0 ? SYSTEMD_NAME : NULL, SYSTEMD_PATH,
                                MANAGER, "JobRemoved", on_job_removed, job);
        now = now_boottime_usec();
        if (r >= 0)
                r = now < deadline ? start_unit(bus, name, deadline - now, &reply, error)
                                   : -ETIMEDOUT;
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job->path);
        if (r >= 0)
                r = wait_job(bus, job, deadline);
        job->path = NULL; /* the reply's */
        return r;
}

static bool is_dropped(int r)
{
        return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE;
}

/* The connection is gone, nobody listens, systemd is not on the bus, or the unit is on its way. */
static bool worth_another(int r, const sd_bus_error *error)
{
        return is_dropped(r) || r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ENXIO ||
               sd_bus_error_has_name(error, "org.freedesktop.systemd1.UnitExists");
}

int scope_start(const char *name, uint64_t timeout_usec, char **ret_path,
                char reterr[static CGROUP_ERROR_MAX])
{
        uint64_t deadline = now_boottime_usec() + timeout_usec;
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ScopeJob job;
        int r, is_in;

        for (;;) {
                job = (ScopeJob){ 0 };
                r = attempt(name, deadline, &job, &error);
                is_in = entered(name, ret_path);
                if (is_in != 0)
                        return is_in < 0 ? is_in : 0;
                if (!worth_another(r, &error) || now_boottime_usec() >= deadline)
                        break;
                sd_bus_error_free(&error);
                (void) poll(NULL, 0, RETRY_MSEC);
        }
        if (r >= 0)
                r = -EIO;
        /* libsystemd has a limit of its own for the greeting, as long as ours, and drops the
         * connection then: whichever of them was first. */
        if (is_dropped(r))
                r = -ETIMEDOUT;
        (void) snprintf(reterr, CGROUP_ERROR_MAX, "cannot start the scope %.130s: %.100s", name,
                        r == -ETIMEDOUT ? "systemd does not answer"
                        : error.message ? error.message
                        : job.failed    ? job.result
                        : job.done      ? "systemd left this process where it was"
                                        : "cannot reach systemd");
        return r;
}

int scope_stop(const char *name, uint64_t timeout_usec)
{
        CLEANUP(sd_bus_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = open_systemd(now_boottime_usec() + timeout_usec, &bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, timeout_usec);
        if (r >= 0)
                r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, MANAGER, "StopUnit", &error,
                                NULL, "ss", name, "replace");
        if (sd_bus_error_has_name(&error, "org.freedesktop.systemd1.NoSuchUnit"))
                return 0;
        return r < 0 ? r : 0;
}
