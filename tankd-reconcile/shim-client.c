/* SPDX-License-Identifier: Apache-2.0 */

/* One run's life; see shim-client.h. The numbered steps are those of docs/protocol.md section 2.2;
 * those of the shim are in its own source.
 *
 *   spawned ── hello ──> live ── channel gone ──> detached ── reconnected ──> live
 *      |                   |                         |
 *      +--- process gone --+-------------------------+──> cleaning ──> over
 *
 * The end of the process is what counts: its pidfd becomes readable after the kernel has closed its
 * descriptors, so the lock is free by then. End of file on the channel alone says little. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failpoint.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-client.h"
#include "shim-private.h"
#include "shim-spawn.h"
#include "strv.h"

#define ADOPT_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define CLEANUP_RETRY_USEC (5 * USEC_PER_SEC)

const char *shim_run(const Shim *s)
{
        return s->run;
}

const char *shim_run_path(const Shim *s)
{
        return s->run_path;
}

const ShimStatus *shim_status(const Shim *s)
{
        return &s->status;
}

int run_lock_test(int dir_fd)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        CLEANUP_CLOSE int fd = open_beneath(dir_fd, "lock", O_RDWR | O_CLOEXEC, 0);

        if (fd < 0)
                return fd;
        if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
                return -errno;
        return lock.l_type != F_UNLCK;
}

static int shim_read_record(Shim *s, ShimStatus *ret)
{
        CLEANUP_FREE char *data = NULL;
        size_t size;
        Record record;
        int r;

        r = read_file_at(s->dir_fd, "record", LIMIT_RECORD_MAX, &data, &size);
        if (r >= 0)
                r = record_parse(data, size, 1, &record);
        if (r >= 0)
                r = shim_status_parse(&record, ret);
        return r;
}

/* ---- timers ---- */

static int shim_on_timer(sd_event_source *source, uint64_t usec, void *userdata);
static void shim_process_gone(Shim *s);

static void shim_destroy_process(Shim *s, const char *why)
{
        int r;

        log_error("run %s: the shim (pid %d) %s: killing it", s->run, (int) s->process.pid, why);
        s->silent = true;
        r = pidref_kill(&s->process, SIGKILL);
        if (r < 0 && r != -ESRCH)
                log_error_errno(r, "run %s: cannot kill the shim", s->run);
}

/* ---- the process ---- */

static int shim_on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Shim *s = userdata;
        int r, status;

        if (s->is_child) {
                r = pidref_wait(&s->process, WNOHANG, &status);
                if (r == 0)
                        return 0;
                s->exit_status = r < 0 ? 0 : status;
        }
        shim_process_gone(s);
        return 0;
}

