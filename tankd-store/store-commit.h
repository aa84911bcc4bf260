/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one way into the database: transactions are handed to the commit thread, which puts all that
 * wait into one batch, syncs it once, and gives them back to the loop through an eventfd. While it
 * waits for the disk the next batch gathers: no timer, no added delay.
 *
 * A transaction belongs to the commit queue from commit_submit() until its batch comes back. After
 * a failure every transaction that waits fails too (it may build upon the failed one), and none is
 * taken until commit_resume(). */

#include <systemd/sd-event.h>

#include "macro.h"
#include "store-db.h"
#include "store-guard.h"
#include "store-record.h"

/* One object's change: the row of the object (or its removal), of the history and of the change
 * log. */
typedef struct Op {
        ObjectKey key;
        StoreRecord record; /* its document points into value */
        char *value;
        size_t value_size;
        char *change;
        size_t change_size;
} Op;

void op_done(Op *op);

typedef struct Transaction Transaction;
struct Transaction {
        Transaction *next;
        uint64_t revision; /* means something with ops only */
        Op *ops;           /* borrowed from whoever embeds this */
        size_t n_ops;      /* 0: waits for what stands before it, writes nothing */
};

typedef struct CommitBatch CommitBatch;
struct CommitBatch {
        CommitBatch *next;
        Transaction *first, **last;
        size_t n_ops;
        uint64_t revision; /* of the last transaction with ops; 0: there was none */
        int error;         /* 0, or why nothing of it counts */
};

/* The transactions are the callee's again. */
typedef void (*CommitDone)(const CommitBatch *batch, void *userdata);

typedef struct Commit Commit;
int commit_new(sd_event *event, Db *db, Guard *guard, CommitDone done, void *userdata,
                Commit **ret);
Commit *commit_free(Commit *c); /* drains */
DEFINE_CLEANUP(Commit *, commit_freep, commit_free);

/* -EBUSY: too much waits already; or the error that stopped the queue. Takes @t on success. */
int commit_submit(Commit *c, Transaction *t);
/* Blocks until nothing is under way, and hands all batches back. For the start and the end of the
 * process, and behind a failure, when nothing touches the disk any more. */
void commit_drain(Commit *c);
/* Behind a failure, drained: goes on, with another handle. */
void commit_resume(Commit *c, Db *db);
