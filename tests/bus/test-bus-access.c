/* SPDX-License-Identifier: Apache-2.0 */

/* The connection that comes back and the credential check, on a real private dbus-daemon: a server
 * in a child, callers as root and as nobody, the bus killed and started again at the same
 * address. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-access.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"

#define TEST_NAME "org.tankd.Test1"
#define TEST_PATH "/org/tankd/Test1"
#define NOBODY    65534

static char *test_dir, *test_address;
static pid_t bus_pid, server_pid;

/* ---- the server ---- */

typedef struct Server {
        BusLink *link;
        BusAccess *access;
} Server;

static BusAccess *server_access(void *userdata)
{
        return ((Server *) userdata)->access;
}

static int method_echo_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        uint32_t n;
        int r = sd_bus_message_read(m, "u", &n);

        if (r < 0)
                return r;
        if (n == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT, "zero is refused");
        return sd_bus_reply_method_return(m, "uu", n, (uint32_t) caller->uid);
}
BUS_METHOD(method_echo, BUS_INSPECT, server_access)

/* How many of these calls were served, this one included. */
static int method_number_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        uint64_t end = now_boottime_usec() + 300;
        static uint32_t served;

        while (now_boottime_usec() < end) /* slower than the bus brings the next one */
                ;
        return sd_bus_reply_method_return(m, "u", ++served);
}
BUS_METHOD(method_number, BUS_INSPECT, server_access)

static const sd_bus_vtable server_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Number", "", "u", method_number, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Echo", "u", "uu", method_echo, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int server_connected(sd_bus *bus, void *userdata)
{
        Server *s = userdata;
        int r;

        r = bus_access_new(bus, &s->access);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(bus, NULL, TEST_PATH, TEST_NAME, server_vtable, s);
        if (r < 0)
                return r;
        return sd_bus_request_name_async(bus, NULL, TEST_NAME, 0, NULL, NULL);
}

static void server_disconnected(void *userdata)
{
        Server *s = userdata;
        s->access = bus_access_free(s->access);
}

static int run_server(void)
{
        CLEANUP(sd_event_unrefpp) sd_event *event = NULL;
        Server s = { 0 };
        sigset_t term;
        int r;

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void) sigemptyset(&term);
        (void) sigaddset(&term, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &term, NULL);
        if (sd_event_new(&event) < 0 || sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0)
                return 1;
        r = bus_link_new(event, "test", server_connected, server_disconnected, &s, &s.link);
        if (r >= 0)
                r = sd_event_loop(event);
        bus_link_free(s.link);
        return r < 0;
}

/* ---- the bus ---- */

static pid_t spawn_bus(void)
{
        CLEANUP_FREE char *config = NULL;
        int pipe_fds[2];
        pid_t pid;
        char c;

        assert_true(asprintf(&config, "--config-file=%s/bus.conf", test_dir) > 0);
        assert_int_equal(pipe(pipe_fds), 0);
        pid = fork();
        if (pid == 0) {
                char fd[32];

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) snprintf(fd, sizeof(fd), "--print-address=%d", pipe_fds[1]);
                (void) execlp("dbus-daemon", "dbus-daemon", "--nofork", config, fd, NULL);
                _exit(127);
        }
        (void) close(pipe_fds[1]);
        assert_int_equal(read(pipe_fds[0], &c, 1), 1); /* it prints when it listens */
        (void) close(pipe_fds[0]);
        return pid;
}

static void reap(pid_t pid, int signo)
{
        if (pid <= 0)
                return;
        (void) kill(pid, signo);
        (void) waitpid(pid, NULL, 0);
}

