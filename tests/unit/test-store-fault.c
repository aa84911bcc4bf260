/* SPDX-License-Identifier: Apache-2.0 */

/* What goes wrong around a database: a second opener, a log that was cut, a lost database, a newer
 * format, a full disk. Real files, and a real small file system. */

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
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "store-compact.h"
#include "store-fixture.h"
#include "store-history.h"
#include "store-kv.h"
#include "store-meta.h"
#include "store-retention.h"

static Fixture fixture;
static bool own_mounts;

static int setup(void **state)
{
        fixture_init(&fixture, NULL);
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

static int teardown(void **state)
{
        fixture_done(&fixture);
        return 0;
}

static void path_in(const Fixture *f, const char *name, char ret[static 256])
{
        (void) snprintf(ret, 256, "%s/%s", f->data, name);
}

static void test_second_opener(void **state)
{
        Fixture *f = *state;
        const StoreOptions o = { .dir = f->data, .log_dir = f->logs };
        Store *second = NULL;

        assert_int_equal(store_open(f->event, &o, &second), -EBUSY);
        assert_null(second);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}").error, "");
}

/* Cuts the newest write-ahead log cleanly, as if later writes had never been. */
static void cut_log(const Fixture *f, off_t size)
{
        char dir[256], newest[64] = "", path[512];
        struct dirent *e;
        DIR *d;

        path_in(f, "db", dir);
        d = opendir(dir);
        assert_non_null(d);
        while ((e = readdir(d)))
                if (fnmatch("*.log", e->d_name, 0) == 0 && strcmp(e->d_name, newest) > 0)
                        (void) snprintf(newest, sizeof(newest), "%.60s", e->d_name);
        (void) closedir(d);
        assert_string_not_equal(newest, "");
        (void) snprintf(path, sizeof(path), "%s/%s", dir, newest);
        assert_int_equal(truncate(path, size), 0);
}

static void test_cut_log_is_told(void **state)
{
        Fixture *f = *state;
        char path[256], error[128];
        Outcome o;

        (void) apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}");
        fixture_close(f); /* a new log begins, with all of the above in a table */
        assert_true(fixture_open(f) >= 0);
        (void) apply(f, "{\"kind\":\"widget\",\"name\":\"b\"}");
        fixture_close(f);
        cut_log(f, 0);

        assert_true(fixture_open(f) >= 0);
        assert_true(store_is_degraded(f->store));
        assert_non_null(strstr(store_degraded_reason(f->store), "acknowledged"));
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"c\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "a", error);
                assert_non_null(doc);
        }
        fixture_close(f);
        assert_true(fixture_open(f) >= 0); /* looking does not make it go away */
        assert_true(store_is_degraded(f->store));
        fixture_close(f);

        path_in(f, "witness", path);
        assert_int_equal(unlink(path), 0);
        assert_true(fixture_open(f) >= 0);
        assert_false(store_is_degraded(f->store));
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"c\"}").error, "");
}

static void test_damaged_witness(void **state)
{
        Fixture *f = *state;
        char path[256];

        fixture_close(f);
        path_in(f, "witness", path);
        assert_int_equal(truncate(path, 40), 0);
        assert_true(fixture_open(f) >= 0);
        assert_false(store_is_degraded(f->store));
}

/* As left by a store that died while it wrote one. */
static void test_unfinished_witness(void **state)
{
        CLEANUP_CLOSE int fd = -EBADF;
        Fixture *f = *state;
        char path[256];

        fixture_close(f);
        path_in(f, ".#witness.01234567", path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(access(path, F_OK), -1);
        path_in(f, "witness", path);
        assert_int_equal(access(path, F_OK), 0);
}

/* It opens, but has no database: all that it does is to say what to do. */
static void check_closed(Fixture *f, const char *remedy)
{
        assert_true(fixture_open(f) >= 0);
        assert_true(store_is_closed(f->store));
        assert_true(store_is_degraded(f->store));
        assert_non_null(strstr(store_degraded_reason(f->store), remedy));
        assert_string_equal(store_database_id(f->store), "");
        assert_int_equal(store_revision(f->store), 0);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"x\"}").error,
                        TANK_ERROR_DEGRADED);
        fixture_close(f);
}

