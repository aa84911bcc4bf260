/* SPDX-License-Identifier: Apache-2.0 */

/* Reads of the history: from what is durable, backwards, in pages. A version's row says what stood
 * there and when, the row of the same place in the change log says who wrote it. */

#include "store-history.h"

#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "quantity.h"
#include "store-internal.h"

/* ---- one version ---- */

/* -ENOENT: that revision did not write the object. */
static int find_version(Store *s, const ObjectKey *key, uint64_t revision, StoreRecord *ret,
                char **ret_buffer)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        CLEANUP_FREE char *value = NULL;
        StoreKey prefix = key_prefix_history(key), first = history_key_encode(key, revision, 0);
        const char *k, *v;
        uint64_t found;
        uint32_t index;
        size_t size;
        int r;

        r = db_iter_new(s->db, NULL, DB_HISTORY, &i);
        if (r < 0)
                return r;
        db_iter_seek(i, DB_KEY(&first));
        do {
                if (!db_iter_valid(i)) {
                        r = db_iter_status(i);
                        return r < 0 ? r : -ENOENT;
                }
                k = db_iter_key(i, &size);
                if (!key_has_prefix(k, size, &prefix))
                        return -ENOENT;
                r = history_key_decode(k, size, &prefix, &found, &index);
                if (r < 0)
                        db_iter_next(i); /* the place of no version */
        } while (r < 0);
        if (found != revision)
                return -ENOENT;
        v = db_iter_value(i, &size);
        value = malloc(MAX(size, (size_t) 1));
        if (!value)
                return -ENOMEM;
        memcpy(value, v, size);
        r = store_record_decode(value, size, ret);
        if (r >= 0)
                *ret_buffer = TAKE_PTR(value);
        return r;
}

int store_version_load(Store *s, const ObjectKey *key, uint64_t revision, StoreRecord *ret,
                char **ret_buffer, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        int r = find_version(s, key, revision, ret, ret_buffer);

        if (r >= 0)
                return 0;
        (void) object_key_format(key, text);
        if (r == -ENOENT && s->incomplete)
                return store_refuse_absent(s, key, reterr);
        if (r == -ENOENT)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "revision %" PRIu64 " is no version of %s: its history lists them",
                                revision, text);
        if (r == -EBADMSG || r == -EPROTONOSUPPORT)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "the stored record of %s at revision %" PRIu64
                                " cannot be decoded: %s",
                                text, revision, errno_words(r));
        return store_read_failed(r, reterr);
}

int store_get_version(Store *s, const char *type, const char *namespace, const char *name,
                uint64_t revision, char **ret, sd_bus_error *reterr)
{
        CLEANUP_FREE char *buffer = NULL;
        char text[OBJECT_KEY_TEXT_SIZE];
        StoreRecord v;
        ObjectKey key;
        int r;

        if (object_key_init(&key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        r = store_version_load(s, &key, revision, &v, &buffer, reterr);
        if (r < 0)
                return r;
        if (v.operation == OPERATION_DELETED)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "revision %" PRIu64 " deleted %s: there is no document", revision,
                                object_key_format(&key, text));
        r = store_record_to_text(&v, ret);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

/* ---- all of them ---- */

typedef struct History {
        ObjectKey key;
        StoreKey prefix;
        uint32_t limit, n;
        uint64_t last; /* told */
        StoreVersionSeen each;
        void *userdata;
} History;

static int version_change(
                Store *s, const DbView *view, uint64_t revision, uint32_t index, StoreChange *ret)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = change_key_encode(revision, index);
        size_t size;
        int r;

        r = db_get(s->db, view, DB_CHANGES, DB_KEY(&k), &value, &size);
        return r < 0 ? r : store_change_decode(value, size, ret);
}

/* A record that cannot be decoded stays in the list, with what the change log knows of it. */
static void describe_version(const StoreRecord *record, const StoreChange *change, StoreVersion *v)
{
        v->operation = record ? operation_to_string(record->operation) : "unreadable";
        v->by = change ? change->by : UID_INVALID;
        if (record) {
                memcpy(v->uid, record->uid, sizeof(v->uid));
                v->generation = record->generation;
                v->at_usec = record->updated_usec;
        } else if (change) {
                memcpy(v->uid, change->uid, sizeof(v->uid));
                v->generation = change->generation;
        }
}

/* 1: told, 0: the page is full. */
static int history_one(Store *s, const DbView *view, const DbIter *i, History *h)
{
        StoreVersion v = {};
        StoreRecord record;
        StoreChange change;
        const char *k, *value;
        bool readable, logged;
        uint32_t index;
        size_t size;
        int r;

        k = db_iter_key(i, &size);
        if (history_key_decode(k, size, &h->prefix, &v.revision, &index) < 0)
                return 1; /* the place of no version */
        if (h->n >= h->limit)
                return 0;
        value = db_iter_value(i, &size);
        readable = store_record_decode(value, size, &record) >= 0;
        r = version_change(s, view, v.revision, index, &change);
        if (r < 0 && r != -ENOENT && r != -EBADMSG && r != -EPROTONOSUPPORT)
                return r;
        logged = r >= 0;
        describe_version(readable ? &record : NULL, logged ? &change : NULL, &v);
        r = h->each(&v, h->userdata);
        if (r < 0)
                return r;
        h->n++;
        h->last = v.revision;
        return 1;
}

/* @before: of a revision; 0: from the newest on. */
static int history_page(Store *s, History *h, uint64_t before, char **ret_next)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey end = before > 0 ? history_key_encode(&h->key, before, 0)
                                  : history_key_encode(&h->key, UINT64_MAX, UINT32_MAX);
        size_t size;
        int r;

        /* Of one moment: who wrote a version is another row. */
        if ((r = db_view_new(s->db, &view)) < 0 ||
                        (r = db_iter_new(s->db, view, DB_HISTORY, &i)) < 0)
                return r;
        for (db_iter_seek_before(i, DB_KEY(&end)); db_iter_valid(i); db_iter_previous(i)) {
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &h->prefix))
                        return 0;
                r = history_one(s, view, i, h);
                if (r < 0)
                        return r;
                if (r == 0)
                        return asprintf(ret_next, "1.%" PRIu64, h->last) < 0 ? -ENOMEM : 0;
        }
        return db_iter_status(i);
}

int store_history(Store *s, const char *type, const char *namespace, const char *name,
                uint32_t limit, const char *token, StoreVersionSeen each, void *userdata,
                char **ret_next, sd_bus_error *reterr)
{
        History h = {
                .limit = limit == 0 ? LIMIT_PAGE_ENTRIES : MIN(limit, LIMIT_PAGE_ENTRIES),
                .each = each,
                .userdata = userdata,
        };
        CLEANUP_FREE char *next = NULL;
        char text[OBJECT_KEY_TEXT_SIZE];
        uint64_t before = 0;
        int r;

        if (object_key_init(&h.key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        /* "1.<revision of the last one told>" */
        if (!isempty(token) && (strncmp(token, "1.", 2) != 0 || parse_u64(token + 2, &before) < 0 ||
                                               before == 0))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"continue\": not a token of this list");
        h.prefix = key_prefix_history(&h.key);
        r = history_page(s, &h, before, &next);
        if (r < 0)
                return store_read_failed(r, reterr);
        if (h.n == 0 && isempty(token) && s->incomplete)
                return store_refuse_absent(s, &h.key, reterr);
        if (h.n == 0 && isempty(token))
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND, "there never was a %s",
                                object_key_format(&h.key, text));
        *ret_next = TAKE_PTR(next);
        return 0;
}
