/* SPDX-License-Identifier: Apache-2.0 */

/* Quantities: what is read, what is refused and with which errno, and what is printed back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "quantity.h"

typedef struct Case {
        const char *text;
        int result;
        uint64_t value;
} Case;

static void check(int (*parse)(const char *, uint64_t *), const Case *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t v = 4711;
                int r = parse(cases[i].text, &v);

                if (r != cases[i].result || v != (r < 0 ? 4711 : cases[i].value))
                        fail_msg("'%s': %d, %ju", cases[i].text, r, (uintmax_t) v);
        }
}

static void test_sizes(void **state)
{
        static const Case cases[] = {
                { "0", 0, 0 },
                { "1024", 0, 1024 },
                { "1B", 0, 1 },
                { "64MiB", 0, UINT64_C(64) << 20 },
                { "5MB", 0, 5000000 },
                { "1kB", 0, 1000 },
                { "1KB", 0, 1000 },
                { "1KiB", 0, 1024 },
                { "2GB", 0, UINT64_C(2000000000) },
                { "3TB", 0, UINT64_C(3000000000000) },
                { "1TiB", 0, UINT64_C(1) << 40 },
                { "2K", 0, 2048 },
                { "2M", 0, UINT64_C(2) << 20 },
                { "2G", 0, UINT64_C(2) << 30 },
                { "2T", 0, UINT64_C(2) << 40 },
                { "1.5GiB", 0, UINT64_C(3) << 29 },
                { "0.001kB", 0, 1 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE },
                { "16777216TiB", -ERANGE },
                { "0.0001kB", -EINVAL }, /* a tenth of a byte */
                { "1.5", -EINVAL },
                { "1.0000000000000000000KiB", -ERANGE },
                { "", -EINVAL },
                { "MiB", -EINVAL },
                { "64 MiB", -EINVAL },
                { " 64MiB", -EINVAL },
                { "64mib", -EINVAL },
                { "64MiBs", -EINVAL },
                { "-1", -EINVAL },
                { "+1", -EINVAL },
                { "0x10", -EINVAL },
                { "1e3", -EINVAL },
                { ".5GiB", -EINVAL },
                { "1.GiB", -EINVAL },
        };

        check(parse_size, cases, ARRAY_SIZE(cases));
}

static void test_durations(void **state)
{
        static const Case cases[] = {
                { "0s", 0, 0 },
                { "10us", 0, 10 },
                { "250ms", 0, 250000 },
                { "10s", 0, 10 * USEC_PER_SEC },
                { "1m30s", 0, 90 * USEC_PER_SEC },
                { "2h", 0, 7200 * USEC_PER_SEC },
                { "1d", 0, 86400 * USEC_PER_SEC },
                { "1d2h3m4s5ms6us", 0, UINT64_C(93784005006) },
                { "10", -EINVAL },
                { "", -EINVAL },
                { "s", -EINVAL },
                { "10 s", -EINVAL },
                { "10S", -EINVAL },
                { "1.5s", -EINVAL },
                { "-1s", -EINVAL },
                { "30s1m", -EINVAL },
                { "1s1s", -EINVAL },
                { "1m30", -EINVAL },
                { "1week", -EINVAL },
                { "213503983d", -ERANGE },
                { "18446744073709551615us", -ERANGE }, /* that is infinity */
                { "99999999999999999999s", -ERANGE },
        };

        check(parse_duration, cases, ARRAY_SIZE(cases));
}

static int parse_cpus_100ms(const char *s, uint64_t *ret)
{
        return parse_cpus(s, 100000, ret);
}

static void test_cpus(void **state)
{
        static const Case cases[] = {
                { "0.5", 0, 50000 },
                { "2", 0, 200000 },
                { "1.25", 0, 125000 },
                { "0.333333", 0, 33333 },
                { "0.666666", 0, 66667 },
                { "0", 0, 0 },
                { "0.500000", 0, 50000 },
                { "", -EINVAL },
                { "half", -EINVAL },
                { "50%", -EINVAL },
                { "-1", -EINVAL },
                { "1,5", -EINVAL },
                { "18446744073709551615", -ERANGE },
        };

        check(parse_cpus_100ms, cases, ARRAY_SIZE(cases));
}

