/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-held.h.
 *
 *     pipe or terminal → HeldStream (a fan-out) → HeldClient's socket, for each client
 *
 * A program is never slowed by clients; one that reads slower than the program writes misses what
 * the ring has lost, and finds that said. What comes behind the end (of processes that the program
 * left behind) is read and dropped, so that they are not ended by SIGPIPE.
 *
 * The end for a client is: all that is held is in its sockets, they are shut down, then `exit`. */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "shim-fanout.h"
#include "shim-held.h"
#include "shim-input.h"

#define READ_SIZE      (16U * 1024U)
#define READS_PER_TURN 16U  /* other sources of the loop wait for no more than this */
#define READS_AT_END   256U /* more than a pipe or a terminal holds */
#define DRAIN_USEC     (10 * USEC_PER_MSEC)
#define DRAIN_LOOKS    10U /* in a row, DRAIN_USEC apart, at which nothing came: silence */
#define DRAIN_MAX_USEC (10 * USEC_PER_SEC)
#define DRAIN_ACCURACY USEC_PER_MSEC
#define STREAMS_MAX    2U

typedef struct HeldStream {
        Held *held;
        int fd;
        sd_event_source *source;
        Fanout *fanout;
        bool at_end; /* nobody has the other end open; of a terminal it may be opened again */
} HeldStream;

typedef struct HeldClient HeldClient;

struct HeldClient {
        HeldClient *next;
        Held *held;
        int control;
        sd_event_source *source;
        FanoutReader *readers[STREAMS_MAX];
        bool has_input;
        ShimInput *input; /* with a terminal */
        bool gone;        /* only its input is still under way */
};

struct Held {
        sd_event *event;
        HeldEvents events;
        void *userdata;
        HeldStream streams[STREAMS_MAX];
        size_t n_streams;
        bool terminal;
        int input;
        bool input_given;
        HeldClient *clients;

        pid_t pid; /* 0: not started */
        bool finished, drained, told;
        RunResult result;
        const char *message;
        uint64_t drain_deadline;
        unsigned looks;
        sd_event_source *drain_timer, *changed_source;
};

static void tell_changed(Held *h)
{
        (void) sd_event_source_set_enabled(h->changed_source, SD_EVENT_ONESHOT);
}

static int on_changed(sd_event_source *source, void *userdata)
{
        Held *h = userdata;

        h->events.changed(h->userdata); /* may free it: last */
        return 0;
}

/* ---- clients ---- */

static void client_free(HeldClient *c)
{
        Held *h = c->held;
        HeldClient **i;

        for (i = &h->clients; *i != c; i = &(*i)->next)
                ;
        *i = c->next;
        for (size_t n = 0; n < ARRAY_SIZE(c->readers); n++)
                fanout_reader_free(c->readers[n]);
        sd_event_source_disable_unref(c->source);
        safe_close(c->control);
        shim_input_free(c->input);
        free(c);
        tell_changed(h);
}

static bool client_reads(const HeldClient *c)
{
        for (size_t n = 0; n < c->held->n_streams; n++)
                if (c->readers[n])
                        return true;
        return false;
}

static void client_check_end(HeldClient *c)
{
        Held *h = c->held;

        if (!h->drained || c->gone || client_reads(c))
                return;
        shim_control_send_exit(c->control, &h->result, h->message);
        c->source = sd_event_source_disable_unref(c->source);
        c->control = shim_control_close(c->control);
        h->told = true;
        client_free(c);
}

/* Within the fan-out: this reader may be freed, no other one. */
static void on_reader_over(FanoutReader *reader, int error, void *userdata)
{
        HeldClient *c = userdata;

        for (size_t n = 0; n < ARRAY_SIZE(c->readers); n++)
                if (c->readers[n] == reader)
                        c->readers[n] = fanout_reader_free(reader);
        client_check_end(c); /* frees no reader: there is none any more */
}

