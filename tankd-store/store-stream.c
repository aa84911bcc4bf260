/* SPDX-License-Identifier: Apache-2.0 */
#include "store-stream.h"

#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "store-internal.h"

#define PIECE_SIZE (64U * 1024U)

static int sleep_off(Stream *s)
{
        int r = sd_event_source_set_enabled(s->io, SD_EVENT_OFF);

        return r < 0 ? r : sd_event_source_set_enabled(s->patience, SD_EVENT_OFF);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Stream *s = userdata;

        (void) sleep_off(s); /* else it only wakes again */
        job_wake(s->job);
        return 0;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Stream *s = userdata;

        (void) tank_error_set(&e, TANK_ERROR_TIMED_OUT,
                        "less than %u KiB went through the socket in %" PRIu64
                        " s: it has to be %s all the time",
                        LIMIT_STREAM_PACE >> 10, LIMIT_STREAM_USEC / USEC_PER_SEC,
                        s->events == EPOLLIN ? "written to" : "read from");
        job_fail(s->job, &e);
        return 0;
}

static int watch(Stream *s)
{
        sd_event *event = s->job->store->event;
        int r;

        if ((r = sd_event_add_io(event, &s->io, s->fd, s->events, on_io, s)) < 0 ||
                        (r = sd_event_source_set_enabled(s->io, SD_EVENT_OFF)) < 0 ||
                        (r = sd_event_add_time(event, &s->patience, CLOCK_MONOTONIC, 0, 0,
                                         on_patience, s)) < 0)
                return r;
        return sd_event_source_set_enabled(s->patience, SD_EVENT_OFF);
}

static bool is_stream_socket(int fd)
{
        int domain, type;

        return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){ sizeof(domain) }) >=
                               0 &&
               getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) }) >= 0 &&
               domain == AF_UNIX && type == SOCK_STREAM;
}

int stream_open(Stream *s, Job *j, int fd, uint32_t events, sd_bus_error *reterr)
{
        int r;

        *s = (Stream){ .job = j, .fd = -EBADF, .events = events };
        if (fcntl(fd, F_GETFD) < 0)
                return tank_error_set_errno(reterr, -errno, "the descriptor cannot be used");
        if (!is_stream_socket(fd))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the descriptor must be of a socket, since files and pipes can "
                                "make the store wait: hand over one end of a socketpair (AF_UNIX, "
                                "SOCK_STREAM), or call tankctl store, which takes files and pipes");
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->fd < 0)
                return tank_error_set_errno(reterr, -errno, "the descriptor cannot be kept");
        r = watch(s);
        if (r >= 0)
                return 0;
        stream_close(s);
        return tank_error_set_errno(reterr, r, "the descriptor cannot be watched");
}

void stream_close(Stream *s)
{
        s->io = sd_event_source_disable_unref(s->io);
        s->patience = sd_event_source_disable_unref(s->patience);
        s->fd = safe_close(s->fd);
}

/* Until there is room or input; -EAGAIN. The time goes on from one sleep to the next, until as much
 * went through as has to. */
static int fall_asleep(Stream *s, sd_bus_error *reterr)
{
        uint64_t now;
        int r = sd_event_now(s->job->store->event, CLOCK_MONOTONIC, &now);

        if (r >= 0 && (s->due == 0 || s->total - s->mark >= LIMIT_STREAM_PACE)) {
                s->mark = s->total;
                s->due = now + LIMIT_STREAM_USEC;
        }
        if (r < 0 || (r = sd_event_source_set_enabled(s->io, SD_EVENT_ON)) < 0 ||
                        (r = sd_event_source_set_time(s->patience, s->due)) < 0 ||
                        (r = sd_event_source_set_enabled(s->patience, SD_EVENT_ONESHOT)) < 0)
                return tank_error_set_errno(reterr, r, "the descriptor cannot be watched");
        return -EAGAIN;
}

/* What send() or recv() said. */
static ssize_t outcome(Stream *s, ssize_t n, sd_bus_error *reterr)
{
        if (n >= 0) {
                s->total += (uint64_t) n;
                return n;
        }
        if (errno == EINTR)
                return -EINTR;
        if (errno == EAGAIN)
                return fall_asleep(s, reterr);
        return tank_error_set_errno(reterr, -errno, "the socket failed");
}

int stream_write(Stream *s, const void *data, size_t size, size_t *done, sd_bus_error *reterr)
{
        while (*done < size) {
                ssize_t n = send(s->fd, (const char *) data + *done,
                                MIN(size - *done, (size_t) PIECE_SIZE),
                                MSG_DONTWAIT | MSG_NOSIGNAL);

                n = outcome(s, n, reterr);
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return (int) n;
                *done += (size_t) n;
        }
        return 0;
}

ssize_t stream_read(Stream *s, void *buf, size_t size, sd_bus_error *reterr)
{
        return outcome(s, recv(s->fd, buf, MIN(size, (size_t) PIECE_SIZE), MSG_DONTWAIT), reterr);
}
