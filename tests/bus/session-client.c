/* SPDX-License-Identifier: Apache-2.0 */

/* See session-client.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "record.h"
#include "session-client.h"

ShimFixture fixture;

void bytes_done(Bytes *b)
{
        free(b->data);
}

void client_close(Client *c)
{
        c->control = safe_close(c->control);
        for (int i = 0; i < 3; i++)
                c->stdio[i] = safe_close(c->stdio[i]);
}

static void append_strings(sd_bus_message *m, const char *const *v)
{
        assert_true(sd_bus_message_open_container(m, 'a', "ay") >= 0);
        for (; v && *v; v++)
                assert_true(sd_bus_message_append_array(m, 'y', *v, strlen(*v)) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
}

static void append_options(sd_bus_message *m, const Options *o)
{
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (o->tty)
                assert_true(sd_bus_message_append(m, "{sv}", "tty", "b", 1) >= 0);
        if (o->rows)
                assert_true(sd_bus_message_append(m, "{sv}", "rows", "q", o->rows) >= 0);
        if (o->cols)
                assert_true(sd_bus_message_append(m, "{sv}", "cols", "q", o->cols) >= 0);
        if (o->user)
                assert_true(sd_bus_message_append(m, "{sv}", "user", "s", o->user) >= 0);
        if (o->working_dir)
                assert_true(sd_bus_message_append(m, "{sv}", "working-dir", "s", o->working_dir) >=
                                0);
        if (o->disconnect)
                assert_true(sd_bus_message_append(m, "{sv}", "disconnect", "s", o->disconnect) >=
                                0);
        if (o->stdio)
                assert_true(sd_bus_message_append(m, "{sv}", "stdio", "s", o->stdio) >= 0);
        if (o->input)
                assert_true(sd_bus_message_append(m, "{sv}", "input", "b", 1) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
}

static int take_fd(sd_bus_message *m)
{
        int fd, copy;

        assert_true(sd_bus_message_read(m, "h", &fd) > 0);
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        assert_true(copy >= 0);
        return copy;
}

int call_exec(sd_bus *bus, const char *const *argv, const Options *o, Client *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        Client c = { .stdio = { -EBADF, -EBADF, -EBADF }, .tty = o->tty };
        int r;

        assert_true(sd_bus_message_new_method_call(bus, &m, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "Exec") >= 0);
        append_strings(m, argv);
        append_strings(m, o->env);
        append_options(m, o);
        r = sd_bus_call(bus, m, FIXTURE_TIMEOUT_USEC, reterr, &reply);
        if (r < 0)
                return r;

        assert_true(sd_bus_message_read(reply, "u", &c.number) >= 0);
        c.control = take_fd(reply);
        assert_true(sd_bus_message_enter_container(reply, 'a', "h") >= 0);
        for (int i = 0; i < (o->stdio && streq(o->stdio, "held") ? 0 : o->tty ? 1 : 3); i++)
                c.stdio[i] = take_fd(reply);
        assert_true(sd_bus_message_at_end(reply, false) > 0);
        *ret = c;
        return 0;
}

sd_bus *open_bus(void)
{
        sd_bus *bus = NULL;

        assert_true(sd_bus_open_system(&bus) >= 0);
        return bus;
}

Client start(const char *const *argv, const Options *o)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        if (call_exec(bus, argv, o ? o : &(Options){}, &c, &error) < 0)
                fail_msg("Exec: %s: %s", error.name, error.message);
        return c;
}

int read_control(Client *c)
{
        char buf[4096];
        const char *type;
        uint64_t v;
        ssize_t n;
        Record r;

        n = packet_recv(c->control, buf, sizeof(buf), NULL, 0, NULL);
        assert_true(n >= 0 || n == -EAGAIN); /* never a reset */
        if (n <= 0)
                return (int) n;
        assert_int_equal(record_parse(buf, (size_t) n, 1, &r), 0);
        type = record_get(&r, "type");
        assert_non_null(type);
        assert_string_equal(c->kind, ""); /* nothing comes behind `exit` */
        if (streq(type, "started")) {
                assert_int_equal(c->pid, 0);
                assert_int_equal(record_get_u64(&r, "pid", &v), 0);
                c->pid = (pid_t) v;
        } else {
                assert_string_equal(type, "exit");
                assert_int_equal(record_get_u64(&r, "code", &v), 0);
                c->code = (int) v;
                (void) snprintf(c->kind, sizeof(c->kind), "%s", record_get(&r, "kind"));
                (void) snprintf(c->stage, sizeof(c->stage), "%s",
                                strempty(record_get(&r, "stage")));
        }
        return 1;
}

