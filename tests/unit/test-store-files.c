/* SPDX-License-Identifier: Apache-2.0 */

/* The files of a database, each of them in turn: removed, cut to half, a byte changed in the middle
 * and one near the end. The store opens in any case, or says what is missing; whatever it then
 * tells is right; and where something that was acknowledged is not told, it says that it is
 * degraded, and takes no writes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "store-fixture.h"
#include "store-kv.h"
#include "store-verify.h"
#include "strv.h"

#define N_WIDGETS 40U
#define FILES_MAX 64
#define DEADLINE  (60 * USEC_PER_SEC)

typedef enum Way { REMOVED, CUT, FLIPPED, FLIPPED_LATE, _WAY_MAX } Way;

static const char *const way_names[] = { "removed", "cut", "flipped", "flipped late" };

static char files[FILES_MAX][256]; /* of the data directory, without its path */
static size_t n_files, prefix_size;
static uint64_t last_revision;

/* ---- files ---- */

static int note_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        if (type != FTW_F)
                return 0;
        assert_true(n_files < FILES_MAX);
        (void) snprintf(files[n_files++], sizeof(files[0]), "%s", path + prefix_size);
        return 0;
}

static void copy_tree(const char *from, const char *to)
{
        char command[512];

        (void) remove_tree_at(AT_FDCWD, to);
        (void) snprintf(command, sizeof(command), "exec cp -a --sparse=always '%s' '%s'", from, to);
        assert_int_equal(system(command), 0);
}

static void spoil(const char *path, Way way)
{
        CLEANUP_CLOSE int fd = -EBADF;
        unsigned char byte;
        struct stat st;
        off_t at;

        if (way == REMOVED) {
                assert_int_equal(unlink(path), 0);
                return;
        }
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0 && fstat(fd, &st) >= 0);
        if (way == CUT) {
                assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
                return;
        }
        if (st.st_size == 0)
                return;
        at = way == FLIPPED ? st.st_size / 2 : st.st_size * 7 / 8;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* ---- contents ---- */

static void on_kv(const KvOutcome *outcome, const sd_bus_error *e, void *userdata)
{
        assert_null(e);
        assert_false(sd_bus_error_is_set(&outcome->results[0].error));
        *(bool *) userdata = true;
}

static void set_key(Fixture *f, unsigned i)
{
        bool answered = false;
        const KvCall call = { .wait = true, .answered = on_kv, .userdata = &answered };
        char key[32];
        KvOperation o = { .verb = KV_SET, .value = { "value", 5 } };

        o.key.data = key;
        o.key.size = (size_t) snprintf(key, sizeof(key), "key-%u", i);
        assert_true(store_kv_write(f->store, "s", &o, 1, &call, NULL) >= 0);
        store_flush(f->store);
        assert_true(answered);
}

/* Several tables, and a log that holds the last part. */
static void fill(Fixture *f)
{
        char text[256];

        for (unsigned i = 0; i < N_WIDGETS; i++) {
                if (i % (N_WIDGETS / 2) == 0) {
                        fixture_close(f);
                        assert_true(fixture_open(f) >= 0);
                }
                (void) snprintf(text, sizeof(text),
                                "{\"kind\":\"widget\",\"name\":\"w-%u\",\"x\":%u}", i, i);
                assert_string_equal(apply(f, text).error, "");
                set_key(f, i);
        }
}

typedef struct Seen {
        Listed *listed;
        unsigned n, n_unreadable;
} Seen;

static int see(const char *text, void *userdata)
{
        CLEANUP_JSON json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        Seen *seen = userdata;
        char name[32];

        assert_true(json_is_object(doc));
        if (json_get_bool(json_object_get(doc, "meta"), "unreadable", false)) {
                seen->n_unreadable++;
                return 0;
        }
        (void) snprintf(name, sizeof(name), "w-%" PRIi64, json_get_int(doc, "x", -1));
        assert_string_equal(json_get_string(doc, "name"), name);
        seen->n++;
        return 0;
}

static int see_key(KvBytes key, const KvRecord *record, void *userdata)
{
        if (record) {
                assert_int_equal(record->value.size, 5);
                assert_memory_equal(record->value.data, "value", 5);
                (*(unsigned *) userdata)++;
        }
        return 0;
}

static void on_verified(const Verifier *v, const sd_bus_error *e, void *userdata)
{
        *(size_t *) userdata = e ? 1 : strv_length(verifier_problems(v));
}

