/* SPDX-License-Identifier: Apache-2.0 */

/* The pump of an exec session.
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
 * The end: "exit" on the control socket, then the outputs are drained until they end or were empty
 * for DRAIN_USEC (a program may leave children behind that hold them open). */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "ctl-session.h"
#include "ctl-terminal.h"
#include "fd.h"
#include "limit.h"
#include "record.h"

#define DRAIN_USEC  (100 * USEC_PER_MSEC)
#define BUFFER_SIZE (64U * 1024U)
#define SAFE_WRITE  4096U  /* what a pipe that is ready takes without blocking (PIPE_BUF) */
#define END_OF_TEXT "\004" /* the terminal's own end of input */

typedef struct Buffer {
        char data[BUFFER_SIZE];
        size_t start, end;
} Buffer;

typedef struct Output {
        int from, to;
        bool spliceable, waiting; /* waiting: for room in @to */
        int error;                /* why @to took no more, but for a reader that left */
        size_t chunk;
        Buffer buffer;
} Output;

typedef struct Input {
        int from, to;
        bool terminal, finished; /* finished: nothing more comes from @from */
        Buffer buffer;
} Input;

typedef struct Session {
        int control, signals;
        bool terminal;
        Input input;
        Output outputs[2];
        size_t n_outputs;
        bool over; /* the status is here, or will never be */
        uint64_t drain_until;
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
        if (error != EPIPE)
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

/* The end of what we have to give. A terminal cannot be half closed; its line discipline makes an
 * end of input of a character. */
static void input_finish(Input *i)
{
        i->finished = true;
        if (i->terminal && i->to >= 0) {
                memcpy(i->buffer.data, END_OF_TEXT, 1);
                i->buffer.start = 0;
                i->buffer.end = 1;
        } else
                input_close(i);
}

static struct pollfd input_poll(const Input *i)
{
        if (i->to < 0)
                return (struct pollfd){ .fd = -1 };
        if (buffer_used(&i->buffer) > 0)
                return (struct pollfd){ .fd = i->to, .events = POLLOUT };
        return i->finished ? (struct pollfd){ .fd = -1 }
                           : (struct pollfd){ .fd = i->from, .events = POLLIN };
}

static void input_handle(Input *i, short revents)
{
        Buffer *b = &i->buffer;
        ssize_t n;

        if (i->to < 0 || revents == 0)
                return;
        if (buffer_used(b) > 0) {
                n = write(i->to, b->data + b->start, buffer_used(b));
                if (n >= 0)
                        b->start += (size_t) n;
                else if (errno != EAGAIN && errno != EINTR)
                        input_close(i); /* the program reads no more */
                return;
        }
        n = read(i->from, b->data, BUFFER_SIZE);
        if (n > 0) {
                b->start = 0;
                b->end = (size_t) n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                input_finish(i);
}

/* ---- control ------------------------------------------------------------------------------- */

static void control_send(Session *s, RecordWriter *w)
{
        /* A shim that is gone, or so far behind, needs neither sizes nor signals. */
        if (record_finish(w) >= 0 && s->control >= 0)
                (void) packet_send(s->control, w->data, w->size, NULL, 0);
        record_done(w);
}

static void control_send_size(Session *s)
{
        RecordWriter w = {};
        uint16_t rows, columns;

        if (!s->terminal || !terminal_size(&rows, &columns))
                return;
        record_start(&w, 1);
        record_put(&w, "type", "resize");
        record_put_u64(&w, "rows", rows);
        record_put_u64(&w, "cols", columns);
        control_send(s, &w);
}

static void control_send_signal(Session *s, int signo)
{
        RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", "signal");
        record_put_u64(&w, "signal", (uint64_t) signo);
        control_send(s, &w);
}

static void session_over(Session *s)
{
        s->over = true;
        s->drain_until = now_boottime_usec() + DRAIN_USEC;
        s->control = safe_close(s->control);
        input_close(&s->input);
}

static int control_handle(Session *s)
{
        static char buffer[LIMIT_CHANNEL_MESSAGE];
        const char *type;
        uint64_t code;
        size_t n_fds;
        Record record;
        ssize_t n;

        n = packet_recv(s->control, buffer, sizeof(buffer), NULL, 0, &n_fds);
        /* A shim that leaves something of ours unread resets the connection as it closes it;
         * what it sent before is still in the queue behind that error. */
        if (n == -EAGAIN || n == -EINTR || n == -ECONNRESET)
                return 0;
        if (n <= 0) {
                session_over(s);
                return 0;
        }
        if (record_parse(buffer, (size_t) n, 1, &record) < 0)
                return -EBADMSG;
        type = strempty(record_get(&record, "type"));
        if (!streq(type, "exit"))
                return 0; /* "started", and what a later version may add */
        if (record_get_u64(&record, "code", &code) < 0)
                return -EBADMSG;
        s->end.known = true;
        s->end.code = (int) code;
        (void) snprintf(s->end.kind, sizeof(s->end.kind), "%s",
                        strempty(record_get(&record, "kind")));
        (void) snprintf(s->end.stage, sizeof(s->end.stage), "%s",
                        strempty(record_get(&record, "stage")));
        (void) snprintf(s->end.message, sizeof(s->end.message), "%s",
                        strempty(record_get(&record, "message")));
        session_over(s);
        return 0;
}

static int signals_handle(Session *s)
{
        struct signalfd_siginfo info;

        if (read(s->signals, &info, sizeof(info)) != sizeof(info))
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        switch (info.ssi_signo) {
        case SIGWINCH: control_send_size(s); break;
        case SIGHUP: /* our own terminal is gone: closing the control socket tells the session */
                s->end.local_signal = SIGHUP;
                break;
        default:
                if (s->over)
                        s->end.local_signal = (int) info.ssi_signo;
                else
                        control_send_signal(s, (int) info.ssi_signo);
        }
        return 0;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static bool session_finished(const Session *s)
{
        bool open = false, waiting = false;

        if (s->end.local_signal)
                return true;
        if (!s->over)
                return false;
        for (size_t i = 0; i < s->n_outputs; i++) {
                open = open || s->outputs[i].from >= 0;
                waiting = waiting || s->outputs[i].waiting;
        }
        return !open || (!waiting && now_boottime_usec() >= s->drain_until);
}

static int session_timeout(const Session *s)
{
        uint64_t now = now_boottime_usec();

        if (!s->over)
                return -1;
        for (size_t i = 0; i < s->n_outputs; i++)
                if (s->outputs[i].waiting)
                        return -1; /* our own reader is slow: that is no silence */
        return now >= s->drain_until ? 0 : (int) ((s->drain_until - now) / USEC_PER_MSEC) + 1;
}

static int session_step(Session *s)
{
        struct pollfd fds[5] = {
                { .fd = s->signals, .events = POLLIN },
                { .fd = s->control, .events = POLLIN },
                input_poll(&s->input),
                { .fd = -1 },
                { .fd = -1 },
        };
        int r = 0;

        for (size_t i = 0; i < s->n_outputs; i++)
                fds[3 + i] = output_poll(&s->outputs[i]);
        if (poll(fds, ARRAY_SIZE(fds), session_timeout(s)) < 0)
                return errno == EINTR ? 0 : -errno;
        for (size_t i = 0; i < s->n_outputs; i++)
                if (output_handle(&s->outputs[i], fds[3 + i].revents))
                        s->drain_until = now_boottime_usec() + DRAIN_USEC;
        input_handle(&s->input, fds[2].revents);
        if (fds[0].revents)
                r = signals_handle(s);
        if (r >= 0 && fds[1].revents)
                r = control_handle(s);
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
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signals < 0 ? -errno : 0;
}

/* Distributes @stdio, of which nothing is left to the caller. */
static int session_take_stdio(Session *s, int *stdio, size_t n, bool interactive)
{
        int r = 0;

        s->terminal = n == 1;
        s->input = (Input){ .from = STDIN_FILENO,
                .terminal = s->terminal,
                .to = s->terminal ? fcntl(stdio[0], F_DUPFD_CLOEXEC, 3) : stdio[0] };
        s->n_outputs = s->terminal ? 1 : 2;
        for (size_t i = 0; i < s->n_outputs; i++)
                output_init(&s->outputs[i], stdio[s->terminal ? 0 : i + 1],
                                i == 0 ? STDOUT_FILENO : STDERR_FILENO, !s->terminal);
        if (s->input.to < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = fd_set_nonblock(stdio[i], true);
        if (!interactive)
                input_close(&s->input);
        return r;
}

int session_run(int control, int *stdio, size_t n_stdio, bool interactive, SessionEnd *ret)
{
        /* Static for its size; there is one session in a process' life. */
        static Session session = { .signals = -EBADF };
        Session *s = &session;
        int r;

        s->control = control;
        r = session_take_stdio(s, stdio, n_stdio, interactive);
        if (r >= 0)
                r = session_take_signals(s);
        if (r >= 0 && s->terminal && interactive && isatty(STDIN_FILENO))
                r = terminal_make_raw(STDIN_FILENO);
        if (r >= 0)
                control_send_size(s); /* it may have changed since the call */
        while (r >= 0 && !session_finished(s))
                r = session_step(s);
        terminal_restore();
        for (size_t i = 0; i < s->n_outputs; i++)
                if (s->outputs[i].error)
                        s->end.write_error = s->outputs[i].error;
        session_done(s);
        if (r >= 0)
                *ret = s->end;
        return r;
}
