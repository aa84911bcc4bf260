/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The log of events: what was told, numbered, in the run directory.
 *
 * It lives as long as the machine runs, and through the death of this program; numbers rise by one
 * from event to event and start at 1 in a new log. It is bounded: two segments, `events` and
 * `events.old`; when the first is full it takes the place of the second, whose events are gone.
 * docs/protocol.md tells the format. Who reads it names the last event that he knows: then nothing
 * is told twice, nothing is left out, and what is gone is an error. */

#include "macro.h"

typedef struct Journal Journal;

typedef struct JournalEvent {
        const char *namespace, *pod, *uid, *container, *event;
        uint64_t generation;
        const char *detail;
        uint64_t at_usec; /* real time */
        uint64_t sequence;
} JournalEvent;

/* Takes up the log of @dir_fd, or begins one. What is behind a torn or damaged event is cut off;
 * -EPROTONOSUPPORT: it is of a newer program. */
int journal_open(int dir_fd, Journal **ret);
Journal *journal_free(Journal *j);
DEFINE_CLEANUP(Journal *, journal_freep, journal_free);

/* Writes it behind the others and gives it its number. A detail that is too long is cut. On failure
 * the event is not in the log, and the number goes to the next one. */
int journal_append(Journal *j, JournalEvent *e);

uint64_t journal_first(
                const Journal *j);       /* the oldest that is there; one above the last: none is */
uint64_t journal_last(const Journal *j); /* 0 before the first */

/* Shows @visit the events behind @after, which must be none older than journal_first() - 1, in
 * their order, until it answers 1 or fails, or a page's worth of bytes was read. *ret_last is the
 * last one that was shown, or @after. */
typedef int (*JournalVisit)(const JournalEvent *e, void *userdata);
int journal_read(
                Journal *j, uint64_t after, JournalVisit visit, void *userdata, uint64_t *ret_last);
