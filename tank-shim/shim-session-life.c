/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a session, and what each event does:
 *
 *     opened     cgroup, pipes, sockets made; child cloned; it sends on the setup socket
 *                  [PTY's master] once it has one, a SetupReport if it fails, and end of file
 *                  (close-on-exec) when execve() is done with it
 *     executed   `started` is sent, signals that came early are delivered
 *     exited     reaped; held output is drained first, then `exit` is sent
 *     told       nothing is left in its cgroup: over. Else, what its command left behind
 *                  lives on         with the policy `keep`,
 *                  lives on until   its client is done with reading and closes the control socket,
 *                  is hung up       otherwise
 *     over       cgroup removed; freed, unless a kept result waits for somebody
 *
 *     hung up    the client died (HUP on the control socket), or is done: SIGHUP to everything in
 *                  the session's cgroup, the container's grace, then SIGKILL; with the policy
 *                  `kill` SIGKILL at once; with `keep` nothing
 *
 * Invariants: `process` is set from the clone until it was reaped, so that neither its pid nor its
 * group's number can be anyone else's; each client gets at most one `exit`, and nothing behind it;
 * of a session that is not held no byte of stdio passes the shim; what is over has no process. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bus-util.h"
#include "error.h"
#include "failpoint.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-control.h"
#include "shim-leaf.h"
#include "shim-session-life.h"
#include "shim-session-start.h"
#include "shim.h"
#include "strv.h"

#define HANG_UP_ACCURACY (10 * USEC_PER_MSEC)

/* ---- its client ---- */

static RunResult session_result(const Session *s)
{
        RunResult result = { .at_usec = now_realtime_usec() };

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

static void close_control(Session *s)
{
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->control = shim_control_close(s->control);
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
                .n_stdio = s->stdio == SESSION_HELD ? 0
                           : s->tty                 ? 1
                                                    : ARRAY_SIZE(s->client_stdio),
        };

        if (!ready)
                return;

        opened.stdio[0] = s->tty ? s->master : s->client_stdio[0];
        opened.stdio[1] = s->client_stdio[1];
        opened.stdio[2] = s->client_stdio[2];
        ready(error ? NULL : &opened, error, s->userdata);
        close_clients_ends(s);
}

/* ---- memory ---- */

/* The first bytes of it, for people. */
static int copy_command(char *const *argv, char ***ret)
{
        CLEANUP_STRV char **v = NULL;
        size_t left = LIMIT_SESSION_COMMAND;
        int r;

        STRV_FOREACH(a, argv)
        {
                char *part = strndup(*a, left);

                if (!part)
                        return -ENOMEM;
                left -= strlen(part);
                r = strv_append_take(&v, part);
                if (r < 0)
                        return r;
                if (left == 0)
                        break;
        }
        *ret = TAKE_PTR(v);
        return 0;
}

Session *session_new(ShimSessions *all, uint32_t number, const SessionRequest *request)
{
        Session *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;

        s->all = all;
        s->tty = request->tty;
        s->stdio = request->stdio;
        s->disconnect = request->disconnect;
        s->input = request->input;
        s->started_usec = now_realtime_usec();
        s->number = number;
        (void) snprintf(s->leaf, sizeof(s->leaf), "exec-%" PRIu32, s->number);
        s->process = PIDREF_NULL;
        s->setup = s->control = s->master = s->client_control = s->events = -EBADF;
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = -EBADF;

        s->next = all->first;
        if (s->next)
                s->next->previous = s;
        all->first = s;

        if (copy_command(request->argv, &s->argv) < 0 ||
                        free_and_strdup(&s->user, request->user) < 0) {
                session_free(s);
                return NULL;
        }
        return s;
}

static void session_unlink(Session *s)
{
        if (s->previous)
                s->previous->next = s->next;
        else
                s->all->first = s->next;
        if (s->next)
                s->next->previous = s->previous;
}

/* But for what is held. */
static void session_close(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->process_source = sd_event_source_disable_unref(s->process_source);
        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        s->empty_source = sd_event_source_disable_unref(s->empty_source);
        s->setup = safe_close(s->setup);
        s->control = shim_control_close(s->control);
        s->master = safe_close(s->master);
        s->events = safe_close(s->events);
        close_clients_ends(s);
        pidref_done(&s->process);
}

void session_free(Session *s)
{
        session_close(s);
        held_free(s->held);
        session_unlink(s);
        strv_free(s->argv);
        free(s->user);
        free(s);
}

/* ---- the end ---- */

static int on_done(sd_event_source *source, void *userdata)
{
        ShimSessions *all = userdata;

        all->done_source = sd_event_source_disable_unref(all->done_source);
        all->done(all->done_userdata); /* may free all: last */
        return 0;
}

int session_check_done(ShimSessions *all)
{
        if (!all->finishing || all->count > 0 || all->done_source)
                return 0;
        return sd_event_add_defer(all->shim->event, &all->done_source, on_done, all);
}

static void forget(Session *s)
{
        s->all->ended--;
        session_free(s);
}

/* A kept one that somebody was told the end of, and that nobody looks at any more. */
static void check_forget(Session *s)
{
        bool wanted = s->held && s->disconnect == SESSION_KEEP && !s->told && !held_told(s->held);

        if (s->over && !wanted && (!s->held || held_clients(s->held) == 0))
                forget(s);
}

static void forget_oldest(ShimSessions *all)
{
        Session *oldest = NULL;

        for (Session *s = all->first; s; s = s->next)
                if (s->over)
                        oldest = s;
        if (all->ended > LIMIT_SESSIONS_ENDED && oldest)
                forget(oldest);
}

/* No process is left. */
static void session_over(Session *s)
{
        ShimSessions *all = s->all;
        int r;

        session_close(s);
        r = shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf);
        if (r < 0) /* it goes with the container */
                log_debug_errno(r, "session %" PRIu32 ": cannot remove its cgroup", s->number);
        s->over = true;
        all->count--;
        all->ended++;
        if (all->finishing)
                forget(s);
        else {
                check_forget(s);
                forget_oldest(all);
        }
        r = session_check_done(all);
        if (r < 0)
                (void) log_error_errno(r, "cannot finish the sessions");
}

