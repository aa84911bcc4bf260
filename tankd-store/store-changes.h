/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The change log, read from a revision on: how a client follows the store without losing anything.
 *
 * The log is part of the same batch as what it tells of, so it is never ahead of what is durable,
 * and never behind. Its revisions follow one upon the other, and so do the indexes within each: a
 * row that is missing, or that cannot be decoded, is seen as that, and answered with Compacted, as
 * if everything up to its revision were gone. So nobody takes a gap for none, and whoever lists
 * anew, as Compacted asks for, has passed it: one bad row stops nobody for good.
 *
 * With filters a client sees the objects that match, as if there were no others: an object that
 * ceases to match by its labels is "deleted" for it, one that begins to is "created". */

#include "store.h"

/* A row as it stands in the log, borrowed: 1: it was told; 0: it is none of those that are wanted.
 * -EBADMSG: it cannot be decoded. */
typedef int (*StoreRowSeen)(uint64_t revision, const void *row, size_t size, void *userdata);

typedef struct StoreChangesQuery {
        const char *database_id; /* that @since belongs to */
        uint64_t since;          /* changes behind it are wanted */
        uint32_t limit;          /* 0: the greatest; a revision is never torn apart for it */
        bool documents;
        const char *type, *namespace; /* NULL or "": every one */
        const char *prefix;           /* of the name; the same */
        const char *labels;           /* a selector; the same */
        StoreRowSeen row;             /* not NULL: every row, and none of the filters above */
} StoreChangesQuery;

/* @document is what stands there since, or, of what was deleted, what stood there last. It is ""
 * when it was not asked for, or when a transaction deleted so much that it has no room. */
typedef int (*StoreChangeSeen)(
                uint64_t revision, const StoreChange *change, const char *document, void *userdata);

/* In order. *ret_revision: up to where that is complete, and behind which to go on; with *ret_more
 * at once, also when nothing was told, as the rows that are looked at are bounded, too.
 * FailedPrecondition: another database, or a revision ahead of it; Compacted. */
int store_changes(Store *s, const StoreChangesQuery *q, StoreChangeSeen each, void *userdata,
                bool *ret_more, uint64_t *ret_revision, sd_bus_error *reterr);
