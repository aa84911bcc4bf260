/* SPDX-License-Identifier: Apache-2.0 */

/* Quotas of namespaces: what is refused and what passes, with writes under way, and that the
 * numbers are those of what stands, however they came about. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>

#include "secret-fixture.h"
#include "store-history.h"
#include "store-meta.h"
#include "store-quota.h"

#define SPACE(quota)    "{\"kind\":\"namespace\",\"name\":\"q\"" quota "}"
#define OBJECTS(n)      SPACE(",\"quota\":{\"objects\":" #n "}")
#define SIZE(n)         SPACE(",\"quota\":{\"size\":" #n "}")
#define IN(ns, name, x) "{\"kind\":\"widget\",\"name\":\"" name "\",\"namespace\":\"" ns "\"" x "}"
#define WIDGET(name)    IN("q", name, "")
#define FAT(name)       IN("q", name, ",\"x\":\"0123456789012345678901234567890123456789\"")
#define CREATE(text)    op_document(STORE_CREATE, text)
#define APPLY(text)     op_document(STORE_APPLY, text)
#define DELETE(name)    op_object(STORE_DELETE, "widget", "q", name)
#define RUN(f, ...) \
        ({ \
                const StoreOperation _ops[] = { __VA_ARGS__ }; \
                run(f, _ops, ARRAY_SIZE(_ops)); \
        })
#define assert_applied(f, text) assert_string_equal(apply(f, text).error, "")
#define assert_full(o)          assert_string_equal((o).error, TANK_ERROR_LIMIT_EXCEEDED)

typedef struct Use {
        const char *namespace;
        QuotaUse use;
        bool known;
} Use;

static int see_use(const char *namespace, const QuotaUse *use, void *userdata)
{
        Use *u = userdata;

        if (streq(namespace, u->namespace)) {
                u->use = *use;
                u->known = true;
        }
        return 0;
}

/* Of the namespace q, once it is counted. */
static QuotaUse use_of(Fixture *f)
{
        Use u = { .namespace = "q" };

        while (quotas_walk(f->store->quotas, see_use, &u) == 0 && !u.known) {
                int r = sd_event_run(f->event, 0);

                assert_true(r > 0);
        }
        return u.use;
}

/* All is forgotten and counted again: the numbers are the same. */
static void assert_use(Fixture *f, int64_t objects)
{
        QuotaUse kept = use_of(f), counted;

        assert_int_equal(kept.objects, objects);
        quotas_forget(f->store->quotas);
        counted = use_of(f);
        assert_int_equal(counted.objects, kept.objects);
        assert_int_equal(counted.bytes, kept.bytes);
}

static void test_objects(void **state)
{
        Fixture *f = *state;
        Outcome o, a, b;

        assert_applied(f, OBJECTS(2));
        assert_applied(f, WIDGET("a"));
        assert_applied(f, "{\"kind\":\"gadget\",\"name\":\"a\",\"namespace\":\"q\"}");
        o = apply(f, WIDGET("b"));
        assert_full(o);
        assert_string_equal(o.message,
                        "the namespace 'q' is full: it holds 2 of 2 objects, and 1 more would "
                        "come: delete some, or raise its quota.objects");
        assert_use(f, 2);
        /* What is there can be changed, as much as one likes, and what is elsewhere, too. */
        assert_applied(f, FAT("a"));
        assert_applied(f, IN("default", "b", ""));

        /* A deletion under way makes room, and a write under way takes it. */
        begin_delete(f, &a, "widget", "q", "a");
        begin_apply(f, &b, WIDGET("b"));
        begin_apply(f, &o, WIDGET("c"));
        assert_false(a.answered || b.answered || o.answered);
        store_flush(f->store);
        assert_full(o);
        assert_string_equal(a.error, "");
        assert_string_equal(b.error, "");
        assert_use(f, 2);

        /* Nothing at all, and as much as anybody likes. */
        assert_applied(f, OBJECTS(0));
        assert_full(apply(f, WIDGET("d")));
        assert_applied(f, SPACE(""));
        assert_applied(f, WIDGET("d"));
}

