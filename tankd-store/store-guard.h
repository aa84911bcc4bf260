/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What stands beside the database, in the data directory:
 *
 *   witness   the database's id and the highest revision that anybody was told of. A write-ahead
 *             log that was cut cleanly looks like a shorter log: only a number kept elsewhere
 *             tells that acknowledged writes are missing. One line of fixed size, written in place
 *             behind each synced batch and not synced itself: it costs no sync, survives the
 *             process, and after a power cut lags by what the kernel had not written back yet. It
 *             can never be ahead of the database.
 *   ballast   space set aside, and files (ballast.1 and so on). On a full disk the database cannot
 *             even be opened for writing; giving this up makes room for replaying the log and for
 *             deleting.
 *
 * The commit thread calls guard_note(); everything else is the loop's. */

#include "clock.h"
#include "macro.h"

typedef struct Guard Guard;

int guard_open(const char *dir, Guard **ret);
Guard *guard_free(Guard *g);
DEFINE_CLEANUP(Guard *, guard_freep, guard_free);

/* -ENOENT: there is no witness; -EBADMSG: it is damaged; -EPROTONOSUPPORT: a newer one. */
int guard_read_witness(Guard *g, char ret_id[static ID128_SIZE], uint64_t *ret_revision);
/* Makes the witness anew, durably, and keeps it open for guard_note(). On a full disk the one that
 * is there goes on, if it is of the same database. */
int guard_start_witness(Guard *g, const char *id, uint64_t revision);
void guard_note(Guard *g, uint64_t revision);
void guard_sync(Guard *g); /* before a clean end */

int guard_take_ballast(Guard *g); /* all of it, or -ENOSPC when there is no room */
void guard_drop_ballast(Guard *g);
/* Whether there is room for the ballast and as much again. */
bool guard_has_room(const Guard *g);
/* Whether there is as much as it takes to open the database, and to delete something. */
bool guard_has_room_to_open(const Guard *g);
/* Whether the file system takes writes, full or not. */
bool guard_may_write(const Guard *g);
bool guard_has_witness(const Guard *g); /* it is open */
