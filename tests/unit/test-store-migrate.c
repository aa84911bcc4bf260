/* SPDX-License-Identifier: Apache-2.0 */

/* Databases that an older tankd-store made (tests/data), opened by this one; and the database that
 * is in memory only. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store-fixture.h"
#include "store-history.h"
#include "store-meta.h"

static int setup(void **state)
{
        static Fixture f;

        fixture_init(&f, NULL);
        *state = &f;
        return 0;
}

static int teardown(void **state)
{
        fixture_done(*state);
        return 0;
}

static void unpack(const Fixture *f, const char *archive)
{
        char command[512];

        (void) snprintf(command, sizeof(command), "mkdir -p %s && tar -xzf %s/%s -C %s", f->data,
                        TEST_DATA_DIR, archive, f->data);
        assert_int_equal(system(command), 0);
}

static bool exists(const Fixture *f, const char *name)
{
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/%s", f->data, name);
        return access(path, F_OK) >= 0;
}

static Db *open_raw(const Fixture *f, const char *name, DbMode mode)
{
        char path[256];
        Db *db = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", f->data, name);
        assert_true(db_open(path, f->logs, mode, &db) >= 0);
        return db;
}

static uint64_t number(Db *db, const char *name)
{
        uint64_t n = 0;

        assert_true(meta_get_u64(db, NULL, name, &n) >= 0);
        return n;
}

static unsigned count_rows(Db *db, DbFamily family)
{
        DbIter *i = NULL;
        unsigned n = 0;

        assert_true(db_iter_new(db, NULL, family, &i) >= 0);
        for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i))
                n++;
        assert_true(db_iter_status(i) >= 0);
        db_iter_free(i);
        return n;
}

/* What the archive holds: the namespaces default, system and prod, two widgets and a pod. */
static void check_content(Fixture *f)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        char *text = NULL;

        assert_string_equal(store_database_id(f->store), "d5a4fabf1fa98c051617edcd12f70ca6");
        assert_int_equal(store_revision(f->store), 5);
        assert_true(store_get(f->store, "widget", "prod", "a", &text, &e) >= 0);
        assert_non_null(strstr(text, "\"color\":\"blue\""));
        free(text);
}

static void check_migrated(Fixture *f)
{
        Db *db;

        check_content(f);
        fixture_close(f);
        db = open_raw(f, "db", DB_READ_ONLY);
        assert_int_equal(number(db, META_FORMAT), STORE_FORMAT);
        assert_int_equal(count_rows(db, DB_IDS), count_rows(db, DB_OBJECTS));
        assert_int_equal(count_rows(db, DB_IDS), 6);
        assert_int_equal(number(db, META_LOG_ROWS), count_rows(db, DB_CHANGES));
        assert_int_equal(number(db, META_LOG_ROWS), 6);
        db_close(db);
}

static void test_format_1(void **state)
{
        Fixture *f = *state;
        Db *db;

        unpack(f, "store-format-1.tar.gz");
        assert_true(fixture_open(f) >= 0);
        check_migrated(f);

        /* What was there is there still, for an older tank. */
        db = open_raw(f, "db.format-1", DB_READ_ONLY);
        assert_int_equal(number(db, META_FORMAT), 1);
        assert_int_equal(count_rows(db, DB_OBJECTS), 6);
        db_close(db);

        /* And it goes on: written, and opened once more, without a second migration. */
        assert_true(fixture_open(f) >= 0);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"b\"}").error, "");
        fixture_close(f);
        db = open_raw(f, "db", DB_READ_ONLY);
        assert_int_equal(count_rows(db, DB_IDS), 7);
        assert_int_equal(number(db, META_LOG_ROWS), 7);
        db_close(db);
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(store_revision(f->store), 6);
}

/* Killed behind the copy, and behind the making of the families. */
static void test_format_1_interrupted(void **state)
{
        Fixture *f = *state;
        char copy[256];
        Db *db;

        unpack(f, "store-format-1.tar.gz");
        (void) snprintf(copy, sizeof(copy), "%s/db.format-1", f->data);
        db = open_raw(f, "db", DB_OPEN);
        assert_true(db_checkpoint(db, copy) >= 0);
        assert_true(db_add_families(db) >= 0);
        db_close(db);
        assert_true(fixture_open(f) >= 0);
        check_migrated(f);
}

static void test_no_leftovers(void **state)
{
        Fixture *f = *state;
        char command[512];

        for (unsigned i = 0; i < 3; i++) {
                assert_true(fixture_open(f) >= 0);
                fixture_close(f);
        }
        (void) snprintf(command, sizeof(command), "! ls %s/db/*.dbtmp >/dev/null 2>&1", f->data);
        assert_int_equal(system(command), 0);
        assert_false(exists(f, "db.format-1"));
}

/* Two writers on one database: the second does not overwrite what the first acknowledged. */
static void test_precondition(void **state)
{
        Fixture *f = *state;
        MetaText before;
        DbBatch *b;
        Db *db;

        assert_true(fixture_open(f) >= 0);
        fixture_close(f);
        db = open_raw(f, "db", DB_OPEN);
        assert_true(db_batch_new(&b) >= 0);
        meta_put_u64(b, db, META_REVISION, 3);
        meta_expect_u64(b, META_REVISION, 2, &before);
        assert_int_equal(db_write(db, b), -ESTALE);
        assert_int_equal(number(db, META_REVISION), 1);
        db_batch_free(b);
        assert_true(db_batch_new(&b) >= 0);
        meta_put_u64(b, db, META_REVISION, 2);
        meta_expect_u64(b, META_REVISION, 1, &before);
        assert_int_equal(db_write(db, b), 0);
        assert_int_equal(number(db, META_REVISION), 2);
        db_batch_free(b);
        db_close(db);
}

static void test_memory(void **state)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        char first[ID128_SIZE], *text = NULL;

        f->memory = true;
        assert_true(fixture_open(f) >= 0);
        assert_true(store_is_in_memory(f->store));
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"b\"}").error, "");
        assert_true(store_get(f->store, "widget", "default", "b", &text, &e) >= 0);
        free(text);
        assert_false(exists(f, "."));
        assert_int_equal(access(f->logs, F_OK), -1);

        memcpy(first, store_database_id(f->store), sizeof(first));
        f->n_batches = 0;
        assert_int_equal(store_reset(f->store), 0);
        assert_int_equal(f->n_batches, 1);
        assert_string_not_equal(store_database_id(f->store), first);
        assert_int_equal(store_revision(f->store), 1);
        assert_int_equal(store_get(f->store, "widget", "default", "b", &text, &e), -ENOENT);
        sd_bus_error_free(&e);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"c\"}").error, "");
        assert_int_equal(store_revision(f->store), 2);
        fixture_close(f);

        f->memory = false;
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(store_reset(f->store), -EOPNOTSUPP);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_format_1, setup, teardown),
                cmocka_unit_test_setup_teardown(test_format_1_interrupted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_leftovers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_precondition, setup, teardown),
                cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        };

        log_setup("test-store-migrate");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
