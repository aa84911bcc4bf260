/* SPDX-License-Identifier: Apache-2.0 */

/* Exec sessions: further processes in a running container, each with stdio of its own and a control
 * socket to the client that asked for it (docs/protocol.md section 3).
 *
 * How its process is made: shim-session-start.c.
 *
 * The life of a session, and what each event does:
 *
 *     opened     cgroup, pipes, sockets made; child cloned; it sends on the setup socket
 *                  [PTY's master] once it has one, a SetupReport if it fails, and end of file
 *                  (close-on-exec) when execve() is done with it
 *     executed   `started` is sent, signals that came early are delivered
 *     exited     reaped: `exit` is sent, the control socket closed
 *     over       cgroup removed, freed; when processes were left in it, the cgroup stays behind
 *                  (`leftover`) and is removed at a later session or with the container
 *
 *     hung up    the client died (HUP on the control socket): SIGHUP, the container's grace, then
 *                  SIGKILL to everything in the session's cgroup; over when that is empty
 *
 * Invariants: `process` is set from the clone until it was reaped, so that neither its pid nor its
 * group's number can be anyone else's; each client gets at most one `exit`, and nothing behind it;
 * no byte of stdio passes the shim. */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "bus-util.h"
#include "error.h"
#include "failpoint.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-control.h"
#include "shim-session-start.h"
#include "shim-session.h"
#include "shim.h"
#include "strv.h"

#define HANG_UP_ACCURACY (10 * USEC_PER_MSEC)
#define LEAF_NAME_MAX    sizeof("exec-4294967295")

typedef struct Session Session;

struct Session {
        Session *next, *previous;
        ShimSessions *all;
        uint32_t number;
        char leaf[LEAF_NAME_MAX];
        bool tty;

        PidRef process;
        pid_t reaped_pid;                    /* of a program that ended before it was seen to run */
        int setup, control, master;          /* ours */
        int client_control, client_stdio[3]; /* the client's, until it has them */
        SessionReady ready;                  /* until it was called */
        void *userdata;

        SetupReport report; /* error 0: none */
        bool executed, failed, reaped, hung_up, leftover;
        int status;
        uint64_t early_signals; /* bit N - 1: signal N came before execve() */

        sd_event_source *setup_source, *control_source, *process_source, *grace_timer;
};

struct ShimSessions {
        Shim *shim;
        Session *first;
        unsigned count; /* without leftovers */
        uint32_t last_number;
        void (*done)(void *userdata);
        void *done_userdata;
        bool finishing;
        sd_event_source *done_source;
};

/* ---- what the client is told ---- */

static RunResult session_result(const Session *s)
{
        RunResult result = {};

        if (s->report.error != 0) {
                result.kind = RESULT_SETUP_FAILED;
                result.code = s->report.error;
                (void) snprintf(result.stage, sizeof(result.stage), "%s", s->report.stage);
        } else if (WIFSIGNALED(s->status)) {
                result.kind = RESULT_SIGNALED;
                result.code = WTERMSIG(s->status);
        } else {
                result.kind = RESULT_EXITED;
                result.code = WEXITSTATUS(s->status);
        }
        return result;
}

static void close_clients_ends(Session *s)
{
        s->client_control = safe_close(s->client_control);
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = safe_close(s->client_stdio[i]);
}

static void call_ready(Session *s, const sd_bus_error *error)
{
        SessionReady ready = TAKE_PTR(s->ready);
        SessionOpened opened = {
                .number = s->number,
                .control = s->client_control,
                .n_stdio = s->tty ? 1 : ARRAY_SIZE(s->client_stdio),
        };

        if (!ready)
                return;

        opened.stdio[0] = s->tty ? s->master : s->client_stdio[0];
        opened.stdio[1] = s->client_stdio[1];
        opened.stdio[2] = s->client_stdio[2];
        ready(error ? NULL : &opened, error, s->userdata);
        close_clients_ends(s);
}

/* ---- life ---- */

static void session_unlink(Session *s)
{
        if (s->previous)
                s->previous->next = s->next;
        else
                s->all->first = s->next;
        if (s->next)
                s->next->previous = s->previous;
}

static void session_close(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->process_source = sd_event_source_disable_unref(s->process_source);
        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        s->setup = safe_close(s->setup);
        s->control = safe_close(s->control);
        s->master = safe_close(s->master);
        close_clients_ends(s);
        pidref_done(&s->process);
}

static void session_free(Session *s)
{
        session_close(s);
        session_unlink(s);
        free(s);
}

static int on_done(sd_event_source *source, void *userdata)
{
        ShimSessions *all = userdata;

        all->done_source = sd_event_source_disable_unref(all->done_source);
        all->done(all->done_userdata); /* may free all: last */
        return 0;
}

