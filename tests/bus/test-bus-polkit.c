/* SPDX-License-Identifier: Apache-2.0 */

/* Callers about whom root and the group do not decide, and an authority that answers as each test
 * wants: in polkit's place, on a real bus, since what people type is in nobody's hand. A service
 * and the authority are children; callers are children that have become nobody. What all of them
 * know of each other stands in shared memory. polkit.bats has the real one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-access.h"
#include "bus-names.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "limit.h"
#include "private-bus.h"

/* The policy lets root have such a name, and everybody call this interface there. */
#define SERVICE_NAME TANK_SHIM_NAME_PREFIX "0123456789abcdef"
#define NOBODY       65534

typedef enum Mode {
        NO,
        YES,
        PASSWORD_ONCE, /* people say it, for this one time */
        PASSWORD_KEPT,
        PASSWORD_WRONG,
        SILENT, /* until the next SIGUSR1, then YES */
} Mode;

typedef struct Shared {
        volatile Mode inspect, manage, privileged;
        volatile unsigned n_plain, n_people; /* questions */
        volatile unsigned n_done;            /* what the service has done */
} Shared;

static Shared *shared;
static PrivateBus private_bus;
static pid_t authority_pid, service_pid;

/* ---- the authority ---- */

typedef struct Authority {
        sd_bus *bus;
        sd_bus_message *waiting[256];
        size_t n_waiting;
} Authority;

static int answer(sd_bus_message *m, bool granted, bool challenge, bool kept)
{
        if (kept)
                return sd_bus_reply_method_return(m, "(bba{ss})", granted, challenge, 1,
                                "polkit.temporary_authorization_id", "tmp1");
        return sd_bus_reply_method_return(m, "(bba{ss})", granted, challenge, 0);
}

static int method_check(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *kind, *action, *unused;
        Authority *a = userdata;
        uint32_t flags;
        Mode mode;
        int r;

        if ((r = sd_bus_message_enter_container(m, 'r', "sa{sv}")) < 0 ||
                        (r = sd_bus_message_read(m, "s", &kind)) < 0 ||
                        (r = sd_bus_message_skip(m, "a{sv}")) < 0 ||
                        (r = sd_bus_message_exit_container(m)) < 0 ||
                        (r = sd_bus_message_read(m, "s", &action)) < 0 ||
                        (r = sd_bus_message_skip(m, "a{ss}")) < 0 ||
                        (r = sd_bus_message_read(m, "us", &flags, &unused)) < 0)
                return r;
        mode = streq(action, "org.tankd.inspect")      ? shared->inspect
               : streq(action, "org.tankd.manage")     ? shared->manage
               : streq(action, "org.tankd.privileged") ? shared->privileged
                                                       : NO;
        if (flags & 1)
                shared->n_people++;
        else
                shared->n_plain++;
        switch (mode) {
        case NO: return answer(m, false, false, false);
        case YES: return answer(m, true, false, false);
        case PASSWORD_ONCE: return answer(m, flags & 1, !(flags & 1), false);
        case PASSWORD_KEPT: return answer(m, flags & 1, !(flags & 1), flags & 1);
        case PASSWORD_WRONG: return answer(m, false, true, false);
        case SILENT:
                if (a->n_waiting == ARRAY_SIZE(a->waiting))
                        return -ENOBUFS;
                a->waiting[a->n_waiting++] = sd_bus_message_ref(m);
                return 1;
        }
        return -EINVAL;
}

static const sd_bus_vtable authority_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", method_check,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("Changed", "", 0),
        SD_BUS_VTABLE_END,
};

/* What waits is answered, and everybody hears that something changed. */
static int on_usr1(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        Authority *a = userdata;

        for (size_t i = 0; i < a->n_waiting; i++) {
                (void) answer(a->waiting[i], true, false, false);
                sd_bus_message_unref(a->waiting[i]);
        }
        a->n_waiting = 0;
        return sd_bus_emit_signal(a->bus, "/org/freedesktop/PolicyKit1/Authority",
                        "org.freedesktop.PolicyKit1.Authority", "Changed", NULL);
}

