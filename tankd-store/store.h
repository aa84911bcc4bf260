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

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "store-commit.h"
#include "store-op.h"

typedef struct Store Store;

typedef struct StoreHooks {
        /* A batch is durable, and its writers have their answers. NULL: the revision rose, and what
         * changed has to be read from the change log. */
        void (*changed)(const CommitBatch *batch, void *userdata);
        void (*state_changed)(void *userdata);
        void *userdata;
} StoreHooks;

typedef struct StoreOptions {
        const char *dir;     /* made when it is missing, and a database in it; NULL: in memory, gone
                          * with the store, and no file is touched */
        const char *log_dir; /* takes RocksDB's info log; NULL in memory */
} StoreOptions;

/* Failures are logged in full. A database that can only be read gives a degraded store; one that
 * cannot even be opened, a closed one. */
int store_open(sd_event *event, const StoreOptions *options, Store **ret);
Store *store_free(Store *s); /* what waits is written and answered first */
DEFINE_CLEANUP(Store *, store_freep, store_free);
void store_set_hooks(Store *s, const StoreHooks *hooks);
/* Blocks until every write is answered: for the start, before anybody is served, and the end. */
void store_flush(Store *s);
/* Writes wait for others to share their sync; nobody will send one: it may begin. */
bool store_gathers(const Store *s);
void store_hurry(Store *s);

/* Backups and the like that are under way are given up: before those go who wait for them. */
void store_end_jobs(Store *s);

/* Degraded, and there is no database at all: nobody may read or write. */
bool store_is_closed(const Store *s);
bool store_is_in_memory(const Store *s);
/* In memory only: as newly made, under another database id. -EOPNOTSUPP on disk. */
int store_reset(Store *s);
const char *store_database_id(const Store *s);
uint64_t store_revision(const Store *s);           /* of the newest durable write */
uint64_t store_compacted_revision(const Store *s); /* changes up to here are gone */
bool store_is_degraded(Store *s);
const char *store_degraded_reason(Store *s); /* what is wrong and what to do; NULL when ok */

/* The objects that a transaction of a batch changes, in their order: how many. 0 for those that
 * change none. */
size_t store_transaction_ops(const Transaction *t, const Op **ret);

/* ---- writes ---- */

/* What a transaction is made of. Operations take effect in their order: each sees what those before
 * it left. Each object is written by at most one of them, so that an object and a revision name one
 * version. Checks are about what stood there before the transaction, wherever they stand in it, and
 * come first. */
typedef enum StoreVerb {
        STORE_CREATE,   /* the document, which must not be there */
        STORE_APPLY,    /* the document, there or not */
        STORE_UPDATE,   /* the document, which must be there */
        STORE_DELETE,   /* the object, there or not */
        STORE_ROLLBACK, /* the object's document becomes that of an earlier version */
        STORE_CHECK,    /* writes nothing: a precondition on an object */
        _STORE_VERB_MAX,
        _STORE_VERB_INVALID = -EINVAL,
} StoreVerb;
DECLARE_STRING_TABLE(StoreVerb, store_verb);

typedef struct StoreOperation {
        StoreVerb verb;
        const char *document; /* create, apply, update: JSON text */
        size_t document_size;
        const json_t *parsed; /* instead of the text: the same, taken apart */
        /* Of a secret that was exported: its redacted values, sealed (base64), and where. */
        const char *sealed, *sealed_uid;
        uint64_t sealed_revision;
        const char *type, *namespace, *name; /* of the others; @namespace may be NULL */
        uint64_t revision;                   /* rollback: of the version */
        bool has_if_revision;                /* not with create */
        uint64_t if_revision; /* refuse with Conflict unless the object stands here; 0: is absent */
        bool cascade;         /* delete of a namespace: everything that stands in it goes with it */
} StoreOperation;

typedef struct StoreAnswer {
        char uid[ID128_SIZE];
        uint64_t generation;
        uint64_t revision;   /* of the object */
        const char *changed; /* "created", "updated", "deleted"; "unchanged"; "absent": nothing was
                              * there, and nothing is: everything else is 0 */
} StoreAnswer;

#define STORE_WHOLE SIZE_MAX

typedef struct StoreOutcome {
        uint64_t revision; /* of the transaction; of the database when it changed nothing */
        size_t n;
        const StoreAnswer *answers; /* one for each operation; none with an error */
        size_t at;                  /* with an error: the operation at fault, or STORE_WHOLE */
        uint64_t stands; /* with Conflict and AlreadyExists: at which its object stands; 0: none */
} StoreOutcome;

/* Called once for each accepted write: it happened, or changed nothing; or @error. May be called
 * before store_write() returns. */
typedef void (*StoreAnswered)(
                const StoreOutcome *outcome, const sd_bus_error *error, void *userdata);

typedef struct StoreWrite {
        uid_t by;
        bool privileged; /* the caller may use privileged fields */
        bool secrets;    /* the caller may write secrets */
        bool dry_run; /* answer what would be, and do nothing: new uids and revisions are empty */
        bool any_amount; /* with dry_run: the quotas of namespaces are not asked */
        /* A namespace that a written document stands in is made when it is missing, before it: by
         * the operation that creates, applies or rolls it back, wherever that stands; else as it is
         * by default, the transaction's own write, without an answer of its own. */
        bool create_namespaces;
        /* May be NULL. Set with Conflict and AlreadyExists: the revision at which the object stands
         * that is at fault, 0 when there is none. */
        uint64_t *reterr_revision;
        StoreAnswered answered;
        void *userdata;
} StoreWrite;

/* All of the operations or none, under one revision; a single write is a transaction of one. When
 * it fails nothing happened and answered() is not called; *reterr_index then says which operation
 * is at fault, or STORE_WHOLE. A refusal that may follow from writes under way comes through
 * answered(), when they are durable: nobody is told of what may yet be lost. */
int store_write(Store *s, const StoreOperation *operations, size_t n, const StoreWrite *w,
                size_t *reterr_index, sd_bus_error *reterr);

/* ---- reads ---- */

int store_get(Store *s, const char *type, const char *namespace, const char *name, char **ret,
                sd_bus_error *reterr);

/* ---- start ---- */

/* Creates what a file of JSON lines declares and is not there yet; bad lines are logged with their
 * number and passed over. Fails only when the file cannot be read. */
int store_seed(Store *s, const char *path);
