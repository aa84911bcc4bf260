/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-cleanup.h. Idempotent: each step finds its work done or does it. */

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "record.h"
#include "shim-cgroup.h"
#include "shim-cleanup.h"
#include "shim-pins.h"
#include "shim-record.h"
#include "shim-scope.h"
#include "strv.h"

#define KILL_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define STOP_TIMEOUT_USEC (10 * USEC_PER_SEC)

int run_lock(int run_dir, int *ret_fd)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        CLEANUP_CLOSE int fd = -EBADF;

        fd = openat(run_dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        /* Of the process, not of the descriptor: a child has that, too, until its execve(), and
         * would hold the lock for a shim that is gone. */
        if (fcntl(fd, F_SETLK, &lock) < 0)
                return errno == EACCES ? -EAGAIN : -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int kill_and_wait(ShimCgroup *c)
{
        uint64_t deadline = now_boottime_usec() + KILL_TIMEOUT_USEC;
        int r;

        r = shim_cgroup_kill(c, NULL);
        if (r < 0)
                return r;
        for (;;) {
                struct pollfd p = { .fd = shim_cgroup_events_fd(c), .events = POLLPRI };

                r = shim_cgroup_is_empty(c, NULL);
                if (r != 0)
                        return r < 0 ? r : 0;
                if (now_boottime_usec() >= deadline)
                        return -ETIMEDOUT;
                (void) poll(&p, 1, 100);
                shim_cgroup_events_clear(c);
        }
}

static int cleanup_cgroup(const Record *record)
{
        CLEANUP(shim_cgroup_freep) ShimCgroup *c = NULL;
        CLEANUP_STRV char **mirrors = NULL;
        const char *path = record_get(record, "cgroup");
        const char *scope = record_get(record, "cgroup.scope");
        int r;

        /* A scope that its shim was in goes when that does; what was asked for and not seen may
         * have been made after it. */
        if (isempty(path))
                return isempty(scope) ? 0 : scope_stop(scope, STOP_TIMEOUT_USEC);
        r = record_get_strv(record, "cgroup.v1", &mirrors);
        if (r < 0)
                return r;
        r = shim_cgroup_open(path, mirrors, &c);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = kill_and_wait(c);
        return r < 0 ? r : shim_cgroup_remove(c);
}

static const char *cgroup_name(const Record *record)
{
        const char *path = record_get(record, "cgroup");

        return isempty(path) ? strempty(record_get(record, "cgroup.scope")) : path;
}

int cleanup_run(const char *path)
{
        CLEANUP_CLOSE int run_dir = -EBADF, lock = -EBADF;
        CLEANUP_FREE char *data = NULL;
        const char *scratch;
        Record record;
        size_t size;
        int r;

        run_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run_dir < 0)
                return errno == ENOENT ? 0 : log_error_errno(-errno, "%s", path);
        r = run_lock(run_dir, &lock);
        if (r == -EAGAIN)
                return log_error_errno(-EBUSY, "%s: its shim is alive", path);
        if (r < 0)
                return log_error_errno(r, "%s: cannot lock", path);
        r = read_file_at(run_dir, "record", LIMIT_RECORD_MAX, &data, &size);
        if (r == -ENOENT)
                return 0; /* it died before it made anything */
        if (r >= 0)
                r = record_parse(data, size, RUN_RECORD_VERSION, &record);
        if (r < 0)
                return log_error_errno(r, "%s/record", path);

        r = cleanup_cgroup(&record);
        if (r < 0)
                return log_error_errno(
                                r, "%s: cannot remove the cgroup %s", path, cgroup_name(&record));
        scratch = record_get(&record, "scratch");
        if (scratch && scratch[0] == '/') {
                r = remove_tree_at(AT_FDCWD, scratch);
                if (r < 0)
                        return log_error_errno(r, "%s: cannot remove %s", path, scratch);
        }
        if (unlinkat(run_dir, "control", 0) < 0 && errno != ENOENT)
                return log_error_errno(-errno, "%s/control", path);
        return 0;
}

int cleanup_pod(const char *path)
{
        CLEANUP_CLOSE int pod_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (pod_dir < 0)
                return errno == ENOENT ? 0 : log_error_errno(-errno, "%s", path);
        r = pins_remove(pod_dir);
        return r < 0 ? log_error_errno(r, "%s/ns", path) : 0;
}
