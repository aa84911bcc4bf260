/* SPDX-License-Identifier: Apache-2.0 */

/* kill -9 of tankd-store in the middle of its work: every write that was acknowledged is there
 * afterwards, with the revision that was told. Several writes are under way when it dies; which of
 * the others count is left open, but each is there whole or not at all, and revisions never repeat.
 *
 * This shows that a killed process loses nothing; a power cut is another matter, and shown in a
 * virtual machine. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "document.h"
#include "private-bus.h"

#define ROUNDS       200
#define UNDER_WAY    4
#define TIMEOUT_USEC (20 * USEC_PER_SEC)

typedef struct Test {
        sd_bus *bus;
        pid_t store;
        bool served;
        unsigned round;
        unsigned answered;                     /* in this round */
        uint64_t revisions[ROUNDS][UNDER_WAY]; /* 0: never told */
} Test;

static PrivateBus private_bus;
static Test test;

static void spawn_store(Test *t)
{
        const char *build = getenv("TANK_BUILD_DIR");
        char program[512], data[512], run[512];

        (void) snprintf(program, sizeof(program), "%s/tankd-store/tankd-store",
                        build ? build : ".");
        (void) snprintf(data, sizeof(data), "%s/data", private_bus.dir);
        (void) snprintf(run, sizeof(run), "%s/run", private_bus.dir);
        t->store = fork();
        assert_true(t->store >= 0);
        if (t->store > 0)
                return;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setenv("TANK_LOG_LEVEL", "warning", 1);
        (void) execl(program, program, "--data-dir", data, "--run-dir", run, NULL);
        _exit(127);
}

static void kill_store(Test *t)
{
        if (t->store <= 0)
                return;
        assert_int_equal(kill(t->store, SIGKILL), 0);
        assert_int_equal(waitpid(t->store, NULL, 0), t->store);
        t->store = 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *name, *before, *after;
        int r = sd_bus_message_read(m, "sss", &name, &before, &after);

        if (r >= 0 && streq(name, TANK_STORE_NAME))
                ((Test *) userdata)->served = !isempty(after);
        return r < 0 ? r : 0;
}

static void turn(Test *t, uint64_t deadline)
{
        int r = sd_bus_process(t->bus, NULL);

        assert_true(r >= 0);
        if (r > 0)
                return;
        assert_true(now_boottime_usec() < deadline);
        r = sd_bus_wait(t->bus, USEC_PER_SEC);
        assert_true(r >= 0 || r == -EINTR);
}

static void wait_served(Test *t, bool served)
{
        uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

        while (t->served != served)
                turn(t, deadline);
}

static int group_setup(void **state)
{
        if (private_bus_init(&private_bus) < 0 || sd_bus_open_system(&test.bus) < 0)
                return -1;
        return sd_bus_match_signal(test.bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                               "org.freedesktop.DBus", "NameOwnerChanged", on_owner_changed,
                               &test) < 0
                               ? -1
                               : 0;
}

static int group_teardown(void **state)
{
        if (test.store > 0)
                kill_store(&test);
        test.bus = sd_bus_flush_close_unref(test.bus);
        private_bus_done(&private_bus);
        return 0;
}

static int on_applied(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        uint64_t generation, revision, *told = userdata;
        const char *uid, *changed;

        if (sd_bus_message_is_method_error(m, NULL))
                return 0; /* it died before it answered */
        assert_true(sd_bus_message_read(m, "stts", &uid, &generation, &revision, &changed) >= 0);
        assert_string_equal(changed, "created");
        *told = revision;
        test.answered++;
        return 0;
}

static void send_apply(Test *t, unsigned i)
{
        char text[128];

        (void) snprintf(text, sizeof(text),
                        "{\"kind\":\"widget\",\"name\":\"w-%u-%u\",\"round\":%u}", t->round, i,
                        t->round);
        assert_true(sd_bus_call_method_async(t->bus, NULL, TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "Apply", on_applied,
                                    &t->revisions[t->round][i], "sa{sv}", text, 0) >= 0);
}

/* The revision that the store gives for it, 0 when it is not there. */
static uint64_t stored_revision(Test *t, unsigned round, unsigned i)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_JSON json_t *doc = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        const char *text;
        char name[64];
        int r;

        (void) snprintf(name, sizeof(name), "w-%u-%u", round, i);
        r = sd_bus_call_method(t->bus, TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE,
                        "Get", &e, &reply, "sss", "widget", "default", name);
        if (r < 0) {
                assert_string_equal(e.name, "org.tankd.Error.NotFound");
                sd_bus_error_free(&e);
                return 0;
        }
        assert_true(sd_bus_message_read(reply, "s", &text) >= 0);
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_int_equal(json_get_int(doc, "round", -1), round);
        return (uint64_t) json_get_int(json_object_get(doc, "meta"), "revision", -1);
}

static void check_round(Test *t, unsigned round, bool *taken)
{
        for (unsigned i = 0; i < UNDER_WAY; i++) {
                uint64_t told = t->revisions[round][i], stored = stored_revision(t, round, i);

                if (told > 0)
                        assert_true(stored == told);
                if (stored == 0)
                        continue;
                assert_true(stored < ROUNDS * UNDER_WAY + 2);
                assert_false(taken[stored]);
                taken[stored] = true;
        }
}

static void test_acknowledged_writes_survive(void **state)
{
        static bool taken[ROUNDS * UNDER_WAY + 2], again[ROUNDS * UNDER_WAY + 2];
        unsigned acknowledged = 0;
        Test *t = &test;

        for (t->round = 0; t->round < ROUNDS; t->round++) {
                uint64_t deadline = now_boottime_usec() + TIMEOUT_USEC;

                spawn_store(t);
                wait_served(t, true);
                if (t->round > 0)
                        check_round(t, t->round - 1, taken);
                t->answered = 0;
                for (unsigned i = 0; i < UNDER_WAY; i++)
                        send_apply(t, i);
                /* Straight after the first, second, … answer. */
                while (t->answered < 1 + t->round % UNDER_WAY)
                        turn(t, deadline);
                kill_store(t);
                wait_served(t, false);
                acknowledged += t->answered;
        }

        spawn_store(t);
        wait_served(t, true);
        for (unsigned round = 0; round < ROUNDS; round++)
                check_round(t, round, again);
        assert_true(acknowledged >= ROUNDS);
        print_message("# %d kills, %u acknowledged writes, all there\n", ROUNDS, acknowledged);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_acknowledged_writes_survive),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
