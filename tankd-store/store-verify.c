/* SPDX-License-Identifier: Apache-2.0 */

/* Family by family, in one view; what a row says about another family is looked up there. A family
 * whose reading breaks off is told as that, and the next one begun. */

#include "store-verify.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "document.h"
#include "log.h"
#include "store-key.h"
#include "store-kv-record.h"
#include "store-meta.h"
#include "store-problems.h"
#include "store-record.h"
#include "store-scan.h"

#define REMEDY_RESTORE "restore a copy"
#define REMEDY_COUNT   "compact up to the newest revision, which counts them anew"
#define REMEDY_ANEW    "export, and import into a new database"

/* The row before, of the history. */
typedef struct Before {
        StoreKey prefix; /* of size 0: none */
        uint64_t revision, generation;
        bool readable, deleted;
        char uid[ID128_SIZE];
} Before;

struct Verifier {
        Db *db;
        DbView *view;
        DbIter *iter; /* NULL: between two families */
        DbFamily family;
        Problems problems;
        size_t n_rows;

        uint64_t revision, compacted;
        uint64_t log_revision; /* the newest row's */
        uint32_t log_next;     /* the index that should follow */
        uint64_t log_rows, log_bytes;
        Before before;
};

/* What is in a damaged file cannot be written over: then all remedies that write are none. */
static const char *remedy(const Verifier *v, const char *otherwise)
{
        return db_is_damaged(v->db) ? REMEDY_RESTORE : otherwise;
}

/* ---- rows about the database ---- */

static int check_number(Verifier *v, const char *name, const char *remedy, uint64_t *ret)
{
        int r = meta_get_u64(v->db, v->view, name, ret);

        if (r >= 0)
                return 0;
        *ret = 0;
        return problems_add(&v->problems, "the row \"%s\" about the database %s: %s", name,
                        r == -ENOENT ? "is missing" : "cannot be read", remedy);
}

static int check_meta(Verifier *v)
{
        char id[ID128_SIZE];
        uint64_t format, rows;
        int r;

        if ((r = check_number(v, META_FORMAT, REMEDY_RESTORE, &format)) < 0 ||
                        (r = check_number(v, META_REVISION, REMEDY_RESTORE, &v->revision)) < 0 ||
                        (r = check_number(v, META_COMPACTED, REMEDY_RESTORE, &v->compacted)) < 0 ||
                        (r = check_number(v, META_LOG_ROWS, REMEDY_COUNT, &rows)) < 0 ||
                        (r = check_number(v, META_LOG_BYTES, REMEDY_COUNT, &rows)) < 0)
                return r;
        v->log_revision = v->compacted;
        if (meta_get_id(v->db, id) < 0)
                r = problems_add(&v->problems, "the database does not say its id: " REMEDY_RESTORE);
        if (r >= 0 && format != STORE_FORMAT)
                r = problems_add(&v->problems,
                                "the database has format %" PRIu64 ", not %d: start tankd-store "
                                "once, which brings it up to that",
                                format, STORE_FORMAT);
        if (r >= 0 && v->compacted > v->revision)
                r = problems_add(&v->problems,
                                "changes are gone up to revision %" PRIu64
                                ", but the newest one is %" PRIu64 ": " REMEDY_RESTORE,
                                v->compacted, v->revision);
        return r;
}

/* ---- objects and their ids ---- */

/* NULL, or what is wrong with the document of an object. */
static const char *document_problem(const ObjectKey *key, const StoreRecord *record)
{
        CLEANUP_JSON json_t *doc = json_loadb(
                        record->document, record->document_size, JSON_REJECT_DUPLICATES, NULL);

        if (!json_is_object(doc))
                return "its document is not JSON";
        if (!streq_ptr(json_get_string(doc, "kind"), key->type) ||
                        !streq_ptr(json_get_string(doc, "name"), key->name) ||
                        !streq(strempty(json_get_string(doc, "namespace")), key->namespace))
                return "its document names something else";
        return NULL;
}

