/* SPDX-License-Identifier: Apache-2.0 */

/* Exec sessions of a real container, called over a real bus: bytes, codes, signals, terminals, and
 * what is left when a client dies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "record.h"
#include "shim-fixture.h"

#define NOBODY 65534

static ShimFixture fixture;

/* ---- a client ---- */

typedef struct Options {
        const char *const *env;
        const char *user, *working_dir;
        bool tty;
        uint16_t rows, cols;
} Options;

typedef struct Client {
        uint32_t number;
        int control, stdio[3]; /* with a terminal: [0] is its master */
        bool tty;
        pid_t pid; /* of `started` */
        /* of `exit` */
        char kind[16], stage[32];
        int code;
} Client;

typedef struct Bytes {
        char *data;
        size_t size;
} Bytes;

static void bytes_done(Bytes *b)
{
        free(b->data);
}

static void client_close(Client *c)
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

static int call_exec(sd_bus *bus, const char *const *argv, const Options *o, Client *ret,
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
        for (int i = 0; i < (o->tty ? 1 : 3); i++)
                c.stdio[i] = take_fd(reply);
        assert_true(sd_bus_message_at_end(reply, false) > 0);
        *ret = c;
        return 0;
}

static sd_bus *open_bus(void)
{
        sd_bus *bus = NULL;

        assert_true(sd_bus_open_system(&bus) >= 0);
        return bus;
}

static Client start(const char *const *argv, const Options *o)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        if (call_exec(bus, argv, o ? o : &(Options){}, &c, &error) < 0)
                fail_msg("Exec: %s: %s", error.name, error.message);
        return c;
}

/* -EAGAIN when there is none yet, 0 at end of file, else 1. */
static int read_control(Client *c)
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

static void wait_started(Client *c)
{
        struct pollfd p = { .fd = c->control, .events = POLLIN };

        assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
        assert_int_equal(read_control(c), 1);
        assert_true(c->pid > 0);
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

/* From a terminal, until @word has come. */
static void read_until(Client *c, Bytes *out, const char *word)
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

/* Runs the session to its end: input in, output out, until `exit` and the end of every stream, or
 * 100 ms of silence behind `exit`. Closes it. */
static void finish(Client *c, const Bytes *input, Bytes *out, Bytes *err)
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
                bool ended = c->kind[0] != '\0', eof;
                int n;

                if (ended && control_eof && c->stdio[0] < 0 && c->stdio[1] < 0 && c->stdio[2] < 0)
                        break;
                n = poll(p, 4, ended ? 100 : 1000);
                assert_true(n >= 0 && now_boottime_usec() < deadline);
                if (n == 0 && ended)
                        break;
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

/* Everything at once; the program's output as a string. */
static Client run(const char *const *argv, const Options *o, Bytes *out)
{
        CLEANUP(bytes_done) Bytes err = {};
        Client c = start(argv, o);

        finish(&c, NULL, out, &err);
        if (err.size > 0)
                print_message("# standard error: %s", err.data);
        return c;
}

#define SH(script) ((const char *const[]){ "sh", "-c", script, NULL })

static void send_control(Client *c, const char *type, const char *key, unsigned v, const char *key2,
                unsigned v2)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", type);
        record_put_u64(&w, key, v);
        if (key2)
                record_put_u64(&w, key2, v2);
        assert_int_equal(record_finish(&w), 0);
        assert_true(packet_send(c->control, w.data, w.size, NULL, 0) >= 0);
}

static void expect_output(const char *const *argv, const Options *o, const char *expected)
{
        CLEANUP(bytes_done) Bytes out = {};
        Client c = run(argv, o, &out);

        assert_string_equal(out.data ? out.data : "", expected);
        assert_string_equal(c.kind, "exited");
        assert_int_equal(c.code, 0);
}

static void expect_exit(const Client *c, const char *kind, int code)
{
        assert_string_equal(c->kind, kind);
        assert_int_equal(c->code, code);
}

static void wait_gone(pid_t pid)
{
        CLEANUP_CLOSE int fd = (int) syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (fd >= 0)
                assert_int_equal(poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC)), 1);
}

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

/* A child that holds the pipes open delays neither `exit` nor the client. */
static void test_background_child(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        uint64_t begin = now_boottime_usec();
        Client c = run(SH("sleep 1000 & echo $!"), NULL, &out);
        char path[256];

        expect_exit(&c, "exited", 0);
        assert_true(now_boottime_usec() - begin < 5 * USEC_PER_SEC);
        /* It stays in the container, in the session's cgroup. */
        (void) snprintf(path, sizeof(path), "kill -9 %s", out.data);
        c = run(SH(path), NULL, &out);
        expect_exit(&c, "exited", 0);
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

        /* Gone with the session; a later one sees to what was left. */
        (void) snprintf(leaf, sizeof(leaf), "exec-%u", c.number);
        finish(&c, NULL, &out, &out);
        expect_output((const char *const[]){ "true", NULL }, NULL, "");
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/unified/%s/ctr/%s", fixture.cgroup,
                        leaf);
        assert_int_equal(access(path, F_OK), -1);
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/ctr/%s", fixture.cgroup, leaf);
        assert_int_equal(access(path, F_OK), -1);
}

