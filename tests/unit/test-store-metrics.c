/* SPDX-License-Identifier: Apache-2.0 */

/* What is counted, and how it is printed. That all of the text is OpenMetrics is checked of what
 * the daemon says, by tests/bus/store-metrics.bats. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "clock.h"
#include "store-metrics.h"

#define STORE "org.tankd.Store1"

static Metrics *some_metrics(void)
{
        Metrics *m;

        assert_int_equal(metrics_new(&m), 0);
        assert_int_equal(metrics_add_operation(m, STORE, "Get"), 0);
        assert_int_equal(metrics_add_operation(m, STORE, "Apply"), 0);
        assert_int_equal(metrics_add_operation(m, STORE ".KeyValue", "Get"), 0);
        assert_int_equal(metrics_add_operation(m, STORE, "Get"), 0); /* again */
        return m;
}

typedef struct Wanted {
        const char *name;
        uint64_t value;
        bool found;
} Wanted;

static int look_for(const char *name, uint64_t value, void *userdata)
{
        Wanted *w = userdata;

        if (streq(name, w->name)) {
                assert_false(w->found);
                w->found = true;
                w->value = value;
        }
        return 0;
}

static uint64_t number(const Metrics *m, const char *name)
{
        Wanted w = { .name = name };

        assert_int_equal(metrics_walk(m, look_for, &w), 0);
        if (!w.found)
                fail_msg("there is no number '%s'", name);
        return w.value;
}

static void a_call_counts_once(void **state)
{
        CLEANUP(metrics_freep) Metrics *m = some_metrics();
        uint64_t now = now_boottime_usec();
        MetricsCall later;

        metrics_begin(m, STORE, "Get", now - 3000);
        metrics_in(m, 10);
        metrics_out(m, 100);
        metrics_out(m, 1);
        metrics_end(m, false);
        assert_int_equal(number(m, "Store1.Get.calls"), 1);
        assert_int_equal(number(m, "Store1.Get.errors"), 0);
        assert_int_equal(number(m, "Store1.Get.bytes_in"), 10);
        assert_int_equal(number(m, "Store1.Get.bytes_out"), 101);
        assert_in_range(number(m, "Store1.Get.usec"), 3000, 30 * USEC_PER_SEC);
        assert_int_equal(number(m, "KeyValue.Get.calls"), 0);

        metrics_begin(m, STORE, "Get", now);
        metrics_end(m, true);
        metrics_begin(m, STORE, "Get", now);
        metrics_fail(m); /* which sends the error by itself */
        metrics_end(m, false);
        metrics_begin(m, STORE, "Get", now);
        metrics_end(m, false); /* the failure is not handed on */
        assert_int_equal(number(m, "Store1.Get.calls"), 4);
        assert_int_equal(number(m, "Store1.Get.errors"), 2);

        /* Answered later, with another call in between. */
        metrics_begin(m, STORE, "Apply", now);
        metrics_in(m, 7);
        later = metrics_later(m);
        metrics_end(m, false);
        assert_int_equal(number(m, "Store1.Apply.calls"), 0);
        metrics_begin(m, STORE ".KeyValue", "Get", now);
        metrics_end(m, false);
        metrics_answered(&later, 5, true);
        metrics_answered(&later, 5, true);
        assert_int_equal(number(m, "Store1.Apply.calls"), 1);
        assert_int_equal(number(m, "Store1.Apply.errors"), 1);
        assert_int_equal(number(m, "Store1.Apply.bytes_in"), 7);
        assert_int_equal(number(m, "Store1.Apply.bytes_out"), 5);
        assert_int_equal(number(m, "KeyValue.Get.calls"), 1);

        /* Not later, after all. */
        metrics_begin(m, STORE, "Apply", now);
        later = metrics_later(m);
        metrics_now(m, &later);
        metrics_end(m, true);
        assert_int_equal(number(m, "Store1.Apply.calls"), 2);
        assert_int_equal(number(m, "Store1.Apply.errors"), 2);
        assert_null(later.operation);

        /* What nobody added, and what is outside of any call. */
        metrics_begin(m, STORE, "Nonsense", now);
        metrics_in(m, 1);
        metrics_end(m, true);
        metrics_in(m, 1);
        metrics_out(m, 1);
        metrics_fail(m);
        metrics_end(m, true);
        assert_int_equal(number(m, "Store1.Get.bytes_in"), 10);

        metrics_synced(m, 1500);
        metrics_synced(m, 500);
        assert_int_equal(number(m, "syncs"), 2);
        assert_int_equal(number(m, "sync_usec"), 2000);
}

