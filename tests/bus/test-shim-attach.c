/* SPDX-License-Identifier: Apache-2.0 */

/* Clients attached to the terminal of a real container's first process, over a real bus: who sees
 * and types what, what a slow or vanished one may not disturb, and how it ends. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log-format.h"
#include "session-client.h"

#define PATIENCE_MSEC ((int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC))

typedef struct How {
        const char *mode; /* NULL: default */
        bool sized, no_scrollback;
        uint32_t rows, cols;
} How;

static const How VIEWER = { .mode = "viewer" }, WRITER = { .mode = NULL };

static int call_attach(sd_bus *bus, const How *how, Client *ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        Client c = { .stdio = { -EBADF, -EBADF, -EBADF }, .tty = true };
        int r, control, stream;

        assert_true(sd_bus_message_new_method_call(bus, &m, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "Attach") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (how->mode)
                assert_true(sd_bus_message_append(m, "{sv}", "mode", "s", how->mode) >= 0);
        if (how->sized)
                assert_true(sd_bus_message_append(m, "{sv}{sv}", "rows", "u", how->rows, "cols",
                                            "u", how->cols) >= 0);
        if (how->no_scrollback)
                assert_true(sd_bus_message_append(m, "{sv}", "scrollback", "b", 0) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        r = sd_bus_call(bus, m, FIXTURE_TIMEOUT_USEC, reterr, &reply);
        if (r < 0)
                return r;
        assert_true(sd_bus_message_read(reply, "uhh", &c.number, &control, &stream) >= 0);
        c.control = fcntl(control, F_DUPFD_CLOEXEC, 3);
        c.stdio[0] = fcntl(stream, F_DUPFD_CLOEXEC, 3);
        assert_true(c.control >= 0 && c.stdio[0] >= 0);
        *ret = c;
        return 0;
}

static Client attach(const How how)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        if (call_attach(bus, &how, &c, &error) < 0)
                fail_msg("Attach: %s: %s", error.name, error.message);
        wait_started(&c);
        return c;
}

static void refused(const How how, const char *name)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        assert_true(call_attach(bus, &how, &c, &error) < 0);
        assert_string_equal(error.name, name);
}

