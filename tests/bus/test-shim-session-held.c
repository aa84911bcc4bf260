/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions whose output the shim holds, what becomes of processes that a command leaves behind, and
 * the policies of what a client's death does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "session-client.h"

static const Options detached = { .disconnect = "keep", .stdio = "held" };

/* Its number; the client that started it is gone. */
static uint32_t detach(const char *const *argv, const Options *o)
{
        Client c = start(argv, o ? o : &detached);

        wait_started(&c);
        client_close(&c);
        return c.number;
}

/* Opens it, reads to the end, and it is off the list. */
static Client collect(uint32_t number, bool tty, Bytes *out, Bytes *err)
{
        Client c = open_session(number, tty, false);

        finish(&c, NULL, out, err);
        wait_session(number, "state", "gone");
        return c;
}

static void test_detached(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t n = detach(SH("echo out; echo err >&2; until test -e /tmp/go; do sleep 0.01; done;"
                               "echo more; exit 7"),
                        NULL);
        char buf[256];
        Client c;

        wait_session(n, "state", "running");
        assert_string_equal(session_value(n, "disconnect", buf), "keep");
        assert_string_equal(session_value(n, "stdio", buf), "held");
        assert_string_equal(session_value(n, "tty", buf), "0");
        wait_session(n, "clients", "0");
        expect_output(SH("touch /tmp/go"), NULL, "");
        c = collect(n, false, &out, &err);
        expect_exit(&c, "exited", 7);
        assert_string_equal(out.data, "out\nmore\n");
        assert_string_equal(err.data, "err\n");
        expect_output(SH("rm /tmp/go"), NULL, "");
}

/* It ended long ago, and nobody was there. */
static void test_kept_result(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t n = detach(SH("echo kept; kill -9 $$"), NULL);
        char buf[256];
        Client c;

        wait_session(n, "state", "ended");
        assert_string_equal(session_value(n, "kind", buf), "signaled");
        assert_string_equal(session_value(n, "code", buf), "9");
        assert_string_equal(session_value(n, "pid", buf), "0");
        assert_int_equal(count_sessions(bus), 0); /* it counts for no limit */

        /* Ended is ended for signals, and waiting is for the result. */
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "KillSession", &error, NULL, "ui", n, SIGTERM) < 0);
        assert_string_equal(error.name, TANK_ERROR_NOT_RUNNING);
        sd_bus_error_free(&error);

        c = collect(n, false, &out, &err);
        expect_exit(&c, "signaled", SIGKILL);
        assert_string_equal(out.data, "kept\n");
        assert_true(call_open(bus, n, false, false, &c, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_NOT_FOUND);
}

/* The ring has the newest, and says how much it has not. */
static void test_long_output(void **state)
{
        CLEANUP(bytes_done) Bytes expected = {}, err = {};
        FILE *f = open_memstream(&expected.data, &expected.size);

        for (unsigned i = 1; i <= 100000; i++)
                assert_true(fprintf(f, "%u\n", i) > 0);
        assert_int_equal(fclose(f), 0);

        for (int tty = 0; tty < 2; tty++) {
                Options o = { .disconnect = "keep", .stdio = "held", .tty = tty };
                CLEANUP(bytes_done) Bytes out = {};
                const char *script = tty ? "stty -onlcr; seq 1 100000" : "seq 1 100000";
                uint32_t n = detach(SH(script), &o);
                uint64_t missed;
                char *rest;
                Client c;

                wait_session(n, "state", "ended");
                c = collect(n, tty, &out, &err);
                expect_exit(&c, "exited", 0);
                rest = strstr(out.data, "[tank: ");
                assert_non_null(rest);
                assert_int_equal(sscanf(rest, "[tank: %" SCNu64, &missed), 1);
                rest = strchr(rest, '\n') + 1;
                assert_int_equal(missed + strlen(rest), expected.size);
                assert_int_equal(strlen(rest), LIMIT_HELD_OUTPUT);
                assert_string_equal(rest, expected.data + missed);
        }
}

/* Several at a time, each from the beginning; all learn the end. */
static void test_many_clients(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        uint32_t n = detach(
                        SH("echo begin; until test -e /tmp/go; do sleep 0.01; done; exit 3"), NULL);
        Client clients[LIMIT_SESSION_CLIENTS], one_more;

        for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
                clients[i] = open_session(n, false, false);
                wait_started(&clients[i]);
        }
        assert_true(call_open(bus, n, false, false, &one_more, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_LIMIT_EXCEEDED);
        client_close(&clients[0]);
        wait_session(n, "clients", "7");
        expect_output(SH("touch /tmp/go"), NULL, "");
        for (size_t i = 1; i < ARRAY_SIZE(clients); i++) {
                CLEANUP(bytes_done) Bytes out = {}, err = {};

                finish(&clients[i], NULL, &out, &err);
                expect_exit(&clients[i], "exited", 3);
                assert_string_equal(out.data, "begin\n");
        }
        wait_session(n, "state", "gone");
        expect_output(SH("rm /tmp/go"), NULL, "");
}

