/* SPDX-License-Identifier: Apache-2.0 */
#include "store-sealed.h"

#include <endian.h>
#include <inttypes.h>

#include "data.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "store-keyring.h"
#include "store-scan.h"

/* ---- the values of one version ---- */

static bool take_part(const Plain *p, size_t *at, const unsigned char **ret, size_t *ret_size)
{
        uint32_t n;

        if (p->size - *at < sizeof(n))
                return false;
        memcpy(&n, p->data + *at, sizeof(n));
        n = le32toh(n);
        if (p->size - *at - sizeof(n) < n)
                return false;
        *ret = p->data + *at + sizeof(n);
        *ret_size = n;
        *at += sizeof(n) + n;
        return true;
}

bool sealed_next(const Plain *values, size_t *at, SealedValue *ret)
{
        const unsigned char *key;

        if (!take_part(values, at, &key, &ret->key_size) ||
                        !take_part(values, at, &ret->data, &ret->size))
                return false;
        ret->key = (const char *) key;
        return true;
}

static bool find_value(const Plain *values, const char *key, SealedValue *ret)
{
        size_t at = 0;

        while (sealed_next(values, &at, ret))
                if (ret->key_size == strlen(key) && memcmp(ret->key, key, ret->key_size) == 0)
                        return true;
        return false;
}

static size_t put_part(Plain *p, size_t at, const void *data, size_t size)
{
        uint32_t n = htole32((uint32_t) size);

        memcpy(p->data + at, &n, sizeof(n));
        if (size > 0)
                memcpy(p->data + at + sizeof(n), data, size);
        return at + sizeof(n) + size;
}

static int compare_keys(const void *a, const void *b)
{
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Borrowed from @data, in the order of their bytes. */
static int sort_keys(json_t *data, const char ***ret)
{
        const char **keys = calloc(json_object_size(data) + 1, sizeof(*keys));
        const char *key;
        json_t *value;
        size_t n = 0;

        if (!keys)
                return -ENOMEM;
        json_object_foreach (data, key, value)
                keys[n++] = key;
        qsort(keys, n, sizeof(*keys), compare_keys);
        *ret = keys;
        return 0;
}

/* Room for the largest there can be, so that nothing needs to be moved: it is freed soon. */
static size_t room_for(json_t *data, const Plain *base)
{
        size_t size = base ? base->size : 0;
        const char *key;
        json_t *value;

        json_object_foreach (data, key, value) {
                size += 8 + strlen(key) + json_string_length(value) +
                        json_string_length(json_object_get(value, "base64"));
        }
        return size;
}

static int put_value(Plain *p, size_t *at, const char *key, const json_t *value, const Plain *base,
                sd_bus_error *reterr)
{
        SealedValue kept;
        size_t size;
        char *data;
        int r;

        *at = put_part(p, *at, key, strlen(key));
        if (data_is_redacted(value)) {
                if (!base || !find_value(base, key, &kept))
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "data.%s: is redacted, and there is no value that could "
                                        "be kept: give one",
                                        key);
                *at = put_part(p, *at, kept.data, kept.size);
                return 0;
        }
        r = data_decode(value, &data, &size);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "data.%s", key);
        *at = put_part(p, *at, data, size);
        data_free(data, size);
        return 0;
}

/* What the values have grown to with those that were kept is known only now. */
static int check_size(size_t size, size_t n_keys, size_t key_bytes, sd_bus_error *reterr)
{
        size_t values = size - 8 * n_keys - key_bytes;

        if (values <= LIMIT_DATA_MAX)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "data: all values together have %zu bytes, and may have at most %u", values,
                        LIMIT_DATA_MAX);
}

static int redact(json_t *data, const char *const *keys)
{
        for (; *keys; keys++) {
                json_t *mark = data_is_redacted(json_object_get(data, *keys)) ? NULL
                                                                              : data_redacted();

                if (mark && json_object_set_new(data, *keys, mark) < 0)
                        return -ENOMEM;
                if (!data_is_redacted(json_object_get(data, *keys)))
                        return -ENOMEM;
        }
        return 0;
}

static int copy_front(const Plain *p, size_t size, Plain *ret)
{
        int r = plain_alloc(size, ret);

        if (r >= 0)
                memcpy(ret->data, p->data, size);
        return r;
}

