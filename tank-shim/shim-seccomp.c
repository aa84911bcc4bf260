/* SPDX-License-Identifier: Apache-2.0 */

/* Compiled filters from the cache; see shim-seccomp.h. The shim never links libseccomp. */

#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "shim-seccomp.h"
#include "tank-shim/seccomp-id.h"

/* What is loaded here decides what a container may do: nobody but root may have written it. */
static int open_cached(const char *dir, int *ret_fd)
{
        CLEANUP_CLOSE int dir_fd = -EBADF, fd = -EBADF;
        struct stat st;

        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        fd = openat(dir_fd, SECCOMP_PROFILE_ID, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0022))
                return -EPERM;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int compile(const Launch *launch)
{
        CLEANUP_FREE char *path = NULL;
        char *argv[] = { (char *) "tank-seccomp", launch->seccomp_cache, NULL }, *env[] = { NULL };
        posix_spawnattr_t attr;
        sigset_t none;
        int status, r;
        pid_t pid;

        if (asprintf(&path, "%s/tank-seccomp", launch->libexec_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        (void) sigemptyset(&none);
        r = -posix_spawnattr_init(&attr);
        if (r < 0)
                return r;
        (void) posix_spawnattr_setsigmask(&attr, &none);
        (void) posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        r = -posix_spawn(&pid, path, NULL, &attr, argv, env);
        (void) posix_spawnattr_destroy(&attr);
        if (r < 0)
                return r;
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return -errno;
        }
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int seccomp_open(const Launch *launch, int *ret_workload, int *ret_init, SetupReport *reterr)
{
        CLEANUP_CLOSE int init = -EBADF, workload = -EBADF;
        int r;

        if (!launch->seccomp_unconfined) {
                r = open_cached(launch->seccomp_cache, &init);
                if (r == -ENOENT) {
                        r = compile(launch);
                        if (r < 0)
                                return setup_report_set(reterr, r, "seccomp",
                                                "running %.100s/tank-seccomp", launch->libexec_dir);
                        r = open_cached(launch->seccomp_cache, &init);
                        if (r == -ENOENT)
                                return setup_report_tell(reterr, r, "seccomp",
                                                "%.100s/tank-seccomp and this shim are of "
                                                "different versions",
                                                launch->libexec_dir);
                }
                if (r < 0)
                        return setup_report_set(reterr, r, "seccomp", "cache in %.150s",
                                        launch->seccomp_cache);
                workload = launch->seccomp_file ? open(launch->seccomp_file,
                                                                  O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                                                : fcntl(init, F_DUPFD_CLOEXEC, 3);
                if (workload < 0)
                        return setup_report_set(reterr, -errno, "seccomp", "filter %.150s",
                                        strempty(launch->seccomp_file));
        }
        *ret_workload = TAKE_FD(workload);
        *ret_init = TAKE_FD(init);
        return 0;
}
