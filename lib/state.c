/* SPDX-License-Identifier: Apache-2.0 */

/* The tables behind state.h. */

#include <signal.h>
#include <stdio.h>

#include "log.h"
#include "quantity.h"
#include "state.h"

static const char *const run_state_table[_RUN_STATE_MAX] = {
        [RUN_WAITING] = "waiting",
        [RUN_CREATING] = "creating",
        [RUN_RUNNING] = "running",
        [RUN_STOPPING] = "stopping",
        [RUN_EXITED] = "exited",
        [RUN_FAILED] = "failed",
};
DEFINE_STRING_TABLE(RunState, run_state, run_state_table)

static const char *const reason_table[_REASON_MAX] = {
        [REASON_NONE] = "",
        [REASON_PENDING] = "Pending",
        [REASON_PULLING] = "Pulling",
        [REASON_DEPENDENCY_WAIT] = "DependencyWait",
        [REASON_BACKING_OFF] = "BackingOff",
        [REASON_HELD] = "Held",
        [REASON_INVALID] = "Invalid",
        [REASON_UNSUPPORTED] = "Unsupported",
        [REASON_STOPPED] = "Stopped",
        [REASON_COMPLETED] = "Completed",
        [REASON_ERROR] = "Error",
        [REASON_SIGNALED] = "Signaled",
        [REASON_OOM_KILLED] = "OOMKilled",
        [REASON_SETUP_FAILED] = "SetupFailed",
        [REASON_SHIM_LOST] = "ShimLost",
        [REASON_UNHEALTHY] = "Unhealthy",
};
DEFINE_STRING_TABLE(Reason, reason, reason_table)

static const char *const pod_event_table[_POD_EVENT_MAX] = {
        [EVENT_APPLIED] = "applied",
        [EVENT_STARTING] = "starting",
        [EVENT_RUNNING] = "running",
        [EVENT_READY] = "ready",
        [EVENT_BACKING_OFF] = "backing-off",
        [EVENT_EXITED] = "exited",
        [EVENT_FAILED] = "failed",
        [EVENT_DELETED] = "deleted",
        [EVENT_REFUSED] = "refused",
        [EVENT_LOST] = "lost",
};
DEFINE_STRING_TABLE(PodEvent, pod_event, pod_event_table)

static const char *const result_kind_table[_RESULT_KIND_MAX] = {
        [RESULT_NONE] = "",
        [RESULT_EXITED] = "exited",
        [RESULT_SIGNALED] = "signaled",
        [RESULT_OOM_KILLED] = "oom-killed",
        [RESULT_SETUP_FAILED] = "setup-failed",
        [RESULT_SHIM_LOST] = "shim-lost",
};
DEFINE_STRING_TABLE(ResultKind, result_kind, result_kind_table)

static const char *const restart_policy_table[_RESTART_POLICY_MAX] = {
        [RESTART_ALWAYS] = "always",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_NEVER] = "never",
};
DEFINE_STRING_TABLE(RestartPolicy, restart_policy, restart_policy_table)

bool run_result_is_success(const RunResult *r)
{
        return r->kind == RESULT_EXITED && r->code == 0;
}

int run_result_describe(const RunResult *r, char **ret)
{
        char name[16], *s = NULL;
        int n = -1;

        switch (r->kind) {
        case RESULT_NONE: n = asprintf(&s, "not over"); break;
        case RESULT_EXITED:
                n = r->code == 0 ? asprintf(&s, "exited cleanly")
                                 : asprintf(&s, "exited with %d", r->code);
                break;
        case RESULT_SIGNALED: n = asprintf(&s, "killed by %s", signal_name(r->code, name)); break;
        case RESULT_OOM_KILLED: n = asprintf(&s, "killed for lack of memory"); break;
        case RESULT_SETUP_FAILED:
                n = asprintf(&s, "setup failed in %s: %s", isempty(r->stage) ? "start" : r->stage,
                                errno_words(r->code));
                break;
        case RESULT_SHIM_LOST: n = asprintf(&s, "its shim was lost"); break;
        case _RESULT_KIND_MAX:
        case _RESULT_KIND_INVALID: assert(false);
        }
        if (n < 0)
                return -ENOMEM;
        *ret = s;
        return 0;
}
