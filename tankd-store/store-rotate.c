/* SPDX-License-Identifier: Apache-2.0 */
#include "store-rotate.h"

#include <inttypes.h>

#include "error.h"
#include "failpoint.h"
#include "limit.h"
#include "log.h"
#include "store-compact.h"
#include "store-sealed.h"

/* One slice: some ms of the loop, and one batch. */
#define SLICE_ROWS    64U
#define SLICE_SCANNED 1024U
#define SLICE_BYTES   (1024U * 1024U)

typedef struct Row {
        DbFamily family;
        StoreKey key;
        char *value;
        size_t size;
} Row;

typedef struct Slice {
        Transaction transaction;
        Row rows[SLICE_ROWS];
        size_t n, bytes, versions;
} Slice;

struct Rotation {
        Store *store;
        sd_event_source *source; /* the next slice */
        Rotated done;
        void *userdata;
        RotateResult result;

        DbFamily family; /* where the pass is */
        StoreKey behind; /* goes on behind this row; size 0: from the beginning */
        bool started;
        bool first_pass; /* what fails is counted once */
        bool again;      /* behind this, with a new key: the file had no room for one */
        uint64_t found;  /* rows of this pass that were sealed with another key, or have to wait */
};

Rotation *rotation_free(Rotation *r)
{
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->source);
        free(r);
        return NULL;
}

static void end(Rotation *r, const sd_bus_error *error)
{
        Store *s = r->store;

        s->rotation = NULL;
        if (error)
                log_error("rotating the key: %s", error->message);
        else
                log_info("everything is sealed with the key %s: %" PRIu64 " records were, %" PRIu64
                         " cannot be opened",
                                r->result.key_id, r->result.rewrapped, r->result.failed);
        if (r->done)
                r->done(&r->result, error, r->userdata);
        rotation_free(r);
}

static void fail(Rotation *r, int error, const char *what)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) tank_error_set_errno(&e, error, "%s; the old key is kept, rotate once more", what);
        end(r, &e);
}

/* ---- slices ---- */

static void slice_free(Transaction *t)
{
        Slice *slice = container_of(t, Slice, transaction);

        for (size_t i = 0; i < slice->n; i++)
                free(slice->rows[i].value);
        free(slice);
}

static void slice_put(const Transaction *t, DbBatch *b, const Db *db)
{
        const Slice *slice = container_of((Transaction *) t, Slice, transaction);

        for (size_t i = 0; i < slice->n; i++) {
                const Row *row = &slice->rows[i];

                db_batch_put(b, db, row->family, DB_KEY(&row->key), row->value, row->size);
        }
}

static void slice_finish(Transaction *t, int error, void *userdata)
{
        const Slice *slice = container_of(t, Slice, transaction);
        Store *s = userdata;
        Rotation *r = s->rotation;
        int k = 0;

        if (!r)
                return; /* the store is being closed */
        if (error < 0) {
                CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

                (void) store_write_failed(s, error, &e);
                end(r, &e);
                return;
        }
        if (slice->versions > 0)
                FAILPOINT("store.rotate.slice");
        r->result.rewrapped += slice->versions;
        k = sd_event_source_set_enabled(r->source, SD_EVENT_ONESHOT);
        if (k < 0)
                fail(r, k, "cannot go on rotating the key");
}

static const TransactionType slice_type = { slice_put, slice_finish, slice_free };

/* ---- rows ---- */

/* Where a row stands: told by its key alone, but for the uid, and for the revision of an object's
 * row. */
static int row_place(DbFamily family, const char *k, size_t size, const StoreRecord *record,
                ObjectKey *ret_key, uint64_t *ret_revision)
{
        const size_t position = 8 + 4 + 1; /* and the separator in front of it */
        StoreKey prefix;
        uint32_t index;
        int r;

        if (family == DB_OBJECTS) {
                *ret_revision = record->revision;
                return object_key_decode(k, size, ret_key);
        }
        if (size < position)
                return -EBADMSG;
        r = object_key_decode(k, size - position, ret_key);
        if (r < 0)
                return r;
        prefix = key_prefix_history(ret_key);
        return history_key_decode(k, size, &prefix, ret_revision, &index);
}

