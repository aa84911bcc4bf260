/* SPDX-License-Identifier: Apache-2.0 */

/* What is kept of what was: the rules, the change log given up, versions pruned. Besides single
 * cases, random writes under random rules against a model. On a real database. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>
#include <sys/mman.h>

#include "limit.h"
#include "store-changes.h"
#include "store-compact.h"
#include "store-fixture.h"
#include "store-history.h"
#include "store-retention.h"
#include "store-verify.h"
#include "strv.h"

#define TIMEOUT_USEC (60 * USEC_PER_SEC)

/* ---- what is done ---- */

typedef struct Told {
        bool answered;
        char error[128];
        uint64_t compacted;
} Told;

static void tell(Told *t, const sd_bus_error *e)
{
        assert_false(t->answered);
        t->answered = true;
        if (e)
                (void) snprintf(t->error, sizeof(t->error), "%s", e->name);
}

static void on_compacted(uint64_t compacted, const sd_bus_error *e, void *userdata)
{
        Told *t = userdata;

        t->compacted = compacted;
        tell(t, e);
}

static void on_rule(const sd_bus_error *e, void *userdata)
{
        tell(userdata, e);
}

static void on_verified(const Verifier *v, const sd_bus_error *e, void *userdata)
{
        assert_null(e);
        STRV_FOREACH(i, verifier_problems(v)) fail_msg("%s", *i);
        tell(userdata, e);
}

static void run_until(Fixture *f, const bool *done)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        while (!*done) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
}

static Told finish(Fixture *f, Told *t, int r, sd_bus_error *e)
{
        if (r < 0)
                tell(t, e);
        sd_bus_error_free(e);
        run_until(f, &t->answered);
        return *t;
}

static Told compact(Fixture *f, uint64_t revision)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int r = store_compact(f->store, revision, on_compacted, &t, &e);

        return finish(f, &t, r, &e);
}

static Told keep(Fixture *f, const char *type, uint64_t versions, uint64_t age_usec)
{
        const Retention rule = { versions, age_usec };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int r = store_set_retention(f->store, type, &rule, on_rule, &t, &e);

        return finish(f, &t, r, &e);
}

static Told keep_log(Fixture *f, uint64_t rows, uint64_t bytes)
{
        const LogRetention rule = { rows, bytes };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int r = store_set_log_retention(f->store, &rule, on_rule, &t, &e);

        return finish(f, &t, r, &e);
}

/* Until nothing is under way. */
static void settle(Fixture *f)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        store_flush(f->store);
        while (store_is_compacting(f->store)) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
}

static void verify(Fixture *f)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int r = store_verify(f->store, on_verified, &t, &e);

        assert_string_equal(finish(f, &t, r, &e).error, "");
}

static uint64_t put(Fixture *f, const char *type, const char *name, unsigned x)
{
        char text[128];
        Outcome o;

        (void) snprintf(text, sizeof(text), "{\"kind\":\"%s\",\"name\":\"%s\",\"x\":%u}", type,
                        name, x);
        o = apply(f, text);
        assert_string_equal(o.error, "");
        return o.revision;
}

/* ---- what is there ---- */

typedef struct Versions {
        StoreVersion items[256];
        size_t n;
} Versions;

static int see_version(const StoreVersion *v, void *userdata)
{
        Versions *all = userdata;

        assert_true(all->n < ARRAY_SIZE(all->items));
        all->items[all->n++] = *v;
        return 0;
}

/* The newest first; none when there never was such a thing. */
static Versions versions(Fixture *f, const char *type, const char *name)
{
        CLEANUP_FREE char *next = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Versions v = {};

        if (store_history(f->store, type, "default", name, 0, NULL, see_version, &v, &next, &e) < 0)
                assert_string_equal(e.name, TANK_ERROR_NOT_FOUND);
        sd_bus_error_free(&e);
        return v;
}

typedef struct Seen {
        uint64_t last;
        size_t n;
} Seen;

static int see_change(uint64_t revision, const StoreChange *c, const char *document, void *userdata)
{
        Seen *s = userdata;

        assert_true(revision >= s->last);
        s->last = revision;
        s->n++;
        if (c->operation != OPERATION_DELETED)
                assert_null(strstr(document, "unreadable"));
        return 0;
}

/* How many changes there are behind @since, with all their documents; the name of the error. */
static size_t changes(Fixture *f, uint64_t since, char ret_error[static 128])
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Seen seen = { .last = since };
        bool more = true;

        ret_error[0] = 0;
        while (more) {
                const StoreChangesQuery q = {
                        .database_id = store_database_id(f->store),
                        .since = since,
                        .documents = true,
                };

                if (store_changes(f->store, &q, see_change, &seen, &more, &since, &e) < 0) {
                        (void) snprintf(ret_error, 128, "%s", e.name);
                        sd_bus_error_free(&e);
                        return 0;
                }
        }
        return seen.n;
}

