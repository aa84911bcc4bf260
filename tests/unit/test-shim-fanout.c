/* SPDX-License-Identifier: Apache-2.0 */

/* One stream, many readers, over real sockets and a real loop: every byte of the stream reaches a
 * reader in its order, or is counted in a line that it finds in its place. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "shim-fanout.h"

#define RING (64U * 1024U)

/* A reader, and what stands at its other end. */
typedef struct Peer {
        FanoutReader *reader; /* NULL: freed at its end */
        bool keep;            /* is not */
        int fd;
        bool over;
        int error;
        char *data; /* what was read */
        size_t size, allocated;
        bool eof;
} Peer;

typedef struct Fixture {
        sd_event *event;
        Fanout *fanout;
        Peer peers[4];
        uint64_t fed;
} Fixture;

/* The byte at @position: a letter, so that no part of the stream looks like a notice. */
static char byte_at(uint64_t position)
{
        uint64_t x = position * UINT64_C(0x9E3779B97F4A7C15);

        return (char) ('a' + (x >> 40) % 26);
}

static void feed(Fixture *f, size_t size)
{
        CLEANUP_FREE char *data = malloc(size + 1);

        assert_non_null(data);
        for (size_t i = 0; i < size; i++)
                data[i] = byte_at(f->fed + i);
        fanout_feed(f->fanout, data, size);
        f->fed += size;
}

static void on_over(FanoutReader *reader, int error, void *userdata)
{
        Peer *p = userdata;

        assert_false(p->over); /* once */
        p->over = true;
        p->error = error;
        if (!p->keep)
                p->reader = fanout_reader_free(p->reader);
}

static void add(Fixture *f, unsigned i, FanoutFrom from)
{
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        f->peers[i].fd = pair[1];
        assert_int_equal(fanout_add_reader(f->fanout, pair[0], from, on_over, &f->peers[i],
                                         &f->peers[i].reader),
                        0);
        assert_false(f->peers[i].over);
}

/* Reads up to @max bytes that are there already. */
static size_t take(Peer *p, size_t max)
{
        size_t before = p->size;

        while (!p->eof && p->size - before < max) {
                size_t want = MIN(max - (p->size - before), (size_t) 65536);
                ssize_t n;

                if (p->size + want > p->allocated) {
                        p->allocated = 2 * (p->size + want);
                        p->data = realloc(p->data, p->allocated);
                        assert_non_null(p->data);
                }
                n = recv(p->fd, p->data + p->size, want, MSG_DONTWAIT);
                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        break;
                }
                p->eof = n == 0;
                p->size += (size_t) n;
        }
        return p->size - before;
}

static void turn(Fixture *f)
{
        int r;

        while ((r = sd_event_run(f->event, 0)) > 0)
                ;
        assert_int_equal(r, 0);
}

/* Turns the loop and reads until there is no more. */
static void take_all(Fixture *f, Peer *p)
{
        do
                turn(f);
        while (take(p, SIZE_MAX / 2) > 0);
}

/* What was read is the stream from @from to @to, but for what notices count; returns that count. */
static uint64_t check(const Peer *p, uint64_t from, uint64_t to, const char *newline)
{
        static const char middle[] = "[tank: ";
        uint64_t position = from, missed = 0;

        for (size_t i = 0; i < p->size;) {
                const char *at = p->data + i;
                size_t left = p->size - i, n;
                char expected[128];
                uint64_t count;

                if (*at == byte_at(position)) {
                        position++;
                        i++;
                        continue;
                }
                assert_true(left > strlen(newline) + strlen(middle));
                assert_memory_equal(at, newline, strlen(newline));
                assert_memory_equal(at + strlen(newline), middle, strlen(middle));
                count = strtoull(at + strlen(newline) + strlen(middle), NULL, 10);
                n = (size_t) snprintf(expected, sizeof(expected),
                                "%s[tank: %" PRIu64 " bytes of output dropped]%s", newline, count,
                                newline);
                assert_true(left >= n);
                assert_memory_equal(at, expected, n);
                assert_true(count > 0);
                missed += count;
                position += count;
                i += n;
        }
        assert_int_equal(position, to);
        return missed;
}

static int setup_with(void **state, const char *newline)
{
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(fanout_new(f->event, RING, newline, &f->fanout), 0);
        for (size_t i = 0; i < ARRAY_SIZE(f->peers); i++)
                f->peers[i].fd = -EBADF;
        *state = f;
        return 0;
}

