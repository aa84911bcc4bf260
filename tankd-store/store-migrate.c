/* SPDX-License-Identifier: Apache-2.0 */

/* Databases of older formats. What was there stays beside the database, as a checkpoint that an
 * older tank can open; what is new comes with one batch that ends with the format, so that each
 * start finds either the old or the new one, and one that was killed begins again.
 *
 *   1 -> 2   families kv (empty) and ids (from the objects); the size of the change log */

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "store-internal.h"

/* Before families are made that an older tank would not know. */
static int keep_copy(Store *s, uint64_t format, char **ret)
{
        CLEANUP_FREE char *dir = NULL;
        int r;

        if (asprintf(&dir, "%s/db.format-%" PRIu64, s->dir, format) < 0)
                return -ENOMEM;
        /* Appears whole or not at all: of a start that was killed behind it. */
        r = access(dir, F_OK) >= 0 ? 0 : db_checkpoint(s->db, dir);
        if (r >= 0)
                *ret = TAKE_PTR(dir);
        return r;
}

static int add_ids(Store *s, DbBatch *b)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        int r;

        r = db_iter_new(s->db, NULL, DB_OBJECTS, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i)) {
                size_t key_size, size;
                const char *key = db_iter_key(i, &key_size), *value = db_iter_value(i, &size);
                StoreRecord record;
                StoreKey id;

                /* What cannot be read has no uid: it is reported wherever it is listed. */
                if (store_record_decode(value, size, &record) >= 0 &&
                                id_key_encode(record.uid, &id) >= 0)
                        db_batch_put(b, s->db, DB_IDS, DB_KEY(&id), key, key_size);
        }
        return db_iter_status(i);
}

static int count_log(Store *s, DbBatch *b)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        LogSize log = {};
        int r;

        r = db_iter_new(s->db, NULL, DB_CHANGES, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i)) {
                size_t size;

                (void) db_iter_value(i, &size);
                log.rows++;
                log.bytes += size;
        }
        meta_put_u64(b, s->db, META_LOG_ROWS, log.rows);
        meta_put_u64(b, s->db, META_LOG_BYTES, log.bytes);
        return db_iter_status(i);
}

static int migrate_1(Store *s)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        int r;

        if ((r = db_add_families(s->db)) < 0 || (r = db_batch_new(&b)) < 0 ||
                        (r = add_ids(s, b)) < 0 || (r = count_log(s, b)) < 0)
                return r;
        meta_put_u64(b, s->db, META_FORMAT, STORE_FORMAT);
        return db_write(s->db, b);
}

int store_migrate(Store *s, uint64_t format)
{
        CLEANUP_FREE char *copy = NULL;
        int r;

        if (format == STORE_FORMAT)
                return 0;
        if ((r = keep_copy(s, format, &copy)) < 0 || (r = migrate_1(s)) < 0)
                return log_error_errno(r,
                                "cannot bring the database in %s from format %" PRIu64
                                " to %d; it is as it was",
                                s->dir, format, STORE_FORMAT);
        log_notice("the database in %s was brought from format %" PRIu64
                   " to %d; as it was before it is in %s: remove that when all is well",
                        s->dir, format, STORE_FORMAT, copy);
        return 0;
}
