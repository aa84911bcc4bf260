/* SPDX-License-Identifier: Apache-2.0 */

/* The log of events: order, pages, bounds, and what a torn or damaged file leaves of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "limit.h"
#include "reconcile-journal.h"

typedef struct Fixture {
        char path[32];
        int fd;
} Fixture;

static int setup(void **state)
{
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        (void) snprintf(f->path, sizeof(f->path), "/tmp/tank-journal.XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        Fixture *f = *state;

        assert_true(remove_tree_at(AT_FDCWD, f->path) >= 0);
        safe_close(f->fd);
        free(f);
        return 0;
}

static JournalEvent event(const char *pod, const char *detail)
{
        return (JournalEvent){
                .namespace = "default",
                .pod = pod,
                .uid = "0123456789abcdef0123456789abcdef",
                .container = "main",
                .event = "running",
                .generation = 3,
                .detail = detail,
                .at_usec = 1700000000000000,
        };
}

static uint64_t append(Journal *j, const char *pod, const char *detail)
{
        JournalEvent e = event(pod, detail);

        assert_int_equal(journal_append(j, &e), 0);
        return e.sequence;
}

typedef struct Seen {
        uint64_t next; /* the number that must come; 0: any */
        size_t n, stop;
        char last_detail[LIMIT_EVENT_DETAIL + 1];
} Seen;

static int see(const JournalEvent *e, void *userdata)
{
        Seen *seen = userdata;

        if (seen->next > 0)
                assert_int_equal(e->sequence, seen->next);
        seen->next = e->sequence + 1;
        seen->n++;
        assert_string_equal(e->namespace, "default");
        assert_int_equal(e->generation, 3);
        (void) snprintf(seen->last_detail, sizeof(seen->last_detail), "%s", e->detail);
        return seen->stop > 0 && seen->n == seen->stop;
}

/* All that is there, page by page; the number of pages. */
static size_t read_all(Journal *j, uint64_t after, Seen *seen)
{
        size_t pages = 0;
        uint64_t last;

        do {
                assert_int_equal(journal_read(j, after, see, seen, &last), 0);
                assert_true(last > after || journal_last(j) <= after);
                after = last;
                pages++;
        } while (after < journal_last(j));
        return pages;
}

static void test_append_and_read(void **state)
{
        CLEANUP(journal_freep) Journal *j = NULL;
        Fixture *f = *state;
        Seen seen = { .next = 1 };
        uint64_t last;

        assert_int_equal(journal_open(f->fd, &j), 0);
        assert_int_equal(journal_last(j), 0);
        assert_int_equal(journal_first(j), 1);
        assert_int_equal(read_all(j, 0, &seen), 1);
        assert_int_equal(seen.n, 0);

        for (uint64_t i = 1; i <= 10; i++)
                assert_int_equal(append(j, "web", i == 10 ? "line\nnext = x" : ""), i);
        (void) read_all(j, 0, &seen);
        assert_int_equal(seen.n, 10);
        assert_string_equal(seen.last_detail, "line\nnext = x");

        seen = (Seen){ .next = 8 };
        (void) read_all(j, 7, &seen);
        assert_int_equal(seen.n, 3);

        seen = (Seen){ .next = 1, .stop = 4 };
        assert_int_equal(journal_read(j, 0, see, &seen, &last), 0);
        assert_int_equal(last, 4);
}

static void test_reopen(void **state)
{
        Fixture *f = *state;

        for (uint64_t i = 1; i <= 5; i++) {
                CLEANUP(journal_freep) Journal *j = NULL;

                assert_int_equal(journal_open(f->fd, &j), 0);
                assert_int_equal(journal_last(j), i - 1);
                assert_int_equal(append(j, "web", "x"), i);
        }
}

