/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the store-kv*.c files; nobody else includes it.
 *
 *      store-kv.c          what a call comes to: an op for each key that changes
 *      store-kv-expiry.c   the same for keys whose time is over; the timer
 *      store-kv-read.c     lists, changes
 *      store-kv-commit.c   ops on their way to the disk, and back
 *      store-kv-state.c    which stores there are, what is under way in each, one key of one
 *
 * each knows those below it.
 *
 * The totals of a store are those of what is accepted; the op that changes them carries them to the
 * disk. When a batch fails they are wrong until everything that was under way is back: then they
 * are read anew. */

#include "store-internal.h"
#include "store-kv.h"

typedef struct KvStore {
        KvStoreName name;
        KvTotals totals;
        void *overlay; /* tsearch() tree of KvOp*, by key: the newest under way of each */
        size_t n_pending;
} KvStore;

struct Kv {
        Store *store;
        void *stores; /* tsearch() tree of KvStore*, by name: those that hold a key, or will */
        size_t n_stores;
        uint64_t bytes; /* of all stores */
        size_t n_pending;
        bool stale; /* the totals do not count */

        sd_event_source *timer;
        uint64_t armed_usec; /* when it goes off; USEC_INFINITY: never */
};

/* One change of one key: the row, its expiry row, the row of the change log, the totals. */
typedef struct KvOp KvOp;
struct KvOp {
        KvOp *next, *previous; /* of the transaction */
        KvStore *store;
        KvEffect effect;
        char *row; /* NULL: the key is removed */
        size_t row_size;
        KvRecord record;      /* in @row */
        uint64_t old_expires; /* of the expiry row that goes; 0: there is none */
        char *change;         /* NULL: touched */
        size_t change_size;
        KvTotals totals; /* of the store, afterwards */
        int64_t added_keys, added_bytes;
        KvOp *shadowed; /* what stood in the overlay before */
        KvBytes key;
        char key_data[];
};

/* ---- store-kv-state.c ---- */

/* Nothing is under way. */
int kv_load(Kv *kv);
void kv_forget(Kv *kv);
/* The data can be used: totals that do not count are read anew. */
int kv_ready(Kv *kv, sd_bus_error *reterr);
/* NULL: there is none. */
KvStore *kv_store_find(const Kv *kv, const char *name);
int kv_store_make(Kv *kv, const char *name, KvStore **ret);
/* Forgets it if it holds nothing and nothing of it is under way. */
void kv_store_drop(Kv *kv, KvStore *store);
typedef int (*KvStoreSeen)(KvStore *store, void *userdata);
int kv_store_each(const Kv *kv, KvStoreSeen each, void *userdata);

int kv_key_compare(KvBytes a, KvBytes b);
KvOp *kv_overlay_find(const KvStore *store, KvBytes key);
int kv_overlay_set(KvStore *store, KvOp *op);
void kv_overlay_drop(KvStore *store, const KvOp *op); /* unless a newer one stands there */
/* Those of a store in the order of their keys. */
int kv_overlay_array(const KvStore *store, KvOp ***ret, size_t *ret_n);

/* What stands under a key, accepted or durable, whether its time is over or not. -ENOENT: nothing.
 * -EBADMSG, -EPROTONOSUPPORT: something that cannot be read. Borrows from the overlay, or from
 * *ret_buffer. */
int kv_find(const Kv *kv, const char *store, KvBytes key, KvRecord *ret, char **ret_buffer);
static inline bool kv_is_over(const KvRecord *r, uint64_t now)
{
        return r->expires_usec != 0 && r->expires_usec <= now;
}

/* How long after a failure the disk is looked at again for the sake of what is over. */
#define KV_RETRY_USEC (5 * USEC_PER_SEC)

/* Lets the timer go off at @usec, if it would later. */
void kv_arm(Kv *kv, uint64_t usec);

int kv_refuse_store(const char *store, sd_bus_error *reterr); /* 0 when the name is one */

/* ---- store-kv-commit.c ---- */

typedef struct KvTransaction KvTransaction;
struct KvTransaction {
        Transaction transaction;
        Kv *kv;
        KvOp *first, *last;
        size_t n_ops;
        size_t bytes; /* of rows */
        uid_t by;
        uint64_t revision; /* if it changes anything */
        uint64_t now;
        size_t n_changes; /* ops that stand in the change log */
        bool rests;       /* upon a write under way: not to be answered before it */

        KvOutcome outcome;
        KvResult *results;   /* owned */
        KvAnswered answered; /* NULL: nobody waits */
        void *userdata;
};

int kv_transaction_new(Kv *kv, uid_t by, KvTransaction **ret);
KvTransaction *kv_transaction_free(KvTransaction *t); /* not under way */
DEFINE_CLEANUP(KvTransaction *, kv_transaction_freep, kv_transaction_free);

/* What stood there (NULL: nothing) becomes @record (NULL: nothing), for all to see from now on. */
int kv_transaction_add(KvTransaction *t, KvStore *store, KvBytes key, const KvRecord *old,
                const KvRecord *record, KvEffect effect);
void kv_transaction_undo(KvTransaction *t);
/* Takes @t on success, undoes it otherwise. */
int kv_transaction_submit(KvTransaction *t, sd_bus_error *reterr);
