/* SPDX-License-Identifier: Apache-2.0 */

/* Rows that somebody changed: every row of a small database in turn, in several ways, a row whose
 * key is the name of nothing, and a disk that does not give rows out. Whatever it is, the store
 * opens, all lists are told to their end, an export saves all that can be read; and what verify
 * says has to be done can be done, and then helps. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "store-compact.h"
#include "store-export.h"
#include "store-fixture.h"
#include "store-import.h"
#include "store-kv.h"
#include "store-meta.h"
#include "store-verify.h"
#include "strv.h"

#define TIMEOUT_USEC (60 * USEC_PER_SEC)
#define ROWS_MAX     128
#define PROD         "{\"kind\":\"namespace\",\"name\":\"prod\"}"

/* ---- calls ---- */

typedef struct Told {
        bool answered;
        char error[128], message[512];
        uint64_t count;
        char **problems;
} Told;

static void told_done(Told *t)
{
        strv_free(t->problems);
}

static void tell(Told *t, const sd_bus_error *e, uint64_t count, char *const *problems)
{
        assert_false(t->answered);
        t->answered = true;
        t->count = count;
        assert_true(strv_copy(problems, &t->problems) >= 0);
        if (!e)
                return;
        (void) snprintf(t->error, sizeof(t->error), "%s", e->name);
        (void) snprintf(t->message, sizeof(t->message), "%s", e->message);
}

static void on_export(const ExportResult *r, const sd_bus_error *e, void *userdata)
{
        tell(userdata, e, r ? r->count : 0, r ? r->problems : NULL);
}

static void on_import(const ImportResult *r, const sd_bus_error *e, void *userdata)
{
        tell(userdata, e, r ? r->created : 0, NULL);
}

static void on_verified(const Verifier *v, const sd_bus_error *e, void *userdata)
{
        tell(userdata, e, 0, e ? NULL : verifier_problems(v));
}

static void on_compacted(uint64_t compacted, const sd_bus_error *e, void *userdata)
{
        tell(userdata, e, compacted, NULL);
}

static void wait_for(Fixture *f, Told *t, int r, sd_bus_error *e)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        if (r < 0)
                tell(t, e, 0, NULL);
        sd_bus_error_free(e);
        while (!t->answered) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
}

static Told verify(Fixture *f)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};

        wait_for(f, &t, store_verify(f->store, on_verified, &t, &e), &e);
        assert_string_equal(t.error, "");
        return t;
}

/* All of it has room in a socket, so that nobody has to read or write meanwhile. */
static Told export_to(Fixture *f, int fd)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};

        wait_for(f, &t, store_export(f->store, fd, &(const ExportOptions){}, on_export, &t, &e),
                        &e);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        return t;
}

static Told import_from(Fixture *f, int fd)
{
        ImportOptions o = { .by = 7, .privileged = true };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int size;

        assert_int_equal(ioctl(fd, FIONREAD, &size), 0);
        o.size = (uint64_t) size;
        wait_for(f, &t, store_import(f->store, fd, &o, on_import, &t, &e), &e);
        return t;
}

static void compact(Fixture *f, uint64_t revision)
{
        CLEANUP(told_done) Told t = {};
        sd_bus_error e = SD_BUS_ERROR_NULL;

        wait_for(f, &t, store_compact(f->store, revision, on_compacted, &t, &e), &e);
        assert_string_equal(t.error, "");
}

typedef struct KvTold {
        bool answered;
        char error[128];
} KvTold;

static void on_kv(const KvOutcome *outcome, const sd_bus_error *e, void *userdata)
{
        KvTold *t = userdata;

        t->answered = true;
        if (e)
                (void) snprintf(t->error, sizeof(t->error), "%s", e->name);
        else if (outcome->n > 0 && sd_bus_error_is_set(&outcome->results[0].error))
                (void) snprintf(t->error, sizeof(t->error), "%s", outcome->results[0].error.name);
}

static void kv(Fixture *f, KvVerb verb, const char *store, const char *key, const char *value)
{
        const KvOperation o = {
                .verb = verb,
                .key = { key, strlen(key) },
                .value = { value, strlen(value) },
        };
        KvTold t = {};
        const KvCall call = { .wait = true, .answered = on_kv, .userdata = &t };

        assert_true(store_kv_write(f->store, store, &o, 1, &call, NULL) >= 0);
        store_flush(f->store);
        assert_true(t.answered);
        assert_string_equal(t.error, "");
}

static void kv_clear(Fixture *f, const char *store)
{
        KvTold t = {};
        const KvCall call = { .wait = true, .answered = on_kv, .userdata = &t };

        assert_true(store_kv_clear(f->store, store, &call, NULL) >= 0);
        store_flush(f->store);
        assert_true(t.answered);
        assert_string_equal(t.error, "");
}

