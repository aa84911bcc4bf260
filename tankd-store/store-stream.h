/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A descriptor that a caller handed over, for a job to read from or write to without ever making
 * the loop wait: a pipe or a socket is made non-blocking, and the job sleeps until there is room or
 * input; a regular file is taken as it is. Who neither reads nor writes for a minute is
 * given up. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store-job.h"

typedef struct Stream {
        Job *job;
        int fd;
        bool polled;
        sd_event_source *io, *patience;
        uint64_t total; /* bytes that went through */
} Stream;

/* Keeps a duplicate of @fd. @events: EPOLLIN or EPOLLOUT. The job is added before the loop turns.
 * InvalidArgument: no such descriptor, or not for this. */
int stream_open(Stream *s, Job *j, int fd, uint32_t events, sd_bus_error *reterr);
void stream_close(Stream *s);

/* -EAGAIN: the job sleeps, and shall say so. */
/* From *done on, as far as it goes: 1 when all is out, 0 when there is more for another turn. */
int stream_write(Stream *s, const void *data, size_t size, size_t *done, sd_bus_error *reterr);
/* What is there, -EINTR: nothing yet; 0: the end. */
ssize_t stream_read(Stream *s, void *buf, size_t size, sd_bus_error *reterr);
