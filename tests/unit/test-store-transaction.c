/* SPDX-License-Identifier: Apache-2.0 */

/* Transactions: all or nothing, one revision, preconditions, bounds. On a real database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "limit.h"
#include "store-changes.h"
#include "store-fixture.h"
#include "store-history.h"
#include "store-internal.h"

#define WIDGET(name, rest)     "{\"kind\":\"widget\",\"name\":\"" name "\"" rest "}"
#define WIDGET_IN(ns, name)    WIDGET(name, ",\"namespace\":\"" ns "\"")
#define NAMESPACE(name)        "{\"kind\":\"namespace\",\"name\":\"" name "\"}"
#define CREATE(text)           op_document(STORE_CREATE, text)
#define APPLY(text)            op_document(STORE_APPLY, text)
#define DELETE(type, ns, name) op_object(STORE_DELETE, type, ns, name)
#define CHECK(name, revision)  op_if(op_object(STORE_CHECK, "widget", "default", name), revision)
#define RUN(f, ...) \
        ({ \
                const StoreOperation _ops[] = { __VA_ARGS__ }; \
                run(f, _ops, ARRAY_SIZE(_ops)); \
        })

static bool is_there(Fixture *f, const char *type, const char *name)
{
        char error[128];
        CLEANUP_JSON json_t *doc = get(f, type, "default", name, error);

        assert_true(doc || streq(error, TANK_ERROR_NOT_FOUND));
        return doc;
}

typedef struct Log {
        char text[64][96];
        size_t n;
} Log;

static int see_change(uint64_t revision, const StoreChange *c, const char *document, void *userdata)
{
        Log *l = userdata;

        assert_true(l->n < ARRAY_SIZE(l->text));
        (void) snprintf(l->text[l->n++], sizeof(l->text[0]), "%d %s %s/%s", (int) revision,
                        operation_to_string(c->operation), c->key.type, c->key.name);
        return 0;
}

static size_t changes_since(Fixture *f, uint64_t since, Log *l)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t revision;
        bool more;

        *l = (Log){};
        /* A page of one entry: a transaction is not torn by it. */
        assert_true(store_changes(f->store,
                                    &(const StoreChangesQuery){
                                                    .database_id = store_database_id(f->store),
                                                    .since = since,
                                                    .limit = 1 },
                                    see_change, l, &more, &revision, &e) >= 0);
        assert_false(more);
        return l->n;
}

static void test_all_of_it(void **state)
{
        Fixture *f = *state;
        unsigned batches = f->n_batches;
        Outcome o;
        Log l;

        assert_string_equal(apply(f, WIDGET("old", ",\"x\":1")).error, "");
        assert_string_equal(apply(f, WIDGET("gone", "")).error, "");
        o = RUN(f, CREATE(WIDGET("new", "")), APPLY(WIDGET("old", ",\"x\":2")),
                        DELETE("widget", "default", "gone"),
                        APPLY("{\"kind\":\"gadget\",\"name\":\"other\"}"),
                        DELETE("widget", "default", "never"), CHECK("never", 0));
        assert_string_equal(o.error, "");
        assert_int_equal(o.n, 6);
        assert_true(o.revision == 4 && store_revision(f->store) == 4);
        assert_true(is_there(f, "widget", "new") && is_there(f, "gadget", "other"));
        assert_false(is_there(f, "widget", "gone"));

        assert_int_equal(changes_since(f, 3, &l), 4);
        assert_string_equal(l.text[0], "4 created widget/new");
        assert_string_equal(l.text[1], "4 updated widget/old");
        assert_string_equal(l.text[2], "4 deleted widget/gone");
        assert_string_equal(l.text[3], "4 created gadget/other");
        assert_int_equal(f->n_batches - batches, 3);

        /* It is in the log on disk as a whole, too. */
        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(changes_since(f, 3, &l), 4);
}

static void assert_nothing_happened(Fixture *f, const Outcome *o, const char *error, size_t at)
{
        Log l;

        assert_string_equal(o->error, error);
        assert_int_equal(o->at, at);
        assert_true(store_revision(f->store) == 2);
        assert_false(is_there(f, "widget", "new"));
        store_flush(f->store);
        assert_int_equal(changes_since(f, 2, &l), 0);
}