static void type(const Client *c, const char *text)
{
        assert_int_equal(send(c->stdio[0], text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void set_up(const char *script, bool tty)
{
        const char *const argv[] = { "/bin/sh", "-c", script, NULL };

        shim_fixture_init(&fixture, &(FixtureOptions){ .argv = argv, .tty = tty });
        shim_fixture_wait_for_name(&fixture);
}

/* The container has ended, and all of its shim. */
static void wait_over(void)
{
        free(shim_fixture_wait_for_state(&fixture, "exited", NULL));
        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
}

/* All of the log's lines, each with a newline behind; allocated. */
static char *log_lines(size_t *ret_size)
{
        CLEANUP_FREE char *log = NULL;
        size_t size, n = 0;
        char *lines;

        assert_int_equal(read_file_at(AT_FDCWD, fixture.log, 100000000, &log, &size), 0);
        lines = malloc(size + 1);
        assert_non_null(lines);
        for (const char *p = log, *end; p < log + size; p = end + 1) {
                LogRecord r;

                end = memchr(p, '\n', (size_t) (log + size - p));
                assert_non_null(end);
                assert_int_equal(log_parse_record(p, (size_t) (end - p), &r), 0);
                memcpy(lines + n, r.data, r.size);
                n += r.size;
                if (!r.partial)
                        lines[n++] = '\n';
        }
        lines[n] = '\0';
        if (ret_size)
                *ret_size = n;
        return lines;
}

/* @first, "1\r\n2\r\n…", as a terminal shows it. */
static char *numbers(const char *first, unsigned last, size_t *ret_size)
{
        char *s = malloc(strlen(first) + last * 9U + 1), *p = s;

        assert_non_null(s);
        p = stpcpy(p, first);
        for (unsigned i = 1; i <= last; i++)
                p += sprintf(p, "%u\r\n", i);
        *ret_size = (size_t) (p - s);
        return s;
}

/* @b is @expected, but for what its notices count. */
static uint64_t check_notices(const Bytes *b, const char *expected, size_t size)
{
        static const char begin[] = "\r\n[tank: ";
        uint64_t missed = 0;
        size_t at = 0;

        for (size_t i = 0; i < b->size;) {
                char notice[128];
                uint64_t count;
                size_t n;

                if (b->size - i < strlen(begin) || memcmp(b->data + i, begin, strlen(begin)) != 0) {
                        assert_true(at < size);
                        assert_int_equal(b->data[i++], expected[at++]);
                        continue;
                }
                count = strtoull(b->data + i + strlen(begin), NULL, 10);
                n = (size_t) snprintf(notice, sizeof(notice),
                                "%s%" PRIu64 " bytes of output dropped]\r\n", begin, count);
                assert_memory_equal(b->data + i, notice, n);
                i += n;
                at += count;
                missed += count;
        }
        assert_int_equal(at, size);
        return missed;
}

#define ECHO_LINES \
        "stty -echo; echo ready; while read l; do echo \"got $l\"; [ \"$l\" != end ] || exit 7; " \
        "done"

/* ---- tests ---- */

static void test_one_writes_all_see(void **state)
{
        CLEANUP(bytes_done) Bytes a = {}, b = {}, w = {};
        CLEANUP_FREE char *log = NULL;
        Client viewers[2], writer;

        set_up(ECHO_LINES, true);
        viewers[0] = attach(VIEWER);
        writer = attach(WRITER);
        viewers[1] = attach(VIEWER);
        assert_int_equal(writer.pid, fixture.container);
        read_until(&writer, &w, "ready");
        type(&writer, "hello\n");
        read_until(&writer, &w, "got hello");
        read_until(&viewers[0], &a, "got hello");
        read_until(&viewers[1], &b, "got hello");

        refused(WRITER, TANK_ERROR_BUSY);
        refused((How){ .mode = "writer" }, TANK_ERROR_BUSY);
        /* A viewer that types is told so. */
        assert_int_equal(send(viewers[0].stdio[0], "x", 1, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE);

        type(&writer, "end\n");
        finish(&writer, NULL, &w, NULL);
        finish(&viewers[0], NULL, &a, NULL);
        finish(&viewers[1], NULL, &b, NULL);
        expect_exit(&writer, "exited", 7);
        expect_exit(&viewers[0], "exited", 7);
        expect_exit(&viewers[1], "exited", 7);
        assert_string_equal(w.data, "ready\r\ngot hello\r\ngot end\r\n");
        assert_string_equal(a.data, w.data);
        assert_string_equal(b.data, w.data);
        wait_over();
        log = log_lines(NULL);
        assert_string_equal(log, "ready\ngot hello\ngot end\n");
}

/* SIGCONT, while we wait for an answer of whoever it is. */
static void go_on_soon(pid_t pid)
{
        pid_t child = fork();

        assert_true(child >= 0);
        if (child > 0)
                return;
        (void) usleep(20000);
        _exit(kill(pid, SIGCONT) < 0);
}

/* Each types a line and is gone at once; the next one follows at its heels. */
static void test_typed_and_gone(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(bytes_done) Bytes out = {};
        CLEANUP_FREE char *log = NULL, *expected = malloc(100 * 16);
        char *p = expected;
        Client c;

        set_up(ECHO_LINES, true);
        bus = open_bus();
        assert_non_null(expected);
        p += sprintf(p, "ready\n");
        c = attach(WRITER);
        read_until(&c, &out, "ready");
        client_close(&c);
        for (unsigned i = 0; i < 100; i++) {
                char line[16];

                (void) sprintf(line, "%u\n", i);
                p += sprintf(p, "got %s", line);
                assert_int_equal(call_attach(bus, &WRITER, &c, NULL), 0);
                /* The shim finds both at once, and the next client with them. */
                if (i % 4 == 0)
                        assert_int_equal(kill(fixture.shim, SIGSTOP), 0);
                type(&c, line);
                client_close(&c);
                if (i % 4 == 0)
                        go_on_soon(fixture.shim);
        }
        assert_int_equal(kill(fixture.container, 0), 0);
        c = attach(WRITER);
        type(&c, "end\n");
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 7);
        (void) sprintf(p, "got end\n");
        wait_over();
        log = log_lines(NULL);
        assert_string_equal(log, expected);
}

/* As much as the socket takes, more than the shim takes at once. */
static void test_much_typed_and_gone(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        CLEANUP_FREE char *log = NULL;
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        char text[4000 * 16], *p = text;
        unsigned n = 0;
        Client c;

        set_up("stty -echo; echo ready; while read l; do [ \"$l\" != end ] || exit 7; echo $l; "
               "done",
                        true);
        bus = open_bus();
        c = attach(WRITER);
        read_until(&c, &out, "ready");
        assert_int_equal(kill(fixture.shim, SIGSTOP), 0);
        while (p < text + sizeof(text) - 16)
                p += sprintf(p, "%u\n", ++n);
        type(&c, text);
        client_close(&c);
        assert_int_equal(kill(fixture.shim, SIGCONT), 0);
        /* Until all of it is typed; with the next one who writes it would be cut short. */
        wait_no_sessions(bus);
        c = attach(WRITER);
        type(&c, "end\n");
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 7);
        wait_over();
        log = log_lines(NULL);
        assert_true(startswith(log, "ready\n"));
        assert_string_equal(log + strlen("ready\n"), text);
}

/* Who is gone writes no more, also while a program that reads slowly still gets what was typed. */
static void test_gone_is_no_writer(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        char text[4000 * 16];
        Client c, next;

        set_up("stty raw -echo; echo ready; while dd bs=512 count=1 of=/dev/null 2>/dev/null; do "
               "echo more; usleep 100000; done",
                        true);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        c = attach(WRITER);
        read_until(&c, &out, "ready");
        type(&c, text);
        read_until(&c, &out, "more");
        client_close(&c);
        for (unsigned i = 0; i < 3; i++) {
                next = attach(WRITER); /* not Busy */
                type(&next, text);
                client_close(&next);
        }
        next = attach(WRITER);
        refused(WRITER, TANK_ERROR_BUSY);
        client_close(&next);
}

/* The end of what is typed is not the end of looking on. */
static void test_typed_all(void **state)
{
        CLEANUP(bytes_done) Bytes first = {}, second = {};
        char buf[256];
        Client a, b;

        set_up(ECHO_LINES, true);
        a = attach(WRITER);
        read_until(&a, &first, "ready");
        type(&a, "one\n");
        assert_int_equal(shutdown(a.stdio[0], SHUT_WR), 0);
        read_until(&a, &first, "got one");
        wait_session(a.number, "mode", "viewer");
        b = attach(WRITER);
        assert_string_equal(session_value(b.number, "mode", buf), "writer");
        send_control(&a, "resize", "rows", 1, "cols", 1); /* no longer its to do */
        type(&b, "end\n");
        finish(&b, NULL, &second, NULL);
        finish(&a, NULL, &first, NULL);
        expect_exit(&a, "exited", 7);
        expect_exit(&b, "exited", 7);
        assert_string_equal(first.data, "ready\r\ngot one\r\ngot end\r\n");
        wait_over();
}

/* Somebody else can end it: it is told so, and the next one writes. */
static void test_detached(void **state)
{
        static const char detached[] = "v=1\0type=detached";
        CLEANUP(bytes_done) Bytes out = {};
        char packet[256], buf[256];
        struct pollfd p = { .events = POLLIN };
        Client a, b;

        set_up(ECHO_LINES, true);
        a = attach(WRITER);
        b = attach(VIEWER);
        assert_string_equal(session_value(a.number, "state", buf), "attached");
        assert_string_equal(session_value(a.number, "mode", buf), "writer");
        assert_string_equal(session_value(b.number, "mode", buf), "viewer");
        send_control(&a, "resize", "rows", 5, "cols", 5);
        kill_session(a.number, SIGHUP);
        assert_string_equal(session_value(a.number, "state", buf), "gone");
        p.fd = a.control;
        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        assert_int_equal(recv(a.control, packet, sizeof(packet), 0), sizeof(detached));
        assert_memory_equal(packet, detached, sizeof(detached));
        client_close(&a);
        a = attach(WRITER);
        type(&a, "end\n");
        finish(&b, NULL, &out, NULL);
        expect_exit(&b, "exited", 7);
        client_close(&a);
        wait_over();
}

static void test_scrollback(void **state)
{
        CLEANUP(bytes_done) Bytes all = {}, held = {}, none = {};
        CLEANUP_FREE char *expected = NULL;
        Client c;
        size_t size;

        set_up("read l; seq 1 20000; read l; echo END; exit 0", true);
        c = attach(WRITER);
        type(&c, "\n");
        read_until(&c, &all, "\n20000\r\n");
        client_close(&c);
        expected = numbers("\r\n", 20000, &size); /* the echo of our newline */
        (void) check_notices(&all, expected, size);

        c = attach(VIEWER);
        read_until(&c, &held, "\n20000\r\n");
        client_close(&c);
        assert_int_equal(held.size, LIMIT_HELD_OUTPUT);
        assert_memory_equal(held.data, expected + size - LIMIT_HELD_OUTPUT, LIMIT_HELD_OUTPUT);

        c = attach((How){ .no_scrollback = true });
        type(&c, "\n");
        finish(&c, NULL, &none, NULL);
        expect_exit(&c, "exited", 0);
        assert_string_equal(none.data, "\r\nEND\r\n");
        wait_over();
}

/* One reads to the end, one nothing until long after. */
static void test_the_result_is_last(void **state)
{
        CLEANUP(bytes_done) Bytes out = {}, late = {};
        CLEANUP_FREE char *expected = NULL;
        Client c, sleeper;
        size_t size;

        set_up("stty -echo; echo ready; read l; seq 1 5000; exit 7", true);
        c = attach(WRITER);
        sleeper = attach(VIEWER);
        read_until(&c, &out, "ready");
        type(&c, "\n");
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 7);
        expected = numbers("ready\r\n", 5000, &size);
        assert_int_equal(out.size, size);
        assert_memory_equal(out.data, expected, size);
        wait_over(); /* the shim is gone; what it sent is not */
        finish(&sleeper, NULL, &late, NULL);
        expect_exit(&sleeper, "exited", 7);
        assert_int_equal(late.size, size);
        assert_memory_equal(late.data, expected, size);
}

static void test_a_slow_viewer_slows_nobody(void **state)
{
        CLEANUP(bytes_done) Bytes fast = {}, slow = {};
        CLEANUP_FREE char *expected = NULL, *log = NULL;
        Client writer, viewer;
        size_t size, n = 0, log_size;

        set_up("stty -echo; echo ready; read l; seq 1 300000; read l; exit 3", true);
        viewer = attach(VIEWER);
        writer = attach(WRITER);
        read_until(&writer, &fast, "ready");
        type(&writer, "\n");
        read_until(&writer, &fast, "\n300000\r\n"); /* though the viewer reads nothing */
        read_until(&viewer, &slow, "\n300000\r\n"); /* the end waits for it, but not for ever */
        type(&writer, "\n");
        finish(&writer, NULL, &fast, NULL);
        expect_exit(&writer, "exited", 3);
        finish(&viewer, NULL, &slow, NULL);
        expect_exit(&viewer, "exited", 3);
        expected = numbers("ready\r\n", 300000, &size);
        assert_true(check_notices(&slow, expected, size) > size / 2);
        (void) check_notices(&fast, expected, size);
        wait_over();
        for (size_t i = 0; i < size; i++)
                if (expected[i] != '\r')
                        expected[n++] = expected[i];
        log = log_lines(&log_size);
        assert_int_equal(log_size, n);
        assert_memory_equal(log, expected, n);
}

static bool shows_size(Client *c, const char *expected)
{
        CLEANUP(bytes_done) Bytes out = {};

        type(c, "\n");
        read_until(c, &out, "\n");
        return streq(out.data, expected);
}

static void test_the_window(void **state)
{
        static const struct {
                uint32_t rows, cols;
                const char *shown;
        } sizes[] = { { 33, 99, "size 33 99" }, { 0, 0, "size" }, /* busybox shows a default */
                { 65535, 65535, "size" }, { 7, 201, "size 7 201" } };
        Client viewer, writer;

        set_up("stty -echo; while read l; do echo size $(stty size); done", true);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                CLEANUP(bytes_done) Bytes out = {};

                writer = attach((How){ .sized = true,
                                .rows = sizes[i].rows,
                                .cols = sizes[i].cols,
                                .no_scrollback = true });
                type(&writer, "\n");
                read_until(&writer, &out, sizes[i].shown);
                client_close(&writer);
        }
        /* It stays as it is for a writer that has none. */
        writer = attach((How){ .no_scrollback = true });
        viewer = attach((How){ .mode = "viewer", .no_scrollback = true });
        send_control(&viewer, "resize", "rows", 1, "cols", 1);       /* not its to do */
        send_control(&writer, "signal", "signal", SIGKILL, NULL, 0); /* nor this */
        assert_true(shows_size(&writer, "size 7 201\r\n"));
        send_control(&writer, "resize", "rows", 50, "cols", 120);
        /* The control socket and the stream are not in step. */
        for (unsigned i = 0; !shows_size(&writer, "size 50 120\r\n"); i++)
                assert_true(i < 1000);
        client_close(&viewer);
        client_close(&writer);
}

