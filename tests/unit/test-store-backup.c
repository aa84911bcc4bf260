/* SPDX-License-Identifier: Apache-2.0 */

/* Copies of the store: backup and restore, export and import, and what verifying finds in a
 * database whose bytes were changed. On a real database; descriptors are real sockets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store-backup.h"
#include "store-changes.h"
#include "store-compact.h"
#include "store-export.h"
#include "store-fixture.h"
#include "store-import.h"
#include "store-retention.h"
#include "store-verify.h"
#include "strv.h"

#define TIMEOUT_USEC (60 * USEC_PER_SEC)

typedef struct Told {
        bool answered;
        char error[128], message[512];
        BackupResult backup;
        ExportResult export;
        ImportResult import;
        size_t n_problems;
        char problem[512]; /* the first */
} Told;

static void tell(Told *t, const sd_bus_error *e)
{
        assert_false(t->answered);
        t->answered = true;
        if (!e)
                return;
        (void) snprintf(t->error, sizeof(t->error), "%s", e->name);
        (void) snprintf(t->message, sizeof(t->message), "%s", e->message);
}

static void on_backup(const BackupResult *r, const sd_bus_error *e, void *userdata)
{
        Told *t = userdata;

        if (r)
                t->backup = *r;
        tell(t, e);
}

static void on_export(const ExportResult *r, const sd_bus_error *e, void *userdata)
{
        Told *t = userdata;

        if (r)
                t->export = *r;
        tell(t, e);
}

static void on_import(const ImportResult *r, const sd_bus_error *e, void *userdata)
{
        Told *t = userdata;

        if (r)
                t->import = *r;
        tell(t, e);
}

static void on_verified(const Verifier *v, const sd_bus_error *e, void *userdata)
{
        Told *t = userdata;

        t->n_problems = strv_length(verifier_problems(v));
        if (t->n_problems > 0)
                (void) snprintf(t->problem, sizeof(t->problem), "%s", verifier_problems(v)[0]);
        tell(t, e);
}

/* ---- the other end of a socket ---- */

typedef struct Sink {
        char *data;
        size_t size, allocated;
} Sink;

static void sink_done(Sink *s)
{
        free(s->data);
}

/* fds[0] is the test's, and does not block; fds[1] the store's. */
static void make_pair(int fds[static 2])
{
        assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) >= 0);
        assert_true(fd_set_nonblock(fds[0], true) >= 0);
}

static void drain(int fd, Sink *s)
{
        for (;;) {
                ssize_t n;

                if (s->size + 65536 > s->allocated) {
                        s->allocated = 2 * s->allocated + 131072;
                        s->data = realloc(s->data, s->allocated);
                        assert_non_null(s->data);
                }
                n = read(fd, s->data + s->size, 65536);
                if (n <= 0)
                        return;
                s->size += (size_t) n;
        }
}

static void run_until(Fixture *f, const bool *done, int fd, Sink *s)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        while (!*done) {
                assert_true(now_boottime_usec() < deadline);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
                if (s)
                        drain(fd, s);
        }
        if (s)
                drain(fd, s);
}

static Told backup(Fixture *f, Sink *ret)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int fds[2];

        make_pair(fds);
        if (store_backup(f->store, fds[1], on_backup, &t, &e) < 0)
                tell(&t, &e);
        sd_bus_error_free(&e);
        (void) close(fds[1]);
        run_until(f, &t.answered, fds[0], ret);
        (void) close(fds[0]);
        return t;
}

static Told export_all(Fixture *f, const ExportOptions *o, Sink *ret)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int fds[2];

        make_pair(fds);
        if (store_export(f->store, fds[1], o, on_export, &t, &e) < 0)
                tell(&t, &e);
        sd_bus_error_free(&e);
        (void) close(fds[1]);
        run_until(f, &t.answered, fds[0], ret);
        (void) close(fds[0]);
        return t;
}

