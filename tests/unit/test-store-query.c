/* SPDX-License-Identifier: Apache-2.0 */

/* Lists and counts: scenarios X1, X2, X17, X21, X22. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "limit.h"
#include "store-fixture.h"
#include "store-history.h"
#include "store-meta.h"

static int setup(void **state)
{
        static Fixture f;

        fixture_init(&f, NULL);
        assert_true(fixture_open(&f) >= 0);
        *state = &f;
        return 0;
}

static int teardown(void **state)
{
        fixture_done(*state);
        return 0;
}

/* ---- what is told ---- */

typedef struct Seen {
        Listed *listed;   /* first: see query() */
        char text[16384]; /* "type/namespace/name=x " of each */
        size_t n;
} Seen;

static int see_document(const char *text, void *userdata)
{
        CLEANUP_JSON json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        Seen *s = userdata;
        size_t used = strlen(s->text);

        (void) snprintf(s->text + used, sizeof(s->text) - used, "%s/%s/%s=%" PRId64 " ",
                        json_get_string(doc, "kind"), strempty(json_get_string(doc, "namespace")),
                        json_get_string(doc, "name"), json_get_int(doc, "x", -1));
        s->n++;
        return 0;
}

/* All pages, between which @between is done. The revision. */
static uint64_t list(Fixture *f, const StoreQuery *asked, Seen *seen,
                void (*between)(Fixture *f, unsigned page))
{
        Listed page = {};
        uint64_t revision = 0;

        *seen = (Seen){};
        for (unsigned i = 0;; i++) {
                StoreQuery q = *asked;
                char token[sizeof(page.next)];
                size_t before = seen->n;

                memcpy(token, page.next, sizeof(token));
                q.token = token;
                page = query(f, &q, see_document, seen);
                assert_string_equal(page.error, "");
                assert_true(asked->limit == 0 || seen->n - before <= asked->limit);
                assert_int_equal(page.count, seen->n - before);
                assert_true(i == 0 || page.revision == revision);
                revision = page.revision;
                if (!*page.next)
                        return revision;
                if (between)
                        between(f, i);
        }
}

static void expect(Fixture *f, const StoreQuery *q, const char *wanted)
{
        StoreQuery counted = *q;
        Seen seen;
        Listed l;

        for (uint32_t limit = 0; limit < 4; limit++) {
                counted.limit = limit;
                (void) list(f, &counted, &seen, NULL);
                assert_string_equal(seen.text, wanted);
        }
        l = query(f, q, NULL, &seen);
        assert_string_equal(l.error, "");
        assert_int_equal(l.count, seen.n);
        assert_string_equal(l.next, "");
}

static void refuse(Fixture *f, const StoreQuery *q, const char *error, const char *words)
{
        Seen seen = {};
        Listed l = query(f, q, see_document, &seen);

        if (!streq(l.error, error) || !strstr(l.message, words))
                fail_msg("refused with %s: %s", l.error, l.message);
        assert_string_equal(seen.text, "");
}

static void widget(Fixture *f, const char *ns, const char *name, int x, const char *more)
{
        char text[256];

        (void) snprintf(text, sizeof(text),
                        "{\"kind\":\"widget\",\"name\":\"%s\",\"namespace\":\"%s\",\"x\":%d%s}",
                        name, ns, x, more);
        assert_string_equal(apply(f, text).error, "");
}

static void make_namespace(Fixture *f, const char *name)
{
        char text[128];

        (void) snprintf(text, sizeof(text), "{\"kind\":\"namespace\",\"name\":\"%s\"}", name);
        assert_string_equal(apply(f, text).error, "");
}

/* ---- X1, X2, X17: where ---- */

static int note_version(const StoreVersion *v, void *userdata)
{
        (*(unsigned *) userdata)++;
        return 0;
}

