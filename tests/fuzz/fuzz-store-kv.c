/* SPDX-License-Identifier: Apache-2.0 */

/* The rows of the key-value data: keys, records, totals, changes. */

#include "fuzz.h"
#include "store-kv-record.h"

static bool same(KvBytes a, KvBytes b)
{
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool is_within(KvBytes b, const void *data, size_t size)
{
        const char *p = b.data, *first = data;

        return b.size <= size && p >= first && p + b.size <= first + size;
}

static void check_keys(const void *data, size_t size)
{
        KvStoreName store;
        uint64_t expires;
        KvBytes key;
        KvKey k;

        if (kv_key_data_decode(data, size, store, &key) >= 0) {
                CHECK(is_within(key, data, size));
                k = kv_key_data(store, key);
                CHECK(k.size == size && memcmp(k.data, data, size) == 0);
        }
        if (kv_key_expiry_decode(data, size, &expires, store, &key) >= 0) {
                k = kv_key_expiry(expires, store, key);
                CHECK(k.size == size && memcmp(k.data, data, size) == 0);
        }
        if (kv_key_totals_decode(data, size, store) >= 0) {
                StoreKey t = kv_key_totals(store);

                CHECK(t.size == size && memcmp(t.data, data, size) == 0);
        }
}

static void check_record(const void *data, size_t size)
{
        CLEANUP_FREE char *again = NULL;
        KvRecord r, back;
        size_t n;
        int k;

        k = kv_record_decode(data, size, &r);
        if (k < 0) {
                CHECK(k == -EBADMSG || k == -EPROTONOSUPPORT);
                return;
        }
        CHECK(is_within(r.value, data, size));
        CHECK(kv_record_encode(&r, &again, &n) == 0);
        CHECK(kv_record_decode(again, n, &back) == 0);
        CHECK(back.revision == r.revision && back.updated_usec == r.updated_usec);
        CHECK(back.expires_usec == r.expires_usec && same(back.value, r.value));
}

static void check_totals(const void *data, size_t size)
{
        char again[KV_TOTALS_SIZE];
        KvTotals t, back;

        if (kv_totals_decode(data, size, &t) < 0)
                return;
        CHECK(kv_totals_decode(again, kv_totals_encode(&t, again), &back) == 0);
        CHECK(back.keys == t.keys && back.bytes == t.bytes);
}

static void check_change(const void *data, size_t size)
{
        CLEANUP_FREE char *again = NULL;
        KvChange c, back;
        size_t n;
        int k;

        k = kv_change_decode(data, size, &c);
        if (k < 0) {
                CHECK(k == -EBADMSG || k == -EPROTONOSUPPORT || k == -ENOMSG);
                return;
        }
        CHECK(c.key.size > 0 && is_within(c.key, data, size));
        CHECK(!c.had_old || is_within(c.old, data, size));
        CHECK(!c.has_new || is_within(c.new, data, size));
        CHECK(c.has_new == (c.effect == KV_EFFECT_SET));
        CHECK(kv_change_encode(&c, &again, &n) == 0);
        CHECK(kv_change_decode(again, n, &back) == 0);
        CHECK(back.effect == c.effect && back.by == c.by && same(back.key, c.key));
        CHECK(back.had_old == c.had_old && (!c.had_old || same(back.old, c.old)));
        CHECK(back.has_new == c.has_new && (!c.has_new || same(back.new, c.new)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        check_keys(data, size);
        check_record(data, size);
        check_totals(data, size);
        check_change(data, size);
        return 0;
}
