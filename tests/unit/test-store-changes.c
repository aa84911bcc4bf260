/* SPDX-License-Identifier: Apache-2.0 */

/* The change log as a client reads it: pages, filters, what begins and ceases to match, last
 * documents, and rows that cannot be read. Real files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>

#include "limit.h"
#include "store-changes.h"
#include "store-db.h"
#include "store-fixture.h"

/* ---- reading ---- */

typedef struct Seen {
        char text[2048]; /* "REVISION OPERATION NAME[=x]; " each */
        size_t used, n;
        bool more;
        uint64_t revision;
        char error[128], message[256];
} Seen;

static int see_change(uint64_t revision, const StoreChange *c, const char *document, void *userdata)
{
        Seen *s = userdata;
        char x[32] = "";

        if (!isempty(document)) {
                CLEANUP_JSON json_t *doc = json_loads(document, JSON_REJECT_DUPLICATES, NULL);

                assert_non_null(doc);
                if (json_object_get(json_object_get(doc, "meta"), "unreadable"))
                        (void) snprintf(x, sizeof(x), "=?");
                else
                        (void) snprintf(x, sizeof(x), "=%d", (int) json_get_int(doc, "x", -1));
        }
        if (s->used < sizeof(s->text))
                s->used += (size_t) snprintf(s->text + s->used, sizeof(s->text) - s->used,
                                "%" PRIu64 " %s %s%s; ", revision,
                                operation_to_string(c->operation), c->key.name, x);
        s->n++;
        return 0;
}

static Seen changes(Fixture *f, StoreChangesQuery q)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Seen s = {};

        if (!q.database_id)
                q.database_id = store_database_id(f->store);
        if (store_changes(f->store, &q, see_change, &s, &s.more, &s.revision, &e) < 0) {
                (void) snprintf(s.error, sizeof(s.error), "%s", e.name);
                (void) snprintf(s.message, sizeof(s.message), "%s", e.message);
                sd_bus_error_free(&e);
        }
        return s;
}

#define CHANGES(...) changes(f, (StoreChangesQuery){ __VA_ARGS__ })

static void widget(Fixture *f, const char *name, int x, const char *rest)
{
        char text[256];

        (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"%s\",\"x\":%d%s}",
                        name, x, rest);
        assert_string_equal(apply(f, text).error, "");
}

#define BLUE ",\"labels\":{\"color\":\"blue\"}"
#define RED  ",\"labels\":{\"color\":\"red\"}"

/* ---- tests ---- */

static void test_pages(void **state)
{
        Fixture *f = *state;
        uint64_t since = 0;
        size_t n = 0;
        Seen s;

        widget(f, "a", 1, "");
        widget(f, "a", 2, "");
        widget(f, "b", 3, "");
        assert_string_equal(delete (f, "widget", "default", "a").error, "");

        s = CHANGES(.documents = true);
        /* The two namespaces share the first revision. */
        assert_string_equal(s.text, "1 created default=-1; 1 created system=-1; 2 created a=1; "
                                    "3 updated a=2; 4 created b=3; 5 deleted a=2; ");
        assert_true(!s.more && s.revision == 5);

        /* Page by page: nothing twice, nothing missing, no transaction torn. */
        do {
                s = CHANGES(.since = since, .limit = 1);
                assert_string_equal(s.error, "");
                assert_int_equal(s.n, since == 0 ? 2 : 1);
                assert_true(s.revision == since + 1);
                since = s.revision;
                n += s.n;
        } while (s.more);
        assert_int_equal(n, 6);

        s = CHANGES(.since = 5);
        assert_true(s.n == 0 && !s.more && s.revision == 5);
        assert_string_equal(CHANGES(.since = 6).error, TANK_ERROR_FAILED_PRECONDITION);
        assert_string_equal(CHANGES(.database_id = "other").error, TANK_ERROR_FAILED_PRECONDITION);
}