/* Gives all of @text to whoever reads at the other end, until nobody does any more. */
static void feed(Fixture *f, const bool *done, int fd, const char *text, size_t size)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        while (size > 0 && !*done) {
                ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

                assert_true(now_boottime_usec() < deadline);
                if (n < 0 && errno == EAGAIN)
                        assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
                else if (n < 0)
                        break;
                else {
                        text += n;
                        size -= (size_t) n;
                }
        }
}

static Told import_with(Fixture *f, const char *text, size_t size, const ImportOptions *o)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};
        int fds[2];

        make_pair(fds);
        if (store_import(f->store, fds[1], o, on_import, &t, &e) < 0)
                tell(&t, &e);
        sd_bus_error_free(&e);
        (void) close(fds[1]);
        feed(f, &t.answered, fds[0], text, size);
        (void) close(fds[0]);
        run_until(f, &t.answered, -1, NULL);
        return t;
}

static Told import_text(Fixture *f, const char *text, size_t size, bool dry_run)
{
        return import_with(f, text, size,
                        &(const ImportOptions){ .by = 7,
                                        .privileged = true,
                                        .dry_run = dry_run,
                                        .size = IMPORT_ANY_SIZE });
}

static Told verify(Fixture *f)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Told t = {};

        if (store_verify(f->store, on_verified, &t, &e) < 0)
                tell(&t, &e);
        sd_bus_error_free(&e);
        run_until(f, &t.answered, -1, NULL);
        return t;
}

/* ---- contents ---- */

/* Of everything that there can be. */
static void fill(Fixture *f, unsigned n)
{
        char text[256];

        (void) apply(f, "{\"kind\":\"namespace\",\"name\":\"prod\"}");
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(text, sizeof(text),
                                "{\"kind\":\"widget\",\"name\":\"w-%u\",\"namespace\":\"%s\",\"x\":"
                                "%u,\"labels\":{\"n\":\"%u\"}}",
                                i % 50, i % 3 ? "prod" : "default", i, i % 7);
                (void) apply(f, text);
                if (i % 11 == 0) {
                        (void) snprintf(text, sizeof(text), "w-%u", i % 50);
                        (void) delete (f, "widget", i % 3 ? "prod" : "default", text);
                }
        }
}

static void copy_dir_name(const Fixture *f, const char *name, char ret[static 256])
{
        (void) snprintf(ret, 256, "%s/%s", f->dir, name);
}

/* The body of a backup: behind the three lines of its head. */
static const char *body(const Sink *s, size_t *ret_size)
{
        const char *p = s->data;

        for (unsigned i = 0; i < 3; i++) {
                p = memchr(p, '\n', s->size - (size_t) (p - s->data));
                assert_non_null(p);
                p++;
        }
        *ret_size = s->size - (size_t) (p - s->data);
        return p;
}

/* Restores @s into a directory of its own; what store_restore() said. */
static int restore(const Fixture *f, const Sink *s, const char *dir)
{
        char path[256];
        int fd, r;

        copy_dir_name(f, "backup", path);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_true(write_full(fd, s->data, s->size) >= 0);
        (void) close(fd);
        r = store_restore(path, dir, f->logs);
        assert_int_equal(unlink(path), 0);
        return r;
}

/* ---- tests ---- */

