/* SPDX-License-Identifier: Apache-2.0 */

/* What an object was, and going back to it. On a real database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>

#include "limit.h"
#include "store-fixture.h"
#include "store-history.h"
#include "store-meta.h"

#define WIDGET(name, x) "{\"kind\":\"widget\",\"name\":\"" name "\",\"x\":" x "}"

typedef struct Versions {
        StoreVersion items[64];
        size_t n;
} Versions;

static int see_version(const StoreVersion *v, void *userdata)
{
        Versions *all = userdata;

        assert_true(all->n < ARRAY_SIZE(all->items));
        all->items[all->n++] = *v;
        return 0;
}

/* All pages of @limit; how many there were. */
static size_t history_of(Fixture *f, const char *name, uint32_t limit, Versions *ret)
{
        CLEANUP_FREE char *token = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        size_t pages = 0;

        *ret = (Versions){};
        do {
                CLEANUP_FREE char *next = NULL;

                assert_true(store_history(f->store, "widget", "default", name, limit, token,
                                            see_version, ret, &next, &e) >= 0);
                free(token);
                token = TAKE_PTR(next);
                pages++;
        } while (token);
        return pages;
}

/* The x of a version, -1 with the error's name in @ret_error. */
static int64_t version_x(
                Fixture *f, const char *name, uint64_t revision, char ret_error[static 128])
{
        CLEANUP_FREE char *text = NULL;
        CLEANUP_JSON json_t *doc = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;

        ret_error[0] = 0;
        if (store_get_version(f->store, "widget", "default", name, revision, &text, &e) < 0) {
                (void) snprintf(ret_error, 128, "%s", e.name);
                sd_bus_error_free(&e);
                return -1;
        }
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_int_equal(json_get_int(json_object_get(doc, "meta"), "revision", -1), revision);
        return json_get_int(doc, "x", -1);
}

static Outcome roll_back(Fixture *f, const char *name, uint64_t to)
{
        StoreOperation o = op_object(STORE_ROLLBACK, "widget", "default", name);

        o.revision = to;
        return run(f, &o, 1);
}

static void test_versions(void **state)
{
        Fixture *f = *state;
        char error[128];
        Versions v;

        (void) apply(f, WIDGET("a", "1"));
        (void) apply(f, WIDGET("ab", "7")); /* a longer name is not part of it */
        (void) apply(f, WIDGET("a", "2"));
        (void) apply(f, WIDGET("a", "2")); /* no version */
        (void) delete (f, "widget", "default", "a");
        (void) apply(f, WIDGET("a", "3"));

        assert_int_equal(history_of(f, "a", 0, &v), 1);
        assert_int_equal(v.n, 4);
        assert_true(v.items[0].revision == 6 && v.items[1].revision == 5);
        assert_true(v.items[2].revision == 4 && v.items[3].revision == 2);
        assert_string_equal(v.items[0].operation, "created");
        assert_string_equal(v.items[1].operation, "deleted");
        assert_string_equal(v.items[2].operation, "updated");
        assert_string_equal(v.items[3].operation, "created");
        assert_string_not_equal(v.items[0].uid, v.items[1].uid);
        assert_string_equal(v.items[1].uid, v.items[3].uid);
        assert_true(v.items[2].generation == 2 && v.items[0].generation == 1);
        for (size_t i = 0; i < v.n; i++) {
                assert_int_equal(v.items[i].by, 7);
                assert_true(v.items[i].at_usec > 0);
                assert_true(i == 0 || v.items[i].at_usec <= v.items[i - 1].at_usec);
        }

        assert_int_equal(version_x(f, "a", 2, error), 1);
        assert_int_equal(version_x(f, "a", 4, error), 2);
        assert_int_equal(version_x(f, "a", 6, error), 3);
        static const uint64_t none[] = { 0, 1, 3, 5, 7, UINT64_MAX };
        for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
                assert_int_equal(version_x(f, "a", none[i], error), -1);
                assert_string_equal(error, TANK_ERROR_NOT_FOUND);
        }
}

