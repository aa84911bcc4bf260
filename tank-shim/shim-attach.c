/* SPDX-License-Identifier: Apache-2.0 */

/* Attached clients: the terminal of the container's first process, shared by one writer and any
 * number of viewers. A client has a stream socket (its bytes) and a control socket
 * (docs/protocol.md section 3.2).
 *
 *     terminal → shim-pty's fan-out → a reader for each client → its stream
 *     the writer's stream → shim-input → terminal
 *
 * So a client that reads nothing is dropped behind by the fan-out, and one that writes too much is
 * held back by its own socket; neither is felt by the container, its log, or another client.
 *
 * The life of an attach:
 *
 *     attached   the window has the writer's size, `started` and what is held are sent
 *     over       the output ended and the client has all of it: `exit`, with the run's result,
 *                goes last, and both sockets are closed
 *     leaving    the client closed a socket, or died: it gets nothing more; what it typed before is
 *                still brought to the terminal, until that took nothing of it for LEAVE_USEC, or
 *                the next writer comes, and then it is freed
 *
 * A writer that shuts its stream down for writing has typed all it had, and is a viewer from then
 * on.
 *
 * Invariants: at most one is a writer; nothing that a client does ends the container. */

#include <inttypes.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bus-util.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-attach.h"
#include "shim-control.h"
#include "shim-input.h"
#include "shim.h"

#define LEAVE_USEC  (10 * USEC_PER_SEC) /* on a busy machine a program may have no turn for long */
#define FINISH_USEC (2 * USEC_PER_SEC)
#define ACCURACY    (10 * USEC_PER_MSEC)

typedef struct Attach Attach;

struct Attach {
        Attach *next, *previous;
        ShimAttaches *all;
        uint32_t number;
        int control;
        sd_event_source *control_source, *leave_timer;
        FanoutReader *reader; /* NULL: leaving */
        ShimInput *input;     /* of the writer, until its end */
        bool writer;
        uint64_t started_usec;
        uint64_t passed; /* of the input, when leaving was looked at last */
};

struct ShimAttaches {
        Shim *shim;
        Attach *first;
        unsigned count;
        void (*done)(void *userdata);
        void *done_userdata;
        sd_event_source *done_source; /* while finishing */
};

/* ---- life ---- */

static void check_done(ShimAttaches *all)
{
        /* Due at once instead of at its time. */
        if (all->done_source && all->count == 0)
                (void) sd_event_source_set_time(all->done_source, 0);
}

static void attach_free(Attach *a)
{
        ShimAttaches *all = a->all;

        if (a->previous)
                a->previous->next = a->next;
        else
                all->first = a->next;
        if (a->next)
                a->next->previous = a->previous;
        all->count--;

        sd_event_source_disable_unref(a->control_source);
        sd_event_source_disable_unref(a->leave_timer);
        shim_input_free(a->input);
        fanout_reader_free(a->reader);
        safe_close(a->control);
        free(a);
        check_done(all);
}

/* The run's result, behind everything that came out of the terminal. */
static void attach_over(Attach *a)
{
        const Shim *shim = a->all->shim;

        a->control_source = sd_event_source_disable_unref(a->control_source);
        a->reader = fanout_reader_free(a->reader);
        shim_control_send_exit(a->control, &shim->result, shim->result_message);
        a->control = shim_control_close(a->control);
        attach_free(a);
}

static void attach_lose(Attach *a)
{
        log_notice("attach %" PRIu32 ": the client is gone, and what it typed last is lost: the "
                   "terminal does not take it",
                        a->number);
        attach_free(a);
}

