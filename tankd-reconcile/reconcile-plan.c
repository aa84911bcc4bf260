/* SPDX-License-Identifier: Apache-2.0 */

/* The rules of reconcile-plan.h. */

#include "reconcile-plan.h"

typedef struct Planner {
        const PlanDesired *desired;
        const PlanObserved *observed;
        uint64_t now;
        Plan plan;
        SandboxState sandbox; /* as it will be after the actions so far */
        unsigned n_alive;     /* runs that are there, the starts so far included */
        unsigned free_starts;
        bool inits_done; /* nothing that may start waits for an init container */
} Planner;

static const char *const verb_table[_PLAN_VERB_MAX] = {
        [PLAN_RESOLVE] = "resolve",
        [PLAN_START] = "start",
        [PLAN_STOP] = "stop",
        [PLAN_UPDATE] = "update",
        [PLAN_CONFIRM] = "confirm",
        [PLAN_BACK_OFF] = "back-off",
        [PLAN_FINISH] = "finish",
        [PLAN_WAIT] = "wait",
        [PLAN_FORGET] = "forget",
        [PLAN_REMOVE] = "remove",
};

const char *plan_verb_to_string(PlanVerb verb)
{
        assert((size_t) verb < ARRAY_SIZE(verb_table));
        return verb_table[verb];
}

bool limits_equal(const Limits *a, const Limits *b)
{
        return a->memory == b->memory && a->pids == b->pids && a->cpu_quota == b->cpu_quota &&
               (a->cpu_quota == 0 || a->cpu_period == b->cpu_period);
}

uint64_t plan_backoff_delay(uint64_t base_usec, uint64_t cap_usec, unsigned failures, uint64_t seed)
{
        uint64_t delay = base_usec, jitter;

        for (unsigned i = 1; i < failures && delay < cap_usec; i++)
                delay = delay > UINT64_MAX / 2 ? UINT64_MAX : delay * 2;
        delay = MIN(delay, cap_usec);
        jitter = delay / 10000 * (seed % 1001) + delay % 10000 * (seed % 1001) / 10000;
        return jitter > cap_usec - delay ? cap_usec : delay + jitter;
}

unsigned plan_count_failure(unsigned failures, uint64_t started_boot_usec, uint64_t ended_boot_usec,
                uint64_t reset_usec)
{
        if (started_boot_usec > 0 && ended_boot_usec >= started_boot_usec &&
                        ended_boot_usec - started_boot_usec >= reset_usec)
                return 1;
        return failures == UINT32_MAX ? failures : failures + 1;
}

bool plan_wants_restart(RestartPolicy policy, const RunResult *result)
{
        switch (policy) {
        case RESTART_ALWAYS: return true;
        case RESTART_ON_FAILURE: return !run_result_is_success(result);
        case RESTART_NEVER:
        case _RESTART_POLICY_MAX:
        case _RESTART_POLICY_INVALID: break;
        }
        return false;
}

static int add(Planner *p, PlanAction action)
{
        PlanAction *grown;
        size_t n = p->plan.n_actions;

        if (n % 8 == 0) {
                grown = reallocarray(p->plan.actions, n + 8, sizeof(PlanAction));
                if (!grown)
                        return -ENOMEM;
                p->plan.actions = grown;
        }
        p->plan.actions[p->plan.n_actions++] = action;
        return 0;
}

static const PlanWant *find_want(const PlanDesired *d, const char *name)
{
        for (size_t i = 0; d && i < d->n_containers; i++)
                if (streq(d->containers[i].name, name))
                        return &d->containers[i];
        return NULL;
}

static const PlanHave *find_have(const PlanObserved *o, const char *name)
{
        for (size_t i = 0; i < o->n_containers; i++)
                if (streq(o->containers[i].name, name))
                        return &o->containers[i];
        return NULL;
}