/* ---- a database and its rows ---- */

typedef struct Row {
        DbFamily family;
        char *key, *value;
        size_t key_size, size;
} Row;

static Store *the_store;
static Row rows[ROWS_MAX];
static size_t n_rows;

static Db *open_by_hand(Fixture *f)
{
        char path[256];
        Db *db;

        fixture_close(f);
        (void) snprintf(path, sizeof(path), "%s/db", f->data);
        assert_int_equal(db_open(path, f->logs, DB_OPEN, &db), 0);
        return db;
}

static void fill(Fixture *f)
{
        static const char *const documents[] = {
                PROD,
                "{\"kind\":\"widget\",\"name\":\"a\",\"labels\":{\"x\":\"1\"}}",
                "{\"kind\":\"widget\",\"name\":\"a\",\"labels\":{\"x\":\"2\"}}",
                "{\"kind\":\"widget\",\"name\":\"b\",\"namespace\":\"prod\"}",
                "{\"kind\":\"widget\",\"name\":\"gone\"}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
                assert_string_equal(apply(f, documents[i]).error, "");
        assert_string_equal(delete (f, "widget", "default", "gone").error, "");
        kv(f, KV_SET, "s", "one", "1");
        kv(f, KV_SET, "s", "two", "");
}

static void *copied(const void *p, size_t n)
{
        void *copy = malloc(n + 1);

        assert_non_null(copy);
        memcpy(copy, p, n);
        return copy;
}

static void read_rows(Db *db)
{
        n_rows = 0;
        for (DbFamily family = 0; family < _DB_FAMILY_MAX; family++) {
                CLEANUP(db_iter_freep) DbIter *i = NULL;

                assert_true(db_iter_new(db, NULL, family, &i) >= 0);
                for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i)) {
                        Row *row = &rows[n_rows++];
                        const char *p;

                        assert_true(n_rows < ROWS_MAX);
                        row->family = family;
                        p = db_iter_key(i, &row->key_size);
                        row->key = copied(p, row->key_size);
                        p = db_iter_value(i, &row->size);
                        row->value = copied(p, row->size);
                }
        }
}

static void free_rows(void)
{
        for (size_t i = 0; i < n_rows; i++) {
                free(rows[i].key);
                free(rows[i].value);
        }
        n_rows = 0;
}

/* As it was, in all families; what was acknowledged since then is forgotten. */
static void put_back(const Fixture *f, Db *db)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/witness", f->data);
        (void) unlink(path);

        assert_int_equal(db_batch_new(&b), 0);
        for (DbFamily family = 0; family < _DB_FAMILY_MAX; family++) {
                CLEANUP(db_iter_freep) DbIter *i = NULL;

                assert_true(db_iter_new(db, NULL, family, &i) >= 0);
                for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i)) {
                        size_t size;
                        const char *k = db_iter_key(i, &size);

                        db_batch_delete(b, db, family, (DbKey){ k, size });
                }
        }
        for (size_t i = 0; i < n_rows; i++)
                db_batch_put(b, db, rows[i].family, (DbKey){ rows[i].key, rows[i].key_size },
                                rows[i].value, rows[i].size);
        assert_int_equal(db_write(db, b), 0);
}

static void put(Db *db, DbFamily family, const void *key, size_t key_size, const void *value,
                size_t size)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;

        assert_int_equal(db_batch_new(&b), 0);
        db_batch_put(b, db, family, (DbKey){ key, key_size }, value, size);
        assert_int_equal(db_write(db, b), 0);
}

/* ---- ways to change a row ---- */

typedef enum Way { FLIPPED, CUT, NEWER, LOST, _WAY_MAX } Way;

static const char *const way_names[] = { "flipped", "cut", "newer", "lost" };

static void spoil(Db *db, const Row *row, Way way)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        CLEANUP_FREE char *value = copied(row->value, row->size);
        size_t size = row->size;

        if (way == FLIPPED && size > 0)
                value[size / 2] = (char) (value[size / 2] ^ 0x10);
        else if (way == CUT)
                size /= 2;
        else if (way == NEWER && size > 0)
                value[0] = 9;
        assert_int_equal(db_batch_new(&b), 0);
        if (way == LOST)
                db_batch_delete(b, db, row->family, (DbKey){ row->key, row->key_size });
        else
                db_batch_put(b, db, row->family, (DbKey){ row->key, row->key_size }, value, size);
        assert_int_equal(db_write(db, b), 0);
}

/* ---- what is left, and what helps ---- */

typedef struct Seen {
        Listed *listed;
        unsigned n;
} Seen;