static void on_input_over(ShimInput *input, void *userdata)
{
        HeldClient *c = userdata;

        c->input = shim_input_free(c->input);
        c->has_input = false; /* it has typed all, and goes on looking on */
        if (c->gone)
                client_free(c);
}

/* What it typed before it went still arrives. */
static void client_gone(HeldClient *c)
{
        c->source = sd_event_source_disable_unref(c->source);
        c->control = safe_close(c->control);
        if (!c->input || shim_input_flush(c->input)) {
                client_free(c);
                return;
        }
        c->gone = true;
        for (size_t n = 0; n < ARRAY_SIZE(c->readers); n++)
                c->readers[n] = fanout_reader_free(c->readers[n]);
        tell_changed(c->held);
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        HeldClient *c = userdata;
        ControlRequest q;
        int r;

        r = shim_control_receive(fd, &q);
        if (r == -EAGAIN)
                return 0;
        if (r <= 0)
                client_gone(c);
        else if (q.type != CONTROL_RESIZE || c->has_input)
                c->held->events.request(&q, c->held->userdata);
        return 0;
}

/* ---- opening ---- */

void held_opened_done(HeldOpened *o)
{
        o->control = safe_close(o->control);
        for (size_t i = 0; i < o->n_stdio; i++)
                o->stdio[i] = safe_close(o->stdio[i]);
        o->n_stdio = 0;
}

static int open_stream(HeldClient *c, size_t n, int *ret_client)
{
        CLEANUP_CLOSE int ours = -EBADF, theirs = -EBADF;
        Held *h = c->held;
        int p[2], r = 0;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        ours = p[0];
        theirs = p[1];
        /* What nobody reads would reset the connection, ahead of the end of what is written. */
        if (!h->terminal || !c->has_input)
                (void) shutdown(ours, SHUT_RD);
        r = fd_set_nonblock(ours, true);
        if (r >= 0 && h->terminal && c->has_input)
                r = shim_input_new(h->event, ours, h->streams[n].fd, on_input_over, c, &c->input);
        if (r >= 0)
                r = fanout_add_reader(h->streams[n].fanout, ours, FANOUT_FROM_START, on_reader_over,
                                c, &c->readers[n]);
        if (r < 0)
                return r;
        (void) TAKE_FD(ours);
        *ret_client = TAKE_FD(theirs);
        return 0;
}

static int client_open(HeldClient *c, HeldOpened *ret)
{
        CLEANUP(held_opened_done) HeldOpened o = { .control = -EBADF };
        Held *h = c->held;
        int r;

        r = shim_control_new(&c->control, &o.control);
        if (r >= 0)
                r = sd_event_add_io(h->event, &c->source, c->control, EPOLLIN, on_control, c);
        if (r < 0)
                return r;
        /* Ahead of everything that a reader's end may send. */
        if (h->pid > 0)
                shim_control_send_started(c->control, h->pid);
        if (c->has_input && !h->terminal) {
                o.stdio[0] = fcntl(h->input, F_DUPFD_CLOEXEC, 3);
                if (o.stdio[0] < 0)
                        return -errno;
                o.n_stdio++;
        }
        for (size_t n = 0; n < h->n_streams; n++) {
                r = open_stream(c, n, &o.stdio[o.n_stdio]);
                if (r < 0)
                        return r;
                o.n_stdio++;
        }
        *ret = o;
        o = (HeldOpened){ .control = -EBADF };
        return 0;
}

static int check_input(const Held *h, sd_bus_error *reterr)
{
        if (h->terminal ? h->streams[0].fd < 0 : h->input < 0 && !h->input_given)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the session has no input: it was started without, or has ended");
        if (!h->terminal && h->input_given)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "the session's input was given to another client already");
        for (const HeldClient *c = h->clients; c; c = c->next)
                if (c->has_input)
                        return tank_error_set(reterr, TANK_ERROR_BUSY,
                                        "another client has the session's input");
        return 0;
}