static void test_backup_and_back(void **state)
{
        CLEANUP(sink_done) Sink first = {}, second = {};
        Fixture *f = *state, other = {};
        uint64_t revision, compacted;
        const char *a, *b;
        size_t n, m;
        Told t;

        fill(f, 300);
        revision = store_revision(f->store);
        compacted = store_compacted_revision(f->store);
        t = backup(f, &first);
        assert_string_equal(t.error, "");
        assert_int_equal(t.backup.revision, revision);
        assert_int_equal(t.backup.bytes, first.size);

        fixture_init(&other, NULL);
        assert_int_equal(restore(f, &first, other.data), 0);
        assert_int_equal(restore(f, &first, other.data), -ENOTEMPTY);
        assert_true(fixture_open(&other) >= 0);
        assert_false(store_is_degraded(other.store));
        assert_int_equal(store_revision(other.store), revision);
        assert_int_equal(store_compacted_revision(other.store), compacted);
        /* Its revisions may come to mean something else: it is another one. */
        assert_string_not_equal(store_database_id(other.store), store_database_id(f->store));
        assert_string_equal(backup(&other, &second).error, "");
        a = body(&first, &n);
        b = body(&second, &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        t = verify(&other);
        assert_string_equal(t.problem, "");
        assert_string_equal(apply(&other, "{\"kind\":\"widget\",\"name\":\"new\"}").error, "");
        fixture_done(&other);
}

/* Writes go on while the copy is made; it shows the moment at which it began. */
static void test_backup_while_writing(void **state)
{
        CLEANUP(sink_done) Sink s = {};
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state, other = {};
        uint64_t revision, deadline = now_boottime_usec() + TIMEOUT_USEC;
        unsigned written = 0;
        Told t = {};
        int fds[2];

        fill(f, 1500);
        revision = store_revision(f->store);
        make_pair(fds);
        assert_true(store_backup(f->store, fds[1], on_backup, &t, &e) >= 0);
        (void) close(fds[1]);
        while (!t.answered) {
                char text[128];

                assert_true(now_boottime_usec() < deadline);
                (void) snprintf(text, sizeof(text),
                                "{\"kind\":\"widget\",\"name\":\"w-%u\",\"while\":%u}",
                                written % 50, written);
                assert_string_equal(apply(f, text).error, "");
                written++;
                for (unsigned i = 0; i < 4; i++)
                        assert_true(sd_event_run(f->event, USEC_PER_MSEC) >= 0);
                if (written % 2 == 0)
                        drain(fds[0], &s);
        }
        drain(fds[0], &s);
        (void) close(fds[0]);
        assert_string_equal(t.error, "");
        assert_true(written > 3);

        fixture_init(&other, NULL);
        assert_int_equal(restore(f, &s, other.data), 0);
        assert_true(fixture_open(&other) >= 0);
        assert_int_equal(store_revision(other.store), revision);
        assert_string_equal(verify(&other).problem, "");
        fixture_done(&other);
}

static int in_memory(Fixture *f)
{
        const StoreOptions o = {};

        return store_open(f->event, &o, &f->store);
}

static void test_from_memory(void **state)
{
        CLEANUP(sink_done) Sink s = {};
        Fixture *f = *state, other = {};

        fixture_init(&other, NULL);
        assert_true(in_memory(&other) >= 0);
        (void) apply(&other, "{\"kind\":\"widget\",\"name\":\"a\"}");
        assert_string_equal(verify(&other).problem, "");
        assert_string_equal(backup(&other, &s).error, "");
        fixture_done(&other);

        fixture_init(&other, NULL);
        assert_int_equal(restore(f, &s, other.data), 0);
        assert_true(fixture_open(&other) >= 0);
        assert_int_equal(store_revision(other.store), 2);
        fixture_done(&other);
}

/* Cut anywhere, changed anywhere: refused, and nothing is there. */
static void test_damaged_backup(void **state)
{
        CLEANUP(sink_done) Sink s = {};
        Fixture *f = *state;
        char dir[256], path[300];
        unsigned seed = (unsigned) now_boottime_usec();

        print_message("seed %u\n", seed);
        fill(f, 20);
        assert_string_equal(backup(f, &s).error, "");
        copy_dir_name(f, "restored", dir);
        (void) snprintf(path, sizeof(path), "%s/db", dir);
        for (unsigned i = 0; i < 30; i++) {
                size_t at = (size_t) rand_r(&seed) % s.size, size = s.size;
                char byte = s.data[at];

                if (i % 3 == 0)
                        s.size = at;
                else
                        s.data[at] = (char) (byte ^ (1 << (rand_r(&seed) % 8)));
                assert_true(restore(f, &s, dir) < 0);
                assert_int_equal(access(path, F_OK), -1);
                s.size = size;
                s.data[at] = byte;
        }
        assert_int_equal(restore(f, &s, dir), 0);
        assert_int_equal(access(path, F_OK), 0);
}

static void test_nobody_reads(void **state)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        Told t = {};
        int fds[2];

        fill(f, 50);
        make_pair(fds);
        assert_true(store_backup(f->store, fds[1], on_backup, &t, &e) >= 0);
        (void) close(fds[1]);
        (void) close(fds[0]);
        run_until(f, &t.answered, -1, NULL);
        assert_string_not_equal(t.error, "");
        t = (Told){};
        assert_true(store_backup(f->store, -1, on_backup, &t, &e) < 0);
        sd_bus_error_free(&e);
        assert_true(store_backup(f->store, STDIN_FILENO + 1000, on_backup, &t, &e) < 0);
        sd_bus_error_free(&e);
        /* The store ends while nobody reads. */
        make_pair(fds);
        assert_true(store_backup(f->store, fds[1], on_backup, &t, &e) >= 0);
        fixture_close(f);
        assert_string_equal(t.error, TANK_ERROR_UNAVAILABLE);
        (void) close(fds[1]);
        (void) close(fds[0]);
        assert_true(fixture_open(f) >= 0);
}

