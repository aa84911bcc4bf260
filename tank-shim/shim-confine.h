/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is taken from a process before it becomes the container's: the one path for the main process
 * and for exec'd ones, so that neither can be confined less than the other. Runs in a forked child
 * of the (single-threaded) shim whose root, namespaces and stdio (0, 1, 2) are in place already. */

#include <sys/types.h>

#include "macro.h"
#include "setup-report.h"
#include "shim-user.h"

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
