/* SPDX-License-Identifier: Apache-2.0 */

/* tankctl's end of an exec session, against real pipes, sockets and terminals: the test has the
 * shim's ends. session_run() runs in a child whose standard streams are the test's, too. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "clock.h"
#include "ctl-session.h"
#include "fd.h"
#include "limit.h"
#include "record.h"

#define PATIENCE_MSEC 60000
#define LOST          99

typedef struct Client {
        pid_t pid;
        int control;    /* the shim's end */
        int program[3]; /* the program's stdin, stdout, stderr; [0] is the slave with a terminal */
        int local[3];   /* the other ends of the client's own standard streams */
} Client;

/* ---- making one ---------------------------------------------------------------------------- */

static void make_pipe(int *ret_read, int *ret_write)
{
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        *ret_read = fds[0];
        *ret_write = fds[1];
}

static _Noreturn void run_client(
                int control, int *stdio, size_t n, bool interactive, const int *local)
{
        const SessionOptions options = {
                .mode = SESSION_RUNS,
                .interactive = interactive,
        };
        SessionEnd end = {};
        int r;

        /* What the test's framework catches is no client's. */
        for (int signo = 1; signo < SIGRTMIN; signo++)
                if (signo != SIGPIPE)
                        (void) signal(signo, SIG_DFL);
        for (int i = 0; i < 3; i++)
                if (dup2(local[i], i) < 0)
                        _exit(98);
        r = session_run(control, stdio, n, &options, &end);
        if (r < 0)
                _exit(97);
        if (end.local_signal)
                _exit(128 + end.local_signal);
        _exit(!end.known ? LOST : end.write_error ? 96 : end.code);
}

/* @local: the client's standard streams, closed here; @n is 3, or 1 with a terminal. */
static void start(Client *c, size_t n, bool interactive, int *local)
{
        int control[2], stdio[3];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        if (n == 1) {
                assert_int_equal(openpty(&stdio[0], &c->program[0], NULL, NULL, NULL), 0);
                c->program[1] = c->program[2] = -EBADF;
        } else {
                make_pipe(&c->program[0], &stdio[0]);
                make_pipe(&stdio[1], &c->program[1]);
                make_pipe(&stdio[2], &c->program[2]);
        }
        c->pid = fork();
        assert_true(c->pid >= 0);
        if (c->pid == 0) {
                /* What the test has open would keep pipes from ending. */
                close(control[0]);
                for (int i = 0; i < 3; i++) {
                        (void) safe_close(c->program[i]);
                        (void) safe_close(c->local[i]);
                }
                run_client(control[1], stdio, n, interactive, local);
        }
        c->control = control[0];
        close(control[1]);
        for (size_t i = 0; i < n; i++)
                close(stdio[i]);
        for (int i = 0; i < 3; i++)
                close(local[i]);
}

static void start_pipes(Client *c, bool interactive)
{
        int local[3];

        make_pipe(&local[0], &c->local[0]);
        make_pipe(&c->local[1], &local[1]);
        make_pipe(&c->local[2], &local[2]);
        start(c, 3, interactive, local);
}

static void send_exit(Client *c, const char *kind, unsigned code)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", "exit");
        record_put(&w, "kind", kind);
        record_put_u64(&w, "code", code);
        assert_int_equal(record_finish(&w), 0);
        assert_int_equal(packet_send(c->control, w.data, w.size, NULL, 0), 0);
}

