/* SPDX-License-Identifier: Apache-2.0 */

/* Pods and containers as entries: their making and freeing, the one setter of a container's state,
 * and what is declared of them. */

#include "log.h"
#include "names.h"
#include "reconcile-entry.h"
#include "reconcile-launch.h"
#include "reconcile-plan.h"
#include "reconcile-state.h"
#include "reconcile-values.h"
#include "shim-client.h"
#include "shim-spawn.h"

void container_transition(ContainerEntry *c, ContainerEvent event, Reason reason)
{
        RunState next = container_next_state(c->state, event);

        if (next == c->state && (reason == c->reason || next != RUN_WAITING))
                return;
        log_debug("%s/%s/%s: %s + %s -> %s %s", c->pod->namespace, c->pod->name, c->name,
                        run_state_to_string(c->state), container_event_to_string(event),
                        run_state_to_string(next), reason_to_string(reason));
        *(RunState *) &c->state = next;
        *(Reason *) &c->reason = reason;
        c->announce |= ANNOUNCE_STATE;
        c->pod->announce |= ANNOUNCE_STATE;
        if (c->pod->manager)
                manager_queue_pod_announcement(c->pod);
}

ContainerEntry *pod_container(PodEntry *p, const char *name)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (streq(p->containers[i]->name, name))
                        return p->containers[i];
        return NULL;
}

bool container_is_init(const ContainerEntry *c)
{
        const Desired *d = c->pod->desired;
        const Container *spec = d ? pod_find_container(d->pod, c->name) : NULL;

        return spec ? spec < d->pod->containers + d->pod->n_init : c->init;
}

ContainerEntry *pod_first_container(const PodEntry *p)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (!container_is_init(p->containers[i]))
                        return p->containers[i];
        return NULL;
}

int pod_add_container(PodEntry *p, const char *name, ContainerEntry **ret)
{
        ContainerEntry **grown, *c;

        grown = reallocarray(p->containers, p->n_containers + 1, sizeof(ContainerEntry *));
        if (!grown)
                return -ENOMEM;
        p->containers = grown;
        c = calloc(1, sizeof(ContainerEntry));
        if (!c)
                return -ENOMEM;
        c->name = strdup(name);
        if (!c->name) {
                free(c);
                return -ENOMEM;
        }
        c->pod = p;
        *(Reason *) &c->reason = REASON_PENDING;
        p->containers[p->n_containers++] = c;
        *ret = c;
        return 0;
}

void container_take_place(ContainerEntry *c)
{
        c->creating_since_usec = now_boottime_usec();
        if (c->holds_place)
                return;
        c->holds_place = true;
        c->pod->manager->n_starting++;
}

void container_free_place(ContainerEntry *c)
{
        if (!c->holds_place)
                return;
        c->holds_place = false;
        c->pod->manager->n_starting--;
        manager_place_freed(c->pod->manager);
}

void container_drop_values(ContainerEntry *c)
{
        if (!c->values)
                return;
        c->values = values_free(c->values);
        container_free_place(c);
}

void container_forget_checks(ContainerEntry *c)
{
        for (size_t i = 0; i < c->n_used; i++)
                c->used[i].unchecked = true;
        c->compare_owed = c->check_again = false;
        if (c->n_used > 0 && c->pod->manager)
                c->pod->manager->comparing.wanted = true;
}

static void container_free(ContainerEntry *c)
{
        values_free(c->values);
        values_free(c->refresh);
        free(c->refresh_trouble);
        free(c->compare_trouble);
        container_forget_used(c);
        free(c->dependency);
        shim_free(c->shim);
        for (size_t i = 0; i < c->n_leftovers; i++)
                shim_free(c->leftovers[i]);
        free(c->leftovers);
        free(c->name);
        free(c->message);
        free(c->update.refusal);
        free(c);
}

void pod_forget_container(ContainerEntry *c)
{
        PodEntry *p = c->pod;

        container_drop_values(c);

        for (size_t i = 0; i < p->n_containers; i++)
                if (p->containers[i] == c) {
                        memmove(p->containers + i, p->containers + i + 1,
                                        (p->n_containers - i - 1) * sizeof(ContainerEntry *));
                        p->n_containers--;
                        break;
                }
        container_free(c);
        p->record_dirty = true;
}

int pod_entry_new(PodEntry **ret)
{
        PodEntry *p = calloc(1, sizeof(PodEntry));

        if (!p)
                return -ENOMEM;
        p->wake_usec = USEC_INFINITY;
        *ret = p;
        return 0;
}

PodEntry *pod_entry_free(PodEntry *p)
{
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_containers; i++)
                container_free(p->containers[i]);
        free(p->containers);
        shim_helper_free(p->removal);
        desired_free(p->desired);
        free(p->namespace);
        free(p->name);
        free(p->refusal);
        free(p);
        return NULL;
}

bool container_is_alive(const ContainerEntry *c)
{
        return c->shim || c->n_leftovers > 0;
}

void container_add_result(ContainerEntry *c, const RunResult *result)
{
        if (c->n_results == LIMIT_RESULTS) {
                memmove(c->results, c->results + 1, (LIMIT_RESULTS - 1) * sizeof(RunResult));
                c->n_results--;
        }
        c->results[c->n_results++] = *result;
        c->announce |= ANNOUNCE_RESULTS;
}