static int on_leave(sd_event_source *source, uint64_t usec, void *userdata)
{
        Attach *a = userdata;
        uint64_t passed = shim_input_passed(a->input);

        if (passed > a->passed) {
                a->passed = passed;
                (void) sd_event_source_set_time_relative(source, LEAVE_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        attach_lose(a);
        return 0;
}

static void attach_leave(Attach *a)
{
        int r;

        a->control_source = sd_event_source_disable_unref(a->control_source);
        a->control = safe_close(a->control);
        a->reader = fanout_reader_free(a->reader);
        if (a->leave_timer)
                return;
        if (!a->input || shim_input_flush(a->input)) {
                attach_free(a);
                return;
        }
        r = sd_event_add_time_relative(a->all->shim->event, &a->leave_timer, CLOCK_BOOTTIME,
                        LEAVE_USEC, ACCURACY, on_leave, a);
        if (r < 0)
                attach_free(a);
}

/* ---- events ---- */

static void on_reader_over(FanoutReader *reader, int error, void *userdata)
{
        Attach *a = userdata;

        if (error == 0)
                attach_over(a);
        else
                attach_leave(a);
}

static void on_input_over(ShimInput *input, void *userdata)
{
        Attach *a = userdata;

        a->input = shim_input_free(a->input);
        a->writer = false;
        if (a->leave_timer)
                attach_free(a);
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Attach *a = userdata;
        ControlRequest q;
        int r;

        r = shim_control_receive(fd, &q);
        if (r == -EAGAIN)
                return 0;
        if (r <= 0) {
                if (r < 0)
                        log_debug_errno(r, "attach %" PRIu32 ": not a request", a->number);
                attach_leave(a);
                return 0;
        }
        /* Signals are typed, or sent by whoever may Kill. A viewer's size is its own. */
        if (q.type == CONTROL_RESIZE && a->writer)
                (void) shim_pty_set_window_size(shim_pty_master(a->all->shim->pty), q.rows, q.cols);
        return 0;
}

/* ---- opening ---- */

static Attach *find_writer(ShimAttaches *all)
{
        Attach *a = all->first;

        while (a && !a->writer)
                a = a->next;
        return a;
}

/* For somebody who wants to be it. One that is gone, also when the loop has not seen its end yet,
 * is none: what it typed has had its time. */
static bool has_writer(ShimAttaches *all)
{
        Attach *a;

        while ((a = find_writer(all))) {
                struct pollfd p = {};

                if (a->control < 0) { /* leaving */
                        attach_lose(a);
                        continue;
                }
                p.fd = a->control;
                if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLHUP))
                        return true;
                attach_leave(a);
        }
        return false;
}

static int check(ShimAttaches *all, const AttachRequest *request, sd_bus_error *reterr)
{
        const Shim *shim = all->shim;

        if (shim->state != RUN_RUNNING && shim->state != RUN_STOPPING)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "the container is %s: only a running one can be attached to",
                                run_state_to_string(shim->state));
        if (!shim->pty)
                return tank_error_set(reterr, TANK_ERROR_NOT_A_TTY,
                                "container %s has no terminal (its tty is false); its output is in "
                                "its log",
                                shim->launch->container);
        if (!request->viewer && has_writer(all))
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "somebody writes to the terminal of container %s already: attach "
                                "as a viewer, or detach the other one",
                                shim->launch->container);
        if (all->count >= LIMIT_ATTACHED)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u clients are attached to container %s of pod %s, which is the "
                                "limit; detach one first",
                                all->count, shim->launch->container, shim->launch->pod);
        return 0;
}

static Attach *attach_new(ShimAttaches *all, bool writer)
{
        Attach *a = calloc(1, sizeof(*a));

        if (!a)
                return NULL;
        a->all = all;
        a->number = shim_sessions_next_number(all->shim->sessions);
        a->control = -EBADF;
        a->writer = writer;
        a->started_usec = now_realtime_usec();
        a->next = all->first;
        if (a->next)
                a->next->previous = a;
        all->first = a;
        all->count++;
        return a;
}

/* Both pairs of sockets: ours, and the client's. */
static int make_sockets(Attach *a, int *ret_stream, AttachOpened *opened)
{
        int p[2], r;

        r = shim_control_new(&a->control, &opened->control);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        *ret_stream = p[0];
        opened->stream = p[1];
        return fd_set_nonblock(p[0], true);
}