void wait_started(Client *c)
{
        struct pollfd p = { .fd = c->control, .events = POLLIN };

        assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
        assert_int_equal(read_control(c), 1);
        assert_true(c->pid > 0);
}

void wait_exit(Client *c)
{
        while (c->kind[0] == '\0') {
                struct pollfd p = { .fd = c->control, .events = POLLIN };

                assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
                assert_int_equal(read_control(c), 1);
        }
}

static void append_from(int fd, Bytes *b, bool *eof)
{
        static char buf[65536];
        ssize_t n = read(fd, buf, sizeof(buf));

        if (n < 0 && errno == EIO)
                n = 0; /* a terminal's end */
        if (n < 0)
                assert_int_equal(errno, EAGAIN);
        *eof = n == 0;
        if (n > 0) {
                b->data = realloc(b->data, b->size + (size_t) n + 1);
                assert_non_null(b->data);
                memcpy(b->data + b->size, buf, (size_t) n);
                b->size += (size_t) n;
                b->data[b->size] = '\0';
        }
}

void read_until(Client *c, Bytes *out, const char *word)
{
        struct pollfd p = { .fd = c->stdio[0], .events = POLLIN };
        bool eof = false;

        while (!out->data || !strstr(out->data, word)) {
                assert_false(eof);
                assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
                append_from(c->stdio[0], out, &eof);
        }
}

static void feed(Client *c, const Bytes *input, size_t *offset)
{
        ssize_t n = write(c->stdio[0], input->data + *offset, input->size - *offset);

        if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                return;
        }
        *offset += (size_t) n;
        if (*offset == input->size)
                c->stdio[0] = safe_close(c->stdio[0]);
}

void finish(Client *c, const Bytes *input, Bytes *out, Bytes *err)
{
        uint64_t deadline = now_boottime_usec() + 3 * FIXTURE_TIMEOUT_USEC;
        Bytes *to[3] = { c->tty ? out : NULL, out, err };
        bool control_eof = false;
        size_t offset = 0;

        signal(SIGPIPE, SIG_IGN);
        for (int i = 0; i < 3; i++)
                if (c->stdio[i] >= 0)
                        assert_int_equal(fd_set_nonblock(c->stdio[i], true), 0);
        if (!c->tty && (!input || input->size == 0))
                c->stdio[0] = safe_close(c->stdio[0]);

        for (;;) {
                struct pollfd p[4] = {
                        { .fd = c->stdio[0], .events = c->tty ? POLLIN : POLLOUT },
                        { .fd = c->stdio[1], .events = POLLIN },
                        { .fd = c->stdio[2], .events = POLLIN },
                        { .fd = control_eof ? -1 : c->control, .events = POLLIN },
                };
                bool eof;

                if (control_eof && c->stdio[0] < 0 && c->stdio[1] < 0 && c->stdio[2] < 0)
                        break;
                assert_true(poll(p, 4, 1000) >= 0 && now_boottime_usec() < deadline);
                if (p[3].revents && read_control(c) == 0)
                        control_eof = true;
                for (int i = 0; i < 3; i++) {
                        if (!p[i].revents)
                                continue;
                        if (i == 0 && !c->tty) {
                                feed(c, input, &offset);
                                continue;
                        }
                        append_from(c->stdio[i], to[i], &eof);
                        if (eof)
                                c->stdio[i] = safe_close(c->stdio[i]);
                }
        }
        client_close(c);
}

Client run(const char *const *argv, const Options *o, Bytes *out)
{
        CLEANUP(bytes_done) Bytes err = {};
        Client c = start(argv, o);

        finish(&c, NULL, out, &err);
        if (err.size > 0)
                print_message("# standard error: %s", err.data);
        return c;
}

void send_control(Client *c, const char *type, const char *key, unsigned v, const char *key2,
                unsigned v2)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", type);
        record_put_u64(&w, key, v);
        if (key2)
                record_put_u64(&w, key2, v2);
        assert_int_equal(record_finish(&w), 0);
        while (packet_send(c->control, w.data, w.size, NULL, 0) < 0) {
                struct pollfd p = { .fd = c->control, .events = POLLOUT };

                assert_int_equal(errno, EAGAIN); /* the shim is behind */
                assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
        }
}

void expect_output(const char *const *argv, const Options *o, const char *expected)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run(argv, o, &out);

        assert_string_equal(out.data ? out.data : "", expected);
        assert_string_equal(c.kind, "exited");
        assert_int_equal(c.code, 0);
}

