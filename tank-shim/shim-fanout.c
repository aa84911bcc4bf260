/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-fanout.h.
 *
 *     source → ring (the newest `size` bytes of `total`) → each reader, at its own `position`
 *
 * Positions count the bytes of the stream from its start, so that what a reader missed is a
 * difference. A reader that the ring has overtaken goes on half a ring behind the newest byte: at
 * the oldest one it would be overtaken again by the next byte of a flood.
 *
 * Invariants:
 * - A notice is sent whole or not at all: bytes of the stream never stand inside of one.
 * - A reader is watched for room only while it has something to get, else only for its end.
 * - Every byte of the stream is either sent to a reader, in its order, or counted in a notice.
 *
 * What a reader can have in the kernel is bounded too (SEND_BUFFER), so that it is not shown what
 * was long ago. At the end that bound is lifted: then what the ring holds always finds room, and
 * nobody has to wait for a reader to take its tail. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bus-util.h"
#include "fd.h"
#include "shim-fanout.h"

#define SEND_BUFFER        (96 * 1024)   /* the kernel doubles it, for what it needs itself */
#define SEND_BUFFER_AT_END (1024 * 1024) /* cut to what the system allows (net.core.wmem_max) */
#define NOTICE_MAX         64U

struct FanoutReader {
        FanoutReader *next;
        Fanout *fanout;
        int fd;
        sd_event_source *source;
        uint32_t events;
        uint64_t position;
        uint64_t missed, missed_told;    /* in all; of which the notices that were sent told */
        size_t notice_sent, notice_size; /* size 0: none is under way */
        char notice[NOTICE_MAX];
        int error; /* of the descriptor, until it is told */
        bool over; /* told */
        FanoutOver callback;
        void *userdata;
};

struct Fanout {
        sd_event *event;
        FanoutReader *readers;
        const char *newline;
        uint64_t total;
        bool ended;
        size_t size;
        char ring[];
};

static uint64_t oldest(const Fanout *f)
{
        return f->total > f->size ? f->total - f->size : 0;
}

/* ---- a reader ---- */

static int reader_watch(FanoutReader *r, uint32_t events)
{
        int q;

        if (r->events == events)
                return 0;
        q = sd_event_source_set_io_events(r->source, events);
        if (q >= 0)
                r->events = events;
        return q;
}

/* Jumps over what is gone, and prepares the line that tells of it. */
static void reader_catch_up(FanoutReader *r)
{
        const Fanout *f = r->fanout;

        if (r->position < oldest(f)) {
                uint64_t to = f->ended ? oldest(f) : f->total - f->size / 2;

                r->missed += to - r->position;
                r->position = to;
        }
        /* One that is not begun yet tells of everything up to now. */
        if (r->missed > r->missed_told && r->notice_sent == 0)
                r->notice_size = (size_t) snprintf(r->notice, sizeof(r->notice),
                                "%s[tank: %" PRIu64 " bytes of output dropped]%s", f->newline,
                                r->missed - r->missed_told, f->newline);
}

/* What is to be sent next, in one piece; 0: nothing. */
static size_t reader_next(const FanoutReader *r, const char **ret)
{
        const Fanout *f = r->fanout;
        size_t at = (size_t) (r->position % f->size);

        if (r->notice_size > 0) {
                *ret = r->notice + r->notice_sent;
                return r->notice_size - r->notice_sent;
        }
        *ret = f->ring + at;
        return (size_t) MIN(f->total - r->position, (uint64_t) (f->size - at));
}

static void reader_sent(FanoutReader *r, size_t n)
{
        if (r->notice_size == 0) {
                r->position += n;
                return;
        }
        if (r->notice_sent == 0)
                r->missed_told = r->missed;
        r->notice_sent += n;
        if (r->notice_sent == r->notice_size)
                r->notice_sent = r->notice_size = 0;
}

/* Sends until there is no more of one or the other. -EAGAIN: it takes no more now. */
static int reader_send(FanoutReader *r)
{
        for (;;) {
                const char *data;
                size_t size;
                ssize_t n;

                reader_catch_up(r);
                size = reader_next(r, &data);
                if (size == 0)
                        return 0;
                n = send(r->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n >= 0)
                        reader_sent(r, (size_t) n);
                else if (errno != EINTR)
                        return -errno;
        }
}

/* Sends what it can; whether the reader is over, then *reterr says how. */
static bool reader_service(FanoutReader *r, int *reterr)
{
        int q;

        q = r->error < 0 ? r->error : reader_send(r);
        if (q >= 0 && r->fanout->ended) {
                (void) shutdown(r->fd, SHUT_WR);
                *reterr = 0;
                return true;
        }
        if (q >= 0 || q == -EAGAIN)
                q = reader_watch(r, q == -EAGAIN ? EPOLLOUT : 0);
        *reterr = q;
        return q < 0;
}

