/* SPDX-License-Identifier: Apache-2.0 */

/* Keys whose time is over. One timer, for the earliest of the durable ones; without such keys
 * nobody wakes up. What is under way is left alone: it sets the timer anew when it is durable. A
 * turn takes LIMIT_KV_EXPIRE keys in one transaction, and the rest in the next one.
 *
 * While nothing can be written the keys are absent all the same; it is tried again every
 * KV_RETRY_USEC, unless the store is broken for good. */

#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-kv-internal.h"

/* The timer may go off a little later, together with others. */
#define ACCURACY_USEC (100 * USEC_PER_MSEC)

/* The row that the index names, if it is over. 1; 0: it is under way, or does not match. */
static int add_one(KvTransaction *t, uint64_t expires, const char *name, KvBytes key)
{
        CLEANUP_FREE char *buffer = NULL;
        KvStore *store = kv_store_find(t->kv, name);
        KvRecord record;
        int r;

        if (!store || kv_overlay_find(store, key))
                return 0;
        r = kv_find(t->kv, name, key, &record, &buffer);
        if (r >= 0 && record.expires_usec == expires) {
                r = kv_transaction_add(t, store, key, &record, NULL, KV_EFFECT_EXPIRED);
                return r < 0 ? r : 1;
        }
        if (r == -ENOENT || r == -EBADMSG || r == -EPROTONOSUPPORT || r >= 0)
                return 0; /* nobody reads such a row, and whoever writes the key, replaces it */
        return r;
}

/* Adds what is over; *ret_next is when the next one is, USEC_INFINITY for never. */
static int gather(KvTransaction *t, uint64_t *ret_next)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = kv_prefix_expiry();
        int r;

        *ret_next = USEC_INFINITY;
        r = db_iter_new(t->kv->store->db, NULL, DB_KV, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&prefix)); db_iter_valid(i); db_iter_next(i)) {
                size_t size;
                const char *k = db_iter_key(i, &size);
                KvStoreName store;
                uint64_t expires;
                KvBytes key;

                if (!key_has_prefix(k, size, &prefix))
                        return 0;
                if (kv_key_expiry_decode(k, size, &expires, store, &key) < 0)
                        continue;
                if (expires > t->now || t->n_ops >= LIMIT_KV_EXPIRE) {
                        *ret_next = expires;
                        return 0;
                }
                r = add_one(t, expires, store, key);
                if (r < 0)
                        return r;
        }
        return db_iter_status(i);
}

/* Nothing of it stays, unless something is over. */
static int find_over(Kv *kv, KvTransaction **ret, uint64_t *ret_next, sd_bus_error *reterr)
{
        CLEANUP(kv_transaction_freep) KvTransaction *t = NULL;
        int r;

        r = kv_ready(kv, reterr);
        if (r < 0)
                return r;
        r = kv_transaction_new(kv, 0, &t);
        if (r >= 0)
                r = gather(t, ret_next);
        if (t && (r < 0 || t->n_ops == 0))
                kv_transaction_undo(t);
        if (r < 0)
                return store_read_failed(r, reterr);
        *ret = TAKE_PTR(t);
        return 0;
}

static int expire(Kv *kv, uint64_t *ret_next, sd_bus_error *reterr)
{
        CLEANUP(kv_transaction_freep) KvTransaction *t = NULL;
        int r;

        *ret_next = now_realtime_usec() + KV_RETRY_USEC;
        r = find_over(kv, &t, ret_next, reterr);
        if (r >= 0 && t->n_ops > 0 && kv->store->state != STORE_OK) {
                /* Only for something to write; and then it is found anew, as the database may be
                 * another one. */
                kv_transaction_undo(t);
                t = kv_transaction_free(t);
                store_try_writable(kv->store);
                r = find_over(kv, &t, ret_next, reterr);
        }
        if (r < 0 || t->n_ops == 0)
                return r;
        r = store_check_writable(kv->store, true, reterr);
        if (r < 0) {
                kv_transaction_undo(t);
                return r;
        }
        r = kv_transaction_submit(t, reterr);
        if (r >= 0)
                (void) TAKE_PTR(t);
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Kv *kv = userdata;
        uint64_t next;
        int r;

        kv->armed_usec = USEC_INFINITY;
        r = expire(kv, &next, &e);
        if (r >= 0) {
                if (next != USEC_INFINITY)
                        kv_arm(kv, next);
                return 0;
        }
        log_debug("keys that are over cannot be removed now: %s", strempty(e.message));
        if (kv->store->state != STORE_BROKEN)
                kv_arm(kv, now_realtime_usec() + KV_RETRY_USEC);
        return 0;
}

int kv_new(Store *s, Kv **ret)
{
        CLEANUP(kv_freep) Kv *kv = calloc(1, sizeof(*kv));
        int r;

        if (!kv)
                return -ENOMEM;
        kv->store = s;
        kv->armed_usec = USEC_INFINITY;
        /* The rest of the store does without: it is tried again with each call. */
        r = kv_load(kv);
        if (r < 0)
                log_error_errno(r, "the key-value data in %s cannot be read", store_place(s));
        r = sd_event_add_time(s->event, &kv->timer, CLOCK_REALTIME, 0, ACCURACY_USEC, on_timer, kv);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(kv);
        return 0;
}

Kv *kv_free(Kv *kv)
{
        if (!kv)
                return NULL;
        sd_event_source_disable_unref(kv->timer);
        kv_forget(kv);
        free(kv);
        return NULL;
}
