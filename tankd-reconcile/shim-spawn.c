/* SPDX-License-Identifier: Apache-2.0 */

/* Executing tank-shim. */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-private.h"
#include "shim-spawn.h"
#include "strv.h"

#define FIRST_PASSED_FD 3
#define PROGRAM_FD_MIN  16 /* beyond all that is passed */

struct ShimHelper {
        PidRef process;
        sd_event_source *source;
        ShimHelperDone done;
        void *userdata;
};

/* What a service manager tells its main process is not for the children, who would speak for us. */
static int environment_for_children(char ***ret)
{
        static const char *const ours[] = {
                "NOTIFY_SOCKET=",
                "WATCHDOG_PID=",
                "WATCHDOG_USEC=",
                "LISTEN_PID=",
                "LISTEN_FDS=",
                "LISTEN_FDNAMES=",
                "MAINPID=",
                "INVOCATION_ID=",
                "JOURNAL_STREAM=",
        };
        CLEANUP_STRV char **env = NULL;

        STRV_FOREACH(i, environ)
        {
                bool skip = false;
                int r;

                for (size_t o = 0; o < ARRAY_SIZE(ours); o++)
                        skip = skip || startswith(*i, ours[o]);
                if (skip)
                        continue;
                r = strv_append(&env, *i);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(env);
        return 0;
}

int shim_context_new(sd_event *event, int pods_fd, const char *pods_path, const char *libexec_dir,
                const ShimOps *ops, ShimContext **ret)
{
        CLEANUP(shim_context_freep) ShimContext *c = calloc(1, sizeof(ShimContext));
        int r;

        if (!c)
                return -ENOMEM;
        c->event = sd_event_ref(event);
        c->pods_fd = pods_fd;
        c->pods_path = pods_path;
        c->ops = ops;
        c->libexec_dir = libexec_dir;
        c->program_dir = -EBADF;
        c->buffer = malloc(LIMIT_CHANNEL_MESSAGE);
        if (!c->buffer)
                return -ENOMEM;
        r = environment_for_children(&c->environment);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

ShimContext *shim_context_free(ShimContext *c)
{
        if (!c)
                return NULL;
        sd_event_unref(c->event);
        safe_close(c->program_dir);
        free(c->program);
        strv_free(c->environment);
        free(c->buffer);
        free(c);
        return NULL;
}

/* In a container /proc/self/exe leads to the shim until the workload is executed, and a workload
 * may name that as its command: whoever is root on the host, too, could then change the program
 * that the next container is started with (CVE-2019-5736). So it is executed from a copy of its
 * mount that is read-only for everybody; of the directory's, so that an upgrade is found there. */
static int find_program(ShimContext *c)
{
        struct mount_attr attr = {
                .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                .propagation = MS_PRIVATE,
        };
        CLEANUP_CLOSE int tree = -EBADF, dir = -EBADF;
        CLEANUP_FREE char *link = NULL, *path = NULL;
        char *base;

        if (c->program)
                return 0;
        if (asprintf(&link, "%s/tank-shim", c->libexec_dir) < 0) {
                link = NULL;
                return -ENOMEM;
        }
        path = realpath(link, NULL);
        if (!path)
                return -errno;
        base = strrchr(path, '/');
        *base++ = 0;
        tree = open_tree(AT_FDCWD, *path ? path : "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
                return -errno;
        dir = fcntl(tree, F_DUPFD_CLOEXEC, PROGRAM_FD_MIN);
        if (dir < 0)
                return -errno;
        if (asprintf(&c->program, "/proc/self/fd/%d/%s", dir, base) < 0) {
                c->program = NULL;
                return -ENOMEM;
        }
        c->program_dir = TAKE_FD(dir);
        return 0;
}

/* Every source must lie above every target, or the second dup2() could hit the first's result. */
static int lift(int fd, size_t n_fds)
{
        int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_PASSED_FD + (int) n_fds);

        return lifted < 0 ? -errno : lifted;
}

static int add_files(posix_spawn_file_actions_t *files, const int *fds, size_t n_fds)
{
        int r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

        if (r == 0)
                r = posix_spawn_file_actions_addopen(
                                files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        for (size_t i = 0; r == 0 && i < n_fds; i++)
                r = posix_spawn_file_actions_adddup2(files, fds[i], FIRST_PASSED_FD + (int) i);
        return -r;
}

/* No signal stays blocked or ignored, and the shim is no member of our process group. */
static int set_attributes(posix_spawnattr_t *attributes)
{
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(
                                attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        return -r;
}

static int spawn(ShimContext *c, const char *const *argv, const int *fds, size_t n_fds, pid_t *ret)
{
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        int r;

        r = -posix_spawn_file_actions_init(&files);
        if (r < 0)
                return r;
        r = -posix_spawnattr_init(&attributes);
        if (r < 0) {
                (void) posix_spawn_file_actions_destroy(&files);
                return r;
        }
        r = find_program(c);
        if (r >= 0)
                r = add_files(&files, fds, n_fds);
        if (r >= 0)
                r = set_attributes(&attributes);
        if (r >= 0)
                r = -posix_spawn(ret, c->program, &files, &attributes, (char *const *) argv,
                                c->environment);
        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&files);
        return r;
}

int shim_exec(ShimContext *c, const char *const *argv, const int *fds, size_t n_fds, PidRef *ret)
{
        int lifted[FIRST_PASSED_FD] = {}, r = 0;
        size_t n = 0;
        pid_t pid;

        assert(n_fds <= ARRAY_SIZE(lifted));
        for (; n < n_fds && r >= 0; n++) {
                lifted[n] = lift(fds[n], n_fds);
                r = lifted[n];
        }
        if (r >= 0)
                r = spawn(c, argv, lifted, n_fds, &pid);
        for (size_t i = 0; i < n; i++)
                safe_close(lifted[i] < 0 ? -EBADF : lifted[i]);
        if (r < 0)
                return r;
        r = pidref_set_pid(ret, pid); /* our child and not reaped: the number is still its own */
        if (r < 0) {
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
        }
        return r;
}

/* ---- helpers ---- */

static int on_helper(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        ShimHelper *h = userdata;
        int status = -1;

        if (pidref_wait(&h->process, WNOHANG, &status) == 0)
                return 0;
        (void) sd_event_source_set_enabled(h->source, SD_EVENT_OFF);
        h->done(status, h->userdata); /* frees @h */
        return 0;
}

int shim_helper_spawn(ShimContext *c, const char *mode, const char *path, ShimHelperDone done,
                void *userdata, ShimHelper **ret)
{
        ShimHelper *h = calloc(1, sizeof(ShimHelper));
        int r;

        if (!h)
                return -ENOMEM;
        h->process = PIDREF_NULL;
        h->done = done;
        h->userdata = userdata;
        r = shim_exec(c, (const char *const[]){ "tank-shim", mode, path, NULL }, NULL, 0,
                        &h->process);
        if (r >= 0)
                r = sd_event_add_io(c->event, &h->source, h->process.fd, EPOLLIN, on_helper, h);
        if (r < 0) {
                shim_helper_free(h);
                return r;
        }
        *ret = h;
        return 0;
}

ShimHelper *shim_helper_free(ShimHelper *h)
{
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->source);
        pidref_done(&h->process);
        free(h);
        return NULL;
}
