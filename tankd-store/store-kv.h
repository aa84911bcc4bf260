/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Key-value data: named stores of keys and values, for programs that want to remember something and
 * tell each other. Any key and any value of bytes, with a time to live if wanted; no history.
 *
 * A write counts for every reader from the moment it is accepted, and is answered then or when it
 * is durable, as its caller wants. It takes its revision from the same counter as every other
 * write, and stands in the same change log, with the value that was and the value that is. The
 * operations of one call share a revision, and each succeeds or fails by itself. What changes
 * nothing takes no revision and is no change.
 *
 * A key whose time is over is absent from that moment; that it is gone stands in the change log
 * within a second. Its time is one of the real clock, so that it goes on while the machine is off;
 * whoever sets the clock sets it, too.
 *
 * All calls are the loop's; errors as in store.h. */

#include "store-kv-record.h"
#include "store.h"

/* ---- writes ---- */

typedef enum KvVerb {
        KV_SET,
        KV_REMOVE,
        KV_TOUCH, /* gives it another time to live */
        _KV_VERB_MAX,
        _KV_VERB_INVALID = -EINVAL,
} KvVerb;
DECLARE_STRING_TABLE(KvVerb, kv_verb);

typedef struct KvOperation {
        KvVerb verb;
        KvBytes key, value; /* value: set */
        bool has_ttl;       /* set without: for ever; touch: always */
        uint64_t ttl_usec;
        bool has_if_revision;
        uint64_t if_revision; /* Conflict unless the key stands here; 0: is absent */
} KvOperation;

typedef struct KvResult {
        sd_bus_error error;
        uint64_t revision; /* of the key; of the database when it is absent. With a Conflict: where
                            * it stands, 0 when it is absent */
        uint64_t expires_usec;
        bool existed;
} KvResult;

typedef struct KvOutcome {
        uint64_t revision; /* of the call; the newest one when it changed nothing */
        size_t n, n_changed;
        const KvResult *results;
} KvOutcome;

/* Exactly once for each call that did not fail as a whole. An error: it is not durable. May be
 * called before the call returns. */
typedef void (*KvAnswered)(const KvOutcome *outcome, const sd_bus_error *error, void *userdata);

typedef struct KvCall {
        uid_t by;
        bool wait;   /* answer when durable, not when accepted */
        bool atomic; /* when one operation fails, all of them do */
        KvAnswered answered;
        void *userdata;
} KvCall;

int store_kv_write(Store *s, const char *store, const KvOperation *operations, size_t n,
                const KvCall *call, sd_bus_error *reterr);
/* Removes every key; n_changed says how many. */
int store_kv_clear(Store *s, const char *store, const KvCall *call, sd_bus_error *reterr);

/* ---- reads ---- */

/* 1; 0: there is none. The value is borrowed from *ret_buffer, or until the next call. */
int store_kv_get(Store *s, const char *store, KvBytes key, KvRecord *ret, char **ret_buffer,
                sd_bus_error *reterr);

typedef struct KvListOptions {
        KvBytes prefix;
        uint32_t limit;    /* 0: the greatest */
        const char *token; /* "" begins */
        bool values;
        bool durable; /* what is durable, not what is accepted: then the changes behind the
                       * revision are exactly what the list does not show */
} KvListOptions;

/* @record NULL: the key is there, and what stands under it cannot be read. */
typedef int (*KvEach)(KvBytes key, const KvRecord *record, void *userdata);
/* In the order of the bytes of the keys. */
int store_kv_list(Store *s, const char *store, const KvListOptions *o, KvEach each, void *userdata,
                char **ret_next, uint64_t *ret_revision, sd_bus_error *reterr);

typedef int (*KvEachStore)(const char *store, const KvTotals *totals, void *userdata);
int store_kv_stores(Store *s, KvEachStore each, void *userdata, sd_bus_error *reterr);

typedef int (*KvChangeSeen)(uint64_t revision, const KvChange *change, void *userdata);
/* Everything of @store behind @since that is durable; never ends within a call's changes. */
int store_kv_changes(Store *s, const char *database_id, const char *store, uint64_t since,
                uint32_t limit, KvChangeSeen each, void *userdata, bool *ret_more,
                uint64_t *ret_revision, sd_bus_error *reterr);

/* ---- for store.c and the bus ---- */

typedef struct Kv Kv;

/* Reads what stores there are, and goes on with what expires. */
int kv_new(Store *s, Kv **ret);
void kv_reset(Kv *kv); /* the database is another one; nothing is under way */
Kv *kv_free(Kv *kv);
DEFINE_CLEANUP(Kv *, kv_freep, kv_free);

/* The stores that a batch changed, each once, up to @max; more than that: @max + 1. */
size_t kv_changed_stores(const CommitBatch *batch, const char **ret, size_t max);
