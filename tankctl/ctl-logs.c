/* SPDX-License-Identifier: Apache-2.0 */

/* logs: OpenLogs gives the pod's log directory as a descriptor; everything else is reading files
 * (docs/protocol.md section 4), so it works for pods that run no more, and goes on without the
 * daemons.
 *
 * A line is one or more records of a stream: continued ones, then one that ends it. It is wanted or
 * not as a whole, decided at its first record; --tail counts lines in a first pass and skips the
 * others in the second. The lines of several containers are put together by their times
 * (ctl-log-merge.c), the records of each are read by ctl-log-reader.c.
 *
 * Rotation renames files under us: NAME → NAME.1 → NAME.2. A file is therefore known by its inode,
 * and a set of open files counts only when all names still meant the same after they were opened.
 * When following, the directory's inotify watch is older than the first look at the files; it also
 * tells of containers that the pod gets meanwhile. */

#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-names.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "clock.h"
#include "ctl-log-merge.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "state.h"
#include "strv.h"

#define QUIET_MSEC 300 /* a finished pod's shim still writes what it holds */

typedef struct Follower {
        sd_bus *bus; /* NULL once it is lost: files are followed all the same */
        const Target *target;
        LogMerge *merge;
        uint64_t since_usec; /* when we began */
        int inotify;
        bool look, ending; /* look: something happened to the pod; ending: it runs no more */
} Follower;

/* ---- arguments ----------------------------------------------------------------------------- */

static int parse_selection(const Arguments *a, LogSelection *ret)
{
        if (a->tail && parse_u64(a->tail, &ret->tail) < 0)
                return ctl_usage_error("\"%s\" is no number of lines", WORD(a->tail));
        ret->timestamps = a->timestamps;
        ret->prefix = a->prefix;
        ret->raw = a->raw;
        return arguments_since(a, &ret->since_usec);
}

/* ---- following ----------------------------------------------------------------------------- */

static int on_pod_event(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ((Follower *) userdata)->look = true;
        return 0;
}

static int follower_start(Follower *f, sd_bus *bus, const Target *t, int directory)
{
        char match[512], path[FD_PATH_MAX];

        f->bus = bus;
        f->target = t;
        f->look = true;
        f->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (f->inotify < 0)
                return -errno;
        if (inotify_add_watch(f->inotify, fd_path(directory, path),
                            IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
                return -errno;
        (void) snprintf(match, sizeof(match),
                        "type='signal',sender='" TANK_RECONCILE_NAME "',path='" TANK_RECONCILE_PATH
                        "',interface='" TANK_RECONCILE_INTERFACE
                        "',member='PodEvent',arg0='%s',arg1='%s'",
                        t->namespace, t->pod);
        return sd_bus_add_match_async(bus, NULL, match, on_pod_event, NULL, f);
}

/* Whether the pod will write no more, as far as anybody can tell. */
static void follower_look(Follower *f)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        RunState state;

        f->look = false;
        if (reconcile_get_status(f->bus, f->target->namespace, f->target->pod, &s, &e) < 0) {
                f->ending = sd_bus_error_has_name(&e, TANK_ERROR_NOT_FOUND);
                return;
        }
        state = run_state_from_string(strempty(json_get_string(s.status, "state")));
        f->ending = state == RUN_EXITED || state == RUN_FAILED;
}

static void follower_process(Follower *f)
{
        int r;

        do
                r = sd_bus_process(f->bus, NULL);
        while (r > 0);
        if (r < 0)
                f->bus = NULL;
        else if (f->look)
                follower_look(f);
}

/* The containers that are meant may become more while we follow: the one that writes NAME.log is
 * among them, unless a single one was asked for. */
static int follower_meet(Follower *f, const char *name)
{
        char container[LIMIT_NAME_MAX + 1];
        size_t n = strlen(name);

        if (*f->target->container || n <= 4 || n - 4 >= sizeof(container) ||
                        !streq(name + n - 4, ".log"))
                return 0;
        (void) snprintf(container, sizeof(container), "%.*s", (int) (n - 4), name);
        return name_is_valid(container) ? log_merge_add(f->merge, container, f->since_usec) : 0;
}

/* What happened is seen on the files; here, only whose they are. */
static int follower_read(Follower *f)
{
        _Alignas(struct inotify_event) char events[4096];
        ssize_t n;
        int r = 0;

        while (r >= 0 && (n = read(f->inotify, events, sizeof(events))) > 0)
                for (const char *at = events; r >= 0 && at < events + n;) {
                        const struct inotify_event *e = (const struct inotify_event *) at;

                        if (e->len > 0)
                                r = follower_meet(f, e->name);
                        at += sizeof(*e) + e->len;
                }
        return r;
}

/* Sleeps until a file changed. 0: nothing more will come. */
static int follower_sleep(Follower *f)
{
        for (;;) {
                struct pollfd fds[3] = {
                        { .fd = f->inotify, .events = POLLIN },
                        { .fd = STDOUT_FILENO }, /* POLLERR: its reader left */
                        { .fd = -1, .events = POLLIN },
                };
                int n, r;

                if (f->bus) {
                        follower_process(f); /* before each sleep: messages may be queued already */
                        fds[2].fd = f->bus ? sd_bus_get_fd(f->bus) : -1;
                }
                n = poll(fds, ARRAY_SIZE(fds), f->ending ? QUIET_MSEC : -1);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0 || (n > 0 && (fds[1].revents & (POLLERR | POLLNVAL))))
                        return 0;
                if (n > 0 && fds[0].revents) {
                        r = follower_read(f);
                        return r < 0 ? r : 1;
                }
        }
}

