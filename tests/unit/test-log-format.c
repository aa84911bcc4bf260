/* SPDX-License-Identifier: Apache-2.0 */

/* The log format: round trips, everything that is no record, the search from behind. */

#include <setjmp.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "log-format.h"

#define STAMP "2026-03-01T12:00:00.000042Z"

static void test_words(void **state)
{
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                assert_int_equal(log_stream_from_string(log_stream_to_string(i)), i);
        assert_int_equal(log_stream_from_string("in"), _LOG_STREAM_INVALID);
        assert_int_equal(log_stream_from_string(""), _LOG_STREAM_INVALID);
        assert_null(log_stream_to_string(_LOG_STREAM_MAX));
}

static void test_header(void **state)
{
        static const struct {
                LogStream stream;
                bool partial;
                uint64_t seq;
                const char *header;
        } cases[] = {
                { LOG_STREAM_OUT, false, 1, STAMP " out F 1 " },
                { LOG_STREAM_ERR, true, 10, STAMP " err P 10 " },
                { LOG_STREAM_TTY, false, 1234567890, STAMP " tty F 1234567890 " },
                { LOG_STREAM_TTY, true, UINT64_MAX, STAMP " tty P 18446744073709551615 " },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char buf[LOG_HEADER_MAX];
                size_t n = log_format_header(
                                buf, STAMP, cases[i].stream, cases[i].partial, cases[i].seq);

                assert_true(n <= LOG_HEADER_MAX);
                assert_int_equal(n, strlen(cases[i].header));
                assert_memory_equal(buf, cases[i].header, n);
        }
}

static void test_round_trip(void **state)
{
        static const char payload[] = "a\0b \r\xff\x80 F 1 ";
        char line[LOG_HEADER_MAX + sizeof(payload)], stamp[RFC3339_SIZE];
        LogRecord r;
        size_t n;

        n = log_format_header(line, format_rfc3339(UINT64_C(1772366400000042), stamp),
                        LOG_STREAM_ERR, true, 77);
        memcpy(line + n, payload, sizeof(payload));

        assert_int_equal(log_parse_record(line, n + sizeof(payload), &r), 0);
        assert_int_equal(r.usec, UINT64_C(1772366400000042));
        assert_int_equal(r.stream, LOG_STREAM_ERR);
        assert_true(r.partial);
        assert_int_equal(r.seq, 77);
        assert_int_equal(r.size, sizeof(payload));
        assert_memory_equal(r.data, payload, sizeof(payload));

        /* An empty line has an empty payload. */
        assert_int_equal(log_parse_record(line, n, &r), 0);
        assert_int_equal(r.size, 0);
}

static void test_not_a_record(void **state)
{
        static const char *const lines[] = {
                "",
                "hello",
                STAMP,
                STAMP " out F 1",   /* without the space behind seq */
                STAMP " out F  x",  /* no seq */
                STAMP " out F 0 x", /* counted from 1 */
                STAMP " out F 01 x",
                STAMP " out F -1 x",
                STAMP " out F +1 x",
                STAMP " out F 18446744073709551616 x",
                STAMP " out X 1 x",
                STAMP " log F 1 x",
                STAMP "  out F 1 x",
                STAMP " outF 1 x yz",
                "2026-13-01T12:00:00.000042Z out F 1 x",
                "2026-03-01T12:00:00.00004Z  out F 1 x",
                "2026-03-01T12:00:00.000042z out F 1 x",
        };
        LogRecord r = { .seq = 99 };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                assert_int_equal(log_parse_record(lines[i], strlen(lines[i]), &r), -EBADMSG);
                assert_int_equal(r.seq, 99);
        }

        /* Beyond the payload's limit. */
        static char big[LOG_RECORD_SIZE_MAX + 1];
        size_t n = log_format_header(big, STAMP, LOG_STREAM_OUT, false, 1);
        memset(big + n, 'x', sizeof(big) - n);
        assert_int_equal(log_parse_record(big, n + LIMIT_LOG_RECORD_MAX, &r), 0);
        assert_int_equal(r.size, LIMIT_LOG_RECORD_MAX);
        assert_int_equal(log_parse_record(big, n + LIMIT_LOG_RECORD_MAX + 1, &r), -EBADMSG);
}

static void test_last_record(void **state)
{
        static const char two[] = STAMP " out F 1 a\n" STAMP " out F 2 b\n";
        static const char torn[] = "ut F 3 c\n" STAMP " out F 4 d\nrubbish\n" STAMP " out F 5 e";
        LogRecord r;
        size_t end;

        assert_int_equal(log_find_last_record(two, sizeof(two) - 1, &r, &end), 0);
        assert_int_equal(r.seq, 2);
        assert_int_equal(end, sizeof(two) - 1);

        assert_int_equal(log_find_last_record(torn, sizeof(torn) - 1, &r, &end), 0);
        assert_int_equal(r.seq, 4);
        assert_memory_equal(torn + end, "rubbish", 7);

        assert_int_equal(log_find_last_record("", 0, &r, &end), -ENOENT);
        assert_int_equal(log_find_last_record("\n\n", 2, &r, &end), -ENOENT);
        assert_int_equal(log_find_last_record(two, strlen(STAMP " out F 1 a"), &r, &end), -ENOENT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_header),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_not_a_record),
                cmocka_unit_test(test_last_record),
        };

        return cmocka_run_group_tests_name("log-format", tests, NULL, NULL);
}
