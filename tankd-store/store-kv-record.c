/* SPDX-License-Identifier: Apache-2.0 */
#include "store-kv-record.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "names.h"
#include "store-cursor.h"
#include "store-record.h"

#define ROW_DATA   'd'
#define ROW_EXPIRY 'e'
#define ROW_TOTALS 's'

static const char *const effect_table[_KV_EFFECT_MAX] = {
        [KV_EFFECT_SET] = "set",
        [KV_EFFECT_REMOVED] = "removed",
        [KV_EFFECT_EXPIRED] = "expired",
        [KV_EFFECT_TOUCHED] = "touched",
};

const char *kv_effect_to_string(KvEffect e)
{
        return e >= 0 && e < _KV_EFFECT_MAX ? effect_table[e] : NULL;
}

KvEffect kv_effect_from_string(const char *s)
{
        for (KvEffect e = 0; e < _KV_EFFECT_MAX; e++)
                if (streq_ptr(s, effect_table[e]))
                        return e;
        return _KV_EFFECT_INVALID;
}

/* ---- keys ---------------------------------------------------------------------------------- */

/* The keys are built by hand, as they differ in size; what they hold was checked by whoever got it
 * from outside. */
#define APPEND(k, bytes, n) \
        do { \
                size_t _n = (n); \
                assert((k)->size + _n <= sizeof((k)->data)); \
                if (_n > 0) \
                        memcpy((k)->data + (k)->size, (bytes), _n); \
                (k)->size += _n; \
        } while (0)

static StoreKey row(char kind)
{
        StoreKey k;

        k.size = 1;
        k.data[0] = kind;
        return k;
}

StoreKey kv_prefix_data(const char *store)
{
        StoreKey k = row(ROW_DATA);

        APPEND(&k, store, strlen(store) + 1);
        return k;
}

StoreKey kv_prefix_expiry(void)
{
        return row(ROW_EXPIRY);
}

StoreKey kv_prefix_totals(void)
{
        return row(ROW_TOTALS);
}

StoreKey kv_key_totals(const char *store)
{
        StoreKey k = row(ROW_TOTALS);

        APPEND(&k, store, strlen(store));
        return k;
}

KvKey kv_key_data(const char *store, KvBytes key)
{
        KvKey k;

        k.size = 1;
        k.data[0] = ROW_DATA;
        APPEND(&k, store, strlen(store) + 1);
        APPEND(&k, key.data, key.size);
        return k;
}

KvKey kv_key_expiry(uint64_t expires_usec, const char *store, KvBytes key)
{
        uint64_t at = htobe64(expires_usec);
        KvKey k;

        k.size = 1;
        k.data[0] = ROW_EXPIRY;
        APPEND(&k, &at, sizeof(at));
        APPEND(&k, store, strlen(store) + 1);
        APPEND(&k, key.data, key.size);
        return k;
}

static int take_store(const char *p, size_t size, KvStoreName ret)
{
        if (size == 0 || size > LIMIT_NAME_MAX || memchr(p, 0, size))
                return -EBADMSG;
        memcpy(ret, p, size);
        ret[size] = 0;
        return name_is_valid(ret) ? 0 : -EBADMSG;
}

static int take_store_and_key(const char *p, size_t size, KvStoreName ret_store, KvBytes *ret_key)
{
        const char *end = memchr(p, 0, size);
        size_t n;

        if (!end)
                return -EBADMSG;
        n = size - (size_t) (end + 1 - p);
        if (n == 0 || n > LIMIT_KV_KEY || take_store(p, (size_t) (end - p), ret_store) < 0)
                return -EBADMSG;
        *ret_key = (KvBytes){ end + 1, n };
        return 0;
}

int kv_key_data_decode(const void *data, size_t size, KvStoreName ret_store, KvBytes *ret_key)
{
        const char *p = data;

        if (size < 1 || p[0] != ROW_DATA)
                return -EBADMSG;
        return take_store_and_key(p + 1, size - 1, ret_store, ret_key);
}