static int group_setup(void **state)
{
        char template[] = "/tmp/tank-test-bus.XXXXXX";
        CLEANUP_FREE char *config = NULL;
        CLEANUP_CLOSE int dir_fd = -EBADF;

        test_dir = strdup(mkdtemp(template));
        assert_int_equal(chmod(test_dir, 0755), 0);
        assert_true(asprintf(&test_address, "unix:path=%s/bus", test_dir) > 0);
        assert_true(asprintf(&config,
                                    "<busconfig><type>system</type><listen>%s</listen>"
                                    "<policy context=\"default\"><allow user=\"*\"/><allow "
                                    "own=\"*\"/>"
                                    "<allow send_type=\"method_call\"/><allow "
                                    "send_type=\"signal\"/>"
                                    "<allow send_requested_reply=\"true\" "
                                    "send_type=\"method_return\"/>"
                                    "<allow send_requested_reply=\"true\" send_type=\"error\"/>"
                                    "<allow receive_type=\"method_call\"/>"
                                    "<allow receive_type=\"method_return\"/>"
                                    "<allow receive_type=\"error\"/><allow "
                                    "receive_type=\"signal\"/>"
                                    "</policy>"
                                    "<limit name=\"max_replies_per_connection\">8192</limit>"
                                    "</busconfig>",
                                    test_address) > 0);
        dir_fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(write_file_atomic_at(
                                         dir_fd, "bus.conf", config, strlen(config), 0644, false),
                        0);
        assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", test_address, 1), 0);
        /* The server is there before the bus: it must not mind. */
        server_pid = fork();
        if (server_pid == 0)
                _exit(run_server());
        bus_pid = spawn_bus();
        return 0;
}

static int group_teardown(void **state)
{
        reap(server_pid, SIGTERM);
        reap(bus_pid, SIGTERM);
        (void) remove_tree_at(AT_FDCWD, test_dir);
        free(test_dir);
        free(test_address);
        return 0;
}

/* Waits until the server's name has an owner: sd-bus' own StartServiceByName cannot, so the match
 * is installed first and the owner asked for after it. */
static void wait_for_name(sd_bus *bus)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;

        assert_true(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                    "org.freedesktop.DBus", "NameOwnerChanged", NULL, NULL) >= 0);
        for (;;) {
                int has = 0;
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                            "org.freedesktop.DBus", "NameHasOwner", NULL, &reply,
                                            "s", TEST_NAME) >= 0);
                assert_true(sd_bus_message_read(reply, "b", &has) >= 0);
                if (has)
                        return;
                assert_true(now_boottime_usec() < deadline);
                while (sd_bus_process(bus, NULL) > 0)
                        ;
                assert_true(sd_bus_wait(bus, USEC_PER_SEC) >= 0);
        }
}

/* Calls Echo(@n) and gives the answering uid, or a negative errno with the error's name. */
static int call_echo(uint32_t n, uint32_t *ret_uid, char name[static 128])
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        uint32_t back;
        int r;

        r = bus_open_client(&bus, &error);
        if (r >= 0) {
                wait_for_name(bus);
                r = sd_bus_call_method(bus, TEST_NAME, TEST_PATH, TEST_NAME, "Echo", &error, &reply,
                                "u", n);
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "uu", &back, ret_uid);
        if (r >= 0 && back != n)
                r = -EBADMSG;
        (void) snprintf(name, 128, "%s", strempty(error.name));
        sd_bus_error_free(&error);
        return r;
}

static void root_may(void **state)
{
        uint32_t uid = 1;
        char name[128];

        assert_true(call_echo(7, &uid, name) >= 0);
        assert_int_equal(uid, 0);
        /* an error of the handler, once with unknown and once with remembered credentials */
        assert_true(call_echo(0, &uid, name) < 0);
        assert_string_equal(name, TANK_ERROR_INVALID_ARGUMENT);
}

static void nobody_may_not(void **state)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                uint32_t uid;
                char name[128];

                if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
                        _exit(2);
                /* refused before the argument is looked at: 0 is not "zero is refused" */
                _exit(call_echo(0, &uid, name) < 0 && streq(name, TANK_ERROR_ACCESS_DENIED) ? 0
                                                                                            : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int count_reply(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        unsigned *n = userdata;

        if (!sd_bus_message_is_method_error(m, NULL))
                (*n)++;
        return 0;
}

/* Many calls before the first credentials are known (the bus allows 128 at once): all are
 * answered. */
static void a_burst_is_answered(void **state)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;
        unsigned answered = 0;

        assert_true(bus_open_client(&bus, &error) >= 0);
        wait_for_name(bus);
        for (uint32_t i = 1; i <= 100; i++)
                assert_true(sd_bus_call_method_async(bus, NULL, TEST_NAME, TEST_PATH, TEST_NAME,
                                            "Echo", count_reply, &answered, "u", i) >= 0);
        while (answered < 100) {
                int r = sd_bus_process(bus, NULL);

                assert_true(r >= 0);
                assert_true(now_boottime_usec() < deadline);
                if (r == 0)
                        assert_true(sd_bus_wait(bus, USEC_PER_SEC) >= 0);
        }
}