static void test_transactions(void **state)
{
        Fixture *f = *state;
        Outcome o;

        assert_applied(f, OBJECTS(2));
        o = RUN(f, CREATE(WIDGET("a")), CREATE(WIDGET("b")), CREATE(WIDGET("c")));
        assert_full(o);
        assert_true(o.at == STORE_WHOLE);
        assert_use(f, 0);
        assert_string_equal(RUN(f, CREATE(WIDGET("a")), CREATE(WIDGET("b"))).error, "");
        /* The order within it does not matter. */
        o = RUN(f, CREATE(WIDGET("c")), APPLY(FAT("b")), DELETE("a"));
        assert_string_equal(o.error, "");
        assert_use(f, 2);
        assert_full(RUN(f, CREATE(WIDGET("a")), CREATE(WIDGET("d")), DELETE("b")));
        /* One that fails behind its first operation leaves nothing taken. */
        o = RUN(f, DELETE("b"), CREATE(WIDGET("a")), CREATE(WIDGET("c")));
        assert_string_equal(o.error, TANK_ERROR_ALREADY_EXISTS);
        assert_use(f, 2);

        /* The quota that it sets itself is the one it is judged by. */
        o = RUN(f, APPLY(OBJECTS(3)), CREATE(WIDGET("a")), CREATE(WIDGET("d")));
        assert_full(o);
        assert_non_null(strstr(o.message, "2 of 3"));
        assert_full(apply(f, WIDGET("e"))); /* and is not there when it did not come to be */
        o = RUN(f, CREATE(WIDGET("a")), APPLY(OBJECTS(4)), CREATE(WIDGET("d")));
        assert_string_equal(o.error, "");
        assert_use(f, 4);
}

static void test_dry_run(void **state)
{
        Fixture *f = *state;
        const StoreOperation both[] = { CREATE(WIDGET("a")), CREATE(WIDGET("b")) };
        const StoreOperation raise = APPLY(OBJECTS(9));
        StoreWrite w;
        Outcome o;

        assert_applied(f, OBJECTS(1));
        w = fixture_write(&o);
        w.dry_run = true;
        begin_as(f, &o, &w, both, 2);
        assert_full(o);
        begin_as(f, &o, &w, both, 1);
        assert_string_equal(o.error, "");
        assert_use(f, 0);
        begin_as(f, &o, &w, &raise, 1);
        assert_string_equal(o.error, "");
        assert_full(RUN(f, both[0], both[1]));
        assert_applied(f, WIDGET("a"));
        assert_full(apply(f, WIDGET("b")));
}

static void test_size(void **state)
{
        Fixture *f = *state;
        const int64_t thin = (int64_t) strlen("{\"kind\":\"widget\",\"name\":\"a\","
                                              "\"namespace\":\"q\"}");
        StoreOperation back = op_object(STORE_ROLLBACK, "widget", "q", "a");
        Outcome o;

        assert_applied(f, SIZE("150"));
        o = apply(f, FAT("a"));
        assert_string_equal(o.error, "");
        back.revision = o.revision;
        assert_applied(f, WIDGET("a"));
        assert_int_equal(use_of(f).bytes, thin);
        assert_applied(f, WIDGET("b"));
        assert_applied(f, WIDGET("c"));
        assert_use(f, 3);
        o = RUN(f, back); /* a rollback is a write */
        assert_full(o);
        assert_non_null(strstr(o.message, "of 150 bytes"));
        assert_non_null(strstr(o.message, "quota.size"));
        /* Also that of something that was deleted. */
        assert_string_equal(delete (f, "widget", "q", "a").error, "");
        assert_applied(f, WIDGET("d"));
        assert_full(RUN(f, back));
        assert_string_equal(RUN(f, DELETE("d"), DELETE("c"), back).error, "");
        assert_use(f, 2);
        assert_full(apply(f, FAT("b")));
        assert_use(f, 2);
}