static int setup(void **state)
{
        return setup_with(state, "\n");
}

static int setup_terminal(void **state)
{
        return setup_with(state, "\r\n");
}

static int teardown(void **state)
{
        Fixture *f = *state;

        fanout_free(f->fanout);
        sd_event_unref(f->event);
        for (size_t i = 0; i < ARRAY_SIZE(f->peers); i++) {
                safe_close(f->peers[i].fd);
                free(f->peers[i].data);
        }
        free(f);
        return 0;
}

/* ---- tests ---- */

static void test_where_readers_begin(void **state)
{
        Fixture *f = *state;

        feed(f, 1000);
        add(f, 0, FANOUT_FROM_NOW);
        add(f, 1, FANOUT_FROM_HELD);
        add(f, 2, FANOUT_FROM_START);
        assert_int_equal(take(&f->peers[0], 1), 0);
        assert_int_equal(take(&f->peers[1], SIZE_MAX / 2), 1000); /* at once */
        feed(f, 500);
        for (unsigned i = 0; i < 3; i++) {
                take_all(f, &f->peers[i]);
                assert_int_equal(check(&f->peers[i], i == 0 ? 1000 : 0, 1500, "\n"), 0);
        }
        assert_int_equal(fanout_total(f->fanout), 1500);
        assert_int_equal(fanout_held(f->fanout), 1500);
}

static void test_more_than_is_held(void **state)
{
        Fixture *f = *state;

        feed(f, 3 * RING + 17);
        assert_int_equal(fanout_held(f->fanout), RING);
        add(f, 0, FANOUT_FROM_HELD);
        add(f, 1, FANOUT_FROM_START);
        add(f, 2, FANOUT_FROM_START);
        for (unsigned i = 0; i < 3; i++)
                take_all(f, &f->peers[i]);
        /* Scrollback is the tail; a reader of everything is told what is not there. */
        assert_int_equal(f->peers[0].size, RING);
        assert_int_equal(check(&f->peers[0], 2 * RING + 17, f->fed, "\n"), 0);
        assert_true(check(&f->peers[1], 0, f->fed, "\n") >= 2 * RING + 17);
        assert_memory_equal(f->peers[1].data, "\n[tank: ", 8);
        /* It can be read again. */
        assert_int_equal(f->peers[1].size, f->peers[2].size);
        assert_memory_equal(f->peers[1].data, f->peers[2].data, f->peers[1].size);
}

static void test_a_reader_that_keeps_up_misses_nothing(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_START);
        for (unsigned i = 0; i < 2000; i++) {
                feed(f, 1 + i * 37 % 5000);
                take_all(f, &f->peers[0]);
        }
        assert_int_equal(check(&f->peers[0], 0, f->fed, "\n"), 0);
        assert_int_equal(fanout_reader_missed(f->peers[0].reader), 0);
}

/* One chunk that is larger than the ring, for one who would take it. */
static void test_a_big_chunk(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_START);
        feed(f, RING + RING / 2);
        take_all(f, &f->peers[0]);
        assert_int_equal(check(&f->peers[0], 0, f->fed, "\n"), 0);
}

static void test_a_slow_reader_is_dropped_behind(void **state)
{
        Fixture *f = *state;
        uint64_t missed;

        add(f, 0, FANOUT_FROM_START); /* reads nothing for long */
        add(f, 1, FANOUT_FROM_START); /* always keeps up */
        for (unsigned i = 0; i < 4096; i++) {
                feed(f, 4096);
                (void) take(&f->peers[1], SIZE_MAX / 2);
        }
        take_all(f, &f->peers[0]);
        missed = check(&f->peers[0], 0, f->fed, "\r\n");
        assert_true(missed > f->fed / 2);
        assert_int_equal(missed, fanout_reader_missed(f->peers[0].reader));
        take_all(f, &f->peers[1]);
        assert_int_equal(check(&f->peers[1], 0, f->fed, "\r\n"), 0);
}

