/* SPDX-License-Identifier: Apache-2.0 */

/* exec: asks the container's shim for a session, and then needs no bus any more.
 *
 * The exit code is the command's own; what goes wrong on our side, usage included, is 125, so that
 * it cannot be taken for the command's. */

#include <inttypes.h>
#include <stdio.h>

#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-held.h"
#include "ctl-session.h"
#include "ctl-shim.h"
#include "ctl-terminal.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "strv.h"

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

/* Whether the session stays without us. */
static bool is_kept(const Arguments *a)
{
        return a->detach || a->keep;
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
        if (r >= 0 && is_kept(a))
                r = sd_bus_message_append(
                                m, "{sv}{sv}", "disconnect", "s", "keep", "stdio", "s", "held");
        if (r >= 0 && is_kept(a) && a->interactive && !a->terminal)
                r = sd_bus_message_append(m, "{sv}", "input", "b", 1);
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

static int append_request(sd_bus_message *m, const void *userdata)
{
        const Arguments *a = userdata;
        CLEANUP_FREE char *term = NULL;
        const char *local = getenv("TERM");
        int r;

        /* The program draws on our terminal, so it is ours that it has to know. */
        if (a->terminal && !isempty(local) && !sets_term(a->environment) &&
                        asprintf(&term, "TERM=%s", local) < 0) {
                term = NULL;
                return -ENOMEM;
        }
        r = append_strings(m, a->words + 1, NULL);
        if (r >= 0)
                r = append_strings(m, a->environment, term);
        return r < 0 ? r : append_options(m, a);
}

static int open_session(sd_bus *bus, const Arguments *a, const Target *t, uint32_t *ret_number,
                ShimStreams *ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        int r;

        r = ctl_shim_call(bus, t, "Exec", append_request, a, &reply, reterr);
        if (r >= 0)
                r = sd_bus_message_read(reply, "u", ret_number);
        if (r >= 0)
                r = ctl_shim_take_streams(reply, &s);
        if (r < 0)
                return r;
        if (s.n_stdio != (is_kept(a) ? 0 : a->terminal ? 1 : 3))
                return -EBADMSG;
        *ret = s;
        s = SHIM_STREAMS_NULL;
        return 0;
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int check_options(const Arguments *a)
{
        if (a->detach && a->interactive)
                ctl_error("-d and -i exclude each other: nobody would pass the input on");
        else if (a->detach_keys && (!a->keep || a->detach))
                ctl_error("--detach-keys needs --keep: without it a command ends with its client");
        else
                return 0;
        return EXIT_CODE_REFUSED;
}

static int check_arguments(const Arguments *a)
{
        size_t size = 0;

        STRV_FOREACH(e, a->environment)
        {
                if (!strchr(*e, '=') || **e == '=') {
                        ctl_error("\"%s\" is no KEY=VALUE", WORD(*e));
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

static int exec_failure(const Arguments *a, const sd_bus_error *e, int r)
{
        (void) ctl_bus_failure(a->words[0], e, r);
        return EXIT_CODE_REFUSED;
}

/* A session that stays is opened like anybody's, when it is known that there is one. */
static int exec_kept(sd_bus *bus, const Arguments *a, const Target *t, uint32_t number, int control,
                const SessionOptions *options)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        SessionEnd end = {};
        int r;

        r = session_wait_started(control, &end);
        if (r == 0)
                return session_exit_code(&end, a->words[0]);
        if (r > 0 && a->detach) {
                printf("%" PRIu32 "\n", number);
                return 0;
        }
        if (r > 0)
                r = held_open_session(bus, t, number, a->interactive, &s, &e);
        return r < 0 ? exec_failure(a, &e, r) : held_run(&s, options, a->words[0]);
}

int verb_exec(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(target_done) Target t = {};
        CLEANUP(ctl_shim_streams_done) ShimStreams o = SHIM_STREAMS_NULL;
        DetachKeys keys;
        const SessionOptions options = {
                .mode = SESSION_RUNS, .interactive = a->interactive, .detach = &keys
        };
        SessionEnd end = {};
        uint32_t number;
        size_t n;
        int r;

        if (target_parse(a, a->words[0], &t) != 0 || check_options(a) != 0 ||
                        check_arguments(a) != 0 ||
                        detach_keys_option(a->detach_keys, "", &keys) != 0 ||
                        ctl_bus_open(&bus) != 0)
                return EXIT_CODE_REFUSED;
        r = open_session(bus, a, &t, &number, &o, &e);
        if (r < 0)
                return exec_failure(a, &e, r);
        if (is_kept(a))
                return exec_kept(bus, a, &t, number, o.control, &options);
        bus = sd_bus_flush_close_unref(bus); /* the session needs it no more */
        n = o.n_stdio;
        o.n_stdio = 0;
        r = session_run(TAKE_FD(o.control), o.stdio, n, &options, &end);
        return r < 0 ? exec_failure(a, NULL, r) : session_exit_code(&end, a->words[0]);
}