static void test_lowered(void **state)
{
        Fixture *f = *state;

        assert_applied(f, SPACE(""));
        assert_applied(f, FAT("a"));
        assert_applied(f, WIDGET("b"));
        assert_applied(f, WIDGET("c"));
        assert_applied(f, SPACE(",\"quota\":{\"objects\":1,\"size\":10}"));
        assert_use(f, 3);
        assert_full(apply(f, WIDGET("d")));
        assert_full(apply(f, FAT("b")));
        assert_applied(f, WIDGET("a")); /* smaller */
        assert_full(RUN(f, DELETE("a"), CREATE(WIDGET("x")), CREATE(WIDGET("y"))));
        /* Nothing grows by an exchange. */
        assert_string_equal(RUN(f, DELETE("a"), CREATE(WIDGET("x"))).error, "");
        assert_string_equal(delete (f, "widget", "q", "x").error, "");
        assert_use(f, 2);
        /* Too many they are, but there is room for bytes. */
        assert_applied(f, SPACE(",\"quota\":{\"objects\":1,\"size\":1000}"));
        assert_applied(f, FAT("b"));
}

static void test_incarnations(void **state)
{
        Fixture *f = *state;
        StoreOperation gone = op_object(STORE_DELETE, "namespace", "", "q");
        Outcome a, b, c, d;

        assert_applied(f, OBJECTS(2));
        assert_applied(f, WIDGET("a"));
        assert_applied(f, WIDGET("b"));
        gone.cascade = true;
        begin(f, &a, &gone, 1);
        begin_apply(f, &b, OBJECTS(1));
        begin_apply(f, &c, WIDGET("a"));
        begin_apply(f, &d, WIDGET("b"));
        store_flush(f->store);
        assert_full(d);
        assert_string_equal(a.error, "");
        assert_string_equal(b.error, "");
        assert_string_equal(c.error, "");
        assert_use(f, 1);
        /* One that is refused at last changes neither. */
        assert_string_equal(RUN(f, gone, CREATE("nonsense")).error, TANK_ERROR_INVALID_ARGUMENT);
        assert_use(f, 1);
        assert_full(apply(f, WIDGET("b")));
}

static void test_restart(void **state)
{
        Fixture *f = *state;
        Outcome o;

        assert_applied(f, OBJECTS(2));
        assert_applied(f, WIDGET("a"));
        assert_applied(f, WIDGET("b"));
        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        o = apply(f, WIDGET("c")); /* before the loop had a turn */
        assert_full(o);
        assert_non_null(strstr(o.message, "2 of 2"));
        assert_use(f, 2);
        while (sd_event_run(f->event, 0) > 0) /* idle is idle */
                ;

        /* From a loop alone. */
        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(use_of(f).objects, 2);
}

static void test_in_memory(void **state)
{
        Fixture f;

        fixture_init(&f, NULL);
        f.memory = true;
        assert_true(fixture_open(&f) >= 0);
        assert_applied(&f, OBJECTS(1));
        assert_applied(&f, WIDGET("a"));
        assert_full(apply(&f, WIDGET("b")));
        assert_true(store_reset(f.store) >= 0);
        assert_applied(&f, OBJECTS(1));
        assert_applied(&f, WIDGET("b"));
        assert_full(apply(&f, WIDGET("a")));
        fixture_done(&f);
}

/* What was accepted and never came to be takes no room. */
static void test_failed_batch(void **state)
{
        Fixture *f = *state;
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        Outcome first, second;

        assert_applied(f, OBJECTS(3));
        assert_applied(f, WIDGET("a"));
        assert_use(f, 1);
        assert_true(db_batch_new(&b) >= 0);
        meta_put_u64(b, f->store->db, META_REVISION, 1000); /* as if another had written */
        assert_true(db_write(f->store->db, b) >= 0);
        begin_apply(f, &first, WIDGET("b"));
        begin_apply(f, &second, WIDGET("c"));
        store_flush(f->store);
        assert_string_equal(first.error, TANK_ERROR_DEGRADED);
        assert_string_equal(second.error, TANK_ERROR_DEGRADED);
        assert_use(f, 1);
}