static void test_pages(void **state)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *next = NULL;
        Fixture *f = *state;
        char text[64];
        Versions v;

        for (unsigned i = 0; i < 10; i++) {
                (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"a\",\"x\":%u}",
                                i);
                (void) apply(f, text);
        }
        assert_int_equal(history_of(f, "a", 3, &v), 4);
        assert_int_equal(v.n, 10);
        for (size_t i = 0; i < v.n; i++)
                assert_true(v.items[i].revision == 11 - i);

        static const char *const bad[] = { "x", "1", "1.", "1.x", "1.0", "2.5", "1.5.5",
                "1.99999999999999999999" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_true(store_history(f->store, "widget", "default", "a", 3, bad[i],
                                            see_version, &v, &next, &e) < 0);
                assert_string_equal(e.name, TANK_ERROR_INVALID_ARGUMENT);
                sd_bus_error_free(&e);
        }
        assert_true(store_history(f->store, "widget", "default", "never", 0, "", see_version, &v,
                                    &next, &e) < 0);
        assert_string_equal(e.name, TANK_ERROR_NOT_FOUND);
        sd_bus_error_free(&e);
        assert_true(store_history(f->store, "widget", "", "a", 0, "", see_version, &v, &next, &e) <
                        0);
        assert_string_equal(e.name, TANK_ERROR_INVALID_ARGUMENT);
        sd_bus_error_free(&e);
}

static void test_rollback(void **state)
{
        Fixture *f = *state;
        Outcome first, o;
        StoreOperation op;
        char error[128];
        Versions v;

        first = apply(f, WIDGET("a", "1"));
        (void) apply(f, WIDGET("a", "2"));
        o = roll_back(f, "a", 2);
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "updated");
        assert_string_equal(o.answer.uid, first.answer.uid);
        assert_true(o.answer.generation == 3 && o.revision == 4);
        assert_int_equal(version_x(f, "a", 4, error), 1);
        assert_int_equal(version_x(f, "a", 3, error), 2);

        /* What stands already makes no version, whichever it was. */
        assert_string_equal(roll_back(f, "a", 4).answer.changed, "unchanged");
        assert_string_equal(roll_back(f, "a", 2).answer.changed, "unchanged");
        assert_true(store_revision(f->store) == 4);
        (void) history_of(f, "a", 0, &v);
        assert_int_equal(v.n, 3);

        op = op_object(STORE_ROLLBACK, "widget", "default", "a");
        op.revision = 3;
        op = op_if(op, 3);
        o = run(f, &op, 1);
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_non_null(strstr(o.message, "stands at revision 4"));
        op = op_if(op, 4);
        assert_true(run(f, &op, 1).revision == 5);

        assert_string_equal(roll_back(f, "a", 1).error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(roll_back(f, "b", 2).error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(roll_back(f, "A", 2).error, TANK_ERROR_INVALID_ARGUMENT);
}

/* Bringing back what was deleted makes a new object: its uid is another one. */
static void test_undelete(void **state)
{
        Fixture *f = *state;
        Outcome first, o;
        char error[128];
        Versions v;

        first = apply(f, WIDGET("a", "1"));
        (void) delete (f, "widget", "default", "a");
        o = roll_back(f, "a", 3);
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(o.message, "revision 3 deleted widget default/a"));
        o = roll_back(f, "a", 2);
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "created");
        assert_true(o.answer.generation == 1);
        assert_string_not_equal(o.answer.uid, first.answer.uid);
        assert_int_equal(version_x(f, "a", 4, error), 1);

        /* A version of the object before this one is content for this one. */
        (void) apply(f, WIDGET("a", "5"));
        Outcome again = roll_back(f, "a", 2);
        assert_string_equal(again.answer.changed, "updated");
        assert_string_equal(again.answer.uid, o.answer.uid);
        (void) history_of(f, "a", 0, &v);
        assert_int_equal(v.n, 5);

        /* Nowhere to bring it back to. */
        assert_string_equal(apply(f, "{\"kind\":\"namespace\",\"name\":\"prod\"}").error, "");
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"w\",\"namespace\":\"prod\"}")
                                            .error,
                        "");
        uint64_t revision = store_revision(f->store);
        (void) delete (f, "widget", "prod", "w");
        (void) delete (f, "namespace", "", "prod");
        StoreOperation op = op_object(STORE_ROLLBACK, "widget", "prod", "w");
        op.revision = revision;
        o = run(f, &op, 1);
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_non_null(strstr(o.message, "namespace 'prod'"));

        /* The namespace itself can come back, too, and both in one step. */
        StoreOperation both[2] = { op_object(STORE_ROLLBACK, "namespace", "", "prod"), op };
        both[0].revision = revision - 1;
        assert_string_equal(run(f, both, 2).error, "");
}

