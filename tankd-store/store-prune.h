/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which versions of one object may go. A version may when the one that follows it is not behind
 * what the change log has given up, or when it is a deletion that nothing follows and that is not
 * itself: so whoever reads the changes since any revision that is still there finds the document
 * of each, and what stood before. The value that stands has nothing behind it and is no deletion:
 * it never goes. They go from the oldest on, without a hole. */

#include "macro.h"
#include "store-key.h"
#include "store-rules.h"
#include "store-upkeep.h"

typedef struct Prune {
        DbIter *iter; /* over the history, of now */
        const Rules *rules;
        uint64_t compacted; /* the change log begins behind it */
        uint64_t now_usec;  /* real time */
        size_t max;         /* rows to delete in all */
        Upkeep *upkeep;     /* gets the deletes */

        /* grows from object to object */
        size_t n;
        uint64_t due_usec; /* when something expires that did not yet; UINT64_MAX: nothing will */
        uint64_t wanted;   /* what expired can go when the change log is given up to here */
} Prune;

/* @prefix as key_prefix_history() makes it. 1: there is more of it than @max; 0: all was looked at;
 * or what the database or memory says. */
int prune_object(Prune *p, const StoreKey *prefix);