static Outcome run_secret(Fixture *f, StoreOperation operation)
{
        Outcome o;
        StoreWrite w = fixture_write(&o);

        w.secrets = true;
        begin_as(f, &o, &w, &operation, 1);
        store_flush(f->store);
        return o;
}

#define SECRET(value) \
        "{\"kind\":\"secret\",\"name\":\"s\",\"namespace\":\"q\",\"data\":{\"a\":\"" value "\"}}"

static void test_secrets(void **state)
{
        Setup x;
        QuotaUse use;

        setup_init(&x);
        assert_applied(&x.f, OBJECTS(9));
        assert_string_equal(run_secret(&x.f, APPLY(SECRET("no longer seen"))).error, "");
        use = use_of(&x.f);
        assert_use(&x.f, 1);
        /* The values count, though the document does not show them. */
        assert_string_equal(
                        run_secret(&x.f, APPLY(SECRET("no longer seen, and longer"))).error, "");
        assert_true(use_of(&x.f).bytes > use.bytes);
        assert_use(&x.f, 1);
        assert_string_equal(
                        run_secret(&x.f, op_object(STORE_DELETE, "secret", "q", "s")).error, "");
        assert_int_equal(use_of(&x.f).bytes, 0);
        setup_done(&x);
}

/* ---- however they came about ---- */

enum { RANDOM_NAMES = 40, RANDOM_STEPS = 4000 };

typedef struct Model {
        uint64_t seed;
        char texts[3][160];
        StoreOperation ops[3];
        char names[3][8];
} Model;

static unsigned below(Model *m, unsigned n)
{
        m->seed = m->seed * 6364136223846793005U + 1442695040888963407U;
        return (unsigned) (m->seed >> 33) % n;
}

static StoreOperation random_operation(Model *m, unsigned i)
{
        unsigned fill = below(m, 60);

        (void) snprintf(m->names[i], sizeof(m->names[i]), "w%u", below(m, RANDOM_NAMES));
        if (below(m, 40) == 0) {
                (void) snprintf(m->texts[i], sizeof(m->texts[i]),
                                SPACE(",\"quota\":{\"objects\":%u,\"size\":%u}"), below(m, 30),
                                below(m, 2000));
                return APPLY(m->texts[i]);
        }
        if (below(m, 3) == 0)
                return DELETE(m->names[i]);
        (void) snprintf(m->texts[i], sizeof(m->texts[i]), IN("q", "%s", ",\"x\":\"%.*s\""),
                        m->names[i], (int) fill,
                        "000000000000000000000000000000000000000000000000000000000000");
        return below(m, 4) ? APPLY(m->texts[i]) : CREATE(m->texts[i]);
}

static void random_step(Fixture *f, Model *m, Outcome *o)
{
        StoreWrite w = fixture_write(o);
        unsigned n = 1 + below(m, 3);
        QuotaUse before = use_of(f), after;

        for (unsigned i = 0; i < n; i++)
                m->ops[i] = random_operation(m, i);
        w.dry_run = below(m, 10) == 0;
        begin_as(f, o, &w, m->ops, n);
        after = use_of(f);
        if (w.dry_run || (o->answered && *o->error)) {
                assert_int_equal(after.objects, before.objects);
                assert_int_equal(after.bytes, before.bytes);
        }
        assert_true(after.objects <= MAX(before.objects, after.max_objects));
        assert_true(after.bytes <= MAX(before.bytes, after.max_bytes));
}

