/* SPDX-License-Identifier: Apache-2.0 */

/* Metrics of the store: as OpenMetrics text on standard output, or in a file for the textfile
 * collector of node_exporter. That one reads the older format of Prometheus: counters have the
 * suffix _total in their metadata, too, there are no units, and no end. */

#include <fcntl.h>
#include <stdio.h>

#include "ctl-bus.h"
#include "ctl-store.h"
#include "error.h"
#include "fd.h"
#include "log.h"

/* "# TYPE x counter" and "# HELP x …": the same of x_total. Other lines as they are. */
static void print_line(FILE *f, const char *line, bool *is_counter)
{
        char what[5], name[256];
        int n = 0;

        if (startswith(line, "# UNIT ") || startswith(line, "# EOF"))
                return;
        if (sscanf(line, "# %4s %255s %n", what, name, &n) == 2 && n > 0) {
                if (streq(what, "TYPE"))
                        *is_counter = streq(line + n, "counter");
                (void) fprintf(f, "# %s %s%s %s\n", what, name, *is_counter ? "_total" : "",
                                line + n);
                return;
        }
        (void) fprintf(f, "%s\n", line);
}

int metrics_to_prometheus(const char *openmetrics, char **ret)
{
        CLEANUP_FREE char *copy = strdup(openmetrics), *text = NULL;
        bool is_counter = false;
        size_t size;
        FILE *f;

        if (!copy)
                return -ENOMEM;
        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
                if (*line)
                        print_line(f, line, &is_counter);
        if (ferror(f) + fclose(f) != 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}

static int write_metrics(const char *path, const char *openmetrics)
{
        CLEANUP_FREE char *text = NULL;
        int r;

        if (metrics_to_prometheus(openmetrics, &text) < 0)
                return ctl_oom();
        /* Not synced: it is out of date before a machine could come back. */
        r = write_file_atomic_at(AT_FDCWD, path, text, strlen(text), 0644, false);
        if (r >= 0)
                return 0;
        ctl_error("cannot write %s: %s", path, errno_words(r));
        return EXIT_CODE_FAILED;
}

int store_metrics(const Arguments *a)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *text;
        int r;

        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = ctl_bus_new_call(bus, &ctl_store_admin, "GetMetrics", &m);
        if (r >= 0)
                r = ctl_bus_call(bus, m, &ctl_store_admin, &reply, &e);
        if (r >= 0) {
                r = sd_bus_message_read(reply, "s", &text);
                if (r < 0)
                        r = ctl_bus_bad_answer(r, &ctl_store_admin, &e);
        }
        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        if (a->output_file)
                return write_metrics(a->output_file, text);
        if (fputs(text, stdout) < 0 || fflush(stdout) < 0) {
                ctl_error("cannot write to standard output: %s", errno_words(-errno));
                return EXIT_CODE_FAILED;
        }
        return 0;
}