static int run_authority(sd_event *event)
{
        const struct passwd *polkitd = getpwnam("polkitd");
        Authority a = {};

        if (!polkitd || setgroups(0, NULL) < 0 ||
                        setresuid(polkitd->pw_uid, polkitd->pw_uid, polkitd->pw_uid) < 0)
                return -1;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten with the old user */
        if (sd_bus_open_system(&a.bus) < 0 ||
                        sd_bus_attach_event(a.bus, event, SD_EVENT_PRIORITY_NORMAL) < 0 ||
                        sd_bus_add_object_vtable(a.bus, NULL,
                                        "/org/freedesktop/PolicyKit1/Authority",
                                        "org.freedesktop.PolicyKit1.Authority", authority_vtable,
                                        &a) < 0 ||
                        sd_event_add_signal(event, NULL, SIGUSR1, on_usr1, &a) < 0 ||
                        sd_bus_request_name(a.bus, "org.freedesktop.PolicyKit1", 0) < 0)
                return -1;
        return sd_event_loop(event);
}

/* ---- the service ---- */

static BusAccess *service_access(void *userdata)
{
        return *(BusAccess **) userdata;
}

static int method_look_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_reply_method_return(m, "u", ++shared->n_done);
}
BUS_METHOD(method_look, BUS_INSPECT, service_access)

static int method_change_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        int privileged, r = sd_bus_message_read(m, "b", &privileged);

        if (r < 0)
                return r;
        r = bus_caller_check_privileged(caller, privileged, "default/web", reterr);
        return r < 0 ? r : sd_bus_reply_method_return(m, "u", ++shared->n_done);
}
BUS_METHOD(method_change, BUS_MANAGE, service_access)

static const sd_bus_vtable service_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Look", "", "u", method_look, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Change", "b", "u", method_change, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int run_service(sd_event *event)
{
        BusAccess *access = NULL;
        sd_bus *bus = NULL;

        if (sd_bus_open_system(&bus) < 0 ||
                        sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL) < 0 ||
                        bus_access_new(bus, &access) < 0 ||
                        sd_bus_add_object_vtable(bus, NULL, TANK_SHIM_PATH, TANK_SHIM_INTERFACE,
                                        service_vtable, &access) < 0 ||
                        sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0 ||
                        sd_bus_request_name(bus, SERVICE_NAME, 0) < 0)
                return -1;
        if (sd_event_loop(event) < 0)
                return -1;
        bus_access_free(access); /* whatever is under way then */
        sd_bus_flush_close_unref(bus);
        return 0;
}

static pid_t spawn(int (*func)(sd_event *event))
{
        pid_t pid = fork();

        if (pid == 0) {
                sd_event *event = NULL;
                sigset_t set;
                int r = -1;

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) sigemptyset(&set);
                (void) sigaddset(&set, SIGUSR1);
                (void) sigaddset(&set, SIGTERM);
                (void) sigprocmask(SIG_BLOCK, &set, NULL);
                if (sd_event_new(&event) >= 0)
                        r = func(event);
                sd_event_unref(event);
                _exit(r < 0);
        }
        return pid;
}

static void wait_for_name(const char *name)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;
        sd_bus *bus = NULL;
        int has = 0;

        assert_true(sd_bus_open_system(&bus) >= 0);
        assert_true(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", NULL,
                                    "org.freedesktop.DBus", "NameOwnerChanged", NULL, NULL) >= 0);
        for (;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                            "org.freedesktop.DBus", "NameHasOwner", NULL, &reply,
                                            "s", name) >= 0);
                assert_true(sd_bus_message_read(reply, "b", &has) >= 0);
                if (has)
                        break;
                assert_true(now_boottime_usec() < deadline);
                while (sd_bus_process(bus, NULL) > 0)
                        ;
                assert_true(sd_bus_wait(bus, USEC_PER_SEC) >= 0);
        }
        sd_bus_flush_close_unref(bus);
}

