/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the store did, counted: of every operation of the bus how often, how often in vain, how long
 * it took, and how many bytes of documents and values went either way; how long writes took to
 * reach the disk. Numbers only: no name, key or value that a client chose is in them (what others
 * know and print through here is theirs).
 *
 * Belongs to the loop. Behind metrics_add_operation() nothing is allocated: a call costs a look-up
 * in a table, two readings of the clock and a few additions.
 *
 *      metrics_begin()         a call came in: it is the current one
 *        metrics_in(), _out()  what it carried
 *        metrics_fail()        it was refused, by an answer of its own
 *        metrics_later()       it is answered behind its handler: by metrics_answered(),
 *                              or at once after all: metrics_now()
 *      metrics_end()           the handler returned */

#include <stdio.h>

#include "macro.h"

typedef struct Metrics Metrics;
typedef struct MetricsOperation MetricsOperation;

/* A call that is answered later. All zero: it is not measured. */
typedef struct MetricsCall {
        MetricsOperation *operation;
        uint64_t since_usec;
} MetricsCall;

int metrics_new(Metrics **ret);
Metrics *metrics_free(Metrics *m);
DEFINE_CLEANUP(Metrics *, metrics_freep, metrics_free);

/* The names are borrowed. -ENOSPC: there are METRICS_OPERATIONS already. */
#define METRICS_OPERATIONS 128U
int metrics_add_operation(Metrics *m, const char *interface, const char *member);

/* @since_usec: when it came in (CLOCK_BOOTTIME). What was not added is not measured. */
void metrics_begin(Metrics *m, const char *interface, const char *member, uint64_t since_usec);
void metrics_in(Metrics *m, size_t bytes);
void metrics_out(Metrics *m, size_t bytes);
void metrics_fail(Metrics *m);
MetricsCall metrics_later(Metrics *m);
void metrics_now(Metrics *m, MetricsCall *call);
void metrics_end(Metrics *m, bool failed);
void metrics_answered(MetricsCall *call, size_t bytes_out, bool failed);

/* A batch was written and synced. */
void metrics_synced(Metrics *m, uint64_t usec);

/* ---- looking on ---- */

/* A number that somebody else knows, as it is now. */
typedef struct MetricsFigure {
        const char *name; /* "queued_transactions", with "_bytes" at its end when it is bytes */
        const char *help;
        uint64_t value;
} MetricsFigure;

/* All numbers one by one, as "Store1.Get.calls" or "syncs". */
typedef int (*MetricsNumber)(const char *name, uint64_t value, void *userdata);
int metrics_walk(const Metrics *m, MetricsNumber each, void *userdata);

/* How often something was done, and how long it took: of the buckets, the one at i counts what took
 * no longer than the bound at i, in µs, and longer than the one before; the last has no bound. */
#define METRICS_BOUNDS 15U
typedef struct MetricsTimes {
        uint64_t n, usec;
        uint64_t buckets[METRICS_BOUNDS + 1];
} MetricsTimes;
void metrics_bounds(uint64_t ret[static METRICS_BOUNDS]);

typedef struct MetricsTotals {
        uint64_t errors, bytes_in, bytes_out;
        const MetricsTimes *times; /* of all calls */
} MetricsTotals;
/* @name: "Store1.Get" */
typedef int (*MetricsSeen)(const char *name, const MetricsTotals *totals, void *userdata);
int metrics_walk_operations(const Metrics *m, MetricsSeen each, void *userdata);
const MetricsTimes *metrics_syncs(const Metrics *m);

/* OpenMetrics text, in parts: what is counted here; figures; a family of gauges that a label tells
 * apart, with its samples straight behind; the end. -EIO: @f failed. */
int metrics_print(const Metrics *m, FILE *f);
int metrics_print_figures(FILE *f, const MetricsFigure *figures, size_t n);
void metrics_print_gauges(FILE *f, const char *name, const char *help);
void metrics_print_gauge(
                FILE *f, const char *name, const char *label, const char *word, uint64_t value);
int metrics_print_end(FILE *f);
