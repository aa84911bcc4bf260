/* SPDX-License-Identifier: Apache-2.0 */

/* The key of the secrets is exchanged while everything goes on. On a real database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "secret-fixture.h"
#include "store-compact.h"
#include "store-history.h"
#include "store-retention.h"
#include "store-rotate.h"

typedef struct RotatedOnce {
        bool done;
        RotateResult result;
        char error[128], message[512];
} RotatedOnce;

static void on_rotated(const RotateResult *result, const sd_bus_error *error, void *userdata)
{
        RotatedOnce *o = userdata;

        assert_false(o->done);
        o->done = true;
        o->result = *result;
        if (!error)
                return;
        (void) snprintf(o->error, sizeof(o->error), "%s", error->name);
        (void) snprintf(o->message, sizeof(o->message), "%s", error->message);
}

static void turn(Setup *x)
{
        assert_true(sd_event_run(x->f.event, UINT64_C(10000000)) > 0);
}

/* With writes in between, in more slices than one. */
static void test_rotation(void **state)
{
        enum { N = 150 };
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        char old[KEYRING_ID_TEXT_SIZE], name[16], value[16];
        uint64_t first, before;
        RotatedOnce o = {};
        Outcome written;
        StoreWrite w;
        Setup x;

        setup_init(&x);
        (void) keyring_format_id(keyring_active(store_keyring(x.f.store))->id, old);
        first = set_value(&x, "s0", "first").answer.revision;
        for (int i = 0; i < N; i++) {
                (void) snprintf(name, sizeof(name), "s%d", i);
                (void) snprintf(value, sizeof(value), "v%d", i);
                (void) set_value(&x, name, value);
        }
        before = store_revision(x.f.store);

        /* One is under way, sealed with the old key. */
        const StoreOperation op = op_document(STORE_APPLY, DB_JSON);
        w = fixture_write(&written);
        w.secrets = true;
        begin_as(&x.f, &written, &w, &op, 1);
        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
        assert_true(store_rotate_key(x.f.store, on_rotated, &o, &e) < 0);
        assert_string_equal(e.name, TANK_ERROR_BUSY);
        while (!o.done) {
                turn(&x);
                if (!o.done) /* the loop serves */
                        check_value(&x, "s7", 0, "k", "v7");
        }
        assert_string_equal(o.error, "");
        assert_string_not_equal(o.result.key_id, old);
        assert_int_equal(o.result.failed, 0);
        assert_int_equal(o.result.rewrapped, N + 2); /* with both of s0, and db */
        assert_int_equal(store_revision(x.f.store), before + 1);
        assert_int_equal(keyring_count(store_keyring(x.f.store)), 1);

        reopen(&x);
        for (int i = 0; i < N; i++) {
                (void) snprintf(name, sizeof(name), "s%d", i);
                (void) snprintf(value, sizeof(value), "v%d", i);
                check_value(&x, name, 0, "k", value);
        }
        check_value(&x, "s0", first, "k", "first");
        check_value(&x, "db", 0, "password", VALUE);
        setup_done(&x);
}

/* Rotations that were cut filled the file: the next one empties it, and goes to a new key then. */
static void test_rotation_of_a_full_keyring(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        unsigned char active[SEAL_KEY_ID_SIZE];
        RotatedOnce o = {};
        Setup x;

        setup_init(&x);
        for (int i = 1; i < (int) KEYRING_MAX; i++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "s%d", i);
                (void) set_value(&x, name, name);
                assert_int_equal(keyring_rotate_begin(x.f.store->keyring, &e), 0);
        }
        memcpy(active, keyring_active(store_keyring(x.f.store))->id, sizeof(active));
        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
        while (!o.done)
                turn(&x);
        assert_string_equal(o.error, "");
        assert_int_equal(o.result.failed, 0);
        assert_int_equal(o.result.rewrapped, 2 * (KEYRING_MAX - 1)); /* in each half */
        assert_int_equal(keyring_count(store_keyring(x.f.store)), 1);
        assert_memory_not_equal(
                        keyring_active(store_keyring(x.f.store))->id, active, sizeof(active));
        reopen(&x);
        assert_int_equal(keyring_count(store_keyring(x.f.store)), 1);
        check_value(&x, "s1", 0, "k", "s1");
        check_value(&x, "s15", 0, "k", "s15");
        setup_done(&x);
}

/* Nor is it said then that nothing was changed, when the new key cannot be written. */
static void test_second_half_that_fails(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        struct rlimit unlimited, one_key;
        RotatedOnce o = {};
        struct stat st;
        Setup x = {};

        fixture_init(&x.f, NULL);
        x.f.memory = true; /* the key file is the only one that is written */
        (void) snprintf(x.key, sizeof(x.key), "%s/key", x.f.dir);
        assert_int_equal(fixture_open(&x.f), 0);
        use_key(&x);
        (void) set_value(&x, "a", "one");
        assert_int_equal(stat(x.key, &st), 0);
        for (int i = 1; i < (int) KEYRING_MAX; i++)
                assert_int_equal(keyring_rotate_begin(x.f.store->keyring, &e), 0);
        (void) signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
        one_key = (struct rlimit){ (rlim_t) st.st_size, unlimited.rlim_max };
        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &one_key), 0);
        while (!o.done)
                turn(&x);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
        assert_string_not_equal(o.error, "");
        assert_non_null(strstr(o.message, "everything is sealed with the key"));
        assert_non_null(strstr(o.message, "no new key was made"));
        assert_int_equal(o.result.rewrapped, 1);
        assert_int_equal(keyring_count(store_keyring(x.f.store)), 1);
        check_value(&x, "a", 0, "k", "one");
        setup_done(&x);
}

