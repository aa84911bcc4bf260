/* SPDX-License-Identifier: Apache-2.0 */
#include "store-db.h"

#include <dirent.h>
#include <fnmatch.h>
#include <libgen.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "log.h"

/* Why these:
 *   wal_recovery_mode  the default drops everything behind a damaged record without a word; this
 *                      one forgives only an unfinished last record, which nobody was told of
 *   stats_*            no statistics, no periodic wake-up, no disk write while nothing changes
 *   *buffer*, cache    a store is small and idle: memory is bounded and named here
 *   max_total_wal_size (db_log_max()) what has to be replayed at most; preallocated is no more
 *   info_log           nothing (INFO_LOG_SILENT): what goes wrong comes back as text and is told
 *   max_open_files     bounded, a good part of them stay in the table cache */
static const char db_settings[] =
                "wal_recovery_mode=kTolerateCorruptedTailRecords;"
                "paranoid_checks=true;"
                "stats_dump_period_sec=0;"
                "stats_persist_period_sec=0;"
                "skip_stats_update_on_db_open=true;"
                "enable_thread_tracking=false;"
                "max_log_file_size=262144;"
                "keep_log_file_num=2;"
                "max_manifest_file_size=4194304;"
                "max_open_files=128;"
                "max_file_opening_threads=1;"
                "max_background_jobs=2;"
                "max_subcompactions=1;"
                "write_buffer_size=4194304;"
                "db_write_buffer_size=12582912;"
                "max_write_buffer_number=2;"
                "arena_block_size=65536;"
                "target_file_size_base=8388608;"
                "max_bytes_for_level_base=33554432;"
                "level_compaction_dynamic_level_bytes=true;"
                "compression=kLZ4Compression;"
                "allow_concurrent_memtable_write=false;"
                "enable_write_thread_adaptive_yield=false;"
                "compaction_readahead_size=262144;"
                "writable_file_max_buffer_size=262144;"
                "block_based_table_factory={block_cache={capacity=4M;num_shard_bits=0};"
                "cache_index_and_filter_blocks=true;pin_l0_filter_and_index_blocks_in_cache=true;"
                "block_size=8192;format_version=5}";

/* A database that cannot be opened for writing is read up to where its log is damaged: that is what
 * it held at one moment. */
static const char read_only_settings[] = "wal_recovery_mode=kPointInTimeRecovery";

/* Where even that fails, a table is missing or damaged: all but what stands in it, which is an
 * error for who asks for it. Of a log that is damaged, too, RocksDB then passes over the damage
 * without a word, whatever the recovery mode is, and goes on behind it. Whoever opens it so has
 * to look at what there is. */
static const char salvage_settings[] = "paranoid_checks=false;"
                                       "skip_checking_sst_file_sizes_on_db_open=true";

#define LOG_MAX   (UINT64_C(16) * 1024 * 1024)
#define LOG_MIN   (UINT64_C(64) * 1024)
#define LOG_SHARE 16U /* of a small disk */

/* Above the highest level that there is: the C interface has no names for them. The log's writer
 * ends the process (an assertion) at the second line that its disk has no room for; a line that is
 * not written cannot. */
#define INFO_LOG_SILENT 6

static const char *const family_names[_DB_FAMILY_MAX] = {
        [DB_META] = "default",
        [DB_OBJECTS] = "objects",
        [DB_HISTORY] = "history",
        [DB_CHANGES] = "changes",
        [DB_KV] = "kv",
        [DB_IDS] = "ids",
};

struct Db {
        rocksdb_t *db;
        rocksdb_env_t *env; /* in memory; NULL: the disk's */
        atomic_bool damaged, stuck;
        bool salvaged; /* opened with salvage_settings */
        rocksdb_options_t *options;
        rocksdb_readoptions_t *read_options;
        rocksdb_writeoptions_t *write_options;
        rocksdb_column_family_handle_t *families[_DB_FAMILY_MAX]; /* NULL: not there */
};

struct DbView {
        Db *db;
        const rocksdb_snapshot_t *snapshot;
        rocksdb_readoptions_t *read_options;
};

struct DbBatch {
        rocksdb_writebatch_t *batch;
        DbFamily expected_family;
        DbKey expected_key; /* NULL: no precondition */
        const void *expected;
        size_t expected_size;
};

struct DbIter {
        Db *db;
        rocksdb_iterator_t *iter; /* NULL: of a family that is not there */
};