static int attach_start(Attach *a, const AttachRequest *request, AttachOpened *opened)
{
        CLEANUP_CLOSE int stream = -EBADF;
        Shim *shim = a->all->shim;
        int r;

        r = make_sockets(a, &stream, opened);
        if (r < 0)
                return r;
        if (request->viewer) /* whoever writes all the same is told so */
                r = shutdown(stream, SHUT_RD) < 0 ? -errno : 0;
        else
                r = shim_input_new(shim->event, stream, shim_pty_master(shim->pty), on_input_over,
                                a, &a->input);
        if (r < 0)
                return r;
        r = sd_event_add_io(shim->event, &a->control_source, a->control, EPOLLIN, on_control, a);
        if (r < 0)
                return r;
        /* Before the first byte, so that whoever draws, draws for this window. */
        if (request->sized)
                (void) shim_pty_set_window_size(
                                shim_pty_master(shim->pty), request->rows, request->cols);
        shim_control_send_started(a->control, shim->main.pid);
        r = fanout_add_reader(shim_pty_output(shim->pty), stream,
                        request->scrollback ? FANOUT_FROM_HELD : FANOUT_FROM_NOW, on_reader_over, a,
                        &a->reader);
        if (r >= 0)
                (void) TAKE_FD(stream);
        return r;
}

int shim_attach_open(ShimAttaches *all, const AttachRequest *request, AttachOpened *ret,
                sd_bus_error *reterr)
{
        CLEANUP(attach_opened_done) AttachOpened opened = ATTACH_OPENED_NULL;
        Attach *a;
        int r;

        r = check(all, request, reterr);
        if (r < 0)
                return r;
        a = attach_new(all, !request->viewer);
        if (!a)
                return -ENOMEM;
        r = attach_start(a, request, &opened);
        if (r < 0) {
                attach_free(a);
                return tank_error_set_errno(reterr, r, "cannot attach to the terminal");
        }
        opened.number = a->number;
        *ret = opened;
        opened = ATTACH_OPENED_NULL;
        return 0;
}

void attach_opened_done(AttachOpened *o)
{
        o->control = safe_close(o->control);
        o->stream = safe_close(o->stream);
}

/* ---- asking ---- */

int shim_attaches_list(const ShimAttaches *all, int (*each)(const AttachInfo *info, void *userdata),
                void *userdata)
{
        const Attach *a = all->first;

        while (a && a->next)
                a = a->next;
        for (; a; a = a->previous) {
                const AttachInfo info = {
                        .number = a->number,
                        .writer = a->writer,
                        .leaving = !a->reader,
                        .started_usec = a->started_usec,
                };
                int r = each(&info, userdata);

                if (r < 0)
                        return r;
        }
        return 0;
}

static Attach *find_attached(const ShimAttaches *all, uint32_t number)
{
        Attach *a = all->first;

        while (a && a->number != number)
                a = a->next;
        return a;
}

bool shim_attach_is(const ShimAttaches *all, uint32_t number)
{
        return find_attached(all, number);
}

bool shim_attach_detach(ShimAttaches *all, uint32_t number)
{
        Attach *a = find_attached(all, number);

        if (!a)
                return false;
        if (a->control >= 0) {
                a->control_source = sd_event_source_disable_unref(a->control_source);
                shim_control_send_detached(a->control);
                a->control = shim_control_close(a->control);
        }
        if (a->input)
                (void) shim_input_flush(a->input); /* what the terminal takes now */
        attach_free(a);
        return true;
}

/* ---- all of them ---- */

static int on_done(sd_event_source *source, uint64_t usec, void *userdata)
{
        ShimAttaches *all = userdata;

        all->done_source = sd_event_source_disable_unref(all->done_source);
        while (all->first)
                attach_over(all->first); /* has room for no more, and had its time */
        all->done(all->done_userdata);   /* may free all: last */
        return 0;
}

int shim_attaches_finish(ShimAttaches *all, void (*done)(void *userdata), void *userdata)
{
        all->done = done;
        all->done_userdata = userdata;
        for (Attach *a = all->first, *next; a; a = next) {
                next = a->next;
                if (!a->reader)
                        attach_free(a); /* nobody reads what it typed any more */
        }
        return sd_event_add_time_relative(all->shim->event, &all->done_source, CLOCK_MONOTONIC,
                        all->count > 0 ? FINISH_USEC : 0, ACCURACY, on_done, all);
}

int shim_attaches_new(Shim *shim, ShimAttaches **ret)
{
        ShimAttaches *all = calloc(1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        all->shim = shim;
        *ret = all;
        return 0;
}

ShimAttaches *shim_attaches_free(ShimAttaches *all)
{
        if (!all)
                return NULL;

        all->done_source = sd_event_source_disable_unref(all->done_source);
        while (all->first)
                attach_free(all->first);
        free(all);
        return NULL;
}

unsigned shim_attaches_count(const ShimAttaches *all)
{
        return all->count;
}
