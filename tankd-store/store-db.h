/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The only door to RocksDB. Four column families, synced batches, consistent views. Failures are
 * -errno: what RocksDB said is logged in here, once.
 *
 *   -ENOSPC   the disk is full; this handle never heals: close and open anew
 *   -EBADMSG  a checksum or a structure is wrong
 *   -EBUSY    (open) another process has the database open
 *   -ENOENT   (open) there is none; (get) no such key
 *   -EPROTONOSUPPORT (open) it has column families that this program does not know
 *   -EIO and others  input or output failed
 *
 * Thread safe: the loop reads while the commit thread writes. */

#include "macro.h"
#include "store-key.h"

typedef enum DbFamily {
        DB_META, /* RocksDB's own "default" */
        DB_OBJECTS,
        DB_HISTORY,
        DB_CHANGES,
        _DB_FAMILY_MAX,
} DbFamily;

typedef enum DbMode {
        DB_CREATE,    /* make it when there is none */
        DB_OPEN,      /* it must be there */
        DB_READ_ONLY, /* touches nothing; works on a full disk */
} DbMode;

typedef struct Db Db;

/* @log_dir: for RocksDB's info log, which must never be on the disk of the database: a full disk
 * would abort the process through its writer. */
int db_open(const char *dir, const char *log_dir, DbMode mode, Db **ret);
Db *db_close(Db *db);
DEFINE_CLEANUP(Db *, db_closep, db_close);

typedef struct DbBatch DbBatch;
int db_batch_new(DbBatch **ret);
DbBatch *db_batch_free(DbBatch *b);
DEFINE_CLEANUP(DbBatch *, db_batch_freep, db_batch_free);
void db_batch_put(DbBatch *b, const Db *db, DbFamily family, const StoreKey *key, const void *value,
                size_t size);
void db_batch_delete(DbBatch *b, const Db *db, DbFamily family, const StoreKey *key);

/* Returns when all of it is on disk, or none of it counts. */
int db_write(Db *db, DbBatch *b);

/* What the database held at one moment. */
typedef struct DbView DbView;
int db_view_new(Db *db, DbView **ret);
DbView *db_view_free(DbView *v);
DEFINE_CLEANUP(DbView *, db_view_freep, db_view_free);

/* @view NULL: the newest. The value is the caller's to free(). */
int db_get(Db *db, const DbView *view, DbFamily family, const StoreKey *key, char **ret,
                size_t *ret_size);

typedef struct DbIter DbIter;
int db_iter_new(Db *db, const DbView *view, DbFamily family, DbIter **ret);
DbIter *db_iter_free(DbIter *i);
DEFINE_CLEANUP(DbIter *, db_iter_freep, db_iter_free);
void db_iter_seek(DbIter *i, const StoreKey *key);        /* to the first at or behind @key */
void db_iter_seek_before(DbIter *i, const StoreKey *key); /* to the last one before @key */
void db_iter_next(DbIter *i);
void db_iter_previous(DbIter *i);
bool db_iter_valid(const DbIter *i);
const char *db_iter_key(const DbIter *i, size_t *ret_size); /* borrowed until it moves */
const char *db_iter_value(const DbIter *i, size_t *ret_size);
int db_iter_status(const DbIter *i); /* once it is no longer valid: the end, or a failure */
