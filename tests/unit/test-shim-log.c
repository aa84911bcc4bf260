/* SPDX-License-Identifier: Apache-2.0 */

/* The shim's log with real pipes, files and a real loop: what was written must come back byte for
 * byte, whatever the chunks, the rotation and the restarts. */

#include <setjmp.h>
#include <stddef.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bus-util.h"
#include "fd.h"
#include "log.h"
#include "shim-log.h"

#define BIG (UINT64_C(1) << 30)

typedef struct Fixture {
        sd_event *event;
        char base[64], dir[128];
        ShimLog *log;
        int out, err; /* writing ends */
} Fixture;

static int setup(void **state)
{
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        strcpy(f->base, "/tmp/test-shim-log.XXXXXX");
        assert_non_null(mkdtemp(f->base));
        (void) snprintf(f->dir, sizeof(f->dir), "%s/log/default/web", f->base);
        f->out = f->err = -EBADF;
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        shim_log_free(f->log);
        safe_close(f->out);
        safe_close(f->err);
        sd_event_unref(f->event);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->base), 0);
        free(f);
        return 0;
}

static void open_log(Fixture *f, uint64_t max_size, unsigned max_files)
{
        assert_int_equal(
                        shim_log_new(f->event, f->dir, "app.log", max_size, max_files, &f->log), 0);
}

static void add_pipe(Fixture *f, LogStream stream, int *ret)
{
        int p[2];

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(shim_log_add_pipe(f->log, stream, p[0]), 0);
        *ret = p[1];
}

static void open_with_pipes(Fixture *f, uint64_t max_size, unsigned max_files)
{
        open_log(f, max_size, max_files);
        add_pipe(f, LOG_STREAM_OUT, &f->out);
        add_pipe(f, LOG_STREAM_ERR, &f->err);
}

static void on_done(void *userdata)
{
        (*(unsigned *) userdata)++;
}

/* Ends the log as the shim does and closes it. */
static void finish(Fixture *f)
{
        unsigned done = 0;

        assert_true(shim_log_finish(f->log, on_done, &done) >= 0);
        while (done == 0)
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        assert_int_equal(done, 1);
        f->log = shim_log_free(f->log);
}

static void close_and_finish(Fixture *f)
{
        f->out = safe_close(f->out);
        f->err = safe_close(f->err);
        finish(f);
}

/* The writer is another process: the loop runs until it has ended. */
static void close_and_finish_after(Fixture *f, pid_t pid, int *ret_status)
{
        pid_t done;

        f->out = safe_close(f->out);
        f->err = safe_close(f->err);
        while ((done = waitpid(pid, ret_status, WNOHANG)) == 0)
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) >= 0);
        assert_int_equal(done, pid);
        finish(f);
}

/* Writes all of it, running the loop whenever the pipe is full. */
static void pour(Fixture *f, int fd, const void *data, size_t size)
{
        const char *p = data;

        assert_int_equal(fd_set_nonblock(fd, true), 0);
        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
                        continue;
                }
                p += n;
                size -= (size_t) n;
        }
}

/* ---- reading back ---- */

typedef struct Content {
        char *bytes[_LOG_STREAM_MAX];
        size_t size[_LOG_STREAM_MAX], allocated[_LOG_STREAM_MAX];
        size_t records, partial, longest;
        uint64_t first, last; /* seq */
        bool gap;
} Content;

static void content_done(Content *c)
{
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                free(c->bytes[i]);
}

static void content_add(Content *c, const LogRecord *r)
{
        char **bytes = &c->bytes[r->stream];
        size_t *size = &c->size[r->stream];

        if (*size + r->size + 1 > c->allocated[r->stream]) {
                c->allocated[r->stream] = 2 * (*size + r->size + 1);
                *bytes = realloc(*bytes, c->allocated[r->stream]);
                assert_non_null(*bytes);
        }
        memcpy(*bytes + *size, r->data, r->size);
        *size += r->size;
        if (!r->partial)
                (*bytes)[(*size)++] = '\n';

        if (c->records == 0)
                c->first = r->seq;
        else if (r->seq != c->last + 1)
                c->gap = true;
        c->last = r->seq;
        c->records++;
        c->partial += r->partial;
        c->longest = MAX(c->longest, r->size);
}