static void test_input(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        Options o = { .disconnect = "keep", .stdio = "held", .input = true };
        Bytes input = { (char *) "typed\n", 6 };
        uint32_t n = detach(SH("cat; exit 4"), &o);
        Client c = open_session(n, false, true), other;

        assert_true(call_open(bus, n, false, true, &other, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_BUSY);
        sd_bus_error_free(&error);
        finish(&c, &input, &out, &err);
        expect_exit(&c, "exited", 4);
        assert_string_equal(out.data, "typed\n");

        /* Without asking for it there is none: at its end from the beginning. */
        n = detach(SH("cat; until test -e /tmp/go; do sleep 0.01; done"), NULL);
        assert_true(call_open(bus, n, false, true, &other, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_FAILED_PRECONDITION);
        kill_session(n, SIGKILL);
        c = collect(n, false, &out, &err);
        expect_exit(&c, "signaled", SIGKILL);

        /* Its client gone, the input ends; the session does not. */
        n = detach(SH("cat; echo end"), &o);
        c = open_session(n, false, true);
        wait_started(&c);
        assert_int_equal(write(c.stdio[0], "x", 1), 1);
        client_close(&c);
        free(TAKE_PTR(out.data));
        out.size = 0;
        c = collect(n, false, &out, &err);
        assert_string_equal(out.data, "xend\n");
}

static bool shows_size(Client *c, const char *expected)
{
        CLEANUP(bytes_done) Bytes out = {};

        assert_int_equal(write(c->stdio[0], "stty size\n", 10), 10);
        read_until(c, &out, "\n");
        return streq(out.data, expected);
}

static void test_terminal(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(bytes_done) Bytes out = {}, seen = {}, none = {};
        Options o = { .disconnect = "keep", .stdio = "held", .tty = true, .rows = 31, .cols = 91 };
        uint32_t n = detach(SH("stty -echo; stty size; while read x; do eval \"$x\"; done"), &o);
        Client writer = open_session(n, true, true), viewer = open_session(n, true, false), c;

        wait_started(&writer);
        wait_started(&viewer);
        read_until(&writer, &out, "31 91\r\n");
        assert_true(call_open(bus, n, true, true, &c, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_BUSY);

        /* A viewer's input and size are nobody's. */
        assert_int_equal(send(viewer.stdio[0], "exit 1\n", 7, MSG_NOSIGNAL), -1);
        send_control(&viewer, "resize", "rows", 5, "cols", 5);
        send_control(&writer, "resize", "rows", 41, "cols", 121);
        /* The control socket and the stream are not in step. */
        while (!shows_size(&writer, "41 121\r\n"))
                ;
        assert_int_equal(write(writer.stdio[0], "echo one\n", 9), 9);
        read_until(&writer, &out, "one\r\n");
        read_until(&viewer, &seen, "41 121\r\none\r\n");

        /* What was typed last still arrives, and the next one can write. */
        assert_int_equal(write(writer.stdio[0], "echo two\n", 9), 9);
        client_close(&writer);
        read_until(&viewer, &seen, "two\r\n");
        wait_session(n, "clients", "1");
        writer = open_session(n, true, true);
        assert_int_equal(write(writer.stdio[0], "exit 6\n", 7), 7);
        finish(&writer, NULL, &none, &none);
        expect_exit(&writer, "exited", 6);
        finish(&viewer, NULL, &seen, &none);
        expect_exit(&viewer, "exited", 6);
}

static void test_kill(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t n = detach(SH("sleep 1000 & sleep 1000 & wait; true"), NULL);
        Client c;

        wait_session(n, "processes", "3");
        kill_session(n, SIGTERM); /* all of them */
        c = collect(n, false, &out, &err);
        expect_exit(&c, "signaled", SIGTERM);

        /* Of those that are not held, too. */
        c = start(SH("trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done"), NULL);
        wait_started(&c);
        kill_session(c.number, SIGCONT);
        kill_session(c.number, SIGKILL);
        finish(&c, NULL, &out, &err);
        expect_exit(&c, "signaled", SIGKILL);

        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "KillSession", &error, NULL, "ui", 4000000000U, 1) < 0);
        assert_string_equal(error.name, TANK_ERROR_NOT_FOUND);
        sd_bus_error_free(&error);
        for (int i = 0; i < 2; i++) {
                assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH,
                                            TANK_SHIM_INTERFACE, "KillSession", &error, NULL, "ui",
                                            1, i == 0 ? 0 : 65) < 0);
                assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
                sd_bus_error_free(&error);
        }
}

