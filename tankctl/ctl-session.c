/* SPDX-License-Identifier: Apache-2.0 */

/* The pump of a session: of an exec, or of a client attached to what runs already.
 *
 * Our standard streams belong to others as well (a shell, a pipeline), so their O_NONBLOCK is never
 * touched: poll(2) says when they take something, and then they get no more than they are sure to
 * take. Nothing here waits for one stream while another could move.
 *
 * An Output moves bytes from the session to us, with splice(2) where that works, so that they are
 * not copied twice. An Input moves ours to the session. Each ends on its own: by the end of its
 * source, or because nobody reads it any more, and then its source is closed, so that the program
 * notices as it would without us.
 *
 * The keys that detach are looked for in what is typed on a terminal, also while the program takes
 * none of it: so with them we read ahead of it, as far as the buffer goes, and when the program
 * took nothing for STUCK_USEC, what does not fit is dropped, with a bell.
 *
 * The end: "exit" on the control socket, then the outputs are drained until they end or were empty
 * at DRAIN_LOOKS looks in a row, DRAIN_MSEC apart (a program may leave children behind that hold
 * them open). It takes looks and not a time: when the machine or we stood still for a while, nobody
 * was silent.
 *
 * A terminal of which we have the master gets its size from us, ahead of what is typed next. Of all
 * others the shim has it, and is told. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "ctl-control.h"
#include "ctl-session.h"
#include "ctl-terminal.h"
#include "fd.h"

#define DRAIN_MSEC  10
#define DRAIN_LOOKS 10U
#define DETACH_USEC (200 * USEC_PER_MSEC) /* for what was typed before, and is not taken yet */
#define STUCK_USEC  USEC_PER_SEC
#define BUFFER_SIZE (64U * 1024U)
#define SAFE_WRITE  4096U  /* what a pipe that is ready takes without blocking (PIPE_BUF) */
#define READ_AHEAD  4096U  /* of what is typed */
#define END_OF_TEXT '\004' /* the terminal's own end of input */

typedef struct Buffer {
        char data[BUFFER_SIZE];
        size_t start, end;
} Buffer;

typedef struct Output {
        int from, to;
        bool spliceable, waiting; /* waiting: for room in @to */
        bool left;                /* the reader of @to */
        int error;                /* why @to took no more, but for that */
        size_t chunk;
        Buffer buffer;
} Output;

typedef struct Input {
        int from, to;     /* @to may be none: then only the keys that detach count */
        bool end_of_text; /* the end of what we have to give is a character */
        bool half_closed; /* or the end of one direction of the socket */
        bool finished;    /* nothing more comes from @from */
        bool detach;      /* so we were told, by the keys */
        DetachKeys keys;
        char last;           /* byte that went into the buffer */
        uint64_t moved_usec; /* when @to took something last */
        size_t dropped;      /* bytes typed */
        Buffer buffer;
} Input;

typedef struct Session {
        int control, signals;
        bool terminal; /* of the program; its size is that of ours */
        bool raw;      /* ours is */
        bool attached; /* signals to us are not for the program */
        bool size_waits;
        Input input;
        Output outputs[2];
        size_t n_outputs;
        bool over;      /* the status is here, or will never be */
        unsigned looks; /* while over: in a row at which nothing came */
        uint64_t detach_until;
        SessionEnd end;
} Session;

static size_t buffer_used(const Buffer *b)
{
        return b->end - b->start;
}

static void session_done(Session *s)
{
        s->control = safe_close(s->control);
        s->signals = safe_close(s->signals);
        s->input.to = safe_close(s->input.to);
        for (size_t i = 0; i < s->n_outputs; i++)
                s->outputs[i].from = safe_close(s->outputs[i].from);
}

/* ---- output -------------------------------------------------------------------------------- */