/* Appends one file; every line of it must be a record. Returns its size, -ENOENT when missing. */
static ssize_t read_log(Fixture *f, unsigned n, Content *c)
{
        CLEANUP_FREE char *data = NULL;
        char path[256];
        size_t size;
        int r;

        (void) snprintf(path, sizeof(path), n > 0 ? "%s/app.log.%u" : "%s/app.log", f->dir, n);
        r = read_file_at(AT_FDCWD, path, BIG, &data, &size);
        if (r == -ENOENT)
                return r;
        assert_int_equal(r, 0);

        for (const char *p = data, *end; p < data + size; p = end + 1) {
                LogRecord record;

                end = memchr(p, '\n', (size_t) (data + size - p));
                assert_non_null(end);
                assert_int_equal(log_parse_record(p, (size_t) (end - p), &record), 0);
                content_add(c, &record);
        }
        return (ssize_t) size;
}

static void assert_stream(const Content *c, LogStream s, const void *data, size_t size)
{
        assert_int_equal(c->size[s], size);
        if (size > 0)
                assert_memory_equal(c->bytes[s], data, size);
}

/* ---- tests ---- */

static void test_lines_across_writes(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};

        open_with_pipes(f, BIG, 2);
        pour(f, f->out, "hel", 3);
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        pour(f, f->err, "oops\n", 5);
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        pour(f, f->out, "lo\n\nworld", 9);
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        assert_int_equal(c.records, 4); /* hello, "", world without its newline; oops */
        assert_int_equal(c.partial, 1);
        assert_false(c.gap);
        assert_int_equal(c.first, 1);
        assert_stream(&c, LOG_STREAM_OUT, "hello\n\nworld", 12);
        assert_stream(&c, LOG_STREAM_ERR, "oops\n", 5);
}

static void test_modes(void **state)
{
        Fixture *f = *state;
        char path[256];
        struct stat st;
        mode_t old = umask(0);

        open_with_pipes(f, BIG, 2);
        umask(old);
        close_and_finish(f);

        assert_int_equal(stat(f->dir, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0750);
        (void) snprintf(path, sizeof(path), "%s/app.log", f->dir);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
}

static void test_long_line(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        static char data[20000];

        memset(data, 'x', sizeof(data));
        open_with_pipes(f, BIG, 2);
        pour(f, f->out, data, sizeof(data));
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        assert_int_equal(c.records, 2);
        assert_int_equal(c.partial, 2);
        assert_int_equal(c.longest, 16384);
        assert_stream(&c, LOG_STREAM_OUT, data, sizeof(data));
}

/* A line of exactly the limit is whole; its newline decides, even when it comes later. */
static void test_line_at_limit(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        static char data[LIMIT_LOG_RECORD_MAX];

        memset(data, 'y', sizeof(data));
        open_with_pipes(f, BIG, 2);
        pour(f, f->out, data, sizeof(data));
        assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        pour(f, f->out, "\n", 1);
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        assert_int_equal(c.records, 1);
        assert_int_equal(c.partial, 0);
}

static void test_carriage_return(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};

        open_with_pipes(f, BIG, 2);
        pour(f, f->out, "a\r\n\r\r\nb\r", 8);
        shim_log_feed(f->log, LOG_STREAM_TTY, "a\r", 2);
        shim_log_flush(f->log); /* the CR waits in the buffer for its newline */
        shim_log_feed(f->log, LOG_STREAM_TTY, "\n\r\r\nb\r", 6);
        shim_log_feed(f->log, LOG_STREAM_TTY, "c\r", 2);
        shim_log_end_stream(f->log, LOG_STREAM_TTY);
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        assert_stream(&c, LOG_STREAM_OUT, "a\r\n\r\r\nb\r", 8);
        assert_stream(&c, LOG_STREAM_TTY, "a\n\r\nb\rc\r", 8);
}

