/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which objects there are: lists, in pages, and counts.
 *
 * Every page of a list shows what stood there at the revision of the first one, whatever is written
 * in between: none is there twice, or missing. The token of the next page says where this one
 * ended; it is good for the same list only, and for as long as its revision is not compacted.
 *
 * A query is worked on in slices of a few milliseconds between whatever else the loop has to do,
 * and the first slice at once: what is short is answered before store_query() returns. A page that
 * takes neither selectors nor sorting is always short. */

#include "store.h"

typedef struct StoreQuery {
        const char *type, *namespace; /* "": every one */
        const char *labels, *fields;  /* selectors; NULL or "": all */
        const char *sort;  /* "name" (or NULL, ""), "created", "updated", "revision"; with
                                       * "-" in front from behind. Equals stand by their names */
        uint32_t limit;    /* 0: the greatest */
        const char *token; /* of an earlier page; NULL or "": the first */
        bool has_revision;
        uint64_t revision; /* as it was then */
        bool has_deadline;
        uint64_t deadline_usec; /* CLOCK_BOOTTIME: TimedOut then */
} StoreQuery;

/* Each document with its meta. A record that cannot be decoded gives a document of its key alone,
 * whose meta says "unreadable": it matches everything, as nobody may take it for absent. */
typedef int (*StoreDocument)(const char *text, void *userdata);

typedef struct StoreResult {
        const char *next; /* token of the next page, "" at the end */
        uint64_t count;   /* of documents told, or counted */
        uint64_t revision;
} StoreResult;

/* Called once, with a result or an error: for what has not failed at once. */
typedef void (*StoreQueried)(const StoreResult *result, const sd_bus_error *error, void *userdata);

typedef struct Query Query; /* under way */

/* 0: it is answered already; 1: it is under way, as *ret, until done() was called. @each NULL: they
 * are counted only, without pages. InvalidArgument, Compacted, TimedOut, Busy (so many are under
 * way), FailedPrecondition (the revision is ahead). */
int store_query(Store *s, const StoreQuery *q, StoreDocument each, StoreQueried done,
                void *userdata, Query **ret, sd_bus_error *reterr);
/* Gives it up; done() is not called. */
Query *query_free(Query *q);
DEFINE_CLEANUP(Query *, query_freep, query_free);
