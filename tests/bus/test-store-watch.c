/* SPDX-License-Identifier: Apache-2.0 */

/* tankctl watch whose reader does not read: two clients write ten thousand times meanwhile, and the
 * store is killed in between. Nobody waits for the reader, and when it reads at last it is told all
 * of them, one after the other, in the order of their revisions. Then one that begins where the
 * first one ended. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
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

#define WRITES       10000U
#define UNDER_WAY    64U
#define OBJECTS      500U
#define TIMEOUT_USEC (120 * USEC_PER_SEC)

typedef struct Test {
        sd_bus *writers[2];
        pid_t store, watch;
        FILE *seen; /* what the watch prints */
        bool served;
        unsigned sent, done, unanswered;
        uint64_t deadline;
} Test;

static PrivateBus private_bus;
static Test test;

static pid_t spawn(const char *program, char *const *argv, int out)
{
        const char *build = getenv("TANK_BUILD_DIR");
        char path[512];
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s/%s", build ? build : ".", program);
        pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setenv("TANK_LOG_LEVEL", "warning", 1);
        if (out >= 0)
                (void) dup2(out, STDOUT_FILENO);
        (void) execv(path, argv);
        _exit(127);
}

static void end(pid_t *pid, int sig)
{
        if (*pid > 0) {
                (void) kill(*pid, sig);
                (void) waitpid(*pid, NULL, 0);
        }
        *pid = 0;
}

static void start_store(Test *t)
{
        char data[512], run[512];

        (void) snprintf(data, sizeof(data), "%s/data", private_bus.dir);
        (void) snprintf(run, sizeof(run), "%s/run", private_bus.dir);
        t->store = spawn("tankd-store/tankd-store",
                        (char *[]){ (char *) "tankd-store", (char *) "--data-dir", data,
                                        (char *) "--run-dir", run, NULL },
                        -1);
}

/* @since: NULL for all of it. */
static void start_watch(Test *t, char *since)
{
        char *argv[] = { (char *) "tankctl", (char *) "watch", (char *) "widget", (char *) "-o",
                (char *) "json", since ? (char *) "--since" : NULL, since, NULL };
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        assert_true(fcntl(fds[0], F_SETPIPE_SZ, 4096) >= 0);
        t->watch = spawn("tankctl/tankctl", argv, fds[1]);
        (void) close(fds[1]);
        t->seen = fdopen(fds[0], "r");
        assert_non_null(t->seen);
}

static void end_watch(Test *t)
{
        end(&t->watch, SIGTERM);
        if (t->seen)
                (void) fclose(t->seen);
        t->seen = NULL;
}

/* The next event; it blocks, and alarm() ends that. */
static json_t *next_event(Test *t)
{
        CLEANUP_FREE char *line = NULL;
        size_t size = 0;
        json_t *o;

        (void) alarm((unsigned) (TIMEOUT_USEC / USEC_PER_SEC));
        assert_true(getline(&line, &size, t->seen) > 0);
        (void) alarm(0);
        o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(o);
        return o;
}

static uint64_t expect(Test *t, const char *event, uint64_t revision)
{
        CLEANUP_JSON json_t *o = next_event(t);
        uint64_t r = (uint64_t) json_get_int(o, "revision", 0);

        if (event)
                assert_string_equal(json_get_string(o, "event"), event);
        else
                assert_true(streq(json_get_string(o, "event"), "created") ||
                                streq(json_get_string(o, "event"), "updated"));
        if (revision > 0)
                assert_true(r == revision);
        if (json_object_get(o, "document"))
                assert_true((uint64_t) json_get_int(
                                            json_object_get(json_object_get(o, "document"), "meta"),
                                            "revision", 0) == r);
        return r;
}

/* ---- writers ---- */

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *name, *before, *after;

        assert_true(sd_bus_message_read(m, "sss", &name, &before, &after) >= 0);
        if (streq(name, TANK_STORE_NAME))
                ((Test *) userdata)->served = !isempty(after);
        return 0;
}

