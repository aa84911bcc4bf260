/* SPDX-License-Identifier: Apache-2.0 */

/* Ends of exec sessions that are not the program's own, and what is refused: clients that die or
 * talk rubbish, limits, a bus that goes away, a container that ends. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "session-client.h"

#define NOBODY 65534

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
        wait_no_sessions(bus);
        expect_output((const char *const[]){ "true", NULL }, NULL, "");
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
                cmocka_unit_test(test_client_dies),
                cmocka_unit_test(test_malformed_request),
                cmocka_unit_test(test_late_requests),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_nobody_may_not),
                cmocka_unit_test(test_bus_dies),
                cmocka_unit_test(test_container_ends),
                cmocka_unit_test(test_other_containers),
        };
        const char *missing = shim_fixture_missing();

        if (missing) {
                print_message("1..0 # SKIP %s\n", missing);
                return 0;
        }
        cmocka_set_test_filter(getenv("TEST_FILTER"));
        return cmocka_run_group_tests_name("shim-session-end", tests, group_setup, group_teardown);
}