static void test_binary(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        char data[512];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char) (i & 0xff);
        open_with_pipes(f, BIG, 2);
        pour(f, f->out, data, sizeof(data));
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        assert_stream(&c, LOG_STREAM_OUT, data, sizeof(data));
}

static void test_rotation(void **state)
{
        Fixture *f = *state;
        char path[256];
        uint64_t first = 0;

        open_with_pipes(f, 4096, 3);
        for (unsigned i = 0; i < 1000; i++) {
                char line[32];
                int n = snprintf(line, sizeof(line), "line %u\n", i);
                pour(f, f->out, line, (size_t) n);
        }
        close_and_finish(f);

        /* The kept files continue each other, newest first; no file is above the limit. */
        for (unsigned n = 0; n < 3; n++) {
                CLEANUP(content_done) Content c = {};
                ssize_t size = read_log(f, n, &c);

                assert_in_range(size, 1, 4096);
                assert_false(c.gap);
                if (n == 0)
                        assert_int_equal(c.last, 1000);
                else {
                        assert_int_equal(c.last + 1, first);
                        assert_true(size > 4096 - 64); /* rotated no earlier than needed */
                }
                first = c.first;
        }
        (void) snprintf(path, sizeof(path), "%s/app.log.3", f->dir);
        assert_int_equal(access(path, F_OK), -1);

        /* Fewer files than before: the surplus goes. */
        open_log(f, 4096, 2);
        finish(f);
        (void) snprintf(path, sizeof(path), "%s/app.log.2", f->dir);
        assert_int_equal(access(path, F_OK), -1);
        (void) snprintf(path, sizeof(path), "%s/app.log.1", f->dir);
        assert_int_equal(access(path, F_OK), 0);
}

static void test_seq_across_reopen(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        char path[256], moved[256];
        CLEANUP_CLOSE int fd = -EBADF;

        for (unsigned i = 0; i < 3; i++) {
                open_with_pipes(f, BIG, 3);
                pour(f, f->out, "a\nb\n", 4);
                close_and_finish(f);
        }

        /* A torn record at the end, as a power cut leaves it: cut off, and nothing else. */
        (void) snprintf(path, sizeof(path), "%s/app.log", f->dir);
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, "2026-03-01T12:00:00.000000Z out F 7 tor", 39), 0);
        open_with_pipes(f, BIG, 3);
        pour(f, f->out, "c\n", 2);
        close_and_finish(f);

        /* Rotated and not yet written again: the numbers go on behind those of .1. */
        assert_true(read_log(f, 0, &c) > 0);
        (void) snprintf(moved, sizeof(moved), "%s/app.log.1", f->dir);
        assert_int_equal(rename(path, moved), 0);
        open_with_pipes(f, BIG, 3);
        pour(f, f->out, "d\n", 2);
        close_and_finish(f);
        assert_true(read_log(f, 0, &c) > 0);

        assert_int_equal(c.first, 1);
        assert_int_equal(c.last, 8);
        assert_false(c.gap);
        assert_stream(&c, LOG_STREAM_OUT, "a\nb\na\nb\na\nb\nc\nd\n", 16);
}

/* A descriptor that stays open elsewhere ends the log after the silence, with what was in it. */
static void test_held_open(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        static char data[60000];
        uint64_t start = now_boottime_usec();

        memset(data, 'z', sizeof(data));
        open_with_pipes(f, BIG, 2);
        assert_int_equal(write_full(f->out, data, sizeof(data)), 0);
        finish(f);
        assert_in_range(now_boottime_usec() - start, 100 * USEC_PER_MSEC, 5 * USEC_PER_SEC);

        assert_true(read_log(f, 0, &c) > 0);
        assert_stream(&c, LOG_STREAM_OUT, data, sizeof(data));
}

