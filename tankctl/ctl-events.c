/* SPDX-License-Identifier: Apache-2.0 */

/* events: the reconciler's log of events, and what is added to it.
 *
 * PodEvent only wakes; what is shown always comes from the log, from behind the last number that
 * was shown. So nothing is missing and nothing comes twice, whoever dies in between. */

#include <stdio.h>

#include "clock.h"
#include "ctl.h"
#include "ctl-follow.h"
#include "ctl-json.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "state.h"

typedef struct Events {
        Follow follow;
        const char *namespace, *pod; /* "" for all */
        OutputFormat output;
        Table *table;
        uint64_t since;
        uint64_t after; /* behind which event to read; meaningless unless @started */
        bool started;
        uint64_t shown; /* the highest number that was shown */
} Events;

static void events_done(Events *e)
{
        follow_done(&e->follow);
        table_free(e->table);
}

/* ---- showing ------------------------------------------------------------------------------- */

enum { COLUMN_TIME, COLUMN_POD = 1, COLUMN_EVENT };

static int events_make_table(Events *e)
{
        static const char *const titles[] = { "TIME", "POD", "EVENT", "DETAIL", NULL };
        static const char *const wide[] = { "TIME", "POD", "EVENT", "GENERATION", "UID", "SEQUENCE",
                "DETAIL", NULL };
        int r = table_new(e->output == OUTPUT_WIDE ? wide : titles, &e->table);

        if (r < 0)
                return ctl_oom();
        table_reserve(e->table, COLUMN_TIME, RFC3339_SIZE - 1);
        table_reserve(e->table, COLUMN_POD, 16);
        table_reserve(e->table, COLUMN_EVENT, strlen(pod_event_to_string(EVENT_BACKING_OFF)));
        return 0;
}

static Color color_of_event(const char *event)
{
        PodEvent e = pod_event_from_string(event);

        if (e < 0)
                return COLOR_NONE;
        switch (e) {
        case EVENT_RUNNING:
        case EVENT_READY: return COLOR_GOOD;
        case EVENT_STARTING: return COLOR_PENDING;
        case EVENT_BACKING_OFF:
        case EVENT_FAILED:
        case EVENT_REFUSED:
        case EVENT_LOST: return COLOR_BAD;
        case EVENT_APPLIED:
        case EVENT_EXITED:
        case EVENT_DELETED:
        case _POD_EVENT_MAX:
        case _POD_EVENT_INVALID: break;
        }
        return COLOR_NONE;
}

typedef struct Event {
        const char *namespace, *pod, *uid, *container, *event, *detail;
        uint64_t generation, at, sequence;
} Event;

static int show_row(Events *e, const Event *v)
{
        char at[RFC3339_SIZE];
        bool all = !*e->namespace;

        table_add(e->table, format_rfc3339(v->at, at), COLOR_NONE);
        if (!*v->pod) /* events are missing here, of whatever pods */
                table_add(e->table, "-", COLOR_NONE);
        else
                table_addf(e->table, "%s%s%s%s%s", all ? v->namespace : "", all ? "/" : "", v->pod,
                                *v->container ? "/" : "", v->container);
        table_add(e->table, v->event, color_of_event(v->event));
        if (e->output == OUTPUT_WIDE) {
                table_addf(e->table, "%" PRIu64, v->generation);
                table_add(e->table, v->uid, COLOR_NONE);
                table_addf(e->table, "%" PRIu64, v->sequence);
        }
        table_add(e->table, v->detail, COLOR_NONE);
        return 0;
}

