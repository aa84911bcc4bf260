/* SPDX-License-Identifier: Apache-2.0 */

/* The state says what a pod is, the reason why; the message, when there is one, names the container
 * and what happened to it. The line puts them together with what the declaration adds: whether it
 * is started again, and when. Every reason has its words, so that none is left unexplained. */

#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "ctl-why.h"
#include "document.h"
#include "quantity.h"
#include "state.h"

typedef struct Why {
        const json_t *doc, *status;
        const char *message, *name;
        RunState state;
        Reason reason;
        uint64_t now;
        char *text;
        int error;
} Why;

static const char *const container_lists[] = { "init_containers", "containers" };

static void say(Why *w, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(Why *w, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&w->text, format, ap) < 0) {
                w->text = NULL;
                w->error = -ENOMEM;
        }
        va_end(ap);
}

/* "WORDS: message", or the words alone. */
static void say_with_message(Why *w, const char *words)
{
        say(w, "%s%s%s", words, *w->message ? ": " : "", w->message);
}

/* The container that the state is of: the first one with the pod's reason. */
static const json_t *find_container(const Why *w)
{
        for (size_t l = 0; l < ARRAY_SIZE(container_lists); l++) {
                json_t *c;
                size_t i;

                json_array_foreach (json_object_get(w->status, container_lists[l]), i, c)
                        if (streq(strempty(json_get_string(c, "reason")),
                                            reason_to_string(w->reason)))
                                return c;
        }
        return NULL;
}

static void say_back_off(Why *w)
{
        const json_t *c = find_container(w);
        char duration[FORMAT_DURATION_SIZE];
        uint64_t at, left, unit = 100 * USEC_PER_MSEC;

        if (parse_rfc3339(strempty(json_get_string(w->status, "restart_at")), &at) < 0 ||
                        at <= w->now) {
                say(w, "%s%sis about to be started again", w->message, *w->message ? "; " : "");
                return;
        }
        left = at - w->now;
        say(w, "%s%snext start in %s, restart %lld", w->message, *w->message ? "; " : "",
                        format_duration(MAX(left / unit, UINT64_C(1)) * unit, duration),
                        (long long) json_get_int(c, "restarts", 0));
}

/* The declared limit of the container that ran out of memory, "" when there is none. */
static const char *memory_limit(const Why *w, char buf[static FORMAT_EXACT_SIZE])
{
        const char *name = json_get_string(find_container(w), "name");

        for (size_t l = 0; name && l < ARRAY_SIZE(container_lists); l++) {
                json_t *c;
                size_t i;

                json_array_foreach (json_object_get(w->doc, container_lists[l]), i, c) {
                        int64_t limit = json_get_int(json_object_get(c, "limits"), "memory", 0);

                        if (limit > 0 && streq(strempty(json_get_string(c, "name")), name))
                                return format_size_exact((uint64_t) limit, buf);
                }
        }
        return "";
}

static void say_ended(Why *w, const char *words)
{
        const char *policy = json_get_string(w->doc, "restart");

        say(w, "%s; restart is %s, so that only \"tankctl restart %s\" starts it again",
                        *w->message ? w->message : words,
                        policy ? policy : restart_policy_to_string(RESTART_ALWAYS), w->name);
}

static void say_out_of_memory(Why *w)
{
        char limit[FORMAT_EXACT_SIZE];
        const char *memory = memory_limit(w, limit);
        CLEANUP_FREE char *words = NULL;

        if (asprintf(&words, "%s%s%s",
                            *w->message ? w->message : "a container was killed for lack of memory",
                            *memory ? ", of which it may have " : "", memory) < 0) {
                words = NULL;
                w->error = -ENOMEM;
                return;
        }
        w->message = words;
        say_ended(w, words);
        w->message = "";
}

static void say_reason(Why *w)
{
        switch (w->reason) {
        case REASON_NONE:
        case REASON_PENDING:
                say(w, "%s", *w->message ? w->message : "waits for its turn to be started");
                break;
        case REASON_PULLING: say_with_message(w, "its image is being pulled"); break;
        case REASON_DEPENDENCY_WAIT:
                say(w, "%s", *w->message ? w->message : "waits for what it depends on");
                break;
        case REASON_BACKING_OFF: say_back_off(w); break;
        case REASON_HELD: say_with_message(w, "tankd-reconcile holds"); break;
        case REASON_INVALID:
                say_with_message(w, "what is stored is no valid declaration; apply a correct one");
                break;
        case REASON_UNSUPPORTED:
                say_with_message(w, "what is declared is more than this version of tank can do");
                break;
        case REASON_STOPPED: say_ended(w, "it was stopped"); break;
        case REASON_COMPLETED: say_ended(w, "it is done"); break;
        case REASON_ERROR: say_ended(w, "a container ended with an error"); break;
        case REASON_SIGNALED: say_ended(w, "a container was killed by a signal"); break;
        case REASON_OOM_KILLED: say_out_of_memory(w); break;
        case REASON_SETUP_FAILED: say_ended(w, "a container could not be set up"); break;
        case REASON_SHIM_LOST: say_ended(w, "the shim of a container was lost"); break;
        case REASON_UNHEALTHY: say_with_message(w, "a health check fails"); break;
        case _REASON_MAX:
        case _REASON_INVALID: say_with_message(w, "for a reason that this tankctl does not know");
        }
}

int pod_why(const json_t *doc, uint64_t now_usec, char **ret)
{
        const json_t *status = json_object_get(doc, "status");
        Why w = {
                .doc = doc,
                .status = status,
                .message = strempty(json_get_string(status, "message")),
                .name = strempty(json_get_string(doc, "name")),
                .state = run_state_from_string(strempty(json_get_string(status, "state"))),
                .reason = reason_from_string(strempty(json_get_string(status, "reason"))),
                .now = now_usec,
        };
        bool ready = json_get_bool(status, "ready", false);

        switch (w.state) {
        case RUN_RUNNING:
                if (w.reason != REASON_NONE)
                        say_reason(&w);
                else if (*w.message)
                        say(&w, "%s", w.message);
                else if (!ready)
                        say(&w, "it runs, and is not ready yet");
                break;
        case RUN_CREATING: say_with_message(&w, "is being set up"); break;
        case RUN_STOPPING: say(&w, "%s", *w.message ? w.message : "is being stopped"); break;
        case RUN_WAITING:
        case RUN_EXITED:
        case RUN_FAILED:
        case _RUN_STATE_MAX:
        case _RUN_STATE_INVALID: say_reason(&w); break;
        }
        if (w.error < 0)
                return w.error;
        *ret = w.text;
        return 0;
}
