/* SPDX-License-Identifier: Apache-2.0 */

/* One run as an object on the bus: org.tankd.Shim1 at /org/tankd/Shim1, under the name that the
 * launch record gives. The vtable at the bottom is the interface; dbus/org.tankd.Shim1.xml tells it
 * in words and is compared with it.
 *
 * Owns the connection, which comes back by itself, and the calls of Exec that wait for their
 * terminal. Neither sessions nor the run depend on anything here: when the bus dies, calls that
 * wait lose their message, and a session whose client never got its descriptors sees it gone. */

#include <signal.h>

#include "bus-access.h"
#include "bus-names.h"
#include "bus-util.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "shim-dbus.h"
#include "shim.h"
#include "strv.h"

typedef struct ExecCall ExecCall;

struct ExecCall {
        ExecCall *next;
        ShimBus *bus;            /* NULL: it was freed */
        sd_bus_message *message; /* NULL: its connection is gone */
};

struct ShimBus {
        Shim *shim;
        BusLink *link;
        BusAccess *access; /* of the connection there is */
        sd_event_source *changed_source;
        ExecCall *calls;
};

static BusAccess *get_access(void *userdata)
{
        ShimBus *b = userdata;

        return b->access;
}

/* ---- Exec ---- */

static int check_privileged(const ShimBus *b, const BusCaller *caller, sd_bus_error *reterr)
{
        if (!b->shim->launch->privileged || bus_caller_may(caller, BUS_PRIVILEGED))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                        "pod %s uses privileged fields: this needs the right 'privileged'; be root",
                        b->shim->launch->pod);
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

static int read_option(sd_bus_message *m, SessionRequest *q, sd_bus_error *reterr)
{
        const char *key;
        int r, b;

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
        else
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "unknown option \"%s\": known are tty, rows, cols, working-dir, "
                                "user, groups",
                                key);

        if (r < 0 && !sd_bus_error_is_set(reterr))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"%s\" has a value of the wrong type", key);
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
        if (r < 0)
                return r;

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
        return 0;
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

static int reply_opened(sd_bus_message *call, const SessionOpened *opened)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "uh", opened->number, opened->control);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "h");
        if (r < 0)
                return r;
        for (size_t i = 0; i < opened->n_stdio; i++) {
                r = sd_bus_message_append(reply, "h", opened->stdio[i]);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
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

        r = check_privileged(b, caller, reterr);
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

        r = shim_session_open(b->shim->sessions, &q, on_ready, c, reterr);
        if (r < 0) {
                exec_call_free(c);
                return r;
        }
        return 1;
}
BUS_METHOD(method_exec, BUS_ATTACH, get_access)

/* ---- Kill ---- */

static int method_kill_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;
        int32_t signo;
        int r;

        r = check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "i", &signo);
        if (r < 0)
                return r;
        if (signo < 1 || signo > SIGRTMAX)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "%" PRIi32 " is no signal: 1 to %d are", signo, SIGRTMAX);

        r = b->shim->ask->kill(b->shim, signo);
        if (r == -ESRCH)
                return tank_error_set(
                                reterr, TANK_ERROR_NOT_RUNNING, "the container is not running");
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot send signal %" PRIi32, signo);
        return sd_bus_reply_method_return(m, NULL);
}
BUS_METHOD(method_kill, BUS_MANAGE, get_access)

/* ---- properties ---- */

static int property_string(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Launch *launch = ((ShimBus *) userdata)->shim->launch;

        return sd_bus_message_append(
                        reply, "s", streq(property, "Run") ? launch->run : launch->pod_uid);
}

static int property_state(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "s", run_state_to_string(b->shim->state));
}

static int property_pid(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "u", (uint32_t) b->shim->main.pid);
}

static int property_sessions(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;

        return sd_bus_message_append(reply, "u", shim_sessions_count(b->shim->sessions));
}

static const sd_bus_vtable shim_vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_PROPERTY("Run", "s", property_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PodUid", "s", property_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Pid", "u", property_pid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Sessions", "u", property_sessions, 0, 0),

        SD_BUS_METHOD_WITH_ARGS("Exec",
                        SD_BUS_ARGS("aay", argv, "aay", environment, "a{sv}", options),
                        SD_BUS_RESULT("u", session, "h", control, "ah", stdio), method_exec,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("Kill", SD_BUS_ARGS("i", signal), SD_BUS_NO_RESULT, method_kill,
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_VTABLE_END,
};

int shim_dbus_introspect(void)
{
        static const BusInterface interfaces[] = {
                { TANK_SHIM_INTERFACE, shim_vtable },
        };

        return bus_print_introspection(TANK_SHIM_PATH, interfaces, ARRAY_SIZE(interfaces));
}

/* ---- the connection ---- */

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        uint32_t result = 0;

        if (!error)
                (void) sd_bus_message_read(reply, "u", &result);
        if (result != 1 /* primary owner */)
                log_warning("cannot take the name %s on the bus: %s", b->shim->launch->bus_name,
                                error ? strempty(error->message) : "another process has it");
        return 0;
}

static int on_connected(sd_bus *bus, void *userdata)
{
        ShimBus *b = userdata;
        int r;

        r = bus_access_new(bus, &b->access);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(
                        bus, NULL, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, shim_vtable, b);
        if (r < 0)
                return r;
        return sd_bus_request_name_async(bus, NULL, b->shim->launch->bus_name, 0, on_name, b);
}

static void on_disconnected(void *userdata)
{
        ShimBus *b = userdata;

        b->access = bus_access_free(b->access);
        for (ExecCall *c = b->calls; c; c = c->next)
                c->message = sd_bus_message_unref(c->message);
}

static int on_changed(sd_event_source *source, void *userdata)
{
        ShimBus *b = userdata;
        sd_bus *bus = bus_link_get(b->link);

        /* A lost signal is repaired by whoever reads the properties anew. */
        if (bus)
                (void) sd_bus_emit_properties_changed(
                                bus, TANK_SHIM_PATH, TANK_SHIM_INTERFACE, "State", "Pid", NULL);
        return 0;
}

void shim_bus_changed(ShimBus *b)
{
        if (b)
                (void) sd_event_source_set_enabled(b->changed_source, SD_EVENT_ONESHOT);
}

int shim_bus_new(Shim *shim, ShimBus **ret)
{
        CLEANUP(shim_bus_freep) ShimBus *b = NULL;
        int r;

        if (!shim->launch->bus_name)
                return -EINVAL;
        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->shim = shim;

        r = sd_event_add_defer(shim->event, &b->changed_source, on_changed, b);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(b->changed_source, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* Behind everything else that this turn of the loop does. */
        r = sd_event_source_set_priority(b->changed_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        r = bus_link_new(shim->event, "tank-shim", on_connected, on_disconnected, b, &b->link);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(b);
        return 0;
}

ShimBus *shim_bus_free(ShimBus *b)
{
        if (!b)
                return NULL;

        bus_link_free(b->link); /* calls on_disconnected() */
        bus_access_free(b->access);
        for (ExecCall *c = b->calls; c; c = c->next)
                c->bus = NULL; /* freed when its session tells */
        sd_event_source_disable_unref(b->changed_source);
        free(b);
        return NULL;
}
