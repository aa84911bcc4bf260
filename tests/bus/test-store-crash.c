/* SPDX-License-Identifier: Apache-2.0 */

/* kill -9 of tankd-store in the middle of its work: every write that was acknowledged is there
 * afterwards, with the revision that was told. Several writes are under way when it dies; which of
 * the others count is left open, but each is there whole or not at all, and revisions never repeat.
 * Of a large transaction, killed at any moment of it, all is there or nothing.
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
#define TIMEOUT_USEC (60 * USEC_PER_SEC)

#define TRANSACTION_ROUNDS 60
#define OPERATIONS         500U

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

/* ---- transactions ---- */

typedef struct Told {
        uint64_t revision, usec;
        bool answered;
} Told;

static int on_transaction(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Told *told = userdata;

        if (sd_bus_message_is_method_error(m, NULL))
                return 0; /* it died before it answered */
        assert_true(sd_bus_message_read(m, "t", &told->revision) >= 0);
        told->answered = true;
        told->usec = now_boottime_usec();
        return 0;
}

/* Makes half of the objects of this round, and unmakes or remakes those of an earlier one. */
static void send_transaction(Test *t, unsigned round, Told *told)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        char text[128], name[64];

        assert_true(sd_bus_message_new_method_call(t->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "Transaction") >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "(sa{sv})") >= 0);
        for (unsigned i = 0; i < OPERATIONS; i++) {
                if (i % 2 == 0) {
                        (void) snprintf(text, sizeof(text),
                                        "{\"kind\":\"gadget\",\"name\":\"t-%u-%u\"}", round, i);
                        assert_true(sd_bus_message_append(m, "(sa{sv})", "create", 1, "document",
                                                    "s", text) >= 0);
                } else {
                        (void) snprintf(name, sizeof(name), "kept-%u", i);
                        (void) snprintf(text, sizeof(text),
                                        "{\"kind\":\"gadget\",\"name\":\"%s\",\"round\":%u}", name,
                                        round);
                        assert_true(sd_bus_message_append(m, "(sa{sv})", "apply", 1, "document",
                                                    "s", text) >= 0);
                }
        }
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        assert_true(sd_bus_call_async(t->bus, NULL, m, on_transaction, told, 0) >= 0);
        assert_true(sd_bus_flush(t->bus) >= 0);
}

static void turn_until(Test *t, uint64_t when, const bool *stop)
{
        while (!*stop) {
                uint64_t now = now_boottime_usec();
                int r = sd_bus_process(t->bus, NULL);

                assert_true(r >= 0);
                if (now >= when)
                        return;
                if (r == 0)
                        assert_true(sd_bus_wait(t->bus, when - now) >= 0);
        }
}

static char *database_id(Test *t)
{
        char *id = NULL;

        assert_true(sd_bus_get_property_string(t->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "DatabaseId", NULL, &id) >= 0);
        return id;
}

/* What is in the change log behind *revision: nothing, or one transaction that names all of its
 * objects; then *revision is its own. Whether there was one. */
static bool one_whole_transaction(Test *t, unsigned round, uint64_t *revision)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *id = database_id(t);
        const char *operation, *type, *namespace, *name, *document;
        uint64_t at, since = *revision;
        unsigned n = 0;
        int r;

        assert_true(sd_bus_call_method(t->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "GetChanges", NULL, &reply, "sta{sv}", id,
                                    since, 1, "documents", "b", true) >= 0);
        assert_true(sd_bus_message_enter_container(reply, 'a', "(tsssss)") >= 0);
        while ((r = sd_bus_message_read(reply, "(tsssss)", &at, &operation, &type, &namespace,
                                &name, &document)) > 0) {
                CLEANUP_JSON json_t *doc = json_loads(document, JSON_REJECT_DUPLICATES, NULL);
                char expected[64];

                assert_true(at == since + 1);
                if (n % 2 == 0)
                        (void) snprintf(expected, sizeof(expected), "t-%u-%u", round, n);
                else
                        (void) snprintf(expected, sizeof(expected), "kept-%u", n);
                assert_string_equal(name, expected);
                if (n % 2 == 1)
                        assert_int_equal(json_get_int(doc, "round", -1), round);
                *revision = at;
                n++;
        }
        assert_true(r >= 0);
        assert_true(n == 0 || n == OPERATIONS);
        return n > 0;
}

/* The object as the read path gives it, beside what the change log says. */
static void check_kept(Test *t, unsigned round)
{
        for (unsigned i = 1; i < OPERATIONS; i += OPERATIONS - 2) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
                CLEANUP_JSON json_t *doc = NULL;
                const char *text;
                char name[64];

                (void) snprintf(name, sizeof(name), "kept-%u", i);
                assert_true(sd_bus_call_method(t->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                            TANK_STORE_INTERFACE, "Get", NULL, &reply, "sss",
                                            "gadget", "default", name) >= 0);
                assert_true(sd_bus_message_read(reply, "s", &text) >= 0);
                doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
                assert_int_equal(json_get_int(doc, "round", -1), round);
        }
}

/* For how long the store lives behind a transaction, or until its answer. The first tells how long
 * one takes, and some of the others are answered, too; the rest die at moments spread over that
 * time, some before they begin. */
static uint64_t life_usec(unsigned round, uint64_t usual)
{
        if (round == 0 || round % 20 == 19)
                return TIMEOUT_USEC;
        return usual * (round % 20) * 6 / 100;
}

static void test_transactions_are_whole(void **state)
{
        unsigned whole = 0, nothing = 0, unanswered = 0, newest = 0;
        uint64_t revision = 0, usual = 0;
        Test *t = &test;

        if (!t->served) {
                spawn_store(t);
                wait_served(t, true);
        }
        assert_true(sd_bus_get_property_trivial(t->bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "Revision", NULL, 't', &revision) >= 0);
        for (unsigned round = 0; round < TRANSACTION_ROUNDS; round++) {
                uint64_t begin;
                Told told = {};
                bool there;

                if (usual > 0 && life_usec(round, usual) == 0)
                        assert_int_equal(kill(t->store, SIGSTOP), 0);
                begin = now_boottime_usec();
                send_transaction(t, round, &told);
                turn_until(t, begin + life_usec(round, usual), &told.answered);
                kill_store(t);
                wait_served(t, false);
                if (round == 0) {
                        assert_true(told.answered);
                        usual = told.usec - begin;
                }
                spawn_store(t);
                wait_served(t, true);
                there = one_whole_transaction(t, round, &revision);
                if (told.answered)
                        assert_true(there && told.revision == revision);
                if (there)
                        newest = round;
                check_kept(t, newest);
                whole += there;
                nothing += !there;
                unanswered += there && !told.answered;
        }
        assert_true(whole > 1 && nothing > 0);
        print_message("# %d kills in transactions of %u: %u whole (%u unanswered), %u not at all\n",
                        TRANSACTION_ROUNDS, OPERATIONS, whole, unanswered, nothing);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_acknowledged_writes_survive),
                cmocka_unit_test(test_transactions_are_whole),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
