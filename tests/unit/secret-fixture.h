/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A store with a key, and secrets in it: set, revealed, refused. Included by the tests of secrets
 * only. */

#include "data.h"
#include "store-fixture.h"
#include "store-internal.h"
#include "store-secret.h"

#define VALUE   "hunter2-is-no-password"
#define DB_JSON "{\"kind\":\"secret\",\"name\":\"db\",\"data\":{\"password\":\"" VALUE "\"}}"

typedef struct Setup {
        Fixture f;
        char key[96];
} Setup;

static inline void use_key(Setup *x)
{
        const KeyringOptions o = { .file = x->key };
        Keyring *k;

        assert_int_equal(keyring_open(&o, store_has_secrets(x->f.store) > 0, &k), 0);
        store_use_keyring(x->f.store, k);
}

static inline void setup_init(Setup *x)
{
        fixture_init(&x->f, NULL);
        (void) snprintf(x->key, sizeof(x->key), "%s/key", x->f.dir);
        assert_int_equal(fixture_open(&x->f), 0);
        use_key(x);
}

static inline void setup_done(Setup *x)
{
        fixture_done(&x->f);
}

static inline void reopen(Setup *x)
{
        fixture_close(&x->f);
        assert_int_equal(fixture_open(&x->f), 0);
        use_key(x);
}

/* ---- what is revealed ---- */

typedef struct Revealed {
        char error[128];
        uint64_t revision, generation;
        json_t *data;
} Revealed;

static inline int take_value(const SealedValue *v, void *userdata)
{
        CLEANUP_FREE char *key = strndup(v->key, v->key_size);
        json_t *j;

        assert_int_equal(data_encode(v->data, v->size, &j), 0);
        return json_object_set_new(userdata, key, j);
}

static inline Revealed reveal_at(Setup *x, const char *name, uint64_t revision)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Revealed r = { .data = json_object() };

        if (store_secret_reveal(x->f.store, "default", name, revision, take_value, r.data,
                            &r.revision, &r.generation, &e) < 0)
                (void) snprintf(r.error, sizeof(r.error), "%s", e.name);
        return r;
}

static inline void check_value(
                Setup *x, const char *name, uint64_t revision, const char *key, const char *value)
{
        Revealed r = reveal_at(x, name, revision);

        assert_string_equal(r.error, "");
        assert_string_equal(strempty(json_get_string(r.data, key)), value);
        json_decref(r.data);
}

static inline void check_refused(Setup *x, const char *name, uint64_t revision, const char *error)
{
        Revealed r = reveal_at(x, name, revision);

        assert_string_equal(r.error, error);
        assert_int_equal(json_object_size(r.data), 0);
        json_decref(r.data);
}

static inline Outcome write_secret(Setup *x, StoreOperation o)
{
        StoreWrite w;
        Outcome out;

        w = fixture_write(&out);
        w.secrets = true;
        begin_as(&x->f, &out, &w, &o, 1);
        store_flush(x->f.store);
        return out;
}

static inline Outcome set(Setup *x, const char *text)
{
        return write_secret(x, op_document(STORE_APPLY, text));
}

static inline Outcome set_value(Setup *x, const char *name, const char *value)
{
        CLEANUP_FREE char *text = NULL;

        assert_true(asprintf(&text, "{\"kind\":\"secret\",\"name\":\"%s\",\"data\":{\"k\":\"%s\"}}",
                                    name, value) > 0);
        return set(x, text);
}

/* ---- rows, with the store closed ---- */

/* Reads and writes rows of the closed database. */
typedef struct Rows {
        Db *db;
        DbBatch *batch;
} Rows;

static inline void rows_open(Rows *r, Setup *x)
{
        char dir[160];

        fixture_close(&x->f);
        (void) snprintf(dir, sizeof(dir), "%s/db", x->f.data);
        assert_int_equal(db_open(dir, x->f.logs, DB_OPEN, &r->db), 0);
        assert_int_equal(db_batch_new(&r->batch), 0);
}

static inline void rows_close(Rows *r, Setup *x)
{
        assert_int_equal(db_write(r->db, r->batch), 0);
        db_batch_free(r->batch);
        db_close(r->db);
        assert_int_equal(fixture_open(&x->f), 0);
        use_key(x);
}

static inline StoreKey object_row(const char *name)
{
        ObjectKey k;

        assert_int_equal(object_key_init(&k, "secret", "default", name), 0);
        return object_key_encode(&k);
}

static inline StoreKey history_row(const char *name, uint64_t revision)
{
        ObjectKey k;

        assert_int_equal(object_key_init(&k, "secret", "default", name), 0);
        return history_key_encode(&k, revision, 0);
}

static inline void copy_row(
                Rows *r, DbFamily from_family, StoreKey from, DbFamily to_family, StoreKey to)
{
        CLEANUP_FREE char *value = NULL;
        size_t size;

        assert_int_equal(db_get(r->db, NULL, from_family, DB_KEY(&from), &value, &size), 0);
        db_batch_put(r->batch, r->db, to_family, DB_KEY(&to), value, size);
}