static void test_bytes_are_sent_or_counted(void **state)
{
        Fixture *f = *state;
        uint32_t x = 12345;

        for (unsigned i = 0; i < 3; i++)
                add(f, i, FANOUT_FROM_START);
        for (unsigned i = 0; i < 20000; i++) {
                x = x * 1664525 + 1013904223;
                feed(f, (x >> 16) % 3000);
                (void) take(&f->peers[0], (x >> 8) % 1400); /* always slower than the source */
                if (x >> 31)                                /* for a while, then it catches up */
                        (void) take(&f->peers[1], 1);
                else if (i % 100 == 0)
                        (void) take(&f->peers[1], SIZE_MAX / 2);
                (void) take(&f->peers[2], 1); /* byte by byte */
                if (i % 16 == 0)
                        turn(f);
        }
        for (unsigned i = 0; i < 3; i++) {
                take_all(f, &f->peers[i]);
                assert_true(check(&f->peers[i], 0, f->fed, "\r\n") > 0);
        }
}

/* The tail is in the socket when fanout_end() returns: the loop need not turn any more. */
static void test_the_end(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_START);
        add(f, 1, FANOUT_FROM_START);
        for (unsigned i = 0; i < 200; i++)
                feed(f, 4096); /* nobody reads */
        fanout_end(f->fanout);
        fanout_end(f->fanout);
        for (unsigned i = 0; i < 2; i++) {
                uint64_t missed;

                assert_true(f->peers[i].over);
                assert_int_equal(f->peers[i].error, 0);
                assert_null(f->peers[i].reader);
                (void) take(&f->peers[i], SIZE_MAX / 2);
                assert_true(f->peers[i].eof);
                missed = check(&f->peers[i], 0, f->fed, "\n");
                assert_true(missed > 0 && missed <= f->fed - RING);
        }
        /* What is held can still be read. */
        add(f, 2, FANOUT_FROM_HELD);
        turn(f);
        assert_true(f->peers[2].over);
        assert_int_equal(f->peers[2].error, 0);
        (void) take(&f->peers[2], SIZE_MAX / 2);
        assert_true(f->peers[2].eof);
        assert_int_equal(f->peers[2].size, RING);
        assert_int_equal(check(&f->peers[2], f->fed - RING, f->fed, "\n"), 0);
}

static void test_the_end_of_nothing(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_START);
        f->peers[0].keep = true; /* the end of the file is told all the same */
        fanout_end(f->fanout);
        assert_true(f->peers[0].over);
        assert_int_equal(f->peers[0].error, 0);
        assert_true(fanout_ended(f->fanout));
        assert_int_equal(take(&f->peers[0], 1), 0);
        assert_true(f->peers[0].eof);
}

static void test_a_reader_leaves(void **state)
{
        Fixture *f = *state;

        for (unsigned i = 0; i < 4; i++)
                add(f, i, FANOUT_FROM_START);
        /* While there is nothing for it: the loop tells. */
        f->peers[1].fd = safe_close(f->peers[1].fd);
        assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
        assert_true(f->peers[1].over);
        assert_int_equal(f->peers[1].error, -EPIPE);
        /* In the middle of a stream. */
        f->peers[3].fd = safe_close(f->peers[3].fd);
        feed(f, 1000);
        assert_true(f->peers[3].over);
        assert_true(f->peers[3].error < 0);
        /* With its bytes unread. */
        f->peers[2].fd = safe_close(f->peers[2].fd);
        feed(f, 1000);
        assert_true(f->peers[2].over);
        assert_true(f->peers[2].error < 0);

        take_all(f, &f->peers[0]);
        assert_false(f->peers[0].over);
        assert_int_equal(check(&f->peers[0], 0, f->fed, "\n"), 0);
}

static void test_a_reader_leaves_and_all_ends(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_NOW);
        f->peers[0].fd = safe_close(f->peers[0].fd);
        fanout_end(f->fanout);
        turn(f);
        assert_true(f->peers[0].over);
}

/* An idle reader wakes nobody. */
static void test_idle(void **state)
{
        Fixture *f = *state;

        add(f, 0, FANOUT_FROM_START);
        feed(f, 100);
        turn(f);
        assert_int_equal(sd_event_run(f->event, 0), 0);
        assert_int_equal(take(&f->peers[0], 1000), 100);
        assert_int_equal(sd_event_run(f->event, 0), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_where_readers_begin, setup, teardown),
                cmocka_unit_test_setup_teardown(test_more_than_is_held, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                test_a_reader_that_keeps_up_misses_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_big_chunk, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                test_a_slow_reader_is_dropped_behind, setup_terminal, teardown),
                cmocka_unit_test_setup_teardown(
                                test_bytes_are_sent_or_counted, setup_terminal, teardown),
                cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_end_of_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_reader_leaves, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_reader_leaves_and_all_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
        };

        return cmocka_run_group_tests_name("shim-fanout", tests, NULL, NULL);
}
