/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that write. Each operation is looked at behind those before it, and becomes an op when it
 * changes something; then all ops go to the disk together. */

#include "store-kv.h"

#include <inttypes.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-kv-internal.h"

static const char *const verb_table[_KV_VERB_MAX] = {
        [KV_SET] = "set",
        [KV_REMOVE] = "remove",
        [KV_TOUCH] = "touch",
};

const char *kv_verb_to_string(KvVerb v)
{
        return v >= 0 && v < _KV_VERB_MAX ? verb_table[v] : NULL;
}

KvVerb kv_verb_from_string(const char *s)
{
        for (KvVerb v = 0; v < _KV_VERB_MAX; v++)
                if (streq_ptr(s, verb_table[v]))
                        return v;
        return _KV_VERB_INVALID;
}

/* One operation, and what it builds upon. */
typedef struct Step {
        KvTransaction *t;
        const char *store;
        const KvOperation *operation;
        KvRecord record; /* what stands there */
        char *buffer;
        bool exists, unreadable;
} Step;

static void step_done(Step *p)
{
        free(p->buffer);
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

/* ---- what is asked for --------------------------------------------------------------------- */

static int check_key(KvBytes key, sd_bus_error *reterr)
{
        if (key.size == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the key is empty: a key has at least one byte");
        if (key.size > LIMIT_KV_KEY)
                return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                "the key has %zu bytes: a key has at most %u", key.size,
                                LIMIT_KV_KEY);
        return 0;
}

static int check_operation(const KvOperation *o, sd_bus_error *reterr)
{
        int r = check_key(o->key, reterr);

        if (r < 0)
                return r;
        if (o->value.size > LIMIT_KV_VALUE)
                return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                "the value has %zu bytes: a value has at most %u MiB",
                                o->value.size, LIMIT_KV_VALUE >> 20);
        if (o->has_ttl && (o->ttl_usec == 0 || o->ttl_usec > LIMIT_KV_TTL))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "ttl: must be 1 µs to ten years: leave it out for a key that "
                                "stays");
        return 0;
}

/* ---- what stands there --------------------------------------------------------------------- */

/* What is over goes first, in the same transaction: whoever follows sees it end before it begins
 * again. */
static int expire_first(Step *p, sd_bus_error *reterr)
{
        KvStore *store = kv_store_find(p->t->kv, p->store);
        int r;

        p->exists = false;
        if (p->operation->verb != KV_SET)
                return 0; /* the timer sees to it */
        r = kv_transaction_add(p->t, store, p->operation->key, &p->record, NULL, KV_EFFECT_EXPIRED);
        return r < 0 ? oom(reterr) : 0;
}

static int find(Step *p, sd_bus_error *reterr)
{
        const KvStore *store = kv_store_find(p->t->kv, p->store);
        int r;

        r = kv_find(p->t->kv, p->store, p->operation->key, &p->record, &p->buffer);
        p->t->rests = p->t->rests || (store && kv_overlay_find(store, p->operation->key));
        p->exists = r >= 0;
        if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
                p->unreadable = true;
                if (p->operation->verb == KV_REMOVE)
                        return 0;
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "what is stored under the key cannot be read: %s; remove it first",
                                errno_words(r));
        }
        if (r < 0 && r != -ENOENT)
                return store_read_failed(r, reterr);
        return p->exists && kv_is_over(&p->record, p->t->now) ? expire_first(p, reterr) : 0;
}

static int check_revision(const Step *p, KvResult *ret)
{
        uint64_t stands = p->exists ? p->record.revision : 0;

        if (!p->operation->has_if_revision || p->operation->if_revision == stands)
                return 0;
        ret->revision = stands;
        if (!p->exists)
                return tank_error_set(&ret->error, TANK_ERROR_CONFLICT,
                                "the key is not there, revision %" PRIu64
                                " was expected: read it again",
                                p->operation->if_revision);
        return tank_error_set(&ret->error, TANK_ERROR_CONFLICT,
                        "the key stands at revision %" PRIu64 ", %" PRIu64
                        " was expected: read it again",
                        stands, p->operation->if_revision);
}

/* ---- what comes of it ---------------------------------------------------------------------- */

static int check_room(const Step *p, sd_bus_error *reterr)
{
        const Kv *kv = p->t->kv;
        const KvStore *store = kv_store_find(kv, p->store);
        uint64_t was = p->exists ? p->operation->key.size + p->record.value.size : 0;
        uint64_t grows = p->operation->key.size + p->operation->value.size;

        if (!store && kv->n_stores >= LIMIT_KV_STORES)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "there are %u stores already: clear one of them", LIMIT_KV_STORES);
        if (store && !p->exists && store->totals.keys >= LIMIT_KV_STORE_KEYS)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "the store '%s' holds %u keys already: remove some", p->store,
                                LIMIT_KV_STORE_KEYS);
        if (grows <= was) /* making something smaller always works */
                return 0;
        grows -= was;
        if (grows + (store ? store->totals.bytes : 0) > LIMIT_KV_STORE_BYTES)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "the store '%s' would hold more than %u MiB: remove some keys",
                                p->store, LIMIT_KV_STORE_BYTES >> 20);
        if (grows + kv->bytes > LIMIT_KV_BYTES)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "all stores together would hold more than %u MiB: remove some keys",
                                LIMIT_KV_BYTES >> 20);
        return 0;
}

