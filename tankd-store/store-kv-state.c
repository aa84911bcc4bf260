/* SPDX-License-Identifier: Apache-2.0 */

/* See store-kv-internal.h. */

#include <search.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "store-kv-internal.h"
#include "store-problems.h"

int kv_refuse_store(const char *store, sd_bus_error *reterr)
{
        if (name_is_valid(store))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "\"%.64s\" cannot be the name of a store: names are 1 to 63 of a-z, 0-9 "
                        "and '-', with no '-' at the ends",
                        store);
}

/* ---- stores -------------------------------------------------------------------------------- */

static int compare_stores(const void *a, const void *b)
{
        return strcmp(((const KvStore *) a)->name, ((const KvStore *) b)->name);
}

KvStore *kv_store_find(const Kv *kv, const char *name)
{
        KvStore wanted = {};
        KvStore **node;

        (void) snprintf(wanted.name, sizeof(wanted.name), "%s", name);
        node = tfind(&wanted, &kv->stores, compare_stores);
        return node ? *node : NULL;
}

int kv_store_make(Kv *kv, const char *name, KvStore **ret)
{
        KvStore *store = kv_store_find(kv, name);

        if (!store) {
                store = calloc(1, sizeof(*store));
                if (!store)
                        return -ENOMEM;
                (void) snprintf(store->name, sizeof(store->name), "%s", name);
                if (!tsearch(store, &kv->stores, compare_stores)) {
                        free(store);
                        return -ENOMEM;
                }
                kv->n_stores++;
        }
        *ret = store;
        return 0;
}

void kv_store_drop(Kv *kv, KvStore *store)
{
        if (store->n_pending > 0 || store->totals.keys > 0)
                return;
        assert(!store->overlay);
        tdelete(store, &kv->stores, compare_stores);
        kv->n_stores--;
        kv->bytes -= store->totals.bytes;
        free(store);
}

typedef struct StoreWalk {
        KvStoreSeen each;
        void *userdata;
        int r;
} StoreWalk;

static void visit_store(const void *node, VISIT which, void *closure)
{
        StoreWalk *w = closure;

        if (w->r >= 0 && (which == postorder || which == leaf))
                w->r = w->each(*(KvStore *const *) node, w->userdata);
}

int kv_store_each(const Kv *kv, KvStoreSeen each, void *userdata)
{
        StoreWalk w = { each, userdata, 0 };

        twalk_r(kv->stores, visit_store, &w);
        return w.r;
}

/* ---- what is under way --------------------------------------------------------------------- */

int kv_key_compare(KvBytes a, KvBytes b)
{
        size_t n = MIN(a.size, b.size);
        int r = n > 0 ? memcmp(a.data, b.data, n) : 0; /* of no bytes there may be no data */

        return r != 0 ? r : (a.size > b.size) - (a.size < b.size);
}

static int compare_ops(const void *a, const void *b)
{
        return kv_key_compare(((const KvOp *) a)->key, ((const KvOp *) b)->key);
}

KvOp *kv_overlay_find(const KvStore *store, KvBytes key)
{
        const KvOp wanted = { .key = key };
        KvOp **node = tfind(&wanted, &store->overlay, compare_ops);

        return node ? *node : NULL;
}

int kv_overlay_set(KvStore *store, KvOp *op)
{
        KvOp **node = tsearch(op, &store->overlay, compare_ops);

        if (!node)
                return -ENOMEM;
        *node = op;
        return 0;
}

void kv_overlay_drop(KvStore *store, const KvOp *op)
{
        if (kv_overlay_find(store, op->key) == op)
                tdelete(op, &store->overlay, compare_ops);
}

typedef struct OpArray {
        KvOp **ops;
        size_t n;
} OpArray;

static void collect_op(const void *node, VISIT which, void *closure)
{
        OpArray *a = closure;

        if (which == postorder || which == leaf)
                a->ops[a->n++] = *(KvOp *const *) node;
}

int kv_overlay_array(const KvStore *store, KvOp ***ret, size_t *ret_n)
{
        OpArray a = {};

        if (store && store->n_pending > 0) {
                a.ops = calloc(store->n_pending, sizeof(*a.ops)); /* keys are at most as many */
                if (!a.ops)
                        return -ENOMEM;
                twalk_r(store->overlay, collect_op, &a);
        }
        *ret = a.ops;
        *ret_n = a.n;
        return 0;
}