static int follow(Follower *f, LogMerge *merge)
{
        int r;

        f->merge = merge;
        while ((r = follower_sleep(f)) > 0) {
                r = log_merge_follow(merge);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : log_merge_follow(merge);
}

/* ---- the verb ------------------------------------------------------------------------------ */

/* Whose they are, once each, from "a.log.1", "a.log", "b.log". */
static int read_containers(sd_bus_message *reply, char ***ret)
{
        CLEANUP_STRV char **containers = NULL;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "s");
        while (r > 0) {
                CLEANUP_FREE char *container = NULL;
                const char *end;

                r = sd_bus_message_read(reply, "s", &name);
                if (r <= 0)
                        break;
                end = strstr(name, ".log");
                if (!end)
                        return -EBADMSG;
                container = strndup(name, (size_t) (end - name));
                if (!container)
                        return -ENOMEM;
                if (strv_contains(containers, container))
                        continue;
                r = strv_append_take(&containers, TAKE_PTR(container));
                if (r >= 0)
                        r = 1;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(containers);
        return 0;
}

/* The directory, and the containers whose logs are meant. */
static int open_logs(sd_bus *bus, const Target *t, int *ret_directory, char ***ret_containers,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP_CLOSE int directory = -EBADF;
        int r, fd;

        r = ctl_bus_new_call(bus, &ctl_reconcile, "OpenLogs", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sss", t->namespace, t->pod, t->container);
        if (r >= 0)
                r = ctl_bus_call(bus, m, &ctl_reconcile, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return r;
        directory = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (directory < 0)
                return -errno;
        r = read_containers(reply, ret_containers);
        if (r >= 0)
                *ret_directory = TAKE_FD(directory);
        return r;
}

static int logs_failure(const Target *t, const sd_bus_error *e, int r)
{
        CLEANUP_FREE char *what = NULL;

        if (asprintf(&what, "logs of pod/%s/%s", t->namespace, t->pod) < 0)
                what = NULL;
        return ctl_bus_failure(what, e, r);
}

int verb_logs(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(log_merge_freep) LogMerge *merge = NULL;
        CLEANUP(target_done) Target t = {};
        CLEANUP_CLOSE int directory = -EBADF;
        CLEANUP_STRV char **containers = NULL;
        LogSelection selection = {};
        Follower follower = { .since_usec = now_realtime_usec(), .inotify = -EBADF };
        int r;

        r = parse_selection(a, &selection);
        if (r == 0)
                r = target_parse(a, a->words[0], &t);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = open_logs(bus, &t, &directory, &containers, &e);
        if (r >= 0 && a->follow)
                r = follower_start(&follower, bus, &t, directory);
        if (r >= 0)
                r = log_merge_new(directory, containers, &selection, &merge);
        if (r >= 0)
                r = log_merge_print(merge);
        if (r >= 0 && a->follow)
                r = follow(&follower, merge);
        return r < 0 ? logs_failure(&t, &e, r) : 0;
}
