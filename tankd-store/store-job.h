/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Work that is too long for one turn of the loop: a backup, a verification, a compaction. It is
 * done in slices of a few milliseconds, in turn; between them everybody else is served, and what
 * they write goes its way. When nobody has anything to do a slice follows the other; under load
 * each job still gets its share, or it would never end. A job that waits (for a descriptor, for a
 * batch) costs nothing.
 *
 *      added ---> runs <---> waits
 *                  |           |
 *                  +--> ended <+      end(), once, which frees it
 *
 * Jobs hold views and iterators of a database handle: when that is exchanged, all that do are ended
 * before. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store.h"

typedef struct Job Job;

typedef struct JobType {
        /* One slice, until about @deadline (boot time). 1: more to do; 0: done; -EAGAIN: job_wake()
         * will be called; else it failed, and *reterr says why. */
        int (*turn)(Job *j, uint64_t deadline, sd_bus_error *reterr);
        /* It is over: @error NULL, or why. Frees the job. Begins no other one. */
        void (*end)(Job *j, const sd_bus_error *error);
        bool holds;  /* a view or an iterator, between its turns */
        bool always; /* the store's own: not counted among what others ask for */
} JobType;

/* Embedded by whoever adds it. */
struct Job {
        const JobType *type;
        Store *store;
        Job *next, *previous;
        bool waits;
};

typedef struct Jobs Jobs; /* of a store */
int jobs_new(sd_event *event, Jobs **ret);
Jobs *jobs_free(Jobs *q); /* all must have been ended */
DEFINE_CLEANUP(Jobs *, jobs_freep, jobs_free);

/* Busy when there are too many, Unavailable when the store ends. Takes @j on success; its first
 * turn is the loop's next idle one. */
int job_add(Store *s, Job *j, sd_bus_error *reterr);
void job_wake(Job *j);
/* Ends it from outside of its turn. */
void job_fail(Job *j, const sd_bus_error *error);

/* Ends those that hold something of the database (all with @all), since @why. */
void jobs_end(Jobs *q, bool all, const char *why);
bool jobs_idle(const Jobs *q); /* for tests: nothing would run without a wake */
