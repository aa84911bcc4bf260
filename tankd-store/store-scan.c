/* SPDX-License-Identifier: Apache-2.0 */

/* Reading what stood there; see store-scan.h. The rows of an object's history follow one upon the
 * other by revision: the newest of few is found by walking, of many by a leap. */

#include "store-scan.h"

#include <stdio.h>

#include "store-meta.h"
#include "store-record.h"

#define ROWS_WALKED   8U /* of one object; then a leap is cheaper */
#define POSITION_SIZE (1 + sizeof(uint64_t) + sizeof(uint32_t)) /* of a row, behind its object */

struct Scan {
        Db *db;
        DbView *view;
        DbIter *iter;
        bool newest;
        bool by_history; /* which family is read; that of the objects only at the newest */
        uint64_t revision;
        char namespace[LIMIT_NAME_MAX + 1]; /* "": every one, or it is in the prefix */
        StoreKey prefix;

        bool told; /* the iterator stands at the row that was told last; of objects, or a bad one */
        bool has_last;
        ObjectKey last; /* that was told, or that it all begins behind */
        char *row;      /* a copy: an earlier one, or scan_get()'s */
        size_t size, allocated;
};

int history_seek_before(DbIter *i, const StoreKey *prefix, const StoreKey *behind)
{
        for (db_iter_seek_before(i, DB_KEY(behind)); db_iter_valid(i); db_iter_previous(i)) {
                uint64_t revision;
                uint32_t index;
                size_t size;
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, prefix))
                        return 0;
                if (history_key_decode(k, size, prefix, &revision, &index) >= 0)
                        return 1;
        }
        return db_iter_status(i);
}

Scan *scan_free(Scan *s)
{
        if (!s)
                return NULL;
        db_iter_free(s->iter);
        db_view_free(s->view);
        free(s->row);
        free(s);
        return NULL;
}

/* Of the family that is read, behind the object that was told last. */
static int scan_start(Scan *s)
{
        StoreKey first = s->prefix;
        int r;

        s->iter = db_iter_free(s->iter);
        r = db_iter_new(s->db, s->view, s->by_history ? DB_HISTORY : DB_OBJECTS, &s->iter);
        if (r < 0)
                return r;
        /* The least key behind an object's is its own with a NUL. */
        if (s->has_last)
                first = s->by_history ? history_key_encode(&s->last, UINT64_MAX, UINT32_MAX)
                                      : key_prefix_history(&s->last);
        db_iter_seek(s->iter, DB_KEY(&first));
        return 0;
}

/* Where the rows of the objects cannot be read any further. -EAGAIN: the history goes on. */
static int go_by_history(Scan *s, int error)
{
        int r;

        if (error != -EBADMSG || s->by_history)
                return error;
        s->by_history = true;
        s->told = false;
        r = scan_start(s);
        return r < 0 ? r : -EAGAIN;
}

int scan_restart(Scan *s, const ScanRange *range)
{
        s->by_history = !s->newest;
        s->told = s->has_last = false;
        s->namespace[0] = 0;
        s->prefix.size = 0;
        if (isempty(range->type))
                (void) snprintf(s->namespace, sizeof(s->namespace), "%s",
                                strempty(range->namespace));
        else
                s->prefix = isempty(range->namespace)
                                            ? key_prefix_type(range->type)
                                            : key_prefix_namespace(range->type, range->namespace);
        if (range->behind) {
                s->last = *range->behind;
                s->has_last = true;
        }
        return scan_start(s);
}