static void test_resize_storm_and_late(void **state)
{
        static const char request[] = "v=1\0type=resize\0rows=5\0cols=5";
        CLEANUP(bytes_done) Bytes out = {};
        struct pollfd p = {};
        Client c;
        ssize_t n;

        set_up("read l; exit 0", true);
        c = attach(WRITER);
        for (unsigned i = 0; i < 5000; i++) {
                p = (struct pollfd){ .fd = c.control, .events = POLLOUT };
                assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
                (void) send(c.control, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
        }
        type(&c, "\n");
        p = (struct pollfd){ .fd = c.stdio[0], .events = POLLRDHUP };
        do /* until it is over */
                n = send(c.control, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n > 0 || (errno == EAGAIN && poll(&p, 1, 1) == 0));
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 0);
        wait_over();
}

/* A program that does not read holds the client back, and loses nothing. */
static void test_input_is_held_back(void **state)
{
        enum { SIZE = 3 * 1024 * 1024 };
        CLEANUP(bytes_done) Bytes out = {};
        CLEANUP_FREE char *input = malloc(SIZE);
        size_t sent = 0;
        Client c;
        bool held = false;

        set_up("stty raw -echo; echo ready; while [ ! -e /tmp/go ]; do usleep 10000; done;"
               "dd bs=65536 iflag=fullblock count=48 2>/dev/null | sha256sum; exit 4",
                        true);
        assert_non_null(input);
        for (size_t i = 0; i < SIZE; i++)
                input[i] = (char) ('a' + i * 7 % 23 + i / 65536 % 3);
        c = attach(WRITER);
        read_until(&c, &out, "ready");
        assert_int_equal(fd_set_nonblock(c.stdio[0], true), 0);
        while (sent < SIZE) {
                struct pollfd p = { .fd = c.stdio[0], .events = POLLOUT };
                ssize_t n = send(c.stdio[0], input + sent, SIZE - sent, MSG_NOSIGNAL);

                if (n > 0) {
                        sent += (size_t) n;
                        continue;
                }
                assert_int_equal(errno, EAGAIN);
                if (!held && poll(&p, 1, 300) == 0) {
                        held = true;
                        expect_output((const char *const[]){ "touch", "/tmp/go", NULL }, NULL, "");
                }
                assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        }
        assert_true(held);
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 4);
        wait_over();

        /* The same sum, made outside. */
        CLEANUP_FREE char *sum = NULL;
        char path[96], command[128];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/input", fixture.dir);
        assert_int_equal(write_file_atomic_at(AT_FDCWD, path, input, SIZE, 0600, false), 0);
        (void) snprintf(command, sizeof(command), "sha256sum <%s", path);
        f = popen(command, "re");
        assert_non_null(f);
        sum = calloc(1, 65);
        assert_non_null(sum);
        assert_int_equal(fread(sum, 1, 64, f), 64);
        (void) pclose(f);
        assert_non_null(strstr(out.data, sum));
}