static void test_filters(void **state)
{
        Fixture *f = *state;

        assert_string_equal(apply(f, "{\"kind\":\"namespace\",\"name\":\"prod\"}").error, "");
        assert_string_equal(apply(f, "{\"kind\":\"namespace\",\"name\":\"prod-2\"}").error, "");
        widget(f, "a", 1, ",\"namespace\":\"prod\"");
        widget(f, "ab", 2, ",\"namespace\":\"prod-2\"");
        widget(f, "b", 3, "");
        assert_string_equal(apply(f, "{\"kind\":\"gadget\",\"name\":\"ab-c\"}").error, "");
        assert_string_equal(
                        CHANGES(.type = "widget").text, "4 created a; 5 created ab; 6 created b; ");
        assert_string_equal(CHANGES(.type = "widgets").text, "");
        assert_string_equal(CHANGES(.type = "namespace", .since = 1).text,
                        "2 created prod; 3 created prod-2; ");
        assert_string_equal(CHANGES(.namespace = "prod").text, "4 created a; ");
        assert_string_equal(CHANGES(.namespace = "default").text, "6 created b; 7 created ab-c; ");
        assert_string_equal(CHANGES(.prefix = "ab").text, "5 created ab; 7 created ab-c; ");
        assert_string_equal(CHANGES(.prefix = "ab-").text, "7 created ab-c; ");
        assert_string_equal(CHANGES(.type = "gadget", .namespace = "default", .prefix = "ab").text,
                        "7 created ab-c; ");
        assert_true(CHANGES(.type = "nothing").revision == 7);

        assert_string_equal(CHANGES(.type = "No").error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(CHANGES(.namespace = "*").error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(CHANGES(.type = "namespace", .namespace = "prod").error,
                        TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(CHANGES(.prefix = "-a").error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(CHANGES(.prefix = "a/").error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(CHANGES(.labels = "a in").error, TANK_ERROR_INVALID_ARGUMENT);
}

static void test_labels(void **state)
{
        Fixture *f = *state;

        widget(f, "a", 1, BLUE);
        widget(f, "b", 2, RED);
        widget(f, "a", 3, BLUE); /* stays */
        widget(f, "a", 4, RED);  /* ceases to match */
        widget(f, "b", 5, BLUE); /* begins to */
        widget(f, "c", 6, "");   /* never did */
        widget(f, "c", 7, "");
        assert_string_equal(delete (f, "widget", "default", "a").error, "");
        assert_string_equal(delete (f, "widget", "default", "b").error, "");
        assert_string_equal(CHANGES(.labels = "color=blue", .documents = true).text,
                        "2 created a=1; 4 updated a=3; 5 deleted a=3; 6 created b=5; "
                        "10 deleted b=5; ");
        assert_string_equal(CHANGES(.labels = "color!=blue", .type = "widget").text,
                        "3 created b; 5 created a; 6 deleted b; 7 created c; 8 updated c; "
                        "9 deleted a; ");
        assert_string_equal(CHANGES(.labels = "color in (red, blue)", .since = 8).text,
                        "9 deleted a; 10 deleted b; ");
        assert_string_equal(CHANGES(.labels = "!color", .type = "widget").text,
                        "7 created c; 8 updated c; ");
        assert_string_equal(CHANGES(.labels = "size").text, "");
}

/* Nobody but one name is wanted: pages end all the same, and go on behind what was looked at. */
static void test_narrow_filter_proceeds(void **state)
{
        enum { N = LIMIT_CHANGES_SCANNED + 50 };
        Outcome *o = calloc(N, sizeof(*o));
        Fixture *f = *state;
        unsigned pages = 0;
        uint64_t since = 0;
        char text[96];
        size_t n = 0;
        Seen s;

        assert_non_null(o);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(text, sizeof(text),
                                "{\"kind\":\"widget\",\"name\":\"%s\",\"x\":%u}",
                                i == N - 1 ? "wanted" : "other", i);
                begin_apply(f, &o[i], text);
        }
        store_flush(f->store);
        do {
                s = CHANGES(.since = since, .prefix = "wanted", .documents = true);
                assert_string_equal(s.error, "");
                if (s.more)
                        assert_true(s.n == 0 && s.revision == since + LIMIT_CHANGES_SCANNED - 1);
                since = s.revision;
                n += s.n;
                pages++;
        } while (s.more);
        assert_true(n == 1 && pages == 2 && since == N + 1);
        free(o);
}

/* What is deleted may be far more than what an answer has room for. */
static void test_deleted_documents_are_bounded(void **state)
{
        enum { N = 24 };
        CLEANUP_FREE char *text = malloc(700000);
        static StoreOperation operations[N];
        static char names[N][16];
        Fixture *f = *state;
        Seen s;

        assert_non_null(text);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "w%02u", i);
                (void) snprintf(text, 700000,
                                "{\"kind\":\"widget\",\"name\":\"%s\",\"x\":%u,\"y\":\"%"
                                "0600000d\"}",
                                names[i], i, 0);
                assert_string_equal(apply(f, text).error, "");
                operations[i] = op_object(STORE_DELETE, "widget", "default", names[i]);
        }
        assert_string_equal(run(f, operations, N).error, "");
        s = CHANGES(.since = N + 1, .documents = true);
        assert_int_equal(s.n, N);
        assert_non_null(strstr(s.text, "deleted w00=0; "));
        assert_non_null(strstr(s.text, "deleted w12=12; "));
        assert_non_null(strstr(s.text, "deleted w23; "));
}

/* ---- damage ---- */

static Db *reopen_by_hand(Fixture *f)
{
        char dir[128];
        Db *db;

        fixture_close(f);
        (void) snprintf(dir, sizeof(dir), "%s/db", f->data);
        assert_true(db_open(dir, f->logs, DB_OPEN, &db) >= 0);
        return db;
}

/* Replaces a row (NULL: removes it) behind the store's back. */
static void spoil(Fixture *f, DbFamily family, StoreKey k, const char *value)
{
        Db *db = reopen_by_hand(f);
        DbBatch *b;

        assert_true(db_batch_new(&b) >= 0);
        if (value)
                db_batch_put(b, db, family, DB_KEY(&k), value, strlen(value));
        else
                db_batch_delete(b, db, family, DB_KEY(&k));
        assert_true(db_write(db, b) >= 0);
        db_batch_free(b);
        db_close(db);
        assert_true(fixture_open(f) >= 0);
}

static void check_hole(Fixture *f, uint64_t from, uint64_t revision)
{
        char where[64];
        Seen s;

        (void) snprintf(where, sizeof(where), "damaged at revision %" PRIu64 ": list anew",
                        revision);
        for (uint64_t since = from; since < revision; since++) {
                s = CHANGES(.since = since);
                assert_string_equal(s.error, TANK_ERROR_COMPACTED);
                assert_non_null(strstr(s.message, where));
                /* Whatever is wanted: it could have been there. */
                assert_string_equal(CHANGES(.since = since, .type = "gadget").error,
                                TANK_ERROR_COMPACTED);
        }
        /* Who has passed it goes on. */
        s = CHANGES(.since = revision);
        assert_string_equal(s.error, "");
        assert_true(s.revision == store_revision(f->store));
}

static void test_bad_rows(void **state)
{
        static const char *const bad[] = { NULL, "", "\1{", "\1{}", "\1junk\nmore", "\2{}",
                "\1{\"store\":\"s\"}" };
        Fixture *f = *state;

        widget(f, "a", 1, "");
        widget(f, "b", 2, "");
        widget(f, "c", 3, "");
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                spoil(f, DB_CHANGES, change_key_encode(3, 0), bad[i]);
                check_hole(f, 0, 3);
        }
        spoil(f, DB_CHANGES, change_key_encode(4, 0), NULL); /* the newest */
        check_hole(f, 3, 4);
        widget(f, "d", 4, "");
        assert_string_equal(CHANGES(.since = 4).text, "5 created d; ");
}

/* They have the same log; what they tell is for others. */
static void test_rows_of_key_value_data(void **state)
{
        Fixture *f = *state;
        Seen s;

        widget(f, "a", 1, "");
        widget(f, "b", 2, "");
        spoil(f, DB_CHANGES, change_key_encode(2, 0), "\1{\"store\":\"s\"}\nkey");
        s = CHANGES(.since = 1);
        assert_string_equal(s.text, "3 created b; ");
        assert_true(!s.more && s.revision == 3);
        spoil(f, DB_CHANGES, change_key_encode(3, 0), "\1{\"store\":\"s\"}\n");
        assert_true(CHANGES(.since = 1).revision == 3);
}

/* The second row of a transaction; nothing of it is told without it. */
static void test_hole_within_a_transaction(void **state)
{
        Fixture *f = *state;
        const StoreOperation operations[] = {
                op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"a\"}"),
                op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"b\"}"),
                op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"c\"}"),
        };

        assert_string_equal(run(f, operations, 3).error, "");
        spoil(f, DB_CHANGES, change_key_encode(2, 1), NULL);
        check_hole(f, 0, 2);
        spoil(f, DB_CHANGES, change_key_encode(2, 1), "\1[]");
        check_hole(f, 0, 2);
}