static int setup(void **state)
{
        *shared = (Shared){};
        authority_pid = spawn(run_authority);
        service_pid = spawn(run_service);
        wait_for_name("org.freedesktop.PolicyKit1");
        wait_for_name(SERVICE_NAME);
        return 0;
}

static int teardown(void **state)
{
        int status;

        (void) kill(authority_pid, SIGKILL);
        (void) waitpid(authority_pid, NULL, 0);
        /* With its leaks, where they are looked for. */
        (void) kill(service_pid, SIGTERM);
        if (waitpid(service_pid, &status, 0) != service_pid || !WIFEXITED(status))
                return -1;
        return WEXITSTATUS(status);
}

static int group_setup(void **state)
{
        if (!getpwnam("polkitd"))
                return -1; /* tools/deps */
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                        0);
        return shared == MAP_FAILED ? -1 : private_bus_init(&private_bus);
}

static int group_teardown(void **state)
{
        private_bus_done(&private_bus);
        return 0;
}

/* ---- callers ---- */

typedef struct Call {
        bool answered, denied, busy;
        uint32_t number; /* of what the service did */
} Call;

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const sd_bus_error *e = sd_bus_message_get_error(m);
        Call *c = userdata;

        c->answered = true;
        c->denied = e && sd_bus_error_has_name(e, TANK_ERROR_ACCESS_DENIED);
        c->busy = c->denied && strstr(e->message, "too many wait");
        if (!e && sd_bus_message_read(m, "u", &c->number) < 0)
                return -EBADMSG;
        return 0;
}

/* @privileged: of Change; -1: Look. */
static int call_begin(sd_bus *bus, int privileged, bool people, Call *ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        int r;

        *ret = (Call){};
        r = sd_bus_message_new_method_call(bus, &m, SERVICE_NAME, TANK_SHIM_PATH,
                        TANK_SHIM_INTERFACE, privileged < 0 ? "Look" : "Change");
        if (r >= 0 && privileged >= 0)
                r = sd_bus_message_append(m, "b", privileged);
        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(m, people);
        return r < 0 ? r : sd_bus_call_async(bus, NULL, m, on_answer, ret, 60 * USEC_PER_SEC);
}

static int call_wait(sd_bus *bus, const Call *c)
{
        while (!c->answered) {
                int r = sd_bus_process(bus, NULL);

                if (r < 0 || (r == 0 && (r = sd_bus_wait(bus, UINT64_MAX)) < 0))
                        return r;
        }
        return 0;
}

/* Whether it was done. */
static bool may(sd_bus *bus, int privileged, bool people)
{
        Call c;

        return call_begin(bus, privileged, people, &c) >= 0 && call_wait(bus, &c) >= 0 && !c.denied;
}
#define may_look(bus, people) may(bus, -1, people)

static bool questions(unsigned plain, unsigned people)
{
        if (shared->n_plain == plain && shared->n_people == people)
                return true;
        fprintf(stderr, "%u and %u questions\n", shared->n_plain, shared->n_people);
        return false;
}

/* The child says with its exit status at which line something was not so. */
#define EXPECT(what) \
        ({ \
                if (!(what)) { \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
                        return -1; \
                } \
        })

