/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Gives up what the rules (store-rules.h) do not keep: the oldest of the change log, and versions
 * that the log has passed. One cycle at a time, in steps that are each one durable batch of bounded
 * size and leave a database that is whole; a process that is killed in between begins again where
 * the last one ended.
 *
 *   idle --(too much | a time | asked)--> LOG <--+     the revision that ends the step, its rows
 *                                          |     |     and objects are found; one batch gives the
 *                                          v     |     rows up and moves `compacted`
 *                                        PRUNE --+     the versions of those objects
 *                                          |
 *                                        SWEEP         those of all objects: when something
 *                                          |           expired, a rule changed, or it was asked
 *                                        CLOSE         notes when something will expire next
 *                                          v
 *                                         idle
 *
 * It begins by itself when a batch has left more than the rules allow, and some slack; where a rule
 * says an age, at the time when something expires. Nothing polls. What expired and is still needed
 * by the change log takes the log with it; what is only surplus waits for the log. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store.h"
#include "store-rules.h"

/* When versions expire, in µs of real time; 0: all have to be looked at. Written with whatever may
 * leave some behind, so that nothing is forgotten by a process that is killed. */
#define META_PRUNE_DUE "prune-due"

typedef struct Compactor Compactor;

int compactor_new(Store *s, Compactor **ret); /* and looks at what the last process left */
Compactor *compactor_free(Compactor *c);
DEFINE_CLEANUP(Compactor *, compactor_freep, compactor_free);

/* A batch is durable. */
void compactor_note_batch(Compactor *c);
/* The database was opened anew. */
void compactor_reload(Compactor *c);
const Rules *compactor_rules(const Compactor *c);
bool store_is_compacting(const Store *s); /* a cycle is under way */
/* Rows that it gave up may still be there: its batch is under way. */
bool store_is_giving_up(const Store *s);

/* @error NULL: it is done, and the log is compacted up to there. */
typedef void (*Compacted)(uint64_t compacted, const sd_bus_error *error, void *userdata);

/* Gives up the changes up to @revision, and all that the rules do not keep. Answered once. */
int store_compact(
                Store *s, uint64_t revision, Compacted done, void *userdata, sd_bus_error *reterr);

/* Other rules hold from now on; what they do not keep goes. */
void compactor_use_rules(Compactor *c, const Rules *rules);