static int shim_watch_process(Shim *s)
{
        int r;

        r = sd_event_add_io(s->context->event, &s->process_source, s->process.fd, EPOLLIN,
                        shim_on_process, s);
        if (r < 0)
                return r;
        /* What the shim said before it went is read before its end is looked at. */
        return sd_event_source_set_priority(s->process_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

static void shim_over(Shim *s)
{
        s->phase = SHIM_OVER;
        shim_disarm(s);
        shim_adoption_done(s);
        s->context->ops->over(s, s->userdata); /* frees @s */
}

static void shim_cleanup_done(int status, void *userdata)
{
        Shim *s = userdata;

        s->cleanup = shim_helper_free(s->cleanup);
        if (status == 0) {
                shim_over(s);
                return;
        }
        if (s->n_cleanups++ % 12 == 0)
                log_error("run %s: cleaning up %s/%s failed (see the lines of tank-shim above); "
                          "trying again every %u s",
                                s->run, s->context->pods_path, s->run_path,
                                (unsigned) (CLEANUP_RETRY_USEC / USEC_PER_SEC));
        shim_arm(s, CLEANUP_RETRY_USEC);
}

static void shim_cleanup(Shim *s)
{
        CLEANUP_FREE char *path = NULL;
        int r;

        s->phase = SHIM_CLEANING;
        r = asprintf(&path, "%s/%s", s->context->pods_path, s->run_path) < 0 ? -ENOMEM : 0;
        if (r >= 0)
                r = shim_helper_spawn(
                                s->context, "--cleanup", path, shim_cleanup_done, s, &s->cleanup);
        else
                path = NULL;
        if (r < 0) {
                log_error_errno(r, "run %s: cannot start its clean-up, trying again", s->run);
                shim_arm(s, CLEANUP_RETRY_USEC);
        }
}

/* Whether the run's own shim tore it down: its writable layer goes last. It cannot take back that
 * it asked systemd for a scope when it has given up waiting for it. */
static bool shim_tore_down(Shim *s)
{
        CLEANUP_FREE char *data = NULL;
        const char *scratch;
        ShimStatus status;
        size_t size;
        Record record;

        if (s->silent || (s->is_child && s->exit_status != 0))
                return false;
        if (read_file_at(s->dir_fd, "record", LIMIT_RECORD_MAX, &data, &size) < 0)
                return true; /* it made nothing */
        if (record_parse(data, size, 1, &record) < 0 || shim_status_parse(&record, &status) < 0)
                return false;
        /* Killed while it was making what it would have removed, perhaps before the layer. */
        if (status.started && status.state != RUN_EXITED)
                return false;
        if (!isempty(record_get(&record, "cgroup.scope")) && isempty(record_get(&record, "cgroup")))
                return false;
        scratch = record_get(&record, "scratch");
        return isempty(scratch) || access(scratch, F_OK) < 0;
}

static void shim_set_lost(Shim *s, ResultKind kind, int code, const char *stage)
{
        s->status.state = RUN_EXITED;
        s->status.pid = 0;
        s->status.result =
                        (RunResult){ .kind = kind, .code = code, .at_usec = now_realtime_usec() };
        (void) snprintf(s->status.result.stage, sizeof(s->status.result.stage), "%s", stage);
        s->status.ended_boot_usec = now_boottime_usec();
}

/* The process is gone, or was not there: say what became of the run, and clean up behind it. */
static void shim_process_gone(Shim *s)
{
        ShimStatus status;

        shim_close_channel(s);
        s->process_source = sd_event_source_disable_unref(s->process_source);
        pidref_done(&s->process);
        shim_disarm(s);
        if (shim_read_record(s, &status) >= 0)
                s->status = status;
        if (s->status.state != RUN_EXITED || s->status.result.kind == RESULT_NONE) {
                if (s->status.started)
                        shim_set_lost(s, RESULT_SHIM_LOST, 0, "");
                else if (s->is_child && !s->told_to_go)
                        /* It went before it was let go, and nobody told it to. */
                        shim_set_lost(s, RESULT_SETUP_FAILED, s->silent ? ETIMEDOUT : EPROTO,
                                        "shim");
                else
                        s->status.state = RUN_EXITED; /* nothing ran: no result */
        }
        if (s->is_child && WIFSIGNALED(s->exit_status) && !s->silent)
                log_warning("run %s: its shim was killed by signal %d", s->run,
                                WTERMSIG(s->exit_status));
        if (shim_tore_down(s)) {
                shim_over(s);
                return;
        }
        shim_adoption_done(s);
        s->context->ops->changed(s, s->userdata);
        shim_cleanup(s);
}

/* ---- spawning ---- */

static Shim *shim_new(ShimContext *c, const char *run_path, const char *run, void *userdata)
{
        Shim *s = calloc(1, sizeof(Shim));

        if (!s)
                return NULL;
        s->on_timer = shim_on_timer;
        s->run_path = strdup(run_path);
        if (!s->run_path) {
                free(s);
                return NULL;
        }
        s->context = c;
        s->userdata = userdata;
        s->process = PIDREF_NULL;
        s->dir_fd = s->channel = s->values_fd = -EBADF;
        s->retry_usec = RECONNECT_MIN_USEC;
        s->stop_grace_usec = USEC_INFINITY;
        s->status.state = RUN_CREATING;
        (void) snprintf(s->run, sizeof(s->run), "%s", run);
        return s;
}

Shim *shim_free(Shim *s)
{
        if (!s)
                return NULL;
        shim_close_channel(s);
        sd_event_source_disable_unref(s->process_source);
        sd_event_source_disable_unref(s->timer);
        shim_helper_free(s->cleanup);
        pidref_done(&s->process);
        safe_close(s->dir_fd);
        safe_close(s->values_fd);
        locked_file_done(&s->locked_launch);
        locked_file_done(&s->locked_values);
        free(s->run_path);
        strv_free(s->hosts);
        free(s);
        return NULL;
}

DEFINE_CLEANUP(Shim *, shim_freep, shim_free);

static int make_run_directory(ShimContext *c, const char *run_path, int *ret_fd)
{
        CLEANUP_CLOSE int dir = -EBADF, lock = -EBADF;
        int r;

        r = mkdir_p_open_at(c->pods_fd, run_path, 0700, &dir);
        if (r < 0)
                return r;
        lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (lock < 0)
                return -errno;
        *ret_fd = TAKE_FD(dir);
        return 0;
}

int shim_spawn(ShimContext *c, const char *run_path, const char *run, const void *launch,
                size_t launch_size, void *userdata, Shim **ret)
{
        CLEANUP(shim_freep) Shim *s = shim_new(c, run_path, run, userdata);
        CLEANUP_CLOSE int memfd = -EBADF, theirs = -EBADF;
        int pair[2], r;

        if (!s)
                return -ENOMEM;
        r = make_run_directory(c, run_path, &s->dir_fd);
        if (r < 0)
                return r;
        FAILPOINT("reconcile.run-directory-made");
        r = memfd_sealed("tank-launch", launch, launch_size, &memfd);
        if (r < 0)
                return r;
        (void) locked_file_take(&s->locked_launch, memfd); /* as far as a limit allows */
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        s->channel = pair[0];
        theirs = pair[1];
        r = fd_set_nonblock(theirs, false);
        if (r < 0)
                return r;
        r = shim_watch_channel(s);
        if (r < 0)
                return r;
        /* step 2 */
        r = shim_exec(c, (const char *const[]){ "tank-shim", NULL },
                        (const int[]){ theirs, memfd, s->dir_fd }, 3, &s->process);
        if (r < 0)
                return r;
        FAILPOINT("reconcile.spawned");
        s->is_child = true;
        s->phase = SHIM_SPAWNED;
        r = shim_watch_process(s);
        if (r < 0) {
                (void) pidref_kill(&s->process, SIGKILL);
                (void) pidref_wait(&s->process, 0, NULL);
                return r;
        }
        shim_arm(s, HELLO_TIMEOUT_USEC);
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- adopting ---- */

/* A pid that is read from a record is that of the shim only while the lock is held: seen held after
 * the pidfd was opened, the number cannot have been given to anybody else before. */
static int shim_take_process(Shim *s)
{
        ShimStatus status;
        int r;

        if (pidref_is_set(&s->process))
                return 0;
        r = shim_read_record(s, &status);
        if (r < 0)
                return r;
        r = pidref_set_pid(&s->process, status.shim_pid);
        if (r < 0)
                return r;
        r = run_lock_test(s->dir_fd);
        if (r > 0) {
                s->status = status;
                r = shim_watch_process(s);
        } else if (r == 0)
                r = -ESRCH;
        if (r < 0)
                pidref_done(&s->process);
        return r;
}

static int shim_connect(Shim *s)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[FD_PATH_MAX];
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        r = shim_take_process(s);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/control",
                        fd_path(s->dir_fd, path));
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        s->channel = TAKE_FD(fd);
        r = shim_watch_channel(s);
        if (r >= 0)
                r = shim_send_hello(s);
        if (r < 0)
                shim_close_channel(s);
        return r;
}

/* The lock decides: free means over; held means connect, again and again until it works. */
static void shim_try_connect(Shim *s)
{
        int r;

        if (s->channel >= 0) {
                /* Connected, and no hello in all this time. */
                shim_close_channel(s);
                r = -ETIMEDOUT;
        } else {
                r = run_lock_test(s->dir_fd);
                if (r == 0 && pidref_is_set(&s->process))
                        r = -ESRCH; /* it is ending: how, its pidfd tells in a moment */
                else if (r == 0 || r == -ENOENT) {
                        shim_process_gone(s);
                        return;
                } else
                        r = shim_connect(s);
        }
        if (s->adopting && now_boottime_usec() >= s->adopt_until) {
                log_warning_errno(r < 0 ? r : -ETIMEDOUT,
                                "run %s: its shim lives and does not answer; going on without it",
                                s->run);
                shim_adoption_done(s);
        }
        /* With a connection: the time within which hello must come. */
        shim_arm(s, r >= 0 ? USEC_PER_SEC : s->retry_usec);
        s->retry_usec = MIN(s->retry_usec * 2, RECONNECT_MAX_USEC);
}

static int shim_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Shim *s = userdata;

        switch (s->phase) {
        case SHIM_SPAWNED: shim_destroy_process(s, "said no hello within 10 s"); break;
        case SHIM_ABORTED: shim_destroy_process(s, "did not give up when it was told to"); break;
        case SHIM_LIVE:
                if (s->status.state == RUN_EXITED)
                        shim_destroy_process(s, "did not end after its container");
                else if (s->stop_sent)
                        shim_destroy_process(s, "did not stop its container");
                break;
        case SHIM_DETACHED: shim_try_connect(s); break;
        case SHIM_CLEANING: shim_cleanup(s); break;
        case SHIM_OVER: break;
        }
        return 0;
}

int shim_adopt(ShimContext *c, const char *run_path, const char *run, void *userdata, Shim **ret)
{
        CLEANUP(shim_freep) Shim *s = shim_new(c, run_path, run, userdata);
        ShimStatus status;
        int r;

        if (!s)
                return -ENOMEM;
        s->dir_fd = open_beneath(c->pods_fd, run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (s->dir_fd < 0)
                return s->dir_fd;
        r = run_lock_test(s->dir_fd);
        if (r < 0 && r != -ENOENT)
                return r;
        r = shim_read_record(s, &status);
        if (r >= 0)
                s->status = status;
        else if (r == -EPROTONOSUPPORT)
                return r;
        s->phase = SHIM_DETACHED;
        s->adopting = true;
        s->adopt_until = now_boottime_usec() + ADOPT_TIMEOUT_USEC;
        shim_arm(s, 0);
        *ret = TAKE_PTR(s);
        return 0;
}

void shim_retry(Shim *s)
{
        if (s->phase == SHIM_DETACHED && s->channel < 0 && s->retry_usec >= RECONNECT_MAX_USEC)
                shim_arm(s, 0);
}
