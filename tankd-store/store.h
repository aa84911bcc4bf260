/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The semantics of the store, without a bus: declared documents by type, namespace and name; one
 * revision over all of them; uid and generation for each; a history and a change log.
 *
 * Writes are checked against what is committed and what is under way (the pending overlay, by key),
 * and answered when they are durable; reads see what is durable. So a client that waits for its
 * answer reads its own write, and a write that follows an unanswered one of the same object builds
 * upon it. All calls are the loop's; errors are sentences in @reterr with one of lib/error.h's
 * names, and the mapped errno as the return value. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "store-commit.h"

typedef struct Store Store;

typedef struct StoreHooks {
        /* A batch is durable, and its writers have their answers. NULL: the revision rose, and what
         * changed has to be read from the change log. */
        void (*changed)(const CommitBatch *batch, void *userdata);
        void (*state_changed)(void *userdata);
        void *userdata;
} StoreHooks;

/* @dir is made when it is missing, and a database in it; @log_dir takes RocksDB's info log.
 * Failures are logged in full. A database that can only be read gives a degraded store. */
int store_open(sd_event *event, const char *dir, const char *log_dir, Store **ret);
Store *store_free(Store *s); /* what waits is written and answered first */
DEFINE_CLEANUP(Store *, store_freep, store_free);
void store_set_hooks(Store *s, const StoreHooks *hooks);
/* Blocks until every write is answered: for the start, before anybody is served, and the end. */
void store_flush(Store *s);

const char *store_database_id(const Store *s);
uint64_t store_revision(const Store *s);           /* of the newest durable write */
uint64_t store_compacted_revision(const Store *s); /* changes up to here are gone */
bool store_is_degraded(const Store *s);
const char *store_degraded_reason(const Store *s); /* what is wrong and what to do; NULL when ok */

/* ---- writes ---- */

typedef struct StoreAnswer {
        char uid[ID128_SIZE];
        uint64_t generation;
        uint64_t revision;   /* of the object; of the database for a delete of nothing */
        const char *changed; /* "created", "updated", "unchanged"; "deleted" */
        bool existed;        /* delete only */
} StoreAnswer;

/* Called once for each accepted write, with an answer or with an error. May be called before the
 * write function returns. */
typedef void (*StoreAnswered)(const StoreAnswer *answer, const sd_bus_error *error, void *userdata);

typedef struct StoreWrite {
        bool has_if_revision;
        uint64_t if_revision; /* refuse with Conflict unless the object stands here; 0: is absent */
        uid_t by;
        bool privileged; /* the caller may use privileged fields */
        StoreAnswered answered;
        void *userdata;
} StoreWrite;

/* When these fail nothing happened and answered() is not called. */
int store_create(
                Store *s, const char *text, size_t size, const StoreWrite *w, sd_bus_error *reterr);
int store_apply(Store *s, const char *text, size_t size, const StoreWrite *w, sd_bus_error *reterr);
int store_delete(Store *s, const char *type, const char *namespace, const char *name,
                const StoreWrite *w, sd_bus_error *reterr);

/* ---- reads ---- */

int store_get(Store *s, const char *type, const char *namespace, const char *name, char **ret,
                sd_bus_error *reterr);

/* Each document with its meta. A record that cannot be decoded gives a document of its key alone,
 * whose meta says "unreadable": the reader must not take it for absent. */
typedef int (*StoreDocument)(const char *text, void *userdata);
/* @namespace "" lists all; @limit 0 is the greatest; @token "" begins. Gives *ret_next NULL at the
 * end. */
int store_list(Store *s, const char *type, const char *namespace, uint32_t limit, const char *token,
                StoreDocument each, void *userdata, char **ret_next, uint64_t *ret_revision,
                sd_bus_error *reterr);

/* @document "" when not asked for or deleted. */
typedef int (*StoreChangeSeen)(
                uint64_t revision, const StoreChange *change, const char *document, void *userdata);
/* Everything behind @since, ordered; never ends within a transaction. */
int store_changes(Store *s, const char *database_id, uint64_t since, uint32_t limit, bool documents,
                StoreChangeSeen each, void *userdata, bool *ret_more, uint64_t *ret_revision,
                sd_bus_error *reterr);

/* ---- start ---- */

/* Creates what a file of JSON lines declares and is not there yet; bad lines are logged with their
 * number and passed over. Fails only when the file cannot be read. */
int store_seed(Store *s, const char *path);
