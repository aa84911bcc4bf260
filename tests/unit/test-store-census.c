/* SPDX-License-Identifier: Apache-2.0 */

/* That what is counted once, in slices, and kept by what is written, is what stands: with writes
 * before, between and behind the slices. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store-census.h"
#include "store-fixture.h"

static Census *census;

static void on_changed(const CommitBatch *batch, void *userdata)
{
        census_batch(census, batch);
}

typedef struct Wanted {
        const char *type;
        uint64_t n;
        bool known;
} Wanted;

static int look_for(const char *type, uint64_t n, void *userdata)
{
        Wanted *w = userdata;

        w->known = true;
        if (streq(type, w->type))
                w->n = n;
        return 0;
}

/* UINT64_MAX: not known yet. */
static uint64_t count(const char *type)
{
        Wanted w = { .type = type };

        assert_int_equal(census_walk(census, look_for, &w), 0);
        return w.known ? w.n : UINT64_MAX;
}

static void ignore(const StoreOutcome *o, const sd_bus_error *e, void *userdata)
{
        assert_null(e);
}

static void write_one(Fixture *f, StoreVerb verb, const char *type, unsigned i)
{
        char document[128], name[16];
        StoreOperation o = { .verb = verb, .document = document };
        const StoreWrite w = { .answered = ignore };
        size_t at;

        (void) snprintf(name, sizeof(name), "n%05u", i);
        o.document_size = (size_t) snprintf(document, sizeof(document),
                        "{\"kind\":\"%s\",\"name\":\"%s\",\"x\":%u}", type, name, i);
        if (verb == STORE_DELETE) {
                o.document = NULL;
                o.type = type;
                o.namespace = "default";
                o.name = name;
        }
        assert_true(store_write(f->store, &o, 1, &w, &at, NULL) >= 0);
}

/* One turn of the loop, if there is something for it to do. */
static bool turn(Fixture *f)
{
        int r = sd_event_run(f->event, 0);

        assert_true(r >= 0);
        return r > 0;
}

static void counted_while_written(void **state)
{
        unsigned n = 20000, turns = 0;
        uint64_t apples = n, pears = 0;
        Fixture f;

        fixture_init(&f, NULL);
        assert_int_equal(fixture_open(&f), 0);
        for (unsigned i = 0; i < n; i++) {
                write_one(&f, STORE_CREATE, "apple", i);
                if (i % 1000 == 0)
                        store_flush(f.store);
        }
        store_flush(f.store);
        assert_int_equal(census_new(f.event, f.store, &census), 0);
        store_set_hooks(f.store, &(const StoreHooks){ .changed = on_changed });
        assert_true(count("apple") == UINT64_MAX);

        /* At both ends of what is read and at its cursor, of a type before, and of one behind. */
        while (count("apple") == UINT64_MAX) {
                unsigned i = turns % (n / 2);

                write_one(&f, STORE_DELETE, "apple", i);
                write_one(&f, STORE_DELETE, "apple", n - 1 - i);
                write_one(&f, STORE_CREATE, "apple", n + 1 + i);
                write_one(&f, STORE_CREATE, "pear", i);
                write_one(&f, STORE_APPLY, "apple", n / 2);
                apples--;
                pears++;
                if (turns % 2)
                        store_flush(f.store);
                for (unsigned k = 0; k < 3; k++)
                        (void) turn(&f);
                assert_true(++turns < n / 2);
        }
        store_flush(f.store);
        assert_true(turns > 2);
        assert_true(count("apple") == apples);
        assert_true(count("pear") == pears);
        assert_true(count("namespace") == 2);
        write_one(&f, STORE_CREATE, "plum", 0);
        write_one(&f, STORE_DELETE, "plum", 0);
        write_one(&f, STORE_CREATE, "plum", 1);
        store_flush(f.store);
        assert_true(count("plum") == 1);

        /* Everything may be another. */
        census_batch(census, NULL);
        assert_true(count("apple") == UINT64_MAX);
        while (count("apple") == UINT64_MAX)
                assert_true(turn(&f));
        assert_true(count("apple") == apples && count("pear") == pears && count("plum") == 1);
        while (turn(&f)) /* idle is idle */
                ;
        census = census_free(census);
        fixture_done(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(counted_while_written),
        };

        log_setup("test-store-census");
        return cmocka_run_group_tests_name("store-census", tests, NULL, NULL);
}