static void test_lost_database(void **state)
{
        Fixture *f = *state;
        char path[256];

        fixture_close(f);
        path_in(f, "db", path);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
        check_closed(f, "to begin anew");
        path_in(f, "witness", path);
        assert_int_equal(unlink(path), 0);
        assert_true(fixture_open(f) >= 0);
        assert_true(store_revision(f->store) == 1);
}

static void test_newer_format(void **state)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        Fixture *f = *state;
        Db *db = NULL;
        char path[256];

        fixture_close(f);
        path_in(f, "db", path);
        assert_int_equal(db_open(path, f->logs, DB_OPEN, &db), 0);
        assert_int_equal(db_batch_new(&b), 0);
        meta_put_u64(b, db, META_FORMAT, STORE_FORMAT + 1);
        assert_int_equal(db_write(db, b), 0);
        db_close(db);
        check_closed(f, "install the newer tank");
}

typedef struct Unreadable {
        Listed *listed;
        unsigned seen;
} Unreadable;

static int note_unreadable(const char *text, void *userdata)
{
        CLEANUP_JSON json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        unsigned *seen = &((Unreadable *) userdata)->seen;

        assert_string_equal(json_get_string(doc, "kind"), "widget");
        assert_string_equal(json_get_string(doc, "namespace"), "default");
        *seen += json_get_bool(json_object_get(doc, "meta"), "unreadable", false) ? 100 : 1;
        return 0;
}

/* As a broken program would leave them: the last have a header and checksums that are right. */
static const struct {
        const char *record, *document;
} unreadable[] = {
        { "\1junk", NULL },
        { "", NULL },
        { "\2{}\n{}", NULL },
        { NULL, "{\"kind\":\"widget\",\"name\":}" },
        { NULL, "{\"kind\":\"widget\",\"kind\":\"widget\",\"name\":\"bad\"}" },
        { NULL, "{\"kind\":\"widget\",\"x\":\"\377\"}" },
        { NULL, "{\"a\":\"\n\"}" },
        { NULL, "{\"kind\":\"widget\",\"meta\":{},\"name\":\"bad\"}" },
        { NULL, "{}{}" },
        { NULL, "{\"x\":99999999999999999999}" },
};

static void put_unreadable(Db *db, DbBatch *b, size_t at)
{
        CLEANUP_FREE char *row = NULL;
        StoreRecord r = {
                .uid = "0123456789abcdef0123456789abcdef",
                .generation = 1,
                .revision = 2,
                .operation = OPERATION_CREATED,
                .document = unreadable[at].document,
                .document_size = strlen(strempty(unreadable[at].document)),
        };
        ObjectKey key;
        StoreKey k;
        size_t size;

        assert_int_equal(object_key_init(&key, "widget", "default", "bad"), 0);
        k = object_key_encode(&key);
        if (!unreadable[at].record)
                assert_int_equal(store_record_encode(&r, &row, &size), 0);
        else {
                row = strdup(unreadable[at].record);
                size = strlen(unreadable[at].record);
        }
        db_batch_put(b, db, DB_OBJECTS, DB_KEY(&k), row, size);
}

/* By another hand, while nobody has it open. */
static void leave_unreadable(Fixture *f, size_t at)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        Db *db = NULL;
        char path[256];

        fixture_close(f);
        path_in(f, "db", path);
        assert_int_equal(db_open(path, f->logs, DB_OPEN, &db), 0);
        assert_int_equal(db_batch_new(&b), 0);
        put_unreadable(db, b, at);
        assert_int_equal(db_write(db, b), 0);
        db_close(db);
        assert_true(fixture_open(f) >= 0);
}