static void put_version(Fixture *f, const ObjectKey *key, uint64_t revision, const char *document,
                const char *raw)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        CLEANUP(db_closep) Db *db = NULL;
        CLEANUP_FREE char *value = NULL;
        StoreKey k = history_key_encode(key, revision, 0);
        StoreRecord r = {
                .uid = "0123456789abcdef0123456789abcdef",
                .generation = 1,
                .revision = revision,
                .created_usec = 1,
                .updated_usec = 1,
                .operation = OPERATION_UPDATED,
                .document = document,
                .document_size = document ? strlen(document) : 0,
        };
        char dir[128];
        size_t size;

        fixture_close(f);
        (void) snprintf(dir, sizeof(dir), "%s/db", f->data);
        assert_true(db_open(dir, f->logs, DB_OPEN, &db) >= 0);
        assert_true(db_batch_new(&b) >= 0);
        if (document) {
                assert_true(store_record_encode(&r, &value, &size) >= 0);
                db_batch_put(b, db, DB_HISTORY, DB_KEY(&k), value, size);
        } else
                db_batch_put(b, db, DB_HISTORY, DB_KEY(&k), raw, strlen(raw));
        assert_true(db_write(db, b) >= 0);
        db = db_close(db);
        assert_true(fixture_open(f) >= 0);
}

/* What an older or a newer tank stored, and this one does not take. */
static void test_rollback_validates(void **state)
{
        static const struct {
                const char *fields, *error, *part;
        } cases[] = {
                { "\"wheels\":4", TANK_ERROR_INVALID_ARGUMENT, "of revision 2: wheels: " },
                { "\"state\":\"stopped\"", TANK_ERROR_NOT_SUPPORTED, "of revision 2: state: " },
        };
        ObjectKey key;
        Fixture *f = *state;
        Outcome o;

        assert_true(object_key_init(&key, "pod", "default", "p") >= 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                StoreOperation op = op_object(STORE_ROLLBACK, "pod", "default", "p");
                char text[256];

                (void) snprintf(text, sizeof(text),
                                "{\"containers\":[{\"command\":[\"x\"],\"image\":{\"rootfs\":\"/"
                                "srv\"},"
                                "\"name\":\"c\"}],\"kind\":\"pod\",\"name\":\"p\","
                                "\"namespace\":\"default\",%s}",
                                cases[i].fields);
                put_version(f, &key, 2, text, NULL);
                op.revision = 2;
                o = run(f, &op, 1);
                assert_string_equal(o.error, cases[i].error);
                assert_non_null(strstr(o.message, cases[i].part));
        }
        assert_true(store_revision(f->store) == 1);
}

/* A row that nobody can read stays in the list, and harms nobody else. */
static void test_unreadable(void **state)
{
        Fixture *f = *state;
        char error[128];
        ObjectKey key;
        Versions v;

        (void) apply(f, WIDGET("a", "1"));
        (void) apply(f, WIDGET("a", "2"));
        assert_true(object_key_init(&key, "widget", "default", "a") >= 0);
        put_version(f, &key, 2, NULL, "junk");
        (void) history_of(f, "a", 0, &v);
        assert_int_equal(v.n, 2);
        assert_string_equal(v.items[1].operation, "unreadable");
        assert_int_equal(v.items[1].by, 7);
        assert_true(v.items[1].generation == 1 && v.items[1].revision == 2);
        assert_int_equal(version_x(f, "a", 2, error), -1);
        assert_string_equal(error, TANK_ERROR_INTERNAL);
        assert_string_equal(roll_back(f, "a", 2).error, TANK_ERROR_INTERNAL);
        assert_int_equal(version_x(f, "a", 3, error), 2);

        /* Without its row in the change log nobody knows who it was. */
        put_version(f, &key, 9, WIDGET("a", "9"), NULL);
        (void) history_of(f, "a", 0, &v);
        assert_int_equal(v.n, 3);
        assert_true(v.items[0].by == UID_INVALID);
        assert_string_equal(v.items[0].operation, "updated");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_versions),
                TEST(test_pages),
                TEST(test_rollback),
                TEST(test_undelete),
                TEST(test_rollback_validates),
                TEST(test_unreadable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