/* Refused, undone and pending writes in any order, and counted anew in between. */
static void test_random(void **state)
{
        Fixture *f = *state;
        static Outcome outcomes[RANDOM_STEPS];
        Model m = { .seed = 20240607 };
        unsigned n_full = 0;

        assert_applied(f, SPACE(",\"quota\":{\"objects\":20,\"size\":2000}"));
        for (unsigned i = 0; i < RANDOM_STEPS; i++) {
                random_step(f, &m, &outcomes[i]);
                n_full += streq(outcomes[i].error, TANK_ERROR_LIMIT_EXCEEDED);
                if (below(&m, 20) == 0)
                        store_flush(f->store);
                if (below(&m, 20) == 0)
                        assert_use(f, use_of(f).objects);
        }
        store_flush(f->store);
        assert_use(f, use_of(f).objects);
        assert_true(n_full > 100);
}

/* ---- while it is counted ---- */

static void write_many(Fixture *f, unsigned from, unsigned to)
{
        enum { EACH = 1000 };
        static char texts[EACH][96];
        static StoreOperation ops[EACH];

        for (unsigned i = from; i < to; i += EACH) {
                for (unsigned k = 0; k < EACH; k++) {
                        (void) snprintf(texts[k], sizeof(texts[k]), IN("q", "n%06u", ""), i + k);
                        ops[k] = APPLY(texts[k]);
                }
                assert_string_equal(run(f, ops, EACH).error, "");
        }
}

/* Objects before and behind what is counted come and go. One that has to know waits or tries again,
 * and is never told what is not so. */
static void test_written_while_counted(void **state)
{
        Fixture *f = *state;
        enum { N = 20000 };
        static Outcome outcomes[N / 4];
        unsigned turns = 0;
        Use u = { .namespace = "q" };
        Outcome o = {};

        assert_applied(f, SPACE(""));
        write_many(f, 0, N);
        assert_applied(f, SPACE(",\"quota\":{\"objects\":20000}"));
        while (quotas_walk(f->store->quotas, see_use, &u) == 0 && !u.known) {
                char first[16], last[16], text[2][96];
                const unsigned i = turns;
                StoreOperation ops[4];

                (void) snprintf(first, sizeof(first), "n%06u", i);
                (void) snprintf(last, sizeof(last), "n%06u", N - 1 - i);
                (void) snprintf(text[0], sizeof(text[0]), IN("q", "a%06u", ""), i);
                (void) snprintf(text[1], sizeof(text[1]), IN("q", "z%06u", ""), i);
                ops[0] = DELETE(first);
                ops[1] = DELETE(last);
                ops[2] = APPLY(text[0]);
                ops[3] = APPLY(text[1]);
                begin(f, &outcomes[i], ops, 4); /* nothing grows */
                assert_string_equal(outcomes[i].error, "");
                if (turns++ % 2)
                        store_flush(f->store);
                for (unsigned k = 0; k < 3; k++) /* what is durable goes first */
                        assert_true(sd_event_run(f->event, 0) >= 0);
                assert_true(turns < N / 4);
        }
        assert_true(turns > 2);
        store_flush(f->store);
        assert_use(f, N);
        do
                begin_apply(f, &o, WIDGET("more"));
        while (streq(o.error, TANK_ERROR_BUSY));
        assert_full(o);

        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        do
                begin_apply(f, &o, WIDGET("more"));
        while (streq(o.error, TANK_ERROR_BUSY));
        assert_full(o);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
                WITH_STORE(test_objects),
                WITH_STORE(test_transactions),
                WITH_STORE(test_dry_run),
                WITH_STORE(test_size),
                WITH_STORE(test_lowered),
                WITH_STORE(test_incarnations),
                WITH_STORE(test_restart),
                cmocka_unit_test(test_in_memory),
                WITH_STORE(test_failed_batch),
                cmocka_unit_test(test_secrets),
                WITH_STORE(test_random),
                WITH_STORE(test_written_while_counted),
        };

        log_setup("test-store-quota");
        return cmocka_run_group_tests_name("store-quota", tests, NULL, NULL);
}
