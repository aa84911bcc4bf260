/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The line below which the database is: ordered rows of bytes in a few families, views of one
 * moment, iterators, and batches that are written whole, under preconditions, and durable when
 * db_write() returns. Whatever can do that can stand below it. What there is: RocksDB on disk, and
 * the same on an environment in memory. How far the database has come is a row of it (META_REVISION
 * in store-meta.h), written with each batch and read through the same view as the rest: whoever
 * follows changes goes by that.
 *
 * Failures are -errno: what RocksDB said is logged in here, once.
 *
 *   -ENOSPC   the disk is full; this handle never heals: close and open anew
 *   -EBADMSG  a checksum or a structure is wrong
 *   -EBUSY    (open) another process has the database open
 *   -ENOENT   (open) there is none; (get) no such key
 *   -EPROTONOSUPPORT (open) it has column families that this program does not know
 *   -ESTALE   (write) a precondition does not hold: nothing was written
 *   -EMFILE   too many files are open, in the process or on the machine
 *   -EIO and others  input or output failed
 *
 * Thread safe: the loop reads while the commit thread writes. */

#include <stdint.h>

#include "macro.h"

typedef enum DbFamily {
        DB_META, /* RocksDB's own "default" */
        DB_OBJECTS,
        DB_HISTORY,
        DB_CHANGES,
        DB_KV,
        DB_IDS,
        _DB_FAMILY_MAX,
        _DB_FAMILY_INVALID = -EINVAL,
} DbFamily;

typedef enum DbMode {
        DB_CREATE,    /* make it when there is none */
        DB_OPEN,      /* it must be there */
        DB_READ_ONLY, /* touches nothing; works on a full disk; see db_is_salvaged() */
} DbMode;

typedef struct Db Db;

/* Borrowed bytes. DB_KEY(): of anything with the members data and size. */
typedef struct DbKey {
        const char *data;
        size_t size;
} DbKey;
#define DB_KEY(k) ((DbKey){ (k)->data, (k)->size })

/* How much of a log there may be to be replayed, on a disk of @disk bytes. It has to fit on a full
 * disk twice: tables are written from it, and the deletes that follow need a log again. So what is
 * set aside for that goes by it (store-guard.h). */
uint64_t db_log_max(uint64_t disk);

/* @log_dir: for RocksDB's info log, which must never be on the disk of the database: a full disk
 * would abort the process through its writer. Families that the database does not have are empty
 * for reading, until db_add_families(). */
int db_open(const char *dir, const char *log_dir, DbMode mode, Db **ret);
int db_open_memory(Db **ret); /* a new one, gone when it is closed */
Db *db_close(Db *db);
DEFINE_CLEANUP(Db *, db_closep, db_close);

const char *db_family_name(DbFamily family);
DbFamily db_family_from_name(const char *name); /* -EINVAL */

int db_add_families(Db *db); /* those that are missing */
/* The database as it is now, in a directory of its own that must not be there yet; shares files. */
int db_checkpoint(Db *db, const char *dir);

/* What was deleted of a family shall give its space back, in the background, soon. */
void db_suggest_compaction(Db *db, DbFamily family);

typedef enum DbNumber {
        DB_PENDING_COMPACTION_BYTES,
        DB_MEMTABLE_BYTES,
        DB_CACHE_BYTES,
        DB_TABLE_BYTES,
        _DB_NUMBER_MAX,
} DbNumber;
uint64_t db_number(Db *db, DbNumber number); /* 0 when it is not known */

/* Something that was read had a wrong checksum or structure. */
bool db_is_damaged(const Db *db);
/* Of DB_READ_ONLY: a table is missing or damaged, and whoever asks for what is in it is told
 * so; but of the log, too, rows may be missing in the middle, and nobody is told. Otherwise
 * what was opened is what the database held at one moment, if not the last. */
bool db_is_salvaged(const Db *db);
/* A write failed in the middle of what RocksDB cannot undo: closing the handle would abort the
 * process. db_close() leaves it alone then, and only another process can open the database. */
bool db_is_stuck(const Db *db);

typedef struct DbBatch DbBatch;
int db_batch_new(DbBatch **ret);
DbBatch *db_batch_free(DbBatch *b);
DEFINE_CLEANUP(DbBatch *, db_batch_freep, db_batch_free);
void db_batch_put(DbBatch *b, const Db *db, DbFamily family, DbKey key, const void *value,
                size_t size);
void db_batch_delete(DbBatch *b, const Db *db, DbFamily family, DbKey key);
/* From @begin to before @end. */
void db_batch_delete_range(DbBatch *b, const Db *db, DbFamily family, DbKey begin, DbKey end);
/* A precondition: the row holds just this. All is borrowed until db_write(); one for each batch. */
void db_batch_expect(DbBatch *b, DbFamily family, DbKey key, const void *value, size_t size);

/* Returns when all of it is on disk, or none of it counts. */
int db_write(Db *db, DbBatch *b);

/* What the database held at one moment. */
typedef struct DbView DbView;
int db_view_new(Db *db, DbView **ret);
DbView *db_view_free(DbView *v);
DEFINE_CLEANUP(DbView *, db_view_freep, db_view_free);

/* @view NULL: the newest. The value is the caller's to free(). */
int db_get(Db *db, const DbView *view, DbFamily family, DbKey key, char **ret, size_t *ret_size);

typedef struct DbIter DbIter;
int db_iter_new(Db *db, const DbView *view, DbFamily family, DbIter **ret);
DbIter *db_iter_free(DbIter *i);
DEFINE_CLEANUP(DbIter *, db_iter_freep, db_iter_free);
void db_iter_seek(DbIter *i, DbKey key);        /* to the first at or behind @key */
void db_iter_seek_before(DbIter *i, DbKey key); /* to the last one before @key */
void db_iter_next(DbIter *i);
void db_iter_previous(DbIter *i);
bool db_iter_valid(const DbIter *i);
const char *db_iter_key(const DbIter *i, size_t *ret_size); /* borrowed until it moves */
const char *db_iter_value(const DbIter *i, size_t *ret_size);
int db_iter_status(const DbIter *i); /* once it is no longer valid: the end, or a failure */
