/* SPDX-License-Identifier: Apache-2.0 */

/* What people are told of a pod: its summed-up state, its reason, and all of it as JSON. */

#include <stdio.h>

#include "document.h"
#include "log.h"
#include "names.h"
#include "reconcile-entry.h"
#include "reconcile-pods.h"
#include "reconcile-state.h"
#include "reconcile-status.h"
#include "reconcile-update.h"

const ShimStatus *container_run_status(const ContainerEntry *c)
{
        return c->shim && !c->run_over ? shim_status(c->shim) : NULL;
}

bool container_is_ready(const ContainerEntry *c)
{
        return c->state == RUN_RUNNING;
}

/* Containers that are no longer declared do not count, unless the pod is not either. */
static bool container_counts(const ContainerEntry *c)
{
        const PodEntry *p = c->pod;

        return !p->declared || !p->desired || pod_find_container(p->desired->pod, c->name);
}

StateSum pod_sum(const PodEntry *p)
{
        RunState states[2 * (LIMIT_CONTAINERS + LIMIT_INIT_CONTAINERS)] = {};
        size_t index[ARRAY_SIZE(states)], n = 0, n_init = 0;
        StateSum sum;

        for (size_t i = 0; i < p->n_containers && n < ARRAY_SIZE(states); i++) {
                ContainerEntry *c = p->containers[i];

                if (!container_counts(c))
                        continue;
                n_init += n == n_init && container_is_init(c);
                index[n] = i;
                states[n++] = c->state;
        }
        sum = pod_sum_states(states, n_init, n);
        if (n > 0)
                sum.decider = index[sum.decider];
        if (!p->declared) {
                sum.state = RUN_STOPPING;
                sum.ready = false;
        } else if (p->refused != REASON_NONE) {
                sum.state = RUN_FAILED;
                sum.ready = false;
        }
        return sum;
}

RunState pod_state(const PodEntry *p)
{
        return pod_sum(p).state;
}

Reason pod_reason(const PodEntry *p)
{
        StateSum sum = pod_sum(p);

        if (!p->declared)
                return REASON_NONE;
        if (p->refused != REASON_NONE)
                return p->refused;
        if (p->held || p->manager->held_reason)
                return REASON_HELD;
        return p->n_containers > 0 ? p->containers[sum.decider]->reason : REASON_PENDING;
}

/* Of a container that does not run, or not as it is declared: why. "" when there is nothing to
 * say. */
static int container_message(const ContainerEntry *c, char **ret)
{
        const RunResult *last = container_last_result(c);
        const char *refusal = container_refusal(c);
        CLEANUP_FREE char *what = NULL;
        int r;

        if (c->reason == REASON_DEPENDENCY_WAIT && c->dependency)
                return asprintf(ret, "%s: %s", c->name, c->dependency) < 0 ? -ENOMEM : 0;
        if (c->message)
                return asprintf(ret, "%s: %s", c->name, c->message) < 0 ? -ENOMEM : 0;
        if (refusal)
                return asprintf(ret, "%s: %s", c->name, refusal) < 0 ? -ENOMEM : 0;
        if (c->state == RUN_RUNNING && container_is_init(c))
                return asprintf(ret, "init container %s has not ended yet", c->name) < 0 ? -ENOMEM
                                                                                         : 0;
        if (!last || c->state == RUN_RUNNING || c->state == RUN_CREATING ||
                        c->state == RUN_STOPPING) {
                *ret = strdup("");
                return *ret ? 0 : -ENOMEM;
        }
        r = run_result_describe(last, &what);
        if (r < 0)
                return r;
        return asprintf(ret, "%s: %s", c->name, what) < 0 ? -ENOMEM : 0;
}

/* The container that the pod's message is about: of a pod that runs, one that does not run as it is
 * declared, or not any more; one that failed goes before one that is done. */
static const ContainerEntry *pod_spokesman(const PodEntry *p, StateSum sum)
{
        const ContainerEntry *over = NULL;

        for (size_t i = 0; sum.state == RUN_RUNNING && i < p->n_containers; i++) {
                const ContainerEntry *c = p->containers[i];

                if (container_refusal(c))
                        return c;
                if (!container_counts(c) || container_is_init(c))
                        continue;
                if ((c->state == RUN_FAILED && (!over || over->state != RUN_FAILED)) ||
                                (c->state == RUN_EXITED && !over))
                        over = c;
        }
        return over ? over : p->containers[sum.decider];
}