/* NULL, or what is wrong between an object and its newest version. */
static const char *newest_problem(
                Verifier *v, const ObjectKey *key, const char *value, size_t size, int *ret_r)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = key_prefix_history(key), behind = prefix;
        const char *newest;
        size_t n;
        int r;

        *ret_r = db_iter_new(v->db, v->view, DB_HISTORY, &i);
        if (*ret_r < 0)
                return NULL;
        behind.data[behind.size - 1] = 1;
        r = history_seek_before(i, &prefix, &behind);
        if (r <= 0)
                return r < 0 ? "its newest version cannot be read"
                             : "no version of it is in the history";
        newest = db_iter_value(i, &n);
        if (n != size || memcmp(newest, value, size) != 0)
                return "it is not the newest version in its history";
        return NULL;
}

static const char *id_problem(Verifier *v, const char *key, size_t key_size, const char *uid)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey id;
        size_t size;

        if (id_key_encode(uid, &id) < 0)
                return "its uid is none";
        if (db_get(v->db, v->view, DB_IDS, DB_KEY(&id), &value, &size) < 0)
                return "its uid is not among the ids";
        if (size != key_size || memcmp(value, key, size) != 0)
                return "its uid belongs to something else among the ids";
        return NULL;
}

static int check_object(Verifier *v, const char *k, size_t k_size, const char *value, size_t size)
{
        char text[OBJECT_KEY_TEXT_SIZE], buf[KEY_WORDS_SIZE];
        const char *problem = NULL;
        StoreRecord record;
        ObjectKey key;
        int r;

        if (object_key_decode(k, k_size, &key) < 0)
                return problems_add(&v->problems,
                                "objects: %s is the name of nothing: " REMEDY_ANEW,
                                key_words(k, k_size, buf));
        r = store_record_decode(value, size, &record);
        if (r < 0)
                return problems_add(&v->problems, "%s cannot be decoded (%s): %s",
                                object_key_format(&key, text), errno_words(r),
                                remedy(v, problems_remedy(&key, false)));
        r = 0;
        if (record.operation == OPERATION_DELETED)
                problem = "it stands, and is marked as deleted";
        else if (record.revision > v->revision)
                problem = "its revision lies ahead of the database";
        if (!problem)
                problem = document_problem(&key, &record);
        if (!problem)
                problem = newest_problem(v, &key, value, size, &r);
        if (!problem && r >= 0)
                problem = id_problem(v, k, k_size, record.uid);
        if (!problem)
                return r;
        return problems_add(&v->problems, "%s: %s: %s", object_key_format(&key, text), problem,
                        remedy(v, problems_remedy(&key, true)));
}

static int check_id(Verifier *v, const char *k, size_t k_size, const char *value, size_t size)
{
        CLEANUP_FREE char *object = NULL;
        StoreRecord record;
        char buf[KEY_WORDS_SIZE];
        size_t n;

        if (db_get(v->db, v->view, DB_OBJECTS, (DbKey){ value, size }, &object, &n) < 0 ||
                        store_record_decode(object, n, &record) < 0) {
                /* An object that cannot be decoded was told of already. */
                return object ? 0
                              : problems_add(&v->problems,
                                                "ids: %s belongs to nothing that stands: export, "
                                                "and import into a new database",
                                                key_words(k, k_size, buf));
        }
        StoreKey id;
        if (id_key_encode(record.uid, &id) >= 0 && id.size == k_size &&
                        memcmp(id.data, k, k_size) == 0)
                return 0;
        return problems_add(&v->problems,
                        "ids: %s belongs to something with another uid: export, and import into a "
                        "new database",
                        key_words(k, k_size, buf));
}

/* ---- history ---- */