static void turn(Test *t)
{
        for (unsigned i = 0; i < ARRAY_SIZE(t->writers); i++) {
                int r = sd_bus_process(t->writers[i], NULL);

                assert_true(r >= 0);
                if (r == 0)
                        assert_true(sd_bus_wait(t->writers[i], USEC_PER_MSEC) >= 0);
        }
        assert_true(now_boottime_usec() < t->deadline);
}

static void wait_served(Test *t, bool served)
{
        t->deadline = now_boottime_usec() + TIMEOUT_USEC;
        while (t->served != served)
                turn(t);
}

static int on_applied(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Test *t = userdata;

        t->done++;
        if (sd_bus_message_is_method_error(m, NULL))
                t->unanswered++; /* the store died before it answered */
        return 0;
}

static void send_apply(Test *t)
{
        char text[128];

        (void) snprintf(text, sizeof(text), "{\"kind\":\"widget\",\"name\":\"w%u\",\"x\":%u}",
                        t->sent % OBJECTS, t->sent);
        assert_true(sd_bus_call_method_async(t->writers[t->sent % ARRAY_SIZE(t->writers)], NULL,
                                    TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, "Apply",
                                    on_applied, t, "sa{sv}", text, 0) >= 0);
        t->sent++;
}

/* Until @n are done; up to @limit are sent. */
static void write_on(Test *t, unsigned n, unsigned limit)
{
        t->deadline = now_boottime_usec() + TIMEOUT_USEC;
        while (t->done < n) {
                while (t->sent < limit && t->sent - t->done < UNDER_WAY)
                        send_apply(t);
                turn(t);
        }
}

static uint64_t newest_revision(Test *t)
{
        uint64_t revision = 0;

        assert_true(sd_bus_get_property_trivial(t->writers[0], TANK_STORE_NAME, TANK_STORE_PATH,
                                    TANK_STORE_INTERFACE, "Revision", NULL, 't', &revision) >= 0);
        return revision;
}

/* ---- tests ---- */

static void test_slow_reader(void **state)
{
        uint64_t first, newest;
        Test *t = *state;
        char since[24];

        start_store(t);
        wait_served(t, true);
        start_watch(t, NULL);
        first = expect(t, "synced", 0);
        assert_true(first == 1);

        /* Two writers; nobody reads. */
        write_on(t, WRITES / 2, WRITES);
        end(&t->store, SIGKILL);
        wait_served(t, false);
        start_store(t);
        wait_served(t, true);
        write_on(t, WRITES, WRITES);
        newest = newest_revision(t);
        assert_true(newest > WRITES - t->unanswered && newest <= WRITES + 1);

        for (uint64_t r = first + 1; r <= newest; r++)
                (void) expect(t, NULL, r);
        end_watch(t);

        /* One that goes on from the middle, and sees the rest and what comes. */
        (void) snprintf(since, sizeof(since), "%" PRIu64, newest / 2);
        start_watch(t, since);
        for (uint64_t r = newest / 2 + 1; r <= newest; r++)
                (void) expect(t, NULL, r);
        write_on(t, WRITES + 1, WRITES + 1);
        (void) expect(t, NULL, newest + 1);
        end_watch(t);
        print_message("# %u writes, %u of them not answered by the store that was killed\n", WRITES,
                        t->unanswered);
}

static int setup(void **state)
{
        if (private_bus_init(&private_bus) < 0)
                return -1;
        for (unsigned i = 0; i < ARRAY_SIZE(test.writers); i++)
                if (sd_bus_open_system(&test.writers[i]) < 0)
                        return -1;
        *state = &test;
        return sd_bus_match_signal(test.writers[0], NULL, "org.freedesktop.DBus",
                               "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged",
                               on_owner_changed, &test) < 0
                               ? -1
                               : 0;
}

static int teardown(void **state)
{
        end_watch(&test);
        end(&test.store, SIGKILL);
        for (unsigned i = 0; i < ARRAY_SIZE(test.writers); i++)
                test.writers[i] = sd_bus_flush_close_unref(test.writers[i]);
        private_bus_done(&private_bus);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