int pod_message(const PodEntry *p, char **ret)
{
        const char *fixed = NULL;
        StateSum sum = pod_sum(p);

        if (!p->declared)
                fixed = "no longer declared: being stopped and removed";
        else if (p->refused != REASON_NONE)
                fixed = strempty(p->refusal);
        else if (p->manager->held_reason)
                fixed = p->manager->held_reason;
        else if (manager_has_predecessor(p))
                fixed = "waits until the pod of this name that was declared before is gone";
        else if (p->n_containers == 0)
                fixed = "";
        if (!fixed) {
                int r = container_message(pod_spokesman(p, sum), ret);

                /* It may quote, and cut short, what was declared; neither JSON nor the bus take a
                 * part of a character. */
                if (r >= 0)
                        utf8_repair(*ret);
                return r;
        }
        *ret = strdup(fixed);
        return *ret ? 0 : -ENOMEM;
}

static json_t *json_time(uint64_t usec)
{
        char text[RFC3339_SIZE];

        return usec == 0 ? json_null() : json_string(format_rfc3339(usec, text));
}

static uint64_t boot_to_realtime(uint64_t boot_usec)
{
        uint64_t now = now_boottime_usec(), real = now_realtime_usec();

        return boot_usec >= now ? real + (boot_usec - now) : real - (now - boot_usec);
}

/* json_pack()'s "o" takes a NULL as a failure and frees the rest. */
static json_t *results_json(const ContainerEntry *c)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < c->n_results; i++) {
                const RunResult *result = &c->results[i];
                json_t *o = json_pack("{ss si so}", "kind", result_kind_to_string(result->kind),
                                "code", result->code, "at", json_time(result->at_usec));

                if (o && *result->stage)
                        (void) json_object_set_new(o, "stage", json_string(result->stage));
                if (!o || json_array_append_new(list, o) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

/* Told while something else is in force than is declared. */
static int put_update(const ContainerEntry *c, json_t *o)
{
        const char *refusal = container_refusal(c);
        int r;

        if (!container_update_is_due(c))
                return 0;
        r = json_object_set_new(o, "update", json_string(refusal ? "refused" : "pending"));
        if (r >= 0 && refusal)
                r = json_object_set_new(o, "update_message", json_string(refusal));
        return r < 0 ? -ENOMEM : 0;
}

static json_t *container_json(const ContainerEntry *c)
{
        const ShimStatus *status = container_run_status(c);
        const Desired *d = c->pod->desired;
        const Container *spec = d ? pod_find_container(d->pod, c->name) : NULL;
        uint64_t started = status ? status->started_usec : 0;
        CLEANUP_JSON json_t *o = NULL;

        o = json_pack("{ss ss sb ss si si so ss ss so}", "name", c->name, "state",
                        run_state_to_string(c->state), "ready", container_is_ready(c), "reason",
                        reason_to_string(c->reason), "pid", status ? (int) status->pid : 0,
                        "restarts", (int) MIN(c->restarts, (unsigned) INT32_MAX), "started_at",
                        json_time(started), "image", spec ? strempty(spec->rootfs) : "", "digest",
                        "", "results", results_json(c));
        return o && put_update(c, o) >= 0 ? TAKE_PTR(o) : NULL;
}

static json_t *containers_json(const PodEntry *p, bool init)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < p->n_containers; i++) {
                if (!container_counts(p->containers[i]) ||
                                container_is_init(p->containers[i]) != init)
                        continue;
                if (json_array_append_new(list, container_json(p->containers[i])) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

/* When the pod's next start is due; 0: none is. */
static uint64_t pod_restart_at(const PodEntry *p)
{
        uint64_t at = USEC_INFINITY;

        for (size_t i = 0; i < p->n_containers; i++)
                if (p->containers[i]->reason == REASON_BACKING_OFF &&
                                p->containers[i]->restart_boot_usec > 0)
                        at = MIN(at, p->containers[i]->restart_boot_usec);
        return at == USEC_INFINITY ? 0 : boot_to_realtime(at);
}

int pod_status_json(PodEntry *p, char **ret)
{
        CLEANUP_FREE char *message = NULL;
        CLEANUP_JSON json_t *o = NULL;
        StateSum sum = pod_sum(p);
        int r;

        r = pod_message(p, &message);
        if (r < 0)
                return r;
        o = json_pack("{ss sb ss ss s[] so so so}", "state", run_state_to_string(sum.state),
                        "ready", sum.ready, "reason", reason_to_string(pod_reason(p)), "message",
                        message, "addresses", "restart_at", json_time(pod_restart_at(p)),
                        "init_containers", containers_json(p, true), "containers",
                        containers_json(p, false));
        return o ? document_format(o, ret) : -ENOMEM;
}
