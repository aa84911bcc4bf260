/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The log of one container: line assembly, rotation, and the draining of its pipes. */

#include <systemd/sd-event.h>

#include "log-format.h"
#include "macro.h"

typedef struct ShimLog ShimLog;
typedef void (*ShimLogDone)(void *userdata);

/* Makes @dir (its last two components, namespace and pod, with mode 0750), opens @dir/@name for
 * appending and continues its numbering. Run it as host root, before privileges are given up; it
 * touches no bus and no container. */
int shim_log_new(sd_event *event, const char *dir, const char *name, uint64_t max_size,
                unsigned max_files, ShimLog **ret);
ShimLog *shim_log_free(ShimLog *log); /* flushes partial lines; closes the descriptors */
DEFINE_CLEANUP(ShimLog *, shim_log_freep, shim_log_free);

/* The reading end of a pipe (LOG_STREAM_OUT, LOG_STREAM_ERR), each stream at most once. Takes @fd
 * on success and makes it non-blocking. The writing end must exist in the container only. */
int shim_log_add_pipe(ShimLog *log, LogStream stream, int fd);

/* Bytes that came another way (the PTY's master). Assembled into lines; written when a buffer is
 * full or at shim_log_flush(). */
void shim_log_feed(ShimLog *log, LogStream stream, const void *data, size_t size);
/* Writes what is whole, once for each wake-up. */
void shim_log_flush(ShimLog *log);
/* End of @stream: its partial line becomes a record of its own. */
void shim_log_end_stream(ShimLog *log, LogStream stream);

/* The container is over: what its pipes hold is read and written, without waiting for more. */
void shim_log_drain(ShimLog *log);

/* The container is over: reads the pipes until end of file, or, while something outside holds one
 * open, until 100 ms of silence (at most 2 s), writes partial lines, and then calls @done from the
 * loop, exactly once. */
int shim_log_finish(ShimLog *log, ShimLogDone done, void *userdata);

/* Records that could not be written (disk full), in all. */
uint64_t shim_log_dropped(const ShimLog *log);
