/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The planner: (desired, observed, now) → actions, for one pod. Pure: it reads its arguments,
 * writes the plan, and touches nothing else; each case has an answer. What carries the actions out
 * is reconcile-pod.c.
 *
 * The rules, in the order in which they are looked at for each container:
 *
 *   not declared (or the pod is not)  alive → stop; else forget it; the last one gone → remove pod
 *   pod blocked (held, invalid, …)    nothing is started or stopped
 *   declared, alive, changed          stop; the start follows when the run is gone
 *   declared, alive, restart wanted   the same
 *   declared, alive, limits or extra hosts differ from those in force
 *                                     update in place; one at a time, and one that was refused not
 *                                     before its time, unless there is another declaration
 *   declared, alive                   leave it
 *   declared, not alive, or only remains of a run (then a start waits until they are gone):
 *     never ran, changed, restart wanted, ended because we stopped it, or before it ran → start
 *     policy wants no restart         finish
 *     policy wants a restart          back off until its time, then start
 *
 * "Changed" means: the declared generation is another one than the run was last compared with, and
 * the launch hash differs. So neither labels nor an upgrade of this program restart anything.
 *
 * Init containers stand first in the lists. One that was started from its present declaration, in
 * the sandbox that is there, and ended with success is done; the others of the pod start when all
 * are. So the first that is not done is treated like any container, but for its success, which is
 * never an end to start again from; what stands behind it waits. The rules above then say
 *
 *   an init container changed, was added or shall run again   the others stop, and all of that
 *                                     begins again at it; those before it stay done
 *   another sandbox                   begins again at the first
 *   one of the others starts alone    the init containers are done, and stay so
 *   nothing is due of the others      no init container is started either: a pod that is over for
 *                                     good stays so
 *   no longer declared, but running   the others wait until it is gone
 *
 * A container that runs, and was compared with the declared generation, proves that they are done:
 * it would not have been started otherwise. So a lost record does not stop it.
 *
 * A start that needs values of secrets or configs is preceded by their reading: when nothing else
 * is in its way they are asked for, and the start is planned again when they are there. They are
 * never kept for a start that cannot be now.
 *
 * The sandbox of a pod is made by one run and joined by the others: while none is there one start
 * is let go and the rest wait until it is; a sandbox of another shape is replaced when nothing of
 * the pod is alive any more. */

#include "macro.h"
#include "spec.h"
#include "state.h"

typedef enum SandboxState {
        SANDBOX_NONE,     /* nothing to join */
        SANDBOX_CREATING, /* a run is making it */
        SANDBOX_READY,    /* pinned */
        _SANDBOX_STATE_MAX,
        _SANDBOX_STATE_INVALID = -EINVAL,
} SandboxState;

/* What a start needs of secrets and configs, read from the store for it alone. */
typedef enum ValuesState {
        VALUES_NONE,    /* not asked for */
        VALUES_ASKED,   /* on its way */
        VALUES_READY,   /* for a start of the present plan */
        VALUES_MISSING, /* something is not there: waited for */
        _VALUES_STATE_MAX,
        _VALUES_STATE_INVALID = -EINVAL,
} ValuesState;

/* One declared container. */
typedef struct PlanWant {
        const char *name;
        bool needs_values;
        const char *launch_hash; /* what a run must be made from to stay */
        Limits limits;
} PlanWant;

typedef struct PlanDesired {
        uint64_t generation;
        RestartPolicy restart;
        uint64_t backoff_base_usec, backoff_cap_usec;
        const char *sandbox_hash;
        const char *hosts_hash;     /* of what /etc/hosts shall say beside the pod's own names */
        const PlanWant *containers; /* the first @n_init are init containers */
        size_t n_containers, n_init;
        bool blocked; /* start and stop nothing: the declaration cannot be acted on now */
} PlanDesired;

