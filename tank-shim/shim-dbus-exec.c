/* SPDX-License-Identifier: Apache-2.0 */

/* Exec on the bus: reads the request, opens the session, answers with its descriptors. With a
 * terminal the answer waits for the PTY that the session's own process makes; such calls are in a
 * list, since the bus, or the whole object, may go away before. */

#include "bus-access.h"
#include "bus-util.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "shim-dbus-internal.h"
#include "shim.h"
#include "strv.h"

struct ExecCall {
        ExecCall *next;
        ShimBus *bus;            /* NULL: it was freed */
        sd_bus_message *message; /* NULL: its connection is gone */
};

int shim_bus_check_privileged(const ShimBus *b, const BusCaller *caller, sd_bus_error *reterr)
{
        const Launch *l = b->shim->launch;

        return bus_caller_check_privileged(caller, l->privileged, l->pod, reterr);
}

/* An array of byte strings; none of them may hold a NUL. Counts against the limit of all. */
static int read_byte_strings(sd_bus_message *m, const char *what, size_t *total, char ***ret,
                sd_bus_error *reterr)
{
        CLEANUP_STRV char **v = NULL;
        size_t n = 0, allocated = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "ay");
        if (r < 0)
                return r;

        for (;;) {
                const void *bytes;
                size_t size;

                r = sd_bus_message_read_array(m, 'y', &bytes, &size);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                if (size > 0 && memchr(bytes, '\0', size))
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "%s[%zu] holds a NUL byte", what, n);
                *total += size + 1;
                if (*total > LIMIT_ARGV_ENV_MAX)
                        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                        "command and environment are larger than %u bytes in all",
                                        LIMIT_ARGV_ENV_MAX);

                if (n + 2 > allocated) {
                        char **grown = reallocarray(v, allocated = 2 * n + 16, sizeof(char *));

                        if (!grown)
                                return -ENOMEM;
                        v = grown;
                        v[n] = NULL;
                }
                v[n] = strndup(size > 0 ? bytes : "", size);
                if (!v[n])
                        return -ENOMEM;
                v[++n] = NULL;
        }

        *ret = TAKE_PTR(v);
        return sd_bus_message_exit_container(m);
}

static int read_groups(sd_bus_message *m, char ***ret, sd_bus_error *reterr)
{
        CLEANUP_STRV char **v = NULL;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "as");
        if (r < 0)
                return r;
        r = sd_bus_message_read_strv(m, &v);
        if (r < 0)
                return r;
        if (strv_length(v) > LIMIT_GROUPS_MAX)
                return tank_error_set(reterr, TANK_ERROR_TOO_LARGE, "more than %u groups",
                                LIMIT_GROUPS_MAX);
        strv_free(*ret);
        *ret = TAKE_PTR(v);
        return sd_bus_message_exit_container(m);
}

static int read_string(sd_bus_message *m, char **ret)
{
        const char *s;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        return r < 0 ? r : free_and_strdup(ret, s);
}

/* One of a few words; @from_string gives a negative errno for all others. */
static int read_word(sd_bus_message *m, int (*from_string)(const char *), int *ret)
{
        const char *s;
        int r;

        r = sd_bus_message_read(m, "v", "s", &s);
        if (r < 0)
                return r;
        r = from_string(s);
        if (r >= 0)
                *ret = r;
        return r;
}

static int disconnect_word(const char *s)
{
        return session_disconnect_from_string(s);
}

static int stdio_word(const char *s)
{
        return session_stdio_from_string(s);
}

static int read_option(sd_bus_message *m, SessionRequest *q, sd_bus_error *reterr)
{
        const char *key;
        int r, b, word;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;

        if (streq(key, "tty")) {
                r = sd_bus_message_read(m, "v", "b", &b);
                q->tty = r >= 0 && b;
        } else if (streq(key, "rows"))
                r = sd_bus_message_read(m, "v", "q", &q->rows);
        else if (streq(key, "cols"))
                r = sd_bus_message_read(m, "v", "q", &q->cols);
        else if (streq(key, "working-dir"))
                r = read_string(m, &q->working_dir);
        else if (streq(key, "user"))
                r = read_string(m, &q->user);
        else if (streq(key, "groups"))
                r = read_groups(m, &q->groups, reterr);
        else if (streq(key, "disconnect")) {
                r = read_word(m, disconnect_word, &word);
                if (r >= 0)
                        q->disconnect = (SessionDisconnect) word;
        } else if (streq(key, "stdio")) {
                r = read_word(m, stdio_word, &word);
                if (r >= 0)
                        q->stdio = (SessionStdio) word;
        } else if (streq(key, "input")) {
                r = sd_bus_message_read(m, "v", "b", &b);
                q->input = r >= 0 && b;
        } else
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "unknown option \"%.64s\": known are tty, rows, cols, "
                                "working-dir, user, groups, disconnect, stdio, input",
                                key);

        if (r < 0 && !sd_bus_error_is_set(reterr))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"%s\" has a value of the wrong type, or one that is not "
                                "known",
                                key);
        return r;
}