static void test_neighbours(void **state)
{
        static const char *const spaces[] = { "prod", "prod-2", "production", "all" };
        Fixture *f = *state;
        CLEANUP_FREE char *next = NULL;
        unsigned versions = 0;
        char wanted[64];

        for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
                make_namespace(f, spaces[i]);
                widget(f, spaces[i], "w", (int) i, "");
        }
        assert_string_equal(apply(f, "{\"kind\":\"widget-x\",\"name\":\"w\"}").error, "");
        for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
                (void) snprintf(wanted, sizeof(wanted), "widget/%s/w=%zu ", spaces[i], i);
                expect(f, &(StoreQuery){ .type = "widget", .namespace = spaces[i] }, wanted);
                expect(f, &(StoreQuery){ .type = "", .namespace = spaces[i] }, wanted);
        }
        assert_int_equal(store_history(f->store, "widget", "all", "w", 0, "", note_version,
                                         &versions, &next, NULL),
                        0);
        assert_int_equal(versions, 1);
        expect(f, &(StoreQuery){ .type = "widget", .namespace = "default" }, "");
}

static void test_every_type(void **state)
{
        Fixture *f = *state;

        make_namespace(f, "prod");
        widget(f, "prod", "b", 1, "");
        assert_string_equal(apply(f, "{\"kind\":\"a\",\"name\":\"a\"}").error, "");
        assert_string_equal(
                        apply(f, "{\"kind\":\"z\",\"name\":\"z\",\"namespace\":\"prod\"}").error,
                        "");
        expect(f, &(StoreQuery){ .type = "", .namespace = "" },
                        "a/default/a=-1 namespace//default=-1 namespace//prod=-1 "
                        "namespace//system=-1 widget/prod/b=1 "
                        "z/prod/z=-1 ");
        expect(f, &(StoreQuery){ .type = "", .namespace = "prod" }, "widget/prod/b=1 z/prod/z=-1 ");
        expect(f,
                        &(StoreQuery){ .type = "",
                                        .namespace = "prod",
                                        .has_revision = true,
                                        .revision = 3 },
                        "widget/prod/b=1 ");
        /* What is a wildcard elsewhere is refused, not silently nothing. */
        refuse(f, &(StoreQuery){ .type = "*", .namespace = "" }, TANK_ERROR_INVALID_ARGUMENT,
                        "\"\" means every type");
        refuse(f, &(StoreQuery){ .type = "widget", .namespace = "*" }, TANK_ERROR_INVALID_ARGUMENT,
                        "\"\" means every namespace");
        refuse(f, &(StoreQuery){ .type = "namespace", .namespace = "prod" },
                        TANK_ERROR_INVALID_ARGUMENT, "stands in no namespace");
}

/* ---- X22: pages under writes ---- */

static void write_between(Fixture *f, unsigned page)
{
        char name[16];

        if (page == 0) {
                (void) delete (f, "widget", "default", "b"); /* told already */
                (void) delete (f, "widget", "default", "c"); /* the next one */
                widget(f, "default", "e", 100, "");
                for (int i = 0; i < 30; i++)
                        widget(f, "default", "f", 100 + i, ""); /* more than is walked over */
                widget(f, "default", "bb", 100, "");
                widget(f, "default", "z", 100, "");
        }
        if (page == 1) {
                widget(f, "default", "c", 200, ""); /* another one of the same name */
                (void) delete (f, "widget", "default", "d");
                (void) delete (f, "widget", "default", "f");
        }
        (void) snprintf(name, sizeof(name), "n%u", page);
        widget(f, "default", name, 300, ",\"labels\":{\"a\":\"b\"}");
}

