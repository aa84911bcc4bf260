/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A descriptor that a caller handed over, for a job to read from or write to without ever making
 * the loop wait: the job sleeps until there is room or input.
 *
 * It is one end of a connected AF_UNIX stream socket, nothing else. Of a socket each call says for
 * itself that it shall not wait (MSG_DONTWAIT); of a pipe O_NONBLOCK says so, which belongs to
 * everybody who has it open and may be taken away again at any time; and a file may make one wait
 * for as long as its file system likes. Sockets of other families may even wait in close(). No flag
 * of the caller's socket is touched. Who lets less than LIMIT_STREAM_PACE bytes through in
 * LIMIT_STREAM_USEC is given up. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store-job.h"

typedef struct Stream {
        Job *job;
        int fd;
        uint32_t events;
        sd_event_source *io, *patience;
        uint64_t total;     /* bytes that went through */
        uint64_t mark, due; /* of them, when the pace was met last; and when it has to be again */
} Stream;

/* Keeps a duplicate of @fd. @events: EPOLLIN or EPOLLOUT. The job is added before the loop turns.
 * InvalidArgument: no such descriptor, or none of a stream socket. */
int stream_open(Stream *s, Job *j, int fd, uint32_t events, sd_bus_error *reterr);
void stream_close(Stream *s);

/* -EAGAIN: the job sleeps, and shall say so. Who closed the other end fails it. */
/* From *done on; 0: all is out. */
int stream_write(Stream *s, const void *data, size_t size, size_t *done, sd_bus_error *reterr);
/* What is there, -EINTR: nothing yet; 0: the end. */
ssize_t stream_read(Stream *s, void *buf, size_t size, sd_bus_error *reterr);