static void output_init(Output *o, int from, int to, bool spliceable)
{
        struct stat st;
        bool file = fstat(to, &st) == 0 && S_ISREG(st.st_mode);

        o->from = from;
        o->to = to;
        o->spliceable = spliceable;
        o->chunk = file ? BUFFER_SIZE : SAFE_WRITE;
}

/* @error: of writing, or 0 at the end of the source. A reader that leaves (EPIPE) is no error of
 * ours: the program gets its SIGPIPE. */
static void output_close(Output *o, int error)
{
        if (error == EPIPE)
                o->left = true;
        else
                o->error = error;
        o->from = safe_close(o->from);
        o->waiting = false;
        o->buffer.start = o->buffer.end = 0;
}

/* Writes what is in the buffer, as far as it goes. */
static void output_flush(Output *o)
{
        Buffer *b = &o->buffer;
        ssize_t n = write(o->to, b->data + b->start, MIN(buffer_used(b), o->chunk));

        if (n >= 0)
                b->start += (size_t) n;
        else if (errno != EAGAIN && errno != EINTR) {
                output_close(o, errno);
                return;
        }
        o->waiting = buffer_used(b) > 0;
}

/* Whether bytes were moved. */
static bool output_move(Output *o)
{
        Buffer *b = &o->buffer;
        ssize_t n;

        if (o->spliceable) {
                n = splice(o->from, NULL, o->to, NULL, 16 * BUFFER_SIZE, SPLICE_F_NONBLOCK);
                if (n < 0 && errno == EINVAL)
                        o->spliceable = false;
                else if (n < 0 && errno == EAGAIN)
                        o->waiting = true; /* poll said that there are bytes, so it is room */
                else if (n < 0 && errno == EINTR)
                        return false;
                else if (n <= 0)
                        output_close(o, n < 0 ? errno : 0);
                if (o->spliceable)
                        return n > 0;
        }
        n = read(o->from, b->data, BUFFER_SIZE);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                output_close(o, 0); /* EIO is how a terminal's master ends */
                return false;
        }
        b->start = 0;
        b->end = (size_t) n;
        o->waiting = true;
        return true;
}

static struct pollfd output_poll(const Output *o)
{
        if (o->from < 0)
                return (struct pollfd){ .fd = -1 };
        return o->waiting ? (struct pollfd){ .fd = o->to, .events = POLLOUT }
                          : (struct pollfd){ .fd = o->from, .events = POLLIN };
}

/* Whether there was life in it. */
static bool output_handle(Output *o, short revents)
{
        if (o->from < 0 || revents == 0)
                return false;
        if (!o->waiting)
                return output_move(o);
        if ((revents & (POLLERR | POLLNVAL)) && !(revents & POLLOUT)) {
                output_close(o, EPIPE);
                return true;
        }
        o->waiting = false;
        if (buffer_used(&o->buffer) > 0)
                output_flush(o);
        return true;
}

/* ---- input --------------------------------------------------------------------------------- */

static void input_close(Input *i)
{
        i->to = safe_close(i->to);
        i->finished = true;
        i->buffer.start = i->buffer.end = 0;
}

/* All is given. */
static void input_end(Input *i)
{
        if (i->half_closed && i->to >= 0)
                (void) shutdown(i->to, SHUT_WR); /* there is nothing to do for who has left */
        input_close(i);
}

/* Makes room for @size bytes behind what is there; the caller knows that there is so much. */
static char *input_room(Input *i, size_t size)
{
        Buffer *b = &i->buffer;

        if (sizeof(b->data) - b->end < size) {
                memmove(b->data, b->data + b->start, buffer_used(b));
                b->end -= b->start;
                b->start = 0;
        }
        return b->data + b->end;
}

/* @size more bytes are in the room that was made. */
static void input_add(Input *i, size_t size)
{
        i->buffer.end += size;
        if (size > 0)
                i->last = i->buffer.data[i->buffer.end - 1];
}

/* The end of what we have to give. A terminal cannot be half closed; its line discipline makes an
 * end of input of a character, but behind a part of a line it only hands that over: then the second
 * one is the end. */
