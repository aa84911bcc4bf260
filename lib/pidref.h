/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A process is a pid together with its pidfd, so that a recycled number is never signalled. */

#include <sys/types.h>

#include "macro.h"

typedef struct PidRef {
        pid_t pid; /* 0: none */
        int fd;    /* pidfd, -EBADF: none */
} PidRef;

#define PIDREF_NULL ((PidRef){ .pid = 0, .fd = -EBADF })

int pidref_set_pid(PidRef *ref, pid_t pid);              /* opens the pidfd; -ESRCH */
void pidref_set_take(PidRef *ref, pid_t pid, int pidfd); /* takes ownership of @pidfd */
void pidref_done(PidRef *ref);
static inline bool pidref_is_set(const PidRef *ref)
{
        return ref->pid > 0;
}
int pidref_kill(const PidRef *ref, int signo); /* -ESRCH when it is gone */
/* waitid(P_PIDFD) as a wait status; 1: reaped, 0: still there (WNOHANG). */
int pidref_wait(PidRef *ref, int options, int *ret_status);
