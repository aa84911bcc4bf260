/* SPDX-License-Identifier: Apache-2.0 */

/* A wait is a loop: read the state, decide, sleep until something is said to have happened. Events
 * only wake; so an event that is lost with a restarting reconciler delays the answer until the next
 * one or the resync, and never falsifies it. */

#include <stdio.h>

#include "bus-names.h"
#include "clock.h"
#include "ctl.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "ctl-wait.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "quantity.h"
#include "state.h"

#define RESYNC_USEC (5 * USEC_PER_SEC)
#define SETTLE_USEC (100 * USEC_PER_MSEC)

static const char *const condition_names[_CONDITION_MAX] = {
        [CONDITION_RUNNING] = "running",
        [CONDITION_READY] = "ready",
        [CONDITION_EXITED] = "exited",
        [CONDITION_DELETED] = "deleted",
        [CONDITION_APPLIED] = "running",
};

const char *condition_to_string(Condition c)
{
        return condition_names[c];
}

Condition condition_from_string(const char *s)
{
        for (Condition c = 0; c < CONDITION_APPLIED; c++)
                if (streq(condition_names[c], s))
                        return c;
        return _CONDITION_INVALID;
}

/* ---- subscribing --------------------------------------------------------------------------- */

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ((Waiter *) userdata)->dirty = true;
        return 0;
}

static int on_pod_event(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *namespace, *pod, *uid, *container, *event;
        Waiter *w = userdata;
        bool known = sd_bus_message_read(m, "sssss", &namespace, &pod, &uid, &container, &event) >=
                     0;

        if (known && w->pod && streq(w->pod, pod) && streq(w->namespace, namespace))
                w->news = true;
        /* A start is on its way: looking would only be in the way of who makes it. */
        if (w->eventful && known &&
                        (streq(event, pod_event_to_string(EVENT_APPLIED)) ||
                                        streq(event, pod_event_to_string(EVENT_STARTING))))
                return 0;
        w->dirty = true;
        return 0;
}

int waiter_start(Waiter *w, sd_bus *bus, const char *namespace, const char *pod, uint64_t timeout)
{
        char match[512];
        int r;

        *w = (Waiter){ .bus = bus, .timeout = timeout, .deadline = USEC_INFINITY };
        if (timeout != USEC_INFINITY)
                w->deadline = now_boottime_usec() + timeout;
        (void) snprintf(match, sizeof(match),
                        "type='signal',sender='" TANK_RECONCILE_NAME "',path='" TANK_RECONCILE_PATH
                        "',interface='" TANK_RECONCILE_INTERFACE "',member='PodEvent'%s%s%s%s%s%s",
                        namespace ? ",arg0='" : "", strempty(namespace), namespace ? "'" : "",
                        pod ? ",arg1='" : "", strempty(pod), pod ? "'" : "");
        /* Nobody waits for the bus' answer: it handles one connection's messages in order. */
        r = sd_bus_add_match_async(bus, NULL, match, on_pod_event, NULL, w);
        if (r < 0)
                return r;
        return sd_bus_add_match_async(bus, NULL,
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                        "arg0='" TANK_RECONCILE_NAME "'",
                        on_owner_changed, NULL, w);
}

/* Who does not answer is waited for no longer than the pods are, but for a second at least. */
static void waiter_limit_calls(Waiter *w)
{
        uint64_t now = now_boottime_usec(), left;

        if (w->deadline == USEC_INFINITY)
                return;
        if (w->call_timeout == 0 && sd_bus_get_method_call_timeout(w->bus, &w->call_timeout) < 0)
                return;
        left = now < w->deadline ? w->deadline - now : 0;
        (void) sd_bus_set_method_call_timeout(
                        w->bus, MIN(w->call_timeout, MAX(left, USEC_PER_SEC)));
}

