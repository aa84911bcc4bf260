/* SPDX-License-Identifier: Apache-2.0 */

/* Exec sessions of a real container, called over a real bus: bytes, codes, signals, terminals,
 * identity and surroundings. How they end otherwise: test-shim-session-end.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "session-client.h"

/* ---- codes and bytes ---- */

static void test_codes(void **state)
{
        static const int codes[] = { 0, 1, 3, 126, 255 };

        for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
                CLEANUP(bytes_done) Bytes out = {};
                char script[32];
                Client c;

                (void) snprintf(script, sizeof(script), "exit %d", codes[i]);
                c = run(SH(script), NULL, &out);
                expect_exit(&c, "exited", codes[i]);
                assert_true(c.pid > 0);
        }
}

static void test_signaled(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run(SH("kill -9 $$"), NULL, &out);

        expect_exit(&c, "signaled", SIGKILL);
        c = start((const char *const[]){ "sleep", "1000", NULL }, NULL);
        /* Sent before the program runs, it is kept for it. */
        send_control(&c, "signal", "signal", SIGTERM, NULL, 0);
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "signaled", SIGTERM);
        assert_true(c.pid > 0);
}

static void test_streams_apart(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        Client c = start(SH("cat; echo to-err >&2; exit 7"), NULL);
        Bytes input = { (char *) "to-out\n", 7 };

        finish(&c, &input, &out, &err);
        expect_exit(&c, "exited", 7);
        assert_string_equal(out.data, "to-out\n");
        assert_string_equal(err.data, "to-err\n");
}

static void test_not_found(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run((const char *const[]){ "no-such-command", NULL }, NULL, &out);

        expect_exit(&c, "setup-failed", ENOENT);
        assert_string_equal(c.stage, "exec");
        assert_int_equal(c.pid, 0); /* never started */

        c = run((const char *const[]){ "no-such-command", NULL }, &(Options){ .tty = true }, &out);
        expect_exit(&c, "setup-failed", ENOENT);

        c = run((const char *const[]){ "/etc/passwd", NULL }, NULL, &out);
        expect_exit(&c, "setup-failed", EACCES);
        assert_string_equal(c.stage, "exec");

        c = run((const char *const[]){ "true", NULL }, &(Options){ .user = "nobody-here" }, &out);
        assert_string_equal(c.kind, "setup-failed");
        assert_string_equal(c.stage, "user");

        c = run((const char *const[]){ "true", NULL }, &(Options){ .working_dir = "/none" }, &out);
        expect_exit(&c, "setup-failed", ENOENT);
        assert_string_equal(c.stage, "cwd");
}

/* The lines of `seq 1 300000`, with @end behind each. */
static Bytes make_sequence(const char *end)
{
        Bytes b = {};
        FILE *f = open_memstream(&b.data, &b.size);

        assert_non_null(f);
        for (unsigned i = 1; i <= 300000; i++)
                assert_true(fprintf(f, "%u%s", i, end) > 0);
        assert_int_equal(fclose(f), 0);
        return b;
}

static void check_sequence(bool tty)
{
        CLEANUP(bytes_done) Bytes expected = make_sequence(tty ? "\r\n" : "\n");
        const char *const argv[] = { "seq", "1", "300000", NULL };

        for (int i = 0; i < 5; i++) {
                CLEANUP(bytes_done) Bytes out = {};
                Client c = run(argv, &(Options){ .tty = tty }, &out);

                expect_exit(&c, "exited", 0);
                assert_int_equal(out.size, expected.size);
                assert_memory_equal(out.data, expected.data, expected.size);
        }
}

static void test_sequence_pipe(void **state)
{
        check_sequence(false);
}

static void test_sequence_pty(void **state)
{
        check_sequence(true);
}

static void test_input(void **state)
{
        enum { SIZE = 10 << 20 };
        CLEANUP(bytes_done) Bytes in = { malloc(SIZE), SIZE }, out = {};
        unsigned seed = (unsigned) getpid();
        Client c;

        print_message("# seed %u\n", seed);
        for (size_t i = 0; i < SIZE; i++)
                in.data[i] = (char) rand_r(&seed);
        c = start((const char *const[]){ "cat", NULL }, NULL);
        finish(&c, &in, &out, &out);
        expect_exit(&c, "exited", 0);
        assert_int_equal(out.size, in.size);
        assert_memory_equal(out.data, in.data, SIZE);
}

