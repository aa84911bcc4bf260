/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stood in a part of the store at a revision, object by object in the order of their keys: of
 * one view of the database, however often it is written to while somebody reads on.
 *
 * At the newest revision these are the objects' own rows. Before it, of each object that there ever
 * was, the newest row of its history that is not behind the revision; an object whose row is a
 * tombstone, or that has none, was not there. Behind the compacted revision the history has all
 * that this needs, so whoever asks makes sure that the revision is not before it.
 *
 * The history has the newest revision, too: where the objects' own rows are damaged, it stands in
 * for them. */

#include "store-db.h"
#include "store-key.h"

typedef struct Scan Scan;

typedef struct ScanRange {
        const char *type, *namespace; /* "": every one */
        const ObjectKey *behind;      /* NULL: from the first on */
} ScanRange;

/* Of a history: to the newest version before @behind of the object whose versions begin with
 * @prefix; rows that are the place of no version are passed over. 1; 0: there is none. */
int history_seek_before(DbIter *i, const StoreKey *prefix, const StoreKey *behind);

#define SCAN_NEWEST UINT64_MAX

/* -ERANGE: the revision is ahead of the database. */
int scan_new(Db *db, uint64_t revision, const ScanRange *range, Scan **ret);
Scan *scan_free(Scan *s);
DEFINE_CLEANUP(Scan *, scan_freep, scan_free);

uint64_t scan_revision(const Scan *s);
bool scan_is_newest(const Scan *s); /* nothing was written since */
/* The same moment, another part of the store. */
int scan_restart(Scan *s, const ScanRange *range);
const DbView *scan_view(const Scan *s);

/* 1: the next one, whose row is borrowed until the next call; 0: there is none; -EAGAIN: not found
 * yet, ask again: so that nobody waits long. -EILSEQ: a row whose key, which is in *ret_row, is the
 * name of nothing: ask again for what stands behind it. */
int scan_next(Scan *s, ObjectKey *ret, const char **ret_row, size_t *ret_size);
/* The row of an object that scan_next() gave earlier; behind the end only. */
int scan_get(Scan *s, const ObjectKey *key, const char **ret_row, size_t *ret_size);