static void test_refused(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        set_up("read l", true);
        bus = open_bus();
        refused((How){ .mode = "king" }, TANK_ERROR_INVALID_ARGUMENT);
        refused((How){ .mode = "viewer", .sized = true, .rows = 1, .cols = 1 },
                        TANK_ERROR_INVALID_ARGUMENT);
        refused((How){ .sized = true, .rows = 65536, .cols = 1 }, TANK_ERROR_INVALID_ARGUMENT);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Attach", &error, NULL, "a{sv}", 1, "rows", "u", 5) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
        sd_bus_error_free(&error);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Attach", &error, NULL, "a{sv}", 1, "frobnicate", "b", 1) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
        sd_bus_error_free(&error);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Attach", &error, NULL, "a{sv}", 1, "mode", "b", 1) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
        assert_int_equal(count_sessions(bus), 0);
}

static void test_no_terminal(void **state)
{
        set_up("sleep 1000", false);
        refused(WRITER, TANK_ERROR_NOT_A_TTY);
        refused(VIEWER, TANK_ERROR_NOT_A_TTY);
}

static void test_limit(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        static Client clients[LIMIT_ATTACHED];

        set_up("read l", true);
        bus = open_bus();
        for (unsigned i = 0; i < LIMIT_ATTACHED; i++)
                clients[i] = attach(i == 0 ? WRITER : VIEWER);
        assert_int_equal(count_sessions(bus), LIMIT_ATTACHED);
        refused(VIEWER, TANK_ERROR_LIMIT_EXCEEDED);
        /* Commands are counted apart. */
        expect_output((const char *const[]){ "echo", "x", NULL }, NULL, "x\n");
        for (unsigned i = 0; i < LIMIT_ATTACHED; i++)
                client_close(&clients[i]);
        wait_no_sessions(bus);
        expect_output((const char *const[]){ "true", NULL }, NULL, "");
}