static int plan_undeclared(Planner *p, const PlanHave *have)
{
        if (!have->alive)
                return add(p, (PlanAction){ .verb = PLAN_FORGET, .name = have->name });
        if (have->state == RUN_CREATING || have->state == RUN_RUNNING)
                return add(p, (PlanAction){ .verb = PLAN_STOP, .name = have->name });
        return 0; /* stopping, or over and being cleaned up */
}

/* ---- what is, and what is due ---- */

static bool is_changed(const Planner *p, const PlanWant *want, const PlanHave *have)
{
        return have->generation != p->desired->generation &&
               !streq(have->launch_hash, want->launch_hash);
}

static bool is_init(const Planner *p, const PlanWant *want)
{
        return want < p->desired->containers + p->desired->n_init;
}

/* Not only remains. */
static bool is_live(const PlanHave *have)
{
        return have && have->alive && !have->over;
}

static bool has_sandbox(const Planner *p)
{
        return p->observed->sandbox == SANDBOX_READY &&
               streq(p->observed->sandbox_hash, p->desired->sandbox_hash);
}

/* What comes next of a container that is not alive. */
typedef enum Due {
        DUE_POLICY, /* what the policy says of its end */
        DUE_START,
        DUE_START_ANEW, /* with counts at zero */
} Due;

static Due due_of(const Planner *p, const PlanWant *want, const PlanHave *have)
{
        if (!have || !*have->launch_hash || have->restart_wanted || is_changed(p, want, have))
                return DUE_START_ANEW;
        if (have->stopped || have->last.kind == RESULT_NONE)
                return DUE_START;
        /* It was done, and is to be done again. */
        if (is_init(p, want) && run_result_is_success(&have->last))
                return DUE_START_ANEW;
        return DUE_POLICY;
}

static uint64_t next_start(const Planner *p, const PlanHave *have)
{
        return have->ended_boot_usec + plan_backoff_delay(p->desired->backoff_base_usec,
                                                       p->desired->backoff_cap_usec,
                                                       MAX(have->failures, 1U), have->seed);
}

/* ---- init containers: where they stand ---- */

/* As far as itself and its declaration are concerned. */
static bool init_is_done(const Planner *p, const PlanWant *want, const PlanHave *have)
{
        return have && !is_live(have) && *have->launch_hash && !is_changed(p, want, have) &&
               !have->restart_wanted && !have->stopped && run_result_is_success(&have->last);
}

/* Whether one that was taken out of the declaration still runs. */
static bool old_init_runs(const Planner *p)
{
        for (size_t i = 0; i < p->observed->n_containers; i++) {
                const PlanHave *have = &p->observed->containers[i];

                if (have->init && is_live(have) && !find_want(p->desired, have->name))
                        return true;
        }
        return false;
}

static bool proves_inits(const Planner *p, const PlanHave *have)
{
        return is_live(have) && !have->init && !have->restart_wanted &&
               have->generation == p->desired->generation;
}

static bool inits_are_done(const Planner *p)
{
        const PlanDesired *d = p->desired;
        bool done = true;

        for (size_t i = d->n_init; d->n_init > 0 && i < d->n_containers; i++)
                if (proves_inits(p, find_have(p->observed, d->containers[i].name)))
                        return true;
        for (size_t i = 0; i < d->n_init && done; i++)
                done = init_is_done(p, &d->containers[i],
                                find_have(p->observed, d->containers[i].name));
        return done && (d->n_init == 0 || has_sandbox(p)) && !old_init_runs(p);
}

/* Whether something waits for them, and nothing is in their way. */
static bool inits_are_due(const Planner *p)
{
        const PlanDesired *d = p->desired;
        bool due = false;

        for (size_t i = 0; i < d->n_containers; i++) {
                const PlanWant *want = &d->containers[i];
                const PlanHave *have = find_have(p->observed, want->name);

                if (is_init(p, want) ? is_live(have) : have && have->alive)
                        return false;
                if (is_init(p, want))
                        continue;
                if (due_of(p, want, have) != DUE_POLICY)
                        due = true;
                else if (plan_wants_restart(d->restart, &have->last))
                        due = due || p->now >= next_start(p, have);
        }
        return due && !old_init_runs(p);
}