static void test_background(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t n = detach(SH("sleep 1000 & echo left"), NULL);
        Client c;

        wait_session(n, "state", "background");
        wait_session(n, "processes", "1");
        c = open_session(n, false, false);
        finish(&c, NULL, &out, &err);
        expect_exit(&c, "exited", 0);
        assert_string_equal(out.data, "left\n");
        /* Told, and still on the list: it is there. */
        wait_session(n, "clients", "0");
        wait_session(n, "state", "background");
        kill_session(n, SIGTERM);
        wait_session(n, "state", "gone");

        /* What it left behind can write on, to nobody. */
        n = detach(SH("{ trap '' TERM; sleep 0.3; echo x; echo y; exec sleep 1000; } & exit 0"),
                        NULL);
        wait_session(n, "state", "background");
        expect_output(SH("until ps | grep -q '[s]leep 1000$'; do sleep 0.02; done"), NULL, "");
        kill_session(n, SIGKILL);
        wait_session(n, "state", "ended"); /* nobody was told */
        c = collect(n, false, &out, &err);
        expect_exit(&c, "exited", 0);
}

static void test_policies(void **state)
{
        static const char *const policies[] = { "hup", "kill" };
        CLEANUP(bytes_done) Bytes out = {}, err = {};

        for (size_t i = 0; i < ARRAY_SIZE(policies) * 2; i++) {
                Options o = { .disconnect = policies[i / 2], .stdio = i % 2 ? "held" : "pipes" };
                Client c = start(SH("exec 2>/dev/null; trap 'touch /tmp/hup; exit' HUP; touch "
                                    "/tmp/up;"
                                    "while :; do sleep 0.02; done"),
                                &o);

                wait_started(&c);
                expect_output(SH("until test -e /tmp/up; do sleep 0.01; done"), NULL, "");
                client_close(&c);
                wait_gone(c.pid);
                wait_session(c.number, "state", "gone");
                expect_output(SH("ls /tmp; rm -f /tmp/up /tmp/hup"), NULL,
                                i / 2 ? "up\n" : "hup\nup\n");
        }

        expect_refused((const char *const[]){ "true", NULL }, &(Options){ .disconnect = "keep" },
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused((const char *const[]){ "true", NULL }, &(Options){ .disconnect = "stay" },
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused((const char *const[]){ "true", NULL }, &(Options){ .stdio = "none" },
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused((const char *const[]){ "true", NULL }, &(Options){ .input = true },
                        TANK_ERROR_INVALID_ARGUMENT);
}

/* What cannot be executed is told once, and is no session that anybody would look for. */
static void test_setup_failed(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run((const char *const[]){ "no-such-command", NULL }, &detached, &out);

        expect_exit(&c, "setup-failed", ENOENT);
        wait_session(c.number, "state", "gone");
}

/* Kept results are bounded, the oldest goes first. */
static void test_ended_limit(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t first = 0, n = 0;
        char buf[256];

        for (unsigned i = 0; i < LIMIT_SESSIONS_ENDED + 1; i++) {
                n = detach(SH("true"), NULL);
                first = i == 0 ? n : first;
                wait_session(n, "state", "ended");
        }
        assert_string_equal(session_value(first, "state", buf), "gone");
        assert_string_equal(session_value(first + 1, "state", buf), "ended");
        for (uint32_t i = first + 1; i <= n; i++) {
                Client c = collect(i, false, &out, &err);

                expect_exit(&c, "exited", 0);
        }
}

/* A thousand a second for two seconds, odd ones among them, into the end and beyond. */
static void test_resize_storm(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Options o = { .tty = true };
        Client c = start(SH("stty -echo; echo ready; read x; stty size; read x"), &o);
        uint64_t next = now_boottime_usec();
        struct winsize size = {};

        read_until(&c, &out, "ready");
        for (unsigned i = 1; i <= 2000; i++) {
                unsigned rows = i % 10 == 0 ? 0 : i % 10 == 5 ? 65535 : 20 + i % 50;

                next += USEC_PER_MSEC;
                while (now_boottime_usec() < next)
                        (void) poll(NULL, 0, 1);
                send_control(&c, "resize", "rows", rows, "cols", i % 10 == 5 ? 65535 : rows);
        }
        send_control(&c, "resize", "rows", 0, "cols", 0); /* no size: it stays */
        send_control(&c, "resize", "rows", 44, "cols", 0);
        send_control(&c, "resize", "rows", 43, "cols", 123);
        send_control(&c, "resize", "rows", 0, "cols", 50);
        next = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;
        while (size.ws_row != 43) {
                assert_true(now_boottime_usec() < next);
                assert_int_equal(ioctl(c.stdio[0], TIOCGWINSZ, &size), 0);
                (void) poll(NULL, 0, 1);
        }
        assert_int_equal(write(c.stdio[0], "\n", 1), 1);
        read_until(&c, &out, "43 123\r\n");
        assert_int_equal(write(c.stdio[0], "\n", 1), 1);
        wait_gone(c.pid);
        /* Behind the end: nobody is there, and nobody minds. */
        for (unsigned i = 0; i < 100; i++) {
                const char request[] = "v=1\0type=resize\0rows=9\0cols=9";

                (void) send(c.control, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "exited", 0);
        expect_output(SH("echo well"), NULL, "well\n");
}

/* Live and kept ones outlive the bus. */
static void test_bus_dies(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        uint32_t live = detach(SH("until test -e /tmp/go; do sleep 0.01; done; echo live"), NULL);
        uint32_t kept = detach(SH("echo kept; exit 2"), NULL);
        Client c, reading = open_session(live, false, false);

        wait_session(kept, "state", "ended");
        private_bus_kill(&fixture.bus);
        assert_int_equal(private_bus_start(&fixture.bus), 0);
        shim_fixture_wait_for_name(&fixture);
        expect_output(SH("touch /tmp/go"), NULL, "");
        finish(&reading, NULL, &out, &err);
        expect_exit(&reading, "exited", 0);
        assert_string_equal(out.data, "live\n");
        free(TAKE_PTR(out.data));
        out.size = 0;
        c = collect(kept, false, &out, &err);
        expect_exit(&c, "exited", 2);
        assert_string_equal(out.data, "kept\n");
        expect_output(SH("rm /tmp/go"), NULL, "");
}

/* The last: nothing of all this holds up the container's end. */
static void test_container_ends(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(bytes_done) Bytes out = {}, err = {};
        CLEANUP_FREE char *kind = NULL;
        uint32_t read_on = detach(SH("echo begin; exec sleep 1000"), NULL);
        uint32_t background = detach(SH("sleep 1000 & true"), NULL);
        uint32_t ended = detach(SH("true"), NULL);
        struct pollfd p = {};
        Client deaf, c;

        (void) detach(SH("seq 1 100000; exec sleep 1000"), NULL);
        (void) detach(SH("exec sleep 1000"),
                        &(Options){ .disconnect = "keep", .stdio = "held", .tty = true });
        wait_session(background, "state", "background");
        wait_session(ended, "state", "ended");
        c = open_session(read_on, false, false);
        deaf = open_session(read_on, false, false);
        wait_started(&c);
        p = (struct pollfd){ .fd = c.stdio[1], .events = POLLIN };
        assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Kill", NULL, NULL, "i", SIGKILL) >= 0);
        kind = shim_fixture_wait_for_state(&fixture, "exited", "result.kind");
        assert_string_equal(kind, "signaled");
        finish(&c, NULL, &out, &err);
        expect_exit(&c, "signaled", SIGKILL);
        assert_string_equal(out.data, "begin\n");
        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
        client_close(&deaf);
}

static int group_setup(void **state)
{
        static const char *const extra[] = { "stop.grace_usec=5000000", NULL };

        shim_fixture_init(&fixture, &(FixtureOptions){ .extra = extra });
        shim_fixture_wait_for_name(&fixture);
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
                cmocka_unit_test(test_detached),
                cmocka_unit_test(test_kept_result),
                cmocka_unit_test(test_long_output),
                cmocka_unit_test(test_many_clients),
                cmocka_unit_test(test_input),
                cmocka_unit_test(test_terminal),
                cmocka_unit_test(test_kill),
                cmocka_unit_test(test_background),
                cmocka_unit_test(test_policies),
                cmocka_unit_test(test_setup_failed),
                cmocka_unit_test(test_ended_limit),
                cmocka_unit_test(test_resize_storm),
                cmocka_unit_test(test_bus_dies),
                cmocka_unit_test(test_container_ends),
        };
        const char *missing = shim_fixture_missing();

        if (missing) {
                print_message("1..0 # SKIP %s\n", missing);
                return 0;
        }
        cmocka_set_test_filter(getenv("TEST_FILTER"));
        return cmocka_run_group_tests_name("shim-session-held", tests, group_setup, group_teardown);
}
