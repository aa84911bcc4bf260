/* SPDX-License-Identifier: Apache-2.0 */

/* exec: asks the reconciler which run it is, asks that run's shim for a session, and then needs no
 * bus any more.
 *
 * The exit code is the command's own; what goes wrong on our side, usage included, is 125, so that
 * it cannot be taken for the command's. */

#include <stdio.h>

#include "bus-names.h"
#include "clock.h"
#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-session.h"
#include "ctl-terminal.h"
#include "ctl-verbs.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "strv.h"

#define NAME_TIMEOUT_USEC (2 * USEC_PER_SEC)

typedef struct Opened {
        int control;
        int stdio[3];
        size_t n_stdio;
} Opened;

static void opened_done(Opened *o)
{
        o->control = safe_close(o->control);
        for (size_t i = 0; i < o->n_stdio; i++)
                o->stdio[i] = safe_close(o->stdio[i]);
}

/* ---- the call ------------------------------------------------------------------------------ */

static int append_strings(sd_bus_message *m, char *const *strings, const char *last)
{
        int r = sd_bus_message_open_container(m, 'a', "ay");

        STRV_FOREACH(s, strings)
        {
                if (r >= 0)
                        r = sd_bus_message_append_array(m, 'y', *s, strlen(*s));
        }
        if (r >= 0 && last)
                r = sd_bus_message_append_array(m, 'y', last, strlen(last));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_option(sd_bus_message *m, const char *name, const char *value)
{
        return !value ? 0 : sd_bus_message_append(m, "{sv}", name, "s", value);
}

static int append_options(sd_bus_message *m, const Arguments *a)
{
        uint16_t rows = 24, columns = 80;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        if (a->terminal) {
                (void) terminal_size(&rows, &columns);
                r = sd_bus_message_append(m, "{sv}{sv}{sv}", "tty", "b", 1, "rows", "q", rows,
                                "cols", "q", columns);
        }
        if (r >= 0)
                r = append_option(m, "working-dir", a->working_dir);
        if (r >= 0)
                r = append_option(m, "user", a->user);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static bool sets_term(char *const *environment)
{
        STRV_FOREACH(e, environment)
        {
                if (startswith(*e, "TERM="))
                        return true;
        }
        return false;
}

static int new_exec_call(sd_bus *bus, const Arguments *a, const char *name, sd_bus_message **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP_FREE char *term = NULL;
        const char *local = getenv("TERM");
        int r;

        /* The program draws on our terminal, so it is ours that it has to know. */
        if (a->terminal && !isempty(local) && !sets_term(a->environment) &&
                        asprintf(&term, "TERM=%s", local) < 0) {
                term = NULL;
                return -ENOMEM;
        }
        r = sd_bus_message_new_method_call(
                        bus, &m, name, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, "Exec");
        if (r >= 0)
                r = append_strings(m, a->words + 1, NULL);
        if (r >= 0)
                r = append_strings(m, a->environment, term);
        if (r >= 0)
                r = append_options(m, a);
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

static int take_fd(sd_bus_message *m, int *ret)
{
        int fd, r = sd_bus_message_read(m, "h", &fd);

        if (r <= 0)
                return r;
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *ret < 0 ? -errno : 1;
}

static int read_exec_answer(sd_bus_message *m, bool terminal, Opened *ret)
{
        CLEANUP(opened_done) Opened o = { .control = -EBADF };
        size_t wanted = terminal ? 1 : 3;
        uint32_t number;
        int r;

        r = sd_bus_message_read(m, "u", &number);
        if (r >= 0)
                r = take_fd(m, &o.control);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "h");
        while (r >= 0 && o.n_stdio < ARRAY_SIZE(o.stdio)) {
                r = take_fd(m, &o.stdio[o.n_stdio]);
                if (r <= 0)
                        break;
                o.n_stdio++;
        }
        if (r < 0)
                return r;
        if (o.n_stdio != wanted)
                return -EBADMSG;
        *ret = o;
        o = (Opened){ .control = -EBADF };
        return 0;
}

/* ---- finding the shim ---------------------------------------------------------------------- */

static int get_run(sd_bus *bus, const Target *t, char **ret_name, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *run, *name;
        uint32_t pid;
        int r;

        r = sd_bus_call_method(bus, TANK_RECONCILE_NAME, TANK_RECONCILE_PATH,
                        TANK_RECONCILE_INTERFACE, "GetRun", reterr, &reply, "sss", t->namespace,
                        t->pod, t->container);
        if (r < 0) {
                ctl_bus_translate(reterr, TANK_RECONCILE_NAME);
                return r;
        }
        r = sd_bus_message_read(reply, "ssu", &run, &name, &pid);
        return r < 0 ? r : free_and_strdup(ret_name, name);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        *(bool *) userdata = true;
        return 0;
}

/* A shim runs its container before it has its name. Waits until the name changes hands or
 * @deadline; the caller then looks again. */
static int wait_for_name(sd_bus *bus, const char *name, uint64_t deadline)
{
        CLEANUP(sd_bus_slot_unrefpp) sd_bus_slot *slot = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        bool changed = false;
        char match[256];
        int r;

        (void) snprintf(match, sizeof(match),
                        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop."
                        "DBus',"
                        "member='NameOwnerChanged',arg0='%s'",
                        name);
        r = sd_bus_add_match(bus, &slot, match, on_owner_changed, &changed);
        if (r < 0)
                return r;
        /* It may have come between the failed call and the match. */
        r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "GetNameOwner", &e, NULL, "s", name);
        if (r >= 0)
                return 0;
        while (!changed) {
                uint64_t now = now_boottime_usec();

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= deadline)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

static bool is_absent(const sd_bus_error *e)
{
        return sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

static int open_session(
                sd_bus *bus, const Arguments *a, const Target *t, Opened *ret, sd_bus_error *reterr)
{
        uint64_t deadline = now_boottime_usec() + NAME_TIMEOUT_USEC;

        for (;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
                CLEANUP_FREE char *name = NULL;
                int r;

                r = get_run(bus, t, &name, reterr);
                if (r < 0)
                        return r;
                r = new_exec_call(bus, a, name, &m);
                if (r < 0)
                        return r;
                r = sd_bus_call(bus, m, 0, reterr, &reply);
                if (r >= 0)
                        return read_exec_answer(reply, a->terminal, ret);
                if (!is_absent(reterr)) {
                        ctl_bus_translate(reterr, name);
                        return r;
                }
                sd_bus_error_free(reterr);
                r = wait_for_name(bus, name, deadline);
                if (r == -ETIMEDOUT)
                        return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                                        "its shim (%s) is not on the bus; is the bus well?", name);
                if (r < 0)
                        return r;
        }
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int check_arguments(const Arguments *a)
{
        size_t size = 0;

        STRV_FOREACH(e, a->environment)
        {
                if (!strchr(*e, '=') || **e == '=') {
                        ctl_error("\"%s\" is no KEY=VALUE", *e);
                        return EXIT_CODE_REFUSED;
                }
                size += strlen(*e) + 1;
        }
        STRV_FOREACH(w, a->words + 1)
        size += strlen(*w) + 1;
        if (size > LIMIT_ARGV_ENV_MAX) {
                ctl_error("command and environment are larger than %u bytes", LIMIT_ARGV_ENV_MAX);
                return EXIT_CODE_REFUSED;
        }
        return 0;
}

static int setup_failed(const Arguments *a, const SessionEnd *end)
{
        const char *what = *end->message ? end->message : end->stage;

        if (!streq(end->stage, "exec")) {
                ctl_error("%s: %s: %s", a->words[0], what, errno_words(end->code));
                return EXIT_CODE_REFUSED;
        }
        ctl_error("%s: cannot execute %s: %s", a->words[0], what, errno_words(end->code));
        return end->code == ENOENT ? EXIT_CODE_NO_COMMAND : EXIT_CODE_CANNOT_EXECUTE;
}

static int session_exit_code(const Arguments *a, const SessionEnd *end)
{
        if (end->local_signal)
                return 128 + end->local_signal;
        if (end->write_error) {
                ctl_error("output is lost, it cannot be written: %s",
                                errno_words(end->write_error));
                return EXIT_CODE_REFUSED;
        }
        if (!end->known) {
                ctl_error("the session in %s is lost: its container is gone", a->words[0]);
                return EXIT_CODE_REFUSED;
        }
        if (streq(end->kind, "setup-failed"))
                return setup_failed(a, end);
        return streq(end->kind, "signaled") ? 128 + end->code : end->code;
}

static int exec_failure(const Arguments *a, const sd_bus_error *e, int r)
{
        (void) ctl_bus_failure(a->words[0], e, r);
        return EXIT_CODE_REFUSED;
}

int verb_exec(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(target_done) Target t = {};
        CLEANUP(opened_done) Opened o = { .control = -EBADF };
        SessionEnd end = {};
        sd_bus *bus = NULL;
        int r;

        if (target_parse(a, a->words[0], &t) != 0 || check_arguments(a) != 0 ||
                        ctl_bus_open(&bus) != 0)
                return EXIT_CODE_REFUSED;
        r = open_session(bus, a, &t, &o, &e);
        bus = sd_bus_flush_close_unref(bus); /* the session needs it no more */
        if (r < 0)
                return exec_failure(a, &e, r);
        r = session_run(TAKE_FD(o.control), o.stdio, o.n_stdio, a->interactive, &end);
        o.n_stdio = 0;
        if (r < 0)
                return exec_failure(a, NULL, r);
        return session_exit_code(a, &end);
}