/* ---- one container ---- */

/* What of its declaration has changed in a way that it cannot be given while it runs. An init
 * container that shall run (again) is a change of all others: they were started after it. */
static bool must_stop(const Planner *p, const PlanWant *want, const PlanHave *have)
{
        if (is_changed(p, want, have) || have->restart_wanted)
                return true;
        if (is_init(p, want))
                return false;
        return have->generation != p->desired->generation && !p->inits_done;
}

static int plan_update(Planner *p, const PlanWant *want, const PlanHave *have)
{
        bool refused = have->generation == p->desired->generation &&
                       p->now < have->update_boot_usec;

        if (have->state != RUN_RUNNING || have->updating ||
                        (limits_equal(&want->limits, &have->limits) &&
                                        streq(have->hosts_hash, p->desired->hosts_hash)))
                return 0;
        if (!refused)
                return add(p, (PlanAction){ .verb = PLAN_UPDATE, .name = have->name });
        p->plan.wake_usec = MIN(p->plan.wake_usec, have->update_boot_usec);
        return 0;
}

static int plan_alive(Planner *p, const PlanWant *want, const PlanHave *have)
{
        bool settled = have->state != RUN_CREATING && have->state != RUN_RUNNING;
        int r;

        if (must_stop(p, want, have))
                return settled ? 0 : add(p, (PlanAction){ .verb = PLAN_STOP, .name = have->name });
        if (have->generation != p->desired->generation) {
                r = add(p, (PlanAction){ .verb = PLAN_CONFIRM, .name = have->name });
                if (r < 0)
                        return r;
        }
        return plan_update(p, want, have);
}

/* What is due but cannot be started now is shown as waiting; what waits already stays as it is. */
static int plan_wait(Planner *p, const char *name, const PlanHave *have)
{
        if (have && have->state == RUN_WAITING)
                return 0;
        return add(p, (PlanAction){ .verb = PLAN_WAIT, .name = name });
}

static bool take_place(Planner *p, const PlanHave *have)
{
        if (have && have->holds_place)
                return true;
        if (p->free_starts == 0) {
                p->plan.wants_place = true;
                return false;
        }
        p->free_starts--;
        return true;
}

/* Nothing but its values is in the way of a start. */
static int plan_values(Planner *p, const PlanWant *want, const PlanHave *have)
{
        if ((have && have->values != VALUES_NONE) || !take_place(p, have))
                return plan_wait(p, want->name, have);
        return add(p, (PlanAction){ .verb = PLAN_RESOLVE, .name = want->name });
}

/* Something is due: may it start, and does it make the sandbox or join it? */
static int plan_start(Planner *p, const PlanWant *want, const PlanHave *have, bool reset)
{
        bool create = p->sandbox != SANDBOX_READY;

        if (!streq(p->observed->sandbox_hash, p->desired->sandbox_hash))
                create = true;
        if ((have && have->alive) || (create && p->n_alive > 0) ||
                        (!is_init(p, want) && !p->inits_done))
                return plan_wait(p, want->name, have);
        if (want->needs_values && !(have && have->values == VALUES_READY))
                return plan_values(p, want, have);
        if (!take_place(p, have))
                return plan_wait(p, want->name, have);
        p->n_alive++;
        if (create)
                p->sandbox = SANDBOX_CREATING;
        return add(p, (PlanAction){ .verb = PLAN_START,
                                      .name = want->name,
                                      .create = create,
                                      .reset = reset });
}

static int plan_finish(Planner *p, const PlanHave *have)
{
        return have->finished ? 0 : add(p, (PlanAction){ .verb = PLAN_FINISH, .name = have->name });
}

static int plan_confirm(Planner *p, const PlanHave *have)
{
        return have->generation == p->desired->generation
                               ? 0
                               : add(p, (PlanAction){ .verb = PLAN_CONFIRM, .name = have->name });
}