/* 1: @value is rewrapped, 0: it needs no change, negative: it cannot be. */
static int rewrap(Rotation *r, const char *k, size_t k_size, char *value, size_t size,
                ObjectKey *ret_key)
{
        const SealKey *active = keyring_active(r->store->keyring), *from;
        const Op *pending;
        unsigned char id[SEAL_KEY_ID_SIZE];
        uint64_t revision;
        StoreRecord record;
        int e;

        e = store_record_decode(value, size, &record);
        if (e < 0)
                return e;
        if (record.operation == OPERATION_DELETED)
                return 0;
        if ((e = row_place(r->family, k, k_size, &record, ret_key, &revision)) < 0 ||
                        (e = seal_key_id(record.sealed, record.sealed_size, id)) < 0)
                return e;
        if (memcmp(id, active->id, sizeof(id)) == 0)
                return 0;
        from = keyring_find(r->store->keyring, id);
        if (!from)
                return -ENOKEY;
        pending = overlay_find(r->store, ret_key);
        if (pending && (r->family == DB_OBJECTS || pending->record.revision == revision)) {
                r->found++; /* left to the next pass: what is under way would be overwritten */
                return 0;
        }
        const SealPlace place = { ret_key, record.uid, revision };
        e = seal_rewrap(from, active, &place, (char *) record.sealed, record.sealed_size);
        return e < 0 ? e : 1;
}

/* Takes @value. */
static void add_row(Slice *slice, DbFamily family, const char *k, size_t k_size, char *value,
                size_t size)
{
        Row *row = &slice->rows[slice->n++];

        *row = (Row){ .family = family, .value = value, .size = size };
        row->key.size = k_size;
        memcpy(row->key.data, k, k_size);
        slice->bytes += size;
}

/* The row of an object is byte for byte that of its newest version, and stays so. */
static int add_object(Rotation *r, Slice *slice, const ObjectKey *key, const char *old,
                const char *value, size_t size)
{
        CLEANUP_FREE char *standing = NULL;
        StoreKey k = object_key_encode(key);
        size_t standing_size;
        int e;

        if (overlay_find(r->store, key))
                return 0; /* is about to be another one's */
        e = db_get(r->store->db, NULL, DB_OBJECTS, DB_KEY(&k), &standing, &standing_size);
        if (e == -ENOENT || (e >= 0 && (standing_size != size || memcmp(standing, old, size) != 0)))
                return 0;
        if (e < 0)
                return e;
        memcpy(standing, value, size);
        add_row(slice, DB_OBJECTS, k.data, k.size, TAKE_PTR(standing), size);
        return 0;
}

static int take_row(Rotation *r, Slice *slice, const DbIter *i)
{
        size_t k_size, size;
        const char *k = db_iter_key(i, &k_size), *v = db_iter_value(i, &size);
        CLEANUP_FREE char *value = NULL;
        ObjectKey key;
        int e;

        value = malloc(MAX(size, (size_t) 1));
        if (!value)
                return -ENOMEM;
        memcpy(value, v, size);
        e = rewrap(r, k, k_size, value, size, &key);
        if (e == -ENOMEM)
                return e;
        if (e < 0 && r->first_pass)
                r->result.failed++;
        if (e <= 0)
                return 0;
        if (r->family == DB_HISTORY) {
                e = add_object(r, slice, &key, v, value, size);
                if (e < 0)
                        return e;
        }
        add_row(slice, r->family, k, k_size, TAKE_PTR(value), size);
        slice->versions++;
        r->found++;
        return 0;
}

/* A key that no record has: nobody reads it. Here stands what tells it from others, as far as there
 * is room; those behind it that only differ later count as one. They are not counted as scanned: a
 * slice that ended among them would begin with them again. */
static void pass_over(Rotation *r, const char *k)
{
        bool known = r->behind.size == STORE_KEY_MAX &&
                     memcmp(k, r->behind.data, STORE_KEY_MAX) == 0;

        if (r->first_pass && !known)
                r->result.failed++;
        r->behind.size = STORE_KEY_MAX;
        memcpy(r->behind.data, k, STORE_KEY_MAX);
}

/* 1: there is more of this family. */
static int scan(Rotation *r, Slice *slice)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = key_prefix_type("secret");
        int e;

        e = db_iter_new(r->store->db, NULL, r->family, &i);
        if (e < 0)
                return e;
        db_iter_seek(i, r->behind.size > 0 ? DB_KEY(&r->behind) : DB_KEY(&prefix));
        for (unsigned scanned = 0; db_iter_valid(i); db_iter_next(i)) {
                size_t size;
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &prefix))
                        return 0;
                if (size > STORE_KEY_MAX) {
                        pass_over(r, k);
                        continue;
                }
                if (size == r->behind.size && memcmp(k, r->behind.data, size) == 0)
                        continue;
                if (slice->n + 2 > SLICE_ROWS || slice->bytes >= SLICE_BYTES ||
                                ++scanned > SLICE_SCANNED)
                        return 1;
                e = take_row(r, slice, i);
                if (e < 0)
                        return e;
                r->behind.size = size;
                memcpy(r->behind.data, k, size);
        }
        return db_iter_status(i);
}