static void kill_leaf(const Session *s)
{
        int r = shim_cgroup_kill(s->all->shim->cgroup, s->leaf);

        if (r < 0)
                (void) log_warning_errno(
                                r, "session %" PRIu32 ": cannot kill its processes", s->number);
        /* It may not be in its cgroup yet. */
        if (pidref_is_set(&s->process) && (r < 0 || !s->executed))
                (void) pidref_kill(&s->process, SIGKILL);
}

static bool is_empty(const Session *s)
{
        return shim_cgroup_is_empty(s->all->shim->cgroup, s->leaf) != 0;
}

static int on_events(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;

        if (leaf_read_events(fd) != 0)
                session_over(s);
        return 0;
}

static int watch_leaf(Session *s)
{
        CLEANUP_CLOSE int dir = shim_cgroup_open_leaf(s->all->shim->cgroup, s->leaf);
        int r;

        if (s->empty_source)
                return 0;
        if (dir < 0)
                return dir;
        s->events = leaf_open_events(dir);
        if (s->events < 0)
                return s->events;
        r = sd_event_add_io(
                        s->all->shim->event, &s->empty_source, s->events, EPOLLPRI, on_events, s);
        return r < 0 ? r : leaf_read_events(s->events);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Session *s = userdata;

        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        kill_leaf(s);
        return 0;
}

static int signal_leaf(const Session *s, int signo)
{
        CLEANUP_CLOSE int dir = shim_cgroup_open_leaf(s->all->shim->cgroup, s->leaf);

        return dir < 0 ? dir : leaf_signal(dir, signo);
}

