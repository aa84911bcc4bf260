/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that read: one key, a page of keys in their order, a page of changes. */

#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-changes.h"
#include "store-kv-internal.h"

int store_kv_get(Store *s, const char *store, KvBytes key, KvRecord *ret, char **ret_buffer,
                sd_bus_error *reterr)
{
        KvRecord record;
        int r;

        if ((r = kv_refuse_store(store, reterr)) < 0 || (r = kv_ready(s->kv, reterr)) < 0)
                return r;
        if (key.size == 0 || key.size > LIMIT_KV_KEY)
                return 0; /* there cannot be one */
        r = kv_find(s->kv, store, key, &record, ret_buffer);
        if (r == -ENOENT)
                return 0;
        if (r == -EBADMSG || r == -EPROTONOSUPPORT)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "what is stored under the key cannot be decoded: %s; remove it and "
                                "set it anew",
                                errno_words(r));
        if (r < 0)
                return store_read_failed(r, reterr);
        if (kv_is_over(&record, now_realtime_usec()))
                return 0;
        *ret = record;
        return 1;
}

static int each_store(KvStore *store, void *userdata)
{
        const void **x = userdata;
        KvEachStore each = *(const KvEachStore *) x[0];

        return store->totals.keys > 0 ? each(store->name, &store->totals, (void *) x[1]) : 0;
}

int store_kv_stores(Store *s, KvEachStore each, void *userdata, sd_bus_error *reterr)
{
        const void *x[] = { &each, userdata };
        int r = kv_ready(s->kv, reterr);

        return r < 0 ? r : kv_store_each(s->kv, each_store, x);
}

/* ---- lists --------------------------------------------------------------------------------- */

typedef struct List {
        const char *store;
        const KvListOptions *options;
        StoreKey prefix;
        uint32_t limit;
        uint64_t now;
        KvEach each;
        void *userdata;

        KvOp **pending; /* what the overlay has, in order */
        size_t n_pending, at;
        KvBytes behind; /* only keys behind this one; size 0: all */

        uint32_t n;
        size_t bytes;
        KvKey last; /* told: only the key itself */
        uint64_t revision;
        bool full;
} List;

/* 1: told; 0: passed over, or the page is full. */
static int tell(List *l, KvBytes key, const KvRecord *record)
{
        KvRecord shown = record ? *record : (KvRecord){};
        size_t size;
        int r;

        if (record && kv_is_over(record, l->now))
                return 0;
        if (!l->options->values)
                shown.value = (KvBytes){};
        size = key.size + shown.value.size;
        l->full = l->n >= l->limit || (l->n > 0 && l->bytes + size > LIMIT_PAGE_BYTES);
        if (l->full)
                return 0;
        r = l->each(key, record ? &shown : NULL, l->userdata);
        if (r < 0)
                return r;
        l->n++;
        l->bytes += size;
        l->last.size = key.size;
        memcpy(l->last.data, key.data, key.size);
        return 1;
}

static bool is_wanted(const List *l, KvBytes key)
{
        const KvBytes *prefix = &l->options->prefix;

        if (l->behind.size > 0 && kv_key_compare(key, l->behind) <= 0)
                return false;
        return key.size >= prefix->size &&
               (prefix->size == 0 || memcmp(key.data, prefix->data, prefix->size) == 0);
}

/* Those under way that stand before @until; NULL: all that are left. */
static int tell_pending(List *l, const KvBytes *until)
{
        int r = 0;

        for (; r >= 0 && !l->full && l->at < l->n_pending; l->at++) {
                const KvOp *op = l->pending[l->at];

                if (until && kv_key_compare(op->key, *until) >= 0)
                        break;
                if (op->row && is_wanted(l, op->key))
                        r = tell(l, op->key, &op->record);
        }
        return r;
}

static int tell_durable(List *l, KvBytes key, const DbIter *i)
{
        KvRecord record;
        const char *value;
        size_t size;
        int r;

        r = tell_pending(l, &key);
        if (r < 0 || l->full || !is_wanted(l, key))
                return r;
        if (l->at < l->n_pending && kv_key_compare(l->pending[l->at]->key, key) == 0)
                return 0; /* what is under way counts: the next one to be told */
        value = db_iter_value(i, &size);
        r = kv_record_decode(value, size, &record);
        if (r < 0)
                log_error("what stands under a key of the store '%s' cannot be decoded: %s; "
                          "\"tankctl store verify\" tells which",
                                l->store, errno_words(r));
        return tell(l, key, r < 0 ? NULL : &record);
}