/* Behind the last version of an object. */
static int close_object(Verifier *v)
{
        CLEANUP_FREE char *value = NULL;
        Before b = v->before;
        char text[OBJECT_KEY_TEXT_SIZE];
        ObjectKey key;
        size_t size;
        int r;

        v->before.prefix.size = 0;
        if (b.prefix.size == 0 || !b.readable)
                return 0;
        b.prefix.size--; /* without the last separator: the key of the object */
        r = db_get(v->db, v->view, DB_OBJECTS, DB_KEY(&b.prefix), &value, &size);
        if ((r >= 0) == !b.deleted || (r < 0 && r != -ENOENT))
                return 0; /* where it cannot be read the objects told it */
        if (object_key_decode(b.prefix.data, b.prefix.size, &key) < 0)
                return 0; /* told of */
        return problems_add(&v->problems, "%s: %s: declare it anew", object_key_format(&key, text),
                        b.deleted ? "its newest version is a deletion, but it stands"
                                  : "its newest version is no deletion, but it does not stand");
}

/* NULL, or what does not fit between a version and the one before it. */
static const char *sequence_problem(const Before *b, const StoreRecord *now)
{
        bool created = now->operation == OPERATION_CREATED;

        if (b->prefix.size == 0 || !b->readable)
                return NULL; /* those before it are gone, or told of */
        if (now->revision <= b->revision)
                return "its revision is not behind that of the version before it";
        if (created != b->deleted)
                return created ? "it was created where it stood already"
                               : "it was changed where nothing stood";
        /* What could not be read was deleted under a uid of its own. */
        if (now->operation == OPERATION_DELETED)
                return NULL;
        if (created == streq(now->uid, b->uid))
                return created ? "it is created with a uid that it had before"
                               : "its uid changed while it stood";
        if (now->operation == OPERATION_UPDATED && now->generation != b->generation + 1)
                return "its generation does not follow that of the version before it";
        return NULL;
}

static int check_version(Verifier *v, const char *k, size_t k_size, const char *value, size_t size)
{
        const size_t position = sizeof(uint64_t) + sizeof(uint32_t);
        char text[OBJECT_KEY_TEXT_SIZE], buf[KEY_WORDS_SIZE];
        const char *problem = NULL;
        StoreKey prefix = {};
        StoreRecord record;
        uint64_t revision;
        uint32_t index;
        ObjectKey key;
        int r = 0;

        if (k_size > position && k_size <= sizeof(prefix.data)) {
                prefix.size = k_size - position;
                memcpy(prefix.data, k, prefix.size);
        }
        if (prefix.size == 0 || prefix.data[prefix.size - 1] != 0 ||
                        object_key_decode(prefix.data, prefix.size - 1, &key) < 0 ||
                        history_key_decode(k, k_size, &prefix, &revision, &index) < 0)
                return problems_add(&v->problems,
                                "history: %s is the name of no version: " REMEDY_ANEW,
                                key_words(k, k_size, buf));
        if (prefix.size != v->before.prefix.size ||
                        memcmp(prefix.data, v->before.prefix.data, prefix.size) != 0)
                r = close_object(v);
        if (r < 0)
                return r;

        r = store_record_decode(value, size, &record);
        if (r < 0)
                problem = "it cannot be decoded";
        else if (record.revision != revision || revision > v->revision)
                problem = "its revision is not the one that it stands under";
        else if (record.operation != OPERATION_DELETED)
                problem = document_problem(&key, &record);
        if (!problem)
                problem = sequence_problem(&v->before, &record);
        v->before = (Before){ .prefix = prefix, .revision = revision, .readable = r >= 0 };
        if (r >= 0) {
                v->before.generation = record.generation;
                v->before.deleted = record.operation == OPERATION_DELETED;
                memcpy(v->before.uid, record.uid, sizeof(record.uid));
        }
        return problem ? problems_add(&v->problems,
                                         "%s, version %" PRIu64
                                         ": %s: do not go back to it; it goes with its time",
                                         object_key_format(&key, text), revision, problem)
                       : 0;
}

