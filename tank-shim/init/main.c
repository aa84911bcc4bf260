/* SPDX-License-Identifier: Apache-2.0 */

/* tank-init: PID 1 of a container.
 *
 *     tank-init WORKLOAD STATUS-FD
 *
 * The shim's child that became PID 1 has forked the workload already and executed this program with
 * every signal blocked, so that none is lost in between. From here on it
 *
 *   - reaps whatever ends in the container,
 *   - passes signals that it gets on to the workload,
 *   - writes the workload's wait status (one int) to STATUS-FD when that ends, and exits in the
 *     same way as far as a process can; the kernel then kills what is left in the PID namespace.
 *
 * It allocates nothing, opens nothing, and reads nothing but siginfo. */

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "start.h"

#define KERNEL_SIGSET_SIZE 8

static _Noreturn void init_exit(int code)
{
        for (;;)
                (void) syscall4(SYS_exit_group, code, 0, 0, 0);
}

/* Decimal digits only; -1 for anything else. */
static int parse_number(const char *s)
{
        int n = 0;

        if (!s || !*s)
                return -1;
        for (; *s; s++) {
                if (*s < '0' || *s > '9' || n > 100000000)
                        return -1;
                n = n * 10 + (*s - '0');
        }
        return n;
}

/* Faults are this process's own, never the workload's; SIGCHLD is our wake-up. */
static int may_forward(long signo)
{
        switch (signo) {
        case SIGCHLD:
        case SIGSEGV:
        case SIGBUS:
        case SIGFPE:
        case SIGILL:
        case SIGTRAP:
        case SIGSYS:
        case SIGABRT: return 0;
        }
        return 1;
}

static void reap(pid_t workload, int status_fd)
{
        for (;;) {
                int status = 0;
                long pid = syscall4(SYS_wait4, -1, (long) &status, WNOHANG, 0);

                if (pid == -EINTR)
                        continue;
                if (pid <= 0)
                        return;
                if (pid != workload)
                        continue;
                while (syscall4(SYS_write, status_fd, (long) &status, sizeof(status), 0) == -EINTR)
                        ;
                init_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
}

_Noreturn void init_main(const long *stack)
{
        const char *const *argv = (const char *const *) (stack + 1);
        unsigned long all = ~0UL;
        pid_t workload;
        int status_fd;

        if (stack[0] != 3 || syscall4(SYS_getpid, 0, 0, 0, 0) != 1)
                init_exit(2); /* only a shim starts this */
        workload = parse_number(argv[1]);
        status_fd = parse_number(argv[2]);
        if (workload <= 1 || status_fd < 0)
                init_exit(2);

        /* Executed through a descriptor: the name would be its number. */
        (void) syscall4(SYS_prctl, PR_SET_NAME, (long) "tank-init", 0, 0);

        for (;;) {
                siginfo_t info;
                long signo;

                reap(workload, status_fd);
                signo = syscall4(SYS_rt_sigtimedwait, (long) &all, (long) &info, 0,
                                KERNEL_SIGSET_SIZE);
                if (signo > 0 && may_forward(signo))
                        (void) syscall4(SYS_kill, workload, signo, 0, 0);
        }
}