static void test_pages_under_writes(void **state)
{
        static const char was[] = "widget/default/a=1 widget/default/b=1 widget/default/c=1 "
                                  "widget/default/d=1 widget/default/e=1 widget/default/f=20 ";
        static const char reversed[] = "widget/default/f=20 widget/default/e=1 "
                                       "widget/default/d=1 widget/default/c=1 "
                                       "widget/default/b=1 widget/default/a=1 ";
        static const StoreQuery queries[] = {
                { .type = "widget", .namespace = "", .limit = 2 },
                { .type = "widget", .namespace = "default", .limit = 1, .labels = "a=b" },
                { .type = "", .namespace = "default", .limit = 2, .fields = "x!=99" },
                { .type = "widget", .namespace = "", .limit = 1, .sort = "created" },
                { .type = "widget", .namespace = "", .limit = 2, .sort = "-name" },
                { .type = "widget", .namespace = "", .limit = 2, .sort = "-revision" },
        };
        Fixture *f = *state;
        uint64_t revision;
        Seen seen;

        for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
                static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
                const StoreQuery *q = &queries[i];
                StoreQuery then = *q;

                teardown(state);
                setup(state);
                for (size_t k = 0; k < ARRAY_SIZE(names); k++)
                        widget(f, "default", names[k], 1, ",\"labels\":{\"a\":\"b\"}");
                for (int k = 2; k <= 20; k++)
                        widget(f, "default", "f", k, ",\"labels\":{\"a\":\"b\"}");
                revision = list(f, q, &seen, write_between);
                assert_string_equal(seen.text, q->sort && *q->sort == '-' ? reversed : was);
                assert_true(revision == 7 + 19 && store_revision(f->store) > revision);

                /* Anew it is as it is, and, asked for what was, as it was. */
                (void) list(f, &(StoreQuery){ .type = "widget", .namespace = "" }, &seen, NULL);
                assert_true(startswith(seen.text,
                                "widget/default/a=1 widget/default/bb=100 widget/default/c=200 "
                                "widget/default/e=100 widget/default/n0=300 "));
                then.has_revision = true;
                then.revision = revision;
                assert_true(list(f, &then, &seen, NULL) == revision);
                assert_string_equal(seen.text, q->sort && *q->sort == '-' ? reversed : was);
        }
}

/* Every revision of a random history, against a model. */
enum { MODEL_NAMES = 12, MODEL_REVISIONS = 300 };
static int model[MODEL_REVISIONS][MODEL_NAMES]; /* 0: absent */

static void model_text(const int *x, char *ret, size_t size)
{
        size_t used = 0;

        *ret = 0;
        for (int i = 0; i < MODEL_NAMES; i++)
                if (x[i])
                        used += (size_t) snprintf(ret + used, size - used,
                                        "widget/default/w%02d=%d ", i, x[i]);
}

static void test_every_revision(void **state)
{
        Fixture *f = *state;
        unsigned seed = (unsigned) time(NULL);
        char wanted[2048];
        Seen seen;

        print_message("# seed %u\n", seed);
        for (size_t i = 2; i < MODEL_REVISIONS;) {
                int name = rand_r(&seed) % MODEL_NAMES, x = rand_r(&seed) % 3 ? (int) i : 0;
                uint64_t before = store_revision(f->store);
                char text[16];

                memcpy(model[i], model[i - 1], sizeof(model[i]));
                model[i][name] = x;
                (void) snprintf(text, sizeof(text), "w%02d", name);
                if (x)
                        widget(f, "default", text, x, "");
                else
                        (void) delete (f, "widget", "default", text);
                assert_int_equal(
                                store_revision(f->store), before + (store_revision(f->store) == i));
                i = store_revision(f->store) + 1;
        }
        for (uint64_t i = 0; i < MODEL_REVISIONS; i++) {
                StoreQuery q = { .type = i % 2 ? "widget" : "",
                        .namespace = "default",
                        .limit = (uint32_t) (i % 5),
                        .has_revision = true,
                        .revision = i };

                model_text(model[i], wanted, sizeof(wanted));
                assert_true(list(f, &q, &seen, NULL) == i);
                assert_string_equal(seen.text, wanted);
                assert_int_equal(query(f, &q, NULL, &seen).count, seen.n);
        }
}

/* ---- order, selectors ---- */

static void test_order(void **state)
{
        Fixture *f = *state;
        StoreQuery q = { .type = "widget", .namespace = "" };
        static const char *const orders[][2] = {
                { "name", "widget/default/a=4 widget/default/b=2 widget/default/c=1 " },
                { "-name", "widget/default/c=1 widget/default/b=2 widget/default/a=4 " },
                { "created", "widget/default/c=1 widget/default/a=4 widget/default/b=2 " },
                { "-created", "widget/default/b=2 widget/default/a=4 widget/default/c=1 " },
                { "updated", "widget/default/c=1 widget/default/b=2 widget/default/a=4 " },
                { "-updated", "widget/default/a=4 widget/default/b=2 widget/default/c=1 " },
                { "revision", "widget/default/c=1 widget/default/b=2 widget/default/a=4 " },
                { "-revision", "widget/default/a=4 widget/default/b=2 widget/default/c=1 " },
        };

        widget(f, "default", "c", 1, "");
        widget(f, "default", "a", 3, "");
        widget(f, "default", "b", 2, "");
        widget(f, "default", "a", 4, "");
        for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
                q.sort = orders[i][0];
                expect(f, &q, orders[i][1]);
        }
        q.sort = "";
        expect(f, &q, orders[0][1]);

        /* What has one revision stands by its names in either direction. */
        const StoreOperation together[] = {
                op_document(STORE_CREATE, "{\"kind\":\"gadget\",\"name\":\"b\"}"),
                op_document(STORE_CREATE, "{\"kind\":\"gadget\",\"name\":\"a\"}"),
        };
        assert_string_equal(run(f, together, ARRAY_SIZE(together)).error, "");
        for (size_t i = ARRAY_SIZE(orders) - 2; i < ARRAY_SIZE(orders); i++)
                expect(f, &(StoreQuery){ .type = "gadget", .namespace = "", .sort = orders[i][0] },
                                "gadget/default/a=-1 gadget/default/b=-1 ");
        q.sort = "age";
        refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "\"age\" is none of name, created");
        q.sort = "-";
        refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "\"-\" is none");
}