void expect_exit(const Client *c, const char *kind, int code)
{
        assert_string_equal(c->kind, kind);
        assert_int_equal(c->code, code);
}

void wait_gone(pid_t pid)
{
        CLEANUP_CLOSE int fd = (int) syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (fd >= 0)
                assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
}

void expect_refused(const char *const *argv, const Options *o, const char *name)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        assert_true(call_exec(bus, argv, o, &c, &error) < 0);
        assert_string_equal(error.name, name);
}

uint32_t count_sessions(sd_bus *bus)
{
        uint32_t n = UINT32_MAX;

        assert_true(sd_bus_get_property_trivial(bus, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "Sessions", NULL, 'u', &n) >= 0);
        return n;
}

/* Its loop is asked, and has other things to do as well. */
void wait_no_sessions(sd_bus *bus)
{
        uint64_t deadline = now_boottime_usec() + 3 * FIXTURE_TIMEOUT_USEC;

        while (count_sessions(bus) > 0) {
                assert_true(now_boottime_usec() < deadline);
                (void) poll(NULL, 0, 5);
        }
}

/* ---- sessions that are held ---- */

int call_open(sd_bus *bus, uint32_t number, bool tty, bool input, Client *ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        Client c = { .number = number, .stdio = { -EBADF, -EBADF, -EBADF }, .tty = tty };
        int r;

        r = sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                        "OpenSession", reterr, &reply, "ua{sv}", number, 1, "input", "b",
                        (int) input);
        if (r < 0)
                return r;
        c.control = take_fd(reply);
        assert_true(sd_bus_message_enter_container(reply, 'a', "h") >= 0);
        for (int i = tty || input ? 0 : 1; i < (tty ? 1 : 3); i++)
                c.stdio[i] = take_fd(reply);
        assert_true(sd_bus_message_at_end(reply, false) > 0);
        *ret = c;
        return 0;
}

Client open_session(uint32_t number, bool tty, bool input)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        if (call_open(bus, number, tty, input, &c, &error) < 0)
                fail_msg("OpenSession: %s: %s", error.name, error.message);
        return c;
}

void kill_session(uint32_t number, int signo)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                            "KillSession", &error, NULL, "ui", number, signo) < 0)
                fail_msg("KillSession: %s: %s", error.name, error.message);
}

static void format_value(sd_bus_message *m, char buf[static 256])
{
        const char *type, *text;
        uint64_t t = 0;
        uint32_t u = 0;
        int i = 0;

        assert_true(sd_bus_message_peek_type(m, NULL, &type) > 0);
        if (streq(type, "s")) {
                assert_true(sd_bus_message_read(m, "v", "s", &text) > 0);
                (void) snprintf(buf, 256, "%s", text);
        } else if (streq(type, "u")) {
                assert_true(sd_bus_message_read(m, "v", "u", &u) > 0);
                (void) snprintf(buf, 256, "%u", u);
        } else if (streq(type, "t")) {
                assert_true(sd_bus_message_read(m, "v", "t", &t) > 0);
                (void) snprintf(buf, 256, "%" PRIu64, t);
        } else {
                assert_true(streq(type, "i") || streq(type, "b"));
                assert_true(sd_bus_message_read(m, "v", type, &i) > 0);
                (void) snprintf(buf, 256, "%d", i);
        }
}

const char *session_value(uint32_t number, const char *key, char buf[static 256])
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        bool found = false;

        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "ListSessions", NULL, &m, "") >= 0);
        assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") >= 0);
        while (!found && sd_bus_message_enter_container(m, 'a', "{sv}") > 0) {
                const char *name;
                uint32_t n;

                buf[0] = '\0';
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        assert_true(sd_bus_message_read(m, "s", &name) > 0);
                        if (streq(name, "session")) {
                                assert_true(sd_bus_message_read(m, "v", "u", &n) > 0);
                                found = n == number;
                        } else if (found && streq(name, key))
                                format_value(m, buf);
                        else
                                assert_true(sd_bus_message_skip(m, "v") >= 0);
                        assert_true(sd_bus_message_exit_container(m) >= 0);
                }
                assert_true(sd_bus_message_exit_container(m) >= 0);
        }
        return found ? buf : "gone";
}

void wait_session(uint32_t number, const char *key, const char *expected)
{
        uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;
        char buf[256];

        while (!streq(session_value(number, key, buf), expected)) {
                if (now_boottime_usec() >= deadline)
                        fail_msg("session %u: %s is \"%s\", not \"%s\"", number, key, buf,
                                        expected);
                (void) poll(NULL, 0, 5);
        }
}