static void input_finish(Input *i)
{
        Buffer *b = &i->buffer;

        i->finished = true;
        input_add(i, detach_keys_end(&i->keys, input_room(i, DETACH_KEYS_MAX)));
        if (i->end_of_text && i->to >= 0) {
                size_t n = i->last == '\n' ? 1 : 2;

                memset(input_room(i, n), END_OF_TEXT, n);
                b->end += n;
        } else if (buffer_used(b) == 0)
                input_end(i);
}

static struct pollfd input_poll_to(const Input *i)
{
        return i->to >= 0 && buffer_used(&i->buffer) > 0
                               ? (struct pollfd){ .fd = i->to, .events = POLLOUT }
                               : (struct pollfd){ .fd = -1 };
}

static bool input_is_full(const Input *i)
{
        size_t used = buffer_used(&i->buffer);

        return i->keys.n > 0 ? used + READ_AHEAD + 2 * DETACH_KEYS_MAX > BUFFER_SIZE : used > 0;
}

/* When it is read from again, only for the keys; UINT64_MAX: not for this reason. */
static uint64_t input_stuck_usec(const Input *i)
{
        return !i->finished && i->keys.n > 0 && input_is_full(i) ? i->moved_usec + STUCK_USEC
                                                                 : UINT64_MAX;
}

static struct pollfd input_poll_from(const Input *i)
{
        if (i->finished || (i->to < 0 && i->keys.n == 0) ||
                        (input_is_full(i) && now_boottime_usec() < input_stuck_usec(i)))
                return (struct pollfd){ .fd = -1 };
        return (struct pollfd){ .fd = i->from, .events = POLLIN };
}

static void input_write(Input *i)
{
        Buffer *b = &i->buffer;
        ssize_t n = write(i->to, b->data + b->start, buffer_used(b));

        if (n >= 0) {
                b->start += (size_t) n;
                i->moved_usec = now_boottime_usec();
        } else if (errno != EAGAIN && errno != EINTR)
                input_close(i); /* the program reads no more */
        if (i->finished && !i->end_of_text && buffer_used(b) == 0)
                input_end(i);
}

/* What is typed goes past the keys into the buffer; if that is full, or nobody reads it, only past
 * the keys. */
static void input_pass(Input *i, const char *typed, size_t size)
{
        char nowhere[READ_AHEAD + DETACH_KEYS_MAX];
        bool kept = i->to >= 0 && !input_is_full(i);
        size_t passed;

        i->detach = detach_keys_pass(&i->keys, typed, size,
                        kept ? input_room(i, size + DETACH_KEYS_MAX) : nowhere, &passed);
        i->finished = i->detach;
        if (kept)
                input_add(i, passed);
        else if (i->to >= 0 && passed > 0) {
                i->dropped += passed;
                terminal_ring();
        }
}

static void input_read(Input *i)
{
        Buffer *b = &i->buffer;
        char typed[READ_AHEAD];
        ssize_t n;

        if (i->keys.n == 0) {
                b->start = b->end = 0;
                n = read(i->from, b->data, BUFFER_SIZE);
        } else
                n = read(i->from, typed, sizeof(typed));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                input_finish(i);
                return;
        }
        if (i->keys.n == 0)
                input_add(i, (size_t) n);
        else
                input_pass(i, typed, (size_t) n);
}

/* ---- control ------------------------------------------------------------------------------- */

/* The newest size is the one that counts: while the shim is behind, it waits. */
static void session_send_size(Session *s)
{
        struct winsize size = {};

        s->size_waits = false;
        if (s->over || !s->terminal || !terminal_size(&size.ws_row, &size.ws_col))
                return;
        if (size.ws_row > 0 && size.ws_col > 0 && ioctl(s->outputs[0].from, TIOCSWINSZ, &size) >= 0)
                return;
        s->size_waits = control_send_size(s->control, size.ws_row, size.ws_col) == -EAGAIN;
}

