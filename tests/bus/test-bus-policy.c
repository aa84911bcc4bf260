/* SPDX-License-Identifier: Apache-2.0 */

/* The bus policy, on a real dbus-daemon: who owns tank's names, who reaches them, who hears their
 * signals, and who can speak in their place. Three connections of root stand for the daemons and a
 * shim; a child that has become a member of group tank for its members, and one that has become
 * nobody for everyone else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-names.h"
#include "bus-util.h"
#include "fd.h"
#include "member.h"
#include "private-bus.h"

#define NOBODY    65534
#define SHIM_NAME TANK_SHIM_NAME_PREFIX "0123456789abcdef"
#define MARKER    "org.example.Marker"

typedef struct Peer {
        const char *name, *path, *interface;
        sd_bus *bus;
        const char *unique; /* a connection tells it in its own process only */
} Peer;

static PrivateBus private_bus;
static uid_t member_uid;
static sd_bus *other_bus; /* of someone who has nothing to do with tank */
static const char *other_unique;
static Peer peers[] = {
        { TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE, NULL, NULL },
        { TANK_RECONCILE_NAME, TANK_RECONCILE_POD_PREFIX "/default/web",
                        TANK_RECONCILE_POD_INTERFACE, NULL, NULL },
        { SHIM_NAME, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, NULL, NULL },
};

static int group_setup(void **state)
{
        char etc[] = "/tmp/tank-test-etc.XXXXXX";
        const struct passwd *member;

        if (!mkdtemp(etc) || member_provide(etc) < 0 || remove_tree_at(AT_FDCWD, etc) < 0)
                return -1;
        member = getpwnam(MEMBER_USER);
        if (!member)
                return -1;
        member_uid = member->pw_uid;
        if (private_bus_init(&private_bus) < 0 || sd_bus_open_system(&other_bus) < 0 ||
                        sd_bus_get_unique_name(other_bus, &other_unique) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                if (sd_bus_open_system(&peers[i].bus) < 0 ||
                                sd_bus_get_unique_name(peers[i].bus, &peers[i].unique) < 0 ||
                                sd_bus_request_name(peers[i].bus, peers[i].name, 0) < 0)
                        return -1;
        return 0;
}

static int group_teardown(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                peers[i].bus = sd_bus_flush_close_unref(peers[i].bus);
        other_bus = sd_bus_flush_close_unref(other_bus);
        private_bus_done(&private_bus);
        return 0;
}

/* The bus has seen everything that @bus sent before. */
static void settle(sd_bus *bus)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

        assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                    "org.freedesktop.DBus", "GetId", NULL, &reply, NULL) >= 0);
}

