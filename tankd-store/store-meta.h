/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The rows about the database itself: text, so that any tool shows them. */

#include "clock.h"
#include "store-db.h"
#include "store-key.h"

#define STORE_FORMAT 2 /* of the database: families, keys; a newer one is refused */

#define META_FORMAT    "format"
#define META_ID        "database-id"
#define META_CREATED   "created"
#define META_REVISION  "revision"  /* of the newest write */
#define META_COMPACTED "compacted" /* changes up to here are gone */
#define META_LOG_ROWS  "log-rows"  /* of the change log */
#define META_LOG_BYTES "log-bytes" /* of the values of its rows */

void meta_put_text(DbBatch *b, const Db *db, const char *name, const char *value);
void meta_put_u64(DbBatch *b, const Db *db, const char *name, uint64_t value);

/* The batch is written only where the row says @value. @ret_text is used until then. */
typedef struct MetaText {
        char text[21];
        StoreKey key;
} MetaText;
void meta_expect_u64(DbBatch *b, const char *name, uint64_t value, MetaText *ret_text);

/* -ENOENT: no such row; -EBADMSG: it does not hold what it should. */
int meta_get_u64(Db *db, const DbView *view, const char *name, uint64_t *ret);
int meta_get_id(Db *db, char ret[static ID128_SIZE]);