/* No space: nothing blocks, the gap shows, the file stays readable, and it goes on afterwards. */
static void test_disk_full(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        char mountpoint[128], ballast[160];
        static char line[1001];
        CLEANUP_CLOSE int fd = -EBADF;
        uint64_t dropped;

        (void) snprintf(mountpoint, sizeof(mountpoint), "%s/log", f->base);
        assert_int_equal(mkdir(mountpoint, 0700), 0);
        if (mount("tmpfs", mountpoint, "tmpfs", 0, "size=256k") < 0) {
                print_message("skipping the full disk: cannot mount: %s\n", errno_words(errno));
                skip();
        }

        memset(line, 'f', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\n';
        (void) snprintf(ballast, sizeof(ballast), "%s/ballast", mountpoint);
        fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fallocate(fd, 0, 0, 128 * 1024), 0);

        open_with_pipes(f, BIG, 2);
        for (unsigned i = 0; i < 300; i++)
                pour(f, f->out, line, sizeof(line));
        while (sd_event_run(f->event, 0) > 0)
                ;
        dropped = shim_log_dropped(f->log);
        assert_in_range(dropped, 100, 299);

        assert_int_equal(ftruncate(fd, 0), 0);
        pour(f, f->out, "again\n", 6);
        close_and_finish(f);

        assert_true(read_log(f, 0, &c) > 0);
        fd = safe_close(fd);
        assert_int_equal(umount2(mountpoint, MNT_DETACH), 0);

        assert_true(c.gap);
        assert_int_equal(c.last, 301);
        assert_int_equal(c.records, 301 - dropped);
        assert_memory_equal(c.bytes[LOG_STREAM_OUT] + c.size[LOG_STREAM_OUT] - 6, "again\n", 6);
}

/* Any bytes in any chunks on both streams, with restarts: what is read back is what was written. */
static void test_random_chunks(void **state)
{
        Fixture *f = *state;
        enum { TOTAL = 400000 };
        static char data[2][TOTAL];
        unsigned seed = (unsigned) getpid();

        print_message("seed %u\n", seed);
        for (unsigned round = 0; round < 8; round++) {
                CLEANUP(content_done) Content c = {};
                size_t n[2] = { 0, 0 };
                /* From lines of a few bytes to none at all. */
                int newline_every = 4 << (round * 2);

                for (int k = 0; k < 2; k++)
                        for (size_t i = 0; i < TOTAL; i++) {
                                char b = (char) rand_r(&seed);
                                if (b == '\n')
                                        b = 'n';
                                data[k][i] = rand_r(&seed) % newline_every == 0 ? '\n' : b;
                        }

                open_with_pipes(f, round % 2 ? BIG : 600000, 100);
                while (n[0] < TOTAL || n[1] < TOTAL) {
                        int k = rand_r(&seed) % 2;
                        size_t chunk = (size_t) (rand_r(&seed) % 4 ? rand_r(&seed) % 100
                                                                   : rand_r(&seed) % 50000);

                        chunk = MIN(chunk, TOTAL - n[k]);
                        pour(f, k ? f->err : f->out, data[k] + n[k], chunk);
                        n[k] += chunk;
                        if (rand_r(&seed) % 3 == 0)
                                (void) sd_event_run(f->event, 0);
                }
                close_and_finish(f);

                for (unsigned i = 100; i > 0; i--)
                        (void) read_log(f, i - 1, &c);
                assert_false(c.gap);
                assert_true(c.longest <= LIMIT_LOG_RECORD_MAX);
                assert_stream(&c, LOG_STREAM_OUT, data[0], TOTAL);
                assert_stream(&c, LOG_STREAM_ERR, data[1], TOTAL);
                assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
        }
}