/* More than two pages have room for. */
static void test_order_of_many(void **state)
{
        Fixture *f = *state;
        StoreQuery q = { .type = "widget", .namespace = "", .sort = "-revision", .limit = 7 };
        char wanted[4096] = "", name[16];
        Seen seen;

        for (int i = 0; i < 100; i++) {
                (void) snprintf(name, sizeof(name), "w%02d", i * 37 % 100);
                widget(f, "default", name, i, "");
        }
        for (int i = 99; i >= 0; i--) {
                size_t used = strlen(wanted);

                (void) snprintf(wanted + used, sizeof(wanted) - used, "widget/default/w%02d=%d ",
                                i * 37 % 100, i);
        }
        (void) list(f, &q, &seen, NULL);
        assert_string_equal(seen.text, wanted);
}

static void test_selectors(void **state)
{
        Fixture *f = *state;
        static const struct {
                const char *labels, *fields, *wanted;
        } cases[] = {
                { "app=web", "", "widget/default/a=1 widget/default/b=2 " },
                { "app=web,tier!=db", "", "widget/default/a=1 " },
                { "!app", "", "widget/default/d=4 widget/default/e=5 " },
                { "app in (web,api),tier", "", "widget/default/b=2 " },
                { "app notin (web)", "",
                                "widget/default/c=3 widget/default/d=4 "
                                "widget/default/e=5 " },
                { NULL, "x=3", "widget/default/c=3 " },
                { NULL, "x in (1,4)", "widget/default/a=1 widget/default/d=4 " },
                { NULL, "meta.generation!=1", "widget/default/c=3 " },
                { NULL, "list[*].image=one", "widget/default/d=4 " },
                { NULL, "labels[\"app\"]=api", "widget/default/c=3 " },
                { NULL, "spec.labels.app=web", "widget/default/e=5 " },
                { "app=web", "x!=1", "widget/default/b=2 " },
                { "app=none", NULL, "" },
                { " ", " ",
                                "widget/default/a=1 widget/default/b=2 widget/default/c=3 "
                                "widget/default/d=4 widget/default/e=5 " },
        };

        widget(f, "default", "a", 1, ",\"labels\":{\"app\":\"web\"}");
        widget(f, "default", "b", 2, ",\"labels\":{\"app\":\"web\",\"tier\":\"db\"}");
        widget(f, "default", "c", 1, ",\"labels\":{\"app\":\"api\"}");
        widget(f, "default", "c", 3, ",\"labels\":{\"app\":\"api\"}");
        widget(f, "default", "d", 4, ",\"list\":[{\"image\":\"two\"},{\"image\":\"one\"}]");
        widget(f, "default", "e", 5, ",\"spec\":{\"labels\":{\"app\":\"web\"}}");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                expect(f,
                                &(StoreQuery){ .type = "widget",
                                                .namespace = "",
                                                .labels = cases[i].labels,
                                                .fields = cases[i].fields },
                                cases[i].wanted);
        refuse(f, &(StoreQuery){ .type = "widget", .namespace = "", .labels = "a=b c" },
                        TANK_ERROR_INVALID_ARGUMENT, "label selector, column 5");
        refuse(f, &(StoreQuery){ .type = "widget", .namespace = "", .fields = "a[" },
                        TANK_ERROR_INVALID_ARGUMENT, "field selector, column 3");
}

