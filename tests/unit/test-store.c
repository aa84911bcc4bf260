/* SPDX-License-Identifier: Apache-2.0 */

/* The semantics of the store on a real database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>

#include "store-fixture.h"

static Fixture fixture;

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

static void test_write_and_read(void **state)
{
        Fixture *f = *state;
        char error[128];
        Outcome o;

        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1}");
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "created");
        assert_true(o.answer.generation == 1 && o.answer.revision == 2);

        /* Another order of keys, and the namespace that is the default anyway. */
        Outcome same = apply(f,
                        "{\"x\":1,\"namespace\":\"default\",\"name\":\"a\", \"kind\":\"widget\"}");
        assert_string_equal(same.answer.changed, "unchanged");
        assert_true(same.answer.generation == 1 && same.answer.revision == 2);
        assert_string_equal(same.answer.uid, o.answer.uid);
        assert_true(store_revision(f->store) == 2);

        Outcome other = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":2}");
        assert_string_equal(other.answer.changed, "updated");
        assert_true(other.answer.generation == 2 && other.answer.revision == 3);
        assert_string_equal(other.answer.uid, o.answer.uid);

        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "a", error);
                const json_t *meta = json_object_get(doc, "meta");

                assert_int_equal(json_get_int(doc, "x", 0), 2);
                assert_int_equal(json_get_int(meta, "revision", 0), 3);
                assert_int_equal(json_get_int(meta, "generation", 0), 2);
                assert_true(strcmp(json_get_string(meta, "created"),
                                            json_get_string(meta, "updated")) < 0);
        }
        assert_null(get(f, "widget", "default", "b", error));
        assert_string_equal(error, TANK_ERROR_NOT_FOUND);
        assert_null(get(f, "widget", "default", "B", error));
        assert_string_equal(error, TANK_ERROR_INVALID_ARGUMENT);
}

static void test_delete(void **state)
{
        Fixture *f = *state;
        char error[128];
        Outcome first = apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}"), o;

        o = delete (f, "widget", "default", "a");
        assert_string_equal(o.answer.changed, "deleted");
        assert_true(o.revision == 3 && o.answer.revision == 3);
        assert_null(get(f, "widget", "default", "a", error));
        assert_string_equal(error, TANK_ERROR_NOT_FOUND);

        o = delete (f, "widget", "default", "a");
        assert_string_equal(o.error, "");
        assert_string_equal(o.answer.changed, "absent");
        assert_true(o.revision == 3);
        assert_true(store_revision(f->store) == 3);

        /* Another incarnation. */
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}");
        assert_string_equal(o.answer.changed, "created");
        assert_true(o.answer.generation == 1);
        assert_string_not_equal(o.answer.uid, first.answer.uid);
}

