/* SPDX-License-Identifier: Apache-2.0 */

/* tank-shim: what it was started as, and the first steps of a run (docs/protocol.md section
 * 2.2). */

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conceal.h"
#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "shim-cleanup.h"
#include "shim.h"

/* What a shim is executed with. */
#define CHANNEL_FD 3
#define LAUNCH_FD  4
#define RUN_DIR_FD 5

static int run(void)
{
        CLEANUP(shim_freep) Shim *shim = NULL;
        CLEANUP_CLOSE int lock = -EBADF;
        char message[LAUNCH_ERROR_MAX];
        Launch *launch = NULL;
        sigset_t all;
        int r;

        for (int fd = CHANNEL_FD; fd <= RUN_DIR_FD; fd++) {
                r = fd_set_cloexec(fd, true);
                if (r < 0)
                        return log_error_errno(r,
                                        "descriptor %d: a shim is started by "
                                        "tankd-reconcile, not by hand",
                                        fd);
        }
        (void) close_fds_from(RUN_DIR_FD + 1); /* what else was passed would reach the container */
        /* Secrets are in the launch record. */
        program_conceal();
        (void) process_lock_memory();
        (void) umask(0022);
        (void) setsid(); /* leads one already: as good */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);

        r = run_lock(RUN_DIR_FD, &lock); /* step 3 */
        if (r == -EAGAIN)
                return log_error_errno(-EBUSY, "another shim of this run is alive");
        if (r < 0)
                return log_error_errno(r, "cannot lock the run's directory");
        FAILPOINT("shim.locked");
        r = launch_read(LAUNCH_FD, &launch, message);
        if (r < 0)
                return log_error_errno(r, "%s", message);
        (void) safe_close(LAUNCH_FD);
        r = shim_new(launch, RUN_DIR_FD, lock, CHANNEL_FD, &shim);
        if (r < 0)
                return log_error_errno(r, "cannot set the run up");
        return shim_run(shim);
}

static int usage(FILE *f, int code)
{
        fputs("usage: tank-shim                        run one container (by tankd-reconcile)\n"
              "       tank-shim --cleanup RUNDIR       finish a run whose shim is gone\n"
              "       tank-shim --cleanup-pod PODDIR   unmount a pod's pinned namespaces\n"
              "       tank-shim --introspect | --version | --help\n",
                        f);
        return code;
}

int main(int argc, char *argv[])
{
        int r;

        log_setup("tank-shim");
        if (argc == 1)
                r = run();
        else if (argc == 3 && streq(argv[1], "--cleanup"))
                r = cleanup_run(argv[2]);
        else if (argc == 3 && streq(argv[1], "--cleanup-pod"))
                r = cleanup_pod(argv[2]);
        else if (argc == 2 && streq(argv[1], "--introspect"))
                r = shim_dbus_introspect();
        else if (argc == 2 && streq(argv[1], "--version"))
                r = printf("tank-shim %s\n", PACKAGE_VERSION);
        else if (argc == 2 && streq(argv[1], "--help"))
                return usage(stdout, EXIT_SUCCESS);
        else
                return usage(stderr, 2);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
