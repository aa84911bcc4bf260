/* SPDX-License-Identifier: Apache-2.0 */

/* Reads of one object: what is durable, for those who ask; what a write has to build upon. */

#include <inttypes.h>
#include <stdio.h>

#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "store-internal.h"
#include "store-problems.h"
#include "store-scan.h"

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
        if (r == -EMFILE)
                return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                                "the database cannot be read: too many files are open; try again, "
                                "and raise the limit of open files if it lasts");
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "the database cannot be read here: %s; restore a copy of it",
                        errno_words(r));
}

int store_refuse_absent(const Store *s, const ObjectKey *key, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];

        if (s->incomplete)
                return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                                "%s is not there, and it may stand in what cannot be read: %s",
                                object_key_format(key, text), strempty(s->reason));
        return tank_error_set(reterr, TANK_ERROR_NOT_FOUND, "there is no %s",
                        object_key_format(key, text));
}

/* The newest row of the history is byte for byte that of the object, or a tombstone. */
static int row_of_history(Store *s, const ObjectKey *key, char **ret, size_t *ret_size)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = key_prefix_history(key);
        StoreKey behind = history_key_encode(key, UINT64_MAX, UINT32_MAX);
        StoreRecord record;
        const char *row;
        size_t size;
        int r;

        r = db_iter_new(s->db, NULL, DB_HISTORY, &i);
        if (r < 0)
                return r;
        r = history_seek_before(i, &prefix, &behind);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        row = db_iter_value(i, &size);
        if (store_record_decode(row, size, &record) >= 0 && record.operation == OPERATION_DELETED)
                return -ENOENT;
        *ret = malloc(size);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, row, size);
        *ret_size = size;
        return 0;
}

/* An object's row; from the history where the object's own is in what is damaged. */
static int read_row(Store *s, const ObjectKey *key, char **ret, size_t *ret_size)
{
        StoreKey k = object_key_encode(key);
        int r = db_get(s->db, NULL, DB_OBJECTS, DB_KEY(&k), ret, ret_size);

        return r == -EBADMSG ? row_of_history(s, key, ret, ret_size) : r;
}

int store_lookup(Store *s, const ObjectKey *key, StoreRecord *ret, char **ret_buffer)
{
        CLEANUP_FREE char *value = NULL;
        const Op *pending = overlay_find(s, key);
        size_t size;
        int r;

        if (pending) {
                if (pending->record.operation == OPERATION_DELETED)
                        return -ENOENT;
                *ret = pending->record;
                return 0;
        }
        r = read_row(s, key, &value, &size);
        if (r >= 0)
                r = store_record_decode(value, size, ret);
        if (r >= 0)
                *ret_buffer = TAKE_PTR(value);
        return r;
}

int store_lost_record(Store *s, const ObjectKey *key, StoreRecord *ret)
{
        CLEANUP_FREE char *row = NULL;
        StoreRecord r = {}, last;
        size_t size;

        /* The last that the history has of it is what stood there. */
        if (row_of_history(s, key, &row, &size) >= 0 &&
                        store_record_decode(row, size, &last) >= 0) {
                memcpy(r.uid, last.uid, sizeof(r.uid));
                r.generation = last.generation;
                r.created_usec = last.created_usec;
                *ret = r;
                return 0;
        }
        r.generation = 1;
        r.created_usec = now_realtime_usec();
        *ret = r;
        return random_id(ret->uid);
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
        r = db_get(s->db, NULL, DB_OBJECTS, DB_KEY(&k), &value, &size);
        return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

void store_forget_namespaces(Store *s)
{
        s->n_namespaces = 0;
}

static bool namespace_is_known(const Store *s, const char *name)
{
        for (size_t i = 0; i < s->n_namespaces; i++)
                if (streq(s->namespaces[i], name))
                        return true;
        return false;
}

/* Nobody else writes to the database, so what was read once is true until it is written. */
int store_namespace_exists(Store *s, const ObjectKey *key)
{
        ObjectKey k;
        int r;

        r = object_key_init(&k, "namespace", "", key->namespace);
        if (r < 0)
                return r;
        if (!overlay_find(s, &k) && namespace_is_known(s, k.name))
                return 1;
        r = store_exists(s, &k);
        /* One that is under way may never be. */
        if (r > 0 && !overlay_find(s, &k)) {
                if (s->n_namespaces == LIMIT_NAMESPACES_KNOWN)
                        store_forget_namespaces(s);
                memcpy(s->namespaces[s->n_namespaces++], k.name, sizeof(k.name));
        }
        return r;
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

int store_row_text(const ObjectKey *key, const void *row, size_t size, char **ret)
{
        StoreRecord record;
        int r = store_record_decode(row, size, &record);

        if (r >= 0 && record.operation == OPERATION_DELETED)
                r = -EBADMSG; /* where there is an object */
        return r < 0 ? store_unreadable_text(key, r, ret) : store_record_to_text(&record, ret);
}

int store_get(Store *s, const char *type, const char *namespace, const char *name, char **ret,
                sd_bus_error *reterr)
{
        CLEANUP_FREE char *value = NULL;
        char text[OBJECT_KEY_TEXT_SIZE];
        StoreRecord record;
        ObjectKey key;
        size_t size;
        int r;

        if (object_key_init(&key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        r = read_row(s, &key, &value, &size);
        if (r == -ENOENT)
                return store_refuse_absent(s, &key, reterr);
        if (r < 0)
                return store_read_failed(r, reterr);
        r = store_record_decode(value, size, &record);
        if (r < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "the stored record of %s cannot be decoded: %s; %s",
                                object_key_format(&key, text), errno_words(r),
                                problems_remedy(&key, false));
        r = store_record_to_text(&record, ret);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}