static int read_options(sd_bus_message *m, SessionRequest *q, sd_bus_error *reterr)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_option(m, q, reterr);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int check_request(const SessionRequest *q, sd_bus_error *reterr)
{
        if (strv_length(q->argv) == 0 || isempty(q->argv[0]))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "argv is empty: name a command");
        STRV_FOREACH(s, q->env)
        if (**s == '=' || !strchr(*s, '='))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "environment holds \"%.64s\", which is not KEY=VALUE", *s);
        if (q->working_dir && q->working_dir[0] != '/')
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "working-dir \"%.64s\" is not an absolute path", q->working_dir);
        if (q->disconnect == SESSION_KEEP && q->stdio != SESSION_HELD)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "disconnect \"keep\" needs stdio \"held\": pipes end with the "
                                "client that has them");
        if (q->input && (q->stdio != SESSION_HELD || q->tty))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "input is for stdio \"held\" without a terminal; else there is "
                                "one always");
        return 0;
}

static int read_request(sd_bus_message *m, SessionRequest *q, sd_bus_error *reterr)
{
        size_t total = 0;
        int r;

        r = read_byte_strings(m, "argv", &total, &q->argv, reterr);
        if (r < 0)
                return r;
        r = read_byte_strings(m, "environment", &total, &q->env, reterr);
        if (r < 0)
                return r;
        r = read_options(m, q, reterr);
        return r < 0 ? r : check_request(q, reterr);
}

static void exec_call_free(ExecCall *c)
{
        if (c->bus) {
                ExecCall **i = &c->bus->calls;

                while (*i != c)
                        i = &(*i)->next;
                *i = c->next;
        }
        sd_bus_message_unref(c->message);
        free(c);
}

int shim_bus_append_streams(sd_bus_message *m, int control, const int *stdio, size_t n_stdio)
{
        int r;

        r = sd_bus_message_append(m, "h", control);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "h");
        for (size_t i = 0; r >= 0 && i < n_stdio; i++)
                r = sd_bus_message_append(m, "h", stdio[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int reply_opened(sd_bus_message *call, const SessionOpened *opened)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "u", opened->number);
        if (r >= 0)
                r = shim_bus_append_streams(reply, opened->control, opened->stdio, opened->n_stdio);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static void on_ready(const SessionOpened *opened, const sd_bus_error *error, void *userdata)
{
        ExecCall *c = userdata;
        int r = 0;

        /* Without a reply nobody holds the client's ends, and the session is hung up. */
        if (c->message)
                r = opened ? reply_opened(c->message, opened)
                           : sd_bus_reply_method_error(c->message, error);
        if (r < 0)
                (void) log_warning_errno(r, "cannot answer a call of Exec");
        exec_call_free(c);
}

static int method_exec_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(session_request_done) SessionRequest q = {};
        ShimBus *b = userdata;
        ExecCall *c;
        int r;

        r = shim_bus_check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = read_request(m, &q, reterr);
        if (r < 0)
                return r;

        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (ExecCall){ .next = b->calls, .bus = b, .message = sd_bus_message_ref(m) };
        b->calls = c;

        r = shim_session_start(b->shim->sessions, &q, on_ready, c, reterr);
        if (r < 0) {
                exec_call_free(c);
                return r;
        }
        return 1;
}

int shim_bus_method_exec(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;

        return bus_access_dispatch(b->access, m, BUS_ATTACH, method_exec_authorized, b, reterr);
}

void shim_bus_calls_disconnected(ShimBus *b)
{
        for (ExecCall *c = b->calls; c; c = c->next)
                c->message = sd_bus_message_unref(c->message);
}

void shim_bus_calls_orphan(ShimBus *b)
{
        for (ExecCall *c = b->calls; c; c = c->next)
                c->bus = NULL; /* freed when its session tells */
}