static void test_bad_documents(void **state)
{
        ObjectKey key;
        Fixture *f = *state;

        widget(f, "a", 1, BLUE);
        widget(f, "a", 2, BLUE);
        assert_string_equal(delete (f, "widget", "default", "a").error, "");
        assert_true(object_key_init(&key, "widget", "default", "a") >= 0);
        spoil(f, DB_HISTORY, history_key_encode(&key, 3, 0), "\1junk");
        assert_string_equal(CHANGES(.since = 1, .documents = true).text,
                        "2 created a=1; 3 updated a=?; 4 deleted a=?; ");
}

/* What it was is not known when it is deleted: whoever may have seen it is told. */
static void test_deleting_the_unreadable(void **state)
{
        ObjectKey key;
        Fixture *f = *state;

        widget(f, "a", 1, BLUE);
        assert_true(object_key_init(&key, "widget", "default", "a") >= 0);
        spoil(f, DB_OBJECTS, object_key_encode(&key), "\1junk");
        assert_string_equal(delete (f, "widget", "default", "a").error, "");
        assert_string_equal(CHANGES(.labels = "color=blue", .documents = true).text,
                        "2 created a=1; 3 deleted a=1; ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_pages),
                TEST(test_filters),
                TEST(test_labels),
                TEST(test_narrow_filter_proceeds),
                TEST(test_deleted_documents_are_bounded),
                TEST(test_bad_rows),
                TEST(test_rows_of_key_value_data),
                TEST(test_hole_within_a_transaction),
                TEST(test_bad_documents),
                TEST(test_deleting_the_unreadable),
        };

        log_setup("test-store-changes");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