static void test_refusals(void **state)
{
        static const struct {
                const char *text, *error, *part;
        } cases[] = {
                { "nonsense", TANK_ERROR_INVALID_ARGUMENT, "line 1" },
                { "[]", TANK_ERROR_INVALID_ARGUMENT, "a map with kind and name" },
                { "{\"kind\":\"widget\"}", TANK_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"kind\":\"widget\",\"name\":\"a/b\"}", TANK_ERROR_INVALID_ARGUMENT, "name" },
                { "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"nowhere\"}",
                                TANK_ERROR_NOT_FOUND, "nowhere" },
                { "{\"kind\":\"widget\",\"name\":\"a\",\"status\":{}}", TANK_ERROR_INVALID_ARGUMENT,
                                "status" },
                { "{\"kind\":\"widget\",\"name\":\"a\",\"meta\":7}", TANK_ERROR_INVALID_ARGUMENT,
                                "meta" },
                { "{\"kind\":\"widget\",\"name\":\"a\",\"meta\":{\"revision\":-1}}",
                                TANK_ERROR_INVALID_ARGUMENT, "meta.revision" },
                { "{\"kind\":\"pod\",\"name\":\"a\",\"nonsense\":1}", TANK_ERROR_INVALID_ARGUMENT,
                                "nonsense" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                Outcome o = apply(f, cases[i].text);

                assert_string_equal(o.error, cases[i].error);
                assert_non_null(strstr(o.message, cases[i].part));
        }
        assert_true(store_revision(f->store) == 1);
}

static void test_preconditions(void **state)
{
        Fixture *f = *state;
        StoreOperation op;
        Outcome o;

        begin_create(f, &o, "{\"kind\":\"widget\",\"name\":\"a\"}");
        store_flush(f->store);
        assert_string_equal(o.error, "");
        begin_create(f, &o, "{\"kind\":\"widget\",\"name\":\"a\"}");
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        begin_create(f, &o, "{\"kind\":\"widget\",\"name\":\"b\",\"meta\":{}}");
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);

        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1,\"meta\":{\"revision\":9}}");
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);
        assert_non_null(strstr(o.message, "revision 2"));
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1,\"meta\":{\"revision\":2}}");
        assert_true(o.answer.revision == 3);
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"c\",\"meta\":{\"revision\":2}}");
        assert_string_equal(o.error, TANK_ERROR_CONFLICT);

        /* The option goes before the document's own. */
        op = op_if(op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":2,"
                                            "\"meta\":{\"revision\":9}}"),
                        3);
        assert_true(run(f, &op, 1).revision == 4);
        /* 0: must be absent */
        op = op_if(op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":3}"), 0);
        assert_string_equal(run(f, &op, 1).error, TANK_ERROR_CONFLICT);

        op = op_if(op_object(STORE_DELETE, "widget", "default", "a"), 3);
        assert_string_equal(run(f, &op, 1).error, TANK_ERROR_CONFLICT);
        op.if_revision = 4;
        assert_string_equal(run(f, &op, 1).answer.changed, "deleted");
}

/* Writes that follow unanswered ones of the same object build upon them. */
static void test_pending_writes(void **state)
{
        Outcome a, b, c, d, e, g, refused;
        Fixture *f = *state;
        StoreOperation op;

        begin_apply(f, &a, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1}");
        begin_apply(f, &b, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1}");
        begin_apply(f, &c, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":2}");
        op = op_if(op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":9}"), 2);
        begin(f, &refused, &op, 1);
        begin_delete(f, &d, "widget", "default", "a");
        begin_delete(f, &g, "widget", "default", "a");
        begin_create(f, &e, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":2}");
        store_flush(f->store);

        assert_string_equal(refused.error, TANK_ERROR_CONFLICT);
        assert_true(refused.at == 0 && refused.stands == 3);
        assert_string_equal(a.answer.changed, "created");
        assert_string_equal(b.answer.changed, "unchanged");
        assert_true(b.answer.revision == a.answer.revision);
        assert_string_equal(c.answer.changed, "updated");
        assert_true(c.answer.generation == 2);
        assert_string_equal(c.answer.uid, a.answer.uid);
        assert_string_equal(d.answer.changed, "deleted");
        assert_true(d.revision == 4);
        assert_string_equal(g.answer.changed, "absent");
        assert_true(g.revision == 4);
        assert_string_equal(e.answer.changed, "created");
        assert_true(e.answer.revision == 5 && e.answer.generation == 1);
        assert_string_not_equal(e.answer.uid, a.answer.uid);
        assert_true(store_revision(f->store) == 5);
}

/* No answer speaks of what may yet be lost, refusals included; what follows from nothing that is
 * under way is told at once. */
