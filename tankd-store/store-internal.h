/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the store-*.c files that make up the semantics; nobody else includes it. */

#include "limit.h"
#include "store.h"
#include "store-meta.h"

typedef enum StoreState {
        STORE_OK,
        STORE_FULL, /* the disk is full: deletes are taken, the rest is refused until it is not */
        STORE_CRAMMED,   /* what was set aside is full, too: only reads, until there is room */
        STORE_READ_ONLY, /* its file system is: only reads, until it is not */
        STORE_BROKEN,    /* only reads */
} StoreState;

/* One transaction under way: its operations, or nothing when they changed nothing. */
typedef struct Write {
        Transaction transaction;
        Op *ops;
        size_t n_ops, max_ops;
        size_t size;   /* of this, with what stands behind it */
        Op **shadowed; /* what stood in the overlay before each of them, or NULL */
        StoreAnswer *answers;
        StoreOutcome outcome;
        size_t bytes, bytes_read; /* of rows; of documents that stand or stood */
        size_t n_namespaces;      /* deleted */
        bool taken;               /* of the quotas */
        bool rests;               /* upon a write under way: not to be answered before it */
        sd_bus_error refusal;     /* the answer, when it waits for what it rests upon */
        StoreAnswered answered;
        void *userdata;
} Write;

Write *write_free(Write *w);
DEFINE_CLEANUP(Write *, write_freep, write_free);

struct Store {
        struct Kv *kv;
        sd_event *event;
        char *dir, *db_dir, *log_dir; /* NULL in memory */
        Guard *guard;                 /* likewise */
        Db *db;
        Commit *commit;
        StoreHooks hooks;

        char database_id[ID128_SIZE];
        uint64_t revision;  /* of the newest durable write */
        uint64_t allocated; /* of the newest write under way */
        uint64_t compacted;
        LogSize log;   /* with the newest durable write */
        void *overlay; /* tsearch() tree of Op*, by key: the newest write under way of each */
        /* Names of namespaces that were found to stand: each write asks for one. */
        char namespaces[LIMIT_NAMESPACES_KNOWN][LIMIT_NAME_MAX + 1];
        size_t n_namespaces;

        struct Query *queries[LIMIT_QUERIES]; /* under way, the next in turn first */
        size_t n_queries;
        sd_event_source *query_idle, *query_due; /* NULL until there was one */
        struct Jobs *jobs;                       /* store-job.h */
        struct Compactor *compactor;             /* store-compact.h */
        struct Setting *setting;                 /* store-retention.c: a rule that is being set */

        struct Quotas *quotas;     /* store-quota.h */
        struct Keyring *keyring;   /* NULL: no secret can be written or opened */
        struct Rotation *rotation; /* under way, or NULL */

        StoreState state;
        bool ending; /* no job begins any more */
        sd_event_source *exit_source;
        bool incomplete; /* what is absent may only be missing: of acknowledged writes, or in a file
                          * that cannot be read */
        bool closed;     /* broken, and what is open is no database of anybody's */
        char *reason;
        int failure; /* of the newest failed batch */
        sd_event_source *failure_source;
};

/* store-state.c: the only place that changes the state. */
/* Damage that was met makes the store broken: asked before anything is written or said of it. */
void store_look_for_damage(Store *s);
void store_set_damaged(Store *s);
const char *store_place(const Store *s); /* where the database is, for people */
/* Sets the error of a write whose batch failed. */
int store_write_failed(const Store *s, int error, sd_bus_error *reterr);
/* The same of what comes behind it, or waited for it, with nothing of its own on the way. */
int store_refuse_after_failure(int error, sd_bus_error *reterr);
void store_set_read_only(Store *s);
void store_set_state(Store *s, StoreState state, const char *format, ...) PRINTF_LIKE(3, 4);

/* store.c */
void store_on_batch(const CommitBatch *batch, void *userdata);
int store_on_failure(sd_event_source *source, void *userdata);

#define STORE_EXIT_AGAIN 75 /* EX_TEMPFAIL of sysexits.h: the unit starts another process */