/* The policy `hup` or `kill`, when the client is gone or done. */
static void end_processes(Session *s)
{
        int r = -ECANCELED;

        if (s->hung_up)
                return;
        s->hung_up = true;

        close_control(s);
        /* The last descriptor of the terminal's master: the kernel hangs up what reads it. */
        s->master = safe_close(s->master);
        if (s->held)
                held_hang_up(s->held);

        /* As long as nothing of the container runs, there is no need for a grace. */
        if (s->disconnect == SESSION_HUP && s->executed) {
                r = signal_leaf(s, SIGHUP);
                if (r >= 0)
                        r = signal_leaf(s, SIGCONT); /* a stopped one would never see it */
                if (r >= 0)
                        r = sd_event_add_time_relative(s->all->shim->event, &s->grace_timer,
                                        CLOCK_BOOTTIME, s->all->shim->launch->stop_grace_usec,
                                        HANG_UP_ACCURACY, on_grace_over, s);
        }
        if (r < 0)
                kill_leaf(s);
}

/* What its command left behind, when the end is told. May free it. */
static void settle(Session *s)
{
        int r;

        if (s->disconnect == SESSION_KEEP)
                close_control(s);
        else if (s->control < 0)
                end_processes(s);
        else /* the client sees the end, and has us wait for its own */
                (void) shutdown(s->control, SHUT_WR);

        r = watch_leaf(s);
        if (r < 0) {
                (void) log_warning_errno(
                                r, "session %" PRIu32 ": cannot watch its processes", s->number);
                kill_leaf(s);
        }
        if (r != 0)
                session_over(s);
}

static void tell_end(Session *s)
{
        /* Of a setup that failed there is no output to ask for later. */
        s->told = s->failed && s->control >= 0;
        s->settled = true;
        shim_control_send_exit(s->control, &s->result, s->report.message);
        if (is_empty(s))
                session_over(s);
        else
                settle(s);
}

static void check_exit(Session *s)
{
        /* Both, in any order: how the setup went, and how the process ended. */
        if (s->exited || !s->reaped || (!s->executed && !s->failed))
                return;

        FAILPOINT("shim.session-exited");
        s->exited = true;
        s->result = session_result(s);
        if (s->held)
                held_finish(s->held, &s->result, s->report.message);
        else
                tell_end(s);
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
        pidref_done(&s->process);
        s->reaped = true;
        check_exit(s);
        return 0;
}

void session_signal(Session *s, int signo)
{
        int r;

        if (!s->executed && signo != SIGKILL) {
                /* Would hit our own code instead of the program. */
                s->early_signals |= UINT64_C(1) << (signo - 1);
                return;
        }
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

int session_signal_all(Session *s, int signo)
{
        if (signo == SIGKILL) {
                kill_leaf(s);
                return 0;
        }
        if (!s->executed) {
                session_signal(s, signo);
                return 0;
        }
        return signal_leaf(s, signo);
}

static void handle_request(const ControlRequest *q, void *userdata)
{
        Session *s = userdata;
        int master = s->held ? held_terminal(s->held) : s->master;

        switch (q->type) {
        case CONTROL_IGNORED: break;
        case CONTROL_RESIZE:
                /* A client that does not know its size says 0: nothing to draw for. */
                if (master >= 0 && q->rows > 0 && q->cols > 0)
                        (void) shim_pty_set_window_size(master, q->rows, q->cols);
                break;
        case CONTROL_SIGNAL: session_signal(s, q->signo); break;
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
                handle_request(&q, s);
                return 0;
        }
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": not a request", s->number);
        if (s->disconnect == SESSION_KEEP)
                close_control(s);
        else
                end_processes(s);
        return 0;
}

/* ---- held output ---- */

static void on_held_changed(void *userdata)
{
        Session *s = userdata;

        if (s->exited && held_drained(s->held) && !s->settled)
                tell_end(s);
        else
                check_forget(s);
}

/* @streams, @input are taken on success. */
static int hold(Session *s, const int *streams, size_t n, int input)
{
        static const HeldEvents events = { .request = handle_request, .changed = on_held_changed };

        return held_new(s->all->shim->event, streams, n, input, &events, s, &s->held);
}

