/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The life of a container as a total table (state × event), and the sum of a pod.
 *
 * Each cell is decided: an event that means nothing in a state leaves it as it is. The only writer
 * of a container's state is container_transition() in reconcile-pod.c; for everybody else the field
 * is const. */

#include "macro.h"
#include "state.h"

typedef enum ContainerEvent {
        CONTAINER_EVENT_START,     /* a shim is being started */
        CONTAINER_EVENT_RUNNING,   /* the workload runs */
        CONTAINER_EVENT_STOP,      /* the shim was told to stop */
        CONTAINER_EVENT_SUCCEEDED, /* over: exited with 0, or ended because it was stopped */
        CONTAINER_EVENT_FAILED,    /* over in any other way, or could not be started */
        CONTAINER_EVENT_BACK_OFF,  /* over, a restart is due later */
        CONTAINER_EVENT_WAIT,      /* shall run, but something must come first */
        _CONTAINER_EVENT_MAX,
        _CONTAINER_EVENT_INVALID = -EINVAL,
} ContainerEvent;

const char *container_event_to_string(ContainerEvent event);
RunState container_next_state(RunState state, ContainerEvent event);

/* Reason of a run's end, for a container that is not started again. */
Reason reason_from_result(const RunResult *result);

typedef struct StateSum {
        RunState state;
        bool ready;
        size_t decider; /* which container stands for the pod; meaningless when there is none */
} StateSum;

/* What a pod is when its containers are @states: the first of stopping, creating, waiting, running,
 * failed, exited that occurs; without containers waiting. Ready when all run. The first @n_init are
 * init containers: while the others wait, the first of these that has not exited with success says
 * for what; one that runs is a part of creating the pod. */
StateSum pod_sum_states(const RunState *states, size_t n_init, size_t n);