/* Of one call: what is read and written goes to the disk at once. */
static int check_size(const Step *p, sd_bus_error *reterr)
{
        size_t n = 2 * p->operation->value.size + (p->exists ? p->record.value.size : 0);

        if (p->t->n_ops == 0 || p->t->bytes + n <= LIMIT_TRANSACTION_BYTES)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "one call writes at most %u MiB: make several of it",
                        LIMIT_TRANSACTION_BYTES >> 20);
}

static int add(Step *p, const KvRecord *record, KvEffect effect, sd_bus_error *reterr)
{
        KvStore *store;
        int r;

        r = kv_store_make(p->t->kv, p->store, &store);
        if (r >= 0)
                r = kv_transaction_add(p->t, store, p->operation->key,
                                p->exists ? &p->record : NULL, record, effect);
        if (r >= 0)
                return 0;
        if (store)
                kv_store_drop(p->t->kv, store);
        return oom(reterr);
}

static bool is_unchanged(const Step *p)
{
        const KvBytes *value = &p->operation->value;

        return p->exists && p->record.value.size == value->size && !p->operation->has_ttl &&
               p->record.expires_usec == 0 &&
               (value->size == 0 || memcmp(p->record.value.data, value->data, value->size) == 0);
}

static int set(Step *p, KvResult *ret)
{
        const KvOperation *o = p->operation;
        const KvRecord record = {
                .revision = p->t->revision,
                .updated_usec = p->t->now,
                .expires_usec = o->has_ttl ? p->t->now + o->ttl_usec : 0,
                .value = o->value,
        };
        int r;

        ret->revision = p->record.revision;
        if (is_unchanged(p))
                return 0;
        if ((r = check_room(p, &ret->error)) < 0 || (r = check_size(p, &ret->error)) < 0 ||
                        (r = store_check_writable(p->t->kv->store, false, &ret->error)) < 0 ||
                        (r = add(p, &record, KV_EFFECT_SET, &ret->error)) < 0)
                return r;
        ret->revision = record.revision;
        ret->expires_usec = record.expires_usec;
        p->t->outcome.n_changed++;
        return 0;
}

static int remove_key(Step *p, KvResult *ret)
{
        int r;

        ret->existed = p->exists || p->unreadable;
        ret->revision = p->t->kv->store->allocated;
        if (!ret->existed)
                return 0;
        if (p->unreadable)
                log_warning("removing a key of the store '%s' whose row cannot be read", p->store);
        if ((r = check_size(p, &ret->error)) < 0 ||
                        (r = store_check_writable(p->t->kv->store, true, &ret->error)) < 0 ||
                        (r = add(p, NULL, KV_EFFECT_REMOVED, &ret->error)) < 0)
                return r;
        ret->revision = p->t->revision;
        p->t->outcome.n_changed++;
        return 0;
}

static int touch(Step *p, KvResult *ret)
{
        KvRecord record = p->record;
        int r;

        if (!p->exists)
                return tank_error_set(&ret->error, TANK_ERROR_NOT_FOUND,
                                "the store '%s' has no such key: set it again", p->store);
        ret->revision = record.revision; /* the value is as old as it was */
        record.expires_usec = p->t->now + p->operation->ttl_usec;
        if ((r = store_check_writable(p->t->kv->store, false, &ret->error)) < 0 ||
                        (r = add(p, &record, KV_EFFECT_TOUCHED, &ret->error)) < 0)
                return r;
        ret->expires_usec = record.expires_usec;
        return 0;
}

/* A failure stands in @ret->error, and does not touch the others. */
static void run(KvTransaction *t, const char *store, const KvOperation *o, KvResult *ret)
{
        CLEANUP(step_done) Step p = { .t = t, .store = store, .operation = o };

        if (check_operation(o, &ret->error) < 0 || find(&p, &ret->error) < 0 ||
                        check_revision(&p, ret) < 0)
                return;
        switch (o->verb) {
        case KV_SET: (void) set(&p, ret); return;
        case KV_REMOVE: (void) remove_key(&p, ret); return;
        case KV_TOUCH: (void) touch(&p, ret); return;
        case _KV_VERB_MAX:
        case _KV_VERB_INVALID: break;
        }
        (void) tank_error_set(&ret->error, TANK_ERROR_INTERNAL, "an operation without a verb");
}

/* ---- the whole ----------------------------------------------------------------------------- */

