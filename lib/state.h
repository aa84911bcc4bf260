/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The words for what runs: one table for the bus, the JSON, the records and the command line.
 * Each enum has x_to_string() (never NULL for a legal value) and x_from_string() (-EINVAL). */

#include "macro.h"

typedef enum RunState {
        RUN_WAITING,
        RUN_CREATING,
        RUN_RUNNING,
        RUN_STOPPING,
        RUN_EXITED,
        RUN_FAILED,
        _RUN_STATE_MAX,
        _RUN_STATE_INVALID = -EINVAL,
} RunState;

typedef enum Reason {
        REASON_NONE, /* "" */
        REASON_PENDING,
        REASON_PULLING,
        REASON_DEPENDENCY_WAIT,
        REASON_BACKING_OFF,
        REASON_HELD,
        REASON_INVALID,
        REASON_UNSUPPORTED,
        REASON_STOPPED,
        REASON_COMPLETED,
        REASON_ERROR,
        REASON_SIGNALED,
        REASON_OOM_KILLED,
        REASON_SETUP_FAILED,
        REASON_SHIM_LOST,
        REASON_UNHEALTHY,
        _REASON_MAX,
        _REASON_INVALID = -EINVAL,
} Reason;

typedef enum PodEvent {
        EVENT_APPLIED,
        EVENT_STARTING,
        EVENT_RUNNING,
        EVENT_READY,
        EVENT_BACKING_OFF, /* "backing-off" */
        EVENT_EXITED,
        EVENT_FAILED,
        EVENT_DELETED,
        EVENT_REFUSED, /* a change could not be made while the containers run */
        EVENT_LOST,    /* events before this one could not be logged; of no pod */
        _POD_EVENT_MAX,
        _POD_EVENT_INVALID = -EINVAL,
} PodEvent;

typedef enum ResultKind {
        RESULT_NONE,         /* "": the run is not over */
        RESULT_EXITED,       /* "exited", code = exit code */
        RESULT_SIGNALED,     /* "signaled", code = signal number */
        RESULT_OOM_KILLED,   /* "oom-killed", code = signal number */
        RESULT_SETUP_FAILED, /* "setup-failed", code = errno, with a stage */
        RESULT_SHIM_LOST,    /* "shim-lost" */
        _RESULT_KIND_MAX,
        _RESULT_KIND_INVALID = -EINVAL,
} ResultKind;

typedef struct RunResult {
        ResultKind kind;
        int code;
        char stage[32];   /* setup-failed only */
        uint64_t at_usec; /* real time of the end */
} RunResult;

typedef enum RestartPolicy {
        RESTART_ALWAYS,
        RESTART_ON_FAILURE, /* "on-failure" */
        RESTART_NEVER,
        _RESTART_POLICY_MAX,
        _RESTART_POLICY_INVALID = -EINVAL,
} RestartPolicy;

#define DECLARE_STRING_TABLE(type, prefix) \
        const char *prefix##_to_string(type value); \
        type prefix##_from_string(const char *s)

/* @table: an array of words, indexed by the enum. */
#define DEFINE_STRING_TABLE(type, prefix, table) \
        const char *prefix##_to_string(type value) \
        { \
                assert((size_t) value < ARRAY_SIZE(table)); \
                return table[value]; \
        } \
        type prefix##_from_string(const char *s) \
        { \
                for (size_t i = 0; i < ARRAY_SIZE(table); i++) \
                        if (streq(table[i], s)) \
                                return (type) i; \
                return (type) -EINVAL; \
        }

DECLARE_STRING_TABLE(RunState, run_state);
DECLARE_STRING_TABLE(Reason, reason);
DECLARE_STRING_TABLE(PodEvent, pod_event);
DECLARE_STRING_TABLE(ResultKind, result_kind);
DECLARE_STRING_TABLE(RestartPolicy, restart_policy);

/* Whether a finished run counts as a success (exited with 0). */
bool run_result_is_success(const RunResult *r);
/* "exited cleanly", "exited with 3", "killed by SIGKILL", "setup failed in rootfs: No such file or
 * directory", "shim lost", "killed for lack of memory". */
int run_result_describe(const RunResult *r, char **ret);