/* store-open.c */
int store_open_database(Store *s);
CommitStart store_commit_start(const Store *s);
/* Behind a full disk: gives up the ballast and opens anew; behind a file system that was read-only:
 * opens anew. The state is what came of it. */
int store_reopen(Store *s);

/* store-query.c */
/* Answers those under way with Unavailable: before the handle of the database goes. */
void store_end_queries(Store *s);

/* store-migrate.c */
/* Brings an older format of the database up to this one's. */
int store_migrate(Store *s, uint64_t format);

/* store-room.c */
/* Leaves STORE_FULL and STORE_CRAMMED when there is room again, STORE_READ_ONLY when it can be
 * written to. The database may be another one then: whoever writes asks this once, before anything
 * is looked up. */
void store_try_writable(Store *s);
/* Whether a write may begin; sets Degraded. Changes nothing. */
int store_check_writable(Store *s, bool is_delete, sd_bus_error *reterr);

/* store-overlay.c: borrows the ops. */
int overlay_set(Store *s, Op *op);
Op *overlay_find(Store *s, const ObjectKey *key);
void overlay_drop(Store *s, const Op *op); /* unless a newer one stands there */
typedef void (*OverlayEach)(Store *s, const Op *op, void *userdata);
void overlay_walk(Store *s, OverlayEach each, void *userdata);

/* store-history.c */
/* The version that @revision made of an object; borrows from *ret_buffer. */
int store_version_load(Store *s, const ObjectKey *key, uint64_t revision, StoreRecord *ret,
                char **ret_buffer, sd_bus_error *reterr);

/* store-read.c */
int store_refuse_key(
                const char *type, const char *namespace, const char *name, sd_bus_error *reterr);
int store_read_failed(int r, sd_bus_error *reterr);
/* NotFound; Degraded where what is absent may only be missing. */
int store_refuse_absent(const Store *s, const ObjectKey *key, sd_bus_error *reterr);
/* For a record that cannot be decoded, which is logged: a document of its key, and a mark that it
 * is not simply absent. */
int store_unreadable_text(const ObjectKey *key, int error, char **ret);
/* What of an object's row, or of one of its versions', goes over the bus. */
int store_row_text(const ObjectKey *key, const void *row, size_t size, char **ret);
/* What a write has to build upon: the write under way, else the committed record (then its bytes
 * are in *ret_buffer). -ENOENT: absent, or about to be; -EBADMSG, -EPROTONOSUPPORT: unreadable. */
int store_lookup(Store *s, const ObjectKey *key, StoreRecord *ret, char **ret_buffer);
/* In the place of an object's record that cannot be read: as much of it as the history knows, else
 * a uid of its own; without a document. */
int store_lost_record(Store *s, const ObjectKey *key, StoreRecord *ret);
/* 1 or 0, whether it can be read or not. */
int store_exists(Store *s, const ObjectKey *key);
/* The same of the namespace in which @key stands. */
int store_namespace_exists(Store *s, const ObjectKey *key);
/* One of them may have gone: it was written, or the database is another. */
void store_forget_namespaces(Store *s);

/* store-namespace.c: what stands in a namespace, writes under way included. */
/* Each object behind *cursor (empty: from the first), which comes along; @bytes of what is stored
 * of it, 0 when it cannot be read. 1: there may be more, as @end_usec (CLOCK_BOOTTIME) came or
 * @each returned above 0; 0: that was all. What changes between two calls is the caller's to
 * know. */
typedef int (*NamespaceEach)(const ObjectKey *key, size_t bytes, void *userdata);
int store_walk_namespace(Store *s, const char *namespace, StoreKey *cursor, uint64_t end_usec,
                NamespaceEach each, void *userdata);
/* How many objects, counting no further than @max. */
int store_count_namespace(Store *s, const char *namespace, size_t max, size_t *ret);
/* Which; the caller frees them. -EFBIG: more than @max. */
int store_namespace_keys(
                Store *s, const char *namespace, size_t max, ObjectKey **ret, size_t *ret_n);
