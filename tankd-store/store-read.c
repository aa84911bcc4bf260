/* SPDX-License-Identifier: Apache-2.0 */

/* Reads: from what is durable, in pages that are one bounded slice of the loop each. */

#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "store-internal.h"

int store_refuse_key(
                const char *type, const char *namespace, const char *name, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "no object can have the type \"%.80s\", namespace \"%.80s\" and name "
                        "\"%.80s\": "
                        "names are 1 to 63 of a-z, 0-9 and '-'; a namespace itself stands in none, "
                        "all "
                        "else stands in one",
                        type, strempty(namespace), name);
}

int store_read_failed(int r, sd_bus_error *reterr)
{
        if (r == -ENOMEM)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "the database cannot be read here: %s; restore a copy of it",
                        errno_words(r));
}

int store_lookup(Store *s, const ObjectKey *key, StoreRecord *ret, char **ret_buffer)
{
        CLEANUP_FREE char *value = NULL;
        const Op *pending = overlay_find(s, key);
        StoreKey k = object_key_encode(key);
        size_t size;
        int r;

        if (pending) {
                if (pending->record.operation == OPERATION_DELETED)
                        return -ENOENT;
                *ret = pending->record;
                return 0;
        }
        r = db_get(s->db, NULL, DB_OBJECTS, &k, &value, &size);
        if (r >= 0)
                r = store_record_decode(value, size, ret);
        if (r >= 0)
                *ret_buffer = TAKE_PTR(value);
        return r;
}