/* ---- ends that are not the program's ---- */

static void test_client_dies(void **state)
{
        static const char *const scripts[] = {
                "exec sleep 1000", "sleep 1000; true",              /* a shell and its child */
                "trap '' HUP; sleep 1000; true",                    /* takes no notice: killed */
                "trap '' HUP; setsid sleep 1000 & exec sleep 1000", /* left behind: killed */
        };

        for (size_t i = 0; i < ARRAY_SIZE(scripts) * 2; i++) {
                Options o = { .tty = i % 2 };
                Client c = start(SH(scripts[i / 2]), &o);
                char path[128], events[64] = "";
                CLEANUP_CLOSE int fd = -EBADF;
                uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;

                wait_started(&c);
                (void) snprintf(path, sizeof(path),
                                "/sys/fs/cgroup/unified/%s/ctr/exec-%u/cgroup.events",
                                fixture.cgroup, c.number);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0) {
                        (void) snprintf(path, sizeof(path),
                                        "/sys/fs/cgroup/%s/ctr/exec-%u/cgroup.events",
                                        fixture.cgroup, c.number);
                        fd = open(path, O_RDONLY | O_CLOEXEC);
                }
                assert_true(fd >= 0);
                client_close(&c);

                wait_gone(c.pid);
                for (;;) {
                        struct pollfd p = { .fd = fd, .events = POLLPRI };
                        ssize_t n = pread(fd, events, sizeof(events) - 1, 0);

                        if (n < 0 || strstr(events, "populated 0"))
                                break; /* ENODEV: removed already */
                        assert_true(now_boottime_usec() < deadline);
                        (void) poll(&p, 1, 1000);
                }
        }
}

static void test_malformed_request(void **state)
{
        Client c = start((const char *const[]){ "sleep", "1000", NULL }, NULL);

        wait_started(&c);
        assert_true(packet_send(c.control, "rubbish", 7, NULL, 0) >= 0);
        wait_gone(c.pid); /* such a client is taken for dead */
        client_close(&c);

        /* What is only unknown is ignored. */
        CLEANUP(bytes_done) Bytes out = {};
        c = start((const char *const[]){ "cat", NULL }, NULL);
        send_control(&c, "frobnicate", "x", 1, NULL, 0);
        finish(&c, NULL, &out, &out);
        expect_exit(&c, "exited", 0);
}

/* A client that talks until the last moment still reads the end. */
static void test_late_requests(void **state)
{
        for (unsigned i = 0; i < 100; i++) {
                CLEANUP(bytes_done) Bytes out = {};
                Client c = start((const char *const[]){ "true", NULL }, &(Options){ .tty = true });
                struct pollfd p = { .fd = c.stdio[0], .events = 0 };
                const char request[] = "v=1\0type=resize\0rows=5\0cols=5";
                ssize_t n;

                do /* until the terminal is hung up or the shim takes no more */
                        n = send(c.control, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
                while (n > 0 || (errno == EAGAIN && poll(&p, 1, 0) == 0));
                finish(&c, NULL, &out, &out);
                expect_exit(&c, "exited", 0);
        }
}

static uint32_t count_sessions(sd_bus *bus)
{
        uint32_t n = UINT32_MAX;

        assert_true(sd_bus_get_property_trivial(bus, fixture.bus_name, TANK_SHIM_PATH,
                                    TANK_SHIM_INTERFACE, "Sessions", NULL, 'u', &n) >= 0);
        return n;
}

static void test_limit(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *const argv[] = { "cat", NULL };
        static Client clients[LIMIT_SESSIONS];
        Client one_more;

        for (unsigned i = 0; i < LIMIT_SESSIONS; i++) {
                clients[i] = start(argv, &(Options){ .tty = i % 2 });
                wait_started(&clients[i]);
        }
        assert_int_equal(count_sessions(bus), LIMIT_SESSIONS);
        assert_true(call_exec(bus, argv, &(Options){}, &one_more, &error) < 0);
        assert_string_equal(error.name, TANK_ERROR_LIMIT_EXCEEDED);

        for (unsigned i = 0; i < LIMIT_SESSIONS; i++)
                client_close(&clients[i]);
        for (unsigned i = 0; i < LIMIT_SESSIONS; i++)
                wait_gone(clients[i].pid);
        expect_output((const char *const[]){ "true", NULL }, NULL, "");
}

static void expect_refused(const char *const *argv, const Options *o, const char *name)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Client c;

        assert_true(call_exec(bus, argv, o, &c, &error) < 0);
        assert_string_equal(error.name, name);
}

