/* SPDX-License-Identifier: Apache-2.0 */

/* What a write may say beside its documents: update of what must be there, namespaces that are made
 * with what stands in them or go with it, and the revision that a conflict tells. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "limit.h"
#include "store-fixture.h"

#define WIDGET(name, rest)  "{\"kind\":\"widget\",\"name\":\"" name "\"" rest "}"
#define WIDGET_IN(ns, name) WIDGET(name, ",\"namespace\":\"" ns "\"")
#define NAMESPACE(name)     "{\"kind\":\"namespace\",\"name\":\"" name "\"}"
#define POD_IN(ns, name) \
        "{\"kind\":\"pod\",\"name\":\"" name "\",\"namespace\":\"" ns "\",\"containers\":[{" \
        "\"name\":\"main\",\"image\":{\"rootfs\":\"/srv\"},\"command\":[\"x\"]}]}"
#define APPLY(text)  op_document(STORE_APPLY, text)
#define CREATE(text) op_document(STORE_CREATE, text)
#define UPDATE(text) op_document(STORE_UPDATE, text)

static StoreOperation op_cascade(const char *ns)
{
        StoreOperation o = op_object(STORE_DELETE, "namespace", "", ns);

        o.cascade = true;
        return o;
}

/* As @change makes the write. */
static Outcome run_as(Fixture *f, const StoreWrite *change, const StoreOperation *ops, size_t n)
{
        Outcome o;
        StoreWrite w = *change;

        w.answered = fixture_on_answer;
        w.userdata = &o;
        begin_as(f, &o, &w, ops, n);
        store_flush(f->store);
        assert_true(o.answered);
        return o;
}

#define RUN(f, ...) \
        ({ \
                const StoreOperation _ops[] = { __VA_ARGS__ }; \
                run(f, _ops, ARRAY_SIZE(_ops)); \
        })
#define RUN_MAKING(f, ...) \
        ({ \
                const StoreOperation _ops[] = { __VA_ARGS__ }; \
                const StoreWrite _w = { .by = 7, .privileged = true, .create_namespaces = true }; \
                run_as(f, &_w, _ops, ARRAY_SIZE(_ops)); \
        })

static bool is_there(Fixture *f, const char *type, const char *ns, const char *name)
{
        char error[128];
        CLEANUP_JSON json_t *doc = get(f, type, ns, name, error);

        assert_true(doc || streq(error, TANK_ERROR_NOT_FOUND));
        return doc;
}

