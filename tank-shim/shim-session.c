/* SPDX-License-Identifier: Apache-2.0 */

/* Exec sessions: further processes in a running container, each with stdio of its own and a control
 * socket to the client that asked for it (docs/protocol.md section 3).
 *
 * Here: all of them, who may have one, and what can be asked of one. What happens to one is in
 * shim-session-life.c, how its process is made in shim-session-start.c; what it writes, when the
 * shim holds that for it, goes through shim-held.c. */

#include <signal.h>

#include "bus-util.h"
#include "error.h"
#include "failpoint.h"
#include "limit.h"
#include "shim-session-life.h"
#include "shim.h"
#include "strv.h"

static const char *const disconnect_table[] = {
        [SESSION_HUP] = "hup",
        [SESSION_KILL] = "kill",
        [SESSION_KEEP] = "keep",
};
DEFINE_STRING_TABLE(SessionDisconnect, session_disconnect, disconnect_table)

static const char *const stdio_table[] = {
        [SESSION_PIPES] = "pipes",
        [SESSION_HELD] = "held",
};
DEFINE_STRING_TABLE(SessionStdio, session_stdio, stdio_table)

static const char *const phase_table[] = {
        [SESSION_STARTING] = "starting",
        [SESSION_RUNNING] = "running",
        [SESSION_ENDING] = "ending",
        [SESSION_BACKGROUND] = "background",
        [SESSION_ENDED] = "ended",
};
DEFINE_STRING_TABLE(SessionPhase, session_phase, phase_table)

/* ---- starting ---- */

static int check_start(const ShimSessions *all, sd_bus_error *reterr)
{
        const Launch *l = all->shim->launch;

        if (all->finishing || all->shim->state != RUN_RUNNING)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "the container is %s: a session needs a running one",
                                run_state_to_string(all->shim->state));
        if (all->count >= LIMIT_SESSIONS)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u sessions are open in container %s of pod %s, which is the "
                                "limit; end one first",
                                all->count, l->container, l->pod);
        return 0;
}

int shim_session_start(ShimSessions *all, const SessionRequest *request, SessionReady ready,
                void *userdata, sd_bus_error *reterr)
{
        Session *s;
        int r;

        r = check_start(all, reterr);
        if (r < 0)
                return r;
        s = session_new(all, shim_sessions_next_number(all), request);
        if (!s)
                return -ENOMEM;
        r = session_begin(s, request);
        if (r < 0) {
                session_free(s);
                if (r == -ESRCH)
                        return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                        "the container has just ended");
                return tank_error_set_errno(reterr, r, "cannot start a session");
        }

        FAILPOINT("shim.session-cloned");
        all->count++;
        session_answer(s, ready, userdata);
        return 0;
}

void session_request_done(SessionRequest *r)
{
        strv_free(r->argv);
        strv_free(r->env);
        strv_free(r->groups);
        free(r->user);
        free(r->working_dir);
}

/* ---- asking ---- */

static int find(const ShimSessions *all, uint32_t number, Session **ret, sd_bus_error *reterr)
{
        for (Session *s = all->first; s; s = s->next)
                if (s->number == number) {
                        *ret = s;
                        return 0;
                }
        return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                        "there is no session %" PRIu32 " in container %s of pod %s", number,
                        all->shim->launch->container, all->shim->launch->pod);
}

int shim_session_open(ShimSessions *all, uint32_t number, bool input, HeldOpened *ret,
                sd_bus_error *reterr)
{
        Session *s = NULL;
        int r;

        r = find(all, number, &s, reterr);
        if (r < 0)
                return r;
        if (s->stdio != SESSION_HELD)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "session %" PRIu32 " belongs to the client that started it: its "
                                "output is not held",
                                number);
        if (!s->held)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "session %" PRIu32 " is not set up yet; try again", number);
        return held_open(s->held, input, ret, reterr);
}

int shim_session_kill(ShimSessions *all, uint32_t number, int signo, sd_bus_error *reterr)
{
        Session *s = NULL;
        int r;

        r = find(all, number, &s, reterr);
        if (r < 0)
                return r;
        if (s->over)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "session %" PRIu32 " has ended; waiting for it tells how", number);
        r = session_signal_all(s, signo);
        return r < 0 ? tank_error_set_errno(reterr, r, "cannot send signal %d to session %" PRIu32,
                                       signo, number)
                     : 0;
}

int shim_sessions_list(const ShimSessions *all,
                int (*each)(const SessionInfo *info, void *userdata), void *userdata)
{
        const Session *s = all->first;

        while (s && s->next)
                s = s->next;
        for (; s; s = s->previous) {
                SessionInfo info = {
                        .number = s->number,
                        .phase = session_phase(s),
                        .pid = s->process.pid,
                        .processes = session_processes(s),
                        .clients = (s->held ? held_clients(s->held) : 0) + (s->control >= 0),
                        .tty = s->tty,
                        .stdio = s->stdio,
                        .disconnect = s->disconnect,
                        .started_usec = s->started_usec,
                        .argv = s->argv,
                        .user = s->user,
                        .result = s->exited ? &s->result : NULL,
                };
                int r = each(&info, userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

unsigned shim_sessions_count(const ShimSessions *all)
{
        return all->count;
}

uint32_t shim_sessions_next_number(ShimSessions *all)
{
        return ++all->last_number;
}

bool shim_sessions_own(const ShimSessions *all, pid_t pid)
{
        for (const Session *s = all->first; s; s = s->next)
                if (pidref_is_set(&s->process) && s->process.pid == pid)
                        return true;
        return false;
}

/* ---- all ---- */

int shim_sessions_new(Shim *shim, ShimSessions **ret)
{
        ShimSessions *all = calloc(1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        all->shim = shim;
        *ret = all;
        return 0;
}

ShimSessions *shim_sessions_free(ShimSessions *all)
{
        if (!all)
                return NULL;

        while (all->first)
                session_free(all->first);
        sd_event_source_disable_unref(all->done_source);
        free(all);
        return NULL;
}

int shim_sessions_finish(ShimSessions *all, void (*done)(void *userdata), void *userdata)
{
        all->finishing = true;
        all->done = done;
        all->done_userdata = userdata;

        for (Session *s = all->first, *next; s; s = next) {
                next = s->next;
                session_finish(s);
        }
        return session_check_done(all);
}