static void test_bounds(void **state)
{
        CLEANUP(journal_freep) Journal *j = NULL;
        Fixture *f = *state;
        Seen seen = {};
        struct stat st;
        char detail[2 * LIMIT_EVENT_DETAIL];
        size_t pages;

        memset(detail, 'd', sizeof(detail));
        detail[sizeof(detail) - 1] = '\0';
        /* The cut goes through a character. */
        memcpy(detail + LIMIT_EVENT_DETAIL - 1, "\xc3\xa4", 2);
        assert_int_equal(journal_open(f->fd, &j), 0);
        for (uint64_t i = 1; i <= 4000; i++)
                assert_int_equal(append(j, "web", detail), i);
        for (int old = 0; old < 2; old++) {
                assert_int_equal(fstatat(f->fd, old ? "events.old" : "events", &st, 0), 0);
                assert_true(st.st_size <= LIMIT_EVENT_SEGMENT);
                assert_int_equal(st.st_mode & 0777, 0600);
        }
        assert_true(st.st_size > LIMIT_EVENT_SEGMENT - 2048);
        assert_true(journal_first(j) > 1);

        seen.next = journal_first(j);
        pages = read_all(j, journal_first(j) - 1, &seen);
        assert_int_equal(seen.n, 4001 - journal_first(j));
        assert_in_range(pages, 4, 12); /* of 256 KiB at most each */
        assert_int_equal(strlen(seen.last_detail), LIMIT_EVENT_DETAIL);
        assert_int_equal(seen.last_detail[LIMIT_EVENT_DETAIL - 1], '?');

        {
                CLEANUP(journal_freep) Journal *again = NULL;
                uint64_t first = journal_first(j);

                assert_int_equal(journal_open(f->fd, &again), 0);
                assert_int_equal(journal_first(again), first);
                assert_int_equal(journal_last(again), 4000);
        }
}

/* Writes @n events, then changes the file by @damage, and tells how many are left. */
static uint64_t left_after(Fixture *f, uint64_t n, void (*damage)(int fd, off_t size))
{
        CLEANUP(journal_freep) Journal *j = NULL;
        Seen seen = {};
        uint64_t last;

        {
                CLEANUP(journal_freep) Journal *first = NULL;
                CLEANUP_CLOSE int fd = -EBADF;
                struct stat st;

                assert_int_equal(journal_open(f->fd, &first), 0);
                for (uint64_t i = 1; i <= n; i++)
                        (void) append(first, "web", "detail");
                fd = openat(f->fd, "events", O_RDWR | O_CLOEXEC);
                assert_true(fd >= 0);
                assert_int_equal(fstat(fd, &st), 0);
                damage(fd, st.st_size);
        }
        assert_int_equal(journal_open(f->fd, &j), 0);
        last = journal_last(j);
        /* It goes on behind what is left. */
        assert_int_equal(append(j, "web", "after"), last + 1);
        (void) read_all(j, journal_first(j) - 1, &seen);
        assert_int_equal(seen.n, last + 1);
        assert_string_equal(seen.last_detail, "after");
        return last;
}

static void tear(int fd, off_t size)
{
        assert_int_equal(ftruncate(fd, size - 1), 0);
}

static void flip(int fd, off_t size)
{
        /* In the middle: the number of an event is another one. */
        char byte = '\xff';

        assert_int_equal(pwrite(fd, &byte, 1, size / 2), 1);
}

static void append_junk(int fd, off_t size)
{
        assert_int_equal(pwrite(fd, "junk\0\0more", 10, size), 10);
}

static void empty(int fd, off_t size)
{
        assert_int_equal(ftruncate(fd, 0), 0);
}

static void test_torn(void **state)
{
        assert_int_equal(left_after(*state, 10, tear), 9);
}

static void test_flipped(void **state)
{
        assert_in_range(left_after(*state, 10, flip), 4, 5);
}

static void test_junk(void **state)
{
        assert_int_equal(left_after(*state, 10, append_junk), 10);
}

static void test_emptied(void **state)
{
        assert_int_equal(left_after(*state, 10, empty), 0);
}

static void test_newer(void **state)
{
        static const char record[] = "v=2\0sequence=1\0";
        Fixture *f = *state;
        Journal *j = NULL;

        assert_int_equal(write_file_atomic_at(f->fd, "events", record, sizeof(record), 0600, false),
                        0);
        assert_int_equal(journal_open(f->fd, &j), -EPROTONOSUPPORT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_append_and_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reopen, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_junk, setup, teardown),
                cmocka_unit_test_setup_teardown(test_emptied, setup, teardown),
                cmocka_unit_test_setup_teardown(test_newer, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