/* The exit code; the client is killed, and the test fails, when it does not end. */
static int finish(Client *c)
{
        struct pollfd p = { .events = POLLIN };
        int status;

        p.fd = (int) syscall(SYS_pidfd_open, c->pid, 0);
        assert_true(p.fd >= 0);
        if (poll(&p, 1, PATIENCE_MSEC) != 1) {
                kill(c->pid, SIGKILL);
                waitpid(c->pid, NULL, 0);
                fail_msg("the client does not end");
        }
        close(p.fd);
        assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
        (void) safe_close(c->control);
        for (int i = 0; i < 3; i++) {
                (void) safe_close(c->program[i]);
                (void) safe_close(c->local[i]);
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Waits for the next record of the client of that type. */
static uint64_t expect_record(Client *c, const char *type, const char *key)
{
        static char buffer[LIMIT_CHANNEL_MESSAGE];

        for (;;) {
                struct pollfd p = { .fd = c->control, .events = POLLIN };
                uint64_t value = 0;
                Record r;
                size_t n_fds;
                ssize_t n;

                assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
                n = packet_recv(c->control, buffer, sizeof(buffer), NULL, 0, &n_fds);
                assert_true(n > 0);
                assert_int_equal(record_parse(buffer, (size_t) n, 1, &r), 0);
                if (!streq(record_get(&r, "type"), type))
                        continue;
                assert_int_equal(record_get_u64(&r, key, &value), 0);
                return value;
        }
}

/* ---- helpers that run beside --------------------------------------------------------------- */

/* What a helper has open beside its own would keep other streams from ending. */
static void only_keep(int fd)
{
        if (fd > 3)
                (void) close_range(3, (unsigned) fd - 1, 0);
        (void) close_range((unsigned) fd + 1, ~0U, 0);
}

/* A process that writes @size pseudo-random bytes to @fd in pieces of @piece; closes its end. */
static pid_t writer(int fd, size_t size, size_t piece)
{
        pid_t pid = fork();
        uint32_t x = 1;

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void) signal(SIGPIPE, SIG_DFL);
        only_keep(fd);
        while (size > 0) {
                unsigned char buffer[65536];
                size_t n = MIN(MIN(size, piece), sizeof(buffer));

                for (size_t i = 0; i < n; i++) {
                        x = x * 1664525 + 1013904223;
                        buffer[i] = (unsigned char) (x >> 24);
                }
                if (write_full(fd, buffer, n) < 0)
                        _exit(1);
                size -= n;
        }
        _exit(0);
}

/* Reads @fd to its end in pieces of @piece and compares; returns how many bytes there were. */
static size_t compare(int fd, size_t piece)
{
        uint32_t x = 1;
        size_t total = 0;

        for (;;) {
                unsigned char buffer[65536];
                ssize_t n = read(fd, buffer, MIN(piece, sizeof(buffer)));

                assert_true(n >= 0);
                if (n == 0)
                        return total;
                for (ssize_t i = 0; i < n; i++) {
                        x = x * 1664525 + 1013904223;
                        if (buffer[i] != (unsigned char) (x >> 24))
                                fail_msg("byte %zu differs", total + (size_t) i);
                }
                total += (size_t) n;
        }
}

/* The same in a process of its own, which exits with 0 when there were @size bytes. */
static pid_t comparer(int fd, size_t piece, size_t size)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        only_keep(fd);
        _exit(compare(fd, piece) == size ? 0 : 1);
}