int sealed_take(json_t *document, const Plain *base, Plain *ret, sd_bus_error *reterr)
{
        CLEANUP(plain_free) Plain room = {}, values = {};
        CLEANUP_FREE const char **keys = NULL;
        json_t *data = json_object_get(document, "data");
        CLEANUP_JSON json_t *redacted = json_copy(data);
        size_t at = 0, key_bytes = 0;
        int r;

        if (!redacted || sort_keys(data, &keys) < 0 || plain_alloc(room_for(data, base), &room) < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        for (size_t i = 0; keys[i]; i++) {
                key_bytes += strlen(keys[i]);
                r = put_value(&room, &at, keys[i], json_object_get(data, keys[i]), base, reterr);
                if (r < 0)
                        return r;
        }
        r = check_size(at, json_object_size(data), key_bytes, reterr);
        if (r < 0)
                return r;
        if (redact(redacted, keys) < 0 || copy_front(&room, at, &values) < 0 ||
                        json_object_set(document, "data", redacted) < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        *ret = values;
        values = (Plain){};
        return 0;
}

bool sealed_keeps(const json_t *document)
{
        json_t *data = json_object_get(document, "data"), *value;
        const char *key;

        json_object_foreach (data, key, value)
                if (data_is_redacted(value))
                        return true;
        return false;
}

/* ---- sealing and opening ---- */

static int refuse_place(const ObjectKey *key, uint64_t revision, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];

        return tank_error_set(reterr, TANK_ERROR_AUTHENTICATION_FAILED,
                        "%s at revision %" PRIu64
                        " is not what was sealed there: its record was changed, moved, copied or "
                        "put back; set it anew, or restore a copy of the database",
                        object_key_format(key, text), revision);
}

static int refuse_key(const ObjectKey *key, uint64_t revision,
                const unsigned char id[static SEAL_KEY_ID_SIZE], sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE], name[KEYRING_ID_TEXT_SIZE];

        return tank_error_set(reterr, TANK_ERROR_AUTHENTICATION_FAILED,
                        "%s at revision %" PRIu64
                        " is sealed with the key %s, which is not here: bring it back, or set the "
                        "secret anew",
                        object_key_format(key, text), revision, keyring_format_id(id, name));
}

int sealed_open(Store *s, const ObjectKey *key, uint64_t revision, const StoreRecord *record,
                Plain *ret, sd_bus_error *reterr)
{
        const SealPlace place = { key, record->uid, revision };
        unsigned char id[SEAL_KEY_ID_SIZE];
        const SealKey *k;
        int r;

        r = seal_key_id(record->sealed, record->sealed_size, id);
        if (r == -EPROTONOSUPPORT)
                return tank_error_set(reterr, TANK_ERROR_AUTHENTICATION_FAILED,
                                "sealed by a newer tank: install that");
        if (r < 0)
                return refuse_place(key, revision, reterr);
        k = s->keyring ? keyring_find(s->keyring, id) : NULL;
        if (!k)
                return refuse_key(key, revision, id, reterr);
        r = seal_open(k, &place, record->sealed, record->sealed_size, ret);
        if (r == -EBADMSG)
                return refuse_place(key, revision, reterr);
        return r < 0 ? tank_error_set_errno(reterr, r, "cannot open a secret") : 0;
}

/* 1 when the newest version in the history is the one of @revision. */
static int is_newest(Store *s, const DbView *view, const ObjectKey *key, uint64_t revision)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = key_prefix_history(key);
        StoreKey end = history_key_encode(key, UINT64_MAX, UINT32_MAX);
        uint64_t newest;
        uint32_t index;
        const char *k;
        size_t size;
        int r;

        r = db_iter_new(s->db, view, DB_HISTORY, &i);
        if (r < 0)
                return r;
        r = history_seek_before(i, &prefix, &end);
        if (r <= 0)
                return r;
        k = db_iter_key(i, &size);
        return history_key_decode(k, size, &prefix, &newest, &index) >= 0 && newest == revision;
}

int sealed_is_at_home(Store *s, const DbView *view, const ObjectKey *key, const StoreRecord *record)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey home = object_key_encode(key), id;
        size_t size;
        int r;

        if (id_key_encode(record->uid, &id) < 0)
                return 0;
        r = db_get(s->db, view, DB_IDS, DB_KEY(&id), &value, &size);
        if (r == -ENOENT)
                return 0;
        return r < 0 ? r : size == home.size && memcmp(value, home.data, size) == 0;
}

int sealed_open_current(Store *s, const DbView *view, const ObjectKey *key,
                const StoreRecord *record, Plain *ret, sd_bus_error *reterr)
{
        int r;

        r = is_newest(s, view, key, record->revision);
        if (r > 0)
                r = sealed_is_at_home(s, view, key, record);
        if (r < 0)
                return store_read_failed(r, reterr);
        if (r == 0)
                return refuse_place(key, record->revision, reterr);
        return sealed_open(s, key, record->revision, record, ret, reterr);
}

int sealed_close(Store *s, Op *op, const Plain *values, char **ret, sd_bus_error *reterr)
{
        const SealKey *key = s->keyring ? keyring_active(s->keyring) : NULL;
        const SealPlace place = { &op->key, op->record.uid, op->record.revision };
        char *blob;
        size_t size;
        int r;

        if (!key)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "there is no key to seal a secret with: see why in the log of "
                                "tankd-store, then restart it");
        r = seal_close(key, &place, values, &blob, &size);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot seal a secret");
        op->record.sealed = blob;
        op->record.sealed_size = size;
        *ret = blob;
        return 0;
}