static int hold_terminal(Session *s)
{
        int r = hold(s, &s->master, 1, -EBADF);

        if (r >= 0)
                s->master = -EBADF;
        return r;
}

static int hold_pipes(Session *s)
{
        int r;

        if (!s->input)
                s->client_stdio[0] = safe_close(s->client_stdio[0]);
        r = hold(s, s->client_stdio + 1, 2, s->client_stdio[0]);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = -EBADF;
        return r;
}

/* ---- the setup ---- */

static void refuse(Session *s, int error, const char *why)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) tank_error_set_errno(&e, -error, "the session's terminal cannot be made (%s)", why);
        call_ready(s, &e);
}

static void setup_over(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->setup = safe_close(s->setup);

        if (s->report.error != 0 || s->ready) {
                /* A client that waits for its terminal learns here that there will be none. */
                s->failed = true;
                refuse(s, s->report.error != 0 ? s->report.error : EIO,
                                s->report.error != 0 ? s->report.stage : "killed");
        } else {
                s->executed = true;
                FAILPOINT("shim.session-executed");
                shim_control_send_started(s->control, s->pid);
                if (s->held)
                        held_started(s->held, s->pid);
                FAILPOINT("shim.session-started");
                for (int i = 1; i <= 64; i++)
                        if (s->early_signals & (UINT64_C(1) << (i - 1)))
                                session_signal(s, i);
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
        int r;

        n = packet_recv(fd, &report, sizeof(report), &master, 1, &n_fds);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n > 0 && n_fds == 1) {
                s->master = master;
                r = s->stdio == SESSION_HELD ? hold_terminal(s) : 0;
                if (r < 0) {
                        refuse(s, -r, "held");
                        end_processes(s);
                } else
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

/* ---- the start ---- */

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

int session_begin(Session *s, const SessionRequest *request)
{
        SessionStart start;
        int r;

        r = session_spawn(s->all->shim, s->leaf, request, &start);
        if (r < 0)
                return r;

        s->process = start.process;
        s->pid = start.process.pid;
        s->setup = start.setup;
        s->control = start.control;
        s->client_control = start.client_control;
        memcpy(s->client_stdio, start.client_stdio, sizeof(s->client_stdio));
        r = watch(s);
        if (r >= 0 && s->stdio == SESSION_HELD && !s->tty)
                r = hold_pipes(s);
        if (r >= 0)
                return 0;
        /* What was cloned dies by its pidfd, and is reaped here. */
        (void) pidref_kill(&s->process, SIGKILL);
        (void) pidref_wait(&s->process, 0, &s->status);
        pidref_done(&s->process);
        (void) shim_cgroup_remove_leaf(s->all->shim->cgroup, s->leaf);
        return r;
}

void session_answer(Session *s, SessionReady ready, void *userdata)
{
        s->ready = ready;
        s->userdata = userdata;
        if (!s->tty)
                call_ready(s, NULL);
}

/* ---- what it is doing ---- */

SessionPhase session_phase(const Session *s)
{
        if (s->over)
                return SESSION_ENDED;
        if (s->hung_up)
                return SESSION_ENDING;
        if (s->exited)
                return s->settled && s->disconnect == SESSION_KEEP ? SESSION_BACKGROUND
                                                                   : SESSION_ENDING;
        return s->executed ? SESSION_RUNNING : SESSION_STARTING;
}

unsigned session_processes(const Session *s)
{
        CLEANUP_CLOSE int dir = -EBADF;
        int n;

        if (s->over)
                return 0;
        dir = shim_cgroup_open_leaf(s->all->shim->cgroup, s->leaf);
        n = dir < 0 ? 0 : leaf_count(dir);
        return n < 0 ? 0 : (unsigned) n;
}

void session_finish(Session *s)
{
        if (s->over)
                forget(s);
        else if (s->settled) /* it waits for its processes only: there are none any more */
                session_over(s);
}
