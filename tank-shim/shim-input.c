/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-input.h.
 *
 * One buffer of what a terminal takes at once. It is filled only when it is empty, and emptied only
 * when the terminal has room: the client's own socket is the queue, and bounds it.
 *
 * Either source of events is on only while its event is awaited: a peer that hung up would
 * otherwise wake the loop for ever. */

#include <sys/epoll.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "shim-input.h"

#define BUFFER_SIZE     4096U /* the queue of a terminal's line discipline */
#define ROUNDS_PER_TURN 16U
#define FLUSH_TURNS     8U
/* A terminal wakes its master when the program has read, and the line discipline makes room of that
 * in a worker thread: whoever comes between the two, and finds none, must look again. */
#define RETRY_USEC (250 * USEC_PER_MSEC)

struct ShimInput {
        int from, to;
        sd_event_source *from_source, *to_source, *retry;
        bool ended; /* nothing more comes from @from */
        uint64_t passed;
        ShimInputOver over;
        void *userdata;
        size_t start, end;
        char buffer[BUFFER_SIZE];
};

typedef enum Pumped {
        PUMPED_EMPTY,   /* the client has sent no more */
        PUMPED_BLOCKED, /* the terminal takes no more */
        PUMPED_MORE,    /* enough for this turn of the loop */
        PUMPED_OVER,
} Pumped;

static Pumped pump(ShimInput *i, unsigned rounds)
{
        while (rounds-- > 0) {
                ssize_t n;

                if (i->start < i->end) {
                        n = write(i->to, i->buffer + i->start, i->end - i->start);
                        if (n > 0) {
                                i->start += (size_t) n;
                                i->passed += (size_t) n;
                        } else if (n == 0 || errno == EAGAIN)
                                return PUMPED_BLOCKED;
                        else if (errno != EINTR)
                                return PUMPED_OVER; /* the terminal is gone */
                        continue;
                }
                if (i->ended)
                        return PUMPED_OVER;
                n = read(i->from, i->buffer, sizeof(i->buffer));
                if (n < 0 && errno == EAGAIN)
                        return PUMPED_EMPTY;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        i->ended = true; /* also by a reset: what came before was read before */
                        continue;
                }
                i->start = 0;
                i->end = (size_t) n;
        }
        return PUMPED_MORE;
}

static int set(sd_event_source *source, bool on)
{
        return sd_event_source_set_enabled(source, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int await(ShimInput *i, Pumped pumped)
{
        bool blocked = pumped == PUMPED_BLOCKED;
        uint64_t usec = pumped == PUMPED_MORE ? 0 : RETRY_USEC;
        int r;

        r = set(i->from_source, pumped == PUMPED_EMPTY);
        if (r >= 0)
                r = set(i->to_source, blocked);
        if (r >= 0)
                r = sd_event_source_set_time_relative(i->retry, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(
                                i->retry, pumped == PUMPED_EMPTY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        return r;
}

static void run(ShimInput *i)
{
        Pumped pumped = pump(i, ROUNDS_PER_TURN);

        if (pumped != PUMPED_OVER && await(i, pumped) >= 0)
                return;
        i->from_source = sd_event_source_disable_unref(i->from_source);
        i->to_source = sd_event_source_disable_unref(i->to_source);
        i->retry = sd_event_source_disable_unref(i->retry);
        i->over(i, i->userdata); /* may free it: last */
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        run(userdata);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        run(userdata);
        return 0;
}

uint64_t shim_input_passed(const ShimInput *i)
{
        return i->passed;
}

bool shim_input_flush(ShimInput *i)
{
        Pumped pumped;

        if (!i->retry)
                return true; /* over */
        for (unsigned n = 0; n < FLUSH_TURNS; n++) {
                pumped = pump(i, ROUNDS_PER_TURN);
                if (pumped != PUMPED_MORE)
                        break;
        }
        /* A client that is gone, but whose descriptor somebody still has, is no client; one that
         * goes on writing is none either. */
        return pumped != PUMPED_BLOCKED || await(i, pumped) < 0;
}

int shim_input_new(sd_event *event, int from, int to, ShimInputOver over, void *userdata,
                ShimInput **ret)
{
        CLEANUP(shim_input_freep) ShimInput *i = NULL;
        int r;

        i = malloc(sizeof(*i));
        if (!i)
                return -ENOMEM;
        *i = (ShimInput){ .over = over, .userdata = userdata };
        i->from = fcntl(from, F_DUPFD_CLOEXEC, 3);
        i->to = fcntl(to, F_DUPFD_CLOEXEC, 3);
        if (i->from < 0 || i->to < 0)
                return -errno;

        r = sd_event_add_io(event, &i->from_source, i->from, EPOLLIN, on_ready, i);
        if (r >= 0)
                r = sd_event_add_io(event, &i->to_source, i->to, EPOLLOUT | EPOLLET, on_ready, i);
        if (r >= 0)
                r = sd_event_source_set_enabled(i->to_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &i->retry, CLOCK_MONOTONIC, RETRY_USEC,
                                USEC_PER_MSEC, on_retry, i);
        if (r >= 0)
                r = sd_event_source_set_enabled(i->retry, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(i);
        return 0;
}

ShimInput *shim_input_free(ShimInput *i)
{
        if (!i)
                return NULL;

        sd_event_source_disable_unref(i->from_source);
        sd_event_source_disable_unref(i->to_source);
        sd_event_source_disable_unref(i->retry);
        safe_close(i->from);
        safe_close(i->to);
        free(i);
        return NULL;
}