/* One container as it is. */
typedef struct PlanHave {
        const char *name;
        RunState state;
        bool alive;              /* a run is there: its shim lives or is not cleaned up yet */
        bool over;               /* what is there is over and accounted for: only remains */
        const char *launch_hash; /* of the current or last run, "" when there was none */
        uint64_t generation;     /* the declared one that the run was last compared with */
        bool init;               /* that run was one of an init container */
        Limits limits;           /* in force */
        const char *hosts_hash;  /* the same */
        ValuesState values;
        bool holds_place;           /* among @free_starts, for its values */
        bool updating;              /* an update was asked for, and is not answered */
        uint64_t update_boot_usec;  /* no other one before then: the last was refused */
        RunResult last;             /* of the last run, RESULT_NONE when there was none */
        bool stopped;               /* the last run ended because we stopped it */
        bool finished;              /* it is over and that has been noted */
        bool restart_wanted;        /* a person asked */
        unsigned failures;          /* ends in a row without a stable run, the last one included */
        uint64_t ended_boot_usec;   /* when the last run ended */
        uint64_t restart_boot_usec; /* when it is to start again as far as noted, 0: not at all */
        uint64_t seed;              /* of the jitter: fixed for each run */
} PlanHave;

typedef struct PlanObserved {
        SandboxState sandbox;
        const char *sandbox_hash; /* of the one that is there or being made */
        const PlanHave *containers;
        size_t n_containers;
        bool removing;        /* the pod's last remains are being removed */
        unsigned free_starts; /* how many may be started now */
} PlanObserved;

typedef enum PlanVerb {
        PLAN_RESOLVE,  /* read the values of secrets and configs that a start now would need */
        PLAN_START,    /* @create: make the sandbox, else join it; @reset: counts begin anew */
        PLAN_STOP,     /* signal, grace, kill */
        PLAN_UPDATE,   /* limits and extra hosts in place */
        PLAN_CONFIRM,  /* nothing to do for this generation: remember that */
        PLAN_BACK_OFF, /* a restart is due at @at_usec */
        PLAN_FINISH,   /* over, no restart */
        PLAN_WAIT,     /* due, but init containers, the sandbox, values or a place come first */
        PLAN_FORGET,   /* no longer declared and nothing left of it */
        PLAN_REMOVE,   /* the pod: nothing of it is alive; @name is NULL */
        _PLAN_VERB_MAX,
        _PLAN_VERB_INVALID = -EINVAL,
} PlanVerb;

typedef struct PlanAction {
        PlanVerb verb;
        const char *name; /* of the container, borrowed from desired or observed */
        bool create;
        bool reset;
        uint64_t at_usec;
} PlanAction;

typedef struct Plan {
        PlanAction *actions;
        size_t n_actions;
        uint64_t wake_usec; /* boot time at which to plan anew, USEC_INFINITY: at an event */
        bool wants_place;   /* something is due and only @free_starts was in the way */
} Plan;

/* @desired is NULL when the pod is not declared. -ENOMEM. */
int plan_pod(const PlanDesired *desired, const PlanObserved *observed, uint64_t now_usec,
                Plan *ret);
void plan_done(Plan *plan);

const char *plan_verb_to_string(PlanVerb verb);

/* min(base · 2ⁿ⁻¹, cap), and up to a tenth on top that depends on @seed, inside cap. @failures is
 * at least 1 at the first restart. */
uint64_t plan_backoff_delay(
                uint64_t base_usec, uint64_t cap_usec, unsigned failures, uint64_t seed);

/* The number of failures after a run that ran (not: was being set up) from @started to @ended; 0 of
 * @started: it never ran. A run of at least @reset_usec is stable: counting begins anew. */
unsigned plan_count_failure(unsigned failures, uint64_t started_boot_usec, uint64_t ended_boot_usec,
                uint64_t reset_usec);

/* Whether the policy wants another run after @result. */
bool plan_wants_restart(RestartPolicy policy, const RunResult *result);

bool limits_equal(const Limits *a, const Limits *b);