static void test_nothing_of_it(void **state)
{
        Fixture *f = *state;
        Outcome o;
        Log l;

        assert_string_equal(apply(f, WIDGET("old", "")).error, "");
        o = RUN(f, CREATE(WIDGET("new", "")), CREATE(WIDGET("old", "")));
        assert_nothing_happened(f, &o, TANK_ERROR_ALREADY_EXISTS, 1);
        o = RUN(f, CREATE(WIDGET("new", "")), DELETE("widget", "default", "old"),
                        APPLY("nonsense"));
        assert_nothing_happened(f, &o, TANK_ERROR_INVALID_ARGUMENT, 2);
        assert_true(is_there(f, "widget", "old"));
        o = RUN(f, APPLY(WIDGET_IN("nowhere", "new")), CREATE(WIDGET("new", "")));
        assert_nothing_happened(f, &o, TANK_ERROR_NOT_FOUND, 0);
        o = RUN(f, APPLY(WIDGET("new", "")), CHECK("old", 7));
        assert_nothing_happened(f, &o, TANK_ERROR_CONFLICT, 1);
        assert_non_null(strstr(o.message, "stands at revision 2"));
        o = RUN(f, APPLY(WIDGET("new", "")), op_if(DELETE("widget", "default", "old"), 7));
        assert_nothing_happened(f, &o, TANK_ERROR_CONFLICT, 1);

        /* The revision that was meant for them is the next one's. */
        assert_true(apply(f, WIDGET("new", "")).revision == 3);
        assert_int_equal(changes_since(f, 2, &l), 1);
}