static void there_is_room(void **state)
{
        CLEANUP(metrics_freep) Metrics *m = NULL;
        static char names[METRICS_OPERATIONS + 1][16];

        assert_int_equal(metrics_new(&m), 0);
        for (unsigned i = 0; i < METRICS_OPERATIONS; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "Method%u", i);
                assert_int_equal(metrics_add_operation(m, STORE, names[i]), 0);
        }
        assert_int_equal(metrics_add_operation(m, STORE, "Other"), -ENOSPC);
        for (unsigned i = 0; i < METRICS_OPERATIONS; i++)
                for (unsigned n = 0; n <= i; n++) {
                        metrics_begin(m, STORE, names[i], 0);
                        metrics_end(m, false);
                }
        for (unsigned i = 0; i < METRICS_OPERATIONS; i++) {
                char name[64];

                (void) snprintf(name, sizeof(name), "Store1.%s.calls", names[i]);
                assert_int_equal(number(m, name), i + 1);
        }
        metrics_begin(m, STORE, "Other", 0);
        metrics_end(m, false);
}

static char *text_of(const Metrics *m)
{
        static const MetricsFigure figures[] = {
                { "revision", "Of the newest durable write.", 42 },
                { "memtable_bytes", "Memory of writes that are not in files yet.", 0 },
        };
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        assert_int_equal(metrics_print(m, f), 0);
        assert_int_equal(metrics_print_figures(f, figures, ARRAY_SIZE(figures)), 0);
        assert_int_equal(metrics_print_end(f), 0);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void text_is_openmetrics(void **state)
{
        CLEANUP(metrics_freep) Metrics *m = some_metrics();
        CLEANUP_FREE char *text = NULL;
        static const uint64_t times[] = { 0, 100, 101, 2500, 9999999, 10000000, 10000001,
                UINT64_C(4000000000000) };
        static const char *const lines[] = {
                "tank_store_calls_total{interface=\"org.tankd.Store1\",method=\"Get\"} 1\n",
                "tank_store_calls_total{interface=\"org.tankd.Store1.KeyValue\",method=\"Get\"} "
                "0\n",
                "tank_store_sync_duration_seconds_bucket{le=\"0.0001\"} 2\n",
                "tank_store_sync_duration_seconds_bucket{le=\"0.00025\"} 3\n",
                "tank_store_sync_duration_seconds_bucket{le=\"2.5\"} 4\n",
                "tank_store_sync_duration_seconds_bucket{le=\"10.0\"} 6\n",
                "tank_store_sync_duration_seconds_bucket{le=\"+Inf\"} 8\n",
                "tank_store_sync_duration_seconds_sum 4000030.002701\n",
                "tank_store_revision 42\n",
                "# UNIT tank_store_memtable_bytes bytes\n",
        };

        for (size_t i = 0; i < ARRAY_SIZE(times); i++)
                metrics_synced(m, times[i]);
        metrics_begin(m, STORE, "Get", 0);
        metrics_end(m, true);
        text = text_of(m);
        assert_string_equal(text + strlen(text) - 6, "# EOF\n");
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                if (!strstr(text, lines[i]))
                        fail_msg("not said: %s in\n%s", lines[i], text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_call_counts_once),
                cmocka_unit_test(there_is_room),
                cmocka_unit_test(text_is_openmetrics),
        };

        return cmocka_run_group_tests_name("store-metrics", tests, NULL, NULL);
}