/* ---- turns ---- */

typedef struct Client {
        sd_bus *bus;
        unsigned sent, served, refused;
        uint32_t number; /* of the last that was served */
} Client;

static int on_number(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Client *c = userdata;

        if (sd_bus_message_is_method_error(m, TANK_ERROR_LIMIT_EXCEEDED))
                c->refused++;
        else if (sd_bus_message_read(m, "u", &c->number) >= 0)
                c->served++;
        return 0;
}

static void client_send(Client *c, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                assert_true(sd_bus_call_method_async(c->bus, NULL, TEST_NAME, TEST_PATH, TEST_NAME,
                                            "Number", on_number, c, NULL) >= 0);
        c->sent += n;
}

static void client_wait(Client *c)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;

        while (c->served + c->refused < c->sent) {
                int r = sd_bus_process(c->bus, NULL);

                assert_true(r >= 0);
                assert_true(now_boottime_usec() < deadline);
                if (r == 0)
                        assert_true(sd_bus_wait(c->bus, USEC_PER_SEC) >= 0);
        }
}

/* A client that the server knows. */
static void client_init(Client *c)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;

        *c = (Client){ 0 };
        assert_true(bus_open_client(&c->bus, &error) >= 0);
        wait_for_name(c->bus);
        client_send(c, 1);
        client_wait(c);
        assert_int_equal(c->served, 1);
}

/* What was sent before is on its way to the server, ahead of what others send now. */
static void client_settle(Client *c)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

        assert_true(sd_bus_call_method(c->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                    "org.freedesktop.DBus", "GetId", NULL, &reply, NULL) >= 0);
}

static void server_stop(void)
{
        int status;

        assert_int_equal(kill(server_pid, SIGSTOP), 0);
        assert_int_equal(waitpid(server_pid, &status, WUNTRACED), server_pid);
        assert_true(WIFSTOPPED(status));
}

/* Who sends many calls at once waits for them himself. They fit into the server's socket, so that
 * all of them are there when it goes on, whoever else has the processor then. */
static void senders_take_turns(void **state)
{
        Client many, one;

        client_init(&many);
        client_init(&one);
        server_stop();
        client_send(&many, 150);
        client_settle(&many);
        client_send(&one, 1);
        client_settle(&one);
        assert_int_equal(kill(server_pid, SIGCONT), 0);
        client_wait(&one);
        client_wait(&many);
        assert_int_equal(many.served, 151);
        assert_int_equal(one.served, 2);
        /* some of the many are served while the others are read, to starve nobody */
        assert_true(one.number < many.number - 75);
        sd_bus_flush_close_unref(many.bus);
        sd_bus_flush_close_unref(one.bus);
}

/* Beyond their number calls are refused by name, and all are answered. */
static void too_many_are_refused(void **state)
{
        Client c;

        client_init(&c);
        server_stop();
        client_send(&c, 6000);
        client_settle(&c);
        assert_int_equal(kill(server_pid, SIGCONT), 0);
        client_wait(&c);
        assert_int_equal(c.served + c.refused, 6001);
        assert_true(c.served > 4000);
        sd_bus_flush_close_unref(c.bus);
}

static void the_bus_may_die(void **state)
{
        uint32_t uid = 1;
        char name[128];

        for (int i = 0; i < 3; i++) {
                reap(bus_pid, SIGKILL);
                bus_pid = spawn_bus();
                assert_true(call_echo(8, &uid, name) >= 0);
                assert_int_equal(uid, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(root_may),
                cmocka_unit_test(nobody_may_not),
                cmocka_unit_test(a_burst_is_answered),
                cmocka_unit_test(senders_take_turns),
                cmocka_unit_test(too_many_are_refused),
                cmocka_unit_test(the_bus_may_die),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
