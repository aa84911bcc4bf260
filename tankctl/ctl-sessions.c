/* SPDX-License-Identifier: Apache-2.0 */

/* sessions: which there are, a signal to some, and the end of one whose output the shim holds.
 *
 * wait passes the command's exit code on, as exec does: its own failures are 125. */

#include "ctl-bus.h"
#include "ctl-detach.h"
#include "ctl-held.h"
#include "ctl-sessions.h"
#include "ctl-shim.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "error.h"
#include "quantity.h"
#include "strv.h"

static int parse_number(const char *word, uint32_t *ret)
{
        uint64_t n;

        if (parse_u64(word, &n) < 0 || n == 0 || n > UINT32_MAX)
                return ctl_usage_error("\"%s\" is no session: a number of \"tankctl sessions "
                                       "list\"",
                                WORD(word));
        *ret = (uint32_t) n;
        return 0;
}

/* ---- kill ---------------------------------------------------------------------------------- */

typedef struct KillRequest {
        uint32_t number;
        int32_t signo;
} KillRequest;

static int append_kill(sd_bus_message *m, const void *userdata)
{
        const KillRequest *q = userdata;

        return sd_bus_message_append(m, "ui", q->number, q->signo);
}

/* All of them, also behind one that fails; the first failure is the exit code. */
static int kill_each(sd_bus *bus, const Arguments *a, const Target *t, int signo)
{
        int result = 0;

        STRV_FOREACH(word, a->words + 2)
        {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
                CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
                KillRequest q = { .signo = signo };
                int r;

                r = parse_number(*word, &q.number);
                if (r != 0)
                        return r;
                r = ctl_shim_call(bus, t, "KillSession", append_kill, &q, &reply, &e);
                r = r < 0 ? ctl_bus_failure(a->words[1], &e, r) : 0;
                result = result ? result : r;
        }
        return result;
}

static int sessions_kill(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(target_done) Target t = {};
        uint32_t number;
        int r, signo = a->signal ? parse_signal(a->signal) : parse_signal("SIGTERM");

        if (signo < 0)
                return ctl_usage_error("\"%s\" is no signal: a name like SIGHUP, or 1-64",
                                WORD(a->signal));
        if (strv_length(a->words) < 3)
                return ctl_usage_error("which? usage: tankctl sessions kill [-s SIGNAL] "
                                       "POD[/CONTAINER] SESSION…");
        STRV_FOREACH(word, a->words + 2) /* a slip among them shall end none */
        {
                r = parse_number(*word, &number);
                if (r != 0)
                        return r;
        }
        r = target_parse(a, a->words[1], &t);
        if (r == 0)
                r = ctl_bus_open(&bus);
        return r != 0 ? r : kill_each(bus, a, &t, signo);
}

/* ---- wait ---------------------------------------------------------------------------------- */

static int sessions_wait(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        CLEANUP(target_done) Target t = {};
        DetachKeys keys;
        SessionOptions options = {
                .mode = a->interactive ? SESSION_WRITES : SESSION_VIEWS,
                .interactive = a->interactive,
                .detach = &keys,
        };
        sd_bus *bus = NULL;
        uint32_t number = 0;
        int r;

        if (strv_length(a->words) != 3) {
                ctl_error("which one? usage: tankctl sessions wait POD[/CONTAINER] SESSION");
                return EXIT_CODE_REFUSED;
        }
        if (detach_keys_option(a->detach_keys, DETACH_KEYS_DEFAULT, &keys) != 0 ||
                        parse_number(a->words[2], &number) != 0 ||
                        target_parse(a, a->words[1], &t) != 0 || ctl_bus_open(&bus) != 0)
                return EXIT_CODE_REFUSED;
        r = held_open_session(bus, &t, number, a->interactive, &s, &e);
        bus = sd_bus_flush_close_unref(bus); /* the session needs it no more */
        if (r < 0) {
                (void) ctl_bus_failure(a->words[1], &e, r);
                return EXIT_CODE_REFUSED;
        }
        return held_run(&s, &options, a->words[1]);
}

/* ---- the verb ------------------------------------------------------------------------------ */

typedef struct SessionsVerb {
        const char *name;
        bool takes_signal, takes_input, prints;
        size_t max_words;
        int usage_exit_code;
        int (*run)(const Arguments *a);
} SessionsVerb;

/* What it does not take that others do; NULL: nothing. */
static const char *misplaced(const SessionsVerb *v, const Arguments *a)
{
        if (a->signal && !v->takes_signal)
                return " takes no signal";
        if ((a->interactive || a->detach_keys) && !v->takes_input)
                return " takes no input";
        if ((a->output != OUTPUT_TABLE || a->all_namespaces) && !v->prints)
                return " takes neither -o nor -A";
        return strv_length(a->words) > v->max_words ? ": too many words" : NULL;
}

int verb_sessions(const Arguments *a)
{
        static const SessionsVerb verbs[] = {
                { "list", false, false, true, 2, EXIT_CODE_USAGE, sessions_list },
                { "kill", true, false, false, SIZE_MAX, EXIT_CODE_USAGE, sessions_kill },
                { "wait", false, true, false, 3, EXIT_CODE_REFUSED, sessions_wait },
        };
        const char *word = a->words ? a->words[0] : "list";

        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                const SessionsVerb *v = &verbs[i];
                const char *wrong;

                if (!streq(word, v->name))
                        continue;
                wrong = misplaced(v, a);
                if (!wrong)
                        return v->run(a);
                ctl_error("sessions %s%s", word, wrong);
                return v->usage_exit_code;
        }
        return ctl_usage_error("sessions %s? There are list, kill and wait", WORD(word));
}