static void test_nothing_is_told_early(void **state)
{
        const StoreOperation same =
                        op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"a\"}");
        StoreOperation ops[2] = { same, same };
        Outcome written, unchanged, exists, conflict, nowhere, bad, twice, dry;
        StoreWrite w = fixture_write(&dry);
        Fixture *f = *state;

        begin_apply(f, &written, "{\"kind\":\"widget\",\"name\":\"a\"}");
        begin(f, &unchanged, &same, 1);
        begin_create(f, &exists, "{\"kind\":\"widget\",\"name\":\"a\"}");
        ops[0] = op_if(op_object(STORE_CHECK, "widget", "default", "b"), 7);
        begin(f, &conflict, ops, 1);
        begin_apply(f, &nowhere, "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"x\"}");
        ops[0] = op_object(STORE_DELETE, "widget", "default", "a");
        begin(f, &twice, ops, 2);
        w.dry_run = true;
        begin_as(f, &dry, &w, &same, 1);
        begin_apply(f, &bad, "nonsense");
        assert_string_equal(bad.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_false(written.answered || unchanged.answered || exists.answered ||
                        conflict.answered || nowhere.answered || twice.answered || dry.answered);
        store_flush(f->store);
        assert_string_equal(written.answer.changed, "created");
        assert_string_equal(unchanged.answer.changed, "unchanged");
        assert_string_equal(dry.answer.changed, "unchanged");
        assert_true(unchanged.answer.revision == 2 && dry.revision == 2);
        assert_string_equal(exists.error, TANK_ERROR_ALREADY_EXISTS);
        assert_true(exists.stands == 2 && exists.at == 0);
        assert_string_equal(conflict.error, TANK_ERROR_CONFLICT);
        assert_true(conflict.stands == 0);
        assert_string_equal(nowhere.error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(twice.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(twice.at, 1);
        assert_true(store_revision(f->store) == 2);

        /* Nothing under way: at once. */
        begin_create(f, &exists, "{\"kind\":\"widget\",\"name\":\"a\"}");
        assert_string_equal(exists.error, TANK_ERROR_ALREADY_EXISTS);
}

static void test_namespaces(void **state)
{
        Outcome o, p, q, r, held, late;
        Fixture *f = *state;

        o = delete (f, "namespace", "", "default");
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        o = delete (f, "namespace", "", "system");
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        assert_string_equal(apply(f, "{\"kind\":\"namespace\",\"name\":\"prod\"}").error, "");
        assert_string_equal(apply(f, "{\"kind\":\"namespace\",\"name\":\"prod-2\"}").error, "");
        assert_string_equal(
                        apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"prod-2\"}")
                                        .error,
                        "");
        assert_string_equal(
                        apply(f, "{\"kind\":\"gadget\",\"name\":\"a\",\"namespace\":\"prod-2\"}")
                                        .error,
                        "");
        o = delete (f, "namespace", "", "prod-2");
        assert_string_equal(o.error, TANK_ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(o.message, "2 objects"));
        assert_string_equal(delete (f, "namespace", "", "prod").error, "");

        /* Under way counts: one leaves, one comes. */
        assert_string_equal(delete (f, "gadget", "prod-2", "a").error, "");
        begin_delete(f, &o, "widget", "prod-2", "a");
        begin_apply(f, &p, "{\"kind\":\"gadget\",\"name\":\"b\",\"namespace\":\"prod-2\"}");
        begin_delete(f, &held, "namespace", "", "prod-2");
        begin_delete(f, &r, "gadget", "prod-2", "b");
        begin_delete(f, &q, "namespace", "", "prod-2");
        begin_apply(f, &late, "{\"kind\":\"gadget\",\"name\":\"c\",\"namespace\":\"prod-2\"}");
        store_flush(f->store);
        assert_string_equal(held.error, TANK_ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(held.message, "1 object:"));
        assert_string_equal(late.error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(q.answer.changed, "deleted");
}

static const char pod[] =
                "{\"kind\":\"pod\",\"name\":\"p\",\"containers\":[{\"name\":\"c\",\"image\":"
                "{\"rootfs\":\"/srv\"},\"command\":[\"x\"]}]}";

static void test_privileged(void **state)
{
        StoreOperation op = op_document(STORE_APPLY, pod);
        Fixture *f = *state;
        Outcome o;
        StoreWrite w = fixture_write(&o);

        w.privileged = false;
        begin_as(f, &o, &w, &op, 1);
        assert_string_equal(o.error, TANK_ERROR_ACCESS_DENIED);
        assert_non_null(strstr(o.message, "rootfs"));
        assert_string_equal(apply(f, pod).error, "");

        /* What stands there is privileged too. */
        op = op_object(STORE_DELETE, "pod", "default", "p");
        begin_as(f, &o, &w, &op, 1);
        assert_string_equal(o.error, TANK_ERROR_ACCESS_DENIED);
        assert_string_equal(delete (f, "pod", "default", "p").error, "");

        /* And so is what stood there once. */
        op = op_object(STORE_ROLLBACK, "pod", "default", "p");
        op.revision = 2;
        begin_as(f, &o, &w, &op, 1);
        assert_string_equal(o.error, TANK_ERROR_ACCESS_DENIED);
        assert_non_null(strstr(o.message, "rootfs"));

        op = op_document(STORE_APPLY, "{\"kind\":\"widget\",\"name\":\"w\"}");
        begin_as(f, &o, &w, &op, 1);
        store_flush(f->store);
        assert_string_equal(o.error, "");
}

/* ---- lists and changes ---- */

/* ---- batches, reopening ---- */

static void test_group_commit(void **state)
{
        enum { N = 2000 };
        Outcome *o = calloc(N, sizeof(*o));
        Fixture *f = *state;
        char text[80];

        assert_non_null(o);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"w%u\"}", i);
                begin_apply(f, &o[i], text);
        }
        store_flush(f->store);
        for (unsigned i = 0; i < N; i++) {
                assert_true(o[i].answered);
                assert_true(o[i].answer.revision == i + 2);
        }
        assert_true(store_revision(f->store) == N + 1);
        /* One signal for each batch, and far fewer batches than writes. */
        assert_true(f->n_batches >= 1 && f->n_batches < N / 2);
        free(o);
}

