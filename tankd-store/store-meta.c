/* SPDX-License-Identifier: Apache-2.0 */
#include "store-meta.h"

#include <inttypes.h>
#include <stdio.h>

#include "quantity.h"

static StoreKey meta_key(const char *name)
{
        StoreKey k = { .size = strlen(name) };

        assert(k.size <= sizeof(k.data));
        memcpy(k.data, name, k.size);
        return k;
}

void meta_put_text(DbBatch *b, const Db *db, const char *name, const char *value)
{
        StoreKey k = meta_key(name);

        db_batch_put(b, db, DB_META, DB_KEY(&k), value, strlen(value));
}

void meta_put_u64(DbBatch *b, const Db *db, const char *name, uint64_t value)
{
        char text[21];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        meta_put_text(b, db, name, text);
}

void meta_expect_u64(DbBatch *b, const char *name, uint64_t value, MetaText *ret_text)
{
        int n = snprintf(ret_text->text, sizeof(ret_text->text), "%" PRIu64, value);

        ret_text->key = meta_key(name);
        db_batch_expect(b, DB_META, DB_KEY(&ret_text->key), ret_text->text, (size_t) n);
}

/* NUL-terminated; no row is longer than an id. */
static int meta_get(Db *db, const DbView *view, const char *name, char ret[static ID128_SIZE])
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = meta_key(name);
        size_t size;
        int r;

        r = db_get(db, view, DB_META, DB_KEY(&k), &value, &size);
        if (r < 0)
                return r;
        if (size >= ID128_SIZE || memchr(value, 0, size))
                return -EBADMSG;
        memcpy(ret, value, size);
        ret[size] = 0;
        return 0;
}

int meta_get_u64(Db *db, const DbView *view, const char *name, uint64_t *ret)
{
        char text[ID128_SIZE];
        int r;

        r = meta_get(db, view, name, text);
        if (r < 0)
                return r;
        return parse_u64(text, ret) < 0 ? -EBADMSG : 0;
}

int meta_get_id(Db *db, char ret[static ID128_SIZE])
{
        char text[ID128_SIZE];
        int r;

        r = meta_get(db, NULL, META_ID, text);
        if (r < 0)
                return r;
        if (!id_is_valid(text))
                return -EBADMSG;
        memcpy(ret, text, ID128_SIZE);
        return 0;
}