/* ---- tests ---- */

static void test_shipped(void **state)
{
        Fixture *f = *state;
        const Rules *r = store_rules(f->store);

        assert_int_equal(rules_of(r, "pod").versions, 100);
        assert_int_equal(rules_of(r, "pod").age_usec, UINT64_C(90) * 86400 * USEC_PER_SEC);
        assert_int_equal(rules_of_log(r).rows, 100000);
        assert_int_equal(rules_least_age(r), UINT64_C(90) * 86400 * USEC_PER_SEC);
}

typedef struct RuleList {
        char text[256];
} RuleList;

static int see_rule(const char *type, const Retention *rule, void *userdata)
{
        RuleList *l = userdata;
        size_t n = strlen(l->text);

        (void) snprintf(l->text + n, sizeof(l->text) - n, "%s=%" PRIu64 "/%" PRIu64 " ", type,
                        rule->versions, rule->age_usec / USEC_PER_SEC);
        return 0;
}

static void test_rules_survive(void **state)
{
        Fixture *f = *state;
        RuleList l = {};

        assert_string_equal(keep(f, "", 7, 0).error, "");
        assert_string_equal(keep(f, "widget", 3, 10 * USEC_PER_SEC).error, "");
        assert_string_equal(keep(f, "gadget", 0, 0).error, "");
        assert_string_equal(keep_log(f, 500, 0).error, "");
        settle(f);
        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        (void) rules_list(store_rules(f->store), see_rule, &l);
        assert_string_equal(l.text, "=7/0 gadget=0/0 widget=3/10 ");
        assert_int_equal(rules_of_log(store_rules(f->store)).rows, 500);
        assert_int_equal(rules_of(store_rules(f->store), "pod").versions, 7);

        assert_string_equal(keep(f, "widget", RETENTION_NONE, RETENTION_NONE).error, "");
        assert_int_equal(rules_of(store_rules(f->store), "widget").versions, 7);
        assert_string_equal(keep(f, "Widget", 1, 0).error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(keep(f, "widget", LIMIT_RETENTION_VERSIONS + 1, 0).error,
                        TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(keep(f, "widget", 1, 1).error, TANK_ERROR_INVALID_ARGUMENT);
        settle(f);
}

static void test_compact(void **state)
{
        Fixture *f = *state;
        char error[128];
        uint64_t last = 0;
        Versions v;
        Told t;

        assert_string_equal(keep(f, "widget", 3, 0).error, "");
        for (unsigned i = 0; i < 10; i++)
                last = put(f, "widget", "a", i);
        (void) put(f, "gadget", "a", 1);
        settle(f);
        /* The change log still needs what is too much. */
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 10);

        t = compact(f, last - 5);
        assert_string_equal(t.error, "");
        assert_int_equal(t.compacted, last - 5);
        assert_int_equal(store_compacted_revision(f->store), last - 5);
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 6);
        (void) changes(f, last - 6, error);
        assert_string_equal(error, TANK_ERROR_COMPACTED);
        assert_int_equal(changes(f, last - 5, error), 6);
        verify(f);

        t = compact(f, store_revision(f->store));
        assert_string_equal(t.error, "");
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 3);
        assert_int_equal(v.items[0].revision, last);
        assert_int_equal(v.items[2].revision, last - 2);
        assert_int_equal(changes(f, store_revision(f->store), error), 0);
        assert_string_equal(error, "");
        verify(f);

        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
        assert_int_equal(store_compacted_revision(f->store), last + 1);
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 3);
        assert_string_equal(compact(f, UINT64_MAX).error, TANK_ERROR_INVALID_ARGUMENT);
}

static Outcome roll_back(Fixture *f, const char *name, uint64_t to)
{
        StoreOperation o = op_object(STORE_ROLLBACK, "widget", "default", name);

        o.revision = to;
        return run(f, &o, 1);
}

