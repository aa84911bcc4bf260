/* SPDX-License-Identifier: Apache-2.0 */

/* The short verbs: one call each. */

#include <signal.h>
#include <stdio.h>

#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "error.h"
#include "quantity.h"

/* "pod/default/web" or "pod/default/web/app" */
static void print_target(const Target *t, const char *word)
{
        printf("pod/%s/%s%s%s %s\n", t->namespace, t->pod, *t->container ? "/" : "", t->container,
                        word);
}

static int target_failure(const Target *t, const sd_bus_error *e, int r)
{
        CLEANUP_FREE char *what = NULL;

        if (asprintf(&what, "pod/%s/%s%s%s", t->namespace, t->pod, *t->container ? "/" : "",
                            t->container) < 0)
                what = NULL;
        return ctl_bus_failure(what, e, r);
}

int verb_restart(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(target_done) Target t = {};
        int r;

        r = target_parse(a, a->words[0], &t);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = reconcile_call(bus, "Restart", &e, "sss", t.namespace, t.pod, t.container);
        if (r < 0)
                return target_failure(&t, &e, r);
        print_target(&t, "restarting");
        return 0;
}

int verb_kill(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(target_done) Target t = {};
        int r, signo = SIGTERM;

        if (a->signal)
                signo = parse_signal(a->signal);
        if (signo < 0)
                return ctl_usage_error("\"%s\" is no signal: a name like SIGHUP, or 1-64",
                                WORD(a->signal));
        r = target_parse(a, a->words[0], &t);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = reconcile_call(bus, "Kill", &e, "sssi", t.namespace, t.pod, t.container, signo);
        return r < 0 ? target_failure(&t, &e, r) : 0;
}