static int check_done(ShimSessions *all)
{
        if (!all->finishing || all->count > 0 || all->done_source)
                return 0;
        return sd_event_add_defer(all->shim->event, &all->done_source, on_done, all);
}

/* Cgroups in which background processes stayed when their session was over. */
static void remove_leftovers(ShimSessions *all)
{
        for (Session *s = all->first, *next; s; s = next) {
                next = s->next;
                if (s->leftover && shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf) != -EBUSY)
                        session_free(s);
        }
}

/* The process is reaped and nothing is awaited: the end. */
static void session_over(Session *s)
{
        ShimSessions *all = s->all;
        int r;

        session_close(s);
        s->leftover = true;
        all->count--;
        if (shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf) != -EBUSY)
                session_free(s);

        r = check_done(all);
        if (r < 0)
                (void) log_error_errno(r, "cannot finish the sessions");
}

static void to_process(Session *s, int signo)
{
        int r;

        if (!pidref_is_set(&s->process))
                return;
        /* Its group's number is its own pid, which is ours until it is reaped. */
        if (s->tty && s->executed)
                r = kill(-s->process.pid, signo) < 0 ? -errno : 0;
        else
                r = pidref_kill(&s->process, signo);
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": cannot send signal %d", s->number, signo);
}

static void check_exit(Session *s)
{
        bool populated;

        /* Both, in any order: how the setup went, and how the process ended. */
        if (!s->reaped || (!s->executed && !s->failed))
                return;

        FAILPOINT("shim.session-exited");
        if (s->control >= 0) {
                RunResult result = session_result(s);

                shim_control_send_exit(s->control, &result, s->report.message);
                s->control_source = sd_event_source_disable_unref(s->control_source);
                s->control = shim_control_close(s->control);
        }

        populated = shim_cgroup_is_empty(s->all->shim->cgroup, s->leaf) == 0;
        if (s->hung_up && populated && s->grace_timer && !s->all->finishing)
                return; /* until the grace is over */
        session_over(s);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Session *s = userdata;
        int r;

        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        r = shim_cgroup_kill(s->all->shim->cgroup, s->leaf);
        if (r < 0)
                (void) log_warning_errno(
                                r, "session %" PRIu32 ": cannot kill its processes", s->number);
        check_exit(s); /* the process may be reaped already; else its end is still to come */
        return 0;
}

static void hang_up(Session *s)
{
        int r;

        if (s->hung_up)
                return;
        s->hung_up = true;

        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->control = safe_close(s->control);
        /* The last descriptor of the terminal's master: the kernel hangs up what reads it. */
        s->master = safe_close(s->master);

        if (s->executed && pidref_is_set(&s->process)) {
                /* The group also without a terminal: a pipeline is one thing. */
                (void) kill(-s->process.pid, SIGHUP);
                (void) kill(-s->process.pid, SIGCONT); /* a stopped one would never see it */
                r = sd_event_add_time_relative(s->all->shim->event, &s->grace_timer, CLOCK_BOOTTIME,
                                s->all->shim->launch->stop_grace_usec, HANG_UP_ACCURACY,
                                on_grace_over, s);
        } else
                r = -ECANCELED; /* nothing of the container runs yet: no grace */

        if (r < 0)
                (void) shim_cgroup_kill(s->all->shim->cgroup, s->leaf);
}

/* ---- events ---- */

static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        int r;

        r = pidref_wait(&s->process, WNOHANG, &s->status);
        if (r == 0)
                return 0;
        if (r < 0) {
                (void) log_error_errno(
                                r, "session %" PRIu32 ": cannot reap its process", s->number);
                s->status = W_EXITCODE(255, 0);
        }

        s->process_source = sd_event_source_disable_unref(s->process_source);
        s->reaped_pid = s->process.pid;
        pidref_done(&s->process);
        s->reaped = true;
        check_exit(s);
        return 0;
}

static void setup_over(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->setup = safe_close(s->setup);

        if (s->report.error != 0 || s->ready) {
                CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

                /* A client that waits for its terminal learns here that there will be none. */
                s->failed = true;
                (void) tank_error_set_errno(&error, s->report.error != 0 ? -s->report.error : -EIO,
                                "the session's terminal cannot be made (%s)",
                                s->report.error != 0 ? s->report.stage : "killed");
                call_ready(s, &error);
        } else {
                s->executed = true;
                FAILPOINT("shim.session-executed");
                shim_control_send_started(s->control, s->reaped ? s->reaped_pid : s->process.pid);
                FAILPOINT("shim.session-started");
                for (int i = 1; i <= 64; i++)
                        if (s->early_signals & (UINT64_C(1) << (i - 1)))
                                to_process(s, i);
        }
        check_exit(s);
}