int kv_key_expiry_decode(const void *data, size_t size, uint64_t *ret_expires_usec,
                KvStoreName ret_store, KvBytes *ret_key)
{
        const char *p = data;
        uint64_t at;
        int r;

        if (size < 1 + sizeof(at) || p[0] != ROW_EXPIRY)
                return -EBADMSG;
        memcpy(&at, p + 1, sizeof(at));
        r = take_store_and_key(p + 1 + sizeof(at), size - 1 - sizeof(at), ret_store, ret_key);
        if (r >= 0)
                *ret_expires_usec = be64toh(at);
        return r;
}

int kv_key_totals_decode(const void *data, size_t size, KvStoreName ret_store)
{
        const char *p = data;

        return size < 1 || p[0] != ROW_TOTALS ? -EBADMSG : take_store(p + 1, size - 1, ret_store);
}

/* ---- values -------------------------------------------------------------------------------- */

static bool get_number(const json_t *o, const char *key, uint64_t *ret)
{
        int64_t n = json_get_int(o, key, -1);

        if (n >= 0)
                *ret = (uint64_t) n;
        return n >= 0;
}

/* The JSON before the LF, and what stands behind it. */
static int take_head(const void *data, size_t size, json_t **ret_head, KvBytes *ret_rest)
{
        const char *p = data, *lf;
        json_t *head;
        int r;

        r = store_format_check(data, size);
        if (r < 0)
                return r;
        lf = memchr(p, '\n', size);
        if (!lf)
                return -EBADMSG;
        head = json_loadb(p + 1, (size_t) (lf - p - 1), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(head)) {
                json_decref(head);
                return -EBADMSG;
        }
        *ret_head = head;
        *ret_rest = (KvBytes){ lf + 1, size - (size_t) (lf + 1 - p) };
        return 0;
}

int kv_record_encode(const KvRecord *r, char **ret, size_t *ret_size)
{
        char head[128]; /* 3 numbers of at most 20 digits */
        char *p;
        int n;

        n = snprintf(head, sizeof(head),
                        "%c{\"expires\":%" PRIu64 ",\"revision\":%" PRIu64 ",\"updated\":%" PRIu64
                        "}\n",
                        STORE_FORMAT_JSON, r->expires_usec, r->revision, r->updated_usec);
        assert(n > 0 && (size_t) n < sizeof(head));
        p = malloc((size_t) n + r->value.size);
        if (!p)
                return -ENOMEM;
        memcpy(p, head, (size_t) n);
        if (r->value.size > 0)
                memcpy(p + n, r->value.data, r->value.size);
        *ret = p;
        *ret_size = (size_t) n + r->value.size;
        return 0;
}

static bool decode_own(const char *p, const char *end, KvRecord *r)
{
        Cursor c = { p, end };

        if (!cursor_u64(&c, "\1{\"expires\":", &r->expires_usec) ||
                        !cursor_u64(&c, ",\"revision\":", &r->revision) ||
                        !cursor_u64(&c, ",\"updated\":", &r->updated_usec) ||
                        !cursor_literal(&c, "}\n"))
                return false;
        r->value = (KvBytes){ c.p, (size_t) (c.end - c.p) };
        return r->value.size <= LIMIT_KV_VALUE;
}

int kv_record_decode(const void *data, size_t size, KvRecord *ret)
{
        CLEANUP_JSON json_t *head = NULL;
        KvRecord r;
        int k;

        static_assert(STORE_FORMAT_JSON == 1, "decode_own() says it, too");
        if (decode_own(data, (const char *) data + size, &r)) {
                *ret = r;
                return 0;
        }
        k = take_head(data, size, &head, &r.value);
        if (k < 0)
                return k;
        if (!get_number(head, "expires", &r.expires_usec) ||
                        !get_number(head, "revision", &r.revision) ||
                        !get_number(head, "updated", &r.updated_usec) ||
                        r.value.size > LIMIT_KV_VALUE)
                return -EBADMSG;
        *ret = r;
        return 0;
}

size_t kv_totals_encode(const KvTotals *t, char ret[static KV_TOTALS_SIZE])
{
        int n = snprintf(ret, KV_TOTALS_SIZE, "%c{\"bytes\":%" PRIu64 ",\"keys\":%" PRIu64 "}",
                        STORE_FORMAT_JSON, t->bytes, t->keys);

        assert(n > 0 && n < KV_TOTALS_SIZE);
        return (size_t) n;
}