static void test_update(void **state)
{
        Fixture *f = *state;
        Outcome o;

        o = RUN(f, UPDATE(WIDGET("a", "")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        o = RUN(f, op_if(UPDATE(WIDGET("a", "")), 0));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_true(store_revision(f->store) == 1);
        apply(f, WIDGET("a", ",\"x\":1"));
        o = RUN(f, UPDATE(WIDGET("a", ",\"x\":1")));
        assert_string_equal(o.answer.changed, "unchanged");
        o = RUN(f, op_if(UPDATE(WIDGET("a", ",\"x\":2")), 2));
        assert_string_equal(o.answer.changed, "updated");
        assert_true(o.answer.revision == 3 && o.answer.generation == 2);
        o = RUN(f, op_if(UPDATE(WIDGET("a", ",\"x\":3")), 2));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        delete (f, "widget", "default", "a");
        o = RUN(f, UPDATE(WIDGET("a", ",\"x\":2")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        /* Each operation sees those before it. */
        o = RUN(f, CREATE(WIDGET("b", "")), UPDATE(WIDGET("c", "")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_int_equal(o.at, 1);
        assert_false(is_there(f, "widget", "default", "b"));
}

static void test_conflict_tells_the_revision(void **state)
{
        uint64_t stands = 99;
        StoreWrite w = { .by = 7, .privileged = true, .reterr_revision = &stands };
        Fixture *f = *state;
        StoreOperation ops[] = { APPLY(WIDGET("b", "")), op_if(APPLY(WIDGET("a", "")), 9) };
        Outcome o;

        o = run_as(f, &w, ops, 2);
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_true(o.at == 1 && stands == 0);
        apply(f, WIDGET("a", ",\"x\":1"));
        o = run_as(f, &w, ops, 2);
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_true(stands == 2);
        ops[1] = CREATE(WIDGET("a", ""));
        stands = 99;
        o = run_as(f, &w, ops, 2);
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        assert_true(o.at == 1 && stands == 2);
        ops[1] = op_if(op_object(STORE_DELETE, "widget", "default", "a"), 7);
        stands = 99;
        o = run_as(f, &w, ops, 2);
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_true(stands == 2);
}

static void test_namespaces_are_made(void **state)
{
        Fixture *f = *state;
        Outcome o;

        o = RUN(f, APPLY(WIDGET_IN("prod", "a")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        o = RUN_MAKING(f, APPLY(WIDGET_IN("prod", "a")), APPLY(WIDGET_IN("prod", "b")),
                        CREATE(WIDGET_IN("test", "a")), APPLY(WIDGET("c", "")));
        assert_string_equal(o.error, "");
        assert_true(o.n == 4 && o.revision == 2 && store_revision(f->store) == 2);
        assert_true(is_there(f, "namespace", "", "prod") && is_there(f, "namespace", "", "test"));
        assert_true(is_there(f, "widget", "prod", "b") && is_there(f, "widget", "test", "a"));

        /* A transaction that fails makes none. */
        o = RUN_MAKING(f, APPLY(WIDGET_IN("other", "a")), CREATE(WIDGET_IN("prod", "a")));
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        assert_int_equal(o.at, 1);
        assert_false(is_there(f, "namespace", "", "other"));
        /* Declared before, in the same transaction: that is the one. */
        o = RUN_MAKING(f, APPLY(NAMESPACE("other")), APPLY(WIDGET_IN("other", "a")));
        assert_string_equal(o.error, "");
        /* Gone before, in the same transaction: one version of an object for each revision. */
        o = RUN_MAKING(f, op_cascade("other"), APPLY(WIDGET_IN("other", "b")));
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(o.at, 1);
        assert_true(is_there(f, "widget", "other", "a"));
        /* What is only written over makes none: it would have to be there. */
        o = RUN_MAKING(f, UPDATE(WIDGET_IN("missing", "a")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_false(is_there(f, "namespace", "", "missing"));
        assert_true(store_revision(f->store) == 3);
}

/* clang-format off */
#define LABELED(name) \
        "{\"kind\":\"namespace\",\"name\":\"" name "\",\"labels\":{\"a\":\"b\"}}"
/* clang-format on */
#define CHECK_SPACE(name, revision) op_if(op_object(STORE_CHECK, "namespace", "", name), revision)

static void assert_labeled(Fixture *f, const char *name, uint64_t revision)
{
        char error[128];
        CLEANUP_JSON json_t *doc = get(f, "namespace", "", name, error);
        const json_t *meta = json_object_get(doc, "meta");

        assert_non_null(json_object_get(json_object_get(doc, "labels"), "a"));
        assert_int_equal(json_get_int(meta, "revision", 0), revision);
        assert_int_equal(json_get_int(meta, "generation", 0), 1);
}

/* Who says what a namespace shall be makes it, also from behind those who need it. */
static void test_namespaces_that_are_declared_later(void **state)
{
        StoreOperation back = op_object(STORE_ROLLBACK, "namespace", "", "one");
        Fixture *f = *state;
        Outcome o;

        o = RUN_MAKING(f, CREATE(WIDGET_IN("one", "a")), APPLY(WIDGET_IN("one", "b")),
                        CHECK_SPACE("one", 0), CREATE(LABELED("one")));
        assert_string_equal(o.message, "");
        assert_true(o.n == 4 && o.revision == 2);
        assert_labeled(f, "one", 2);
        o = RUN_MAKING(f, APPLY(WIDGET_IN("two", "a")), op_if(APPLY(LABELED("two")), 0),
                        CHECK_SPACE("two", 0));
        assert_string_equal(o.message, "");
        assert_labeled(f, "two", 3);
        o = RUN_MAKING(f, APPLY(WIDGET_IN("three", "a")), CHECK_SPACE("three", 0));
        assert_string_equal(o.message, "");

        /* What is wrong with it is told of it. */
        o = RUN_MAKING(f, APPLY(WIDGET_IN("four", "a")), APPLY(WIDGET("c", "")),
                        op_if(APPLY(LABELED("four")), 3));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_int_equal(o.at, 2);
        o = RUN_MAKING(f, APPLY(WIDGET_IN("four", "a")), APPLY(LABELED("four")),
                        APPLY(NAMESPACE("four")));
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(o.at, 2);
        /* To update it, it would have to be there before. */
        o = RUN_MAKING(f, APPLY(WIDGET_IN("four", "a")), UPDATE(LABELED("four")));
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_false(is_there(f, "namespace", "", "four"));

        /* And that which comes back is as it was. */
        assert_string_equal(RUN(f, op_cascade("one")).error, "");
        back.revision = 2;
        o = RUN_MAKING(f, APPLY(WIDGET_IN("one", "a")), back);
        assert_string_equal(o.message, "");
        assert_labeled(f, "one", o.revision);
        /* Without the option all is in its order. */
        o = RUN(f, APPLY(WIDGET_IN("five", "a")), APPLY(NAMESPACE("five")));
        assert_string_equal(o.error, TANK_ERROR_NOT_FOUND);
        assert_int_equal(o.at, 0);
}

static void test_undelete_into_a_namespace_that_went(void **state)
{
        StoreOperation back = op_object(STORE_ROLLBACK, "widget", "prod", "a");
        Fixture *f = *state;
        Outcome o;

        o = RUN_MAKING(f, APPLY(WIDGET_IN("prod", "a")));
        back.revision = o.revision;
        assert_string_equal(RUN(f, op_cascade("prod")).error, "");
        assert_string_equal(RUN(f, back).error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(RUN_MAKING(f, back).error, "");
        assert_true(is_there(f, "widget", "prod", "a") && is_there(f, "namespace", "", "prod"));
}

static void test_cascade(void **state)
{
        StoreOperation bad = op_object(STORE_DELETE, "widget", "prod", "a");
        Outcome o, applied, deleted;
        Fixture *f = *state;

        o = RUN_MAKING(f, APPLY(WIDGET_IN("prod", "a")), APPLY(WIDGET_IN("prod-2", "a")),
                        APPLY(POD_IN("prod", "web")), APPLY(WIDGET_IN("pro", "a")));
        assert_string_equal(o.message, "");
        /* Also what is only under way, and not what is about to go. */
        begin_apply(f, &applied, WIDGET_IN("prod", "late"));
        begin_delete(f, &deleted, "widget", "prod", "a");
        o = RUN(f, op_cascade("prod"));
        assert_string_equal(o.error, "");
        assert_true(o.n == 1 && o.revision == 5);
        assert_string_equal(o.answer.changed, "deleted");
        assert_false(is_there(f, "namespace", "", "prod") || is_there(f, "widget", "prod", "a") ||
                        is_there(f, "widget", "prod", "late") || is_there(f, "pod", "prod", "web"));
        assert_true(is_there(f, "widget", "prod-2", "a") && is_there(f, "widget", "pro", "a"));

        o = RUN(f, op_cascade("prod"));
        assert_string_equal(o.answer.changed, "absent");
        assert_string_equal(RUN(f, op_cascade("default")).error, TANK_ERROR_FAILED_PRECONDITION);
        assert_string_equal(RUN(f, op_cascade("system")).error, TANK_ERROR_FAILED_PRECONDITION);
        assert_string_equal(RUN(f, op_cascade("A/b")).error, TANK_ERROR_INVALID_ARGUMENT);
        bad.cascade = true;
        assert_string_equal(RUN(f, bad).error, TANK_ERROR_INVALID_ARGUMENT);
        o = RUN(f, op_if(op_cascade("pro"), 99));
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_true(is_there(f, "widget", "pro", "a"));
        /* What the transaction has put there cannot go by it. */
        o = RUN(f, APPLY(WIDGET_IN("pro", "b")), op_cascade("pro"));
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_true(o.at == 1 && !is_there(f, "widget", "pro", "b"));
        o = RUN(f, op_object(STORE_DELETE, "widget", "pro", "a"), op_cascade("pro"));
        assert_string_equal(o.error, "");
}

static void test_cascade_needs_the_rights(void **state)
{
        const StoreWrite member = { .by = 1000, .create_namespaces = true };
        const StoreOperation cascade = op_cascade("prod"), declares = APPLY(WIDGET_IN("prod", "a"));
        Fixture *f = *state;
        Outcome o;

        assert_string_equal(run_as(f, &member, &declares, 1).error, "");
        assert_string_equal(RUN(f, APPLY(POD_IN("prod", "web"))).message, "");
        o = run_as(f, &member, &cascade, 1);
        assert_string_equal(o.error, TANK_ERROR_ACCESS_DENIED);
        assert_non_null(strstr(o.message, "prod/web"));
        assert_true(is_there(f, "widget", "prod", "a"));
        delete (f, "pod", "prod", "web");
        assert_string_equal(run_as(f, &member, &cascade, 1).error, "");
}

/* With the namespace itself one too many; and just as many as there can be. */
static void test_cascade_too_large(void **state)
{
        enum { N = LIMIT_TRANSACTION_OPS };
        StoreOperation *ops = calloc(N, sizeof(*ops));
        char(*texts)[80] = calloc(N, sizeof(*texts));
        Fixture *f = *state;
        Outcome o;

        assert_true(ops && texts);
        for (size_t i = 0; i < N; i++) {
                (void) snprintf(texts[i], sizeof(texts[i]),
                                "{\"kind\":\"widget\",\"name\":\"w-%zu\",\"namespace\":\"prod\"}",
                                i);
                ops[i] = APPLY(texts[i]);
        }
        apply(f, NAMESPACE("prod"));
        assert_string_equal(run(f, ops, N).error, "");
        o = RUN(f, op_cascade("prod"));
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_true(store_revision(f->store) == 3);
        assert_true(is_there(f, "widget", "prod", "w-0"));
        delete (f, "widget", "prod", "w-0");
        o = RUN(f, op_cascade("prod"));
        assert_string_equal(o.error, "");
        assert_false(is_there(f, "widget", "prod", "w-1"));

        /* The namespaces that come with them are counted, too. */
        for (size_t i = 0; i < N; i++) {
                (void) snprintf(texts[i], sizeof(texts[i]),
                                "{\"kind\":\"widget\",\"name\":\"w\",\"namespace\":\"n-%zu\"}", i);
                ops[i] = APPLY(texts[i]);
        }
        o = run_as(f, &(const StoreWrite){ .create_namespaces = true }, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_int_equal(o.at, N / 2);
        assert_false(is_there(f, "namespace", "", "n-0"));
        o = run_as(f, &(const StoreWrite){ .create_namespaces = true }, ops, N / 2);
        assert_string_equal(o.error, "");
        free(ops);
        free(texts);
}

static void test_many_cascades(void **state)
{
        enum { N = LIMIT_TRANSACTION_SPACES + 1 };
        StoreOperation ops[N];
        char texts[N][64], names[N][16];
        Fixture *f = *state;
        Outcome o;

        for (size_t i = 0; i < N; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "n-%zu", i);
                (void) snprintf(texts[i], sizeof(texts[i]),
                                "{\"kind\":\"widget\",\"name\":\"w\",\"namespace\":\"%s\"}",
                                names[i]);
                ops[i] = APPLY(texts[i]);
        }
        o = run_as(f, &(const StoreWrite){ .create_namespaces = true }, ops, N);
        assert_string_equal(o.error, "");
        for (size_t i = 0; i < N; i++)
                ops[i] = op_cascade(names[i]);
        o = run(f, ops, N);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_int_equal(o.at, N - 1);
        assert_true(is_there(f, "widget", "n-0", "w"));
        o = run(f, ops, N - 1);
        assert_string_equal(o.error, "");
        assert_true(o.n == N - 1 && store_revision(f->store) == 3);
        assert_false(is_there(f, "widget", "n-0", "w"));
}

static void test_dry_run_makes_nothing(void **state)
{
        const StoreWrite w = { .dry_run = true, .create_namespaces = true };
        const StoreOperation op = APPLY(WIDGET_IN("prod", "a")), cascade = op_cascade("test");
        Fixture *f = *state;

        assert_string_equal(run_as(f, &w, &op, 1).answer.changed, "created");
        RUN_MAKING(f, APPLY(WIDGET_IN("test", "a")));
        assert_string_equal(run_as(f, &w, &cascade, 1).answer.changed, "deleted");
        assert_true(is_there(f, "widget", "test", "a") && store_revision(f->store) == 2);
        assert_false(is_there(f, "namespace", "", "prod"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_update),
                TEST(test_conflict_tells_the_revision),
                TEST(test_namespaces_are_made),
                TEST(test_namespaces_that_are_declared_later),
                TEST(test_undelete_into_a_namespace_that_went),
                TEST(test_cascade),
                TEST(test_cascade_needs_the_rights),
                TEST(test_cascade_too_large),
                TEST(test_many_cascades),
                TEST(test_dry_run_makes_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