/* A name that is used again: its incarnations are told apart, and its end is a version, too. */
static void test_incarnations(void **state)
{
        Fixture *f = *state;
        uint64_t first, second;
        char error[128];
        Versions v;

        first = put(f, "widget", "a", 1);
        second = put(f, "widget", "a", 2);
        (void) delete (f, "widget", "default", "a");
        (void) put(f, "widget", "a", 3);
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 4);
        assert_string_equal(v.items[1].operation, "deleted");
        assert_true(v.items[1].at_usec > 0);
        assert_string_equal(v.items[1].uid, v.items[3].uid);
        assert_string_not_equal(v.items[0].uid, v.items[1].uid);
        assert_string_equal(roll_back(f, "a", first).error, "");

        assert_string_equal(keep(f, "widget", 2, 0).error, "");
        assert_string_equal(compact(f, store_revision(f->store)).error, "");
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 2);
        assert_string_equal(v.items[0].uid, v.items[1].uid);
        assert_string_equal(roll_back(f, "a", second).error, TANK_ERROR_NOT_FOUND);
        assert_string_equal(roll_back(f, "a", v.items[1].revision).error, "");
        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "a", error);

                assert_int_equal(json_get_int(doc, "x", -1), 3);
        }
        settle(f);
        verify(f);
}

static bool versions_are(Fixture *f, const char *name, size_t n)
{
        return versions(f, "widget", name).n == n;
}

static void wait_versions(Fixture *f, const char *name, size_t n)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        while (!versions_are(f, name, n)) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
}

/* What expires goes by itself, with the part of the change log that needs it, a deletion too. */
static void test_age(void **state)
{
        Fixture *f = *state;
        char error[128];
        uint64_t last;

        assert_string_equal(keep(f, "widget", 0, USEC_PER_SEC).error, "");
        settle(f);
        (void) put(f, "widget", "gone", 1);
        (void) delete (f, "widget", "default", "gone");
        (void) put(f, "widget", "a", 1);
        last = put(f, "widget", "a", 2);
        assert_true(versions_are(f, "a", 2));
        wait_versions(f, "a", 1);
        wait_versions(f, "gone", 0);
        assert_true(store_compacted_revision(f->store) >= last);
        settle(f);
        {
                CLEANUP_JSON json_t *doc = get(f, "widget", "default", "a", error);

                assert_int_equal(json_get_int(doc, "x", -1), 2);
        }
        verify(f);
}

/* A deletion goes last of all, and only when nothing needs it. */
static void test_tombstone(void **state)
{
        Fixture *f = *state;
        Versions v;

        (void) put(f, "widget", "a", 1);
        (void) put(f, "widget", "a", 2);
        (void) delete (f, "widget", "default", "a");
        assert_string_equal(keep(f, "widget", 1, 0).error, "");
        assert_string_equal(compact(f, store_revision(f->store)).error, "");
        v = versions(f, "widget", "a");
        assert_int_equal(v.n, 1);
        assert_string_equal(v.items[0].operation, "deleted");
        verify(f);
}

/* The change log is given up by itself once there is too much of it. */
static void test_log_shrinks(void **state)
{
        Fixture *f = *state;
        char error[128];
        size_t n;

        assert_string_equal(keep_log(f, 100, 0).error, "");
        assert_string_equal(keep(f, "widget", 2, 0).error, "");
        for (unsigned i = 0; i < 500; i++)
                (void) put(f, "widget", i % 2 ? "a" : "b", i);
        settle(f);
        assert_true(store_compacted_revision(f->store) >= 380);
        n = changes(f, store_compacted_revision(f->store), error);
        assert_true(n >= 100 && n <= 120);
        assert_true(versions(f, "widget", "a").n <= 65);
        verify(f);

        assert_string_equal(keep_log(f, 0, 4096).error, "");
        settle(f);
        for (unsigned i = 0; i < 10; i++)
                (void) put(f, "widget", "c", i);
        settle(f);
        assert_true(changes(f, store_compacted_revision(f->store), error) < 40);
        verify(f);
}

/* ---- against a model ---- */

#define NAMES  6U
#define WRITES 400U

typedef struct ModelVersion {
        uint64_t revision;
        bool deleted;
        unsigned x;
} ModelVersion;

typedef struct Model {
        ModelVersion versions[NAMES][WRITES];
        size_t n[NAMES];
} Model;

static unsigned seed;

static unsigned pick(unsigned n)
{
        return (unsigned) rand_r(&seed) % n;
}

static void model_write(Fixture *f, Model *m)
{
        unsigned i = pick(NAMES), x = pick(1000000);
        char name[] = { (char) ('a' + i), 0 };
        ModelVersion *last = m->n[i] > 0 ? &m->versions[i][m->n[i] - 1] : NULL;
        bool stands = last && !last->deleted;
        uint64_t revision;

        if (stands && pick(5) == 0)
                revision = delete (f, "widget", "default", name).revision;
        else {
                revision = put(f, "widget", name, x);
                if (stands && last->x == x)
                        return;
                stands = false;
        }
        m->versions[i][m->n[i]++] = (ModelVersion){ revision, stands, x };
}