/* ---- tokens, revisions ---- */

static void test_tokens(void **state)
{
        StoreQuery q = { .type = "widget", .namespace = "", .limit = 1 };
        Fixture *f = *state;
        char token[512], bad[512];
        Seen seen = {};

        widget(f, "default", "a", 1, "");
        widget(f, "default", "b", 1, "");
        (void) snprintf(token, sizeof(token), "%s", query(f, &q, see_document, &seen).next);
        assert_true(startswith(token, "2.3."));

        static const char *const junk[] = { "x", "2", "2.3", ".", "......", "2.......",
                "1.3.default.a", "2.3.0123456789abcdef.0.widget.default.a" };
        for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
                q.token = junk[i];
                refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "not a token of this list");
        }
        /* Of this list, but not as it was given. */
        static const char *const endings[] = { ".x", "-", "A", "" };
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
                (void) snprintf(bad, sizeof(bad), "%.*s%s", (int) strlen(token) - (i == 3), token,
                                endings[i]);
                q.token = bad;
                refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "not a token of this list");
        }
        q.token = token;
        q.labels = "a"; /* another list */
        refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "not a token of this list");
        q.labels = NULL;
        q.has_revision = true;
        q.revision = 2;
        refuse(f, &q, TANK_ERROR_INVALID_ARGUMENT, "not a token of this list");
        q.revision = 3;
        q.limit = 5; /* pages may be of different sizes */
        seen = (Seen){};
        assert_string_equal(query(f, &q, see_document, &seen).next, "");
        assert_string_equal(seen.text, "widget/default/b=1 ");
        q.token = "";
        q.revision = 4;
        refuse(f, &q, TANK_ERROR_FAILED_PRECONDITION, "lies ahead");
        q.revision = UINT64_MAX;
        refuse(f, &q, TANK_ERROR_FAILED_PRECONDITION, "lies ahead");
}

static void test_compacted(void **state)
{
        StoreQuery q = { .type = "widget", .namespace = "", .limit = 1 };
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        Fixture *f = *state;
        char token[512], path[128];
        Db *db = NULL;
        Seen seen = {};

        widget(f, "default", "a", 1, "");
        widget(f, "default", "b", 1, "");
        (void) snprintf(token, sizeof(token), "%s", query(f, &q, see_document, &seen).next);
        widget(f, "default", "a", 2, "");
        widget(f, "default", "a", 3, "");
        fixture_close(f);
        (void) snprintf(path, sizeof(path), "%s/db", f->data);
        assert_int_equal(db_open(path, f->logs, DB_OPEN, &db), 0);
        assert_int_equal(db_batch_new(&b), 0);
        meta_put_u64(b, db, META_COMPACTED, 4);
        assert_int_equal(db_write(db, b), 0);
        db_close(db);
        assert_true(fixture_open(f) >= 0);

        q.token = token;
        refuse(f, &q, TANK_ERROR_COMPACTED, "only since 4: list anew");
        q.token = "";
        q.has_revision = true;
        q.revision = 3;
        refuse(f, &q, TANK_ERROR_COMPACTED, "revision 3 is not known any more");
        q.revision = 4;
        expect(f, &q, "widget/default/a=2 widget/default/b=1 ");
}

/* ---- slices ---- */

/* More than fits into one slice, whatever the machine. */
static void make_long(Fixture *f)
{
        enum { N = 100, SIZE = 20000 };
        static char filling[SIZE];
        StoreOperation *ops = calloc(N, sizeof(*ops));

        assert_non_null(ops);
        memset(filling, '7', sizeof(filling) - 1);
        for (size_t i = 1; i < SIZE - 1; i += 3)
                filling[i] = ',';
        for (int i = 0; i < N; i++) {
                char *text;

                assert_true(asprintf(&text,
                                            "{\"kind\":\"widget\",\"name\":\"w%03d\",\"labels\":{"
                                            "\"a\":\"b\"},\"x\":%d,\"list\":[%s]}",
                                            i, i, filling) > 0);
                ops[i] = op_document(STORE_CREATE, text);
        }
        assert_string_equal(run(f, ops, N).error, "");
        for (int i = 0; i < N; i++)
                free((char *) ops[i].document);
        free(ops);
}

