/* SPDX-License-Identifier: Apache-2.0 */

/* The key-value data on a real database and in memory: what is promised in store-kv.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>

#include "limit.h"
#include "store-fixture.h"
#include "store-internal.h"
#include "store-kv.h"

static Fixture fixture;

static int setup(void **state)
{
        fixture_init(&fixture, NULL);
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

static int setup_memory(void **state)
{
        fixture_init(&fixture, NULL);
        fixture.memory = true;
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

static int teardown(void **state)
{
        fixture_done(&fixture);
        return 0;
}

/* ---- calls --------------------------------------------------------------------------------- */

typedef struct KvAnswer {
        bool answered;
        uint64_t revision;
        size_t n, n_changed;
        struct {
                char error[128];
                uint64_t revision, expires_usec;
                bool existed;
        } results[4]; /* of the first ones */
        char error[128], message[256];
} KvAnswer;

static void on_answer(const KvOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        KvAnswer *a = userdata;

        assert_false(a->answered);
        a->answered = true;
        if (error) {
                (void) snprintf(a->error, sizeof(a->error), "%s", error->name);
                (void) snprintf(a->message, sizeof(a->message), "%s", error->message);
                return;
        }
        a->revision = outcome->revision;
        a->n = outcome->n;
        a->n_changed = outcome->n_changed;
        for (size_t i = 0; i < MIN(outcome->n, ARRAY_SIZE(a->results)); i++) {
                const KvResult *r = &outcome->results[i];

                (void) snprintf(a->results[i].error, sizeof(a->results[i].error), "%s",
                                strempty(r->error.name));
                a->results[i].revision = r->revision;
                a->results[i].expires_usec = r->expires_usec;
                a->results[i].existed = r->existed;
        }
}

static KvBytes text(const char *s)
{
        return (KvBytes){ s, strlen(s) };
}

static KvOperation op_set(const char *key, const char *value)
{
        return (KvOperation){ .verb = KV_SET, .key = text(key), .value = text(value) };
}

static KvOperation op_remove(const char *key)
{
        return (KvOperation){ .verb = KV_REMOVE, .key = text(key) };
}

static KvOperation op_ttl(KvOperation o, uint64_t ttl)
{
        o.has_ttl = true;
        o.ttl_usec = ttl;
        return o;
}

static KvOperation op_when(KvOperation o, uint64_t revision)
{
        o.has_if_revision = true;
        o.if_revision = revision;
        return o;
}

static KvAnswer begin_kv(Fixture *f, const char *store, const KvOperation *o, size_t n, bool wait,
                KvAnswer *ret)
{
        const KvCall call = { .by = 7, .wait = wait, .answered = on_answer, .userdata = ret };
        sd_bus_error e = SD_BUS_ERROR_NULL;

        *ret = (KvAnswer){};
        if (store_kv_write(f->store, store, o, n, &call, &e) < 0) {
                assert_false(ret->answered);
                ret->answered = true;
                (void) snprintf(ret->error, sizeof(ret->error), "%s", e.name);
        }
        sd_bus_error_free(&e);
        return *ret;
}

static KvAnswer kv(Fixture *f, const char *store, KvOperation o)
{
        KvAnswer a;

        (void) begin_kv(f, store, &o, 1, true, &a);
        store_flush(f->store);
        assert_true(a.answered);
        return a;
}

static void set(Fixture *f, const char *store, const char *key, const char *value)
{
        KvAnswer a = kv(f, store, op_set(key, value));

        assert_string_equal(a.error, "");
        assert_string_equal(a.results[0].error, "");
}

static size_t clear(Fixture *f, const char *store)
{
        KvAnswer a = {};
        const KvCall call = { .wait = true, .answered = on_answer, .userdata = &a };
        sd_bus_error e = SD_BUS_ERROR_NULL;

        assert_int_equal(store_kv_clear(f->store, store, &call, &e), 0);
        store_flush(f->store);
        assert_true(a.answered);
        assert_string_equal(a.error, "");
        return a.n_changed;
}

/* NULL: absent. */
static char *get_bytes(Fixture *f, const char *store, KvBytes key, size_t *ret_size)
{
        CLEANUP_FREE char *buffer = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        KvRecord record;
        char *copy;
        int r;

        r = store_kv_get(f->store, store, key, &record, &buffer, &e);
        assert_true(r >= 0);
        if (r == 0)
                return NULL;
        copy = malloc(record.value.size + 1);
        if (record.value.size > 0)
                memcpy(copy, record.value.data, record.value.size);
        copy[record.value.size] = 0;
        *ret_size = record.value.size;
        return copy;
}