static void emit_all(void)
{
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
                sd_bus *bus = peers[i].bus;
                assert_true(sd_bus_emit_signal(bus, peers[i].path, peers[i].interface, "Changed",
                                            "s", "secret") >= 0);
                assert_true(sd_bus_emit_signal(bus, peers[i].path,
                                            "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                            "sa{sv}as", peers[i].interface, 0, 0) >= 0);
                settle(bus);
        }
        assert_true(sd_bus_emit_signal(other_bus, "/", MARKER, "Done", NULL) >= 0);
        settle(other_bus);
}

/* Counts tank's signals up to the marker. Negative when the bus failed. */
static int count_signals(sd_bus *bus)
{
        for (int n = 0;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                int r = sd_bus_process(bus, &m);

                if (r < 0)
                        return r;
                if (m && sd_bus_message_is_signal(m, MARKER, "Done"))
                        return n;
                if (m && (sd_bus_message_is_signal(m, NULL, "Changed") ||
                                         sd_bus_message_is_signal(m, NULL, "PropertiesChanged")))
                        n++;
                if (r == 0 && (r = sd_bus_wait(bus, 60 * USEC_PER_SEC)) <= 0)
                        return r < 0 ? r : -ETIMEDOUT;
        }
}

/* In a child as @uid: 0 when @func says so. */
static int as_user(uid_t uid, int (*func)(sd_bus *bus, int ready_fd), int ready_fd)
{
        pid_t pid = fork();

        if (pid == 0) {
                sd_bus *bus = NULL;
                int r = -1;

                if ((uid == member_uid ? initgroups(MEMBER_USER, NOBODY) : setgroups(0, NULL)) >=
                                                0 &&
                                setresgid(NOBODY, NOBODY, NOBODY) >= 0 &&
                                setresuid(uid, uid, uid) >= 0 && sd_bus_open_system(&bus) >= 0)
                        r = func(bus, ready_fd);
                sd_bus_unref(bus);
                _exit(r == 0 ? 0 : 1);
        }
        return pid;
}

static int exit_status_of(pid_t pid)
{
        int status;

        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int subscribe(sd_bus *bus, int ready_fd)
{
        if (sd_bus_add_match(bus, NULL, "type='signal'", NULL, NULL) < 0)
                return -1;
        return write(ready_fd, "", 1) == 1 ? 0 : -1;
}

static int hear_nothing(sd_bus *bus, int ready_fd)
{
        return subscribe(bus, ready_fd) < 0 ? -1 : count_signals(bus);
}

static int hear_all(sd_bus *bus, int ready_fd)
{
        if (subscribe(bus, ready_fd) < 0)
                return -1;
        return count_signals(bus) == 2 * (int) ARRAY_SIZE(peers) ? 0 : -1;
}

static int heard_by(uid_t uid, int (*func)(sd_bus *bus, int ready_fd))
{
        int fds[2];
        char c;

        assert_int_equal(pipe(fds), 0);
        pid_t pid = as_user(uid, func, fds[1]);
        (void) close(fds[1]);
        assert_int_equal(read(fds[0], &c, 1), 1);
        (void) close(fds[0]);
        emit_all();
        return exit_status_of(pid);
}

static void strangers_hear_no_signal(void **state)
{
        assert_int_equal(heard_by(NOBODY, hear_nothing), 0);
}

static void root_hears_every_signal(void **state)
{
        assert_int_equal(heard_by(0, hear_all), 0);
}

static void members_hear_every_signal(void **state)
{
        assert_int_equal(heard_by(member_uid, hear_all), 0);
}

/* ---- in the daemons' place ---- */

static const char *const false_words[][3] = {
        { TANK_STORE_PATH, TANK_STORE_INTERFACE, "Changed" },
        { TANK_STORE_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged" },
        { TANK_RECONCILE_PATH, TANK_RECONCILE_INTERFACE, "PodEvent" },
        { TANK_RECONCILE_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged" },
        { TANK_SHIM_PATH, TANK_SHIM_INTERFACE, "Changed" },
        { TANK_SHIM_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged" },
};

static int send_signal(sd_bus *bus, const char *destination, const char *const words[static 3])
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(bus, &m, words[0], words[1], words[2]);
        if (r >= 0 && destination)
                r = sd_bus_message_set_destination(m, destination);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "false");
        return r < 0 ? r : sd_bus_send(bus, m, NULL);
}

/* To all, and to each of the daemons by itself: what is sent to one needs no match to arrive, and
 * sd-bus believes a well-known sender of its own matches. */
static int speak_falsely(sd_bus *bus, int ready_fd)
{
        static const char *const bus_words[3] = { "/org/freedesktop/DBus", "org.freedesktop.DBus",
                "NameOwnerChanged" };
        for (size_t i = 0; i < ARRAY_SIZE(false_words); i++) {
                if (send_signal(bus, NULL, false_words[i]) < 0 ||
                                send_signal(bus, other_unique, false_words[i]) < 0)
                        return -1;
                for (size_t j = 0; j < ARRAY_SIZE(peers); j++)
                        if (send_signal(bus, peers[j].unique, false_words[i]) < 0)
                                return -1;
        }
        /* A shim listens to nobody; the others' names are known to the policy. */
        for (size_t j = 0; j < 2; j++)
                if (send_signal(bus, peers[j].unique, bus_words) < 0)
                        return -1;
        settle(bus);
        return 0;
}

/* Nothing arrived that @bus got from nobody else than the bus itself. */
static void assert_silence(sd_bus *bus)
{
        for (;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                const char *sender;

                assert_true(sd_bus_process(bus, &m) >= 0);
                if (!m)
                        return;
                sender = sd_bus_message_get_sender(m);
                assert_true(!sender || streq(sender, "org.freedesktop.DBus"));
        }
}

static void nobody_speaks_for_the_daemons(void **state)
{
        uid_t uids[] = { NOBODY, member_uid };

        assert_true(sd_bus_add_match(other_bus, NULL, "type='signal'", NULL, NULL) >= 0);
        for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
                assert_int_equal(exit_status_of(as_user(uids[i], speak_falsely, -1)), 0);
                settle(other_bus);
                assert_silence(other_bus);
                for (size_t j = 0; j < ARRAY_SIZE(peers); j++) {
                        settle(peers[j].bus);
                        assert_silence(peers[j].bus);
                }
        }
}

/* ---- methods ---- */

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        *(bool *) userdata = sd_bus_message_is_method_error(m, SD_BUS_ERROR_ACCESS_DENIED);
        return 0;
}

/* The bus refuses before it looks at what was sent after it; a call that it lets through gets no
 * answer, nobody serves here. */
static bool is_refused(sd_bus *bus, const char *destination, const char *path,
                const char *interface, const char *member)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_slot_unrefpp) sd_bus_slot *slot = NULL;
        bool refused = false;

        if (sd_bus_message_new_method_call(bus, &m, destination, path, interface, member) < 0 ||
                        sd_bus_call_async(bus, &slot, m, on_answer, &refused, UINT64_MAX) < 0)
                return false;
        settle(bus);
        while (sd_bus_process(bus, NULL) > 0)
                ;
        return refused;
}