static void test_numbers(void **state)
{
        static const Case cases[] = {
                { "0", 0, 0 },
                { "007", 0, 7 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE },
                { "99999999999999999999999", -ERANGE },
                { "", -EINVAL },
                { "+1", -EINVAL },
                { "-1", -EINVAL },
                { " 1", -EINVAL },
                { "1 ", -EINVAL },
                { "1a", -EINVAL },
        };

        check(parse_u64, cases, ARRAY_SIZE(cases));
}

static void test_signals(void **state)
{
        char name[16];

        assert_int_equal(parse_signal("SIGTERM"), SIGTERM);
        assert_int_equal(parse_signal("TERM"), SIGTERM);
        assert_int_equal(parse_signal("9"), SIGKILL);
        assert_int_equal(parse_signal("SIGIO"), SIGIO);
        assert_int_equal(parse_signal("SIGPOLL"), SIGPOLL);
        assert_int_equal(parse_signal("RTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(parse_signal("SIGRTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(parse_signal("SIGRTMIN"), SIGRTMIN);
        assert_int_equal(parse_signal("SIGRTMAX-1"), SIGRTMAX - 1);
        assert_int_equal(parse_signal("64"), 64);

        assert_int_equal(parse_signal(""), -EINVAL);
        assert_int_equal(parse_signal("SIG"), -EINVAL);
        assert_int_equal(parse_signal("sigterm"), -EINVAL);
        assert_int_equal(parse_signal("SIGTERMINATE"), -EINVAL);
        assert_int_equal(parse_signal("SIGSIGTERM"), -EINVAL);
        assert_int_equal(parse_signal("RTMIN-3"), -EINVAL);
        assert_int_equal(parse_signal("RTMIN+"), -EINVAL);
        assert_int_equal(parse_signal("-9"), -EINVAL);
        assert_int_equal(parse_signal("0"), -ERANGE);
        assert_int_equal(parse_signal("65"), -ERANGE);
        assert_int_equal(parse_signal("RTMIN+99"), -ERANGE);

        assert_string_equal(signal_name(SIGTERM, name), "SIGTERM");
        assert_string_equal(signal_name(SIGRTMIN, name), "SIGRTMIN");
        assert_string_equal(signal_name(SIGRTMIN + 3, name), "SIGRTMIN+3");
        assert_string_equal(signal_name(1000, name), "1000");
        for (int i = 1; i <= 64; i++)
                assert_int_equal(parse_signal(signal_name(i, name)), i);
}

static void test_durations_for_people(void **state)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0s" },
                { 7, "7us" },
                { 250000, "250ms" },
                { 1500000, "1s" },
                { 59999999, "59s" },
                { 200 * USEC_PER_SEC, "3m20s" },
                { 3600 * USEC_PER_SEC, "1h" },
                { 3605 * USEC_PER_SEC, "1h" },
                { 187200 * USEC_PER_SEC, "2d4h" },
                { USEC_INFINITY, "infinity" },
        };
        char text[FORMAT_DURATION_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_string_equal(format_duration(cases[i].usec, text), cases[i].text);
}

static void test_exact_forms(void **state)
{
        static const uint64_t amounts[] = { 0, 1, 999, 1000, 1024, 1500, 65536, 250000, 5000000,
                1024000, 90000000, UINT64_C(256) << 20, UINT64_C(3) << 29, UINT64_C(86400000001),
                INT64_MAX, UINT64_MAX - 1 };
        char text[FORMAT_EXACT_SIZE];

        assert_string_equal(format_duration_exact(0, text), "0s");
        assert_string_equal(format_duration_exact(90 * USEC_PER_SEC, text), "1m30s");
        assert_string_equal(format_duration_exact(1500000, text), "1s500ms");
        assert_string_equal(format_size_exact(0, text), "0");
        assert_string_equal(format_size_exact(5000000, text), "5MB");
        assert_string_equal(format_size_exact(UINT64_C(256) << 20, text), "256MiB");
        assert_string_equal(format_size_exact(1001, text), "1001");

        for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
                uint64_t v;

                assert_int_equal(parse_duration(format_duration_exact(amounts[i], text), &v), 0);
                assert_true(v == amounts[i]);
                assert_int_equal(parse_size(format_size_exact(amounts[i], text), &v), 0);
                assert_true(v == amounts[i]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_cpus),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_signals),
                cmocka_unit_test(test_durations_for_people),
                cmocka_unit_test(test_exact_forms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