static void on_rule(const sd_bus_error *error, void *userdata)
{
        assert_null(error);
        *(bool *) userdata = true;
}

static void on_compacted(uint64_t compacted, const sd_bus_error *error, void *userdata)
{
        assert_null(error);
        *(bool *) userdata = true;
}

static int count_version(const StoreVersion *v, void *userdata)
{
        ++*(unsigned *) userdata;
        return 0;
}

/* The rotation begins @delay turns of the loop behind the compaction. */
static void rotate_and_compact(unsigned delay)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        const Retention newest = { .versions = 1 };
        bool ruled = false, compacted = false;
        CLEANUP_FREE char *next = NULL;
        RotatedOnce o = {};
        unsigned n = 0;
        Setup x;

        setup_init(&x);
        for (int i = 0; i < 20; i++) {
                char value[16];

                (void) snprintf(value, sizeof(value), "%d", i);
                (void) set_value(&x, "s", value);
        }
        assert_int_equal(store_set_retention(x.f.store, "secret", &newest, on_rule, &ruled, &e), 0);
        while (!ruled)
                turn(&x);
        assert_int_equal(store_compact(x.f.store, store_revision(x.f.store), on_compacted,
                                         &compacted, &e),
                        0);
        for (unsigned i = 0; !(compacted && o.done); i++) {
                if (i == delay)
                        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
                (void) sd_event_run(x.f.event, i < delay ? 0 : UINT64_C(10000000));
        }
        assert_string_equal(o.error, "");
        assert_int_equal(store_history(x.f.store, "secret", "default", "s", 0, "", count_version,
                                         &n, &next, &e),
                        0);
        assert_int_equal(n, 1);
        check_value(&x, "s", 0, "k", "19");
        setup_done(&x);
}

/* Side by side: what goes is gone, what stays is sealed anew. */
static void test_rotation_and_compaction(void **state)
{
        for (unsigned delay = 0; delay < 3; delay++)
                rotate_and_compact(delay);
}

/* A row that nothing opens is counted and left as it is. */
static void test_rotation_passes_over(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        RotatedOnce o = {};
        Setup x;
        Rows r;

        setup_init(&x);
        (void) set_value(&x, "a", "one");
        (void) set_value(&x, "b", "two");
        rows_open(&r, &x);
        copy_row(&r, DB_OBJECTS, object_row("a"), DB_OBJECTS, object_row("b"));
        rows_close(&r, &x);
        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
        while (!o.done)
                turn(&x);
        assert_string_equal(o.error, "");
        assert_int_equal(o.result.failed, 1);
        assert_int_equal(o.result.rewrapped, 2);
        check_value(&x, "a", 0, "k", "one");
        check_refused(&x, "b", 0, TANK_ERROR_AUTHENTICATION_FAILED);
        setup_done(&x);
}

/* Nor does a row whose key is none keep all the others from a new key. */
static void test_rotation_passes_over_keys_of_nothing(void **state)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        char key[15 + 400] = "secret\0default";
        RotatedOnce o = {};
        Setup x;
        Rows r;

        setup_init(&x);
        (void) set_value(&x, "a", "one");
        (void) set_value(&x, "z", "two");
        memset(key + 15, 'b', sizeof(key) - 15);
        rows_open(&r, &x);
        db_batch_put(r.batch, r.db, DB_OBJECTS, (DbKey){ key, sizeof(key) }, "x", 1);
        db_batch_put(r.batch, r.db, DB_HISTORY, (DbKey){ key, sizeof(key) }, "x", 1);
        rows_close(&r, &x);
        assert_int_equal(store_rotate_key(x.f.store, on_rotated, &o, &e), 0);
        while (!o.done)
                turn(&x);
        assert_string_equal(o.error, "");
        assert_int_equal(o.result.failed, 2);
        assert_int_equal(o.result.rewrapped, 2);
        assert_int_equal(keyring_count(store_keyring(x.f.store)), 1);
        check_value(&x, "z", 0, "k", "two");
        setup_done(&x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rotation),
                cmocka_unit_test(test_rotation_of_a_full_keyring),
                cmocka_unit_test(test_second_half_that_fails),
                cmocka_unit_test(test_rotation_and_compaction),
                cmocka_unit_test(test_rotation_passes_over),
                cmocka_unit_test(test_rotation_passes_over_keys_of_nothing),
        };

        log_setup("test-store-rotate");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