/* One record that cannot be read spoils neither the list nor its own removal. */
static void test_unreadable_record(void **state)
{
        static const StoreQuery queries[] = {
                { .type = "widget", .namespace = "" },
                { .type = "", .namespace = "default", .sort = "-created" },
                { .type = "widget", .namespace = "default", .labels = "a=b" },
                { .type = "widget", .namespace = "", .fields = "name=c", .sort = "revision" },
        };
        Fixture *f = *state;
        char error[128];
        Outcome o;

        (void) apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}");
        for (size_t n = 0; n < ARRAY_SIZE(unreadable); n++) {
                leave_unreadable(f, n);
                assert_null(get(f, "widget", "default", "bad", error));
                assert_string_equal(error, TANK_ERROR_INTERNAL);
                /* Whoever selects must not take it for absent, either. */
                for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
                        Unreadable u = {};
                        Listed l = query(f, &queries[i], note_unreadable, &u);

                        assert_string_equal(l.error, "");
                        assert_int_equal(u.seen, i < 2 ? 101 : 100);
                        l = query(f, &queries[i], NULL, &u);
                        assert_int_equal(l.count, i < 2 ? 2 : 1);
                }
                o = apply(f, "{\"kind\":\"widget\",\"name\":\"bad\"}");
                assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
                o = delete (f, "widget", "default", "bad");
                assert_string_equal(o.error, "");
                assert_string_equal(o.answer.changed, "deleted");
                o = apply(f, "{\"kind\":\"widget\",\"name\":\"bad\"}");
                assert_string_equal(o.error, "");
        }
}

/* ---- a full disk ---- */

static void run_loop(Fixture *f)
{
        for (int i = 0; i < 10; i++)
                assert_true(sd_event_run(f->event, 0) >= 0);
}

static Outcome apply_big(Fixture *f, unsigned i, size_t size)
{
        CLEANUP_FREE char *text = malloc(size + 128);
        unsigned seed = i;
        int n;

        assert_non_null(text);
        n = snprintf(text, 128, "{\"kind\":\"widget\",\"name\":\"big%u\",\"x\":\"", i);
        for (size_t k = 0; k < size; k++)
                text[n + (int) k] = (char) ('a' + rand_r(&seed) % 26);
        memcpy(text + n + size, "\"}", 3);
        return apply(f, text);
}

static void make_filler(const char *path)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        /* Of 96 MiB leaves less than twice the ballast, whatever the database gives up. */
        assert_int_equal(fallocate(fd, 0, 0, 76 * 1024 * 1024), 0);
        (void) safe_close(fd);
}

/* Writes from @first on until the disk is full; the number that was refused. */
static unsigned fill(Fixture *f, unsigned first)
{
        for (unsigned i = first; i < first + 1000; i++) {
                Outcome o = apply_big(f, i, 200000);

                if (isempty(o.error))
                        continue;
                assert_string_equal(o.error, TANK_ERROR_DEGRADED);
                run_loop(f);
                assert_true(store_is_degraded(f->store));
                return i;
        }
        fail_msg("the disk never became full");
        return 0;
}

static void test_full_disk(void **state)
{
        char dir[] = "/tmp/tank-test-full-XXXXXX", path[128], error[128], name[32];
        unsigned first, second;
        Fixture f;
        Outcome o;

        if (!own_mounts)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=96m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        (void) snprintf(path, sizeof(path), "%s/filler", dir);
        make_filler(path);
        first = fill(&f, 0);
        assert_true(first > 0);

        /* Reads and deletes go on; what grows is refused, until there is room. */
        assert_string_equal(delete (&f, "widget", "default", "big0").error, "");
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        assert_non_null(strstr(o.message, "make room"));
        assert_int_equal(unlink(path), 0);
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, "");
        assert_false(store_is_degraded(f.store));

        /* Full again, and a start on the full disk: every acknowledged write is there. */
        second = fill(&f, first + 1);
        fixture_close(&f);
        assert_true(fixture_open(&f) >= 0);
        assert_null(get(&f, "widget", "default", "big0", error));
        for (unsigned i = 1; i < second; i++) {
                (void) snprintf(name, sizeof(name), "big%u", i);
                json_t *doc = get(&f, "widget", "default", name, error);
                assert_true(doc || i == first);
                json_decref(doc);
        }
        o = delete (&f, "widget", "default", "big1");
        assert_string_equal(o.error, "");
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