static bool verifies(Fixture *f)
{
        uint64_t deadline = now_boottime_usec() + DEADLINE;
        size_t n = SIZE_MAX;

        assert_true(store_verify(f->store, on_verified, &n, NULL) >= 0);
        while (n == SIZE_MAX) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
        return n == 0;
}

/* Whether all of it is there. What is told is right. */
static bool all_is_there(Fixture *f)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *next = NULL;
        uint64_t revision;
        unsigned n_keys = 0;
        Seen seen = {};
        Listed l;
        int r;

        l = query(f, &(const StoreQuery){ .type = "widget", .namespace = "" }, see, &seen);
        r = store_kv_list(f->store, "s", &(const KvListOptions){ .token = "", .values = true },
                        see_key, &n_keys, &next, &revision, &e);
        /* What is refused, is refused with something to do; else it is all that there was. */
        if (*l.error)
                assert_non_null(strstr(l.message, "restore a copy"));
        else if (store_revision(f->store) == last_revision)
                assert_int_equal(seen.n + seen.n_unreadable, N_WIDGETS);
        if (r < 0)
                assert_non_null(strstr(e.message, "restore a copy"));
        else if (store_revision(f->store) == last_revision)
                assert_int_equal(n_keys, N_WIDGETS);
        return !*l.error && r >= 0 && seen.n == N_WIDGETS && n_keys == N_WIDGETS && verifies(f);
}

static void check(Fixture *f, const char *what)
{
        bool complete, degraded;
        Outcome o;

        assert_true(fixture_open(f) >= 0);
        complete = !store_is_closed(f->store) && all_is_there(f);
        degraded = store_is_degraded(f->store);
        print_message("%s: %s%s%s%s\n", what, complete ? "all is there" : "not all is there",
                        store_is_closed(f->store) ? ", closed" : "", degraded ? ": " : "",
                        degraded ? store_degraded_reason(f->store) : "");
        if (!complete && !degraded)
                fail_msg("%s: something is missing, and nobody is told", what);
        if (degraded)
                assert_non_null(strstr(store_degraded_reason(f->store), "restart tankd-store"));
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"w-0\",\"x\":0,\"y\":1}");
        assert_string_equal(o.error, degraded ? TANK_ERROR_DEGRADED : "");
        fixture_close(f);
}

static void test_each_file(void **state)
{
        Fixture *f = *state;
        char good[128];

        fill(f);
        last_revision = store_revision(f->store);
        fixture_close(f);
        (void) snprintf(good, sizeof(good), "%s/good", f->dir);
        copy_tree(f->data, good);
        prefix_size = strlen(f->data);
        assert_int_equal(nftw(f->data, note_file, 8, FTW_PHYS), 0);
        assert_true(n_files >= 8);
        for (size_t i = 0; i < n_files; i++)
                for (Way way = 0; way < _WAY_MAX; way++) {
                        char path[512], what[320];

                        (void) snprintf(path, sizeof(path), "%s%s", f->data, files[i]);
                        (void) snprintf(what, sizeof(what), "%s %s", files[i], way_names[way]);
                        copy_tree(good, f->data);
                        spoil(path, way);
                        check(f, what);
                }
}

/* ---- a long log ---- */

#define N_LONG 60U /* of 4 KiB each: several of the 32 KiB that a log is made of */

/* Each is synced alone, in its order. Nothing of it is in tables. */
static void fill_log(Fixture *f)
{
        char text[4200], name[32], padding[4001];

        memset(padding, 'x', sizeof(padding) - 1);
        padding[sizeof(padding) - 1] = '\0';
        for (unsigned i = 0; i < N_LONG; i++) {
                (void) snprintf(name, sizeof(name), "l-%u", i);
                (void) snprintf(text, sizeof(text),
                                "{\"kind\":\"widget\",\"name\":\"%s\",\"padding\":\"%s\"}", name,
                                padding);
                assert_string_equal(apply(f, text).error, "");
        }
}