static int see(const char *text, void *userdata)
{
        CLEANUP_JSON json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

        assert_true(json_is_object(doc));
        assert_non_null(json_get_string(doc, "kind"));
        assert_non_null(json_get_string(doc, "name"));
        ((Seen *) userdata)->n++;
        return 0;
}

static int see_key(KvBytes key, const KvRecord *record, void *userdata)
{
        unsigned *n = userdata;

        /* It is there, and so for Get. */
        if (!record) {
                CLEANUP_FREE char *buffer = NULL;
                KvRecord r;

                assert_true(store_kv_get(the_store, "s", key, &r, &buffer, NULL) < 0);
        }
        (*n)++;
        return 0;
}

static void check_lists(Fixture *f, bool lost)
{
        static const StoreQuery queries[] = {
                { .type = "", .namespace = "" },
                { .type = "widget", .namespace = "default", .labels = "x=2" },
                { .type = "", .namespace = "prod", .sort = "-revision" },
        };
        CLEANUP_FREE char *next = NULL;
        unsigned n_keys = 0;
        uint64_t revision;

        for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
                Seen seen = {};

                assert_string_equal(query(f, &queries[i], see, &seen).error, "");
        }
        the_store = f->store;
        assert_true(store_kv_list(f->store, "s", &(const KvListOptions){ .token = "" }, see_key,
                                    &n_keys, &next, &revision, NULL) >= 0);
        assert_true(lost || n_keys == 2);
}

/* What was exported, and nothing else, can be imported. */
static void check_export(Fixture *f, bool lost)
{
        CLEANUP(told_done) Told out = {}, in = {};
        Fixture other = { .memory = true, .event = f->event };
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        out = export_to(f, fds[0]);
        assert_string_equal(out.error, "");
        assert_true(fixture_open(&other) >= 0);
        /* A row that is not there at all is no part of it. */
        if (lost)
                assert_string_equal(apply(&other, PROD).error, "");
        in = import_from(&other, fds[1]);
        if (*in.error)
                print_error("import: %s\n", in.message);
        assert_string_equal(in.error, "");
        assert_true(out.count + strv_length(out.problems) >= (lost ? 4 : 5));
        fixture_close(&other);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

/* "TYPE [NAMESPACE/]NAME" at the beginning. */
static void read_name(const char *problem, char type[static 64], char namespace[static 64],
                char name[static 64])
{
        char word[130];
        char *slash;

        assert_int_equal(sscanf(problem, "%63s %129[^:, ]", type, word), 2);
        slash = strchr(word, '/');
        (void) snprintf(namespace, 64, "%.*s", slash ? (int) (slash - word) : 0, word);
        (void) snprintf(name, 64, "%.63s", slash ? slash + 1 : word);
}

static void declare(Fixture *f, const char *problem, const char *labels)
{
        char type[64], namespace[64], name[64], text[256];
        Outcome o;

        read_name(problem, type, namespace, name);
        (void) snprintf(text, sizeof(text), "{\"kind\":\"%s\",\"name\":\"%s\"%s%s%s%s}", type, name,
                        *namespace ? ",\"namespace\":\"" : "", namespace, *namespace ? "\"" : "",
                        labels);
        o = apply(f, text);
        if (*o.error)
                print_error("%s\n", o.message);
        assert_string_equal(o.error, "");
}

static void remove_it(Fixture *f, const char *problem)
{
        char type[64], namespace[64], name[64];
        Outcome o;

        read_name(problem, type, namespace, name);
        o = delete (f, type, namespace, name);
        if (*o.error)
                print_error("%s\n", o.message);
        assert_string_equal(o.error, "");
}

/* Does what the sentence says. False: that is nothing for a store that goes on. */
static bool follow(Fixture *f, const char *problem)
{
        if (strstr(problem, "delete it and declare it anew"))
                remove_it(f, problem);
        if (strstr(problem, "declare it anew"))
                declare(f, problem, "");
        else if (strstr(problem, "declare it with other labels"))
                declare(f, problem, ",\"labels\":{\"mended\":\"1\"}");
        else if (strstr(problem, "compact up to"))
                compact(f, store_revision(f->store));
        else if (strstr(problem, "set or remove a key of it"))
                kv(f, KV_SET, "s", "three", "3");
        else if (strstr(problem, ": remove it"))
                kv(f, KV_REMOVE, "s", strstr(problem, "one") ? "one" : "two", "");
        else {
                if (!strstr(problem, "it goes with its time") &&
                                !strstr(problem, "restore a copy") &&
                                !strstr(problem, "import into a new database"))
                        fail_msg("no remedy: %s", problem);
                return false;
        }
        return true;
}

static void heal(Fixture *f, const char *what)
{
        for (unsigned round = 0;; round++) {
                CLEANUP(told_done) Told t = verify(f);
                bool followed = false;

                STRV_FOREACH(problem, t.problems)
                print_message("%s, %u: %s\n", what, round, *problem);
                if (round == 4)
                        fail_msg("%s: what helps does not", what);
                STRV_FOREACH(problem, t.problems)
                followed |= follow(f, *problem);
                if (!followed)
                        return;
        }
}

static void check(Fixture *f, const char *what, bool lost)
{
        assert_true(fixture_open(f) >= 0);
        if (store_is_degraded(f->store)) {
                print_message("%s: %s\n", what, store_degraded_reason(f->store));
                assert_non_null(strstr(store_degraded_reason(f->store), "restart"));
        }
        if (store_is_closed(f->store))
                return;
        check_lists(f, lost);
        check_export(f, lost);
        if (!store_is_degraded(f->store))
                heal(f, what);
}

static void test_every_row(void **state)
{
        Fixture *f = *state;
        Db *db;

        fill(f);
        db = open_by_hand(f);
        read_rows(db);
        db_close(db);
        for (size_t i = 0; i < n_rows; i++)
                for (Way way = 0; way < _WAY_MAX; way++) {
                        char what[64];

                        (void) snprintf(what, sizeof(what), "%s %zu %s",
                                        db_family_name(rows[i].family), i, way_names[way]);
                        db = open_by_hand(f);
                        put_back(f, db);
                        spoil(db, &rows[i], way);
                        db_close(db);
                        check(f, what, way == LOST);
                }
        free_rows();
}

/* Between those that are names. */
static void test_keys_of_nothing(void **state)
{
        static const struct {
                DbFamily family;
                const char *key;
                size_t size;
        } keys[] = {
                { DB_OBJECTS, "", 1 },
                { DB_OBJECTS, "widget", 6 },
                { DB_OBJECTS, "widget\0default\0a b", 18 },
                { DB_OBJECTS, "widget\0default\0a\0x", 18 },
                { DB_OBJECTS, "\377", 1 },
                { DB_HISTORY, "widget\0default\0a\0x", 18 },
                { DB_HISTORY, "widget\0default\0a", 16 },
                { DB_CHANGES, "x", 1 },
                { DB_KV, "ds\0", 3 },
                { DB_KV, "d", 1 },
                { DB_KV, "s", 1 },
                { DB_KV, "s A", 3 },
                { DB_KV, "exxxxxxxx", 9 },
                { DB_IDS, "x", 1 },
                { DB_META, "x", 1 },
        };
        Fixture *f = *state;
        Db *db;

        fill(f);
        db = open_by_hand(f);
        read_rows(db);
        db_close(db);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                char what[64];

                (void) snprintf(what, sizeof(what), "key of nothing %zu", i);
                db = open_by_hand(f);
                put_back(f, db);
                put(db, keys[i].family, keys[i].key, keys[i].size, "x", 1);
                db_close(db);
                check(f, what, false);
                assert_false(store_is_degraded(f->store));
                /* Nobody is in its way, either. */
                assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}").error, "");
                assert_string_equal(delete (f, "widget", "prod", "b").error, "");
                assert_string_equal(delete (f, "namespace", "", "prod").error, "");
                kv_clear(f, "s");
                compact(f, store_revision(f->store));
        }
        free_rows();
}