static void assert_value(Fixture *f, const char *store, const char *key, const char *expected)
{
        size_t size = 0;
        CLEANUP_FREE char *value = get_bytes(f, store, text(key), &size);

        if (!expected) {
                assert_null(value);
                return;
        }
        assert_non_null(value);
        assert_string_equal(value, expected);
}

typedef struct Dump {
        char text[4096];
        size_t n;
} Dump;

static int add_entry(KvBytes key, const KvRecord *record, void *userdata)
{
        Dump *d = userdata;
        size_t used = strlen(d->text);

        d->n++;
        (void) snprintf(d->text + used, sizeof(d->text) - used, "%.*s=%.*s ", (int) key.size,
                        (const char *) key.data, (int) record->value.size,
                        (const char *) record->value.data);
        return 0;
}

static Dump list(Fixture *f, const char *store, KvListOptions o)
{
        CLEANUP_FREE char *token = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t revision;
        Dump d = {};

        o.values = true;
        do {
                char *next = NULL;

                o.token = strempty(token);
                assert_true(store_kv_list(f->store, store, &o, add_entry, &d, &next, &revision,
                                            &e) >= 0);
                free(token);
                token = next;
        } while (token);
        return d;
}

static int add_change(uint64_t revision, const KvChange *c, void *userdata)
{
        Dump *d = userdata;
        size_t used = strlen(d->text);

        d->n++;
        (void) snprintf(d->text + used, sizeof(d->text) - used, "%s %.*s %s%.*s %s%.*s; ",
                        kv_effect_to_string(c->effect), (int) c->key.size,
                        (const char *) c->key.data, c->had_old ? "-" : "", (int) c->old.size,
                        (const char *) c->old.data, c->has_new ? "+" : "", (int) c->new.size,
                        (const char *) c->new.data);
        return 0;
}

static Dump changes(Fixture *f, const char *store, uint64_t since)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        uint64_t revision;
        bool more = true;
        Dump d = {};

        while (more) {
                assert_true(store_kv_changes(f->store, store_database_id(f->store), store, since, 0,
                                            add_change, &d, &more, &revision, &e) >= 0);
                since = revision;
        }
        assert_true(revision >= store_revision(f->store)); /* it may be durable before it is told */
        return d;
}

static int add_store(const char *store, const KvTotals *totals, void *userdata)
{
        Dump *d = userdata;
        size_t used = strlen(d->text);

        (void) snprintf(d->text + used, sizeof(d->text) - used, "%s %" PRIu64 " %" PRIu64 "; ",
                        store, totals->keys, totals->bytes);
        return 0;
}

static Dump stores(Fixture *f)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Dump d = {};

        assert_true(store_kv_stores(f->store, add_store, &d, &e) >= 0);
        return d;
}