static void flip_at(const char *path, off_t at)
{
        CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
        unsigned char byte;

        assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Which objects are there: the first ret of them, and no other, if it is what once stood. */
static unsigned count_long(Fixture *f, bool *ret_prefix)
{
        unsigned n = 0;

        *ret_prefix = true;
        for (unsigned i = 0; i < N_LONG; i++) {
                char name[32], error[128];
                json_t *doc;

                (void) snprintf(name, sizeof(name), "l-%u", i);
                doc = get(f, "widget", "default", name, error);
                if (doc && n++ != i)
                        *ret_prefix = false;
                if (!doc) /* nobody may take it for deleted */
                        assert_string_equal(error, TANK_ERROR_DEGRADED);
                json_decref(doc);
        }
        return n;
}

/* What follows a damaged part of the log is left out with it: what is served is what stood once. */
static void test_long_log(void **state)
{
        char good[128], pattern[128], expected[96];
        glob_t logs = {}, tables = {};
        Fixture *f = *state;
        const char *reason;
        unsigned n, n_named = 0;
        bool prefix;
        Outcome o;

        fixture_close(f); /* what a new database begins with becomes a table */
        assert_true(fixture_open(f) >= 0);
        fill_log(f);
        last_revision = store_revision(f->store);
        (void) snprintf(good, sizeof(good), "%s/good", f->dir);
        copy_tree(f->data, good); /* as it is when the process is killed */
        fixture_close(f);

        copy_tree(good, f->data);
        (void) snprintf(pattern, sizeof(pattern), "%s/db/*.log", f->data);
        assert_int_equal(glob(pattern, 0, NULL, &logs), 0);
        (void) snprintf(pattern, sizeof(pattern), "%s/db/*.sst", f->data);
        assert_int_equal(glob(pattern, 0, NULL, &tables), 0);
        assert_int_equal(logs.gl_pathc, 1);
        flip_at(logs.gl_pathv[0], 20000);
        assert_true(fixture_open(f) >= 0);
        assert_true(store_is_degraded(f->store));
        (void) snprintf(expected, sizeof(expected),
                        "and writes up to %" PRIu64 " were acknowledged", last_revision);
        assert_non_null(strstr(store_degraded_reason(f->store), expected));
        n = count_long(f, &prefix);
        assert_true(prefix && n > 0 && n < 10);
        assert_int_equal(store_revision(f->store), n + 1);
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"more\"}");
        assert_string_equal(o.error, TANK_ERROR_DEGRADED);
        fixture_close(f);

        (void) snprintf(expected, sizeof(expected),
                        ": what revision %u wrote is missing, and more may be", n + 2);
        /* With a table gone, too, what stands behind the damage is served, and the gap is named. */
        for (size_t i = 0; i < tables.gl_pathc; i++) {
                copy_tree(good, f->data);
                flip_at(logs.gl_pathv[0], 20000);
                assert_int_equal(unlink(tables.gl_pathv[i]), 0);
                assert_true(fixture_open(f) >= 0);
                assert_true(store_is_degraded(f->store));
                reason = store_degraded_reason(f->store);
                if (!store_is_closed(f->store)) {
                        (void) count_long(f, &prefix);
                        if (strstr(reason, expected))
                                n_named++;
                        else
                                assert_non_null(strstr(reason, "may be missing"));
                }
                fixture_close(f);
        }
        assert_true(n_named > 0);
        globfree(&logs);
        globfree(&tables);
}

/* ---- no more files ---- */

/* Wherever it is that no further file can be opened: that passes, and is no damage. */
static void test_too_many_files(void **state)
{
        struct rlimit before, limit;
        unsigned n_failed = 0;
        Fixture *f = *state;
        int first;

        fill(f);
        fixture_close(f);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        first = dup(STDERR_FILENO); /* the lowest that is free */
        assert_true(first >= 0);
        (void) close(first);
        for (unsigned n = 1; n <= 40; n++) {
                int r;

                limit = (struct rlimit){ (rlim_t) first + n, before.rlim_max };
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
                r = fixture_open(f);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
                if (r < 0) {
                        n_failed++;
                        continue;
                }
                if (store_is_degraded(f->store))
                        fail_msg("%u more files: %s", n, store_degraded_reason(f->store));
                fixture_close(f);
        }
        assert_true(n_failed > 4 && n_failed < 40);
}

/* Opened hundreds of times: what is synced costs nothing there. */
static int setup(void **state)
{
        static Fixture fixture;
        char dir[] = "/dev/shm/tank-test-files-XXXXXX";

        assert_non_null(mkdtemp(dir));
        fixture_init(&fixture, dir);
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_each_file, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_long_log, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_too_many_files, setup, fixture_teardown),
        };

        log_setup("test-store-files");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
