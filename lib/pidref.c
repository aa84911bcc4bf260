/* SPDX-License-Identifier: Apache-2.0 */

/* Processes by pidfd. */

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "pidref.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int pidref_set_pid(PidRef *ref, pid_t pid)
{
        long fd = syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by definition */

        if (fd < 0)
                return -errno;
        *ref = (PidRef){ .pid = pid, .fd = (int) fd };
        return 0;
}

void pidref_set_take(PidRef *ref, pid_t pid, int pidfd)
{
        *ref = (PidRef){ .pid = pid, .fd = pidfd };
}

void pidref_done(PidRef *ref)
{
        (void) safe_close(ref->fd);
        *ref = PIDREF_NULL;
}

int pidref_kill(const PidRef *ref, int signo)
{
        if (ref->fd < 0)
                return -ESRCH;
        return syscall(SYS_pidfd_send_signal, ref->fd, signo, NULL, 0) < 0 ? -errno : 0;
}

int pidref_wait(PidRef *ref, int options, int *ret_status)
{
        siginfo_t si = { 0 };
        int r;

        do
                r = waitid((idtype_t) P_PIDFD, (id_t) ref->fd, &si, WEXITED | options);
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return -errno;
        if (si.si_pid == 0)
                return 0;
        /* Back to the form of wait(2): W_EXITCODE() of the C library. */
        if (si.si_code == CLD_EXITED)
                *ret_status = (si.si_status & 0xff) << 8;
        else
                *ret_status = (si.si_status & 0x7f) | (si.si_code == CLD_DUMPED ? 0x80 : 0);
        return 1;
}