/* The control socket stays open until we have read everything: closing it ends what the program
 * left behind. */
static void session_over(Session *s)
{
        s->over = true;
        input_close(&s->input);
}

static int session_control(Session *s, short revents)
{
        ControlMessage message;
        int r = 0;

        if (revents & POLLOUT)
                session_send_size(s);
        if (revents & ~POLLOUT) {
                r = control_receive(s->control, &message, &s->end);
                s->end.cut = s->end.cut || message == CONTROL_CUT;
                if (r >= 0 && (message == CONTROL_EXIT || message == CONTROL_CUT ||
                                              message == CONTROL_GONE))
                        session_over(s);
        }
        return r;
}

static int signals_handle(Session *s)
{
        struct signalfd_siginfo info;

        if (read(s->signals, &info, sizeof(info)) != sizeof(info))
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        switch (info.ssi_signo) {
        case SIGWINCH: session_send_size(s); break;
        case SIGTSTP: /* as if there were nothing of ours on the terminal */
                terminal_suspend();
                (void) raise(SIGSTOP);
                break;
        case SIGCONT: /* also when nobody asked us before we were stopped */
                terminal_resume();
                session_send_size(s);
                break;
        case SIGHUP: /* our own terminal is gone: closing the control socket tells the session */
                s->end.local_signal = SIGHUP;
                break;
        default:
                if (s->over || s->attached)
                        s->end.local_signal = (int) info.ssi_signo;
                else
                        (void) control_send_signal(s->control, (int) info.ssi_signo);
        }
        return 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static bool session_finished(const Session *s)
{
        bool open = false, waiting = false;

        if (s->end.local_signal)
                return true;
        if (s->end.detached)
                return s->input.to < 0 || buffer_used(&s->input.buffer) == 0 ||
                       now_boottime_usec() >= s->detach_until;
        if (!s->over)
                return false;
        for (size_t i = 0; i < s->n_outputs; i++) {
                open = open || s->outputs[i].from >= 0;
                waiting = waiting || s->outputs[i].waiting;
        }
        return !open || (!waiting && s->looks >= DRAIN_LOOKS);
}

static int milliseconds_until(uint64_t usec)
{
        uint64_t now = now_boottime_usec();

        if (usec == UINT64_MAX)
                return -1;
        return now >= usec ? 0 : (int) ((usec - now) / USEC_PER_MSEC) + 1;
}

static int session_timeout(const Session *s)
{
        if (s->end.detached)
                return milliseconds_until(s->detach_until);
        if (!s->over) {
                uint64_t stuck = input_stuck_usec(&s->input);

                return now_boottime_usec() >= stuck ? -1 : milliseconds_until(stuck);
        }
        for (size_t i = 0; i < s->n_outputs; i++)
                if (s->outputs[i].waiting)
                        return -1; /* our own reader is slow: that is no silence */
        return DRAIN_MSEC;
}

static int session_step(Session *s)
{
        struct pollfd fds[6] = {
                { .fd = s->signals, .events = POLLIN },
                { .fd = s->over ? -1 : s->control,
                                .events = (short) (s->size_waits ? POLLIN | POLLOUT : POLLIN) },
                input_poll_from(&s->input),
                input_poll_to(&s->input),
                { .fd = -1 },
                { .fd = -1 },
        };
        int n, r = 0;

        for (size_t i = 0; i < s->n_outputs; i++)
                fds[4 + i] = output_poll(&s->outputs[i]);
        n = poll(fds, ARRAY_SIZE(fds), session_timeout(s));
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        if (s->over && n == 0)
                s->looks++;
        for (size_t i = 0; i < s->n_outputs; i++)
                if (output_handle(&s->outputs[i], fds[4 + i].revents))
                        s->looks = 0;
        /* A program of ours would get its SIGPIPE; what goes on without us does not, but we do. */
        if (s->attached && s->outputs[0].left)
                s->end.local_signal = SIGPIPE;
        /* A size comes ahead of what is typed behind it. */
        if (fds[0].revents)
                r = signals_handle(s);
        if (fds[3].revents)
                input_write(&s->input);
        if (fds[2].revents)
                input_read(&s->input);
        if (s->input.detach && !s->end.detached) {
                s->end.detached = true;
                s->detach_until = now_boottime_usec() + DETACH_USEC;
        }
        if (r >= 0 && fds[1].revents)
                r = session_control(s, fds[1].revents);
        return r;
}

static int session_take_signals(Session *s)
{
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGQUIT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGWINCH);
        if (s->raw) {
                (void) sigaddset(&mask, SIGTSTP);
                (void) sigaddset(&mask, SIGCONT);
        }
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signals < 0 ? -errno : 0;
}