static void reopen(Fixture *f)
{
        if (f->memory)
                return;
        fixture_close(f);
        assert_true(fixture_open(f) >= 0);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_set_get_remove(void **state)
{
        Fixture *f = *state;
        uint64_t revision;
        KvAnswer a;

        assert_value(f, "s", "never", NULL);
        a = kv(f, "s", op_set("k", "v"));
        assert_true(a.results[0].revision == 2 && store_revision(f->store) == 2);
        assert_value(f, "s", "k", "v");

        /* The same once more is no write; an empty value is another one, and is there. */
        a = kv(f, "s", op_set("k", "v"));
        assert_true(a.results[0].revision == 2 && store_revision(f->store) == 2);
        a = kv(f, "s", op_set("k", ""));
        assert_true(a.results[0].revision == 3);
        assert_value(f, "s", "k", "");
        set(f, "s", "blank", " ");
        assert_value(f, "s", "blank", " ");

        a = kv(f, "s", op_remove("k"));
        assert_true(a.results[0].existed && a.results[0].revision == 5);
        assert_value(f, "s", "k", NULL);
        a = kv(f, "s", op_remove("k"));
        assert_string_equal(a.results[0].error, "");
        assert_true(!a.results[0].existed && store_revision(f->store) == 5);

        revision = store_revision(f->store);
        reopen(f);
        assert_true(store_revision(f->store) == revision);
        assert_value(f, "s", "blank", " ");
        assert_value(f, "s", "k", NULL);
        assert_string_equal(changes(f, "s", 1).text,
                        "set k  +v; set k -v +; set blank  + ; removed k - ; ");
}

static void test_keys_of_any_bytes(void **state)
{
        static const char *const keys[] = { "https://google.com", "sso-client-http://bin",
                "sftp://here:22", "!", "key1", "a/b~c", "a~1b~0c", "日本", "\xff\xfe", " ", "\n" };
        CLEANUP_FREE char *longest = calloc(1, LIMIT_KV_KEY + 1);
        const KvBytes binary = { "a\0b", 3 }, shorter = { "a\0", 2 };
        CLEANUP_FREE char *value = NULL;
        Fixture *f = *state;
        KvOperation o;
        size_t size;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                set(f, "s", keys[i], keys[i]);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                assert_value(f, "s", keys[i], keys[i]);
        assert_int_equal(list(f, "s", (KvListOptions){}).n, ARRAY_SIZE(keys));

        o = (KvOperation){ .verb = KV_SET, .key = binary, .value = binary };
        assert_string_equal(kv(f, "s", o).results[0].error, "");
        value = get_bytes(f, "s", binary, &size);
        assert_int_equal(size, 3);
        assert_memory_equal(value, "a\0b", 3);
        assert_null(get_bytes(f, "s", shorter, &size));

        memset(longest, 'x', LIMIT_KV_KEY);
        set(f, "s", longest, "1");
        assert_value(f, "s", longest, "1");
        o = op_set("", "v");
        assert_string_equal(kv(f, "s", o).results[0].error, TANK_ERROR_INVALID_ARGUMENT);
        o.key = (KvBytes){ longest, LIMIT_KV_KEY + 1 };
        assert_string_equal(kv(f, "s", o).results[0].error, TANK_ERROR_TOO_LARGE);
        assert_string_equal(
                        kv(f, "not/a/name", op_set("k", "v")).error, TANK_ERROR_INVALID_ARGUMENT);
}

static void test_stores_are_apart(void **state)
{
        Fixture *f = *state;

        set(f, "hello", "a", "1");
        set(f, "hello", "pepr-b", "2");
        set(f, "hello-pepr", "b", "3");
        assert_string_equal(list(f, "hello", (KvListOptions){}).text, "a=1 pepr-b=2 ");
        assert_string_equal(list(f, "hello-pepr", (KvListOptions){}).text, "b=3 ");
        assert_string_equal(stores(f).text, "hello 2 9; hello-pepr 1 2; ");
        assert_string_equal(changes(f, "hello-pepr", 1).text, "set b  +3; ");

        assert_int_equal(clear(f, "hello"), 2);
        assert_string_equal(list(f, "hello", (KvListOptions){}).text, "");
        assert_string_equal(list(f, "hello-pepr", (KvListOptions){}).text, "b=3 ");
        assert_string_equal(stores(f).text, "hello-pepr 1 2; ");
        reopen(f);
        assert_string_equal(stores(f).text, "hello-pepr 1 2; ");
}

static void test_clear(void **state)
{
        static const size_t sizes[] = { 0, 1, 2, 1000 };
        Fixture *f = *state;

        set(f, "other", "k", "v");
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                uint64_t before;

                for (size_t k = 0; k < sizes[i]; k++) {
                        char key[16];
                        KvAnswer a;
                        KvOperation o;

                        (void) snprintf(key, sizeof(key), "k%zu", k);
                        o = op_set(key, "v");
                        (void) begin_kv(f, "s", &o, 1, false, &a);
                        assert_true(a.answered && a.n_changed == 1);
                }
                if (i == 2) /* the last time with all of it still under way */
                        store_flush(f->store);
                before = store_revision(f->store);
                assert_int_equal(clear(f, "s"), sizes[i]);
                assert_int_equal(list(f, "s", (KvListOptions){}).n, 0);
                if (sizes[i] == 0)
                        assert_true(store_revision(f->store) == before);
        }
        assert_value(f, "other", "k", "v");
        assert_string_equal(stores(f).text, "other 1 2; ");
}

/* Nothing is left to remove, but what removed it is under way. */
static void test_clear_rests(void **state)
{
        Fixture *f = *state;
        const KvOperation o = op_remove("k");
        KvAnswer removed, cleared = {};
        const KvCall call = { .wait = true, .answered = on_answer, .userdata = &cleared };
        sd_bus_error e = SD_BUS_ERROR_NULL;

        set(f, "s", "k", "v");
        (void) begin_kv(f, "s", &o, 1, false, &removed);
        assert_true(removed.answered);
        assert_int_equal(store_kv_clear(f->store, "s", &call, &e), 0);
        assert_false(cleared.answered);
        store_flush(f->store);
        assert_true(cleared.answered && cleared.n_changed == 0);
}