uint64_t container_seed(const ContainerEntry *c)
{
        char digits[16] = "";

        memcpy(digits, c->run, sizeof(digits) - 1);
        return strtoull(digits, NULL, 16);
}

const RunResult *container_last_result(const ContainerEntry *c)
{
        return c->ended && c->n_results > 0 ? &c->results[c->n_results - 1] : NULL;
}

int container_describe_end(const ContainerEntry *c, char **ret)
{
        char *words;

        if (!c->message)
                return run_result_describe(container_last_result(c), ret);
        words = strdup(c->message);
        if (!words)
                return -ENOMEM;
        utf8_repair(words); /* it may quote, and cut short, what was declared */
        *ret = words;
        return 0;
}

void container_show_end(ContainerEntry *c)
{
        const RunResult *last = container_last_result(c);

        if (c->stopped || !last)
                container_transition(c, CONTAINER_EVENT_SUCCEEDED, REASON_STOPPED);
        else if (run_result_is_success(last))
                container_transition(c, CONTAINER_EVENT_SUCCEEDED, reason_from_result(last));
        else
                container_transition(c, CONTAINER_EVENT_FAILED, reason_from_result(last));
}

void container_show_outcome(ContainerEntry *c)
{
        const PodEntry *p = c->pod;
        bool wanted = p->declared && p->desired && pod_find_container(p->desired->pod, c->name);
        const RunResult *last = container_last_result(c);

        container_show_end(c);
        if (!wanted || c->finished)
                return;
        if (last && !c->stopped && !c->restart_wanted && container_is_init(c) &&
                        run_result_is_success(last))
                return; /* done */
        if (!last || c->stopped || c->restart_wanted)
                container_transition(c, CONTAINER_EVENT_WAIT, REASON_PENDING);
        else if (plan_wants_restart(p->desired->pod->restart, last))
                container_transition(c, CONTAINER_EVENT_BACK_OFF, REASON_BACKING_OFF);
}

void pod_forget_later_inits(PodEntry *p, const ContainerEntry *c)
{
        bool seen = false;

        for (size_t i = 0; i < p->n_containers; i++) {
                ContainerEntry *later = p->containers[i];

                if (seen && container_is_init(later) && !container_is_alive(later)) {
                        later->ended = later->finished = false;
                        later->restart_boot_usec = 0;
                        container_transition(later, CONTAINER_EVENT_WAIT, REASON_PENDING);
                }
                seen = seen || later == c;
        }
}

void container_changed(ContainerEntry *c, unsigned announce)
{
        c->pod->record_dirty = true;
        container_announce_later(c, announce);
}

void container_announce_later(ContainerEntry *c, unsigned announce)
{
        c->announce |= announce;
        manager_queue_pod_announcement(c->pod);
}

/* ---- desired state ---- */

/* Declared containers first and in declared order; what is left of others stays behind them. */
static int pod_align_containers(PodEntry *p)
{
        const Pod *pod = p->desired->pod;
        ContainerEntry *c;
        int r;

        for (size_t i = 0; i < pod->n_containers; i++) {
                size_t at;

                if (!pod_container(p, pod->containers[i].name)) {
                        r = pod_add_container(p, pod->containers[i].name, &c);
                        if (r < 0)
                                return r;
                }
                for (at = 0; !streq(p->containers[at]->name, pod->containers[i].name);)
                        at++;
                c = p->containers[at];
                memmove(p->containers + i + 1, p->containers + i,
                                (at - i) * sizeof(ContainerEntry *));
                p->containers[i] = c;
        }
        return 0;
}

void pod_set_desired(PodEntry *p, Desired *consume)
{
        int r;

        desired_free(p->desired);
        p->desired = consume;
        p->document_saved = p->ready_told = false;
        p->refused = REASON_NONE;
        p->refusal = (free(p->refusal), NULL);
        p->record_dirty = true;
        p->announce |= ANNOUNCE_SPEC | ANNOUNCE_STATE;
        r = pod_align_containers(p);
        if (r < 0)
                log_oom();
        for (size_t i = 0; i < p->n_containers; i++) {
                container_drop_values(p->containers[i]); /* they were for another declaration */
                container_forget_checks(p->containers[i]);
        }
        manager_queue_pod_announcement(p);
}

void pod_set_refused(PodEntry *p, Reason reason, const char *sentence)
{
        log_error("pod %s/%s: its declaration cannot be acted on, what runs is left alone: %s",
                        p->namespace, p->name, sentence);
        p->refused = reason;
        if (free_and_strdup(&p->refusal, sentence) < 0)
                log_oom();
        p->announce |= ANNOUNCE_SPEC | ANNOUNCE_STATE;
        manager_queue_pod_announcement(p);
}

/* What came after an init container was built on it. */
static bool restart_concerns(const ContainerEntry *only, const ContainerEntry *c, bool seen)
{
        return !only || c == only || (seen && container_is_init(only));
}

void pod_restart(PodEntry *p, ContainerEntry *only)
{
        bool seen = false;

        for (size_t i = 0; i < p->n_containers; i++) {
                ContainerEntry *c = p->containers[i];

                seen = seen || c == only;
                if (!restart_concerns(only, c, seen) ||
                                !pod_find_container(p->desired->pod, c->name))
                        continue;
                c->restart_wanted = true;
                c->restarts = c->failures = 0;
                container_changed(c, ANNOUNCE_STATE);
        }
        manager_queue_pod(p);
}
