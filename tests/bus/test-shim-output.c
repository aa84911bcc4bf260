/* SPDX-License-Identifier: Apache-2.0 */

/* What a container's own process writes, through a pipe or a terminal, and ends at once: all of it
 * is in the log, byte for byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "log-format.h"
#include "shim-fixture.h"

#define LINES 300000U

static ShimFixture fixture;

/* Runs @argv as the container's process until the shim is gone; gives the whole log. */
static void run(const char *const *argv, const FixtureOptions *o, char **ret, size_t *ret_size)
{
        FixtureOptions options = *o;

        options.argv = argv;
        shim_fixture_init(&fixture, &options);
        free(shim_fixture_wait_for_state(&fixture, "exited", NULL));
        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
        assert_int_equal(read_file_at(AT_FDCWD, fixture.log, 100000000, ret, ret_size), 0);
}

static void check_numbers(const FixtureOptions *o, LogStream stream)
{
        const char *const argv[] = { "/bin/seq", "1", "300000", NULL };
        CLEANUP_FREE char *log = NULL;
        unsigned n = 0;
        size_t size;

        run(argv, o, &log, &size);
        for (const char *p = log, *end; p < log + size; p = end + 1) {
                char expected[16];
                LogRecord r;

                end = memchr(p, '\n', (size_t) (log + size - p));
                assert_non_null(end);
                assert_int_equal(log_parse_record(p, (size_t) (end - p), &r), 0);
                (void) snprintf(expected, sizeof(expected), "%u", ++n);
                assert_int_equal(r.seq, n);
                assert_int_equal(r.stream, stream);
                assert_false(r.partial);
                assert_int_equal(r.size, strlen(expected));
                assert_memory_equal(r.data, expected, r.size);
        }
        assert_int_equal(n, LINES);
}

static void test_pipe(void **state)
{
        check_numbers(&(FixtureOptions){ 0 }, LOG_STREAM_OUT);
}

static void test_terminal(void **state)
{
        check_numbers(&(FixtureOptions){ .tty = true }, LOG_STREAM_TTY);
}

static void test_without_init(void **state)
{
        static const char *const none[] = { "init=none", NULL };

        check_numbers(&(FixtureOptions){ .extra = none }, LOG_STREAM_OUT);
}

static void test_terminal_without_init(void **state)
{
        static const char *const none[] = { "init=none", NULL };

        check_numbers(&(FixtureOptions){ .extra = none, .tty = true }, LOG_STREAM_TTY);
}

/* The terminal of the first process: its size, its name, and that it can be opened anew. */
static void test_terminal_is_theirs(void **state)
{
        const char *const argv[] = { "/bin/sh", "-c",
                "stty size; tty; echo $TERM; echo x >/dev/tty; echo y >/dev/console", NULL };
        static const char *const lines[] = { "24 80", NULL, "xterm", "x", "y" };
        CLEANUP_FREE char *log = NULL;
        size_t size, n = 0;

        run(argv, &(FixtureOptions){ .tty = true }, &log, &size);
        for (const char *p = log, *end; p < log + size; p = end + 1) {
                LogRecord r;

                end = memchr(p, '\n', (size_t) (log + size - p));
                assert_non_null(end);
                assert_int_equal(log_parse_record(p, (size_t) (end - p), &r), 0);
                assert_true(n < ARRAY_SIZE(lines));
                if (lines[n]) {
                        assert_int_equal(r.size, strlen(lines[n]));
                        assert_memory_equal(r.data, lines[n], r.size);
                }
                n++;
        }
        assert_int_equal(n, ARRAY_SIZE(lines));
}

static void wait_logged(const char *words)
{
        uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;

        for (;;) {
                CLEANUP_FREE char *log = NULL;

                if (read_file_at(AT_FDCWD, fixture.log, 65536, &log, NULL) >= 0 &&
                                strstr(log, words))
                        return;
                assert_true(now_boottime_usec() < deadline);
                (void) poll(NULL, 0, 5);
        }
}

/* The end of the container and its last output reach a busy shim at the same time. */
static void check_late(const FixtureOptions *o)
{
        static const char *const argv[] = { "/bin/sh", "-c",
                "trap 'seq 1 500; exit' USR1; echo ready; while :; do usleep 10000; done", NULL };
        FixtureOptions options = *o;
        CLEANUP_FREE char *log = NULL;
        CLEANUP_CLOSE int fd = -EBADF;
        struct pollfd p = { .events = POLLIN };
        size_t size;

        options.argv = argv;
        shim_fixture_init(&fixture, &options);
        fd = (int) syscall(SYS_pidfd_open, fixture.container, 0);
        assert_true(fd >= 0);
        p.fd = fd;
        wait_logged(" ready\n");
        assert_int_equal(kill(fixture.shim, SIGSTOP), 0);
        assert_int_equal(kill(fixture.container, SIGUSR1), 0);
        assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
        assert_int_equal(kill(fixture.shim, SIGCONT), 0);

        free(shim_fixture_wait_for_state(&fixture, "exited", NULL));
        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
        assert_int_equal(read_file_at(AT_FDCWD, fixture.log, 100000000, &log, &size), 0);
        assert_non_null(memmem(log, size, " F 2 1\n", 7));
        assert_non_null(memmem(log, size, " F 501 500\n", 11));
}

static void test_late_pipe(void **state)
{
        check_late(&(FixtureOptions){ 0 });
}

static void test_late_terminal(void **state)
{
        check_late(&(FixtureOptions){ .tty = true });
}

static int teardown(void **state)
{
        shim_fixture_done(&fixture);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_pipe, teardown),
                cmocka_unit_test_teardown(test_terminal, teardown),
                cmocka_unit_test_teardown(test_without_init, teardown),
                cmocka_unit_test_teardown(test_terminal_without_init, teardown),
                cmocka_unit_test_teardown(test_terminal_is_theirs, teardown),
                cmocka_unit_test_teardown(test_late_pipe, teardown),
                cmocka_unit_test_teardown(test_late_terminal, teardown),
        };
        const char *missing = shim_fixture_missing();

        if (missing) {
                print_message("1..0 # SKIP %s\n", missing);
                return 0;
        }
        return cmocka_run_group_tests_name("shim-output", tests, NULL, NULL);
}