/* Who only waited is not told that what it wrote is in doubt. */
static void test_waiting_for_what_fails(void **state)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        const KvOperation o = op_set("k", "v");
        KvAnswer wrote, waited;
        Fixture *f = *state;

        assert_true(db_batch_new(&b) >= 0);
        meta_put_u64(b, f->store->db, META_REVISION, 1000); /* as if another had written */
        assert_true(db_write(f->store->db, b) >= 0);
        (void) begin_kv(f, "s", &o, 1, true, &wrote);
        (void) begin_kv(f, "s", &o, 1, true, &waited);
        assert_false(wrote.answered || waited.answered);
        store_flush(f->store);
        assert_non_null(strstr(wrote.message, "could not be made durable"));
        assert_string_equal(waited.error, TANK_ERROR_DEGRADED);
        assert_non_null(strstr(waited.message, "an earlier write failed"));
}

/* X33, X34, X39: in the order of the program, seen at once, each by itself. */
static void test_order_and_batches(void **state)
{
        const KvOperation aba[] = { op_set("k", "a"), op_set("k", "b"), op_set("k", "a") };
        const KvOperation vrv[] = { op_set("k2", "v"), op_remove("k2"), op_set("k2", "v") };
        const KvOperation mixed[] = { op_remove("missing"), op_set("good", "1"),
                op_when(op_set("good", "2"), 99), op_set("fine", "3") };
        Fixture *f = *state;
        KvOperation o;
        KvAnswer a[3];

        for (size_t i = 0; i < 3; i++) {
                (void) begin_kv(f, "s", &aba[i], 1, false, &a[i]);
                assert_true(a[i].answered);
                assert_value(f, "s", "k", i == 1 ? "b" : "a");
        }
        store_flush(f->store);
        assert_value(f, "s", "k", "a");
        assert_string_equal(changes(f, "s", 1).text, "set k  +a; set k -a +b; set k -b +a; ");

        (void) begin_kv(f, "s", vrv, 3, true, &a[0]);
        assert_value(f, "s", "k2", "v");
        store_flush(f->store);
        assert_int_equal(a[0].n_changed, 3);
        assert_value(f, "s", "k2", "v");

        (void) begin_kv(f, "s", mixed, 4, true, &a[0]);
        store_flush(f->store);
        assert_string_equal(a[0].results[0].error, "");
        assert_false(a[0].results[0].existed);
        assert_string_equal(a[0].results[1].error, "");
        assert_string_equal(a[0].results[2].error, TANK_ERROR_CONFLICT);
        assert_true(a[0].results[2].revision == a[0].results[1].revision);
        assert_string_equal(a[0].results[3].error, "");
        assert_value(f, "s", "good", "1");
        assert_value(f, "s", "fine", "3");

        /* What changes nothing is not answered before what it rests upon. */
        o = op_set("rests", "v");
        (void) begin_kv(f, "s", &o, 1, false, &a[0]);
        (void) begin_kv(f, "s", &o, 1, true, &a[1]);
        assert_true(a[0].answered && !a[1].answered);
        store_flush(f->store);
        assert_true(a[1].answered && a[1].n_changed == 0);
        assert_true(a[1].results[0].revision == store_revision(f->store));
}

static void test_conditions(void **state)
{
        Fixture *f = *state;
        KvAnswer a;

        a = kv(f, "s", op_when(op_set("k", "v"), 5));
        assert_string_equal(a.results[0].error, TANK_ERROR_CONFLICT);
        assert_true(a.results[0].revision == 0);
        a = kv(f, "s", op_when(op_set("k", "v"), 0));
        assert_string_equal(a.results[0].error, "");
        a = kv(f, "s", op_when(op_set("k", "w"), 0));
        assert_string_equal(a.results[0].error, TANK_ERROR_CONFLICT);
        assert_true(a.results[0].revision == 2);
        a = kv(f, "s", op_when(op_remove("k"), 1));
        assert_string_equal(a.results[0].error, TANK_ERROR_CONFLICT);
        a = kv(f, "s", op_when(op_remove("k"), 2));
        assert_true(a.results[0].existed);
        a = kv(f, "s", op_when(op_remove("k"), 0));
        assert_string_equal(a.results[0].error, "");
        assert_true(store_revision(f->store) == 3);
}