int kv_find(const Kv *kv, const char *store, KvBytes key, KvRecord *ret, char **ret_buffer)
{
        KvStore *known = kv_store_find(kv, store);
        const KvOp *pending = known ? kv_overlay_find(known, key) : NULL;
        CLEANUP_FREE char *value = NULL;
        KvKey k;
        size_t size;
        int r;

        if (pending) {
                if (pending->row)
                        *ret = pending->record;
                return pending->row ? 0 : -ENOENT;
        }
        if (!known)
                return -ENOENT;
        k = kv_key_data(store, key);
        r = db_get(kv->store->db, NULL, DB_KV, DB_KEY(&k), &value, &size);
        if (r >= 0)
                r = kv_record_decode(value, size, ret);
        if (r >= 0)
                *ret_buffer = TAKE_PTR(value);
        return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

void kv_forget(Kv *kv)
{
        while (kv->stores) {
                KvStore *store = *(KvStore **) kv->stores;

                tdelete(store, &kv->stores, compare_stores);
                assert(!store->overlay);
                free(store);
        }
        kv->n_stores = 0;
        kv->bytes = 0;
}

/* Of a store whose totals cannot be read. */
static int recount(Kv *kv, const char *store, KvTotals *ret)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = kv_prefix_data(store);
        KvTotals t = {};
        int r;

        log_warning("counting what the store '%s' holds: its totals cannot be read", store);
        r = db_iter_new(kv->store->db, NULL, DB_KV, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&prefix)); db_iter_valid(i); db_iter_next(i)) {
                size_t key_size, size;
                const char *k = db_iter_key(i, &key_size), *value;
                KvRecord record;

                if (!key_has_prefix(k, key_size, &prefix))
                        break;
                t.keys++;
                t.bytes += key_size - prefix.size;
                value = db_iter_value(i, &size);
                if (kv_record_decode(value, size, &record) >= 0)
                        t.bytes += record.value.size;
        }
        r = db_iter_valid(i) ? 0 : db_iter_status(i);
        if (r >= 0)
                *ret = t;
        return r;
}

static int load_store(Kv *kv, const DbIter *i)
{
        char buf[KEY_WORDS_SIZE];
        KvStoreName name;
        KvTotals totals;
        const char *p;
        KvStore *store;
        size_t size;
        int r;

        p = db_iter_key(i, &size);
        if (kv_key_totals_decode(p, size, name) < 0) {
                log_error("a row of the key-value data is passed over: its key, %s, is the name of "
                          "nothing",
                                key_words(p, size, buf));
                return 0;
        }
        p = db_iter_value(i, &size);
        r = kv_totals_decode(p, size, &totals);
        if (r == -EBADMSG || r == -EPROTONOSUPPORT)
                r = recount(kv, name, &totals);
        if (r >= 0)
                r = kv_store_make(kv, name, &store);
        if (r < 0)
                return r;
        store->totals = totals;
        kv->bytes += totals.bytes;
        return 0;
}

int kv_load(Kv *kv)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = kv_prefix_totals();
        int r;

        assert(kv->n_pending == 0);
        kv->stale = true;
        kv_forget(kv);
        r = db_iter_new(kv->store->db, NULL, DB_KV, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&prefix)); db_iter_valid(i); db_iter_next(i)) {
                size_t size;
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &prefix))
                        break;
                r = load_store(kv, i);
                if (r < 0)
                        return r;
        }
        r = db_iter_valid(i) ? 0 : db_iter_status(i);
        kv->stale = r < 0;
        return r;
}

int kv_ready(Kv *kv, sd_bus_error *reterr)
{
        int r;

        if (!kv->stale)
                return 0;
        if (kv->n_pending > 0)
                return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                                "an earlier write failed: try again in a moment");
        r = kv_load(kv);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

void kv_arm(Kv *kv, uint64_t usec)
{
        int r;

        if (usec >= kv->armed_usec)
                return;
        r = sd_event_source_set_time(kv->timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(kv->timer, SD_EVENT_ONESHOT);
        if (r >= 0)
                kv->armed_usec = usec;
        else
                (void) log_error_errno(r, "cannot set the timer of keys that expire");
}

void kv_reset(Kv *kv)
{
        kv->stale = true;
        /* Not at once: where the timer exchanges the database, in vain, it would never rest. */
        kv_arm(kv, now_realtime_usec() + KV_RETRY_USEC);
}