static void as_nobody(int (*func)(sd_bus *bus))
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                sd_bus *bus = NULL;
                int r = -1;

                if (setgroups(0, NULL) >= 0 && setresgid(NOBODY, NOBODY, NOBODY) >= 0 &&
                                setresuid(NOBODY, NOBODY, NOBODY) >= 0 &&
                                sd_bus_open_system(&bus) >= 0)
                        r = func(bus);
                sd_bus_flush_close_unref(bus);
                _exit(r < 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- what people say ---- */

static int once(sd_bus *bus)
{
        EXPECT(!may_look(bus, false) && questions(1, 0));
        EXPECT(may_look(bus, true) && questions(1, 1));
        EXPECT(!may_look(bus, false) && questions(1, 1));
        EXPECT(may_look(bus, true) && questions(1, 2));
        return 0;
}

static void a_password_for_once_is_for_one_call(void **state)
{
        shared->inspect = PASSWORD_ONCE;
        as_nobody(once);
        assert_int_equal(shared->n_done, 2);
}

static int kept(sd_bus *bus)
{
        EXPECT(!may_look(bus, false) && questions(1, 0));
        EXPECT(may_look(bus, true) && questions(1, 1));
        EXPECT(may_look(bus, false) && may_look(bus, true) && questions(1, 1));
        return 0;
}

static void a_password_that_is_kept_is_good_for_more(void **state)
{
        shared->inspect = PASSWORD_KEPT;
        as_nobody(kept);
}

static int wrong(sd_bus *bus)
{
        EXPECT(!may_look(bus, true) && questions(1, 1));
        EXPECT(!may_look(bus, true) && questions(1, 2));
        EXPECT(!may_look(bus, false) && questions(1, 2));
        return 0;
}

static void a_wrong_password_is_asked_for_once_a_call(void **state)
{
        shared->inspect = PASSWORD_WRONG;
        as_nobody(wrong);
        assert_int_equal(shared->n_done, 0);
}

static int plain_no(sd_bus *bus)
{
        for (int i = 0; i < 5; i++)
                EXPECT(!may_look(bus, true));
        EXPECT(questions(1, 0));
        return 0;
}

static void where_no_password_helps_nobody_is_asked(void **state)
{
        as_nobody(plain_no);
}

/* ---- two rights of one call ---- */

static int both_rights(sd_bus *bus)
{
        EXPECT(may(bus, 0, false) && questions(1, 0) && shared->n_done == 1);
        EXPECT(may(bus, 1, false) && questions(2, 0) && shared->n_done == 2);
        EXPECT(may(bus, 1, false) && questions(2, 0));
        return 0;
}

static void a_right_that_only_the_contents_need_is_asked_for_then(void **state)
{
        shared->manage = shared->privileged = YES;
        as_nobody(both_rights);
}

static int one_right(sd_bus *bus)
{
        EXPECT(!may(bus, 1, true) && questions(2, 0) && shared->n_done == 0);
        EXPECT(may(bus, 0, false) && questions(2, 0));
        return 0;
}

static void one_right_is_not_the_other(void **state)
{
        shared->manage = YES;
        as_nobody(one_right);
}

/* Both for once: people are asked for each, and the answer to the first holds meanwhile. */
static int both_once(sd_bus *bus)
{
        EXPECT(may(bus, 1, true) && questions(2, 2) && shared->n_done == 1);
        EXPECT(!may(bus, 1, false) && questions(2, 2));
        return 0;
}

static void two_passwords_for_one_call(void **state)
{
        shared->manage = shared->privileged = PASSWORD_ONCE;
        as_nobody(both_once);
}

/* ---- while it is not answered ---- */

static int waits_in_order(sd_bus *bus)
{
        Call first, second, third;

        EXPECT(call_begin(bus, -1, false, &first) >= 0);
        EXPECT(call_begin(bus, 0, false, &second) >= 0);
        EXPECT(call_begin(bus, -1, false, &third) >= 0);
        while (shared->n_plain == 0)
                EXPECT(sd_bus_process(bus, NULL) >= 0 && sd_bus_wait(bus, 1000) >= 0);
        EXPECT(!first.answered && !second.answered && !third.answered);
        EXPECT(call_wait(bus, &third) >= 0 && first.answered && second.answered);
        EXPECT(!first.denied && !second.denied && !third.denied);
        EXPECT(first.number < second.number && second.number < third.number);
        return 0;
}

/* Root is served meanwhile; then the authority answers. */
static void release(void)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;
        sd_bus *bus = NULL;

        assert_true(sd_bus_open_system(&bus) >= 0);
        while (shared->n_plain == 0) {
                assert_true(may_look(bus, false));
                assert_true(now_boottime_usec() < deadline);
        }
        for (int i = 0; i < 100; i++)
                assert_true(may_look(bus, false));
        sd_bus_flush_close_unref(bus);
        shared->inspect = YES;
        assert_int_equal(kill(authority_pid, SIGUSR1), 0);
}