/* What must be there: the newest @versions, and all that the change log needs. Nothing else may
 * be, once all was given up that can. */
static void model_check(Fixture *f, const Model *m, size_t keep_versions)
{
        uint64_t compacted = store_compacted_revision(f->store);

        for (unsigned i = 0; i < NAMES; i++) {
                const char name[] = { (char) ('a' + i), 0 };
                Versions v = versions(f, "widget", name);
                size_t first = 0;

                for (; first + 1 < m->n[i]; first++)
                        if (m->versions[i][first + 1].revision > compacted || keep_versions == 0 ||
                                        m->n[i] - first <= keep_versions)
                                break;
                assert_int_equal(v.n, m->n[i] - first);
                for (size_t k = 0; k < v.n; k++) {
                        const ModelVersion *wanted = &m->versions[i][m->n[i] - 1 - k];

                        assert_int_equal(v.items[k].revision, wanted->revision);
                        assert_int_equal(streq(v.items[k].operation, "deleted"), wanted->deleted);
                }
        }
}

static void check_log(Fixture *f)
{
        uint64_t compacted = store_compacted_revision(f->store);
        char error[128];

        /* The first revision made two namespaces. */
        assert_int_equal(changes(f, compacted, error),
                        store_revision(f->store) - compacted + (compacted == 0));
        assert_string_equal(error, "");
        if (compacted > 0) {
                (void) changes(f, compacted - 1, error);
                assert_string_equal(error, TANK_ERROR_COMPACTED);
        }
}

static void test_random(void **state)
{
        const char *given = getenv("TANK_TEST_SEED");
        Fixture *f = *state;
        size_t kept = 0;
        Model m = {};

        seed = given ? (unsigned) atoi(given) : (unsigned) now_boottime_usec();
        print_message("TANK_TEST_SEED=%u\n", seed);
        assert_string_equal(keep(f, "", 0, 0).error, "");
        assert_string_equal(keep_log(f, 0, 0).error, "");
        for (unsigned i = 0; i < WRITES; i++) {
                model_write(f, &m);
                switch (pick(20)) {
                case 0:
                        /* Never more than before: what is gone does not come back. */
                        kept = kept == 0 ? 6 : MAX(kept - pick(2), (size_t) 1);
                        assert_string_equal(keep(f, "widget", kept, 0).error, "");
                        break;
                case 1:
                        assert_string_equal(
                                        compact(f, pick((unsigned) store_revision(f->store) + 1))
                                                        .error,
                                        "");
                        settle(f);
                        model_check(f, &m, kept);
                        break;
                case 2: assert_string_equal(keep_log(f, 20 + pick(100), 0).error, ""); break;
                case 3:
                        fixture_close(f);
                        assert_true(fixture_open(f) >= 0);
                        break;
                default: break;
                }
                if (i % 40 == 0) {
                        settle(f);
                        check_log(f);
                }
        }
        assert_string_equal(compact(f, store_revision(f->store)).error, "");
        settle(f);
        model_check(f, &m, kept);
        check_log(f);
        verify(f);
}

/* The loop ends in the middle of it: it is given up, and a loop that is over is asked nothing. */
static void test_loop_ends(void **state)
{
        CLEANUP_CLOSE int said = memfd_create("said", MFD_CLOEXEC), standing = dup(STDERR_FILENO);
        CLEANUP_FREE char *text = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        Told t = {}, late = {};

        for (unsigned i = 0; i < 10; i++)
                assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}").error, "");
        assert_true(said >= 0 && standing >= 0 && dup2(said, STDERR_FILENO) >= 0);
        assert_true(store_compact(f->store, store_revision(f->store), on_compacted, &t, &e) >= 0);
        assert_true(sd_event_exit(f->event, 0) >= 0);
        assert_true(sd_event_loop(f->event) >= 0);
        assert_true(store_compact(f->store, store_revision(f->store), on_compacted, &late, &e) < 0);
        assert_true(sd_bus_error_has_name(&e, TANK_ERROR_UNAVAILABLE));
        sd_bus_error_free(&e);
        fixture_close(f);
        assert_true(dup2(standing, STDERR_FILENO) >= 0);
        assert_string_equal(t.error, TANK_ERROR_UNAVAILABLE);
        assert_int_equal(lseek(said, 0, SEEK_SET), 0);
        assert_true(read_fd_bounded(said, 4096, &text, NULL) >= 0);
        assert_null(strstr(text, "cannot"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_shipped, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_rules_survive, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_compact, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_incarnations, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_age, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_tombstone, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_log_shrinks, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_loop_ends, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_random, fixture_setup, fixture_teardown),
        };

        log_setup("test-store-retention");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