/* 1: something is left to do. */
static int next_family(Rotation *r)
{
        r->behind = (StoreKey){};
        if (r->family == DB_HISTORY) {
                r->family = DB_OBJECTS;
                return 1;
        }
        if (r->found == 0)
                return 0;
        r->family = DB_HISTORY;
        r->first_pass = false;
        r->found = 0;
        return 1;
}

static int submit(Rotation *r, Slice *slice)
{
        slice->transaction.type = &slice_type;
        slice->transaction.bytes = slice->bytes;
        return commit_submit(r->store->commit, &slice->transaction);
}

/* From the first row on. What was counted before stays so. */
static int begin(Rotation *r, sd_bus_error *reterr)
{
        int e = keyring_rotate_begin(r->store->keyring, reterr);

        if (e < 0)
                return e;
        FAILPOINT("store.rotate.begun");
        (void) keyring_format_id(keyring_active(r->store->keyring)->id, r->result.key_id);
        r->family = DB_HISTORY;
        r->behind = (StoreKey){};
        r->started = false;
        r->again = e > 0;
        r->found = 0;
        return 0;
}

/* What was asked for is not done, but half of the way is. */
static void refuse_again(Rotation *r, const sd_bus_error *error)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) tank_error_set(&e, error->name,
                        "everything is sealed with the key %s, which an earlier rotation made, and "
                        "the others are gone (%" PRIu64 " records were sealed anew, %" PRIu64
                        " cannot be opened); but %s; rotate once more",
                        r->result.key_id, r->result.rewrapped, r->result.failed, error->message);
        end(r, &e);
}

static void finish(Rotation *r)
{
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int e;

        FAILPOINT("store.rotate.sealed");
        e = keyring_rotate_end(r->store->keyring, &error);
        FAILPOINT("store.rotate.ended");
        if (e < 0 || !r->again) {
                end(r, e < 0 ? &error : NULL);
                return;
        }
        if (begin(r, &error) < 0) {
                refuse_again(r, &error);
                return;
        }
        e = sd_event_source_set_enabled(r->source, SD_EVENT_ONESHOT);
        if (e < 0)
                fail(r, e, "cannot go on rotating the key");
}

static int on_slice(sd_event_source *source, uint64_t usec, void *userdata)
{
        Rotation *r = userdata;
        Slice *slice = calloc(1, sizeof(*slice));
        int e = slice ? 1 : -ENOMEM;

        /* An empty slice waits for what is under way before it: at first for whatever the old key
         * sealed, later for versions that are given up, which must not be written once more. */
        if (e > 0 && r->started && !store_is_giving_up(r->store))
                e = scan(r, slice);
        r->started = true;
        if (e == 0 && !next_family(r)) {
                slice_free(&slice->transaction);
                finish(r);
                return 0;
        }
        if (e >= 0)
                e = submit(r, slice);
        if (e < 0) {
                if (slice)
                        slice_free(&slice->transaction);
                fail(r, e, "cannot rotate the key");
        }
        return 0;
}

int store_rotate_key(Store *s, Rotated done, void *userdata, sd_bus_error *reterr)
{
        Rotation *r;
        int e;

        if (!s->keyring)
                return tank_error_set(
                                reterr, TANK_ERROR_FAILED_PRECONDITION, "this store has no key");
        if (s->rotation)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "the key is being rotated: wait for its end");
        store_try_writable(s);
        e = store_check_writable(s, false, reterr);
        if (e < 0)
                return e;
        r = calloc(1, sizeof(*r));
        if (!r)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        *r = (Rotation){
                .store = s,
                .done = done,
                .userdata = userdata,
                .first_pass = true,
        };
        /* No defer source: one that is always on goes before all others of its priority. */
        e = sd_event_add_time(s->event, &r->source, CLOCK_MONOTONIC, 0, 1, on_slice, r);
        if (e < 0)
                (void) tank_error_set_errno(reterr, e, "cannot rotate the key");
        else
                e = begin(r, reterr);
        if (e < 0) {
                rotation_free(r);
                return e;
        }
        s->rotation = r;
        return 0;
}

void store_end_rotation(Store *s)
{
        if (s->rotation)
                fail(s->rotation, -ECANCELED, "tankd-store ends");
}
