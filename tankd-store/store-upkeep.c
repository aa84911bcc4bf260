/* SPDX-License-Identifier: Apache-2.0 */

/* The rows stand in one growing buffer: a header, then key and value (of a range: both ends). */

#include "store-upkeep.h"

#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "log.h"
#include "store-internal.h"

typedef enum RowVerb {
        ROW_PUT,
        ROW_DELETE,
        ROW_DELETE_RANGE,
} RowVerb;

typedef struct Row {
        RowVerb verb;
        DbFamily family;
        size_t key_size, value_size;
} Row;

struct Upkeep {
        Transaction transaction;
        char *rows;
        size_t size, allocated, n;
        UpkeepDone done;
        void *userdata;
};

static void put(const Transaction *t, DbBatch *b, const Db *db)
{
        const Upkeep *u = container_of(t, Upkeep, transaction);

        for (size_t at = 0; at < u->size;) {
                DbKey key;
                const char *value;
                Row row;

                memcpy(&row, u->rows + at, sizeof(row));
                key = (DbKey){ u->rows + at + sizeof(row), row.key_size };
                value = key.data + key.size;
                at += sizeof(row) + row.key_size + row.value_size;
                switch (row.verb) {
                case ROW_PUT: db_batch_put(b, db, row.family, key, value, row.value_size); break;
                case ROW_DELETE: db_batch_delete(b, db, row.family, key); break;
                case ROW_DELETE_RANGE:
                        db_batch_delete_range(
                                        b, db, row.family, key, (DbKey){ value, row.value_size });
                        break;
                }
        }
}

static void finish(Transaction *t, int error, void *userdata)
{
        const Upkeep *u = container_of(t, Upkeep, transaction);

        if (u->done)
                u->done(error, u->userdata);
}

static void free_transaction(Transaction *t)
{
        upkeep_free(container_of(t, Upkeep, transaction));
}

static const TransactionType upkeep_type = { put, finish, free_transaction };

int upkeep_new(Upkeep **ret)
{
        Upkeep *u = calloc(1, sizeof(*u));

        if (!u)
                return -ENOMEM;
        u->transaction.type = &upkeep_type;
        *ret = u;
        return 0;
}

Upkeep *upkeep_free(Upkeep *u)
{
        if (u)
                free(u->rows);
        free(u);
        return NULL;
}

static int add(Upkeep *u, RowVerb verb, DbFamily family, DbKey key, const void *value, size_t size)
{
        const Row row = { verb, family, key.size, size };
        size_t wanted = u->size + sizeof(row) + key.size + size;
        char *p;

        if (wanted > u->allocated) {
                p = realloc(u->rows, MAX(2 * u->allocated, wanted));
                if (!p)
                        return -ENOMEM;
                u->allocated = MAX(2 * u->allocated, wanted);
                u->rows = p;
        }
        p = u->rows + u->size;
        memcpy(p, &row, sizeof(row));
        memcpy(p + sizeof(row), key.data, key.size);
        if (size > 0)
                memcpy(p + sizeof(row) + key.size, value, size);
        u->size = wanted;
        u->n++;
        return 0;
}

int upkeep_put(Upkeep *u, DbFamily family, DbKey key, const void *value, size_t size)
{
        return add(u, ROW_PUT, family, key, value, size);
}

int upkeep_put_meta(Upkeep *u, const char *name, const char *value)
{
        return add(u, ROW_PUT, DB_META, (DbKey){ name, strlen(name) }, value, strlen(value));
}

int upkeep_put_meta_u64(Upkeep *u, const char *name, uint64_t value)
{
        char text[21];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        return upkeep_put_meta(u, name, text);
}

int upkeep_delete(Upkeep *u, DbFamily family, DbKey key)
{
        return add(u, ROW_DELETE, family, key, NULL, 0);
}

int upkeep_delete_range(Upkeep *u, DbFamily family, DbKey begin, DbKey end)
{
        return add(u, ROW_DELETE_RANGE, family, begin, end.data, end.size);
}

void upkeep_shrink_log(Upkeep *u, uint64_t rows, uint64_t bytes)
{
        u->transaction.log_rows -= (int64_t) rows;
        u->transaction.log_bytes -= (int64_t) bytes;
}

size_t upkeep_rows(const Upkeep *u)
{
        return u->n;
}

int upkeep_submit(Store *s, Upkeep *u, UpkeepDone done, void *userdata, sd_bus_error *reterr)
{
        int r;

        r = store_check_writable(s, true, reterr);
        if (r < 0)
                return r;
        u->done = done;
        u->userdata = userdata;
        u->transaction.bytes = u->size;
        r = commit_submit(s->commit, &u->transaction);
        if (r == -EBUSY)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "too many writes wait for the disk: try again in a moment");
        return r < 0 ? store_refuse_after_failure(r, reterr) : 0;
}