/* What is under way stands as before, and is built upon. */
static void test_undone_over_pending_writes(void **state)
{
        Outcome first, second, aborted, last;
        Fixture *f = *state;

        begin_apply(f, &first, WIDGET("a", ",\"x\":1"));
        begin_apply(f, &second, WIDGET("b", ""));
        const StoreOperation ops[] = { APPLY(WIDGET("a", ",\"x\":2")),
                DELETE("widget", "default", "b"), APPLY(WIDGET("c", "")), APPLY("nonsense") };
        begin(f, &aborted, ops, ARRAY_SIZE(ops));
        begin_apply(f, &last, WIDGET("a", ",\"x\":1"));
        store_flush(f->store);
        assert_string_equal(aborted.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(aborted.at, 3);
        assert_string_equal(last.answer.changed, "unchanged");
        assert_true(last.answer.revision == first.answer.revision);
        assert_true(is_there(f, "widget", "b") && !is_there(f, "widget", "c"));
        assert_true(store_revision(f->store) == 3);

        /* A transaction that changes nothing is not answered before what it rests upon. */
        begin_apply(f, &first, WIDGET("d", ""));
        begin(f, &second, ops + 3, 0);
        assert_true(second.answered && second.revision == 3);
        const StoreOperation same[] = { APPLY(WIDGET("a", ",\"x\":1")), APPLY(WIDGET("d", "")) };
        begin(f, &second, same, ARRAY_SIZE(same));
        assert_false(second.answered);
        store_flush(f->store);
        assert_true(second.answered && second.revision == 4 && first.revision == 4);
}

static void test_operations_see_each_other(void **state)
{
        Fixture *f = *state;
        Outcome o;

        /* A namespace with what stands in it, both ways. */
        o = RUN(f, APPLY(NAMESPACE("prod")), APPLY(WIDGET_IN("prod", "a")));
        assert_string_equal(o.error, "");
        o = RUN(f, DELETE("namespace", "", "prod"), DELETE("widget", "prod", "a"));
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        assert_int_equal(o.at, 0);
        o = RUN(f, DELETE("widget", "prod", "a"), DELETE("namespace", "", "prod"),
                        APPLY(WIDGET_IN("prod", "b")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_int_equal(o.at, 2);
        o = RUN(f, DELETE("widget", "prod", "a"), DELETE("namespace", "", "prod"));
        assert_string_equal(o.error, "");

        /* One version of an object for each revision. */
        o = RUN(f, APPLY(WIDGET("a", "")), APPLY(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(o.at, 1);
        assert_non_null(strstr(o.message, "widget default/a"));

        /* Preconditions are about what stood there before, wherever they stand. */
        o = RUN(f, CHECK("a", 0), APPLY(WIDGET("a", "")));
        assert_string_equal(o.error, "");
        assert_true(o.revision == 4);
        o = RUN(f, APPLY(WIDGET("a", ",\"x\":1")), CHECK("a", 4));
        assert_string_equal(o.error, "");
        assert_true(o.n == 2 && o.revision == 5);
        o = RUN(f, APPLY(WIDGET("a", ",\"x\":2")), CREATE(WIDGET("a", "")), CHECK("a", 6));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_int_equal(o.at, 2);
        o = RUN(f, DELETE("widget", "default", "a"), CHECK("a", 5), CHECK("a", 5));
        assert_string_equal(o.error, "");
}

static void test_preconditions(void **state)
{
        Fixture *f = *state;
        Outcome o;

        assert_string_equal(apply(f, WIDGET("guard", "")).error, "");
        o = RUN(f, CHECK("guard", 2), CHECK("none", 0), APPLY(WIDGET("a", "")));
        assert_string_equal(o.error, "");
        assert_int_equal(o.n, 3);
        assert_string_equal(o.answer.changed, "unchanged");
        assert_true(o.answer.revision == 2 && o.answer.generation == 1);
        o = RUN(f, CHECK("guard", 0), APPLY(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        o = RUN(f, CHECK("none", 2), APPLY(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_non_null(strstr(o.message, "is not there"));
        /* Also against what is only under way. */
        Outcome moved;
        begin_apply(f, &moved, WIDGET("guard", ",\"x\":1"));
        o = RUN(f, CHECK("guard", 2), APPLY(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        o = RUN(f, CHECK("guard", moved.revision), APPLY(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.error, "");
        assert_true(o.revision == 5);
}

static void test_dry_run(void **state)
{
        Fixture *f = *state;
        Outcome o, old;
        StoreWrite w = fixture_write(&o);
        Log l;

        old = apply(f, WIDGET("old", ""));
        w.dry_run = true;
        const StoreOperation good[] = { APPLY(WIDGET("old", ",\"x\":1")), APPLY(NAMESPACE("prod")),
                APPLY(WIDGET_IN("prod", "a")) };
        begin_as(f, &o, &w, good, ARRAY_SIZE(good));
        assert_true(o.answered && o.n == 3 && o.revision == 2);
        assert_string_equal(o.answer.changed, "updated");
        assert_string_equal(o.answer.uid, old.answer.uid);
        assert_true(o.answer.generation == 2 && o.answer.revision == 0);
        begin_as(f, &o, &w, good + 2, 1);
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        begin_as(f, &o, &w, good + 1, 1);
        assert_string_equal(o.answer.changed, "created");
        assert_string_equal(o.answer.uid, "");
        store_flush(f->store);
        assert_int_equal(changes_since(f, 2, &l), 0);
        assert_string_equal(apply(f, WIDGET("old", "")).answer.changed, "unchanged");

        /* Nor when it is about what is under way. */
        begin_apply(f, &old, WIDGET("old", ",\"x\":2"));
        begin_as(f, &o, &w, good, 1);
        assert_false(o.answered);
        store_flush(f->store);
        assert_true(o.answered && o.answer.generation == 3 && o.answer.revision == 0);
        assert_int_equal(changes_since(f, 2, &l), 1);
}

/* Who only waited is not told that what it wrote is in doubt. */
static void test_waiting_for_what_fails(void **state)
{
        const StoreOperation b = APPLY(WIDGET("b", "")), c = APPLY(WIDGET("b", ",\"x\":1"));
        CLEANUP(db_batch_freep) DbBatch *batch = NULL;
        Outcome write, same, dry = {}, refused;
        StoreWrite w = fixture_write(&dry);
        Fixture *f = *state;

        assert_string_equal(apply(f, WIDGET("a", "")).error, "");
        assert_true(db_batch_new(&batch) >= 0);
        meta_put_u64(batch, f->store->db, META_REVISION, 1000); /* as if another had written */
        assert_true(db_write(f->store->db, batch) >= 0);
        w.dry_run = true;
        begin(f, &write, &b, 1);
        begin(f, &same, &b, 1);
        begin_as(f, &dry, &w, &c, 1);
        begin_create(f, &refused, WIDGET("b", ""));
        assert_false(write.answered || same.answered || dry.answered || refused.answered);
        store_flush(f->store);
        assert_non_null(strstr(write.message, "could not be made durable"));
        for (size_t i = 0; i < 3; i++) {
                const Outcome *o = (const Outcome *[]){ &same, &dry, &refused }[i];

                assert_string_equal(o->error, TANK_ERROR_DEGRADED);
                assert_non_null(strstr(o->message, "an earlier write failed"));
                assert_true(o->at == STORE_WHOLE);
        }
}

/* What waits takes room, whether it writes or not. */
static void check_waiting_bytes(Fixture *f, const StoreOperation *ops, size_t n, bool dry_run)
{
        enum { CALLS = 40 };
        Outcome write, o[CALLS];
        size_t busy = 0;

        begin_apply(f, &write, dry_run ? WIDGET("a", ",\"x\":1") : WIDGET("a", ",\"x\":2"));
        for (size_t i = 0; i < CALLS; i++) {
                StoreWrite w = fixture_write(&o[i]);

                w.dry_run = dry_run;
                begin_as(f, &o[i], &w, ops, n);
                if (!o[i].answered)
                        continue;
                assert_string_equal(o[i].error, TANK_ERROR_BUSY);
                busy++;
        }
        assert_true(busy > 0 && busy < CALLS);
        store_flush(f->store);
        assert_string_equal(write.error, "");
        for (size_t i = 0; i < CALLS; i++)
                assert_true(o[i].answered);
        begin_as(f, &o[0],
                        &(StoreWrite){ .privileged = true,
                                        .answered = fixture_on_answer,
                                        .userdata = &o[0] },
                        ops, 1);
        store_flush(f->store);
        assert_string_equal(o[0].error, "");
}

static void test_waiting_bytes(void **state)
{
        enum { N = LIMIT_TRANSACTION_OPS };
        StoreOperation *ops = calloc(N, sizeof(*ops));
        char(*names)[16] = calloc(N, sizeof(*names));
        Fixture *f = *state;

        assert_true(ops && names);
        for (size_t i = 0; i < N; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "n%zu", i);
                ops[i] = DELETE("widget", "default", names[i]); /* absent */
        }
        check_waiting_bytes(f, ops, N, true);
        ops[N - 1] = CREATE(WIDGET("a", ""));
        check_waiting_bytes(f, ops, N, false);
        free(ops);
        free(names);
}

static void test_too_many(void **state)
{
        enum { N = LIMIT_TRANSACTION_OPS + 1 };
        StoreOperation *ops = calloc(N, sizeof(*ops));
        char(*texts)[64] = calloc(N, sizeof(*texts));
        Fixture *f = *state;
        Outcome o;
        Log l;

        assert_true(ops && texts);
        for (size_t i = 0; i < N; i++) {
                (void) snprintf(texts[i], sizeof(texts[i]),
                                "{\"kind\":\"widget\",\"name\":\"w-%zu\"}", i);
                ops[i] = APPLY(texts[i]);
        }
        o = run(f, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_true(o.at == STORE_WHOLE);
        assert_non_null(strstr(o.message, "10000"));
        assert_int_equal(changes_since(f, 1, &l), 0);
        o = run(f, ops, N - 1);
        assert_string_equal(o.error, "");
        assert_int_equal(o.n, N - 1);
        assert_true(o.revision == 2);
        assert_true(is_there(f, "widget", "w-0") && is_there(f, "widget", "w-9999"));
        free(ops);
        free(texts);
}

static void test_too_many_namespaces(void **state)
{
        enum { N = LIMIT_TRANSACTION_SPACES + 1 };
        StoreOperation ops[N];
        char names[N][16];
        Fixture *f = *state;
        Outcome o;

        for (size_t i = 0; i < N; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "n-%zu", i);
                ops[i] = DELETE("namespace", "", names[i]);
        }
        o = run(f, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_int_equal(o.at, N - 1);
        o = run(f, ops, N - 1);
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "absent");
}

static void test_too_large(void **state)
{
        enum { N = 17, SIZE = 1000 * 1000 };
        StoreOperation ops[N];
        char *texts[N];
        Fixture *f = *state;
        Outcome o;
        Log l;

        for (size_t i = 0; i < N; i++) {
                texts[i] = malloc(SIZE + 1);
                assert_non_null(texts[i]);
                (void) snprintf(texts[i], SIZE + 1,
                                "{\"kind\":\"widget\",\"name\":\"w-%zu\",\"x\":\"%0*d\"}", i,
                                SIZE - 64, 0);
                ops[i] = APPLY(texts[i]);
        }
        o = run(f, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_int_equal(o.at, N - 1);
        assert_int_equal(changes_since(f, 1, &l), 0);
        assert_false(is_there(f, "widget", "w-0"));
        o = run(f, ops, N - 1);
        assert_string_equal(o.error, "");
        assert_true(o.revision == 2);
        for (size_t i = 0; i < N; i++)
                free(texts[i]);
}

/* What stands there is not in the message, and can be asked of again and again. */
static void test_too_much_read(void **state)
{
        enum { N = 65, SIZE = 1024 * 1024 };
        CLEANUP_FREE char *text = malloc(SIZE + 1);
        StoreOperation ops[N], back = op_object(STORE_ROLLBACK, "widget", "default", "w");
        Fixture *f = *state;
        Outcome o;

        assert_non_null(text);
        (void) snprintf(text, SIZE + 1,
                        "{\"kind\":\"widget\",\"name\":\"w\",\"namespace\":\"default\","
                        "\"x\":\"%0*d\"}",
                        SIZE - 62, 0);
        assert_string_equal(apply(f, text).error, "");
        back.revision = 2;
        for (size_t i = 0; i < N; i++)
                ops[i] = i < 32 ? CHECK("w", 2) : back;
        o = run(f, ops, 45);
        assert_string_equal(o.error, "");
        o = run(f, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_int_equal(o.at, 48);
}

/* Two transactions and single writes at once: each has its own revision, and all of its changes. */
static void test_side_by_side(void **state)
{
        Fixture *f = *state;
        Outcome a, b, c;
        Log l;

        const StoreOperation first[] = { APPLY(WIDGET("a", "")), APPLY(WIDGET("b", "")) };
        const StoreOperation second[] = { DELETE("widget", "default", "a"),
                APPLY(WIDGET("b", ",\"x\":1")), APPLY(WIDGET("c", "")) };
        begin(f, &a, first, ARRAY_SIZE(first));
        begin_apply(f, &b, WIDGET("a", ",\"x\":1"));
        begin(f, &c, second, ARRAY_SIZE(second));
        store_flush(f->store);
        assert_true(a.revision == 2 && b.revision == 3 && c.revision == 4);
        assert_int_equal(changes_since(f, 3, &l), 3);
        assert_string_equal(l.text[0], "4 deleted widget/a");
        assert_string_equal(l.text[1], "4 updated widget/b");
        assert_string_equal(l.text[2], "4 created widget/c");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_all_of_it),
                TEST(test_nothing_of_it),
                TEST(test_undone_over_pending_writes),
                TEST(test_operations_see_each_other),
                TEST(test_preconditions),
                TEST(test_dry_run),
                TEST(test_waiting_for_what_fails),
                TEST(test_waiting_bytes),
                TEST(test_too_many),
                TEST(test_too_many_namespaces),
                TEST(test_too_large),
                TEST(test_too_much_read),
                TEST(test_side_by_side),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
