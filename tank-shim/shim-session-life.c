/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a session, and what each event does (its end is in shim-session-end.c):
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
#include <sys/wait.h>

#include "bus-util.h"
#include "error.h"
#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "shim-control.h"
#include "shim-leaf.h"
#include "shim-session-life.h"
#include "shim-session-start.h"
#include "shim.h"

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
        session_close_clients_ends(s);
}

/* ---- events ---- */

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
                session_tell_end(s);
}

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
                session_kill_leaf(s);
                return 0;
        }
        if (!s->executed) {
                session_signal(s, signo);
                return 0;
        }
        return session_signal_leaf(s, signo);
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
                session_close_control(s);
        else
                session_end_processes(s);
        return 0;
}

/* ---- held output ---- */

static void on_held_changed(void *userdata)
{
        Session *s = userdata;

        if (s->exited && held_drained(s->held) && !s->settled)
                session_tell_end(s);
        else
                session_check_forget(s);
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
                        session_end_processes(s);
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
