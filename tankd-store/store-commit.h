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

typedef struct Transaction Transaction;

/* What kinds of transactions there are, the queue does not know. */
typedef struct TransactionType {
        /* On the commit thread: its rows. Reads nothing that the loop may change meanwhile. NULL:
         * none; it only waits for what stands before it. */
        void (*put)(const Transaction *t, DbBatch *b, const Db *db);
        /* On the loop, in the order of submission, when its batch is back: @error is 0, or why
         * nothing of it counts. */
        void (*finish)(Transaction *t, int error, void *userdata);
        /* On the loop, when all of its batch were told. */
        void (*free)(Transaction *t);
} TransactionType;

/* Embedded by whoever submits it. */
struct Transaction {
        Transaction *next;
        const TransactionType *type;
        uint64_t revision;           /* 0: it has none: it waits, or keeps house */
        size_t bytes;                /* of its rows; of itself when it has none */
        int64_t log_rows, log_bytes; /* by which the change log grows */
};

/* How much the change log holds: rows, and bytes of their values. Counted with each batch. */
typedef struct LogSize {
        uint64_t rows, bytes;
} LogSize;

typedef struct CommitBatch CommitBatch;
struct CommitBatch {
        CommitBatch *next;
        Transaction *first, **last;
        bool writes;
        uint64_t revision;  /* of the last transaction that has one; 0: none has */
        LogSize log;        /* behind it */
        uint64_t sync_usec; /* how long the write took; 0: there was none */
        int error;          /* 0, or why nothing of it counts */
};

/* The transactions are the callee's to finish and to free. */
typedef void (*CommitDone)(const CommitBatch *batch, void *userdata);

typedef struct Commit Commit;
typedef struct CommitStart {
        Db *db;
        Guard *guard;      /* NULL: nothing stands beside the database */
        uint64_t revision; /* of the newest write: each batch is written upon the one before it */
        LogSize log;
} CommitStart;

int commit_new(sd_event *event, const CommitStart *start, CommitDone done, void *userdata,
                Commit **ret);
Commit *commit_free(Commit *c); /* drains */
DEFINE_CLEANUP(Commit *, commit_freep, commit_free);

/* -EBUSY: too much waits already; or the error that stopped the queue. Takes @t on success. */
int commit_submit(Commit *c, Transaction *t);
/* Nothing more will come together with what was submitted: lets it go now, not when the loop next
 * has nothing to do. */
void commit_hurry(Commit *c);
bool commit_gathers(const Commit *c); /* there is something to let go */
/* Blocks until nothing is under way, and hands all batches back. For the start and the end of the
 * process, and behind a failure, when nothing touches the disk any more. */
void commit_drain(Commit *c);
/* Drained: goes on from another start. */
void commit_resume(Commit *c, const CommitStart *start);
size_t commit_queued(const Commit *c); /* transactions that were submitted and are not back yet */
