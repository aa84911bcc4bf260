/* SPDX-License-Identifier: Apache-2.0 */

/* Ops on their way to the disk. From kv_transaction_add() on they are what readers see; until
 * kv_transaction_submit() all of it can be undone: the loop does nothing else in between. */

#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-kv-internal.h"

int kv_transaction_new(Kv *kv, uid_t by, KvTransaction **ret)
{
        KvTransaction *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->kv = kv;
        t->by = by;
        t->revision = kv->store->allocated + 1;
        t->now = now_realtime_usec();
        *ret = t;
        return 0;
}

static void op_free(KvOp *op)
{
        free(op->row);
        free(op->change);
        free(op);
}

KvTransaction *kv_transaction_free(KvTransaction *t)
{
        if (!t)
                return NULL;
        while (t->first) {
                KvOp *next = t->first->next;

                op_free(t->first);
                t->first = next;
        }
        for (size_t i = 0; t->results && i < t->outcome.n; i++)
                sd_bus_error_free(&t->results[i].error);
        free(t->results);
        free(t);
        return NULL;
}

/* ---- gathering ----------------------------------------------------------------------------- */

static int op_new(const KvTransaction *t, KvStore *store, KvBytes key, const KvRecord *old,
                const KvRecord *record, KvEffect effect, KvOp **ret)
{
        KvOp *op = calloc(1, sizeof(*op) + key.size);
        KvChange c = {
                .effect = effect,
                .by = t->by,
                .key = key,
                .had_old = old,
                .has_new = record,
        };
        int r = op ? 0 : -ENOMEM;

        if (op) {
                memcpy(op->key_data, key.data, key.size);
                op->key = (KvBytes){ op->key_data, key.size };
                op->store = store;
                op->effect = effect;
                op->old_expires = old ? old->expires_usec : 0;
        }
        if (r >= 0 && record)
                r = kv_record_encode(record, &op->row, &op->row_size);
        if (r >= 0 && effect != KV_EFFECT_TOUCHED) {
                memcpy(c.store, store->name, sizeof(c.store));
                if (old)
                        c.old = old->value;
                if (record)
                        c.new = record->value;
                r = kv_change_encode(&c, &op->change, &op->change_size);
        }
        if (r < 0) {
                if (op)
                        op_free(op);
                return r;
        }
        if (record) { /* what the overlay lends must live as long as the op */
                op->record = *record;
                op->record.value.data = op->row + op->row_size - record->value.size;
        }
        *ret = op;
        return 0;
}

static void count(Kv *kv, KvOp *op, KvStore *store)
{
        store->totals.keys += (uint64_t) op->added_keys; /* may be negative: it wraps */
        store->totals.bytes += (uint64_t) op->added_bytes;
        kv->bytes += (uint64_t) op->added_bytes;
        op->totals = store->totals;
}

static void measure(KvOp *op, const KvRecord *old)
{
        bool was = old || op->effect == KV_EFFECT_REMOVED; /* one that could not be read counts */

        op->added_keys = (op->row ? 1 : 0) - (was ? 1 : 0);
        if (op->row)
                op->added_bytes += (int64_t) (op->key.size + op->record.value.size);
        if (was)
                op->added_bytes -= (int64_t) (op->key.size + (old ? old->value.size : 0));
}

int kv_transaction_add(KvTransaction *t, KvStore *store, KvBytes key, const KvRecord *old,
                const KvRecord *record, KvEffect effect)
{
        KvOp *op;
        int r;

        r = op_new(t, store, key, old, record, effect, &op);
        if (r < 0)
                return r;
        measure(op, old);
        op->shadowed = kv_overlay_find(store, key);
        r = kv_overlay_set(store, op);
        if (r < 0) {
                op_free(op);
                return r;
        }
        count(t->kv, op, store);
        op->previous = t->last;
        *(t->last ? &t->last->next : &t->first) = op;
        t->last = op;
        t->n_ops++;
        t->n_changes += op->change != NULL;
        t->bytes += 2 * key.size + op->row_size + op->change_size;
        t->transaction.log_bytes += (int64_t) op->change_size;
        store->n_pending++;
        t->kv->n_pending++;
        return 0;
}

static void leave(Kv *kv, KvOp *op)
{
        op->store->n_pending--;
        kv->n_pending--;
}

void kv_transaction_undo(KvTransaction *t)
{
        while (t->last) {
                KvOp *op = t->last;
                KvStore *store = op->store;

                if (op->shadowed)
                        (void) kv_overlay_set(store, op->shadowed); /* replaces: cannot fail */
                else
                        kv_overlay_drop(store, op);
                op->added_keys = -op->added_keys;
                op->added_bytes = -op->added_bytes;
                count(t->kv, op, store);
                leave(t->kv, op);
                t->last = op->previous;
                *(t->last ? &t->last->next : &t->first) = NULL;
                op_free(op);
                kv_store_drop(t->kv, store);
        }
        t->n_ops = t->n_changes = 0;
        t->bytes = 0;
        t->transaction.log_bytes = 0;
}