static void test_queue_is_bounded(void **state)
{
        enum { N = 12000 };
        Outcome *o = calloc(N, sizeof(*o));
        unsigned busy = 0, answered = 0;
        Fixture *f = *state;
        char text[80];

        assert_non_null(o);
        /* Batches come back only through the loop, which does not run: all of them are queued. */
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"w%u\"}", i);
                begin_apply(f, &o[i], text);
                busy += streq(o[i].error, TANK_ERROR_BUSY);
        }
        store_flush(f->store);
        for (unsigned i = 0; i < N; i++)
                answered += o[i].answered && isempty(o[i].error);
        assert_int_equal(busy, N - 10000);
        assert_int_equal(answered, 10000);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"late\"}").error, "");
        free(o);
}

static void test_reopen(void **state)
{
        char id[ID128_SIZE], error[128];
        Fixture *f = *state;
        Outcome o;

        memcpy(id, store_database_id(f->store), sizeof(id));
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":1}");
        for (int i = 0; i < 3; i++) {
                fixture_close(f);
                assert_true(fixture_open(f) >= 0);
                assert_string_equal(store_database_id(f->store), id);
                assert_true(store_revision(f->store) == o.answer.revision);
                assert_false(store_is_degraded(f->store));

                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "a", error);
                assert_string_equal(
                                json_get_string(json_object_get(doc, "meta"), "uid"), o.answer.uid);
        }
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\",\"x\":2}");
        assert_true(o.answer.generation == 2 && o.answer.revision == 3);
}

static void test_seed(void **state)
{
        Fixture *f = *state;
        char path[128], error[128];
        CLEANUP(fclosep) FILE *file = NULL;

        (void) snprintf(path, sizeof(path), "%s/seed", f->dir);
        file = fopen(path, "we");
        assert_non_null(file);
        (void) fputs("{\"kind\":\"namespace\",\"name\":\"prod\"}\n"
                     "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"prod\",\"x\":1}\n"
                     "\n"
                     "not JSON\n"
                     "{\"kind\":\"widget\",\"name\":\"b\",\"namespace\":\"nowhere\"}\n"
                     "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"prod\",\"x\":2}\n"
                     "{\"kind\":\"widget\",\"name\":\"last\"}",
                        file);
        (void) fflush(file);
        assert_true(store_seed(f->store, path) >= 0);
        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "prod", "a", error);
                assert_int_equal(json_get_int(doc, "x", 0), 1);
        }
        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "last", error);
                assert_non_null(doc);
        }
        assert_true(store_revision(f->store) == 4);
        assert_true(store_seed(f->store, path) >= 0);
        assert_true(store_revision(f->store) == 4);
        assert_true(store_seed(f->store, "/nonexistent/seed") < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_write_and_read),
                TEST(test_delete),
                TEST(test_refusals),
                TEST(test_preconditions),
                TEST(test_pending_writes),
                TEST(test_nothing_is_told_early),
                TEST(test_namespaces),
                TEST(test_privileged),
                TEST(test_group_commit),
                TEST(test_queue_is_bounded),
                TEST(test_reopen),
                TEST(test_seed),
        };

        log_setup("test-store");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
