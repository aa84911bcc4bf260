/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is taken from a process before it becomes the container's: the one path for the main process
 * and for exec'd ones, so that neither can be confined less than the other. Runs in a forked child
 * of the (single-threaded) shim whose root, namespaces and stdio (0, 1, 2) are in place already.
 *
 * Failures travel as a SetupReport on a close-on-exec descriptor (pipe or socket); end of file on
 * it without a report means that execve() happened. */

#include <sys/types.h>

#include "macro.h"

typedef struct SetupReport {
        int32_t error;     /* positive errno */
        char stage[32];    /* "rootfs", "user", "cwd", "seccomp", "exec", … */
        char message[220]; /* one sentence without the errno, may be empty */
} SetupReport;

/* Fills @report and returns @r (negative). */
int setup_report_set(SetupReport *report, int r, const char *stage, const char *format, ...)
                PRINTF_LIKE(4, 5);
/* One write; then the child exits. */
_Noreturn void setup_report_send_and_exit(int fd, const SetupReport *report);
/* 1: a report was read; 0: end of file; -EAGAIN; -EBADMSG. For pipes and SEQPACKET sockets. */
int setup_report_receive(int fd, SetupReport *ret);

/* The container's own; prepared by the shim before the first child, the same for all of them. */
typedef struct ConfinePolicy {
        uint64_t capabilities; /* bounding set; permitted and effective of uid 0; never inheritable
                                  or ambient */
        bool no_new_privileges;
        int seccomp_fd; /* compiled filter, -EBADF: unconfined. The shim's; close-on-exec */
} ConfinePolicy;

/* What to execute, as whom and where. Borrowed. */
typedef struct ConfineProgram {
        char *const *argv;
        char *const *env; /* complete but for PATH, HOME (always set), TERM (with @tty) */
        const char *cwd;
        const char *user;    /* "name" or "uid[:gid]"; NULL: "0" */
        char *const *groups; /* supplementary: names or numbers */
        bool tty;
} ConfineProgram;

/* Looked up in the container's own /etc/passwd and /etc/group, opened beneath the root. */
typedef struct Identity {
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        char *home;
} Identity;

int identity_resolve(const char *user, char *const *groups, Identity *ret, SetupReport *reterr);
void identity_done(Identity *id);

/* Session keyring, no_new_privs, ids, capability sets. */
int confine_apply(const ConfinePolicy *policy, const Identity *id, SetupReport *reterr);
int confine_load_filter(int fd); /* nothing with -EBADF */
/* Dispositions and mask as a fresh process has them. */
void confine_reset_signals(void);
/* After those two: closes every descriptor above 2 but the report's, changes directory, loads the
 * filter, finds argv[0] in PATH, executes. Comes back only to report. */
_Noreturn void confine_execute(const ConfinePolicy *policy, const ConfineProgram *program,
                const Identity *id, int report_fd);
/* All of it, from the user's name on. */
_Noreturn void confine_exec(
                const ConfinePolicy *policy, const ConfineProgram *program, int report_fd);

/* The shim itself gives up what it does not need with these two. */
int capabilities_bound(uint64_t set);
int capabilities_set(uint64_t permitted);
int capabilities_keep(uint64_t set); /* of those that it has */

/* "CAP_CHOWN" or "ALL" added to and taken from the default set. -EINVAL for an unknown name. */
int capabilities_from_launch(char *const *add, char *const *drop, uint64_t *ret);
