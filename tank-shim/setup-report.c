/* SPDX-License-Identifier: Apache-2.0 */

#include "setup-report.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int setup_report_set(SetupReport *report, int r, const char *stage, const char *format, ...)
{
        va_list ap;

        report->error = -r;
        (void) snprintf(report->stage, sizeof(report->stage), "%s", stage);
        va_start(ap, format);
        (void) vsnprintf(report->message, sizeof(report->message), format, ap);
        va_end(ap);
        return r;
}

void setup_report_send_and_exit(int fd, const SetupReport *report)
{
        ssize_t n;

        do
                n = write(fd, report, sizeof(*report));
        while (n < 0 && errno == EINTR);
        _exit(EXIT_FAILURE); /* a report that nobody reads is seen as the exit it is */
}
