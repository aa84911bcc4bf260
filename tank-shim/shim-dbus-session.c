/* SPDX-License-Identifier: Apache-2.0 */

/* Sessions that there are, on the bus: which, a client more for one whose output is held, a signal
 * to one. */

#include <inttypes.h>
#include <signal.h>

#include "bus-access.h"
#include "bus-options.h"
#include "bus-util.h"
#include "error.h"
#include "shim-attach.h"
#include "shim-dbus-internal.h"
#include "shim-held.h"
#include "shim.h"
#include "strv.h"

int shim_bus_read_signal(sd_bus_message *m, int *ret, sd_bus_error *reterr)
{
        int32_t signo;
        int r;

        r = sd_bus_message_read(m, "i", &signo);
        if (r < 0)
                return r;
        if (signo < 1 || signo > SIGRTMAX)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "%d is no signal: 1 to %d are", (int) signo, SIGRTMAX);
        *ret = signo;
        return 0;
}

/* ---- ListSessions ---- */

static int append_command(sd_bus_message *m, char *const *argv)
{
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "command");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "aay");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "ay");
        STRV_FOREACH(a, argv)
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', *a, strlen(*a));
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int append_result(sd_bus_message *m, const RunResult *result)
{
        int r;

        r = sd_bus_message_append(m, "{sv}{sv}{sv}", "kind", "s",
                        result_kind_to_string(result->kind), "code", "i", result->code,
                        "ended-usec", "t", result->at_usec);
        if (r >= 0 && result->kind == RESULT_SETUP_FAILED)
                r = sd_bus_message_append(m, "{sv}", "stage", "s", result->stage);
        return r;
}

typedef struct SessionList {
        sd_bus_message *reply;
        bool with_commands;
} SessionList;

static int append_session(const SessionInfo *s, void *userdata)
{
        const SessionList *l = userdata;
        sd_bus_message *m = l->reply;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}", "session", "u", s->number,
                                "state", "s", session_phase_to_string(s->phase), "pid", "u",
                                (uint32_t) s->pid, "processes", "u", s->processes, "clients", "u",
                                s->clients);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "tty", "b", (int) s->tty, "stdio",
                                "s", session_stdio_to_string(s->stdio), "disconnect", "s",
                                session_disconnect_to_string(s->disconnect), "started-usec", "t",
                                s->started_usec);
        if (r >= 0 && l->with_commands)
                r = append_command(m, s->argv);
        if (r >= 0 && s->user)
                r = sd_bus_message_append(m, "{sv}", "user", "s", s->user);
        if (r >= 0 && s->result)
                r = append_result(m, s->result);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_attached(const AttachInfo *a, void *userdata)
{
        sd_bus_message *m = userdata;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}", "session", "u", a->number,
                                "state", "s", a->leaving ? "ending" : "attached", "mode", "s",
                                a->writer ? "writer" : "viewer", "tty", "b", 1, "started-usec", "t",
                                a->started_usec);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "clients", "u", (uint32_t) !a->leaving);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int method_list_sessions_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const ShimBus *b = userdata;
        SessionList list;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        /* What root runs in a privileged pod may hold what only root shall read. */
        list = (SessionList){
                .reply = reply,
                .with_commands = !b->shim->launch->privileged ||
                                 bus_caller_may(caller, BUS_PRIVILEGED),
        };
        if (r >= 0)
                r = shim_sessions_list(b->shim->sessions, append_session, &list);
        if (r >= 0)
                r = shim_attaches_list(b->shim->attaches, append_attached, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int shim_bus_method_list_sessions(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;

        return bus_access_dispatch(
                        b->access, m, BUS_INSPECT, method_list_sessions_authorized, b, reterr);
}

/* ---- OpenSession ---- */

static int method_open_session_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(held_opened_done) HeldOpened opened = { .control = -EBADF };
        const ShimBus *b = userdata;
        bool input = false;
        const BusOption options[] = { { "input", 'b', &input, NULL } };
        uint32_t number;
        int r;

        r = shim_bus_check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "u", &number);
        if (r < 0)
                return r;
        r = bus_read_options(m, options, ARRAY_SIZE(options), reterr);
        if (r < 0)
                return r;

        if (shim_attach_is(b->shim->attaches, number))
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "session %" PRIu32 " is no command but a client attached to the "
                                "terminal of container %s of pod %s: attach to see what it "
                                "sees",
                                number, b->shim->launch->container, b->shim->launch->pod);
        r = shim_session_open(b->shim->sessions, number, input, &opened, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = shim_bus_append_streams(reply, opened.control, opened.stdio, opened.n_stdio);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int shim_bus_method_open_session(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;

        return bus_access_dispatch(
                        b->access, m, BUS_ATTACH, method_open_session_authorized, b, reterr);
}

/* ---- KillSession ---- */

static int method_kill_session_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        const ShimBus *b = userdata;
        uint32_t number;
        int r, signo;

        r = shim_bus_check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "u", &number);
        if (r < 0)
                return r;
        r = shim_bus_read_signal(m, &signo, reterr);
        if (r < 0)
                return r;
        /* An attached client is no process of the container: any signal detaches it. */
        if (!shim_attach_detach(b->shim->attaches, number))
                r = shim_session_kill(b->shim->sessions, number, signo, reterr);
        return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
}

/* Whoever may start one may end one. */
int shim_bus_method_kill_session(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;

        return bus_access_dispatch(
                        b->access, m, BUS_ATTACH, method_kill_session_authorized, b, reterr);
}