/* Somebody comes: what clients that are gone typed has had its time. */
static void drop_gone(Held *h)
{
        for (HeldClient *c = h->clients, *next; c; c = next) {
                next = c->next;
                if (c->gone)
                        client_free(c);
        }
}

int held_open(Held *h, bool input, HeldOpened *ret, sd_bus_error *reterr)
{
        HeldClient *c;
        int r;

        drop_gone(h);
        r = input ? check_input(h, reterr) : 0;
        if (r < 0)
                return r;
        if (held_clients(h) >= LIMIT_SESSION_CLIENTS)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u clients have this session open", LIMIT_SESSION_CLIENTS);

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (HeldClient){ .held = h, .control = -EBADF, .next = h->clients, .has_input = input };
        h->clients = c;
        r = client_open(c, ret);
        if (r < 0) {
                client_free(c);
                return tank_error_set_errno(reterr, r, "cannot open the session");
        }
        if (input && !h->terminal) {
                /* The one that is left is the client's: with it the input ends. */
                h->input = safe_close(h->input);
                h->input_given = true;
        }
        return 0;
}

/* ---- the end ---- */

static void drained(Held *h)
{
        if (h->drained)
                return;
        h->drained = true;
        h->drain_timer = sd_event_source_disable_unref(h->drain_timer);
        for (size_t n = 0; n < h->n_streams; n++)
                fanout_end(h->streams[n].fanout);
        /* Those that closed their streams before. */
        for (HeldClient *c = h->clients, *next; c; c = next) {
                next = c->next;
                client_check_end(c);
        }
        tell_changed(h);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        Held *h = userdata;

        if (++h->looks >= DRAIN_LOOKS || now_boottime_usec() >= h->drain_deadline ||
                        sd_event_source_set_time_relative(source, DRAIN_USEC) < 0 ||
                        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
                drained(h);
        return 0;
}

/* Something came, or a stream came to its end. The loop looks at the streams between two looks of
 * the timer, however late it is: when the machine stood still, nobody was silent. */
static void check_drained(Held *h)
{
        bool at_end = true;
        int r = 0;

        if (!h->finished || h->drained)
                return;
        for (size_t n = 0; n < h->n_streams; n++)
                at_end = at_end && (h->streams[n].at_end || h->streams[n].fd < 0);
        h->looks = 0;
        if (!at_end && now_boottime_usec() < h->drain_deadline && !h->drain_timer)
                r = sd_event_add_time_relative(h->event, &h->drain_timer, CLOCK_BOOTTIME,
                                DRAIN_USEC, DRAIN_ACCURACY, on_look, h);
        if (r < 0 || at_end || now_boottime_usec() >= h->drain_deadline)
                drained(h);
}

/* ---- the streams ---- */

/* -EAGAIN: nothing there. -EPIPE: nobody can write any more. 0: there is more. */
static int held_stream_read(HeldStream *t, unsigned reads)
{
        char buf[READ_SIZE];

        for (unsigned i = 0; i < reads; i++) {
                ssize_t n = read(t->fd, buf, sizeof(buf));

                if (n > 0) {
                        if (!fanout_ended(t->fanout))
                                fanout_feed(t->fanout, buf, (size_t) n);
                } else if (n == 0 || errno == EIO)
                        return -EPIPE;
                else if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

static void held_stream_close(HeldStream *t)
{
        t->source = sd_event_source_disable_unref(t->source);
        t->fd = safe_close(t->fd);
}

static void stream_set_end(HeldStream *t, bool at_end)
{
        if (t->at_end == at_end)
                return;
        t->at_end = at_end;
        /* A terminal may be opened again, and is readable all the time until it is. */
        if (t->held->terminal)
                (void) sd_event_source_set_io_events(
                                t->source, at_end ? EPOLLIN | EPOLLET : EPOLLIN);
        else
                held_stream_close(t);
}

static int on_stream(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        HeldStream *t = userdata;
        int r;

        r = held_stream_read(t, READS_PER_TURN);
        stream_set_end(t, r < 0 && r != -EAGAIN);
        check_drained(t->held);
        return 0;
}

/* ---- life ---- */

void held_started(Held *h, pid_t pid)
{
        h->pid = pid;
        for (const HeldClient *c = h->clients; c; c = c->next)
                shim_control_send_started(c->control, pid);
}

void held_finish(Held *h, const RunResult *result, const char *message)
{
        h->finished = true;
        h->result = *result;
        h->message = message;
        h->drain_deadline = now_boottime_usec() + DRAIN_MAX_USEC;
        h->input = safe_close(h->input);
        for (size_t n = 0; n < h->n_streams; n++)
                if (h->streams[n].fd >= 0 && !h->streams[n].at_end) {
                        int r = held_stream_read(&h->streams[n], READS_AT_END);

                        stream_set_end(&h->streams[n], r < 0 && r != -EAGAIN);
                }
        check_drained(h);
}

void held_hang_up(Held *h)
{
        h->input = safe_close(h->input);
        if (!h->terminal)
                return;
        /* A client's input has a duplicate of the master: with it nothing would be hung up. */
        for (HeldClient *c = h->clients, *next; c; c = next) {
                next = c->next;
                c->input = shim_input_free(c->input);
                if (c->gone)
                        client_free(c);
        }
        held_stream_close(&h->streams[0]);
        check_drained(h);
}

bool held_drained(const Held *h)
{
        return h->drained;
}

bool held_told(const Held *h)
{
        return h->told;
}

unsigned held_clients(const Held *h)
{
        unsigned n = 0;

        for (const HeldClient *c = h->clients; c; c = c->next)
                n++;
        return n;
}

int held_terminal(const Held *h)
{
        return h->terminal ? h->streams[0].fd : -EBADF;
}

static int stream_init(HeldStream *t, Held *h, int fd)
{
        int r;

        t->held = h;
        r = fd_set_nonblock(fd, true);
        if (r >= 0)
                r = fanout_new(h->event, LIMIT_HELD_OUTPUT, h->terminal ? "\r\n" : "\n",
                                &t->fanout);
        if (r >= 0)
                r = sd_event_add_io(h->event, &t->source, fd, EPOLLIN, on_stream, t);
        return r;
}

int held_new(sd_event *event, const int *streams, size_t n_streams, int input,
                const HeldEvents *events, void *userdata, Held **ret)
{
        CLEANUP(held_freep) Held *h = calloc(1, sizeof(Held));
        int r;

        assert(n_streams >= 1 && n_streams <= STREAMS_MAX);
        if (!h)
                return -ENOMEM;
        *h = (Held){ .event = sd_event_ref(event),
                .events = *events,
                .userdata = userdata,
                .n_streams = n_streams,
                .terminal = n_streams == 1,
                .input = -EBADF };
        for (size_t n = 0; n < STREAMS_MAX; n++)
                h->streams[n].fd = -EBADF;
        r = sd_event_add_defer(event, &h->changed_source, on_changed, h);
        if (r >= 0)
                r = sd_event_source_set_enabled(h->changed_source, SD_EVENT_OFF);
        for (size_t n = 0; r >= 0 && n < n_streams; n++)
                r = stream_init(&h->streams[n], h, streams[n]);
        if (r < 0)
                return r;

        for (size_t n = 0; n < n_streams; n++)
                h->streams[n].fd = streams[n];
        h->input = input;
        *ret = TAKE_PTR(h);
        return 0;
}

Held *held_free(Held *h)
{
        if (!h)
                return NULL;

        while (h->clients)
                client_free(h->clients);
        for (size_t n = 0; n < STREAMS_MAX; n++) {
                held_stream_close(&h->streams[n]);
                fanout_free(h->streams[n].fanout);
        }
        safe_close(h->input);
        sd_event_source_disable_unref(h->drain_timer);
        sd_event_source_disable_unref(h->changed_source);
        sd_event_unref(h->event);
        free(h);
        return NULL;
}