/* From now on nothing can be read from the tables that are open. */
static void fail_reads(void)
{
        int nothing = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;

        assert_true(nothing >= 0 && d);
        while ((e = readdir(d))) {
                char path[256] = "";

                (void) !readlinkat(dirfd(d), e->d_name, path, sizeof(path) - 1);
                if (fnmatch("*.sst", path, 0) != 0)
                        continue;
                assert_true(dup3(nothing, atoi(e->d_name), O_CLOEXEC) >= 0);
                n++;
        }
        assert_true(n > 0);
        (void) closedir(d);
        (void) close(nothing);
}

/* That may pass: nobody is told to delete what stands. */
static void test_failing_disk(void **state)
{
        Fixture *f = *state;
        Outcome o;

        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}").error, "");
        fixture_close(f);
        assert_true(fixture_open(f) >= 0); /* from the log into a table */
        fail_reads();
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        assert_null(strstr(o.message, "delete"));
        assert_non_null(strstr(o.message, errno_words(-EIO)));
}

/* Opened hundreds of times: what is synced costs nothing there. */
static int setup(void **state)
{
        static Fixture fixture;
        char dir[] = "/dev/shm/tank-test-damage-XXXXXX";

        assert_non_null(mkdtemp(dir));
        fixture_init(&fixture, dir);
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_every_row),
                TEST(test_keys_of_nothing),
                TEST(test_failing_disk),
        };

        (void) signal(SIGPIPE, SIG_IGN); /* as tankd-store does */
        log_setup("test-store-damage");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