/* A child that holds the pipes open does not delay `exit`. When the client has read enough, the
 * child is hung up. */
static void test_background_child(void **state)
{
        Client c = start(SH("sleep 1000 & echo left"), NULL);
        char buf[16];

        wait_exit(&c);
        expect_exit(&c, "exited", 0);
        assert_int_equal(fd_set_nonblock(c.stdio[1], true), 0);
        assert_int_equal(read(c.stdio[1], buf, sizeof(buf)), 5); /* it was there before */
        assert_memory_equal(buf, "left\n", 5);
        client_close(&c);
        wait_session(c.number, "state", "gone");
        expect_output(SH("ps | grep -c '[s]leep 1000$'; true"), NULL, "0\n");
}

/* Of what it has still to say nothing is lost, as long as its client reads: far more than a pipe
 * holds, without a pause. */
static void test_background_writer(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run(SH("{ i=0; while test $i -lt 50000; do i=$((i+1)); echo $i; done; } &"),
                        NULL, &out);

        expect_exit(&c, "exited", 0);
        assert_true(out.size > 7);
        assert_string_equal(out.data + out.size - 7, "\n50000\n");
}

/* ---- terminals ---- */

static void test_window_size(void **state)
{
        const char *const argv[] = { "stty", "size", NULL };

        for (unsigned i = 0; i < 200; i++) {
                Options o = {
                        .tty = true, .rows = (uint16_t) (20 + i), .cols = (uint16_t) (90 + i)
                };
                char expected[32];

                (void) snprintf(expected, sizeof(expected), "%u %u\r\n", o.rows, o.cols);
                expect_output(argv, &o, expected);
        }
        expect_output(argv, &(Options){ .tty = true }, "24 80\r\n");

        /* The extreme ones by the terminal itself: stty takes what is beyond 30,000 for an
         * error. */
        Client c = start((const char *const[]){ "cat", NULL },
                        &(Options){ .tty = true, .rows = 65535, .cols = 1 });
        struct winsize size;
        assert_int_equal(ioctl(c.stdio[0], TIOCGWINSZ, &size), 0);
        assert_int_equal(size.ws_row, 65535);
        assert_int_equal(size.ws_col, 1);
        client_close(&c);
}

static void test_resize(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = start(
                        SH("stty -echo; echo ready; read x; stty size"), &(Options){ .tty = true });
        uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;
        struct winsize size;

        read_until(&c, &out, "ready");
        send_control(&c, "resize", "rows", 41, "cols", 121);
        do {
                assert_true(now_boottime_usec() < deadline);
                assert_int_equal(ioctl(c.stdio[0], TIOCGWINSZ, &size), 0);
        } while (size.ws_row != 41 && poll(NULL, 0, 1) == 0);
        assert_int_equal(write(c.stdio[0], "\n", 1), 1);
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "exited", 0);
        assert_non_null(strstr(out.data, "41 121\r\n"));
}

static void test_terminal_is_theirs(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Options o = { .tty = true };
        Client c = run(SH("tty; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo yes; "
                          "echo x >/dev/tty; test -c $(tty) && echo named"),
                        &o, &out);

        expect_exit(&c, "exited", 0);
        assert_non_null(startswith(out.data, "/dev/pts/"));
        assert_non_null(strstr(out.data, "\r\nxterm\r\nyes\r\nx\r\nnamed\r\n"));
        /* A given TERM wins. */
        o.env = (const char *const[]){ "TERM=dumb", NULL };
        expect_output(SH("echo $TERM"), &o, "dumb\r\n");
        /* Interrupt by byte. */
        c = start(SH("echo ready; exec sleep 1000"), &(Options){ .tty = true });
        wait_started(&c);
        assert_int_equal(write(c.stdio[0], "\003", 1), 1);
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "signaled", SIGINT);
}

/* A signal reaches the whole process group of the terminal, not the first process alone: that one
 * ends only when the other has. */
