/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Waiting until a pod is in a state: woken by PodEvent, decided by GetStatus. */

#include "ctl-bus.h"
#include "state.h"

typedef enum Condition {
        CONDITION_RUNNING,
        CONDITION_READY,
        CONDITION_EXITED,
        CONDITION_DELETED,
        CONDITION_APPLIED, /* each container runs as declared, or has ended for good as it should */
        _CONDITION_MAX,
        _CONDITION_INVALID = -EINVAL,
} Condition;

const char *condition_to_string(Condition c);
Condition condition_from_string(const char *s); /* those that people wait for */

#define WAIT_TIMEOUT_USEC (60 * USEC_PER_SEC)

typedef struct Waiter {
        sd_bus *bus; /* borrowed */
        uint64_t timeout, deadline;
        uint64_t call_timeout; /* the connection's own, for one answer; 0: not asked for yet */
        bool silent;           /* who is asked does not answer */
        bool dirty;
        const char *namespace, *pod; /* the one that is waited for just now */
        bool news;                   /* of it */
        bool eventful;  /* only how a start came out is of interest, not that it began */
        bool brief;     /* what is waited for may end at once, and then that is what is told */
        RunState state; /* of the last pod that was waited for, in the end */
} Waiter;

/* Subscribes; done before the write that is waited for, nothing can be missed. The time runs from
 * here. @w must live as long as @bus is used. @namespace and @pod may be NULL. */
int waiter_start(Waiter *w, sd_bus *bus, const char *namespace, const char *pod, uint64_t timeout);

/* 0 or the exit code, when it is said already what is wrong. @generation: at least that one; 0: the
 * one that the store holds now. @eventful: it was made just now, so that nothing needs to be looked
 * at before there is an event of it. */
int waiter_wait(Waiter *w, const char *namespace, const char *pod, Condition c, uint64_t generation,
                bool eventful);
/* The same for a pod that was declared just now as @document: until it runs, or has ended for
 * good as it should. */
int waiter_wait_applied(Waiter *w, const json_t *document, uint64_t generation, bool eventful);

/* Why a pod is as it is, in one line; never empty. NULL: out of memory. */
char *status_explain(const json_t *status);
