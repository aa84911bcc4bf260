/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The rows of the key-value data. Its family holds three kinds, told apart by their first byte:
 *
 *   d store NUL key              -> 01 {"expires","revision","updated"} LF value
 *   e expires store NUL key      -> nothing: the keys that expire, the earliest first (8 bytes, the
 *                                   most significant first, µs of real time)
 *   s store                      -> 01 {"bytes","keys"}: what the store holds
 *
 * A key is any 1 to LIMIT_KV_KEY bytes. A store's name is a name like any other (lib/names), so
 * that the NUL behind it ends it and no store reaches into another.
 *
 * A change of a key is a row of the change log,
 *
 *   01 {"by","key","new","old","operation","store"} LF key old new
 *
 * with the sizes of what stands behind the LF; "old" and "new" are missing when there was, or is,
 * nothing: that is another thing than a value of no bytes. Rows of objects hold no LF.
 *
 * Unknown members are passed over; -EBADMSG when a row makes no sense, -EPROTONOSUPPORT for another
 * format byte. Everything that is decoded is borrowed from the row. */

#include <sys/types.h>

#include "macro.h"
#include "state.h"
#include "store-key.h"

typedef struct KvBytes {
        const void *data;
        size_t size;
} KvBytes;

/* The longest is that of a key that expires. */
typedef struct KvKey {
        size_t size;
        char data[1 + 8 + LIMIT_NAME_MAX + 1 + LIMIT_KV_KEY];
} KvKey;

KvKey kv_key_data(const char *store, KvBytes key);
KvKey kv_key_expiry(uint64_t expires_usec, const char *store, KvBytes key);
StoreKey kv_key_totals(const char *store);
/* What all data rows of a store, all expiry rows, all rows of totals begin with. */
StoreKey kv_prefix_data(const char *store);
StoreKey kv_prefix_expiry(void);
StoreKey kv_prefix_totals(void);

typedef char KvStoreName[LIMIT_NAME_MAX + 1];

int kv_key_data_decode(const void *data, size_t size, KvStoreName ret_store, KvBytes *ret_key);
int kv_key_expiry_decode(const void *data, size_t size, uint64_t *ret_expires_usec,
                KvStoreName ret_store, KvBytes *ret_key);
int kv_key_totals_decode(const void *data, size_t size, KvStoreName ret_store);

typedef struct KvRecord {
        uint64_t revision;     /* of the write that made the value */
        uint64_t updated_usec; /* when that was */
        uint64_t expires_usec; /* 0: never */
        KvBytes value;
} KvRecord;

int kv_record_encode(const KvRecord *r, char **ret, size_t *ret_size);
int kv_record_decode(const void *data, size_t size, KvRecord *ret);

typedef struct KvTotals {
        uint64_t keys, bytes; /* bytes: of keys and values */
} KvTotals;

#define KV_TOTALS_SIZE 64 /* bytes at most */
size_t kv_totals_encode(const KvTotals *t, char ret[static KV_TOTALS_SIZE]);
int kv_totals_decode(const void *data, size_t size, KvTotals *ret);

typedef enum KvEffect {
        KV_EFFECT_SET,
        KV_EFFECT_REMOVED,
        KV_EFFECT_EXPIRED,
        KV_EFFECT_TOUCHED, /* expires later; of no interest to anybody else, so in no change log */
        _KV_EFFECT_MAX,
        _KV_EFFECT_INVALID = -EINVAL,
} KvEffect;
DECLARE_STRING_TABLE(KvEffect, kv_effect);

typedef struct KvChange {
        KvEffect effect; /* not touched */
        KvStoreName store;
        uid_t by; /* who asked for it; 0 for what expired */
        KvBytes key;
        bool had_old, has_new;
        KvBytes old, new;
} KvChange;

int kv_change_encode(const KvChange *c, char **ret, size_t *ret_size);
/* -ENOMSG: the row is of an object. */
int kv_change_decode(const void *data, size_t size, KvChange *ret);