/* Whatever can make a write or a read wait, or close() itself, is refused, and no flag of it is
 * touched. */
static void test_sockets_only(void **state)
{
        const ImportOptions o = { .size = IMPORT_ANY_SIZE };
        Fixture *f = *state;
        int pipes[2], packets[2], fds[7];
        size_t n = 0;

        assert_true(pipe2(pipes, O_CLOEXEC) >= 0);
        assert_true(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) >= 0);
        fds[n++] = pipes[0];
        fds[n++] = pipes[1];
        fds[n++] = packets[0];
        fds[n++] = packets[1];
        fds[n++] = memfd_create("test", MFD_CLOEXEC);
        fds[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
        fds[n++] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        for (size_t i = 0; i < n; i++) {
                sd_bus_error e[3] = {};
                int flags = fcntl(fds[i], F_GETFL);
                Told t = {};

                assert_true(fds[i] >= 0);
                assert_int_equal(store_backup(f->store, fds[i], on_backup, &t, &e[0]), -EINVAL);
                assert_int_equal(store_export(f->store, fds[i], &(const ExportOptions){}, on_export,
                                                 &t, &e[1]),
                                -EINVAL);
                assert_int_equal(store_import(f->store, fds[i], &o, on_import, &t, &e[2]), -EINVAL);
                for (size_t k = 0; k < ARRAY_SIZE(e); k++) {
                        assert_string_equal(e[k].name, TANK_ERROR_INVALID_ARGUMENT);
                        assert_non_null(strstr(e[k].message, "one end of a socketpair"));
                        sd_bus_error_free(&e[k]);
                }
                assert_int_equal(fcntl(fds[i], F_GETFL), flags);
                (void) close(fds[i]);
        }
}

/* Its owner may have it blocking: the store waits for nobody, writes meanwhile go on, and the copy
 * is whole when somebody reads at last. */
static void test_blocking_socket(void **state)
{
        CLEANUP(sink_done) Sink s = {};
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Fixture *f = *state;
        Told t = {};
        int fds[2];

        fill(f, 1500);
        make_pair(fds);
        assert_true(store_backup(f->store, fds[1], on_backup, &t, &e) >= 0);
        for (unsigned i = 0; i < 100; i++) {
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
                assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
        }
        assert_false(t.answered);
        assert_string_equal(apply(f, "{\"kind\":\"widget\",\"name\":\"new\"}").error, "");
        (void) close(fds[1]);
        run_until(f, &t.answered, fds[0], &s);
        (void) close(fds[0]);
        assert_string_equal(t.error, "");
        assert_int_equal(t.backup.bytes, s.size);
}