static void test_refused(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *const ok[] = { "true", NULL };
        CLEANUP_FREE char *big = malloc(LIMIT_ARGV_ENV_MAX + 2);

        expect_refused((const char *const[]){ NULL }, &(Options){}, TANK_ERROR_INVALID_ARGUMENT);
        expect_refused((const char *const[]){ "", NULL }, &(Options){},
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused(ok, &(Options){ .env = (const char *const[]){ "NOVALUE", NULL } },
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused(ok, &(Options){ .env = (const char *const[]){ "=x", NULL } },
                        TANK_ERROR_INVALID_ARGUMENT);
        expect_refused(ok, &(Options){ .working_dir = "tmp" }, TANK_ERROR_INVALID_ARGUMENT);
        memset(big, 'x', LIMIT_ARGV_ENV_MAX + 1);
        big[LIMIT_ARGV_ENV_MAX + 1] = '\0';
        expect_refused((const char *const[]){ "true", big, NULL }, &(Options){},
                        TANK_ERROR_TOO_LARGE);

        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Exec", &error, NULL, "aayaaya{sv}", 1, 1, 'x', 0, 1, "detach",
                                    "b", 1) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
        sd_bus_error_free(&error);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Exec", &error, NULL, "aayaaya{sv}", 1, 3, 'x', 0, 'y', 0,
                                    0) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
        sd_bus_error_free(&error);
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Kill", &error, NULL, "i", 65) < 0);
        assert_string_equal(error.name, TANK_ERROR_INVALID_ARGUMENT);
}

static void test_nobody_may_not(void **state)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus *bus = NULL;
                int r;

                if (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                                setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
                                sd_bus_open_system(&bus) < 0)
                        _exit(2);
                /* By the bus policy, and where that lets it through by the shim, which looks at
                 * the caller before the arguments. */
                r = sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                "Exec", &error, NULL, "aayaaya{sv}", 0, 0, 0);
                _exit(r < 0 && (streq_ptr(error.name, TANK_ERROR_ACCESS_DENIED) ||
                                               streq_ptr(error.name, SD_BUS_ERROR_ACCESS_DENIED))
                                                ? 0
                                                : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

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

/* A session is descriptors: the bus may die and come back, and the session works on. */
static void test_bus_dies(void **state)
{
        CLEANUP(bytes_done) Bytes out = {};
        Bytes input = { (char *) "still here\n", 11 };
        Client c = start(SH("cat; exit 5"), NULL);

        wait_started(&c);
        private_bus_kill(&fixture.bus);
        finish(&c, &input, &out, &out);
        expect_exit(&c, "exited", 5);
        assert_string_equal(out.data, "still here\n");

        assert_int_equal(private_bus_start(&fixture.bus), 0);
        shim_fixture_wait_for_name(&fixture);
        expect_output(SH("echo again"), NULL, "again\n");
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
                while (c.kind[0] == '\0') {
                        struct pollfd p = { .fd = c.control, .events = POLLIN };

                        assert_int_equal(poll(&p, 1, 20000), 1);
                        assert_int_equal(read_control(&c), 1);
                }
                took[i] = now_boottime_usec() - begin;
                client_close(&c);
        }
        qsort(took, ARRAY_SIZE(took), sizeof(took[0]), compare_u64);
        print_message("# exec of true: p50 %" PRIu64 " us, p95 %" PRIu64 " us\n",
                        took[ARRAY_SIZE(took) / 2], took[ARRAY_SIZE(took) * 95 / 100]);
}

/* The last of this container: it ends under its sessions. */
static void test_container_ends(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = open_bus();
        CLEANUP(bytes_done) Bytes out = {};
        CLEANUP_FREE char *kind = NULL;
        Client a = start((const char *const[]){ "cat", NULL }, NULL);
        Client b = start((const char *const[]){ "cat", NULL }, &(Options){ .tty = true });
        Client gone = start(SH("trap '' HUP; while :; do sleep 1000; done"), NULL);

        wait_started(&a);
        wait_started(&b);
        wait_started(&gone);
        client_close(&gone); /* in its grace when the end comes */
        assert_true(sd_bus_call_method(bus, fixture.bus_name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                    "Kill", NULL, NULL, "i", SIGKILL) >= 0);

        kind = shim_fixture_wait_for_state(&fixture, "exited", "result.kind");
        assert_string_equal(kind, "signaled");
        finish(&a, NULL, &out, &out);
        expect_exit(&a, "signaled", SIGKILL);
        finish(&b, NULL, &out, &out);
        assert_string_equal(b.kind, "signaled"); /* SIGKILL, or SIGHUP of its terminal */

        assert_int_equal(waitpid(fixture.shim, NULL, 0), fixture.shim);
        fixture.shim = 0;
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
                test_client_dies(state);
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
                cmocka_unit_test(test_window_size),
                cmocka_unit_test(test_resize),
                cmocka_unit_test(test_terminal_is_theirs),
                cmocka_unit_test(test_terminal_group_signal),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_user_and_directory),
                cmocka_unit_test(test_nothing_leaks),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_cgroup),
                cmocka_unit_test(test_client_dies),
                cmocka_unit_test(test_malformed_request),
                cmocka_unit_test(test_late_requests),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_nobody_may_not),
                cmocka_unit_test(test_properties),
                cmocka_unit_test(test_bus_dies),
                cmocka_unit_test(test_latency),
                cmocka_unit_test(test_container_ends),
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