static int plan_ended(Planner *p, const PlanWant *want, const PlanHave *have)
{
        uint64_t at;
        int r;

        if (!plan_wants_restart(p->desired->restart, &have->last))
                return plan_finish(p, have);
        at = next_start(p, have);
        if (have->restart_boot_usec != at) {
                r = add(p, (PlanAction){ .verb = PLAN_BACK_OFF,
                                           .name = have->name,
                                           .at_usec = at });
                if (r < 0)
                        return r;
        }
        if (p->now >= at)
                return plan_start(p, want, have, false);
        p->plan.wake_usec = MIN(p->plan.wake_usec, at);
        return 0;
}

static int plan_not_alive(Planner *p, const PlanWant *want, const PlanHave *have)
{
        Due due = due_of(p, want, have);
        int r;

        if (due == DUE_START_ANEW)
                return plan_start(p, want, have, true);
        r = plan_confirm(p, have);
        if (r < 0)
                return r;
        return due == DUE_START ? plan_start(p, want, have, false) : plan_ended(p, want, have);
}

/* ---- all of them ---- */

static int plan_inits(Planner *p)
{
        const PlanDesired *d = p->desired;
        bool due = !p->inits_done && inits_are_due(p), ahead = false;
        int r = 0;

        for (size_t i = 0; i < d->n_init && r >= 0; i++) {
                const PlanWant *want = &d->containers[i];
                const PlanHave *have = find_have(p->observed, want->name);

                if (is_live(have)) {
                        /* One before it shall run first, after all. */
                        bool early = ahead &&
                                     (have->state == RUN_CREATING || have->state == RUN_RUNNING);

                        r = early ? add(p, (PlanAction){ .verb = PLAN_STOP, .name = have->name })
                                  : plan_alive(p, want, have);
                        ahead = true;
                } else if (!ahead && init_is_done(p, want, have) &&
                                (p->inits_done || has_sandbox(p))) {
                        r = plan_confirm(p, have);
                        if (r >= 0)
                                r = plan_finish(p, have);
                } else {
                        if (due && !ahead)
                                r = plan_not_alive(p, want, have);
                        ahead = true;
                }
        }
        return r;
}

static int plan_declared(Planner *p)
{
        const PlanDesired *d = p->desired;
        const PlanObserved *o = p->observed;
        int r;

        for (size_t i = 0; i < o->n_containers; i++)
                if (!find_want(d, o->containers[i].name)) {
                        r = plan_undeclared(p, &o->containers[i]);
                        if (r < 0)
                                return r;
                }
        p->inits_done = inits_are_done(p);
        r = plan_inits(p);
        for (size_t i = d->n_init; i < d->n_containers && r >= 0; i++) {
                const PlanWant *want = &d->containers[i];
                const PlanHave *have = find_have(o, want->name);

                r = is_live(have) ? plan_alive(p, want, have) : plan_not_alive(p, want, have);
        }
        return r;
}

static int plan_removed(Planner *p)
{
        const PlanObserved *o = p->observed;
        int r;

        if (p->n_alive == 0)
                return o->removing ? 0 : add(p, (PlanAction){ .verb = PLAN_REMOVE });
        for (size_t i = 0; i < o->n_containers; i++) {
                if (!o->containers[i].alive)
                        continue;
                r = plan_undeclared(p, &o->containers[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int plan_pod(const PlanDesired *desired, const PlanObserved *observed, uint64_t now_usec, Plan *ret)
{
        Planner p = {
                .desired = desired,
                .observed = observed,
                .now = now_usec,
                .plan.wake_usec = USEC_INFINITY,
                .sandbox = observed->sandbox,
                .free_starts = observed->free_starts,
        };
        int r = 0;

        for (size_t i = 0; i < observed->n_containers; i++)
                p.n_alive += observed->containers[i].alive;
        if (!desired)
                r = plan_removed(&p);
        else if (!desired->blocked)
                r = plan_declared(&p);
        if (r < 0) {
                plan_done(&p.plan);
                return r;
        }
        *ret = p.plan;
        return 0;
}

void plan_done(Plan *plan)
{
        free(plan->actions);
        *plan = (Plan){ 0 };
}
