/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How a child that sets a process up tells what went wrong: a SetupReport on a close-on-exec
 * descriptor (pipe or socket); end of file on it without a report means that execve() happened. */

#include "macro.h"

typedef struct SetupReport {
        int32_t error;     /* positive errno */
        char stage[32];    /* "rootfs", "user", "cwd", "seccomp", "exec", … */
        char message[256]; /* a whole sentence, the errno in words where it says something; may be
                              empty */
} SetupReport;

/* Both fill @report and return @r (negative). Of what could not be done: @format with the errno in
 * words behind it. */
int setup_report_set(SetupReport *report, int r, const char *stage, const char *format, ...)
                PRINTF_LIKE(4, 5);
/* Of what cannot be: @format says it all, and the errno would say nothing more. */
int setup_report_tell(SetupReport *report, int r, const char *stage, const char *format, ...)
                PRINTF_LIKE(4, 5);
/* One write; then the child exits. */
_Noreturn void setup_report_send_and_exit(int fd, const SetupReport *report);