/* Rubbish on the control socket ends the client, and nothing else. */
static void test_rubbish(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        struct pollfd p = {};
        Client bad, good;
        char byte;

        set_up(ECHO_LINES, true);
        good = attach(VIEWER);
        bad = attach(WRITER);
        assert_true(packet_send(bad.control, "rubbish", 7, NULL, 0) >= 0);
        p = (struct pollfd){ .fd = bad.control, .events = POLLIN };
        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        assert_true(recv(bad.control, &byte, 1, 0) <= 0);
        client_close(&bad);
        bad = attach(WRITER);
        type(&bad, "end\n");
        finish(&good, NULL, &out, NULL);
        expect_exit(&good, "exited", 7);
        client_close(&bad);
        wait_over();
}

static void test_the_bus_dies(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c;

        set_up(ECHO_LINES, true);
        c = attach(WRITER);
        private_bus_kill(&fixture.bus);
        type(&c, "still here\n");
        read_until(&c, &out, "got still here");
        type(&c, "end\n");
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "exited", 7);
        wait_over();
}

static void test_the_container_is_killed(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c;

        set_up("while :; do echo x; done", true);
        c = attach(VIEWER);
        read_until(&c, &out, "x\r\nx\r\n");
        shim_fixture_send(&fixture, "type=kill", "signal=9", NULL);
        finish(&c, NULL, &out, NULL);
        expect_exit(&c, "signaled", SIGKILL);
        wait_over();
}

