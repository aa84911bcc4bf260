/* SPDX-License-Identifier: Apache-2.0 */

/* Turns by themselves, on a connection whose other end says nothing: who is served when, and how
 * much waits at most. What it does to clients is in tests/bus/test-bus-access.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "bus-turns.h"
#include "bus-util.h"
#include "limit.h"

typedef struct Fixture {
        sd_event *event;
        sd_bus *bus;
        int other;
        BusTurns *turns;
        BusQueue queues[3], *holds;
        int held;       /* what holding is expected to come to */
        char order[64]; /* the numbers of the queues that were served */
} Fixture;

static void note(BusQueue *q, sd_bus_message *m, const BusCall *call, void *userdata)
{
        Fixture *f = userdata;
        size_t n = strlen(f->order);

        assert_true(n + 1 < sizeof(f->order));
        f->order[n] = (char) ('0' + (q - f->queues));
        if (f->holds == q) {
                f->holds = NULL;
                assert_int_equal(bus_queue_hold(f->turns, q, m, call), f->held);
        }
}

static int setup(void **state)
{
        Fixture *f = calloc(1, sizeof(*f));
        int fds[2];

        assert_non_null(f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        f->other = fds[1];
        assert_true(sd_event_new(&f->event) >= 0);
        assert_true(sd_bus_new(&f->bus) >= 0);
        assert_true(sd_bus_set_fd(f->bus, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_start(f->bus) >= 0);
        assert_true(sd_bus_attach_event(f->bus, f->event, SD_EVENT_PRIORITY_NORMAL) >= 0);
        assert_int_equal(bus_turns_new(f->bus, note, f, &f->turns), 0);
        *state = f;
        return 0;
}

static void forget(sd_bus_message *m)
{
}

static int teardown(void **state)
{
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(f->queues); i++)
                bus_queue_clear(f->turns, &f->queues[i], forget);
        bus_turns_free(f->turns);
        sd_bus_close_unref(f->bus);
        sd_event_unref(f->event);
        (void) close(f->other);
        free(f);
        return 0;
}

static int add_to(Fixture *f, BusQueue *queue, const char *text)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        const BusCall call = { 0 };

        assert_true(sd_bus_message_new_method_call(
                                    f->bus, &m, "org.example.A", "/", "org.example.A", "A") >= 0);
        assert_true(sd_bus_message_append(m, "sa{sv}", text, 1, "key", "ay", 3, 1, 2, 3) >= 0);
        assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
        return bus_queue_add(f->turns, queue, m, &call);
}

static int add(Fixture *f, unsigned queue, const char *text)
{
        return add_to(f, &f->queues[queue], text);
}

