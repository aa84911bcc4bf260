/* SPDX-License-Identifier: Apache-2.0 */

/* What stands in a namespace: the rows of it, and the writes under way, which go before them. It is
 * asked for when a namespace is deleted, while the loop stands still: then it is counted, or
 * gathered, no further than the caller needs; and for its quota, a slice at a time. */

#include <stdlib.h>

#include "store-internal.h"

#define CHECK_CLOCK 64U /* rows between two looks at the clock */

/* ---- one after the other ---- */

typedef struct Walk {
        const char *namespace;
        const DbView *view;
        StoreKey from;      /* behind it; empty: from the first */
        const StoreKey *to; /* up to it; NULL: to the last */
        uint64_t end_usec;
        unsigned n;
        NamespaceEach each;
        void *userdata;
        int r;
} Walk;

static size_t bytes_of(const StoreRecord *r)
{
        return r->document_size + r->sealed_size;
}

/* What only the overlay has; walk_rows() has seen the rest. */
static void walk_pending(Store *s, const Op *op, void *userdata)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = object_key_encode(&op->key);
        Walk *w = userdata;
        size_t size;
        int r;

        if (w->r != 0 || op->record.operation == OPERATION_DELETED ||
                        !streq(op->key.namespace, w->namespace) || type_is_global(op->key.type) ||
                        key_compare(k.data, k.size, &w->from) <= 0 ||
                        (w->to && key_compare(k.data, k.size, w->to) > 0))
                return;
        r = db_get(s->db, w->view, DB_OBJECTS, DB_KEY(&k), &value, &size);
        if (r == -ENOENT)
                w->r = w->each(&op->key, bytes_of(&op->record), w->userdata);
        else if (r < 0)
                w->r = r;
}

static int walk_row(Store *s, Walk *w, const DbIter *i)
{
        const Op *pending;
        StoreRecord record;
        ObjectKey key;
        size_t size;
        const char *p = db_iter_key(i, &size);

        if (object_key_decode(p, size, &key) < 0)
                return 0; /* not by this program's hand, and the name of nothing */
        pending = overlay_find(s, &key);
        if (pending && pending->record.operation == OPERATION_DELETED)
                return 0;
        p = db_iter_value(i, &size);
        if (pending)
                record = pending->record;
        else if (store_record_decode(p, size, &record) < 0)
                record = (StoreRecord){}; /* it stands there, and nobody knows what it is */
        return w->each(&key, bytes_of(&record), w->userdata);
}

/* All of one type, behind *cursor, which comes along. */
static int walk_type(Store *s, Walk *w, DbIter *i, const StoreKey *prefix, StoreKey *cursor)
{
        bool within = key_compare(cursor->data, cursor->size, prefix) >= 0;
        size_t size;
        const char *k;
        int r;

        for (db_iter_seek(i, within ? DB_KEY(cursor) : DB_KEY(prefix)); db_iter_valid(i);
                        db_iter_next(i)) {
                k = db_iter_key(i, &size);
                if (!key_has_prefix(k, size, prefix))
                        return 0;
                if (size > sizeof(cursor->data) || key_compare(k, size, cursor) <= 0)
                        continue;
                r = walk_row(s, w, i);
                if (r < 0)
                        return r;
                *cursor = (StoreKey){ .size = size };
                memcpy(cursor->data, k, size);
                if (r > 0 || (++w->n % CHECK_CLOCK == 0 && now_boottime_usec() >= w->end_usec))
                        return 1;
        }
        return db_iter_status(i);
}

/* Types come first in the keys: from type to type, in each straight to the namespace. */
static int walk_rows(Store *s, Walk *w, StoreKey *cursor)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey seek = *cursor;
        int r;

        r = db_iter_new(s->db, w->view, DB_OBJECTS, &i);
        if (r < 0)
                return r;
        for (;;) {
                const char *type;
                size_t size;
                StoreKey prefix;
                bool named;

                db_iter_seek(i, DB_KEY(&seek));
                do {
                        if (!db_iter_valid(i))
                                return db_iter_status(i);
                        type = db_iter_key(i, &size);
                        named = memchr(type, 0, MIN(size, (size_t) LIMIT_NAME_MAX + 1));
                        if (!named)
                                db_iter_next(i); /* the name of nothing */
                } while (!named);
                seek = key_behind_type(type);
                prefix = key_prefix_namespace(type, w->namespace);
                r = walk_type(s, w, i, &prefix, cursor);
                if (r != 0)
                        return r;
        }
}

int store_walk_namespace(Store *s, const char *namespace, StoreKey *cursor, uint64_t end_usec,
                NamespaceEach each, void *userdata)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        Walk w = { namespace, .from = *cursor, .end_usec = end_usec, .each = each,
                .userdata = userdata };
        int r;

        /* Both must be of one moment: what is under way may become durable meanwhile. */
        r = db_view_new(s->db, &view);
        if (r < 0)
                return r;
        w.view = view;
        r = walk_rows(s, &w, cursor);
        if (r < 0)
                return r;
        w.to = r > 0 ? cursor : NULL;
        overlay_walk(s, walk_pending, &w);
        return w.r != 0 ? w.r : r;
}

/* ---- for a deletion ---- */

typedef struct Contents {
        size_t n, max;
        bool gathers; /* or only counts */
        ObjectKey *keys;
        size_t allocated;
} Contents;

static int contents_add(const ObjectKey *key, size_t bytes, void *userdata)
{
        Contents *c = userdata;

        if (c->n >= c->max)
                return 1;
        if (c->gathers) {
                if (c->n == c->allocated) {
                        size_t allocated = MAX(2 * c->allocated, (size_t) 16);
                        ObjectKey *grown = reallocarray(c->keys, allocated, sizeof(*grown));

                        if (!grown)
                                return -ENOMEM;
                        c->keys = grown;
                        c->allocated = allocated;
                }
                c->keys[c->n] = *key;
        }
        c->n++;
        return 0;
}

static int walk_contents(Store *s, const char *namespace, Contents *c)
{
        StoreKey cursor = {};

        return store_walk_namespace(s, namespace, &cursor, USEC_INFINITY, contents_add, c);
}

int store_count_namespace(Store *s, const char *namespace, size_t max, size_t *ret)
{
        Contents c = { .max = max };
        int r = walk_contents(s, namespace, &c);

        if (r < 0)
                return r;
        *ret = c.n;
        return 0;
}

int store_namespace_keys(
                Store *s, const char *namespace, size_t max, ObjectKey **ret, size_t *ret_n)
{
        /* One more is looked for, to know of it. */
        Contents c = { .max = max + 1, .gathers = true };
        int r = walk_contents(s, namespace, &c);

        if (r >= 0 && c.n > max)
                r = -EFBIG;
        if (r < 0) {
                free(c.keys);
                return r;
        }
        *ret = c.keys;
        *ret_n = c.n;
        return 0;
}
