/* SPDX-License-Identifier: Apache-2.0 */

/* What stands in a namespace. It is asked for when a namespace is deleted, while the loop stands
 * still: so it is counted, or gathered, no further than the caller needs. */

#include <stdlib.h>

#include "store-internal.h"

typedef struct Walk {
        const char *namespace;
        size_t n, max;
        bool gathers; /* or only counts */
        ObjectKey *keys;
        size_t allocated;
        bool oom;
} Walk;

static void walk_add(Walk *w, const ObjectKey *key)
{
        if (w->n < w->max && w->gathers) {
                if (w->n == w->allocated) {
                        size_t allocated = MAX(2 * w->allocated, (size_t) 16);
                        ObjectKey *grown = reallocarray(w->keys, allocated, sizeof(*grown));

                        if (!grown) {
                                w->oom = true;
                                return;
                        }
                        w->keys = grown;
                        w->allocated = allocated;
                }
                w->keys[w->n] = *key;
        }
        w->n++;
}

/* What only the overlay has; walk_committed() has seen the rest. */
static void walk_pending(Store *s, const Op *op, void *userdata)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = object_key_encode(&op->key);
        Walk *w = userdata;
        size_t size;

        if (op->record.operation == OPERATION_DELETED || !streq(op->key.namespace, w->namespace) ||
                        type_is_global(op->key.type))
                return;
        if (db_get(s->db, NULL, DB_OBJECTS, DB_KEY(&k), &value, &size) == -ENOENT)
                walk_add(w, &op->key);
}

/* All of one type. @i comes as it goes. */
static int walk_type(Store *s, Walk *w, DbIter *i, const StoreKey *prefix)
{
        for (db_iter_seek(i, DB_KEY(prefix)); db_iter_valid(i) && w->n < w->max; db_iter_next(i)) {
                const Op *pending;
                ObjectKey key;
                size_t size;
                const char *k = db_iter_key(i, &size);
                int r;

                if (!key_has_prefix(k, size, prefix))
                        break;
                r = object_key_decode(k, size, &key);
                if (r < 0)
                        return r; /* not by this program's hand: do not guess */
                pending = overlay_find(s, &key);
                if (!pending || pending->record.operation != OPERATION_DELETED)
                        walk_add(w, &key);
        }
        return 0;
}

/* Types come first in the keys: from type to type, in each straight to the namespace. */
static int walk_committed(Store *s, Walk *w)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey seek = {};
        int r;

        r = db_iter_new(s->db, NULL, DB_OBJECTS, &i);
        if (r < 0)
                return r;
        for (;;) {
                const char *type;
                size_t size;
                StoreKey prefix;

                db_iter_seek(i, DB_KEY(&seek));
                if (!db_iter_valid(i) || w->n >= w->max)
                        return db_iter_status(i);
                type = db_iter_key(i, &size);
                if (!memchr(type, 0, MIN(size, (size_t) LIMIT_NAME_MAX + 1)))
                        return -EBADMSG;
                seek = key_behind_type(type);
                prefix = key_prefix_namespace(type, w->namespace);
                r = walk_type(s, w, i, &prefix);
                if (r < 0)
                        return r;
        }
}

static int walk(Store *s, Walk *w)
{
        int r = walk_committed(s, w);

        if (r < 0)
                return r;
        overlay_walk(s, walk_pending, w);
        return w->oom ? -ENOMEM : 0;
}

int store_count_namespace(Store *s, const char *namespace, size_t max, size_t *ret)
{
        Walk w = { .namespace = namespace, .max = max };
        int r = walk(s, &w);

        if (r >= 0)
                *ret = w.n;
        return r;
}

int store_namespace_keys(
                Store *s, const char *namespace, size_t max, ObjectKey **ret, size_t *ret_n)
{
        /* One more is looked for, to know of it. */
        Walk w = { .namespace = namespace, .max = max + 1, .gathers = true };
        int r = walk(s, &w);

        if (r >= 0 && w.n > max)
                r = -EFBIG;
        if (r < 0) {
                free(w.keys);
                return r;
        }
        *ret = w.keys;
        *ret_n = w.n;
        return 0;
}