/* What no daemon asks rights for. */
static bool is_closed(sd_bus *bus, const Peer *p)
{
        return is_refused(bus, p->name, p->path, "org.freedesktop.DBus.Properties", "GetAll") &&
               is_refused(bus, p->name, p->path, "org.freedesktop.DBus.Introspectable",
                               "Introspect") &&
               is_refused(bus, p->name, p->path, "org.freedesktop.DBus.ObjectManager",
                               "GetManagedObjects") &&
               is_refused(bus, p->unique, p->path, "org.freedesktop.DBus.Peer", "GetMachineId") &&
               is_refused(bus, p->unique, "/", "org.freedesktop.DBus.Introspectable",
                               "Introspect") &&
               is_refused(bus, p->name, p->path, NULL, "Get");
}

/* The methods of the daemons' own interfaces, where each asks who is calling; and those where they
 * always are: what is elsewhere would tell of pods. */
static int reach_methods_alone(sd_bus *bus, int ready_fd)
{
        static const struct {
                const char *name, *path, *interface;
        } open[] = {
                { TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE },
                { TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE ".KeyValue" },
                { TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE ".Secrets" },
                { TANK_STORE_NAME, TANK_STORE_PATH, TANK_STORE_INTERFACE ".Admin" },
                { TANK_RECONCILE_NAME, TANK_RECONCILE_PATH, TANK_RECONCILE_INTERFACE },
                { SHIM_NAME, TANK_SHIM_PATH, TANK_SHIM_INTERFACE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(open); i++)
                if (is_refused(bus, open[i].name, open[i].path, open[i].interface, "Get") ||
                                !is_refused(bus, open[i].name, "/org/tankd/elsewhere",
                                                open[i].interface, "Get"))
                        return -1;
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                if (!is_closed(bus, &peers[i]))
                        return -1;
        if (!is_refused(bus, peers[1].name, peers[1].path, TANK_RECONCILE_POD_INTERFACE, "Get") ||
                        !is_refused(bus, peers[1].name, peers[1].path, TANK_RECONCILE_INTERFACE,
                                        "Get") ||
                        !is_refused(bus, TANK_STORE_NAME, TANK_STORE_PATH,
                                        TANK_STORE_INTERFACE ".Else", "Get"))
                return -1;
        return 0;
}

static void strangers_reach_methods_alone(void **state)
{
        assert_int_equal(exit_status_of(as_user(NOBODY, reach_methods_alone, -1)), 0);
}

static int reach_everything(sd_bus *bus, int ready_fd)
{
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
                const Peer *p = &peers[i];

                if (is_refused(bus, p->name, p->path, p->interface, "Get") ||
                                is_refused(bus, p->name, p->path, "org.freedesktop.DBus.Properties",
                                                "GetAll") ||
                                is_refused(bus, p->name, p->path,
                                                "org.freedesktop.DBus.Introspectable",
                                                "Introspect"))
                        return -1;
        }
        return 0;
}

static void members_reach_everything(void **state)
{
        assert_int_equal(exit_status_of(as_user(member_uid, reach_everything, -1)), 0);
}

static int own_nothing(sd_bus *bus, int ready_fd)
{
        static const char *const names[] = {
                TANK_STORE_NAME,
                TANK_RECONCILE_NAME,
                TANK_SHIM_NAME_PREFIX "fedcba9876543210",
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (sd_bus_request_name(bus, names[i], 0) != -EACCES)
                        return -1;
        return 0;
}

static void strangers_own_nothing(void **state)
{
        assert_int_equal(exit_status_of(as_user(NOBODY, own_nothing, -1)), 0);
}

static void members_own_nothing(void **state)
{
        assert_int_equal(exit_status_of(as_user(member_uid, own_nothing, -1)), 0);
}

/* The bus' own bound of 256 connections for a user would stop the 257th container. */
static void root_has_a_thousand_connections(void **state)
{
        static sd_bus *buses[1000];

        for (size_t i = 0; i < ARRAY_SIZE(buses); i++) {
                assert_true(sd_bus_open_system(&buses[i]) >= 0);
                settle(buses[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(buses); i++)
                buses[i] = sd_bus_flush_close_unref(buses[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(strangers_hear_no_signal),
                cmocka_unit_test(root_hears_every_signal),
                cmocka_unit_test(members_hear_every_signal),
                cmocka_unit_test(nobody_speaks_for_the_daemons),
                cmocka_unit_test(strangers_reach_methods_alone),
                cmocka_unit_test(members_reach_everything),
                cmocka_unit_test(strangers_own_nothing),
                cmocka_unit_test(members_own_nothing),
                cmocka_unit_test(root_has_a_thousand_connections),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