/* Of one moment, whose revision the database says: a batch may be durable before it is told. */
static int list_page(Store *s, List *l)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        KvKey first;
        int r;

        if ((r = db_view_new(s->db, &view)) < 0 ||
                        (r = meta_get_u64(s->db, view, META_REVISION, &l->revision)) < 0 ||
                        (r = db_iter_new(s->db, view, DB_KV, &i)) < 0)
                return r;
        first = kv_key_data(l->store, l->behind.size > 0 ? l->behind : l->options->prefix);
        for (db_iter_seek(i, DB_KEY(&first)); !l->full && db_iter_valid(i); db_iter_next(i)) {
                KvStoreName name;
                KvBytes key;
                size_t size;
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &l->prefix))
                        break;
                if (kv_key_data_decode(k, size, name, &key) < 0)
                        continue; /* the name of nothing */
                r = tell_durable(l, key, i);
                if (r < 0)
                        return r;
        }
        r = db_iter_valid(i) ? 0 : db_iter_status(i);
        return r < 0 ? r : tell_pending(l, NULL);
}

/* A token is "1." and the last key that was told, in hexadecimal. */
static int format_token(const KvKey *last, char **ret)
{
        char *p = malloc(2 + 2 * last->size + 1);

        if (!p)
                return -ENOMEM;
        memcpy(p, "1.", 3);
        for (size_t i = 0; i < last->size; i++)
                (void) sprintf(p + 2 + 2 * i, "%02x", (unsigned char) last->data[i]);
        *ret = p;
        return 0;
}

static int parse_token(const char *token, KvKey *ret)
{
        const char *p = startswith(token, "1.");
        size_t n = p ? strlen(p) : 0;

        if (n == 0 || n % 2 != 0 || n > (size_t) 2 * LIMIT_KV_KEY ||
                        strspn(p, "0123456789abcdef") != n)
                return -EINVAL;
        ret->size = n / 2;
        for (size_t i = 0; i < ret->size; i++) {
                unsigned byte;

                (void) sscanf(p + 2 * i, "%2x", &byte);
                ret->data[i] = (char) byte;
        }
        return 0;
}

static int list(Store *s, List *l, sd_bus_error *reterr)
{
        CLEANUP_FREE KvOp **pending = NULL;
        KvKey behind;
        int r;

        if (!isempty(l->options->token)) {
                if (parse_token(l->options->token, &behind) < 0)
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "option \"continue\": not a token of this list");
                l->behind = (KvBytes){ behind.data, behind.size };
                /* behind the prefix's keys, or before them: the prefix decides */
                if (kv_key_compare(l->behind, l->options->prefix) < 0)
                        l->behind = (KvBytes){};
        }
        r = l->options->durable ? 0
                                : kv_overlay_array(kv_store_find(s->kv, l->store), &pending,
                                                  &l->n_pending);
        l->pending = pending;
        if (r >= 0)
                r = list_page(s, l);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

int store_kv_list(Store *s, const char *store, const KvListOptions *o, KvEach each, void *userdata,
                char **ret_next, uint64_t *ret_revision, sd_bus_error *reterr)
{
        List l = {
                .store = store,
                .options = o,
                .limit = o->limit == 0 ? LIMIT_PAGE_ENTRIES : MIN(o->limit, LIMIT_PAGE_ENTRIES),
                .now = now_realtime_usec(),
                .each = each,
                .userdata = userdata,
        };
        int r;

        if ((r = kv_refuse_store(store, reterr)) < 0 || (r = kv_ready(s->kv, reterr)) < 0)
                return r;
        if (o->prefix.size > LIMIT_KV_KEY)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"prefix\": longer than any key can be, %u bytes",
                                LIMIT_KV_KEY);
        l.prefix = kv_prefix_data(store);
        r = list(s, &l, reterr);
        if (r < 0)
                return r;
        *ret_revision = l.revision;
        *ret_next = NULL;
        return l.full ? format_token(&l.last, ret_next) : 0;
}

/* ---- changes ------------------------------------------------------------------------------- */

typedef struct Changes {
        const char *store;
        KvChangeSeen each;
        void *userdata;
} Changes;

static int change_one(uint64_t revision, const void *row, size_t size, void *userdata)
{
        const Changes *p = userdata;
        KvChange c;
        int r;

        r = kv_change_decode(row, size, &c);
        if (r == -ENOMSG || (r >= 0 && !streq(c.store, p->store)))
                return 0;
        if (r >= 0)
                r = p->each(revision, &c, p->userdata);
        return r < 0 ? r : 1;
}

int store_kv_changes(Store *s, const char *database_id, const char *store, uint64_t since,
                uint32_t limit, KvChangeSeen each, void *userdata, bool *ret_more,
                uint64_t *ret_revision, sd_bus_error *reterr)
{
        Changes p = { store, each, userdata };
        const StoreChangesQuery q = {
                .database_id = database_id,
                .since = since,
                .limit = limit,
                .row = change_one,
        };
        int r = kv_refuse_store(store, reterr);

        return r < 0 ? r : store_changes(s, &q, NULL, &p, ret_more, ret_revision, reterr);
}