static void run(Fixture *f)
{
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void senders_alternate(void **state)
{
        Fixture *f = *state;

        for (int i = 0; i < 5; i++)
                assert_int_equal(add(f, 0, ""), 0);
        assert_int_equal(add(f, 1, ""), 0);
        assert_int_equal(add(f, 2, ""), 0);
        assert_int_equal(add(f, 2, ""), 0);
        run(f);
        assert_string_equal(f->order, "");     /* nobody is known yet */
        assert_true(bus_turns_idle(f->turns)); /* nor has anybody a turn */
        bus_queue_ready(f->turns, &f->queues[0]);
        bus_queue_ready(f->turns, &f->queues[1]);
        bus_queue_ready(f->turns, &f->queues[2]);
        assert_false(bus_turns_idle(f->turns));
        run(f);
        assert_string_equal(f->order, "01202000");
        assert_true(bus_turns_idle(f->turns));
}

/* What cannot be decided yet is served again, before what came after it; others go on. */
static void who_is_held_goes_on_where_he_was(void **state)
{
        Fixture *f = *state;

        f->holds = &f->queues[0];
        for (unsigned i = 0; i < 3; i++)
                for (unsigned k = 0; k < 2; k++)
                        assert_int_equal(add(f, i, ""), 0);
        for (unsigned i = 0; i < 3; i++)
                bus_queue_ready(f->turns, &f->queues[i]);
        run(f);
        assert_string_equal(f->order, "01212");
        assert_int_equal(f->queues[0].n, 2);
        assert_true(bus_turns_idle(f->turns));
        assert_int_equal(add(f, 1, ""), 0);
        bus_queue_ready(f->turns, &f->queues[1]);
        bus_queue_ready(f->turns, &f->queues[0]);
        run(f);
        assert_string_equal(f->order, "01212100");
        assert_int_equal(f->queues[0].bytes, 0);
}

/* Whoever is held, with as much as he can send, takes nothing of the room that the others have. */
static void what_is_held_has_its_own_room(void **state)
{
        static char large[LIMIT_BUS_HELD_BYTES / 2];
        BusQueue others[LIMIT_BUS_WAITING_BYTES / sizeof(large)] = {};
        Fixture *f = *state;

        memset(large, 'x', sizeof(large) - 1);
        f->holds = &f->queues[0];
        assert_int_equal(add(f, 0, large), 0);
        bus_queue_ready(f->turns, &f->queues[0]);
        run(f);
        assert_true(f->queues[0].held);
        /* A second one that is as large cannot be held, and is refused by who wanted to. */
        f->held = -EBUSY;
        f->holds = &f->queues[1];
        assert_int_equal(add(f, 1, large), 0);
        bus_queue_ready(f->turns, &f->queues[1]);
        run(f);
        assert_false(f->queues[1].held);
        assert_null(f->holds);
        /* All that may wait, waits, beside what is held. */
        for (size_t i = 0; i < ARRAY_SIZE(others) - 1; i++)
                assert_int_equal(add_to(f, &others[i], large), 0);
        assert_int_equal(add_to(f, &others[ARRAY_SIZE(others) - 1], large), -ENOBUFS);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                bus_queue_clear(f->turns, &others[i], forget);
        /* What is served leaves the room to the next one. */
        bus_queue_ready(f->turns, &f->queues[0]);
        run(f);
        f->held = 0;
        f->holds = &f->queues[1];
        assert_int_equal(add(f, 1, large), 0);
        bus_queue_ready(f->turns, &f->queues[1]);
        run(f);
        assert_true(f->queues[1].held);
        bus_queue_ready(f->turns, &f->queues[1]);
        run(f);
        assert_string_equal(f->order, "01011");
}

static void held_calls_are_counted_apart(void **state)
{
        BusQueue others[LIMIT_BUS_WAITING / LIMIT_BUS_WAITING_EACH] = {};
        Fixture *f = *state;

        f->holds = &f->queues[0];
        assert_int_equal(add(f, 0, ""), 0);
        bus_queue_ready(f->turns, &f->queues[0]);
        run(f);
        assert_true(f->queues[0].held);
        for (unsigned i = 1; i < LIMIT_BUS_WAITING_EACH; i++)
                assert_int_equal(add(f, 0, ""), 0);
        assert_int_equal(add(f, 0, ""), -ENOBUFS);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                for (unsigned k = 0; k < LIMIT_BUS_WAITING_EACH; k++)
                        assert_int_equal(add_to(f, &others[i], ""), 0);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                bus_queue_clear(f->turns, &others[i], forget);
}

/* Also when reading never ends: the loop is not run here. */
static void reading_starves_nobody(void **state)
{
        Fixture *f = *state;

        assert_int_equal(add(f, 1, ""), 0);
        bus_queue_ready(f->turns, &f->queues[1]);
        for (int i = 0; i < 15; i++)
                assert_int_equal(add(f, 0, ""), 0);
        assert_string_equal(f->order, "1");
}

static int on_idle(sd_event_source *source, void *userdata)
{
        *(bool *) userdata = true;
        return 0;
}

/* A daemon commits when its loop is idle: calls that never end must not put that off. */
static void idle_work_takes_turns(void **state)
{
        CLEANUP(sd_event_source_unrefp) sd_event_source *idle = NULL;
        Fixture *f = *state;
        bool ran = false;

        assert_true(sd_event_add_defer(f->event, &idle, on_idle, &ran) >= 0);
        assert_true(sd_event_source_set_priority(idle, SD_EVENT_PRIORITY_IDLE) >= 0);
        for (unsigned turn = 0; turn < 4 && !ran; turn++) {
                assert_int_equal(add(f, 0, ""), 0);
                bus_queue_ready(f->turns, &f->queues[0]);
                assert_true(sd_event_run(f->event, 0) > 0);
        }
        assert_true(ran);
}

static void who_left_is_forgotten(void **state)
{
        Fixture *f = *state;

        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(add(f, i, ""), 0);
                bus_queue_ready(f->turns, &f->queues[i]);
        }
        bus_queue_clear(f->turns, &f->queues[2], forget);
        assert_int_equal(add(f, 0, ""), 0);
        bus_queue_ready(f->turns, &f->queues[0]);
        run(f);
        assert_string_equal(f->order, "010");
}

static void so_many_wait(void **state)
{
        Fixture *f = *state;

        for (unsigned i = 0; i < LIMIT_BUS_WAITING_EACH; i++)
                assert_int_equal(add(f, 0, ""), 0);
        assert_int_equal(add(f, 0, ""), -ENOBUFS);
        assert_int_equal(add(f, 1, ""), 0);
}

/* Whoever has nothing waiting is heard, however much others sent. */
static void one_of_everybody_waits(void **state)
{
        BusQueue others[LIMIT_BUS_WAITING / LIMIT_BUS_WAITING_EACH] = {};
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                for (unsigned k = 0; k < LIMIT_BUS_WAITING_EACH; k++)
                        assert_int_equal(add_to(f, &others[i], ""), 0);
        assert_int_equal(add(f, 1, ""), 0);
        assert_int_equal(add(f, 1, ""), -ENOBUFS);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                bus_queue_clear(f->turns, &others[i], forget);
}

static void so_much_waits(void **state)
{
        CLEANUP_FREE char *text = malloc(LIMIT_DOCUMENT_MAX + 1);
        Fixture *f = *state;

        assert_non_null(text);
        memset(text, 'a', LIMIT_DOCUMENT_MAX);
        text[LIMIT_DOCUMENT_MAX] = '\0';
        for (int i = 0; i < 3; i++)
                assert_int_equal(add(f, 0, text), 0);
        assert_int_equal(add(f, 0, text), -ENOBUFS); /* four, and what belongs to them */
        assert_int_equal(add(f, 0, ""), 0);
        assert_int_equal(add(f, 1, text), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(senders_alternate, setup, teardown),
                cmocka_unit_test_setup_teardown(reading_starves_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(who_is_held_goes_on_where_he_was, setup, teardown),
                cmocka_unit_test_setup_teardown(what_is_held_has_its_own_room, setup, teardown),
                cmocka_unit_test_setup_teardown(held_calls_are_counted_apart, setup, teardown),
                cmocka_unit_test_setup_teardown(idle_work_takes_turns, setup, teardown),
                cmocka_unit_test_setup_teardown(who_left_is_forgotten, setup, teardown),
                cmocka_unit_test_setup_teardown(so_many_wait, setup, teardown),
                cmocka_unit_test_setup_teardown(one_of_everybody_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(so_much_waits, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
