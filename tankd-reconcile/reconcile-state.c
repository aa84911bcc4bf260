/* SPDX-License-Identifier: Apache-2.0 */

/* The table behind reconcile-state.h. */

#include "reconcile-state.h"

static const char *const event_table[_CONTAINER_EVENT_MAX] = {
        [CONTAINER_EVENT_START] = "start",
        [CONTAINER_EVENT_RUNNING] = "running",
        [CONTAINER_EVENT_STOP] = "stop",
        [CONTAINER_EVENT_SUCCEEDED] = "succeeded",
        [CONTAINER_EVENT_FAILED] = "failed",
        [CONTAINER_EVENT_BACK_OFF] = "back-off",
        [CONTAINER_EVENT_WAIT] = "wait",
};

const char *container_event_to_string(ContainerEvent event)
{
        assert((size_t) event < ARRAY_SIZE(event_table));
        return event_table[event];
}

/* A run that is over says so once; what a shim reports after that, or a stop of what does not run,
 * changes nothing. A run that is alive is never waited for or backed off from: it ends first. */
static const RunState transitions[_RUN_STATE_MAX][_CONTAINER_EVENT_MAX] = {
        [RUN_WAITING] = {
                [CONTAINER_EVENT_START] = RUN_CREATING,
                [CONTAINER_EVENT_RUNNING] = RUN_WAITING,
                [CONTAINER_EVENT_STOP] = RUN_WAITING,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_EXITED,
                [CONTAINER_EVENT_FAILED] = RUN_FAILED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_WAITING,
                [CONTAINER_EVENT_WAIT] = RUN_WAITING,
        },
        [RUN_CREATING] = {
                [CONTAINER_EVENT_START] = RUN_CREATING,
                [CONTAINER_EVENT_RUNNING] = RUN_RUNNING,
                [CONTAINER_EVENT_STOP] = RUN_STOPPING,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_EXITED,
                [CONTAINER_EVENT_FAILED] = RUN_FAILED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_CREATING,
                [CONTAINER_EVENT_WAIT] = RUN_CREATING,
        },
        [RUN_RUNNING] = {
                [CONTAINER_EVENT_START] = RUN_RUNNING,
                [CONTAINER_EVENT_RUNNING] = RUN_RUNNING,
                [CONTAINER_EVENT_STOP] = RUN_STOPPING,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_EXITED,
                [CONTAINER_EVENT_FAILED] = RUN_FAILED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_RUNNING,
                [CONTAINER_EVENT_WAIT] = RUN_RUNNING,
        },
        [RUN_STOPPING] = {
                [CONTAINER_EVENT_START] = RUN_STOPPING,
                [CONTAINER_EVENT_RUNNING] = RUN_STOPPING,
                [CONTAINER_EVENT_STOP] = RUN_STOPPING,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_EXITED,
                [CONTAINER_EVENT_FAILED] = RUN_FAILED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_STOPPING,
                [CONTAINER_EVENT_WAIT] = RUN_STOPPING,
        },
        [RUN_EXITED] = {
                [CONTAINER_EVENT_START] = RUN_CREATING,
                [CONTAINER_EVENT_RUNNING] = RUN_EXITED,
                [CONTAINER_EVENT_STOP] = RUN_EXITED,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_EXITED,
                [CONTAINER_EVENT_FAILED] = RUN_EXITED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_WAITING,
                [CONTAINER_EVENT_WAIT] = RUN_WAITING,
        },
        [RUN_FAILED] = {
                [CONTAINER_EVENT_START] = RUN_CREATING,
                [CONTAINER_EVENT_RUNNING] = RUN_FAILED,
                [CONTAINER_EVENT_STOP] = RUN_FAILED,
                [CONTAINER_EVENT_SUCCEEDED] = RUN_FAILED,
                [CONTAINER_EVENT_FAILED] = RUN_FAILED,
                [CONTAINER_EVENT_BACK_OFF] = RUN_WAITING,
                [CONTAINER_EVENT_WAIT] = RUN_WAITING,
        },
};

RunState container_next_state(RunState state, ContainerEvent event)
{
        assert((size_t) state < _RUN_STATE_MAX);
        assert((size_t) event < _CONTAINER_EVENT_MAX);
        return transitions[state][event];
}

Reason reason_from_result(const RunResult *result)
{
        switch (result->kind) {
        case RESULT_EXITED: return result->code == 0 ? REASON_COMPLETED : REASON_ERROR;
        case RESULT_SIGNALED: return REASON_SIGNALED;
        case RESULT_OOM_KILLED: return REASON_OOM_KILLED;
        case RESULT_SETUP_FAILED: return REASON_SETUP_FAILED;
        case RESULT_SHIM_LOST: return REASON_SHIM_LOST;
        case RESULT_NONE:
        case _RESULT_KIND_MAX:
        case _RESULT_KIND_INVALID: break;
        }
        return REASON_NONE;
}

/* What the others wait for. */
static void sum_inits(const RunState *states, size_t n, StateSum *sum)
{
        for (size_t i = 0; i < n; i++) {
                if (states[i] == RUN_EXITED)
                        continue;
                sum->state = states[i] == RUN_RUNNING ? RUN_CREATING : states[i];
                sum->decider = i;
                return;
        }
}

StateSum pod_sum_states(const RunState *states, size_t n_init, size_t n)
{
        static const RunState order[_RUN_STATE_MAX] = {
                RUN_STOPPING,
                RUN_CREATING,
                RUN_WAITING,
                RUN_RUNNING,
                RUN_FAILED,
                RUN_EXITED,
        };
        StateSum sum = { .state = RUN_WAITING, .ready = n > n_init };
        bool found = false;

        for (size_t i = n_init; i < n; i++)
                if (states[i] != RUN_RUNNING)
                        sum.ready = false;
        for (size_t o = 0; o < ARRAY_SIZE(order) && !found; o++)
                for (size_t i = n_init; i < n && !found; i++)
                        if (states[i] == order[o]) {
                                sum.state = order[o];
                                sum.decider = i;
                                found = true;
                        }
        if (sum.state == RUN_WAITING)
                sum_inits(states, n_init, &sum);
        return sum;
}