int kv_totals_decode(const void *data, size_t size, KvTotals *ret)
{
        CLEANUP_JSON json_t *o = NULL;
        KvTotals t;
        int r;

        r = store_format_check(data, size);
        if (r < 0)
                return r;
        o = json_loadb((const char *) data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(o) || !get_number(o, "bytes", &t.bytes) ||
                        !get_number(o, "keys", &t.keys) || t.keys == 0)
                return -EBADMSG;
        *ret = t;
        return 0;
}

/* ---- changes ------------------------------------------------------------------------------- */

int kv_change_encode(const KvChange *c, char **ret, size_t *ret_size)
{
        char head[512], new[32] = "", old[32] = "", *p; /* 4 numbers, a name and a word */
        size_t n_old = c->had_old ? c->old.size : 0, n_new = c->has_new ? c->new.size : 0;
        int n;

        if (c->has_new)
                (void) snprintf(new, sizeof(new), ",\"new\":%zu", n_new);
        if (c->had_old)
                (void) snprintf(old, sizeof(old), ",\"old\":%zu", n_old);
        n = snprintf(head, sizeof(head),
                        "%c{\"by\":%" PRIu32
                        ",\"key\":%zu%s%s,\"operation\":\"%s\",\"store\":\"%s\""
                        "}\n",
                        STORE_FORMAT_JSON, (uint32_t) c->by, c->key.size, new, old,
                        kv_effect_to_string(c->effect), c->store);
        assert(n > 0 && (size_t) n < sizeof(head));
        p = malloc((size_t) n + c->key.size + n_old + n_new);
        if (!p)
                return -ENOMEM;
        *ret = p;
        *ret_size = (size_t) n + c->key.size + n_old + n_new;
        p = mempcpy(p, head, (size_t) n);
        p = mempcpy(p, c->key.data, c->key.size);
        if (n_old > 0)
                p = mempcpy(p, c->old.data, n_old);
        if (n_new > 0)
                (void) mempcpy(p, c->new.data, n_new);
        return 0;
}

/* The next piece behind the LF; absent when the head has no size of it. */
static int take_piece(const json_t *head, const char *name, size_t max, KvBytes *rest, bool *ret_is,
                KvBytes *ret)
{
        uint64_t n;

        *ret_is = json_object_get(head, name);
        if (!*ret_is)
                return 0;
        if (!get_number(head, name, &n) || n > max || n > rest->size)
                return -EBADMSG;
        *ret = (KvBytes){ rest->data, (size_t) n };
        *rest = (KvBytes){ (const char *) rest->data + n, rest->size - (size_t) n };
        return 0;
}

static bool effect_fits(const KvChange *c)
{
        switch (c->effect) {
        case KV_EFFECT_SET: return c->has_new;
        case KV_EFFECT_REMOVED:
        case KV_EFFECT_EXPIRED: return !c->has_new;
        case KV_EFFECT_TOUCHED:
        case _KV_EFFECT_MAX:
        case _KV_EFFECT_INVALID: break;
        }
        return false;
}

int kv_change_decode(const void *data, size_t size, KvChange *ret)
{
        CLEANUP_JSON json_t *head = NULL;
        const char *store;
        KvChange c = {};
        KvBytes rest;
        uint64_t by;
        bool has_key;
        int r;

        r = store_format_check(data, size);
        if (r < 0)
                return r;
        if (!memchr(data, '\n', size))
                return -ENOMSG;
        r = take_head(data, size, &head, &rest);
        if (r < 0)
                return r;
        store = strempty(json_get_string(head, "store"));
        c.effect = kv_effect_from_string(json_get_string(head, "operation"));
        if (take_store(store, strlen(store), c.store) < 0 || !get_number(head, "by", &by) ||
                        by > UINT32_MAX ||
                        take_piece(head, "key", LIMIT_KV_KEY, &rest, &has_key, &c.key) < 0 ||
                        take_piece(head, "old", LIMIT_KV_VALUE, &rest, &c.had_old, &c.old) < 0 ||
                        take_piece(head, "new", LIMIT_KV_VALUE, &rest, &c.has_new, &c.new) < 0 ||
                        !has_key || c.key.size == 0 || rest.size != 0 || !effect_fits(&c))
                return -EBADMSG;
        c.by = (uid_t) by;
        *ret = c;
        return 0;
}