/* Distributes @stdio, of which nothing is left to the caller. */
static int session_take_stdio(Session *s, int *stdio, size_t n, const SessionOptions *o)
{
        bool one = n == 1;
        int r = 0;

        s->terminal = one && o->mode != SESSION_VIEWS;
        s->attached = o->mode != SESSION_RUNS;
        s->input = (Input){ .from = STDIN_FILENO,
                .end_of_text = one && o->mode == SESSION_RUNS,
                .half_closed = one && o->mode == SESSION_WRITES,
                /* Keys are typed: in a pipe the same bytes are data. */
                .keys = o->detach && isatty(STDIN_FILENO) ? *o->detach : (DetachKeys){},
                .last = '\n',
                .moved_usec = now_boottime_usec(),
                .to = one ? fcntl(stdio[0], F_DUPFD_CLOEXEC, 3) : stdio[0] };
        s->n_outputs = one ? 1 : 2;
        for (size_t i = 0; i < s->n_outputs; i++)
                output_init(&s->outputs[i], stdio[one ? 0 : i + 1],
                                i == 0 ? STDOUT_FILENO : STDERR_FILENO, !one);
        if (one && s->input.to < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < n; i++)
                if (stdio[i] >= 0)
                        r = fd_set_nonblock(stdio[i], true);
        s->raw = one && (o->interactive || s->attached) && isatty(STDIN_FILENO);
        if (!o->interactive)
                input_close(&s->input);
        /* Who only looks on types the keys that detach, on a terminal. */
        s->input.finished = !o->interactive && !(s->raw && s->input.keys.n > 0);
        return r;
}

int session_wait_started(int control, SessionEnd *ret)
{
        for (;;) {
                struct pollfd p = { .fd = control, .events = POLLIN };
                ControlMessage message;
                int r;

                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        return -errno;
                r = control_receive(control, &message, ret);
                if (r < 0 || message == CONTROL_STARTED)
                        return r < 0 ? r : 1;
                if (message != CONTROL_NOTHING)
                        return 0;
        }
}

int session_run(int control, int *stdio, size_t n_stdio, const SessionOptions *o, SessionEnd *ret)
{
        /* Static for its size; there is one session in a process' life. */
        static Session session = { .signals = -EBADF };
        Session *s = &session;
        int r;

        s->control = control;
        r = session_take_stdio(s, stdio, n_stdio, o);
        if (r >= 0)
                r = session_take_signals(s);
        if (r >= 0 && s->raw) /* Ctrl-C is typed into the program, but who only looks on means us */
                r = terminal_make_raw(STDIN_FILENO, !o->interactive);
        if (r >= 0)
                session_send_size(s); /* it may have changed since the call */
        while (r >= 0 && !session_finished(s))
                r = session_step(s);
        terminal_restore();
        for (size_t i = 0; i < s->n_outputs; i++)
                if (s->outputs[i].error)
                        s->end.write_error = s->outputs[i].error;
        s->end.unsent = s->end.detached ? buffer_used(&s->input.buffer) + s->input.dropped : 0;
        session_done(s);
        if (r >= 0)
                *ret = s->end;
        return r;
}