/* 1: something happened, or it is time to look again; 0: the time is over. */
static int waiter_sleep(Waiter *w)
{
        uint64_t resync = now_boottime_usec() + RESYNC_USEC;

        while (!w->dirty) {
                uint64_t now = now_boottime_usec();
                int r;

                r = sd_bus_process(w->bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= w->deadline)
                        return 0;
                if (now >= resync)
                        return 1;
                r = sd_bus_wait(w->bus, MIN(w->deadline, resync) - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        w->dirty = false;
        return 1;
}

/* Whether something has happened since the state was read: it is not told as it was then. Of what
 * may end at once a moment is waited for that. */
static bool waiter_has_news(Waiter *w)
{
        uint64_t until =
                        w->brief && w->state == RUN_RUNNING ? now_boottime_usec() + SETTLE_USEC : 0;

        w->news = false;
        for (;;) {
                uint64_t now;
                int r = sd_bus_process(w->bus, NULL);

                if (r < 0 || w->news)
                        return w->news;
                now = now_boottime_usec();
                if (r == 0 && now >= until)
                        return false;
                if (r == 0 && sd_bus_wait(w->bus, until - now) < 0 && errno != EINTR)
                        return false;
        }
}

/* ---- deciding ------------------------------------------------------------------------------ */

char *status_explain(const json_t *status)
{
        const char *state = json_get_string(status, "state");
        const char *reason = json_get_string(status, "reason");
        const char *message = json_get_string(status, "message");
        char *text;

        if (asprintf(&text, "%s%s%s%s%s%s", strempty(state), isempty(reason) ? "" : " (",
                            strempty(reason), isempty(reason) ? "" : ")",
                            isempty(message) ? "" : ": ", strempty(message)) < 0)
                return NULL;
        return text;
}

/* The end of the newest run of each container, to see whether there is a newer one. */
static json_t *last_ends(const json_t *status)
{
        json_t *ends = json_object(), *c;
        size_t i;

        json_array_foreach (json_object_get(status, "containers"), i, c) {
                const json_t *results = json_object_get(c, "results");
                const json_t *last = json_array_get(results, json_array_size(results) - 1);
                const char *name = json_get_string(c, "name"), *at = json_get_string(last, "at");

                if (ends && name &&
                                json_object_set_new(ends, name, json_string(strempty(at))) < 0) {
                        json_decref(ends);
                        return NULL;
                }
        }
        return ends;
}

static bool is_over(RunState state)
{
        return state == RUN_EXITED || state == RUN_FAILED;
}

static RunState state_of(const json_t *o)
{
        return run_state_from_string(strempty(json_get_string(o, "state")));
}

static bool all_ended(const json_t *status, const json_t *before)
{
        const json_t *containers = json_object_get(status, "containers"), *c;
        CLEANUP_JSON json_t *now = last_ends(status);
        size_t i;

        json_array_foreach (containers, i, c) {
                const char *name = strempty(json_get_string(c, "name"));
                const char *at = json_string_value(json_object_get(now, name));

                if (is_over(state_of(c)))
                        continue; /* before we looked, and nothing more will come */
                if (isempty(at) || streq_ptr(at, json_string_value(json_object_get(before, name))))
                        return false;
        }
        return now && json_array_size(containers) > 0;
}

typedef struct Wait {
        Waiter *waiter;
        const char *namespace, *pod;
        Condition condition;
        uint64_t generation;
        json_t *ends; /* CONDITION_EXITED: what had ended before */
        char *last;   /* the newest state, for the message at the end of the time */
        bool refused; /* @last says what could not be changed of what runs */
} Wait;

static void wait_done(Wait *w)
{
        json_decref(w->ends);
        free(w->last);
}

/* What runs must run as it is declared now. 1, 0, -ECANCELED as wait_decide(). */
static int is_up_to_date(Wait *w, const json_t *container)
{
        const char *update = json_get_string(container, "update");

        if (isempty(update))
                return 1;
        if (!streq(update, "refused"))
                return 0;
        w->refused = true;
        free(w->last);
        if (asprintf(&w->last, "%s: %s", strempty(json_get_string(container, "name")),
                            strempty(json_get_string(container, "update_message"))) < 0)
                w->last = NULL;
        return -ECANCELED;
}

/* All containers, for one of them does not make a pod. @may_exit: it may also be over and have done
 * what it should. */
static int all_run(Wait *w, const json_t *status, bool may_exit)
{
        const json_t *containers = json_object_get(status, "containers"), *c;
        bool all = json_array_size(containers) > 0;
        size_t i;

        if (state_of(status) == RUN_FAILED)
                return -ECANCELED;
        json_array_foreach (containers, i, c) {
                RunState state = state_of(c);

                if (state == RUN_RUNNING || (state == RUN_EXITED && may_exit))
                        continue;
                all = false;
                if (!is_over(state))
                        continue;
                free(w->last);
                if (asprintf(&w->last, "container %s is %s (%s)",
                                    strempty(json_get_string(c, "name")),
                                    run_state_to_string(state),
                                    strempty(json_get_string(c, "reason"))) < 0)
                        w->last = NULL;
                return -ECANCELED;
        }
        return all;
}

static int is_applied(Wait *w, const json_t *status)
{
        const json_t *c;
        size_t i;
        int r = all_run(w, status, true);

        if (r < 0)
                return r;
        json_array_foreach (json_object_get(status, "containers"), i, c) {
                int q = is_up_to_date(w, c);

                if (q < 0)
                        return q;
                r = MIN(r, q);
        }
        return r;
}

/* 1: the condition holds; 0: not yet; -ECANCELED: never without a change of the declaration. */
static int wait_decide(Wait *w, const json_t *status)
{
        w->waiter->state = state_of(status);
        switch (w->condition) {
        case CONDITION_RUNNING: return all_run(w, status, false);
        case CONDITION_APPLIED: return is_applied(w, status);
        case CONDITION_READY:
                return json_get_bool(status, "ready", false) ? 1
                       : all_run(w, status, false) < 0       ? -ECANCELED
                                                             : 0;
        case CONDITION_EXITED:
                if (is_over(w->waiter->state))
                        return 1;
                if (!w->ends) {
                        w->ends = last_ends(status);
                        return w->ends ? 0 : -ENOMEM;
                }
                return all_ended(status, w->ends);
        case CONDITION_DELETED:
        case _CONDITION_MAX:
        case _CONDITION_INVALID: break;
        }
        return 0;
}

/* Asks the store for the pod: *ret_generation is 0 when it is not declared. */
static int wait_declared(Wait *w, uint64_t *ret_generation, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        int r;

        r = store_get(w->waiter->bus, "pod", w->namespace, w->pod, &doc, reterr);
        if (r < 0 && sd_bus_error_has_name(reterr, TANK_ERROR_NOT_FOUND)) {
                *ret_generation = 0;
                return 0;
        }
        if (r < 0)
                return r;
        *ret_generation = (uint64_t) json_get_int(json_object_get(doc, "meta"), "generation", 1);
        return 0;
}

/* One look. 1: the condition holds; 0: not yet; -ENOENT: no such pod; others as wait_decide(). */
static int wait_look(Wait *w, sd_bus_error *reterr)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        uint64_t declared = w->generation;
        bool absent;
        int r;

        r = reconcile_get_status(w->waiter->bus, w->namespace, w->pod, &s, &e);
        absent = r < 0 && sd_bus_error_has_name(&e, TANK_ERROR_NOT_FOUND);
        if (r < 0 && !absent) {
                if (!sd_bus_error_has_name(&e, TANK_ERROR_UNAVAILABLE)) {
                        (void) sd_bus_error_move(
                                        reterr, &e); /* answers its own guess of an errno */
                        return r;
                }
                free(w->last);
                if (asprintf(&w->last, "not known: %s", e.message) < 0) /* it may come back */
                        w->last = NULL;
                return 0;
        }
        if (absent || w->condition == CONDITION_DELETED) {
                r = wait_declared(w, &declared, reterr);
                if (r < 0)
                        return r;
                if (w->condition == CONDITION_DELETED)
                        return absent && declared == 0;
                if (declared == 0)
                        return -ENOENT;
        }
        if (absent) {
                (void) free_and_strdup(&w->last, "not known to tankd-reconcile yet");
                return 0;
        }
        free(w->last);
        w->last = status_explain(s.status);
        return s.generation < w->generation ? 0 : wait_decide(w, s.status);
}

static int wait_timed_out(const Wait *w)
{
        char duration[FORMAT_DURATION_SIZE];

        ctl_error("pod/%s/%s: not %s within %s%s%s", w->namespace, w->pod,
                        condition_to_string(w->condition),
                        format_duration(w->waiter->timeout, duration),
                        w->last ? "; its state is " : "", strempty(w->last));
        return EXIT_CODE_TIMED_OUT;
}

static int wait_failed(const Wait *w, int r, const sd_bus_error *e)
{
        CLEANUP_FREE char *what = NULL;

        if (r == -ENOENT) {
                ctl_error("pod/%s/%s is not declared", w->namespace, w->pod);
                return EXIT_CODE_NOT_FOUND;
        }
        if (r == -ECANCELED && w->refused) {
                ctl_error("pod/%s/%s: %s", w->namespace, w->pod, strempty(w->last));
                return EXIT_CODE_FAILED;
        }
        if (r == -ECANCELED) {
                ctl_error("pod/%s/%s is not %s: %s", w->namespace, w->pod,
                                condition_to_string(w->condition), strempty(w->last));
                return EXIT_CODE_FAILED;
        }
        if (asprintf(&what, "pod/%s/%s", w->namespace, w->pod) < 0)
                what = NULL;
        return ctl_bus_failure(what, e, r);
}

int waiter_wait(Waiter *waiter, const char *namespace, const char *pod, Condition c,
                uint64_t generation, bool eventful)
{
        CLEANUP(wait_done)
        Wait w = { .waiter = waiter,
                .namespace = namespace,
                .pod = pod,
                .condition = c,
                .generation = generation };
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = 0;

        waiter->eventful = eventful;
        waiter->namespace = namespace;
        waiter->pod = pod;
        /* Once is enough, however many pods there are to ask about. */
        if (waiter->silent) {
                r = tank_error_set(&e, TANK_ERROR_TIMED_OUT, "not asked again: nobody answers");
                return wait_failed(&w, r, &e);
        }
        if (c != CONDITION_DELETED && generation == 0) {
                r = wait_declared(&w, &w.generation, &e);
                if (r >= 0 && w.generation == 0)
                        r = -ENOENT;
        }
        if (r >= 0 && eventful)
                r = waiter_sleep(waiter);
        while (r >= 0) {
                waiter_limit_calls(waiter);
                r = wait_look(&w, &e);
                if (r > 0 && !waiter_has_news(waiter))
                        return 0;
                if (r > 0)
                        continue;
                if (r < 0)
                        break;
                r = waiter_sleep(waiter);
                if (r == 0)
                        return wait_timed_out(&w);
        }
        waiter->silent = sd_bus_error_has_name(&e, TANK_ERROR_TIMED_OUT);
        return wait_failed(&w, r, &e);
}

/* A pod that is not started again whatever comes may be meant to end. */
static bool is_job(const json_t *document)
{
        const char *restart = json_get_string(document, "restart");

        return restart && !streq(restart, restart_policy_to_string(RESTART_ALWAYS));
}

int waiter_wait_applied(Waiter *w, const json_t *document, uint64_t generation, bool eventful)
{
        w->brief = is_job(document);
        return waiter_wait(w, strempty(json_get_string(document, "namespace")),
                        strempty(json_get_string(document, "name")), CONDITION_APPLIED, generation,
                        eventful);
}

/* ---- the verb ------------------------------------------------------------------------------ */

int verb_wait(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        Waiter w = {};
        const char *pod = a->words[0];
        Condition c;
        uint64_t timeout;
        int r;

        if (!a->condition)
                return ctl_usage_error("wait for what? --for=running, ready, exited or deleted");
        c = condition_from_string(a->condition);
        if (c < 0)
                return ctl_usage_error("cannot wait for \"%s\": running, ready, exited or deleted",
                                WORD(a->condition));
        if (!name_is_valid(pod))
                return ctl_usage_error("\"%s\" is no name of a pod", WORD(pod));
        r = arguments_timeout(a, WAIT_TIMEOUT_USEC, &timeout);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = waiter_start(&w, bus, arguments_namespace(a), pod, timeout);
        if (r < 0)
                return ctl_bus_failure("cannot subscribe to events", NULL, r);
        r = waiter_wait(&w, arguments_namespace(a), pod, c, 0, false);
        if (r == 0)
                printf("pod/%s/%s %s\n", arguments_namespace(a), pod, condition_to_string(c));
        return r;
}