static int show_json(const Event *v)
{
        char at[RFC3339_SIZE];
        CLEANUP_JSON json_t *o = json_pack("{sI ss ss ss ss ss ss sI ss}", "sequence",
                        (json_int_t) v->sequence, "at", format_rfc3339(v->at, at), "namespace",
                        v->namespace, "pod", v->pod, "uid", v->uid, "container", v->container,
                        "event", v->event, "generation", (json_int_t) v->generation, "detail",
                        v->detail);

        return o ? json_print_line(stdout, o) : -ENOMEM;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int events_ask(sd_bus_message *m, const char *token, void *userdata)
{
        const Events *e = userdata;
        int r;

        r = sd_bus_message_append(m, "s", e->namespace);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && *e->pod)
                r = sd_bus_message_append(m, "{sv}", "pod", "s", e->pod);
        if (r >= 0 && e->since > 0)
                r = sd_bus_message_append(m, "{sv}", "since", "t", e->since);
        if (r >= 0 && *token)
                r = sd_bus_message_append(m, "{sv}", "continue", "s", token);
        else if (r >= 0 && e->started)
                r = sd_bus_message_append(m, "{sv}", "after", "t", e->after);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int events_read_page(
                sd_bus_message *reply, void *userdata, const char **ret_next, sd_bus_error *reterr)
{
        uint64_t newest;
        Events *e = userdata;
        Event v;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssststt)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(ssssststt)", &v.namespace, &v.pod,
                                          &v.uid, &v.container, &v.event, &v.generation, &v.detail,
                                          &v.at, &v.sequence)) > 0) {
                if (v.sequence <= e->shown)
                        continue; /* a page that had to be asked for again */
                r = e->table ? show_row(e, &v) : show_json(&v);
                e->shown = v.sequence;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "st", ret_next, &newest);
        if (r >= 0 && isempty(*ret_next)) {
                e->after = newest;
                e->started = true;
        }
        return r;
}

/* What is new, to standard output. */
static int events_read(Events *e, sd_bus_error *reterr)
{
        static const CtlPages pages = { &ctl_reconcile, "ListEvents", events_ask,
                events_read_page };
        uint64_t before = e->shown;
        int r = ctl_bus_read_pages(e->follow.bus, &pages, e, reterr);

        if (e->table && (r >= 0 || e->shown > before) && table_print(e->table, stdout) < 0)
                return -ENOMEM;
        if (fflush(stdout) != 0)
                return -errno;
        return r;
}

/* The log no longer has what follows the last event that was shown, or it is another log. What it
 * does have is shown. */
static bool events_begin_again(Events *e, const sd_bus_error *error)
{
        bool anew = sd_bus_error_has_name(error, TANK_ERROR_FAILED_PRECONDITION);

        if (!e->started || (!anew && !sd_bus_error_has_name(error, TANK_ERROR_COMPACTED)))
                return false;
        ctl_error("events are missing here: %s", error->message);
        if (anew)
                e->shown = 0;
        e->started = false;
        return true;
}

static int events_follow(Events *e)
{
        bool reached = true;
        int r;

        while ((r = follow_sleep(&e->follow, reached)) > 0) {
                CLEANUP_BUS_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;

                r = e->follow.bus ? events_read(e, &error) : -ENOTCONN;
                if (r >= 0) {
                        follow_reached(&e->follow);
                        reached = true;
                        continue;
                }
                if (r == -EPIPE && !sd_bus_error_is_set(&error))
                        return 0;
                reached = false;
                if (!events_begin_again(e, &error) && !follow_failed(&e->follow, r, &error))
                        return ctl_bus_failure("events", &error, r);
        }
        return r < 0 ? ctl_bus_failure("events", NULL, r) : 0;
}

int verb_events(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(events_done)
        Events e = { .namespace = a->all_namespaces ? "" : arguments_namespace(a),
                .pod = a->words ? a->words[0] : "",
                .output = a->output };
        int r;

        if (*e.pod && !name_is_valid(e.pod))
                return ctl_usage_error("\"%s\" is no name of a pod", WORD(e.pod));
        r = arguments_since(a, &e.since);
        if (r == 0 && e.output != OUTPUT_JSON)
                r = events_make_table(&e);
        if (r == 0)
                r = follow_start(&e.follow);
        if (r != 0)
                return r;
        r = follow_peer(&e.follow, &ctl_reconcile, "member='PodEvent'");
        if (r >= 0 && (a->since || a->no_follow))
                r = events_read(&e, &error);
        else if (r >= 0) {
                r = ctl_bus_property(e.follow.bus, &ctl_reconcile, "EventSequence", 't', &e.after,
                                &error);
                e.started = true;
        }
        if (r < 0)
                return ctl_bus_failure("events", &error, r);
        e.since = 0; /* what comes now is later, whatever the clock says */
        return a->no_follow ? 0 : events_follow(&e);
}