static int error_to_errno(const char *text)
{
        /* RocksDB's C interface has nothing but text. */
        static const struct {
                const char *part;
                int error;
                const char *and; /* NULL: nothing else */
        } table[] = {
                { "Too many open files", EMFILE }, /* of the process, or in the system */
                { "Cannot allocate memory", ENOMEM },
                { "No space left on device", ENOSPC },
                { "Disk quota exceeded", ENOSPC },
                { "While lock file", EBUSY },
                { "lock hold by current process", EBUSY },
                { "Read-only file system", EROFS },
                { "Permission denied", EACCES },
                { "Corruption", EBADMSG },
                /* a table is gone */
                { "While open a file for random read", EBADMSG, "No such file or directory" },
                { "does not exist", ENOENT },
                { "Not implemented", EOPNOTSUPP },
                { "Invalid argument", EINVAL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (strstr(text, table[i].part) && (!table[i].and || strstr(text, table[i].and)))
                        return -table[i].error;
        return -EIO;
}

/* Consumes @text, which may be NULL: no failure. */
static int check(char *text, const char *what)
{
        int r;

        if (!text)
                return 0;
        r = error_to_errno(text);
        log_error("%s: RocksDB says: %s", what, text);
        rocksdb_free(text);
        return r;
}

static int check_io(Db *db, char *text, const char *what)
{
        /* No file could be made for the next log: the family whose buffer was to be exchanged keeps
         * a reference, and the end of the handle is an assertion (7.8, as Debian builds it). */
        bool stuck = text && strstr(text, "While open a file for appending");
        int r = check(text, what);

        if (stuck)
                db->stuck = true;
        if (r == -EBADMSG)
                db->damaged = true;
        return r;
}

bool db_is_damaged(const Db *db)
{
        return db->damaged;
}

bool db_is_salvaged(const Db *db)
{
        return db->salvaged;
}

bool db_is_stuck(const Db *db)
{
        return db->stuck;
}

uint64_t db_log_max(uint64_t disk)
{
        return MAX(MIN(disk / LOG_SHARE, LOG_MAX), LOG_MIN);
}

/* Of the disk of @dir, which may have to be made yet, in a directory that is there. */
static uint64_t disk_size(const char *dir)
{
        CLEANUP_FREE char *parent = strdup(dir);
        struct statvfs s;

        if (!parent)
                return 0;
        if (statvfs(dir, &s) < 0 && statvfs(dirname(parent), &s) < 0)
                return 0; /* opening it says why */
        return (uint64_t) s.f_blocks * s.f_frsize;
}

/* In the place of *options. */
static int change_options(rocksdb_options_t **options, const char *settings)
{
        rocksdb_options_t *changed = rocksdb_options_create();
        char *error = NULL;

        rocksdb_get_options_from_string(*options, settings, changed, &error);
        rocksdb_options_destroy(*options);
        *options = changed;
        return check(error, "settings of the database");
}

/* @log_dir NULL: beside the database. */
static int make_options(const char *log_dir, DbMode mode, bool salvage, uint64_t disk,
                rocksdb_options_t **ret)
{
        rocksdb_options_t *options = rocksdb_options_create();
        int r;

        r = change_options(&options, db_settings);
        if (r >= 0 && mode == DB_READ_ONLY)
                r = change_options(&options, salvage ? salvage_settings : read_only_settings);
        if (r < 0) {
                rocksdb_options_destroy(options);
                return r;
        }

        if (log_dir)
                rocksdb_options_set_db_log_dir(options, log_dir);
        rocksdb_options_set_max_total_wal_size(options, db_log_max(disk));
        rocksdb_options_set_manifest_preallocation_size(options, db_log_max(disk) / 4);
        rocksdb_options_set_info_log_level(options, INFO_LOG_SILENT);
        rocksdb_options_set_create_if_missing(options, mode == DB_CREATE);
        rocksdb_options_set_create_missing_column_families(options, mode == DB_CREATE);
        *ret = options;
        return 0;
}

/* A table file without CURRENT means that something was lost; a manifest alone is what a process
 * leaves that died while it made the database. */
static int dir_has_tables(const char *dir)
{
        struct dirent *e;
        bool found = false;
        DIR *d;

        d = opendir(dir);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while (!found && (e = readdir(d)))
                found = fnmatch("*.sst", e->d_name, 0) == 0;
        (void) closedir(d);
        return found;
}

/* 1: there is a database, 0: there is none. */
static int probe(const char *dir)
{
        CLEANUP_FREE char *current = NULL;
        int r;

        if (asprintf(&current, "%s/CURRENT", dir) < 0)
                return -ENOMEM;
        if (access(current, F_OK) >= 0)
                return 1;
        if (errno != ENOENT)
                return -errno;
        r = dir_has_tables(dir);
        if (r > 0) {
                log_error("%s has tables, but its file CURRENT is missing", dir);
                return -EBADMSG;
        }
        return r;
}

/* Which of our families there are; any other is refused. */
static int find_families(const char *dir, const rocksdb_options_t *options,
                bool ret_present[static _DB_FAMILY_MAX])
{
        char *error = NULL, **names;
        size_t n = 0;
        int r;

        names = rocksdb_list_column_families(options, dir, &n, &error);
        r = check(error, dir); /* then the list is empty, and there all the same */
        for (size_t i = 0; i < n && r >= 0; i++) {
                bool known = false;

                for (size_t f = 0; f < _DB_FAMILY_MAX; f++)
                        if (streq(names[i], family_names[f]))
                                ret_present[f] = known = true;
                if (!known) {
                        log_error("%s has the unknown column family \"%s\"", dir, names[i]);
                        r = -EPROTONOSUPPORT;
                }
        }
        rocksdb_list_column_families_destroy(names, n);
        return r;
}

/* Opens the families that are @present. */
static int open_families(Db *db, const char *dir, DbMode mode, const bool *present)
{
        rocksdb_column_family_handle_t *handles[_DB_FAMILY_MAX] = {};
        const rocksdb_options_t *options[_DB_FAMILY_MAX];
        const char *names[_DB_FAMILY_MAX];
        char *error = NULL;
        int n = 0, r;

        for (size_t f = 0; f < _DB_FAMILY_MAX; f++)
                if (present[f]) {
                        options[n] = db->options;
                        names[n++] = family_names[f];
                }
        db->db = mode == DB_READ_ONLY ? rocksdb_open_for_read_only_column_families(db->options, dir,
                                                        n, names, options, handles, 0, &error)
                                      : rocksdb_open_column_families(db->options, dir, n, names,
                                                        options, handles, &error);
        r = check(error, dir);
        if (r < 0)
                return r;
        for (size_t f = 0, i = 0; f < _DB_FAMILY_MAX; f++)
                if (present[f])
                        db->families[f] = handles[i++];
        return 0;
}

/* The silent log level has no name, so RocksDB cannot write down its options: it goes on without,
 * and leaves the file that it began, one for each start. */
static void remove_leftovers(const char *dir)
{
        struct dirent *e;
        DIR *d;

        d = opendir(dir);
        if (!d)
                return;
        while ((e = readdir(d)))
                if (fnmatch("OPTIONS-*.dbtmp", e->d_name, 0) == 0)
                        (void) unlinkat(dirfd(d), e->d_name, 0);
        (void) closedir(d);
}

static int open_with(Db *db, const char *dir, const char *log_dir, DbMode mode, bool salvage,
                bool exists)
{
        bool present[_DB_FAMILY_MAX] = {};
        int r;

        r = make_options(log_dir, mode, salvage, db->env ? UINT64_MAX : disk_size(dir),
                        &db->options);
        if (r < 0)
                return r;
        if (db->env)
                rocksdb_options_set_env(db->options, db->env);
        if (exists) {
                r = find_families(dir, db->options, present);
                if (r < 0)
                        return r;
        } else
                for (size_t f = 0; f < _DB_FAMILY_MAX; f++)
                        present[f] = true;

        db->read_options = rocksdb_readoptions_create();
        db->write_options = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(db->write_options, 1);
        return open_families(db, dir, mode, present);
}

static int open_new(const char *dir, const char *log_dir, DbMode mode, bool salvage, bool exists,
                Db **ret)
{
        CLEANUP(db_closep) Db *db = NULL;
        int r;

        db = calloc(1, sizeof(*db));
        if (!db)
                return -ENOMEM;
        r = open_with(db, dir, log_dir, mode, salvage, exists);
        if (r < 0)
                return r;
        db->salvaged = salvage;
        *ret = TAKE_PTR(db);
        return 0;
}

int db_open(const char *dir, const char *log_dir, DbMode mode, Db **ret)
{
        int exists, r;

        exists = probe(dir);
        if (exists < 0)
                return exists;
        if (!exists && mode != DB_CREATE)
                return -ENOENT;

        r = open_new(dir, log_dir, mode, false, exists, ret);
        if (mode == DB_READ_ONLY && (r == -EBADMSG || r == -EIO))
                r = open_new(dir, log_dir, mode, true, exists, ret);
        if (r < 0)
                return r;
        if (mode != DB_READ_ONLY)
                remove_leftovers(dir);
        return 0;
}

int db_open_memory(Db **ret)
{
        CLEANUP(db_closep) Db *db = NULL;
        int r;

        db = calloc(1, sizeof(*db));
        if (!db)
                return -ENOMEM;
        db->env = rocksdb_create_mem_env();
        r = open_with(db, "/tank", NULL, DB_CREATE, false, false);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(db);
        return 0;
}

int db_add_families(Db *db)
{
        for (size_t f = 0; f < _DB_FAMILY_MAX; f++) {
                char *error = NULL;
                int r;

                if (db->families[f])
                        continue;
                db->families[f] = rocksdb_create_column_family(
                                db->db, db->options, family_names[f], &error);
                r = check(error, family_names[f]);
                if (r < 0) {
                        db->families[f] = NULL;
                        return r;
                }
        }
        return 0;
}

int db_checkpoint(Db *db, const char *dir)
{
        rocksdb_checkpoint_t *checkpoint;
        char *error = NULL;
        int r;

        checkpoint = rocksdb_checkpoint_object_create(db->db, &error);
        r = check(error, "checkpoint of the database");
        if (r < 0)
                return r;
        rocksdb_checkpoint_create(checkpoint, dir, 0, &error);
        r = check(error, "checkpoint of the database");
        rocksdb_checkpoint_object_destroy(checkpoint);
        return r;
}

const char *db_family_name(DbFamily family)
{
        return family >= 0 && family < _DB_FAMILY_MAX ? family_names[family] : NULL;
}

DbFamily db_family_from_name(const char *name)
{
        for (DbFamily f = 0; f < _DB_FAMILY_MAX; f++)
                if (streq(name, family_names[f]))
                        return f;
        return _DB_FAMILY_INVALID;
}

void db_suggest_compaction(Db *db, DbFamily family)
{
        static const char end[64] = { [0 ... 63] = (char) 0xff }; /* behind every key of ours */
        char *error = NULL;

        if (!db->families[family])
                return;
        rocksdb_suggest_compact_range_cf(
                        db->db, db->families[family], "", 0, end, sizeof(end), &error);
        (void) check(error, "suggestion to compact"); /* told; nothing depends on it */
}

uint64_t db_number(Db *db, DbNumber number)
{
        static const char *const properties[_DB_NUMBER_MAX] = {
                [DB_PENDING_COMPACTION_BYTES] = "rocksdb.estimate-pending-compaction-bytes",
                [DB_MEMTABLE_BYTES] = "rocksdb.cur-size-all-mem-tables",
                [DB_CACHE_BYTES] = "rocksdb.block-cache-usage",
                [DB_TABLE_BYTES] = "rocksdb.live-sst-files-size",
        };
        uint64_t sum = 0;

        for (size_t f = 0; f < _DB_FAMILY_MAX; f++) {
                uint64_t n = 0;

                if (!db->families[f])
                        continue;
                if (rocksdb_property_int_cf(db->db, db->families[f], properties[number], &n) < 0)
                        continue;
                /* There is one cache for all families. */
                sum = number == DB_CACHE_BYTES ? n : sum + n;
        }
        return sum;
}

Db *db_close(Db *db)
{
        static Db *abandoned __attribute__((used)); /* where what looks for leaks finds it */

        if (!db)
                return NULL;
        if (db->stuck) {
                abandoned = db;
                return NULL;
        }
        for (size_t i = 0; i < _DB_FAMILY_MAX; i++)
                if (db->families[i])
                        rocksdb_column_family_handle_destroy(db->families[i]);
        if (db->db)
                rocksdb_close(db->db);
        if (db->read_options)
                rocksdb_readoptions_destroy(db->read_options);
        if (db->write_options)
                rocksdb_writeoptions_destroy(db->write_options);
        if (db->options)
                rocksdb_options_destroy(db->options);
        if (db->env)
                rocksdb_env_destroy(db->env);
        free(db);
        return NULL;
}

int db_batch_new(DbBatch **ret)
{
        DbBatch *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        b->batch = rocksdb_writebatch_create();
        *ret = b;
        return 0;
}

DbBatch *db_batch_free(DbBatch *b)
{
        if (b)
                rocksdb_writebatch_destroy(b->batch);
        free(b);
        return NULL;
}

void db_batch_put(DbBatch *b, const Db *db, DbFamily family, DbKey key, const void *value,
                size_t size)
{
        rocksdb_writebatch_put_cf(b->batch, db->families[family], key.data, key.size, value, size);
}

void db_batch_delete(DbBatch *b, const Db *db, DbFamily family, DbKey key)
{
        rocksdb_writebatch_delete_cf(b->batch, db->families[family], key.data, key.size);
}

void db_batch_delete_range(DbBatch *b, const Db *db, DbFamily family, DbKey begin, DbKey end)
{
        rocksdb_writebatch_delete_range_cf(
                        b->batch, db->families[family], begin.data, begin.size, end.data, end.size);
}

void db_batch_expect(DbBatch *b, DbFamily family, DbKey key, const void *value, size_t size)
{
        b->expected_family = family;
        b->expected_key = key;
        b->expected = value;
        b->expected_size = size;
}

static int check_expected(Db *db, const DbBatch *b)
{
        CLEANUP_FREE char *value = NULL;
        size_t size;
        int r;

        r = db_get(db, NULL, b->expected_family, b->expected_key, &value, &size);
        if (r < 0 && r != -ENOENT)
                return r;
        return r >= 0 && size == b->expected_size && memcmp(value, b->expected, size) == 0
                               ? 0
                               : -ESTALE;
}

/* Precondition and write are not one step here: nobody else writes, which is what RocksDB's lock
 * and the one commit thread are for. */
int db_write(Db *db, DbBatch *b)
{
        char *error = NULL;
        int r;

        r = b->expected_key.data ? check_expected(db, b) : 0;
        if (r < 0)
                return r;
        rocksdb_write(db->db, db->write_options, b->batch, &error);
        return check_io(db, error, "write to the database");
}

int db_view_new(Db *db, DbView **ret)
{
        DbView *v = malloc(sizeof(*v));

        if (!v)
                return -ENOMEM;
        v->db = db;
        v->snapshot = rocksdb_create_snapshot(db->db);
        v->read_options = rocksdb_readoptions_create();
        rocksdb_readoptions_set_snapshot(v->read_options, v->snapshot);
        *ret = v;
        return 0;
}

DbView *db_view_free(DbView *v)
{
        if (!v)
                return NULL;
        rocksdb_readoptions_destroy(v->read_options);
        rocksdb_release_snapshot(v->db->db, v->snapshot);
        free(v);
        return NULL;
}

int db_get(Db *db, const DbView *view, DbFamily family, DbKey key, char **ret, size_t *ret_size)
{
        char *error = NULL, *value;
        size_t size = 0;
        int r;

        if (!db->families[family])
                return -ENOENT;
        value = rocksdb_get_cf(db->db, view ? view->read_options : db->read_options,
                        db->families[family], key.data, key.size, &size, &error);
        r = check_io(db, error, "read of the database");
        if (r < 0)
                return r;
        if (!value)
                return -ENOENT;
        *ret = value;
        *ret_size = size;
        return 0;
}

int db_iter_new(Db *db, const DbView *view, DbFamily family, DbIter **ret)
{
        DbIter *i = calloc(1, sizeof(*i));

        if (!i)
                return -ENOMEM;
        i->db = db;
        if (db->families[family])
                i->iter = rocksdb_create_iterator_cf(db->db,
                                view ? view->read_options : db->read_options, db->families[family]);
        *ret = i;
        return 0;
}

DbIter *db_iter_free(DbIter *i)
{
        if (i && i->iter)
                rocksdb_iter_destroy(i->iter);
        free(i);
        return NULL;
}

void db_iter_seek(DbIter *i, DbKey key)
{
        if (i->iter)
                rocksdb_iter_seek(i->iter, key.data, key.size);
}

void db_iter_seek_before(DbIter *i, DbKey key)
{
        const char *found;
        size_t size;

        if (!i->iter)
                return;
        rocksdb_iter_seek_for_prev(i->iter, key.data, key.size);
        if (!rocksdb_iter_valid(i->iter))
                return;
        found = rocksdb_iter_key(i->iter, &size);
        if (size == key.size && memcmp(found, key.data, size) == 0)
                rocksdb_iter_prev(i->iter);
}

void db_iter_next(DbIter *i)
{
        rocksdb_iter_next(i->iter);
}

void db_iter_previous(DbIter *i)
{
        rocksdb_iter_prev(i->iter);
}

bool db_iter_valid(const DbIter *i)
{
        return i->iter && rocksdb_iter_valid(i->iter);
}

const char *db_iter_key(const DbIter *i, size_t *ret_size)
{
        return rocksdb_iter_key(i->iter, ret_size);
}

const char *db_iter_value(const DbIter *i, size_t *ret_size)
{
        return rocksdb_iter_value(i->iter, ret_size);
}

int db_iter_status(const DbIter *i)
{
        char *error = NULL;

        if (!i->iter)
                return 0;
        rocksdb_iter_get_error(i->iter, &error);
        return check_io(i->db, error, "read of the database");
}