static void test_atomic(void **state)
{
        const KvOperation bad[] = { op_set("a", "1"), op_set("", "2"), op_set("b", "3") };
        KvAnswer a = {};
        const KvCall call = { .wait = true, .atomic = true, .answered = on_answer, .userdata = &a };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;

        assert_int_equal(store_kv_write(f->store, "s", bad, 3, &call, &e), 0);
        store_flush(f->store);
        assert_string_equal(a.results[0].error, TANK_ERROR_FAILED_PRECONDITION);
        assert_string_equal(a.results[1].error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(a.results[2].error, TANK_ERROR_FAILED_PRECONDITION);
        assert_true(store_revision(f->store) == 1);
        assert_string_equal(stores(f).text, "");
        assert_value(f, "s", "a", NULL);
}

static void test_lists(void **state)
{
        Fixture *f = *state;
        KvOperation pending[] = { op_set("b", "2*"), op_set("aa", "new"), op_remove("c"),
                op_set("z", "last") };
        KvAnswer a;

        set(f, "s", "b", "2");
        set(f, "s", "a", "1");
        set(f, "s", "c", "3");
        set(f, "s", "d", "4");
        (void) begin_kv(f, "s", pending, ARRAY_SIZE(pending), false, &a);
        assert_string_equal(list(f, "s", (KvListOptions){}).text, "a=1 aa=new b=2* d=4 z=last ");
        assert_string_equal(
                        list(f, "s", (KvListOptions){ .durable = true }).text, "a=1 b=2 c=3 d=4 ");
        for (uint32_t limit = 1; limit < 6; limit++)
                assert_string_equal(list(f, "s", (KvListOptions){ .limit = limit }).text,
                                "a=1 aa=new b=2* d=4 z=last ");
        assert_string_equal(list(f, "s", (KvListOptions){ .prefix = text("a"), .limit = 1 }).text,
                        "a=1 aa=new ");
        store_flush(f->store);
        assert_string_equal(list(f, "s", (KvListOptions){ .durable = true, .limit = 2 }).text,
                        "a=1 aa=new b=2* d=4 z=last ");
        assert_string_equal(list(f, "s", (KvListOptions){ .prefix = text("z") }).text, "z=last ");
        assert_string_equal(list(f, "s", (KvListOptions){ .prefix = text("zz") }).text, "");
}

/* X42 */
static void test_limits(void **state)
{
        CLEANUP_FREE char *mib = malloc(LIMIT_KV_VALUE + 1);
        Fixture *f = *state;
        KvOperation o, two[2];
        KvAnswer a;

        memset(mib, 'x', LIMIT_KV_VALUE);
        mib[LIMIT_KV_VALUE] = 0;
        for (unsigned i = 0; i < 10000; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "%u", i);
                o = op_set(key, "v");
                (void) begin_kv(f, "many", &o, 1, false, &a);
                assert_string_equal(a.results[0].error, "");
                if (i % 1000 == 0)
                        store_flush(f->store);
        }
        store_flush(f->store);
        assert_int_equal(list(f, "many", (KvListOptions){ .limit = 1000 }).n, 10000);

        two[0] = op_set("too-long", mib);
        two[0].value.size++;
        two[1] = op_set("longest", mib);
        (void) begin_kv(f, "big", two, 2, true, &a);
        store_flush(f->store);
        assert_string_equal(a.results[0].error, TANK_ERROR_TOO_LARGE);
        assert_string_equal(a.results[1].error, "");
        for (char key[] = "a"; *key < 'o'; (*key)++)
                set(f, "big", key, mib);
        a = kv(f, "big", op_set("one-too-many", mib));
        assert_string_equal(a.results[0].error, TANK_ERROR_LIMIT_EXCEEDED);
        set(f, "big", "small", "still has room");
        set(f, "big", "a", "and what shrinks, too");
        assert_int_equal(clear(f, "big"), 16);
        assert_int_equal(clear(f, "many"), 10000);
        assert_string_equal(stores(f).text, "");
}

static bool is_changed_to(Fixture *f, const char *store, const char *expected)
{
        return streq(changes(f, store, 1).text, expected);
}

