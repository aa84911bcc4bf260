/* SPDX-License-Identifier: Apache-2.0 */

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "private-bus.h"

int private_bus_init(PrivateBus *b)
{
        char template[] = "/tmp/tank-test-bus.XXXXXX";

        *b = (PrivateBus){ 0 };
        if (!mkdtemp(template) || chmod(template, 0755) < 0)
                return -errno;
        b->dir = strdup(template);
        if (!b->dir || asprintf(&b->address, "unix:path=%s/bus", b->dir) < 0)
                return -ENOMEM;
        if (setenv("DBUS_SYSTEM_BUS_ADDRESS", b->address, 1) < 0)
                return -errno;
        return private_bus_start(b);
}

static _Noreturn void bus_child(const PrivateBus *b, int report_fd)
{
        const char *build = getenv("TANK_BUILD_DIR");
        CLEANUP_FREE char *config = NULL, *address = NULL, *report = NULL;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (asprintf(&config, "--config-file=%s/dbus/sandbox-bus.conf", build ? build : ".") >= 0 &&
                        asprintf(&address, "--address=%s", b->address) >= 0 &&
                        asprintf(&report, "--print-address=%d", report_fd) >= 0)
                (void) execlp("dbus-daemon", "dbus-daemon", config, address, report, "--nofork",
                                "--nopidfile", NULL);
        _exit(127);
}

int private_bus_start(PrivateBus *b)
{
        CLEANUP_CLOSE int read_fd = -EBADF, write_fd = -EBADF;
        int fds[2];
        char c;

        if (pipe(fds) < 0) /* the child inherits the end that it writes to */
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        b->pid = fork();
        if (b->pid < 0)
                return -errno;
        if (b->pid == 0)
                bus_child(b, write_fd);
        write_fd = safe_close(write_fd);
        return read(read_fd, &c, 1) == 1 ? 0 : -EIO; /* it tells its address when it listens */
}

void private_bus_kill(PrivateBus *b)
{
        if (b->pid <= 0)
                return;
        (void) kill(b->pid, SIGKILL);
        (void) waitpid(b->pid, NULL, 0);
        b->pid = 0;
}

void private_bus_done(PrivateBus *b)
{
        private_bus_kill(b);
        if (b->dir)
                (void) remove_tree_at(AT_FDCWD, b->dir);
        free(b->dir);
        free(b->address);
        *b = (PrivateBus){ 0 };
}