/* ---- the change log ---- */

/* NULL, or what is wrong between a change and the version that it made. */
static const char *change_problem(
                Verifier *v, const StoreChange *c, uint64_t revision, uint32_t index)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = history_key_encode(&c->key, revision, index);
        StoreRecord record;
        size_t size;
        int r;

        r = db_get(v->db, v->view, DB_HISTORY, DB_KEY(&k), &value, &size);
        if (r < 0)
                return r == -ENOENT ? "the version that it made is missing"
                                    : "the version that it made cannot be read";
        if (store_record_decode(value, size, &record) < 0)
                return NULL; /* told of */
        return record.operation == c->operation && streq(record.uid, c->uid) &&
                                               record.generation == c->generation
                               ? NULL
                               : "it and the version that it made contradict each other";
}

static int check_change(Verifier *v, const char *k, size_t k_size, const char *value, size_t size)
{
        const char *problem = NULL;
        uint64_t revision;
        uint32_t index;
        StoreChange c;
        KvChange kv;
        char buf[KEY_WORDS_SIZE];
        bool follows;
        int r;

        if (change_key_decode(k, k_size, &revision, &index) < 0)
                return problems_add(&v->problems,
                                "changes: %s is the place of no change: " REMEDY_ANEW,
                                key_words(k, k_size, buf));
        v->log_rows++;
        v->log_bytes += size;
        follows = revision == v->log_revision ? index == v->log_next
                                              : revision == v->log_revision + 1 && index == 0;
        if (revision <= v->compacted)
                problem = "it is given up, and still there";
        else if (revision > v->revision)
                problem = "it lies ahead of the database";
        else if (!follows)
                problem = "changes before it are missing";
        v->log_revision = MAX(v->log_revision, revision);
        v->log_next = index + 1;
        if (!problem) {
                r = store_change_decode(value, size, &c);
                if (r == 0)
                        problem = change_problem(v, &c, revision, index);
                else if (r < 0 || kv_change_decode(value, size, &kv) < 0)
                        problem = "it cannot be decoded";
        }
        if (!problem)
                return 0;
        return problems_add(&v->problems, "change %" PRIu64 ".%" PRIu32 ": %s: %s", revision, index,
                        problem,
                        remedy(v, "compact up to this revision, so that whoever follows the "
                                  "changes lists anew"));
}

static int close_log(Verifier *v)
{
        uint64_t rows, bytes;
        int r = 0;

        if (v->log_revision < v->revision)
                r = problems_add(&v->problems,
                                "changes: those behind revision %" PRIu64
                                " are missing, up to %" PRIu64 ": %s",
                                v->log_revision, v->revision,
                                remedy(v, "compact up to it, so that whoever follows the changes "
                                          "lists anew"));
        if (r >= 0 && meta_get_u64(v->db, v->view, META_LOG_ROWS, &rows) >= 0 &&
                        meta_get_u64(v->db, v->view, META_LOG_BYTES, &bytes) >= 0 &&
                        (rows != v->log_rows || bytes != v->log_bytes))
                r = problems_add(&v->problems,
                                "changes: %" PRIu64 " rows of %" PRIu64
                                " bytes, but the database counts %" PRIu64 " of %" PRIu64 ": %s",
                                v->log_rows, v->log_bytes, rows, bytes, remedy(v, REMEDY_COUNT));
        return r;
}

/* ---- key-value data ---- */