int store_exists(Store *s, const ObjectKey *key)
{
        CLEANUP_FREE char *value = NULL;
        const Op *pending = overlay_find(s, key);
        StoreKey k = object_key_encode(key);
        size_t size;
        int r;

        if (pending)
                return pending->record.operation != OPERATION_DELETED;
        r = db_get(s->db, NULL, DB_OBJECTS, &k, &value, &size);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int store_unreadable_text(const ObjectKey *key, int error, char **ret)
{
        char text[OBJECT_KEY_TEXT_SIZE];

        log_error("the stored record of %s cannot be decoded: %s", object_key_format(key, text),
                        errno_words(error));
        if (asprintf(ret, "{\"kind\":\"%s\",\"name\":\"%s\"%s%s%s,\"meta\":{\"unreadable\":true}}",
                            key->type, key->name,
                            isempty(key->namespace) ? "" : ",\"namespace\":\"", key->namespace,
                            isempty(key->namespace) ? "" : "\"") < 0)
                return -ENOMEM;
        return 0;
}

int store_get(Store *s, const char *type, const char *namespace, const char *name, char **ret,
                sd_bus_error *reterr)
{
        CLEANUP_FREE char *value = NULL;
        char text[OBJECT_KEY_TEXT_SIZE];
        StoreRecord record;
        ObjectKey key;
        StoreKey k;
        size_t size;
        int r;

        if (object_key_init(&key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        k = object_key_encode(&key);
        r = db_get(s->db, NULL, DB_OBJECTS, &k, &value, &size);
        if (r == -ENOENT)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND, "there is no %s",
                                object_key_format(&key, text));
        if (r < 0)
                return store_read_failed(r, reterr);
        r = store_record_decode(value, size, &record);
        if (r < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "the stored record of %s cannot be decoded: %s; delete it and "
                                "declare it "
                                "anew",
                                object_key_format(&key, text), errno_words(r));
        r = store_record_to_text(&record, ret);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

/* A token is "1.<revision of the first page>.<namespace>.<name>" of the last object told; no part
 * can hold a dot. */
static int parse_token(const char *token, const char *type, const char *namespace,
                uint64_t *ret_revision, ObjectKey *ret)
{
        char revision[21], ns[LIMIT_NAME_MAX + 1] = "", name[LIMIT_NAME_MAX + 1];
        int end = -1;

        if (type_is_global(type)) {
                if (sscanf(token, "1.%20[0-9]..%63[a-z0-9-]%n", revision, name, &end) != 2)
                        return -EINVAL;
        } else if (sscanf(token, "1.%20[0-9].%63[a-z0-9-].%63[a-z0-9-]%n", revision, ns, name,
                                   &end) != 3)
                return -EINVAL;
        if (end < 0 || token[end] != 0 || (!isempty(namespace) && !streq(ns, namespace)))
                return -EINVAL;
        if (parse_u64(revision, ret_revision) < 0)
                return -EINVAL;
        return object_key_init(ret, type, ns, name);
}

typedef struct List {
        StoreKey prefix;
        uint32_t limit;
        uint64_t revision;
        StoreDocument each;
        void *userdata;

        uint32_t n;
        size_t bytes;
        ObjectKey last;
} List;

/* 1: told, 0: the page is full. */
static int list_one(List *l, const DbIter *i)
{
        CLEANUP_FREE char *text = NULL;
        StoreRecord record;
        const char *value, *k;
        ObjectKey key;
        size_t size, n;
        int r;

        k = db_iter_key(i, &size);
        r = object_key_decode(k, size, &key);
        if (r < 0)
                return r; /* not by this program's hand: do not guess */
        value = db_iter_value(i, &size);
        r = store_record_decode(value, size, &record);
        r = r < 0 ? store_unreadable_text(&key, r, &text) : store_record_to_text(&record, &text);
        if (r < 0)
                return r;

        n = strlen(text);
        if (l->n >= l->limit || (l->n > 0 && l->bytes + n > LIMIT_PAGE_BYTES))
                return 0;
        r = l->each(text, l->userdata);
        if (r < 0)
                return r;
        l->n++;
        l->bytes += n;
        l->last = key;
        return 1;
}

static int list_page(Store *s, List *l, const StoreKey *behind, char **ret_next)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        uint64_t revision;
        size_t size;
        int r;

        if ((r = db_view_new(s->db, &view)) < 0 ||
                        (r = meta_get_u64(s->db, view, META_REVISION, &revision)) < 0 ||
                        (r = db_iter_new(s->db, view, DB_OBJECTS, &i)) < 0)
                return r;
        if (!behind)
                l->revision = revision;

        db_iter_seek(i, behind ? behind : &l->prefix);
        if (behind && db_iter_valid(i)) {
                const char *k = db_iter_key(i, &size);

                if (size == behind->size && memcmp(k, behind->data, size) == 0)
                        db_iter_next(i);
        }
        for (; db_iter_valid(i); db_iter_next(i)) {
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &l->prefix))
                        return 0;
                r = list_one(l, i);
                if (r < 0)
                        return r;
                if (r == 0)
                        return asprintf(ret_next, "1.%" PRIu64 ".%s.%s", l->revision,
                                               l->last.namespace, l->last.name) < 0
                                               ? -ENOMEM
                                               : 0;
        }
        return db_iter_status(i);
}

int store_list(Store *s, const char *type, const char *namespace, uint32_t limit, const char *token,
                StoreDocument each, void *userdata, char **ret_next, uint64_t *ret_revision,
                sd_bus_error *reterr)
{
        CLEANUP_FREE char *next = NULL;
        List l = {
                .limit = limit == 0 ? LIMIT_PAGE_ENTRIES : MIN(limit, LIMIT_PAGE_ENTRIES),
                .each = each,
                .userdata = userdata,
        };
        ObjectKey last;
        StoreKey behind;
        int r;

        if (!type_is_valid(type) ||
                        (!isempty(namespace) &&
                                        (type_is_global(type) || !name_is_valid(namespace))))
                return store_refuse_key(type, namespace, "", reterr);
        l.prefix = isempty(namespace) ? key_prefix_type(type)
                                      : key_prefix_namespace(type, namespace);
        if (!isempty(token)) {
                if (parse_token(token, type, namespace, &l.revision, &last) < 0)
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "option \"continue\": not a token of this list");
                behind = object_key_encode(&last);
        }
        r = list_page(s, &l, isempty(token) ? NULL : &behind, &next);
        if (r < 0)
                return store_read_failed(r, reterr);
        *ret_next = TAKE_PTR(next);
        *ret_revision = l.revision;
        return 0;
}