static const StoreQuery long_query = {
        .type = "widget",
        .namespace = "",
        .fields = "list[*]=nothing",
};

/* Others are served in between, and what they write is not seen. */
static void test_slices(void **state)
{
        enum { N = 32 };
        static Seen seen[N];
        Fixture *f = *state;
        Query *queries[N];
        Listed listed[N];
        size_t answered = 0, turns = 0;
        Outcome o;

        make_long(f);
        for (size_t i = 0; i < N; i++)
                assert_int_equal(
                                fixture_query(f, &listed[i], &long_query,
                                                i % 2 ? see_document : NULL, &seen[i], &queries[i]),
                                1);
        begin_apply(f, &o, "{\"kind\":\"widget\",\"name\":\"late\",\"list\":[\"nothing\"]}");
        for (; !o.answered; turns++)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        for (size_t i = 0; i < N; i++)
                answered += listed[i].answered;
        assert_true(answered < N);
        for (size_t i = 2; i < N; i++)
                if (!listed[i].answered)
                        query_free(queries[i]);
        while (!listed[0].answered || !listed[1].answered) {
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
                turns++;
        }
        assert_true(turns > 4);
        for (size_t i = 0; i < 2; i++) {
                assert_string_equal(listed[i].error, "");
                assert_true(listed[i].revision == 2 && listed[i].count == 0 && seen[i].n == 0);
        }
        assert_true(sd_event_run(f->event, 0) >= 0);
        assert_int_equal(sd_event_run(f->event, 0), 0); /* idle again */
        assert_int_equal(query(f, &long_query, NULL, &seen[0]).count, 1);
}

static void test_deadline(void **state)
{
        StoreQuery q = long_query;
        Fixture *f = *state;
        Seen seen = {};
        Listed l;

        make_long(f);
        q.has_deadline = true;
        q.deadline_usec = now_boottime_usec() + 20 * USEC_PER_MSEC;
        l = query(f, &q, NULL, &seen);
        assert_string_equal(l.error, TANK_ERROR_TIMED_OUT);
        assert_true(now_boottime_usec() >= q.deadline_usec);
        l = query(f, &q, NULL, &seen);
        assert_string_equal(l.error, TANK_ERROR_TIMED_OUT);
        assert_non_null(strstr(l.message, "before this began"));
        q.deadline_usec = USEC_INFINITY;
        assert_string_equal(query(f, &q, NULL, &seen).error, "");
}

static void test_given_up(void **state)
{
        Query *queries[LIMIT_QUERIES + 1];
        Listed listed[LIMIT_QUERIES + 1];
        static Seen seen[LIMIT_QUERIES + 1];
        Fixture *f = *state;

        make_long(f);
        for (size_t i = 0; i < LIMIT_QUERIES; i++)
                assert_int_equal(fixture_query(f, &listed[i], &long_query, NULL, &seen[i],
                                                 &queries[i]),
                                1);
        assert_true(fixture_query(f, &listed[LIMIT_QUERIES], &long_query, NULL,
                                    &seen[LIMIT_QUERIES], &queries[LIMIT_QUERIES]) < 0);
        assert_string_equal(listed[LIMIT_QUERIES].error, TANK_ERROR_BUSY);
        /* A plain page needs no turn. */
        assert_string_equal(query(f, &(StoreQuery){ .type = "widget", .namespace = "" },
                                            see_document, &seen[LIMIT_QUERIES])
                                            .error,
                        "");
        for (size_t i = 0; i < LIMIT_QUERIES - 1; i++)
                query_free(queries[i]);
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        fixture_close(f); /* the last one is answered all the same */
        assert_string_equal(listed[LIMIT_QUERIES - 1].error, TANK_ERROR_UNAVAILABLE);
        for (size_t i = 0; i < LIMIT_QUERIES - 1; i++)
                assert_false(listed[i].answered);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_neighbours),
                TEST(test_every_type),
                TEST(test_pages_under_writes),
                TEST(test_every_revision),
                TEST(test_order),
                TEST(test_order_of_many),
                TEST(test_selectors),
                TEST(test_tokens),
                TEST(test_compacted),
                TEST(test_slices),
                TEST(test_deadline),
                TEST(test_given_up),
        };

        log_setup("test-store-query");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