static int check_kv(Verifier *v, const char *k, size_t k_size, const char *value, size_t size)
{
        const char *problem = NULL;
        KvStoreName store;
        KvRecord record;
        KvTotals totals;
        uint64_t expires;
        char buf[KEY_WORDS_SIZE];
        KvBytes key;

        if (kv_key_data_decode(k, k_size, store, &key) >= 0) {
                if (kv_record_decode(value, size, &record) < 0)
                        problem = "its value cannot be decoded";
                else if (record.revision > v->revision)
                        problem = "its revision lies ahead of the database";
                return problem ? problems_add(&v->problems, "kv: key %s of the store '%s': %s: %s",
                                                 key_words(key.data, key.size, buf), store, problem,
                                                 remedy(v, "remove it"))
                               : 0;
        }
        if (kv_key_totals_decode(k, k_size, store) >= 0)
                return kv_totals_decode(value, size, &totals) >= 0
                                       ? 0
                                       : problems_add(&v->problems,
                                                         "kv: the store '%s' does not say how much "
                                                         "it holds: set or remove a key of it, "
                                                         "which counts anew",
                                                         store);
        if (kv_key_expiry_decode(k, k_size, &expires, store, &key) < 0)
                problem = "it is the name of nothing: " REMEDY_ANEW;
        return problem ? problems_add(&v->problems, "kv: %s: %s", key_words(k, k_size, buf),
                                         problem)
                       : 0;
}

/* ---- from row to row ---- */

typedef struct Check {
        int (*row)(Verifier *v, const char *k, size_t k_size, const char *value, size_t size);
        int (*close)(Verifier *v);
} Check;

static const Check checks[_DB_FAMILY_MAX] = {
        [DB_META] = { NULL, check_meta },
        [DB_OBJECTS] = { check_object, NULL },
        [DB_HISTORY] = { check_version, close_object },
        [DB_CHANGES] = { check_change, close_log },
        [DB_KV] = { check_kv, NULL },
        [DB_IDS] = { check_id, NULL },
};

static int next_family(Verifier *v)
{
        const Check *check = &checks[v->family];
        int r = db_iter_status(v->iter);

        v->iter = db_iter_free(v->iter);
        if (r < 0)
                r = problems_add(&v->problems,
                                "%s: they cannot be read to the end (%s): " REMEDY_RESTORE
                                ", or export what can be read",
                                db_family_name(v->family), errno_words(r));
        if (r >= 0 && check->close)
                r = check->close(v);
        v->family++;
        return r;
}

/* 1: go on, 0: all was read. */
static int step(Verifier *v)
{
        const char *key, *value;
        size_t key_size, size;
        const Check *check;
        int r;

        if (v->family == _DB_FAMILY_MAX)
                return 0;
        check = &checks[v->family];
        if (!v->iter) {
                r = db_iter_new(v->db, v->view, v->family, &v->iter);
                if (r < 0)
                        return r;
                db_iter_seek(v->iter, (DbKey){ "", 0 });
                return 1;
        }
        if (!db_iter_valid(v->iter)) {
                r = next_family(v);
                return r < 0 ? r : 1;
        }
        key = db_iter_key(v->iter, &key_size);
        value = db_iter_value(v->iter, &size);
        v->n_rows++;
        r = check->row ? check->row(v, key, key_size, value, size) : 0;
        db_iter_next(v->iter);
        return r < 0 ? r : 1;
}

int verifier_turn(Verifier *v, uint64_t deadline)
{
        int r;

        for (unsigned n = 1;; n++) {
                r = step(v);
                if (r <= 0)
                        break;
                if (n % 16 == 0 && now_boottime_usec() >= deadline)
                        return 1;
        }
        return r == 0 ? problems_close(&v->problems) : r;
}

char *const *verifier_problems(const Verifier *v)
{
        return v->problems.list;
}

uint64_t verifier_rows(const Verifier *v)
{
        return v->n_rows;
}

int verifier_new(Db *db, Verifier **ret)
{
        CLEANUP(verifier_freep) Verifier *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return -ENOMEM;
        v->db = db;
        r = db_view_new(db, &v->view);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

Verifier *verifier_free(Verifier *v)
{
        if (!v)
                return NULL;
        db_iter_free(v->iter);
        db_view_free(v->view);
        problems_done(&v->problems);
        free(v);
        return NULL;
}