static int on_setup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        SetupReport report;
        size_t n_fds = 0;
        int master = -EBADF;
        ssize_t n;

        n = packet_recv(fd, &report, sizeof(report), &master, 1, &n_fds);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n > 0 && n_fds == 1) {
                s->master = master;
                call_ready(s, NULL);
                return 0;
        }
        if (n == sizeof(report)) {
                s->report = report;
                s->report.stage[sizeof(s->report.stage) - 1] = '\0';
                s->report.message[sizeof(s->report.message) - 1] = '\0';
                return 0;
        }
        if (n != 0)
                s->report = (SetupReport){ .error = EPROTO, .stage = "setup" };
        setup_over(s);
        return 0;
}

static void handle_request(Session *s, const ControlRequest *q)
{
        switch (q->type) {
        case CONTROL_IGNORED: break;
        case CONTROL_RESIZE:
                if (s->master >= 0)
                        (void) shim_pty_set_window_size(s->master, q->rows, q->cols);
                break;
        case CONTROL_SIGNAL:
                if (s->executed || q->signo == SIGKILL)
                        to_process(s, q->signo);
                else /* would hit our own code instead of the program */
                        s->early_signals |= UINT64_C(1) << (q->signo - 1);
                break;
        }
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        ControlRequest q;
        int r;

        r = shim_control_receive(fd, &q);
        if (r == -EAGAIN)
                return 0;
        if (r > 0) {
                handle_request(s, &q);
                return 0;
        }
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": not a request", s->number);
        hang_up(s);
        return 0;
}

/* ---- opening ---- */

static int watch(Session *s)
{
        sd_event *event = s->all->shim->event;
        int r;

        r = sd_event_add_io(event, &s->setup_source, s->setup, EPOLLIN, on_setup, s);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &s->control_source, s->control, EPOLLIN, on_control, s);
        if (r < 0)
                return r;
        return sd_event_add_io(event, &s->process_source, s->process.fd, EPOLLIN, on_process, s);
}

static int session_start(Session *s, const SessionRequest *request)
{
        SessionStart start;
        int r;

        r = session_spawn(s->all->shim, s->leaf, request, &start);
        if (r < 0)
                return r;

        s->process = start.process;
        s->setup = start.setup;
        s->control = start.control;
        s->client_control = start.client_control;
        memcpy(s->client_stdio, start.client_stdio, sizeof(s->client_stdio));
        return watch(s);
}

uint32_t shim_sessions_next_number(ShimSessions *all)
{
        return ++all->last_number;
}

static Session *session_new(ShimSessions *all, bool tty)
{
        Session *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;

        s->all = all;
        s->tty = tty;
        s->number = shim_sessions_next_number(all);
        (void) snprintf(s->leaf, sizeof(s->leaf), "exec-%" PRIu32, s->number);
        s->process = PIDREF_NULL;
        s->setup = s->control = s->master = s->client_control = -EBADF;
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = -EBADF;

        s->next = all->first;
        if (s->next)
                s->next->previous = s;
        all->first = s;
        return s;
}

int shim_session_open(ShimSessions *all, const SessionRequest *request, SessionReady ready,
                void *userdata, sd_bus_error *reterr)
{
        Session *s;
        unsigned open;
        int r;

        if (all->finishing || all->shim->state != RUN_RUNNING)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "the container is %s: a session needs a running one",
                                run_state_to_string(all->shim->state));
        open = all->count + shim_attaches_count(all->shim->attaches);
        if (open >= LIMIT_SESSIONS)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u sessions are open in this container; end one first", open);

        remove_leftovers(all);
        s = session_new(all, request->tty);
        if (!s)
                return -ENOMEM;

        r = session_start(s, request);
        if (r < 0) {
                /* What was cloned dies by its place in the cgroup, and is reaped here. */
                if (pidref_is_set(&s->process)) {
                        (void) pidref_kill(&s->process, SIGKILL);
                        (void) pidref_wait(&s->process, 0, NULL);
                }
                (void) shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf);
                session_free(s);
                if (r == -ESRCH)
                        return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                        "the container has just ended");
                return tank_error_set_errno(reterr, r, "cannot start a session");
        }

        FAILPOINT("shim.session-cloned");
        all->count++;
        s->ready = ready;
        s->userdata = userdata;
        if (!s->tty)
                call_ready(s, NULL);
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

unsigned shim_sessions_count(const ShimSessions *all)
{
        return all->count;
}

bool shim_sessions_own(const ShimSessions *all, pid_t pid)
{
        for (const Session *s = all->first; s; s = s->next)
                if (pidref_is_set(&s->process) && s->process.pid == pid)
                        return true;
        return false;
}

int shim_sessions_finish(ShimSessions *all, void (*done)(void *userdata), void *userdata)
{
        all->finishing = true;
        all->done = done;
        all->done_userdata = userdata;

        for (Session *s = all->first, *next; s; s = next) {
                next = s->next;
                if (!s->leftover)
                        check_exit(s); /* those that only wait for a grace */
        }
        return check_done(all);
}