static void test_export_and_import(void **state)
{
        CLEANUP(sink_done) Sink first = {}, second = {}, some = {};
        Fixture *f = *state, other = {};
        Told t;

        fill(f, 200);
        t = export_all(f, &(const ExportOptions){}, &first);
        assert_string_equal(t.error, "");
        assert_int_equal(t.export.revision, store_revision(f->store));
        assert_true(t.export.count > 50);
        /* Namespaces come first, whatever else is called. */
        assert_non_null(memmem(first.data, 40, "\"kind\":\"namespace\"", 18));

        fixture_init(&other, NULL);
        assert_true(fixture_open(&other) >= 0);
        t = import_text(&other, first.data, first.size, true);
        if (*t.error)
                print_message("%s\n", t.message);
        assert_string_equal(t.error, "");
        assert_int_equal(store_revision(other.store), 1);
        assert_int_equal(t.import.created,
                        export_all(f, &(const ExportOptions){}, &second).export.count - 2);
        t = import_text(&other, first.data, first.size, false);
        assert_string_equal(t.error, "");
        assert_int_equal(t.import.unchanged, 2); /* default and system */
        t = import_text(&other, first.data, first.size, false);
        assert_string_equal(t.error, "");
        assert_int_equal(t.import.created + t.import.updated, 0);
        assert_string_equal(verify(&other).problem, "");

        t = export_all(&other, &(const ExportOptions){ .type = "widget", .namespace = "prod" },
                        &some);
        assert_string_equal(t.error, "");
        assert_true(t.export.count > 10 && t.export.count < 50);
        assert_null(memmem(some.data, some.size, "\"namespace\":\"default\"", 21));
        fixture_done(&other);
}

#define IN_Q(name) "{\"kind\":\"widget\",\"name\":\"" name "\",\"namespace\":\"q\"}\n"
#define QUOTA(n)   "{\"kind\":\"namespace\",\"name\":\"q\",\"quota\":{\"objects\":" #n "}}\n"

/* An import is judged as what it writes is: by the quotas that it brings, where it does. */
static void test_import_and_quotas(void **state)
{
        static const char raised[] = IN_Q("a") IN_Q("b") QUOTA(2);
        static const char more[] = IN_Q("a") IN_Q("c"), lowered[] = IN_Q("c") QUOTA(1);
        Fixture *f = *state;
        uint64_t before;
        Told t;

        assert_string_equal(apply(f, QUOTA(1)).error, "");
        before = store_revision(f->store);
        for (unsigned dry = 0; dry < 2; dry++) { /* in vain: nothing of it is written */
                t = import_text(f, IN_Q("a") IN_Q("b"), strlen(IN_Q("a") IN_Q("b")), dry);
                assert_string_equal(t.error, TANK_ERROR_LIMIT_EXCEEDED);
                assert_true(store_revision(f->store) == before);
        }
        t = import_text(f, raised, strlen(raised), true);
        assert_string_equal(t.error, "");
        t = import_text(f, raised, strlen(raised), false);
        assert_string_equal(t.error, "");
        assert_true(t.import.created == 2 && t.import.updated == 1);
        t = import_text(f, more, strlen(more), false);
        assert_string_equal(t.error, TANK_ERROR_LIMIT_EXCEEDED);
        assert_true(t.import.created == 0);
        t = import_text(f, lowered, strlen(lowered), false);
        assert_string_equal(t.error, TANK_ERROR_LIMIT_EXCEEDED);
        assert_true(t.import.created == 0 && t.import.updated == 1);
}

