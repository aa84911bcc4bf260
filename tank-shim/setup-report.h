/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a child that sets a process up tells what went wrong: a SetupReport on a close-on-exec
 * descriptor (pipe or socket); end of file on it without a report means that execve() happened. */

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
