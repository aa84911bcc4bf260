/* SPDX-License-Identifier: Apache-2.0 */

/* See store-census.h. A slice reads on behind the cursor, and only while the loop knows of every
 * write that is durable: so what a batch brings later is not in the rows that were counted. It
 * counts for keys up to the cursor; those behind it are read with the rows. */

#include "store-census.h"

#include "clock.h"
#include "log.h"
#include "store-internal.h"

#define SLICE_USEC  USEC_PER_MSEC
#define SLICE_CHECK 64U /* rows between two looks at the clock */

typedef struct TypeCount {
        char type[LIMIT_NAME_MAX + 1];
        uint64_t n;
} TypeCount;

struct Census {
        Store *store;
        sd_event_source *source;
        bool known, failed; /* failed: until everything may be another */
        StoreKey cursor;    /* the last row that was counted; empty: none was */
        size_t n;
        TypeCount types[CENSUS_TYPES + 1]; /* the last one is of all that have none */
};

static TypeCount *find_type(Census *c, const char *type)
{
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->types[i].type, type))
                        return &c->types[i];
        if (c->n == CENSUS_TYPES)
                return &c->types[CENSUS_TYPES];
        memcpy(c->types[c->n].type, type, strlen(type) + 1);
        return &c->types[c->n++];
}

static void count_row(Census *c, const DbIter *i)
{
        ObjectKey key;
        size_t size;
        const char *k = db_iter_key(i, &size);

        if (object_key_decode(k, size, &key) >= 0)
                find_type(c, key.type)->n++;
        c->cursor.size = MIN(size, sizeof(c->cursor.data));
        memcpy(c->cursor.data, k, c->cursor.size);
}

/* 1: goes on later, 0: all is counted. */
static int read_rows(Census *c, const DbView *view)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        uint64_t end = now_boottime_usec() + SLICE_USEC;
        const char *k;
        size_t size;
        int r;

        r = db_iter_new(c->store->db, view, DB_OBJECTS, &i);
        if (r < 0)
                return r;
        db_iter_seek(i, DB_KEY(&c->cursor));
        if (db_iter_valid(i) && c->cursor.size > 0) {
                k = db_iter_key(i, &size);
                if (key_compare(k, size, &c->cursor) == 0)
                        db_iter_next(i);
        }
        for (unsigned n = 1; db_iter_valid(i); n++, db_iter_next(i)) {
                count_row(c, i);
                if (n % SLICE_CHECK == 0 && now_boottime_usec() >= end)
                        return 1;
        }
        return db_iter_status(i);
}

static int count_slice(Census *c)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        uint64_t revision;
        int r;

        r = db_view_new(c->store->db, &view);
        if (r >= 0)
                r = meta_get_u64(c->store->db, view, META_REVISION, &revision);
        if (r < 0)
                return r;
        if (revision != c->store->revision)
                return 0; /* a batch is about to be told, which wakes us up */
        r = read_rows(c, view);
        if (r == 0)
                c->known = true;
        return r;
}

static void wake_up(Census *c)
{
        /* Fails only for a source that is none. */
        (void) sd_event_source_set_enabled(c->source, SD_EVENT_ONESHOT);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
        Census *c = userdata;
        int r;

        r = count_slice(c);
        if (r < 0) {
                (void) log_warning_errno(r, "cannot count the objects, leaving it");
                c->failed = true;
        }
        if (r > 0)
                wake_up(c);
        return 0;
}

static void count_op(Census *c, const Op *op)
{
        StoreKey k = object_key_encode(&op->key);
        TypeCount *type;

        if (op->record.operation == OPERATION_UPDATED ||
                        (!c->known && key_compare(k.data, k.size, &c->cursor) > 0))
                return;
        type = find_type(c, op->key.type);
        if (op->record.operation == OPERATION_CREATED)
                type->n++;
        else if (type->n > 0)
                type->n--;
}

void census_batch(Census *c, const CommitBatch *batch)
{
        if (!batch) {
                c->known = c->failed = false;
                c->cursor = (StoreKey){};
                c->n = 0;
                memset(c->types, 0, sizeof(c->types));
        }
        for (const Transaction *t = batch ? batch->first : NULL; t; t = t->next) {
                const Op *ops;
                size_t n = store_transaction_ops(t, &ops);

                for (size_t i = 0; i < n; i++)
                        count_op(c, &ops[i]);
        }
        if (!c->known && !c->failed)
                wake_up(c);
}

int census_walk(const Census *c, CensusType each, void *userdata)
{
        int r = 0;

        for (size_t i = 0; c->known && r >= 0 && i < c->n; i++)
                r = each(c->types[i].type, c->types[i].n, userdata);
        if (r >= 0 && c->known && c->n == CENSUS_TYPES)
                r = each("", c->types[CENSUS_TYPES].n, userdata);
        return r;
}

int census_new(sd_event *event, Store *s, Census **ret)
{
        CLEANUP(census_freep) Census *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->store = s;
        /* No defer source: one that is always on goes before all others of its priority, and what
         * waits for the disk is let go from there. */
        if ((r = sd_event_add_time(event, &c->source, CLOCK_MONOTONIC, 0, 1, on_idle, c)) < 0 ||
                        (r = sd_event_source_set_priority(c->source, SD_EVENT_PRIORITY_IDLE)) < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

Census *census_free(Census *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        free(c);
        return NULL;
}