/* X25, driven by the loop. */
static void test_expiry(void **state)
{
        const char *before = "set k  +v; set stays  +v; ";
        const uint64_t ttl = 300 * USEC_PER_MSEC;
        Fixture *f = *state;
        uint64_t until, expires;
        char expected[256];
        KvAnswer a;

        /* The timer looked already, and found nothing. */
        for (int i = 0; i < 10; i++)
                assert_true(sd_event_run(f->event, 0) >= 0);
        a = kv(f, "s", op_ttl(op_set("k", "v"), ttl));
        expires = a.results[0].expires_usec;
        assert_true(expires > now_realtime_usec());
        set(f, "s", "stays", "v");

        /* Longer, without an event; it is the longer one that counts, and survives a restart. */
        a = kv(f, "s", op_ttl((KvOperation){ .verb = KV_TOUCH, .key = text("k") }, 2 * ttl));
        assert_true(a.results[0].expires_usec > expires && a.results[0].revision == 2);
        expires = a.results[0].expires_usec;
        assert_true(is_changed_to(f, "s", before));
        reopen(f);

        until = now_boottime_usec() + 30 * USEC_PER_SEC;
        while (now_realtime_usec() < expires) {
                Dump d = changes(f, "s", 1);

                assert_true(now_boottime_usec() < until);
                if (now_realtime_usec() < expires)
                        assert_string_equal(d.text, before);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
        assert_value(f, "s", "k", NULL); /* at once */
        assert_string_equal(list(f, "s", (KvListOptions){}).text, "stays=v ");
        (void) snprintf(expected, sizeof(expected), "%sexpired k -v ; ", before);
        while (!is_changed_to(f, "s", expected)) {
                assert_true(now_boottime_usec() < until);
                assert_true(sd_event_run(f->event, 50 * USEC_PER_MSEC) >= 0);
        }
        assert_true(now_realtime_usec() < expires + USEC_PER_SEC);
        assert_string_equal(stores(f).text, "s 1 6; ");

        a = kv(f, "s", op_ttl((KvOperation){ .verb = KV_TOUCH, .key = text("k") }, ttl));
        assert_string_equal(a.results[0].error, TANK_ERROR_NOT_FOUND);
        a = kv(f, "s", op_ttl(op_set("k", "v"), 0));
        assert_string_equal(a.results[0].error, TANK_ERROR_INVALID_ARGUMENT);
}

/* A set of what is over: it ends, and begins again. Without a loop the timer is never in time. */
static void test_set_what_is_over(void **state)
{
        Fixture *f = *state;
        uint64_t expires;
        KvAnswer a;

        expires = kv(f, "s", op_ttl(op_set("k", "v"), 1000)).results[0].expires_usec;
        while (now_realtime_usec() <= expires)
                ;
        a = kv(f, "s", op_remove("k"));
        assert_false(a.results[0].existed);
        set(f, "s", "k", "v");
        assert_true(is_changed_to(f, "s", "set k  +v; expired k -v ; set k  +v; "));
        assert_string_equal(stores(f).text, "s 1 2; ");

        /* For ever from now on: a change, though the value is the same. */
        (void) kv(f, "s", op_ttl(op_set("k", "v"), USEC_PER_SEC * 100));
        set(f, "s", "k", "v");
        assert_true(is_changed_to(
                        f, "s", "set k  +v; expired k -v ; set k  +v; set k -v +v; set k -v +v; "));
}

/* Objects and keys have one counter and one log, and do not see each other. */
static void test_one_revision(void **state)
{
        Fixture *f = *state;
        Outcome o;

        set(f, "s", "k", "v");
        o = apply(f, "{\"kind\":\"widget\",\"name\":\"a\"}");
        assert_true(o.revision == 3);
        set(f, "s", "k", "w");
        assert_true(store_revision(f->store) == 4);
        assert_string_equal(changes(f, "s", 1).text, "set k  +v; set k -v +w; ");
        assert_string_equal(changes(f, "other", 1).text, "");
}

#define BOTH(test) \
        cmocka_unit_test_setup_teardown(test, setup, teardown), \
        { \
#test "_in_memory", test, setup_memory, teardown, NULL \
        }

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(test_set_get_remove),
                BOTH(test_keys_of_any_bytes),
                BOTH(test_stores_are_apart),
                BOTH(test_clear),
                BOTH(test_clear_rests),
                BOTH(test_waiting_for_what_fails),
                BOTH(test_order_and_batches),
                BOTH(test_conditions),
                BOTH(test_atomic),
                BOTH(test_lists),
                BOTH(test_limits),
                BOTH(test_expiry),
                BOTH(test_set_what_is_over),
                BOTH(test_one_revision),
        };

        log_setup("test-store-kv");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
