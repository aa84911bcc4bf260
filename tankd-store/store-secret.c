/* SPDX-License-Identifier: Apache-2.0 */
#include "store-secret.h"

#include "base64.h"
#include "data.h"
#include "document.h"
#include "error.h"
#include "log.h"
#include "store-sealed.h"

void store_use_keyring(Store *s, Keyring *k)
{
        assert(!s->keyring);
        s->keyring = k;
}

const Keyring *store_keyring(const Store *s)
{
        return s->keyring;
}

int store_has_secrets(Store *s)
{
        static const DbFamily families[] = { DB_OBJECTS, DB_HISTORY };
        StoreKey prefix = key_prefix_type("secret");

        for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
                CLEANUP(db_iter_freep) DbIter *i = NULL;
                const char *k;
                size_t size;
                int r;

                r = db_iter_new(s->db, NULL, families[f], &i);
                if (r < 0)
                        return r;
                db_iter_seek(i, DB_KEY(&prefix));
                if (!db_iter_valid(i)) {
                        r = db_iter_status(i);
                        if (r < 0)
                                return r;
                        continue;
                }
                k = db_iter_key(i, &size);
                if (key_has_prefix(k, size, &prefix))
                        return 1;
        }
        return 0;
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

/* ---- setting ---- */

/* What stands, without its values; an empty map when nothing does, or nothing that can be read. */
static json_t *standing_document(Store *s, const ObjectKey *key)
{
        CLEANUP_FREE char *buffer = NULL;
        json_t *doc = NULL;
        StoreRecord record;

        if (store_lookup(s, key, &record, &buffer) >= 0)
                doc = json_loadb(record.document, record.document_size, 0, NULL);
        return doc ? doc : json_object();
}

int store_secret_compose(Store *s, const SecretSet *o, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        ObjectKey key;

        if (object_key_init(&key, "secret", o->namespace, o->name) < 0)
                return store_refuse_key("secret", o->namespace, o->name, reterr);
        doc = standing_document(s, &key);
        if (!doc || json_object_set_new(doc, "kind", json_string("secret")) < 0 ||
                        json_object_set_new(doc, "namespace", json_string(o->namespace)) < 0 ||
                        json_object_set_new(doc, "name", json_string(o->name)) < 0 ||
                        json_object_set(doc, "data", o->data) < 0)
                return oom(reterr);
        if (o->type && json_object_set_new(doc, "type", json_string(o->type)) < 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"type\": must be valid UTF-8");
        if (o->labels && json_object_set(doc, "labels", o->labels) < 0)
                return oom(reterr);
        *ret = TAKE_PTR(doc);
        return 0;
}

/* ---- reveal ---- */

static int load_current(Store *s, const ObjectKey *key, StoreRecord *ret, char **ret_buffer,
                sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        StoreKey k = object_key_encode(key);
        size_t size;
        int r;

        r = db_get(s->db, NULL, DB_OBJECTS, DB_KEY(&k), ret_buffer, &size);
        if (r == -ENOENT)
                return store_refuse_absent(s, key, reterr);
        if (r < 0)
                return store_read_failed(r, reterr);
        r = store_record_decode(*ret_buffer, size, ret);
        if (r < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "the stored record of %s cannot be decoded: %s; delete it and "
                                "declare it anew",
                                object_key_format(key, text), errno_words(r));
        return 0;
}

static int load(Store *s, const ObjectKey *key, uint64_t revision, StoreRecord *ret,
                char **ret_buffer, Plain *ret_values, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        int r;

        if (revision == 0) {
                r = load_current(s, key, ret, ret_buffer, reterr);
                return r < 0 ? r : sealed_open_current(s, NULL, key, ret, ret_values, reterr);
        }
        r = store_version_load(s, key, revision, ret, ret_buffer, reterr);
        if (r < 0)
                return r;
        if (ret->operation == OPERATION_DELETED)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "that revision deleted %s: there are no values",
                                object_key_format(key, text));
        return sealed_open(s, key, revision, ret, ret_values, reterr);
}

int store_secret_reveal(Store *s, const char *namespace, const char *name, uint64_t revision,
                SecretValueSeen each, void *userdata, uint64_t *ret_revision,
                uint64_t *ret_generation, sd_bus_error *reterr)
{
        CLEANUP(plain_free) Plain values = {};
        CLEANUP_FREE char *buffer = NULL;
        SealedValue value;
        StoreRecord record;
        ObjectKey key;
        size_t at = 0;
        int r;

        if (object_key_init(&key, "secret", namespace, name) < 0)
                return store_refuse_key("secret", namespace, name, reterr);
        r = load(s, &key, revision, &record, &buffer, &values, reterr);
        if (r < 0)
                return r;
        while (sealed_next(&values, &at, &value)) {
                r = each(&value, userdata);
                if (r < 0)
                        return r;
        }
        *ret_revision = record.revision;
        *ret_generation = record.generation;
        return 0;
}

static int put_back(json_t *data, const Plain *values)
{
        SealedValue value;
        size_t at = 0;

        while (sealed_next(values, &at, &value)) {
                CLEANUP_FREE char *key = strndup(value.key, value.key_size);
                json_t *j;

                if (!key || data_encode(value.data, value.size, &j) < 0 ||
                                json_object_set_new(data, key, j) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int reveal_document(Store *s, const DbView *view, const ObjectKey *key,
                const StoreRecord *record, json_t *doc, sd_bus_error *reterr)
{
        CLEANUP(plain_free) Plain values = {};
        int r;

        r = sealed_open_current(s, view, key, record, &values, reterr);
        if (r < 0)
                return r;
        return put_back(json_object_get(doc, "data"), &values) < 0 ? oom(reterr) : 0;
}

static int add_sealed(const StoreRecord *record, json_t *doc)
{
        CLEANUP_FREE char *text = NULL;
        int r = base64_encode(record->sealed, record->sealed_size, &text);

        if (r >= 0 && json_object_set_new(json_object_get(doc, "meta"), "sealed",
                                      json_string(text)) < 0)
                r = -ENOMEM;
        return r;
}

int store_secret_export(Store *s, const DbView *view, const ObjectKey *key,
                const StoreRecord *record, bool reveal, char **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error unopened = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *text = NULL;
        CLEANUP_JSON json_t *doc = NULL;

        if (store_record_to_text(record, &text) < 0)
                return oom(reterr);
        doc = json_loads(text, 0, NULL);
        if (!doc) /* told by its key, as what cannot be decoded is, and nobody else's trouble */
                return store_unreadable_text(key, -EBADMSG, ret) < 0 ? oom(reterr) : 0;
        /* One that cannot be opened goes out as it is, and holds nobody else's up. */
        if (reveal && reveal_document(s, view, key, record, doc, &unopened) < 0) {
                log_warning("exported unrevealed: %s", unopened.message);
                reveal = false;
        }
        if (!reveal && add_sealed(record, doc) < 0)
                return oom(reterr);
        return document_format(doc, ret) < 0 ? oom(reterr) : 0;
}
