/* SPDX-License-Identifier: Apache-2.0 */

/* The other half of shim-session-life.c: a session's memory, and its end, from the word to its
 * client to the last process. Knows nothing of how it began. */

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bus-util.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-control.h"
#include "shim-leaf.h"
#include "shim-session-life.h"
#include "shim.h"
#include "strv.h"

#define HANG_UP_ACCURACY (10 * USEC_PER_MSEC)

/* ---- memory ---- */

void session_close_control(Session *s)
{
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->control = shim_control_close(s->control);
}

void session_close_clients_ends(Session *s)
{
        s->client_control = safe_close(s->client_control);
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = safe_close(s->client_stdio[i]);
}

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
        session_close_clients_ends(s);
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
void session_check_forget(Session *s)
{
        bool wanted = s->held && s->disconnect == SESSION_KEEP && !s->told && !held_told(s->held);

        if (s->over && !wanted && (!s->held || held_clients(s->held) == 0))
                forget(s);
}

static void forget_oldest(ShimSessions *all)
{
        Session *oldest = NULL;

        /* The first that ended, not the first that began; never one that somebody reads. */
        for (Session *s = all->first; s; s = s->next)
                if (s->over && (!s->held || held_clients(s->held) == 0) &&
                                (!oldest || s->result.at_usec < oldest->result.at_usec))
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
                session_check_forget(s);
                forget_oldest(all);
        }
        r = session_check_done(all);
        if (r < 0)
                (void) log_error_errno(r, "cannot finish the sessions");
}

void session_kill_leaf(const Session *s)
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
        session_kill_leaf(s);
        return 0;
}

int session_signal_leaf(const Session *s, int signo)
{
        CLEANUP_CLOSE int dir = shim_cgroup_open_leaf(s->all->shim->cgroup, s->leaf);

        return dir < 0 ? dir : leaf_signal(dir, signo);
}

/* The policy `hup` or `kill`, when the client is gone or done. */
void session_end_processes(Session *s)
{
        int r = -ECANCELED;

        if (s->hung_up)
                return;
        s->hung_up = true;

        session_close_control(s);
        /* The last descriptor of the terminal's master: the kernel hangs up what reads it. */
        s->master = safe_close(s->master);
        if (s->held)
                held_hang_up(s->held);

        /* As long as nothing of the container runs, there is no need for a grace. */
        if (s->disconnect == SESSION_HUP && s->executed) {
                r = session_signal_leaf(s, SIGHUP);
                if (r >= 0)
                        r = session_signal_leaf(s, SIGCONT); /* a stopped one would never see it */
                if (r >= 0)
                        r = sd_event_add_time_relative(s->all->shim->event, &s->grace_timer,
                                        CLOCK_BOOTTIME, s->all->shim->launch->stop_grace_usec,
                                        HANG_UP_ACCURACY, on_grace_over, s);
        }
        if (r < 0)
                session_kill_leaf(s);
}

/* What its command left behind, when the end is told. May free it. */
static void settle(Session *s)
{
        int r;

        if (s->disconnect == SESSION_KEEP)
                session_close_control(s);
        else if (s->control < 0)
                session_end_processes(s);
        else /* the client sees the end, and has us wait for its own */
                (void) shutdown(s->control, SHUT_WR);

        r = watch_leaf(s);
        if (r < 0) {
                (void) log_warning_errno(
                                r, "session %" PRIu32 ": cannot watch its processes", s->number);
                session_kill_leaf(s);
        }
        if (r != 0)
                session_over(s);
}

void session_tell_end(Session *s)
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

void session_finish(Session *s)
{
        if (s->over)
                forget(s);
        else if (s->settled) /* it waits for its processes only: there are none any more */
                session_over(s);
}
