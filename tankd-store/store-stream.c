/* SPDX-License-Identifier: Apache-2.0 */
#include "store-stream.h"

#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "fd.h"
#include "store-internal.h"

#define PIECE_SIZE    (64U * 1024U)
#define PATIENCE_USEC (60 * USEC_PER_SEC)

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
                        "nobody was at the other end of the descriptor for a minute");
        job_fail(s->job, &e);
        return 0;
}

static int watch(Stream *s, uint32_t events)
{
        sd_event *event = s->job->store->event;
        int r;

        if ((r = fd_set_nonblock(s->fd, true)) < 0 ||
                        (r = sd_event_add_io(event, &s->io, s->fd, events, on_io, s)) < 0 ||
                        (r = sd_event_source_set_enabled(s->io, SD_EVENT_OFF)) < 0 ||
                        (r = sd_event_add_time_relative(event, &s->patience, CLOCK_MONOTONIC,
                                         PATIENCE_USEC, 0, on_patience, s)) < 0)
                return r;
        return sd_event_source_set_enabled(s->patience, SD_EVENT_OFF);
}

int stream_open(Stream *s, Job *j, int fd, uint32_t events, sd_bus_error *reterr)
{
        int flags = fcntl(fd, F_GETFL), mode = flags & O_ACCMODE, r;
        struct stat st;

        *s = (Stream){ .job = j, .fd = -EBADF };
        if (flags < 0 || fstat(fd, &st) < 0)
                return tank_error_set_errno(reterr, -errno, "the descriptor cannot be used");
        if ((flags & O_PATH) || mode == (events == EPOLLIN ? O_WRONLY : O_RDONLY))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the descriptor is not open for %s",
                                events == EPOLLIN ? "reading" : "writing");
        if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the descriptor must be of a file, a pipe or a socket");
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->fd < 0)
                return tank_error_set_errno(reterr, -errno, "the descriptor cannot be kept");
        s->polled = !S_ISREG(st.st_mode);
        r = s->polled ? watch(s, events) : 0;
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

/* What read() or write() said. */
static ssize_t outcome(Stream *s, ssize_t n, sd_bus_error *reterr)
{
        int r;

        if (n >= 0) {
                s->total += (uint64_t) n;
                return n;
        }
        if (errno == EINTR)
                return -EINTR;
        if (errno != EAGAIN || !s->polled)
                return tank_error_set_errno(reterr, -errno, "the descriptor failed");
        if ((r = sd_event_source_set_enabled(s->io, SD_EVENT_ON)) < 0 ||
                        (r = sd_event_source_set_time_relative(s->patience, PATIENCE_USEC)) < 0 ||
                        (r = sd_event_source_set_enabled(s->patience, SD_EVENT_ONESHOT)) < 0)
                return tank_error_set_errno(reterr, r, "the descriptor cannot be watched");
        return -EAGAIN;
}

int stream_write(Stream *s, const void *data, size_t size, size_t *done, sd_bus_error *reterr)
{
        while (*done < size) {
                ssize_t n = write(s->fd, (const char *) data + *done,
                                MIN(size - *done, (size_t) PIECE_SIZE));

                n = outcome(s, n, reterr);
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return (int) n;
                *done += (size_t) n;
                if (!s->polled)
                        break; /* a file takes its time */
        }
        return *done == size;
}

ssize_t stream_read(Stream *s, void *buf, size_t size, sd_bus_error *reterr)
{
        return outcome(s, read(s->fd, buf, MIN(size, (size_t) PIECE_SIZE)), reterr);
}
