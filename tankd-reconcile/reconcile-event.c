/* SPDX-License-Identifier: Apache-2.0 */

/* An event is told once, over all lives of this program.
 *
 * What follows from a fact is told when the fact is seen, and a fact may be seen twice: the life
 * that saw and told it may end before it has noted so in the pod's record, and a run that is taken
 * over is seen to run. Therefore Manager.recalled holds, by pod uid, what the log says was told
 * last; what is the same is not told again. The table shrinks as pods go on to something else.
 *
 *   {UID: {"namespace", "pod", "applied": generation, "ready": generation,
 *          "containers": {NAME: {"event", "generation"}}}} */

#include <fcntl.h>
#include <unistd.h>

#include "bus-names.h"
#include "clock.h"
#include "document.h"
#include "log.h"
#include "reconcile-event.h"
#include "reconcile-journal.h"

/* ---- telling ---- */

static int event_log(Manager *m, JournalEvent *e)
{
        return m->journal ? journal_append(m->journal, e) : -EBADF;
}

static void event_signal(Manager *m, const JournalEvent *e)
{
        int r;

        if (!m->bus)
                return;
        r = sd_bus_emit_signal(m->bus, TANK_RECONCILE_PATH, TANK_RECONCILE_INTERFACE, "PodEvent",
                        "ssssstst", e->namespace, e->pod, e->uid, e->container, e->event,
                        e->generation, e->detail, e->at_usec);
        if (r < 0)
                log_debug("cannot send an event: %s", errno_words(r));
}

static void event_lost(Manager *m, const JournalEvent *e, int error)
{
        if (m->lost_events.n++ > 0)
                return;
        m->lost_events.since_usec = e->at_usec;
        m->lost_events.error = error;
        log_error_errno(error,
                        "%s/%s: the event \"%s\" is not in the log %s/events, nor is any other "
                        "until it can be written again",
                        e->namespace, e->pod, e->event, m->paths.run_dir);
}

/* The gap is an event of its own, of no pod, in the place of those that are missing. */
static int events_tell_lost(Manager *m)
{
        CLEANUP_FREE char *detail = NULL;
        char since[RFC3339_SIZE];
        JournalEvent e = {
                .namespace = "",
                .pod = "",
                .uid = "",
                .container = "",
                .event = pod_event_to_string(EVENT_LOST),
                .at_usec = now_realtime_usec(),
        };
        int r;

        if (m->lost_events.n == 0)
                return 0;
        if (asprintf(&detail, "%" PRIu64 " since %s could not be written to %s/events: %s",
                            m->lost_events.n, format_rfc3339(m->lost_events.since_usec, since),
                            m->paths.run_dir, errno_words(m->lost_events.error)) < 0) {
                detail = NULL;
                return -ENOMEM;
        }
        e.detail = detail;
        r = event_log(m, &e);
        if (r < 0)
                return r;
        log_notice("events are logged again: %s", detail);
        m->lost_events.n = 0;
        event_signal(m, &e);
        return 0;
}

void events_retry(Manager *m)
{
        (void) events_tell_lost(m); /* else the next time */
}

static void tell(Manager *m, JournalEvent *e)
{
        int r;

        log_debug("%s/%s%s%s: event %s", e->namespace, e->pod, *e->container ? "/" : "",
                        e->container, e->event);
        e->at_usec = now_realtime_usec();
        r = events_tell_lost(m);
        if (r >= 0)
                r = event_log(m, e);
        if (r < 0)
                event_lost(m, e, r);
        event_signal(m, e);
}

/* ---- what was told before ---- */

static int set_generation(json_t *o, const char *key, uint64_t generation)
{
        return json_object_set_new(o, key, json_integer((json_int_t) generation));
}

static bool is_generation(const json_t *o, const char *key, uint64_t generation)
{
        return json_get_int(o, key, -1) == (json_int_t) generation;
}

static int set_container(json_t *pod, const char *name, const char *event, uint64_t generation)
{
        return json_object_set_new(json_object_get(pod, "containers"), name,
                        json_pack("{ss sI}", "event", event, "generation",
                                        (json_int_t) generation));
}

static json_t *recalled_add(
                json_t *recalled, const char *uid, const char *namespace, const char *pod)
{
        json_t *o = json_pack("{ss ss s{}}", "namespace", namespace, "pod", pod, "containers");

        return o && json_object_set_new(recalled, uid, o) >= 0 ? o : NULL;
}

static int recall_event(const JournalEvent *e, void *userdata)
{
        PodEvent event = pod_event_from_string(e->event);
        json_t *recalled = userdata, *o = json_object_get(recalled, e->uid);
        int r;

        if (event == EVENT_LOST)
                return 0; /* what is missing may be told again */
        if (event == EVENT_DELETED) {
                (void) json_object_del(recalled, e->uid);
                return 0;
        }
        if (!o)
                o = recalled_add(recalled, e->uid, e->namespace, e->pod);
        if (!o)
                return -ENOMEM;
        if (event == EVENT_APPLIED || event == EVENT_READY || event == EVENT_REFUSED)
                r = set_generation(o, e->event, e->generation);
        else {
                (void) json_object_del(o, pod_event_to_string(EVENT_READY));
                r = set_container(o, e->container, e->event, e->generation);
        }
        return r < 0 ? -ENOMEM : 0;
}