static void close_program(Client *c, int i)
{
        c->program[i] = safe_close(c->program[i]);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void expect_success(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_output_is_exact(void **state)
{
        size_t size = 20U * 1024 * 1024 + 7;
        Client c = { .control = -EBADF };
        pid_t out, err, readers[2];

        start_pipes(&c, false);
        out = writer(c.program[1], size, 4999);
        err = writer(c.program[2], 100003, 1);
        close_program(&c, 1);
        close_program(&c, 2);
        assert_int_equal(compare(c.program[0], 1), 0); /* without -i: at its end at once */
        readers[0] = comparer(c.local[1], 65536, size);
        readers[1] = comparer(c.local[2], 1, 100003);
        c.local[1] = safe_close(c.local[1]);
        c.local[2] = safe_close(c.local[2]);
        expect_success(out);
        expect_success(err);
        send_exit(&c, "exited", 7); /* earlier than the last bytes are read */
        assert_int_equal(finish(&c), 7);
        expect_success(readers[0]);
        expect_success(readers[1]);
}

static void output_to_file(int flags)
{
        char path[] = "/tmp/test-session-XXXXXX";
        int local[3], fd = mkostemp(path, flags | O_CLOEXEC);
        Client c = { .control = -EBADF };
        pid_t out;

        assert_true(fd >= 0);
        assert_int_equal(unlink(path), 0);
        make_pipe(&local[0], &c.local[0]);
        local[1] = dup(fd);
        make_pipe(&c.local[2], &local[2]);
        c.local[1] = -EBADF;
        start(&c, 3, false, local);
        out = writer(c.program[1], 3000001, 70001);
        close_program(&c, 1);
        close_program(&c, 2);
        assert_int_equal(waitpid(out, NULL, 0), out);
        send_exit(&c, "exited", 0);
        assert_int_equal(finish(&c), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(compare(fd, 65536), 3000001);
        close(fd);
}

static void test_output_to_files(void **state)
{
        output_to_file(0);
        output_to_file(O_APPEND);
}

static void test_full_device(void **state)
{
        Client c = { .control = -EBADF };
        int local[3];

        make_pipe(&local[0], &c.local[0]);
        local[1] = open("/dev/full", O_WRONLY | O_CLOEXEC);
        make_pipe(&c.local[2], &local[2]);
        c.local[1] = -EBADF;
        start(&c, 3, false, local);
        assert_int_equal(write(c.program[1], "x", 1), 1);
        close_program(&c, 1);
        close_program(&c, 2);
        /* Its reader is gone, so the write was seen; only then is the end told. */
        send_exit(&c, "exited", 0);
        assert_int_equal(finish(&c), 96);
}

static void test_input_is_exact(void **state)
{
        size_t size = 2U * 1024 * 1024 + 3;
        Client c = { .control = -EBADF };
        pid_t in;

        start_pipes(&c, true);
        in = writer(c.local[0], size, 8191);
        c.local[0] = safe_close(c.local[0]);
        assert_int_equal(compare(c.program[0], 1), size);
        send_exit(&c, "exited", 0);
        close_program(&c, 1);
        close_program(&c, 2);
        assert_int_equal(finish(&c), 0);
        assert_int_equal(waitpid(in, NULL, 0), in);
}

static void test_program_stops_reading(void **state)
{
        Client c = { .control = -EBADF };
        pid_t in;

        start_pipes(&c, true);
        close_program(&c, 0);
        in = writer(c.local[0], 10U * 1024 * 1024, 65536);
        send_exit(&c, "exited", 3);
        close_program(&c, 1);
        close_program(&c, 2);
        c.local[0] = safe_close(c.local[0]);
        assert_int_equal(finish(&c), 3);
        assert_int_equal(waitpid(in, NULL, 0), in);
}

static void test_reader_leaves(void **state)
{
        Client c = { .control = -EBADF };
        int status;
        pid_t out;

        start_pipes(&c, false);
        c.local[1] = safe_close(c.local[1]);
        out = writer(c.program[1], 10U * 1024 * 1024, 65536);
        close_program(&c, 1);
        assert_int_equal(waitpid(out, &status, 0), out);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
        send_exit(&c, "signaled", SIGPIPE);
        close_program(&c, 2);
        assert_int_equal(finish(&c), SIGPIPE);
}

/* A child of the program holds the pipes open: the end comes 100 ms after the last byte. */
static void test_drain(void **state)
{
        Client c = { .control = -EBADF };
        char buffer[16];
        uint64_t begin, end;

        start_pipes(&c, false);
        assert_int_equal(write(c.program[1], "tail", 4), 4);
        begin = now_boottime_usec();
        send_exit(&c, "exited", 5);
        assert_int_equal(read(c.local[1], buffer, sizeof(buffer)), 4);
        assert_int_equal(read(c.local[1], buffer, sizeof(buffer)), 0); /* the client is gone */
        end = now_boottime_usec();
        assert_true(end - begin >= 90 * USEC_PER_MSEC);
        assert_int_equal(finish(&c), 5);
}

static void stop_for(pid_t pid, uint64_t usec)
{
        int status;

        assert_int_equal(kill(pid, SIGSTOP), 0);
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
        (void) usleep((useconds_t) usec);
        assert_int_equal(kill(pid, SIGCONT), 0);
}

/* A time in which the client stood still is no silence either: what comes right behind it is read.
 * -EAGAIN: we stood still ourselves, which shows nothing. */
static int standstill(void)
{
        Client c = { .control = -EBADF };
        char buffer[16];
        uint64_t begin, waited;
        ssize_t n;

        start_pipes(&c, false);
        send_exit(&c, "exited", 5);
        begin = now_boottime_usec();
        assert_int_equal(write(c.program[1], "tail", 4), 4);
        assert_int_equal(read(c.local[1], buffer, sizeof(buffer)), 4);
        waited = now_boottime_usec() - begin;
        stop_for(c.pid, 300 * USEC_PER_MSEC);
        begin = now_boottime_usec();
        (void) usleep(10 * USEC_PER_MSEC);
        n = write(c.program[1], "late", 4);
        waited += now_boottime_usec() - begin;
        if (n == 4)
                n = read(c.local[1], buffer, sizeof(buffer));
        assert_int_equal(finish(&c), 5);
        return n == 4 ? 0 : waited < 80 * USEC_PER_MSEC ? -EPIPE : -EAGAIN;
}

static void test_standstill(void **state)
{
        int r = -EAGAIN;

        for (int i = 0; r == -EAGAIN && i < 100; i++)
                r = standstill();
        assert_int_equal(r, 0);
}

/* Our own slow reader is no silence. */
static void test_slow_reader(void **state)
{
        size_t size = 100000;
        Client c = { .control = -EBADF };
        struct pollfd p;

        start_pipes(&c, false);
        /* More than one pipe holds, not more than two do. */
        expect_success(writer(c.program[1], size, 65536));
        send_exit(&c, "exited", 0);
        /* The client is still there long after 100 ms of waiting. */
        p.fd = (int) syscall(SYS_pidfd_open, c.pid, 0);
        p.events = POLLIN;
        assert_int_equal(poll(&p, 1, 400), 0);
        close(p.fd);
        assert_int_equal(compare(c.local[1], 4096), size);
        assert_int_equal(finish(&c), 0);
}

static void test_lost(void **state)
{
        Client c = { .control = -EBADF };

        start_pipes(&c, false);
        c.control = safe_close(c.control);
        close_program(&c, 1);
        close_program(&c, 2);
        assert_int_equal(finish(&c), LOST);
}

static void test_signals(void **state)
{
        Client c = { .control = -EBADF };
        char byte;

        start_pipes(&c, true);
        /* A byte that went through tells that the client is in its loop. */
        assert_int_equal(write(c.local[0], "x", 1), 1);
        assert_int_equal(read(c.program[0], &byte, 1), 1);
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        assert_int_equal(expect_record(&c, "signal", "signal"), SIGTERM);
        assert_int_equal(kill(c.pid, SIGINT), 0);
        assert_int_equal(expect_record(&c, "signal", "signal"), SIGINT);
        assert_int_equal(kill(c.pid, SIGHUP), 0);
        assert_int_equal(finish(&c), 128 + SIGHUP);
}

/* A shim that closes without having read all that we sent: its last word counts all the same. */
static void test_reset(void **state)
{
        Client c = { .control = -EBADF };
        struct pollfd p = { .events = POLLIN };
        char byte;

        start_pipes(&c, true);
        assert_int_equal(write(c.local[0], "x", 1), 1);
        assert_int_equal(read(c.program[0], &byte, 1), 1);
        assert_int_equal(kill(c.pid, SIGTERM), 0);
        p.fd = c.control;
        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        /* Stopped, so that it finds both at once. */
        assert_int_equal(kill(c.pid, SIGSTOP), 0);
        send_exit(&c, "exited", 11);
        c.control = safe_close(c.control);
        assert_int_equal(kill(c.pid, SIGCONT), 0);
        close_program(&c, 1);
        close_program(&c, 2);
        assert_int_equal(finish(&c), 11);
}

static bool is_raw(int fd)
{
        struct termios t;

        assert_int_equal(tcgetattr(fd, &t), 0);
        return !(t.c_lflag & (ICANON | ECHO | ISIG)) && !(t.c_oflag & OPOST);
}

static bool has_size(const Client *c, unsigned rows, unsigned columns)
{
        struct winsize size;

        assert_int_equal(ioctl(c->program[0], TIOCGWINSZ, &size), 0);
        return size.ws_row == rows && size.ws_col == columns;
}

static void expect_size(const Client *c, unsigned rows, unsigned columns)
{
        uint64_t deadline = now_boottime_usec() + PATIENCE_MSEC * USEC_PER_MSEC;

        while (!has_size(c, rows, columns)) {
                assert_true(now_boottime_usec() < deadline);
                (void) usleep(USEC_PER_MSEC);
        }
}

/* Both ends are terminals: the local one is raw meanwhile, sizes and bytes go through. */
static void terminal(int signo)
{
        struct winsize size = { .ws_row = 33, .ws_col = 101 };
        struct termios raw;
        Client c = { .control = -EBADF };
        char buffer[64];
        int master, slave, local[3];
        ssize_t n;

        assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
        (void) fcntl(master, F_SETFD, FD_CLOEXEC);
        for (int i = 0; i < 3; i++) {
                local[i] = dup(slave);
                c.local[i] = -EBADF;
        }
        assert_false(is_raw(slave));
        start(&c, 1, true, local);
        /* The program's terminal as it is, without echo and translation. */
        assert_int_equal(tcgetattr(c.program[0], &raw), 0);
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(c.program[0], TCSANOW, &raw), 0);
        expect_size(&c, 33, 101);
        assert_true(is_raw(slave));
        assert_int_equal(write(master, "\003\032a", 3), 3); /* Ctrl-C and Ctrl-Z are bytes now */
        for (size_t total = 0; total < 3; total += (size_t) n) {
                n = read(c.program[0], buffer + total, 3 - total);
                assert_true(n > 0);
        }
        assert_memory_equal(buffer, "\003\032a", 3);
        assert_int_equal(write(c.program[0], "out\r\n", 5), 5);
        for (size_t total = 0; total < 5; total += (size_t) n) {
                n = read(master, buffer + total, 5 - total);
                assert_true(n > 0);
        }
        assert_memory_equal(buffer, "out\r\n", 5);
        /* A size is there before what is typed behind it. */
        for (size.ws_row = 44; size.ws_row < 144; size.ws_row++) {
                assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
                assert_int_equal(kill(c.pid, SIGWINCH), 0);
                assert_int_equal(write(master, "x", 1), 1);
                assert_int_equal(read(c.program[0], buffer, 1), 1);
                assert_true(has_size(&c, size.ws_row, 101));
        }
        if (signo) {
                assert_int_equal(kill(c.pid, signo), 0);
                assert_int_equal(finish(&c), signo == SIGHUP ? 128 + SIGHUP : -signo);
        } else {
                send_exit(&c, "exited", 9);
                close_program(&c, 0);
                assert_int_equal(finish(&c), 9);
        }
        assert_false(is_raw(slave));
        close(master);
        close(slave);
}

static void test_terminal(void **state)
{
        terminal(0);
        terminal(SIGHUP);
        terminal(SIGSEGV);
}

static void expect_end_of_text(const Client *c)
{
        struct pollfd p = { .fd = c->program[0], .events = POLLIN };
        char buffer[64];

        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
        assert_int_equal(read(c->program[0], buffer, sizeof(buffer)), 0);
}

/* Input that is all there, and at its end, before the program reads. */
static void type_from_pipe(Client *c, const char *text)
{
        int local[3];

        make_pipe(&local[0], &c->local[0]);
        make_pipe(&c->local[1], &local[1]);
        make_pipe(&c->local[2], &local[2]);
        start(c, 1, true, local);
        assert_int_equal(write(c->local[0], text, strlen(text)), (int) strlen(text));
        c->local[0] = safe_close(c->local[0]);
}

/* A line without its end is handed over by one such character; it takes another one for the end. */
static void test_terminal_from_pipe_half_a_line(void **state)
{
        Client c = { .control = -EBADF };
        char buffer[64];

        type_from_pipe(&c, "a\nbc");
        assert_int_equal(read(c.program[0], buffer, sizeof(buffer)), 2);
        assert_int_equal(read(c.program[0], buffer, sizeof(buffer)), 2);
        expect_end_of_text(&c);
        send_exit(&c, "exited", 0);
        close_program(&c, 0);
        assert_int_equal(finish(&c), 0);
}

/* Input from a pipe into a terminal: its end is a character. */
static void test_terminal_from_pipe(void **state)
{
        Client c = { .control = -EBADF };
        char buffer[64];

        type_from_pipe(&c, "line\n");
        assert_int_equal(read(c.program[0], buffer, sizeof(buffer)), 5);
        expect_end_of_text(&c);
        send_exit(&c, "exited", 0);
        close_program(&c, 0);
        assert_int_equal(finish(&c), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_output_is_exact),
                cmocka_unit_test(test_output_to_files),
                cmocka_unit_test(test_full_device),
                cmocka_unit_test(test_input_is_exact),
                cmocka_unit_test(test_program_stops_reading),
                cmocka_unit_test(test_reader_leaves),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_standstill),
                cmocka_unit_test(test_slow_reader),
                cmocka_unit_test(test_lost),
                cmocka_unit_test(test_signals),
                cmocka_unit_test(test_reset),
                cmocka_unit_test(test_terminal),
                cmocka_unit_test(test_terminal_from_pipe),
                cmocka_unit_test(test_terminal_from_pipe_half_a_line),
        };

        (void) signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