/* The shim itself: whoever waits for it is told nothing, and sees it. */
static void test_the_shim_is_killed(void **state)
{
        Client c;

        set_up("read l", true);
        c = attach(WRITER);
        assert_int_equal(kill(fixture.shim, SIGKILL), 0);
        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
        assert_int_equal(read_control(&c), 0);
        client_close(&c);
        wait_gone(fixture.container); /* its terminal hung up */
}

static int teardown(void **state)
{
        shim_fixture_done(&fixture);
        return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_one_writes_all_see),
                TEST(test_typed_and_gone),
                TEST(test_much_typed_and_gone),
                TEST(test_gone_is_no_writer),
                TEST(test_typed_all),
                TEST(test_detached),
                TEST(test_scrollback),
                TEST(test_the_result_is_last),
                TEST(test_a_slow_viewer_slows_nobody),
                TEST(test_the_window),
                TEST(test_resize_storm_and_late),
                TEST(test_input_is_held_back),
                TEST(test_refused),
                TEST(test_no_terminal),
                TEST(test_limit),
                TEST(test_rubbish),
                TEST(test_the_bus_dies),
                TEST(test_the_container_is_killed),
                TEST(test_the_shim_is_killed),
        };
#undef TEST
        const char *missing = shim_fixture_missing();

        if (missing) {
                print_message("1..0 # SKIP %s\n", missing);
                return 0;
        }
        signal(SIGPIPE, SIG_IGN);
        cmocka_set_test_filter(getenv("TEST_FILTER"));
        return cmocka_run_group_tests_name("shim-attach", tests, NULL, NULL);
}