static void test_terminal_group_signal(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = start(SH("trap 'wait; exit 9' USR1;"
                            "sh -c 'echo ready; exec cat </dev/tty' & wait"),
                        &(Options){ .tty = true });

        read_until(&c, &out, "ready");
        send_control(&c, "signal", "signal", SIGUSR1, NULL, 0);
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "exited", 9);
}

/* ---- identity and surroundings ---- */

static void test_environment(void **state)
{
        static const char *const env[] = { "COLOUR=blue", "EXTRA=a=b", "EMPTY=", NULL };

        expect_output(SH("echo $COLOUR"), NULL, "red\n");
        expect_output(SH("echo $COLOUR $EXTRA [$EMPTY] $PATH"), &(Options){ .env = env },
                        "blue a=b [] /bin:/usr/bin\n");
        expect_output(SH("echo ${TERM-none} $HOME"), NULL, "none /root\n");
}

static void test_user_and_directory(void **state)
{
        const char *const *script = SH("id -u; id -g; id -G; pwd");

        expect_output(script, NULL, "0\n0\n0\n/\n");
        expect_output(script, &(Options){ .user = "app" }, "1000\n1001\n1001 2000\n/\n");
        expect_output(script, &(Options){ .user = "1234:77", .working_dir = "/tmp" },
                        "1234\n77\n77\n/tmp\n");
        /* Standard output can be opened anew by whoever the session runs as. */
        expect_output(SH("echo hi >/dev/stdout"), &(Options){ .user = "app" }, "hi\n");
        expect_output(SH("echo hi >/proc/self/fd/1; echo ho >/dev/tty"),
                        &(Options){ .user = "app", .tty = true }, "hi\r\nho\r\n");
}

static void test_nothing_leaks(void **state)
{
        /* The fourth is the directory that ls itself reads. */
        expect_output(SH("ls /proc/self/fd | tr '\\n' ' '"), NULL, "0 1 2 3 ");
        expect_output(SH("ls /proc/self/fd | tr '\\n' ' '"), &(Options){ .tty = true }, "0 1 2 3 ");
        expect_output(SH("grep -E 'SigBlk|SigIgn|CapInh|CapAmb' /proc/self/status | cut -f2"), NULL,
                        "0000000000000000\n0000000000000000\n0000000000000000\n0000000000000000\n");
        expect_output(SH("grep NoNewPrivs /proc/self/status | cut -f2"), NULL, "1\n");
}