int scan_new(Db *db, uint64_t revision, const ScanRange *range, Scan **ret)
{
        CLEANUP(scan_freep) Scan *s = calloc(1, sizeof(*s));
        uint64_t newest;
        int r;

        if (!s)
                return -ENOMEM;
        s->db = db;
        if ((r = db_view_new(db, &s->view)) < 0 ||
                        (r = meta_get_u64(db, s->view, META_REVISION, &newest)) < 0)
                return r;
        s->revision = revision == SCAN_NEWEST ? newest : revision;
        if (s->revision > newest)
                return -ERANGE;
        s->newest = s->revision == newest;
        r = scan_restart(s, range);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

const DbView *scan_view(const Scan *s)
{
        return s->view;
}

uint64_t scan_revision(const Scan *s)
{
        return s->revision;
}

bool scan_is_newest(const Scan *s)
{
        return s->newest;
}

static int keep_row(Scan *s, const char *row, size_t size)
{
        if (size > s->allocated) {
                char *larger = realloc(s->row, size);

                if (!larger)
                        return -ENOMEM;
                s->row = larger;
                s->allocated = size;
        }
        if (size > 0) /* a damaged row may be empty, and the first one is kept nowhere yet */
                memcpy(s->row, row, size);
        s->size = size;
        return 0;
}

/* What the iterator stands at. */
static int keep_current(Scan *s)
{
        size_t size;
        const char *row = db_iter_value(s->iter, &size);

        return keep_row(s, row, size);
}

/* Of one namespace in every type: from type to type, in each straight to the namespace. -EAGAIN: it
 * went on. */
static int pass_namespaces(Scan *s, const ObjectKey *at)
{
        int c = isempty(s->namespace) ? 0 : strcmp(at->namespace, s->namespace);
        StoreKey seek;

        if (c == 0)
                return 0;
        seek = c < 0 ? key_prefix_namespace(at->type, s->namespace) : key_behind_type(at->type);
        db_iter_seek(s->iter, DB_KEY(&seek));
        return -EAGAIN;
}

/* Leaves the iterator at the next object. 1: a row is kept, 0: there is none that early. */
static int read_history(Scan *s, const ObjectKey *key)
{
        StoreKey prefix = key_prefix_history(key), leap;
        const char *k;
        uint64_t revision;
        uint32_t index;
        size_t size;
        int r, found = 0;

        for (unsigned rows = 0; db_iter_valid(s->iter); rows++, db_iter_next(s->iter)) {
                k = db_iter_key(s->iter, &size);
                if (!key_has_prefix(k, size, &prefix))
                        return found;
                if (history_key_decode(k, size, &prefix, &revision, &index) < 0)
                        continue; /* the place of no version */
                if (revision > s->revision)
                        break;
                if (rows >= ROWS_WALKED) { /* what is found is this row, or one behind it */
                        leap = history_key_encode(key, s->revision, UINT32_MAX);
                        r = history_seek_before(s->iter, &prefix, &leap);
                        if (r <= 0)
                                return r < 0 ? r : -EBADMSG;
                        r = keep_current(s);
                        if (r < 0)
                                return r;
                        break;
                }
                r = keep_current(s);
                if (r < 0)
                        return r;
                found = 1;
        }
        leap = history_key_encode(key, UINT64_MAX, UINT32_MAX);
        db_iter_seek(s->iter, DB_KEY(&leap));
        return found;
}

int scan_next(Scan *s, ObjectKey *ret, const char **ret_row, size_t *ret_size)
{
        const char *k;
        StoreRecord record;
        ObjectKey key;
        size_t size;
        int r;

        if (s->told)
                db_iter_next(s->iter);
        s->told = false;
        if (!db_iter_valid(s->iter))
                return go_by_history(s, db_iter_status(s->iter));
        k = db_iter_key(s->iter, &size);
        if (!key_has_prefix(k, size, &s->prefix))
                return 0;
        if ((s->by_history && size <= POSITION_SIZE) ||
                        object_key_decode(k, s->by_history ? size - POSITION_SIZE : size, &key) <
                                        0) {
                s->told = true;
                *ret_row = k; /* not by this program's hand: do not guess */
                *ret_size = size;
                return -EILSEQ;
        }
        r = pass_namespaces(s, &key);
        if (r < 0)
                return r;
        if (!s->by_history) {
                s->told = s->has_last = true;
                s->last = key;
                *ret_row = db_iter_value(s->iter, ret_size);
                *ret = key;
                return 1;
        }
        r = read_history(s, &key);
        if (r < 0)
                return r;
        if (r == 0 || (store_record_decode(s->row, s->size, &record) >= 0 &&
                                      record.operation == OPERATION_DELETED))
                return -EAGAIN;
        *ret_row = s->row;
        *ret_size = s->size;
        *ret = key;
        return 1;
}

static int get_newest(Scan *s, const ObjectKey *key)
{
        CLEANUP_FREE char *row = NULL;
        StoreKey k = object_key_encode(key);
        size_t size;
        int r = db_get(s->db, s->view, DB_OBJECTS, DB_KEY(&k), &row, &size);

        return r < 0 ? r : keep_row(s, row, size);
}

static int get_earlier(Scan *s, const ObjectKey *key)
{
        StoreKey prefix = key_prefix_history(key);
        StoreKey behind = history_key_encode(key, s->revision, UINT32_MAX);
        int r = history_seek_before(s->iter, &prefix, &behind);

        return r > 0 ? keep_current(s) : r < 0 ? r : -ENOENT;
}

int scan_get(Scan *s, const ObjectKey *key, const char **ret_row, size_t *ret_size)
{
        int r = s->by_history ? get_earlier(s, key) : get_newest(s, key);

        if (go_by_history(s, r) == -EAGAIN)
                r = get_earlier(s, key);
        if (r < 0)
                return r;
        *ret_row = s->row;
        *ret_size = s->size;
        return 0;
}