static void test_bad_import(void **state)
{
        static const struct {
                const char *text, *error, *message;
        } cases[] = {
                { "{\"kind\":\"widget\",\"name\":\"a\"}\n\n{\"kind\":\"widget\"}\n",
                                TANK_ERROR_INVALID_ARGUMENT, "line 3: name" },
                { "{\"kind\":\"widget\",\"name\":\"a\"}\n[1]", TANK_ERROR_INVALID_ARGUMENT,
                                "line 2: expected a map" },
                { "{\"kind\":\"widget\",\"name\":\"a\"}\nx", TANK_ERROR_INVALID_ARGUMENT,
                                "line 2: " },
                { "{\"kind\":\"widget\",\"name\":\"a\"}\n{\"kind\":\"widget\",\"name\":\"a\"}",
                                TANK_ERROR_INVALID_ARGUMENT,
                                "line 2: widget default/a is on line 1 already" },
                { "{\"kind\":\"widget\",\"name\":\"a\"}\n"
                  "{\"kind\":\"widget\",\"name\":\"a\",\"namespace\":\"nowhere\"}",
                                TANK_ERROR_NOT_FOUND, "line 2: there is no namespace 'nowhere'" },
                { "{\"kind\":\"widget\",\"name\":\"a\"}\n"
                  "{\"kind\":\"widget\",\"name\":\"b\",\"meta\":{\"unreadable\":true}}",
                                TANK_ERROR_INVALID_ARGUMENT, "line 2: what stood there" },
                { "{\"kind\":\"secret\",\"name\":\"a\",\"data\":{\"k\":{\"redacted\":true}}}",
                                TANK_ERROR_INVALID_ARGUMENT, "line 1: data: the values are" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                Told t = import_text(f, cases[i].text, strlen(cases[i].text), false);

                assert_string_equal(t.error, cases[i].error);
                assert_non_null(strstr(t.message, cases[i].message));
                assert_int_equal(store_revision(f->store), 1);
        }
        assert_string_equal(import_text(f, "", 0, false).error, "");
        /* Cut behind a line, as by the death of who wrote it. */
        assert_non_null(strstr(import_with(f, cases[0].text, strcspn(cases[0].text, "\n") + 1,
                                               &(const ImportOptions){ .size = 300 })
                                               .message,
                        "nothing was imported"));
        assert_int_equal(store_revision(f->store), 1);
        assert_string_equal(import_text(f, "\0", 1, false).error, TANK_ERROR_INVALID_ARGUMENT);
}

/* ---- a database that is not well ---- */

static void find_file(const Fixture *f, const char *pattern, char ret[static 512])
{
        char dir[256];
        struct dirent *e;
        off_t largest = -1;
        DIR *d;

        (void) snprintf(dir, sizeof(dir), "%s/db", f->data);
        d = opendir(dir);
        assert_non_null(d);
        while ((e = readdir(d))) {
                char path[512];
                struct stat st;

                (void) snprintf(path, sizeof(path), "%s/%.200s", dir, e->d_name);
                if (fnmatch(pattern, e->d_name, 0) != 0 || stat(path, &st) < 0 ||
                                st.st_size <= largest)
                        continue;
                largest = st.st_size;
                (void) snprintf(ret, 512, "%s", path);
        }
        (void) closedir(d);
        assert_true(largest > 0);
}

static void flip(const char *path, off_t at)
{
        unsigned char byte;
        int fd = open(path, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        (void) close(fd);
}

static void test_flipped_bytes(void **state)
{
        Fixture *f = *state;
        char path[512];
        struct stat st;

        fill(f, 200);
        fixture_close(f);
        assert_false(fixture_verify_finds(f));
        /* In the log, which is all that there is until now. */
        find_file(f, "*.log", path);
        assert_int_equal(stat(path, &st), 0);
        for (unsigned i = 1; i < 8; i++) {
                flip(path, st.st_size * i / 8);
                assert_true(fixture_verify_finds(f));
                flip(path, st.st_size * i / 8);
        }
        assert_false(fixture_verify_finds(f));
        /* Opened anew, it is in tables. */
        assert_true(fixture_open(f) >= 0);
        fixture_close(f);
        assert_false(fixture_verify_finds(f));
        find_file(f, "*.sst", path);
        assert_int_equal(stat(path, &st), 0);
        for (unsigned i = 1; i < 6; i++) {
                flip(path, st.st_size * i / 10);
                assert_true(fixture_verify_finds(f));
                flip(path, st.st_size * i / 10);
        }
        assert_false(fixture_verify_finds(f));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                test_backup_and_back, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_backup_while_writing, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_from_memory, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_damaged_backup, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_nobody_reads, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_export_and_import, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_import_and_quotas, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_sockets_only, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_blocking_socket, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_bad_import, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(
                                test_flipped_bytes, fixture_setup, fixture_teardown),
        };

        (void) signal(SIGPIPE, SIG_IGN); /* as tankd-store does */
        log_setup("test-store-backup");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