/* As fast as another process can write; the figures are told, not judged. */
static void test_flood(void **state)
{
        Fixture *f = *state;
        CLEANUP(content_done) Content c = {};
        struct rusage before, after;
        uint64_t begin, cpu;
        char line[16];
        size_t offset = 0;
        pid_t pid;
        int status;

        open_with_pipes(f, BIG, 2);
        begin = now_boottime_usec();
        pid = fork();
        if (pid == 0) {
                (void) dup2(f->out, STDOUT_FILENO);
                (void) execlp("seq", "seq", "1", "300000", NULL);
                _exit(127);
        }
        assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
        close_and_finish_after(f, pid, &status);
        assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
        assert_int_equal(status, 0);
        cpu = (uint64_t) (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
                              before.ru_stime.tv_sec) *
                              USEC_PER_SEC +
              (uint64_t) (after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                              after.ru_stime.tv_usec - before.ru_stime.tv_usec);
        print_message("# 300000 lines: %" PRIu64 " ms, CPU of the log %" PRIu64 " ms\n",
                        (now_boottime_usec() - begin) / USEC_PER_MSEC, cpu / USEC_PER_MSEC);

        assert_true(read_log(f, 0, &c) > 0);
        assert_int_equal(c.records, 300000);
        assert_false(c.gap);
        for (unsigned i = 1; i <= 300000; i++) {
                size_t n = (size_t) snprintf(line, sizeof(line), "%u\n", i);

                assert_true(offset + n <= c.size[LOG_STREAM_OUT]);
                assert_memory_equal(c.bytes[LOG_STREAM_OUT] + offset, line, n);
                offset += n;
        }
        assert_int_equal(offset, c.size[LOG_STREAM_OUT]);
}

static int on_idle(sd_event_source *source, void *userdata)
{
        *(bool *) userdata = true;
        return 0;
}

/* The shim gives up its privileges and joins the bus when the loop is idle: output that never ends
 * must not put that off. */
static void test_idle_work_takes_turns(void **state)
{
        CLEANUP(sd_event_source_unrefp) sd_event_source *idle = NULL;
        Fixture *f = *state;
        bool ran = false;

        open_with_pipes(f, BIG, 2);
        assert_true(sd_event_add_defer(f->event, &idle, on_idle, &ran) >= 0);
        assert_true(sd_event_source_set_priority(idle, SD_EVENT_PRIORITY_IDLE) >= 0);
        for (unsigned turn = 0; turn < 10 && !ran; turn++) {
                assert_int_equal(write(f->out, "more\n", 5), 5);
                assert_true(sd_event_run(f->event, 5 * USEC_PER_SEC) > 0);
        }
        assert_true(ran);
        close_and_finish(f);
}

static void test_refused(void **state)
{
        Fixture *f = *state;
        ShimLog *log = NULL;
        char path[256];

        assert_int_equal(shim_log_new(f->event, f->dir, "a/b", BIG, 2, &log), -EINVAL);
        assert_int_equal(shim_log_new(f->event, f->dir, "", BIG, 2, &log), -EINVAL);
        assert_int_equal(shim_log_new(f->event, f->dir, "a", BIG, 1, &log), -EINVAL);
        assert_int_equal(shim_log_new(f->event, f->dir, "a", 0, 2, &log), -EINVAL);
        assert_int_equal(shim_log_new(f->event, "log/a/b", "a", BIG, 2, &log), -EINVAL);
        assert_int_equal(shim_log_new(f->event, "/b", "a", BIG, 2, &log), -EINVAL);

        /* No link is followed where the log's own name stands. */
        assert_int_equal(mkdir_p(f->dir, 0700), 0);
        (void) snprintf(path, sizeof(path), "%s/app.log", f->dir);
        assert_int_equal(symlink("/etc/passwd", path), 0);
        assert_true(shim_log_new(f->event, f->dir, "app.log", BIG, 2, &log) < 0);
        assert_null(log);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_lines_across_writes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_line_at_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(test_carriage_return, setup, teardown),
                cmocka_unit_test_setup_teardown(test_binary, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
                cmocka_unit_test_setup_teardown(test_seq_across_reopen, setup, teardown),
                cmocka_unit_test_setup_teardown(test_held_open, setup, teardown),
                cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
                cmocka_unit_test_setup_teardown(test_random_chunks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
                cmocka_unit_test_setup_teardown(test_idle_work_takes_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        };

        log_setup("test-shim-log");
        return cmocka_run_group_tests_name("shim-log", tests, NULL, NULL);
}