/* By effect and by name: all seven namespaces are those of the first process. */
static void test_namespaces(void **state)
{
        static const char *const names[] = { "user", "mnt", "pid", "net", "ipc", "uts", "cgroup" };
        Client c = start((const char *const[]){ "cat", NULL }, NULL);
        CLEANUP(bytes_done) Bytes out = {};

        wait_started(&c);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                char path[64], a[64] = "", b[64] = "";

                (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", c.pid, names[i]);
                assert_true(readlink(path, a, sizeof(a) - 1) > 0);
                (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", fixture.container, names[i]);
                assert_true(readlink(path, b, sizeof(b) - 1) > 0);
                assert_string_equal(a, b);
        }
        finish(&c, NULL, &out, &out);
        expect_output(SH("hostname; test -d /proc/1/ && test $$ -lt 10000 && echo inside"), NULL,
                        "web\ninside\n");
}

static void test_cgroup(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        CLEANUP_FREE char *cgroups = NULL;
        Client c = start((const char *const[]){ "cat", NULL }, NULL);
        char path[192], leaf[32];
        size_t size;

        wait_started(&c);
        (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", c.pid);
        assert_int_equal(read_file_at(AT_FDCWD, path, 65536, &cgroups, &size), 0);
        (void) snprintf(path, sizeof(path), "0::/%s/ctr/exec-%u\n", fixture.cgroup, c.number);
        assert_non_null(strstr(cgroups, path));
        if (strstr(cgroups, ":memory:")) { /* a hybrid host: the mirrors, too */
                (void) snprintf(path, sizeof(path), ":memory:/%s", fixture.cgroup);
                assert_non_null(strstr(cgroups, path));
                (void) snprintf(path, sizeof(path), ":pids:/%s", fixture.cgroup);
                assert_non_null(strstr(cgroups, path));
        }

        /* Gone with the session. */
        (void) snprintf(leaf, sizeof(leaf), "exec-%u", c.number);
        finish(&c, NULL, &out, &out);
        wait_session(c.number, "state", "gone");
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/unified/%s/ctr/%s", fixture.cgroup,
                        leaf);
        assert_int_equal(access(path, F_OK), -1);
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/ctr/%s", fixture.cgroup, leaf);
        assert_int_equal(access(path, F_OK), -1);
}

/* ---- beside ---- */

static void test_properties(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP_FREE char *run_state = NULL, *pod = NULL;
        uint32_t pid = 0;

        assert_true(sd_bus_get_property_string(bus, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "State", NULL, &run_state) >= 0);
        assert_string_equal(run_state, "running");
        assert_true(sd_bus_get_property_string(bus, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "PodUid", NULL, &pod) >= 0);
        assert_int_equal(strlen(pod), 32);
        assert_true(sd_bus_get_property_trivial(bus, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "Pid", NULL, 'u', &pid) >= 0);
        assert_int_equal(pid, fixture.container);
}

static int compare_u64(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

/* Told, not judged: from the call of Exec to the exit of `true`. */
static void test_latency(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        static uint64_t took[300];

        for (size_t i = 0; i < ARRAY_SIZE(took); i++) {
                CLEANUP(bytes_done) Bytes out = {};
                uint64_t begin = now_boottime_usec();
                Client c;

                assert_true(call_exec(bus, (const char *const[]){ "true", NULL }, &(Options){}, &c,
                                            NULL) >= 0);
                wait_exit(&c);
                took[i] = now_boottime_usec() - begin;
                client_close(&c);
        }
        qsort(took, ARRAY_SIZE(took), sizeof(took[0]), compare_u64);
        print_message("# exec of true: p50 %" PRIu64 " us, p95 %" PRIu64 " us\n",
                        took[ARRAY_SIZE(took) / 2], took[ARRAY_SIZE(took) * 95 / 100]);
}

static void set_up(const char *const *extra)
{
        shim_fixture_init(&fixture, &(FixtureOptions){ .extra = extra });
        shim_fixture_wait_for_name(&fixture);
}

/* The same without a user namespace, and without tank-init: other ways into the container. */
static void test_other_containers(void **state)
{
        static const char *const host[] = { "userns=host", NULL };
        static const char *const bare[] = { "init=none", NULL };

        for (int i = 0; i < 2; i++) {
                shim_fixture_done(&fixture);
                set_up(i == 0 ? host : bare);
                test_codes(state);
                test_streams_apart(state);
                test_terminal_is_theirs(state);
                test_user_and_directory(state);
                test_nothing_leaks(state);
                test_namespaces(state);
                test_cgroup(state);
        }
}

static int group_setup(void **state)
{
        set_up(NULL);
        return 0;
}

static int group_teardown(void **state)
{
        shim_fixture_done(&fixture);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_codes),
                cmocka_unit_test(test_signaled),
                cmocka_unit_test(test_streams_apart),
                cmocka_unit_test(test_not_found),
                cmocka_unit_test(test_sequence_pipe),
                cmocka_unit_test(test_sequence_pty),
                cmocka_unit_test(test_input),
                cmocka_unit_test(test_background_child),
                cmocka_unit_test(test_background_writer),
                cmocka_unit_test(test_window_size),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_terminal_is_theirs),
                cmocka_unit_test(test_terminal_group_signal),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_user_and_directory),
                cmocka_unit_test(test_nothing_leaks),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_cgroup),
                cmocka_unit_test(test_properties),
                cmocka_unit_test(test_latency),
                cmocka_unit_test(test_other_containers),
        };
        const char *missing = shim_fixture_missing();

        if (missing) {
                print_message("1..0 # SKIP %s\n", missing);
                return 0;
        }
        cmocka_set_test_filter(getenv("TEST_FILTER"));
        return cmocka_run_group_tests_name("shim-session", tests, group_setup, group_teardown);
}