/* ---- the disk ------------------------------------------------------------------------------ */

static void put_op(const KvOp *op, uint64_t revision, uint32_t index, DbBatch *b, const Db *db)
{
        KvKey data = kv_key_data(op->store->name, op->key), expiry;
        StoreKey k;

        if (op->row)
                db_batch_put(b, db, DB_KV, DB_KEY(&data), op->row, op->row_size);
        else
                db_batch_delete(b, db, DB_KV, DB_KEY(&data));
        if (op->old_expires != 0) {
                expiry = kv_key_expiry(op->old_expires, op->store->name, op->key);
                db_batch_delete(b, db, DB_KV, DB_KEY(&expiry));
        }
        if (op->row && op->record.expires_usec != 0) {
                expiry = kv_key_expiry(op->record.expires_usec, op->store->name, op->key);
                db_batch_put(b, db, DB_KV, DB_KEY(&expiry), "", 0);
        }
        if (op->change) {
                k = change_key_encode(revision, index);
                db_batch_put(b, db, DB_CHANGES, DB_KEY(&k), op->change, op->change_size);
        }
}

static void put_totals(const KvOp *op, DbBatch *b, const Db *db)
{
        StoreKey k = kv_key_totals(op->store->name);
        char totals[KV_TOTALS_SIZE];

        if (op->totals.keys == 0)
                db_batch_delete(b, db, DB_KV, DB_KEY(&k));
        else
                db_batch_put(b, db, DB_KV, DB_KEY(&k), totals,
                                kv_totals_encode(&op->totals, totals));
}

static void put(const Transaction *transaction, DbBatch *b, const Db *db)
{
        const KvTransaction *t = container_of(transaction, KvTransaction, transaction);
        uint32_t index = 0;

        for (const KvOp *op = t->first; op; op = op->next) {
                put_op(op, t->transaction.revision, index, b, db);
                index += op->change != NULL;
                if (!op->next || op->next->store != op->store)
                        put_totals(op, b, db);
        }
}

/* What is durable expires; what is not is not there after a failure. */
static void finish(Transaction *transaction, int error, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        KvTransaction *t = container_of(transaction, KvTransaction, transaction);
        Kv *kv = t->kv;

        for (KvOp *op = t->first; op; op = op->next) {
                kv_overlay_drop(op->store, op);
                if (error >= 0 && op->row && op->record.expires_usec != 0)
                        kv_arm(kv, op->record.expires_usec);
        }
        if (error < 0) {
                kv->stale = true;
                kv_arm(kv, now_realtime_usec() + KV_RETRY_USEC);
                if (transaction->type->put)
                        (void) store_write_failed(kv->store, error, &e);
                else
                        (void) store_refuse_after_failure(error, &e);
        }
        if (t->answered)
                t->answered(error < 0 ? NULL : &t->outcome, error < 0 ? &e : NULL, t->userdata);
}

static void free_transaction(Transaction *transaction)
{
        KvTransaction *t = container_of(transaction, KvTransaction, transaction);

        for (KvOp *op = t->first; op; op = op->next) {
                leave(t->kv, op);
                if (!op->next || op->next->store != op->store)
                        kv_store_drop(t->kv, op->store);
        }
        kv_transaction_free(t);
}

static const TransactionType write_type = { put, finish, free_transaction };
static const TransactionType wait_type = { NULL, finish, free_transaction };

int kv_transaction_submit(KvTransaction *t, sd_bus_error *reterr)
{
        Store *s = t->kv->store;
        int r;

        t->transaction.type = t->n_ops > 0 ? &write_type : &wait_type;
        t->transaction.revision = t->n_changes > 0 ? t->revision : 0;
        t->transaction.bytes = t->n_ops > 0 ? t->bytes : t->outcome.n * sizeof(*t->results);
        t->transaction.log_rows = (int64_t) t->n_changes;
        r = t->kv->n_pending > LIMIT_KV_OPS_WAITING ? -EBUSY
                                                    : commit_submit(s->commit, &t->transaction);
        if (r >= 0) {
                if (t->n_changes > 0)
                        s->allocated = t->revision;
                return 0;
        }
        kv_transaction_undo(t);
        if (r == -EBUSY)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "too many writes wait for the disk: wait for answers, then try "
                                "again");
        return store_refuse_after_failure(r, reterr);
}

/* ---- for the bus --------------------------------------------------------------------------- */

static bool is_in(const char **names, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (streq(names[i], name))
                        return true;
        return false;
}

size_t kv_changed_stores(const CommitBatch *batch, const char **ret, size_t max)
{
        size_t n = 0;

        for (const Transaction *x = batch->first; x; x = x->next) {
                const KvTransaction *t = container_of(x, KvTransaction, transaction);

                if (x->type != &write_type)
                        continue;
                for (const KvOp *op = t->first; op; op = op->next) {
                        if (!op->change || is_in(ret, n, op->store->name))
                                continue;
                        if (n == max)
                                return max + 1;
                        ret[n++] = op->store->name;
                }
        }
        return n;
}