static void calls_wait_in_order_and_others_do_not(void **state)
{
        int status;
        pid_t pid;

        shared->inspect = SILENT;
        shared->manage = YES;
        pid = fork();
        if (pid == 0) {
                release();
                _exit(0);
        }
        as_nobody(waits_in_order);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int many_connections(sd_bus *bus)
{
        enum { N = LIMIT_POLKIT_CHECKS_EACH + 4 };
        sd_bus *buses[N];
        Call calls[N];

        for (size_t i = 0; i < N; i++) {
                EXPECT(sd_bus_open_system(&buses[i]) >= 0);
                EXPECT(call_begin(buses[i], -1, false, &calls[i]) >= 0);
                EXPECT(sd_bus_flush(buses[i]) >= 0);
        }
        /* Those that are too many are told so at once, whichever they are. */
        for (unsigned busy = 0; busy < N - LIMIT_POLKIT_CHECKS_EACH;) {
                busy = 0;
                for (size_t i = 0; i < N; i++) {
                        EXPECT(sd_bus_process(buses[i], NULL) >= 0);
                        busy += calls[i].busy;
                }
                EXPECT(sd_bus_wait(bus, 1000) >= 0);
        }
        while (shared->n_plain < LIMIT_POLKIT_CHECKS_EACH)
                EXPECT(sd_bus_process(bus, NULL) >= 0 && sd_bus_wait(bus, 1000) >= 0);
        EXPECT(shared->n_plain == LIMIT_POLKIT_CHECKS_EACH);
        for (size_t i = 0; i < N; i++)
                sd_bus_close_unref(buses[i]); /* gone before there is an answer */
        return 0;
}

static int asked_anew(sd_bus *bus)
{
        uint64_t deadline = now_boottime_usec() + 60 * USEC_PER_SEC;

        while (!may_look(bus, false))
                EXPECT(now_boottime_usec() < deadline);
        return 0;
}

static void one_user_does_not_ask_without_end(void **state)
{
        shared->inspect = SILENT;
        as_nobody(many_connections);
        /* The answers about who is gone do nothing, and the next one is asked about again. */
        shared->inspect = YES;
        assert_int_equal(kill(authority_pid, SIGUSR1), 0);
        as_nobody(asked_anew);
}

static int begin_and_leave(sd_bus *bus)
{
        Call c;

        EXPECT(call_begin(bus, -1, true, &c) >= 0);
        while (shared->n_plain == 0)
                EXPECT(sd_bus_process(bus, NULL) >= 0 && sd_bus_wait(bus, 1000) >= 0);
        return 0;
}

static void the_service_may_end_meanwhile(void **state)
{
        shared->inspect = SILENT;
        as_nobody(begin_and_leave);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_password_for_once_is_for_one_call),
                TEST(a_password_that_is_kept_is_good_for_more),
                TEST(a_wrong_password_is_asked_for_once_a_call),
                TEST(where_no_password_helps_nobody_is_asked),
                TEST(a_right_that_only_the_contents_need_is_asked_for_then),
                TEST(one_right_is_not_the_other),
                TEST(two_passwords_for_one_call),
                TEST(calls_wait_in_order_and_others_do_not),
                TEST(one_user_does_not_ask_without_end),
                TEST(the_service_may_end_meanwhile),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