/* What was taken over runs since longer than the log goes back: it was told. */
static int recall_adopted(json_t *recalled, const PodEntry *p)
{
        json_t *o = json_object_get(recalled, p->uid);

        if (!o) {
                o = recalled_add(recalled, p->uid, p->namespace, p->name);
                if (!o || set_generation(o, pod_event_to_string(EVENT_READY), p->generation) < 0)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < p->n_containers; i++) {
                const ContainerEntry *c = p->containers[i];

                if (!c->shim || json_object_get(json_object_get(o, "containers"), c->name))
                        continue;
                if (set_container(o, c->name, pod_event_to_string(EVENT_RUNNING), c->generation) <
                                0)
                        return -ENOMEM;
        }
        return 0;
}

void events_recall(Manager *m)
{
        uint64_t after = journal_first(m->journal) - 1, last;
        json_t *recalled = json_object();
        int r = recalled ? 0 : -ENOMEM;

        while (r >= 0 && after < journal_last(m->journal)) {
                r = journal_read(m->journal, after, recall_event, recalled, &last);
                after = last;
        }
        for (size_t i = 0; r >= 0 && i < m->n_pods; i++)
                r = recall_adopted(recalled, m->pods[i]);
        if (r < 0) {
                log_warning_errno(r, "cannot read the log of events: some may be told again");
                json_decref(recalled);
                return;
        }
        m->recalled = recalled;
}

/* Whether it was told before. What is new ends the memory of what it follows. */
static bool was_told(const Manager *m, const JournalEvent *e, PodEvent event)
{
        json_t *o = json_object_get(m->recalled, e->uid), *containers, *c;

        if (!o)
                return false;
        containers = json_object_get(o, "containers");
        c = json_object_get(containers, e->container);
        switch (event) {
        case EVENT_APPLIED: return json_get_int(o, e->event, -1) >= (json_int_t) e->generation;
        case EVENT_READY:
        case EVENT_REFUSED: return is_generation(o, e->event, e->generation);
        case EVENT_RUNNING:
        case EVENT_EXITED:
                /* Each follows a start of its own; what is declared may change meanwhile. */
                if (c && streq(strempty(json_get_string(c, "event")), e->event))
                        return true;
                break;
        case EVENT_BACKING_OFF:
        case EVENT_FAILED: /* also of what could not be started, again and again */
                if (c && streq(strempty(json_get_string(c, "event")), e->event) &&
                                is_generation(c, "generation", e->generation))
                        return true;
                break;
        case EVENT_STARTING: /* a second start is another one */
        case EVENT_DELETED:
        case EVENT_LOST:
        case _POD_EVENT_MAX:
        case _POD_EVENT_INVALID: break;
        }
        (void) json_object_del(containers, e->container);
        (void) json_object_del(o, pod_event_to_string(EVENT_READY));
        if (event == EVENT_DELETED)
                (void) json_object_del(m->recalled, e->uid);
        return false;
}

void pod_emit(PodEntry *p, ContainerEntry *c, PodEvent event, const char *detail)
{
        JournalEvent e = {
                .namespace = p->namespace,
                .pod = p->name,
                .uid = p->uid,
                .container = c ? c->name : "",
                .event = pod_event_to_string(event),
                .generation = c ? c->generation : p->generation,
                .detail = detail,
        };

        if (!was_told(p->manager, &e, event))
                tell(p->manager, &e);
}

void events_settle(Manager *m)
{
        const char *uid;
        json_t *o;
        void *next;

        /* The pods that are there are set aside, so that the others remain. */
        for (size_t i = 0; i < m->n_pods; i++) {
                o = json_object_get(m->recalled, m->pods[i]->uid);
                if (o)
                        (void) json_object_set_new(o, "present", json_true());
        }
        json_object_foreach_safe(m->recalled, next, uid, o)
        {
                JournalEvent e = {
                        .namespace = json_get_string(o, "namespace"),
                        .pod = json_get_string(o, "pod"),
                        .uid = uid,
                        .container = "",
                        .event = pod_event_to_string(EVENT_DELETED),
                        .generation = (uint64_t) json_get_int(
                                        o, pod_event_to_string(EVENT_APPLIED), 0),
                        .detail = "",
                };

                if (json_object_get(o, "present"))
                        continue;
                tell(m, &e);
                (void) json_object_del(m->recalled, uid);
        }
}

/* ---- the log ---- */

int events_open(Manager *m)
{
        int r = journal_open(m->run_fd, &m->journal);

        if (r >= 0 || r == -ENOMEM)
                return r;
        /* Events are not worth staying down for. */
        log_error_errno(r, "%s/events, or events.old beside it, cannot be used: beginning anew",
                        m->paths.run_dir);
        (void) unlinkat(m->run_fd, "events", 0);
        (void) unlinkat(m->run_fd, "events.old", 0);
        return journal_open(m->run_fd, &m->journal);
}

void events_close(Manager *m)
{
        m->journal = journal_free(m->journal);
        json_decref(m->recalled);
        m->recalled = NULL;
}