/* ---- giving up on a full disk ---- */

static void told(const sd_bus_error *error, void *userdata)
{
        assert_null(error);
        *(bool *) userdata = true;
}

static void compacted(uint64_t revision, const sd_bus_error *error, void *userdata)
{
        told(error, userdata);
}

static int count_version(const StoreVersion *v, void *userdata)
{
        (*(unsigned *) userdata)++;
        return 0;
}

static void wait_told(Fixture *f, const bool *done)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;

        while (!*done) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
}

/* What makes room is taken like a delete. */
static void test_compact_on_full_disk(void **state)
{
        char dir[] = "/tmp/tank-test-full-XXXXXX", path[128], text[128];
        sd_bus_error e = SD_BUS_ERROR_NULL;
        const Retention rule = { 1, 0 };
        bool set = false, done = false;
        CLEANUP_FREE char *next = NULL;
        unsigned n = 0;
        Fixture f;

        if (!own_mounts)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=96m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        for (unsigned i = 0; i < 20; i++) {
                (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"v\",\"x\":%u}",
                                i);
                assert_string_equal(apply(&f, text).error, "");
        }
        (void) snprintf(path, sizeof(path), "%s/filler", dir);
        make_filler(path);
        (void) fill(&f, 0);

        assert_true(store_set_retention(f.store, "", &rule, told, &set, &e) >= 0);
        wait_told(&f, &set);
        assert_true(store_compact(f.store, store_revision(f.store), compacted, &done, &e) >= 0);
        wait_told(&f, &done);
        assert_true(store_is_degraded(f.store));
        assert_int_equal(store_compacted_revision(f.store), store_revision(f.store));
        assert_true(store_history(f.store, "widget", "default", "v", 0, NULL, count_version, &n,
                                    &next, &e) >= 0);
        assert_int_equal(n, 1);
        assert_int_equal(unlink(path), 0);
        assert_string_equal(apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}").error, "");
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

/* ---- keys on a full disk ---- */

static void kv_answered(const KvOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        const char *name = error             ? error->name
                           : outcome->n == 0 ? NULL
                                             : outcome->results[0].error.name;

        (void) snprintf(userdata, 128, "%s", strempty(name));
}

/* The error's name, "" for none, in @ret_error. */
static void kv_do(Fixture *f, KvVerb verb, const char *key, const char *value, size_t size,
                char ret_error[static 128])
{
        const KvOperation o = {
                .verb = verb,
                .key = { key, strlen(key) },
                .value = { value, size },
        };
        const KvCall call = { .wait = true, .answered = kv_answered, .userdata = ret_error };
        sd_bus_error e = SD_BUS_ERROR_NULL;

        if (store_kv_write(f->store, "s", &o, 1, &call, &e) < 0)
                (void) snprintf(ret_error, 128, "%s", e.name);
        sd_bus_error_free(&e);
        store_flush(f->store);
        run_loop(f);
}

static int kv_count(KvBytes key, const KvRecord *record, void *userdata)
{
        KvTotals *t = userdata;

        t->keys++;
        t->bytes += key.size + record->value.size;
        return 0;
}

static int kv_compare(const char *store, const KvTotals *totals, void *userdata)
{
        const KvTotals *counted = userdata;

        assert_string_equal(store, "s");
        assert_true(totals->keys == counted->keys && totals->bytes == counted->bytes);
        return 0;
}

static void assert_totals(Fixture *f)
{
        const KvListOptions all = { .values = true, .token = "" };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        KvTotals counted = {};
        uint64_t revision;
        char *next;

        /* The values are large: one on each page. */
        for (KvListOptions o = all;; o.token = next) {
                assert_true(store_kv_list(f->store, "s", &o, kv_count, &counted, &next, &revision,
                                            &e) >= 0);
                if (o.token != all.token)
                        free((char *) o.token);
                if (!next)
                        break;
        }
        assert_true(store_kv_stores(f->store, kv_compare, &counted, &e) >= 0);
}

/* What was accepted and could not be written is seen by nobody, and counted nowhere. */
static void test_full_disk_of_keys(void **state)
{
        char dir[] = "/tmp/tank-test-full-XXXXXX", path[128], error[128] = "", key[2] = "a";
        CLEANUP_FREE char *value = malloc(1024 * 1024);
        unsigned seed = 1;
        Fixture f;

        if (!own_mounts)
                skip();
        assert_non_null(value);
        for (size_t i = 0; i < 1024 * 1024; i++)
                value[i] = (char) rand_r(&seed);
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=96m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        (void) snprintf(path, sizeof(path), "%s/filler", dir);
        make_filler(path);
        for (unsigned i = 0; isempty(error); i++) {
                assert_true(i < 1000);
                key[0] = (char) ('a' + i % 8);
                value[0]++; /* another one each time */
                kv_do(&f, KV_SET, key, value, 1024 * 1024 - 8, error);
        }
        assert_string_equal(error, TANK_ERROR_DEGRADED);
        assert_true(store_is_degraded(f.store));
        assert_totals(&f);

        /* Reading and removing go on; what grows is refused, until there is room. */
        kv_do(&f, KV_REMOVE, "a", NULL, 0, error);
        assert_string_equal(error, "");
        kv_do(&f, KV_SET, "a", "1", 1, error);
        assert_string_equal(error, TANK_ERROR_DEGRADED);
        assert_totals(&f);
        assert_int_equal(unlink(path), 0);
        kv_do(&f, KV_SET, "a", "1", 1, error);
        assert_string_equal(error, "");
        assert_totals(&f);
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

static uint64_t free_bytes(const char *dir)
{
        struct statvfs s;

        assert_int_equal(statvfs(dir, &s), 0);
        return (uint64_t) s.f_bavail * s.f_frsize;
}

/* What is free on the disk of @dir but for @left bytes is given to the file @path. */
static void stuff(const char *dir, const char *path, uint64_t left)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(fallocate(fd, 0, 0, (off_t) (free_bytes(dir) - left)), 0);
        (void) safe_close(fd);
}

static void assert_witness(Fixture *f)
{
        CLEANUP_FREE char *text = NULL;
        char path[128], expected[96];

        (void) snprintf(path, sizeof(path), "%s/witness", f->data);
        (void) snprintf(expected, sizeof(expected), "tank-witness 1 %s %020" PRIu64 " ",
                        store_database_id(f->store), store_revision(f->store));
        assert_true(read_file_at(AT_FDCWD, path, 4096, &text, NULL) >= 0);
        assert_memory_equal(text, expected, strlen(expected));
}

/* What the ballast left is taken by others, and then the store starts: it can be read, and is
 * written to again once there is room, a little or enough. */
static void test_crammed_disk(void **state)
{
        char dir[] = "/tmp/tank-test-cram-XXXXXX", path[128], error[128];
        json_t *doc;
        Fixture f;
        Outcome o;

        if (!own_mounts)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=160m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        for (unsigned i = 0; i < 3; i++)
                assert_string_equal(apply_big(&f, i, 200000).error, "");
        fixture_close(&f);
        (void) snprintf(path, sizeof(path), "%s/ballast", f.data);
        assert_int_equal(unlink(path), 0);
        (void) snprintf(path, sizeof(path), "%s/filler", dir);
        stuff(dir, path, 0);

        assert_true(fixture_open(&f) >= 0);
        assert_true(store_is_degraded(f.store));
        assert_non_null(strstr(store_degraded_reason(f.store), "make room"));
        doc = get(&f, "widget", "default", "big2", error);
        assert_non_null(doc);
        json_decref(doc);
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        o = delete (&f, "widget", "default", "big0");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        assert_non_null(strstr(o.message, "make room"));

        stuff(dir, path, UINT64_C(30) << 20); /* the ballast is 20 MiB here */
        o = delete (&f, "widget", "default", "big0");
        assert_string_equal(o.error, "");
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        assert_non_null(strstr(o.message, dir));

        assert_int_equal(unlink(path), 0);
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, "");
        assert_false(store_is_degraded(f.store));
        assert_null(get(&f, "widget", "default", "big0", error));
        /* The witness went on: a database that ends before it would be noticed. */
        assert_witness(&f);
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

/* ---- a database that is exchanged by a write ---- */

/* Opened on a file system that is read-only; then that can be written to again, and the database
 * goes on without the handle that is open: as when a batch reaches the log and is told as failed
 * all the same. */
static void fall_behind(Fixture *f, char dir[])
{
        char error[128];
        Fixture other;

        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=96m"), 0);
        fixture_init(f, dir);
        assert_true(fixture_open(f) >= 0);
        kv_do(f, KV_SET, "a", "1", 1, error);
        assert_string_equal(error, "");
        fixture_close(f);
        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
        assert_true(fixture_open(f) >= 0);
        assert_true(store_is_degraded(f->store));
        kv_do(f, KV_SET, "b", "2", 1, error); /* what there is is known */
        assert_string_equal(error, TANK_ERROR_DEGRADED);

        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
        fixture_init(&other, dir);
        assert_true(fixture_open(&other) >= 0);
        assert_string_equal(apply(&other, "{\"kind\":\"widget\",\"name\":\"x\"}").error, "");
        kv_do(&other, KV_SET, "b", "22", 2, error);
        assert_string_equal(error, "");
        fixture_close(&other);
        sd_event_unref(other.event);
        assert_true(store_is_degraded(f->store));
}

static void leave_behind(Fixture *f, const char *dir)
{
        fixture_close(f);
        assert_false(fixture_verify_finds(f));
        sd_event_unref(f->event);
        (void) remove_tree_at(AT_FDCWD, f->logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

/* The first write afterwards builds upon what is there, not upon what the old handle showed. */
static void test_exchanged_by_a_write(void **state)
{
        char dir[] = "/tmp/tank-test-full-XXXXXX";
        uint64_t before;
        Fixture f;
        Outcome o;

        if (!own_mounts)
                skip();
        fall_behind(&f, dir);
        before = store_revision(f.store);
        begin_create(&f, &o, "{\"kind\":\"widget\",\"name\":\"x\"}");
        store_flush(f.store);
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        assert_int_equal(o.stands, before + 1);
        assert_false(store_is_degraded(f.store));
        assert_int_equal(store_revision(f.store), before + 2);
        leave_behind(&f, dir);
}

static void test_exchanged_by_a_write_of_keys(void **state)
{
        char dir[] = "/tmp/tank-test-full-XXXXXX", error[128];
        uint64_t before;
        Fixture f;

        if (!own_mounts)
                skip();
        fall_behind(&f, dir);
        before = store_revision(f.store);
        kv_do(&f, KV_SET, "c", "333", 3, error);
        assert_string_equal(error, "");
        assert_int_equal(store_revision(f.store), before + 3);
        assert_totals(&f);
        leave_behind(&f, dir);
}

/* Its file system is read-only, and when it is not any more its disk is full: what was set aside
 * for deleting is given up then, too. */
static void test_full_behind_read_only(void **state)
{
        char dir[] = "/tmp/tank-test-ro-full-XXXXXX", path[128];
        Fixture f;
        Outcome o;

        if (!own_mounts)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=160m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        for (unsigned i = 0; i < 3; i++)
                assert_string_equal(apply_big(&f, i, 200000).error, "");
        fixture_close(&f);
        (void) snprintf(path, sizeof(path), "%s/filler", dir);
        stuff(dir, path, 0);
        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);

        assert_true(fixture_open(&f) >= 0);
        assert_non_null(strstr(store_degraded_reason(f.store), "is read-only"));
        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        assert_non_null(strstr(o.message, "deleting objects works"));
        o = delete (&f, "widget", "default", "big0");
        assert_string_equal(o.error, "");

        assert_int_equal(unlink(path), 0);
        o = apply(&f, "{\"kind\":\"widget\",\"name\":\"small\"}");
        assert_string_equal(o.error, "");
        assert_false(store_is_degraded(f.store));
        assert_witness(&f);
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

/* What a read-only file system keeps from being written is one thing, what is missing another. */
static void test_missing_on_read_only(void **state)
{
        char dir[] = "/tmp/tank-test-ro-cut-XXXXXX", command[256], error[128];
        const char *reason;
        Fixture f;

        if (!own_mounts)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=160m"), 0);
        fixture_init(&f, dir);
        assert_true(fixture_open(&f) >= 0);
        fixture_close(&f);
        assert_true(fixture_open(&f) >= 0);
        assert_string_equal(apply(&f, "{\"kind\":\"widget\",\"name\":\"a\"}").error, "");
        fixture_close(&f);
        (void) snprintf(command, sizeof(command), "truncate -s 0 %s/db/*.log", f.data);
        assert_int_equal(system(command), 0);
        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);

        assert_true(fixture_open(&f) >= 0);
        reason = store_degraded_reason(f.store);
        assert_non_null(strstr(reason, "as of revision 1, and writes up to 2 were acknowledged"));
        assert_non_null(strstr(reason, "is read-only"));
        assert_null(get(&f, "widget", "default", "a", error));
        assert_string_equal(error, TANK_ERROR_DEGRADED);
        /* The same when it is looked at anew. */
        assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
        assert_string_equal(apply(&f, "{\"kind\":\"widget\",\"name\":\"b\"}").error,
                        TANK_ERROR_DEGRADED);
        reason = store_degraded_reason(f.store);
        assert_non_null(strstr(reason, "writes up to 2 were acknowledged"));
        assert_null(strstr(reason, "is read-only"));
        fixture_close(&f);
        sd_event_unref(f.event);
        (void) remove_tree_at(AT_FDCWD, f.logs);
        assert_int_equal(umount(dir), 0);
        (void) rmdir(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_second_opener),
                TEST(test_cut_log_is_told),
                TEST(test_damaged_witness),
                TEST(test_unfinished_witness),
                TEST(test_lost_database),
                TEST(test_newer_format),
                TEST(test_unreadable_record),
                cmocka_unit_test(test_full_disk),
                cmocka_unit_test(test_compact_on_full_disk),
                cmocka_unit_test(test_full_disk_of_keys),
                cmocka_unit_test(test_crammed_disk),
                cmocka_unit_test(test_full_behind_read_only),
                cmocka_unit_test(test_missing_on_read_only),
                cmocka_unit_test(test_exchanged_by_a_write),
                cmocka_unit_test(test_exchanged_by_a_write_of_keys),
        };

        log_setup("test-store-fault");
        /* A small file system is mounted: where nobody else sees it, and before there are
         * threads. */
        own_mounts = unshare(CLONE_NEWNS) >= 0 &&
                     mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0;
        if (!own_mounts)
                print_message("# test_full_disk is skipped: it needs root to mount\n");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