/* May free the reader. */
static void reader_over(FanoutReader *r, int error)
{
        if (r->over)
                return;
        r->over = true;
        r->source = sd_event_source_disable_unref(r->source);
        r->callback(r, error, r->userdata);
}

static void reader_run(FanoutReader *r)
{
        int error;

        if (!r->over && reader_service(r, &error))
                reader_over(r, error);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        FanoutReader *r = userdata;

        /* Its end is told of also while there is nothing for it. */
        if (revents & (EPOLLHUP | EPOLLERR))
                r->error = -EPIPE;
        reader_run(r);
        return 0;
}

static int set_send_buffer(int fd, int size)
{
        return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ? -errno : 0;
}

int fanout_add_reader(Fanout *f, int fd, FanoutFrom from, FanoutOver over, void *userdata,
                FanoutReader **ret)
{
        FanoutReader *r;
        int q, error;

        r = malloc(sizeof(*r));
        if (!r)
                return -ENOMEM;
        *r = (FanoutReader){ .fanout = f, .fd = fd, .callback = over, .userdata = userdata };
        r->position = from == FANOUT_FROM_NOW ? f->total : from == FANOUT_FROM_HELD ? oldest(f) : 0;

        q = fd_set_nonblock(fd, true);
        if (q >= 0)
                q = set_send_buffer(fd, f->ended ? SEND_BUFFER_AT_END : SEND_BUFFER);
        if (q >= 0)
                q = sd_event_add_io(f->event, &r->source, fd, 0, on_ready, r);
        if (q < 0) {
                free(r);
                return q;
        }
        r->next = f->readers;
        f->readers = r;

        /* Whoever adds it does not have it yet: its end, if this is it, comes from the loop. */
        if (reader_service(r, &error)) {
                r->error = error;
                (void) reader_watch(r, EPOLLOUT); /* else its end is found when its peer leaves */
        }
        *ret = r;
        return 0;
}

FanoutReader *fanout_reader_free(FanoutReader *r)
{
        FanoutReader **i;

        if (!r)
                return NULL;

        for (i = &r->fanout->readers; *i != r; i = &(*i)->next)
                ;
        *i = r->next;
        sd_event_source_disable_unref(r->source);
        safe_close(r->fd);
        free(r);
        return NULL;
}

uint64_t fanout_reader_missed(const FanoutReader *r)
{
        return r->missed_told;
}

/* ---- the source ---- */

static void run_readers(Fanout *f)
{
        for (FanoutReader *r = f->readers, *next; r; r = next) {
                next = r->next;
                reader_run(r);
        }
}

/* At most one ring. */
static void put(Fanout *f, const char *data, size_t size)
{
        size_t at = (size_t) (f->total % f->size), first = MIN(size, f->size - at);

        memcpy(f->ring + at, data, first);
        memcpy(f->ring, data + first, size - first);
        f->total += size;
}

void fanout_feed(Fanout *f, const void *bytes, size_t size)
{
        const char *data = bytes;

        /* In pieces, so that one big chunk overtakes nobody who could follow. */
        while (size > 0) {
                size_t n = MIN(size, f->size / 4);

                put(f, data, n);
                run_readers(f);
                data += n;
                size -= n;
        }
}

void fanout_end(Fanout *f)
{
        if (f->ended)
                return;
        f->ended = true;
        for (FanoutReader *r = f->readers; r; r = r->next)
                if (!r->over)
                        (void) set_send_buffer(r->fd, SEND_BUFFER_AT_END);
        run_readers(f);
}

bool fanout_ended(const Fanout *f)
{
        return f->ended;
}

uint64_t fanout_total(const Fanout *f)
{
        return f->total;
}

size_t fanout_held(const Fanout *f)
{
        return (size_t) (f->total - oldest(f));
}

int fanout_new(sd_event *event, size_t size, const char *newline, Fanout **ret)
{
        Fanout *f;

        assert(size >= 4 && strlen(newline) <= 2);

        f = malloc(sizeof(*f) + size); /* pages that are never written to cost nothing */
        if (!f)
                return -ENOMEM;
        *f = (Fanout){ .event = sd_event_ref(event), .newline = newline, .size = size };
        *ret = f;
        return 0;
}

Fanout *fanout_free(Fanout *f)
{
        if (!f)
                return NULL;

        while (f->readers)
                fanout_reader_free(f->readers);
        sd_event_unref(f->event);
        free(f);
        return NULL;
}
