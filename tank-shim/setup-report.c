/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "setup-report.h"

static void report_fill(
                SetupReport *report, int r, const char *stage, const char *format, va_list ap)
{
        report->error = -r;
        (void) snprintf(report->stage, sizeof(report->stage), "%s", stage);
        (void) vsnprintf(report->message, sizeof(report->message), format, ap);
}

int setup_report_set(SetupReport *report, int r, const char *stage, const char *format, ...)
{
        va_list ap;
        size_t n;

        va_start(ap, format);
        report_fill(report, r, stage, format, ap);
        va_end(ap);
        n = strlen(report->message);
        if (n > 0)
                (void) snprintf(report->message + n, sizeof(report->message) - n, ": %s",
                                errno_words(r));
        return r;
}

int setup_report_tell(SetupReport *report, int r, const char *stage, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        report_fill(report, r, stage, format, ap);
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