static int begin(Store *s, const char *store, size_t n, const KvCall *call, KvTransaction **ret,
                sd_bus_error *reterr)
{
        CLEANUP(kv_transaction_freep) KvTransaction *t = NULL;
        int r;

        r = kv_refuse_store(store, reterr);
        if (r < 0)
                return r;
        store_try_writable(s);
        r = kv_ready(s->kv, reterr);
        if (r < 0)
                return r;
        if (n > LIMIT_TRANSACTION_OPS)
                return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                "one call has at most %u operations: make several of it",
                                LIMIT_TRANSACTION_OPS);
        if (kv_transaction_new(s->kv, call->by, &t) < 0)
                return oom(reterr);
        t->results = calloc(n, sizeof(*t->results));
        if (!t->results && n > 0)
                return oom(reterr);
        t->outcome.results = t->results;
        t->outcome.n = n;
        *ret = TAKE_PTR(t);
        return 0;
}

/* Answers now or when it is durable, and hands the ops to the commit thread. */
static int finish(KvTransaction *take, const KvCall *call, sd_bus_error *reterr)
{
        CLEANUP(kv_transaction_freep) KvTransaction *t = take;
        Store *s = t->kv->store;
        bool writes = t->n_ops > 0;
        int r;

        t->outcome.revision = t->n_changes > 0 ? t->revision
                              : t->rests       ? s->allocated
                                               : s->revision;
        if (call->wait && (writes || t->rests)) {
                t->answered = call->answered;
                t->userdata = call->userdata;
                r = kv_transaction_submit(t, reterr);
                if (r >= 0)
                        (void) TAKE_PTR(t);
                return r;
        }
        if (!writes) {
                call->answered(&t->outcome, NULL, call->userdata);
                return 0;
        }
        r = kv_transaction_submit(t, reterr);
        if (r < 0)
                return r;
        call->answered(&t->outcome, NULL, call->userdata); /* it comes back later at the earliest */
        (void) TAKE_PTR(t);
        return 0;
}

/* One failed, and so do the others. */
static void fail_all(KvTransaction *t)
{
        size_t at = 0;

        while (at < t->outcome.n && !sd_bus_error_is_set(&t->results[at].error))
                at++;
        if (at == t->outcome.n)
                return;
        kv_transaction_undo(t);
        t->outcome.n_changed = 0;
        for (size_t i = 0; i < t->outcome.n; i++)
                if (!sd_bus_error_is_set(&t->results[i].error)) {
                        t->results[i] = (KvResult){};
                        (void) tank_error_set(&t->results[i].error, TANK_ERROR_FAILED_PRECONDITION,
                                        "not done, as operations[%zu] failed", at);
                }
}

int store_kv_write(Store *s, const char *store, const KvOperation *operations, size_t n,
                const KvCall *call, sd_bus_error *reterr)
{
        KvTransaction *t;
        int r;

        r = begin(s, store, n, call, &t, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                run(t, store, &operations[i], &t->results[i]);
        if (call->atomic)
                fail_all(t);
        return finish(t, call, reterr);
}

/* ---- clear --------------------------------------------------------------------------------- */

/* In one turn: a store is bounded. */
static int clear_durable(KvTransaction *t, KvStore *store)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = kv_prefix_data(store->name);
        int r;

        r = db_iter_new(t->kv->store->db, NULL, DB_KV, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&prefix)); db_iter_valid(i); db_iter_next(i)) {
                size_t key_size, size;
                const char *k = db_iter_key(i, &key_size), *value;
                KvStoreName name;
                KvRecord record;
                KvBytes key;
                bool readable;

                if (!key_has_prefix(k, key_size, &prefix))
                        return 0;
                if (kv_key_data_decode(k, key_size, name, &key) < 0)
                        continue; /* the name of nothing */
                if (kv_overlay_find(store, key))
                        continue;
                value = db_iter_value(i, &size);
                readable = kv_record_decode(value, size, &record) >= 0;
                r = kv_transaction_add(t, store, key, readable ? &record : NULL, NULL,
                                readable && kv_is_over(&record, t->now) ? KV_EFFECT_EXPIRED
                                                                        : KV_EFFECT_REMOVED);
                if (r < 0)
                        return r;
                t->outcome.n_changed++;
        }
        return db_iter_status(i);
}

static int clear_pending(KvTransaction *t, KvStore *store)
{
        CLEANUP_FREE KvOp **pending = NULL;
        size_t n;
        int r;

        r = kv_overlay_array(store, &pending, &n);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                if (!pending[i]->row)
                        continue;
                r = kv_transaction_add(t, store, pending[i]->key, &pending[i]->record, NULL,
                                KV_EFFECT_REMOVED);
                t->outcome.n_changed++;
        }
        return r;
}

int store_kv_clear(Store *s, const char *store, const KvCall *call, sd_bus_error *reterr)
{
        KvStore *known;
        KvTransaction *t;
        int r;

        r = begin(s, store, 0, call, &t, reterr);
        if (r < 0)
                return r;
        known = kv_store_find(s->kv, store);
        t->rests = known && known->n_pending > 0;
        if (known && known->totals.keys > 0) {
                r = store_check_writable(s, true, reterr);
                if (r >= 0 && ((r = clear_pending(t, known)) < 0 ||
                                              (r = clear_durable(t, known)) < 0))
                        r = store_read_failed(r, reterr);
        }
        if (r >= 0)
                return finish(t, call, reterr);
        kv_transaction_undo(t);
        kv_transaction_free(t);
        return r;
}
