/* SPDX-License-Identifier: Apache-2.0 */

/* The log of one container.
 *
 *     pipe or PTY → in (one read) → lines (pending: what has no newline yet) → out → one write
 *
 * Owns the reading ends, the log file and its directory. All buffers are part of one allocation
 * made at the start: nothing is allocated for a line, and pages that a quiet container never
 * touches cost nothing. One stamp and one write serve all lines of a wake-up.
 *
 * Invariants:
 * - `size` is the file's size as of the last write, and the file ends with a newline: a write that
 *   fell short is cut back to its last whole record.
 * - Every record takes a number when it is composed. A record that cannot be written (disk full)
 *   is dropped and counted, never waited for: the reader sees the gap in the numbers.
 * - `out` holds whole records only, all of them for the file that is open now.
 *
 * The shim alone writes the file (it holds the lock of its run), so nothing here locks. */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-log.h"

#define IN_SIZE         (32U * 1024U)
#define OUT_SIZE        (64U * 1024U)
#define READS_PER_TURN  8U  /* other sources of the loop wait for no more than this */
#define DRAIN_TURNS     64U /* 16 MiB: a pipe holds 1 MiB, unless its maker was privileged */
#define TAIL_MAX        (64U * 1024U)
#define SILENCE_USEC    (100 * USEC_PER_MSEC)
#define FINISH_MAX_USEC (2 * USEC_PER_SEC)
#define ACCURACY_USEC   USEC_PER_MSEC

static_assert(OUT_SIZE >= LOG_RECORD_SIZE_MAX, "a record must fit into the output buffer");
static_assert(TAIL_MAX >= 2 * LOG_RECORD_SIZE_MAX, "the tail must hold a whole record");

typedef struct Stream {
        ShimLog *log;
        LogStream id;
        sd_event_source *source; /* NULL: no pipe, or at its end */
        int fd;
        size_t n_pending;
        char pending[LIMIT_LOG_RECORD_MAX];
} Stream;

struct ShimLog {
        sd_event *event;
        int dir_fd, fd;
        char name[NAME_MAX - 15]; /* leaves room for ".100" */
        uint64_t size, max_size;
        unsigned max_files;
        uint64_t seq;           /* of the last record composed */
        uint64_t dropped;       /* in all */
        uint64_t dropped_since; /* since the last successful write; 0: all is well */

        ShimLogDone done;
        void *done_userdata;
        sd_event_source *timer; /* while finishing */
        uint64_t deadline;      /* CLOCK_MONOTONIC */

        bool stamped;
        char stamp[RFC3339_SIZE];
        size_t n_out;
        Stream streams[_LOG_STREAM_MAX];
        char out[OUT_SIZE];
        char in[IN_SIZE];
};

/* ---- the files ---- */

/* "name", "name.1", …; @name was checked at open. */
static const char *file_name(const ShimLog *log, unsigned n, char buf[static NAME_MAX + 1])
{
        if (n == 0)
                (void) snprintf(buf, NAME_MAX + 1, "%s", log->name);
        else
                (void) snprintf(buf, NAME_MAX + 1, "%s.%u", log->name, n);
        return buf;
}

static int open_current(ShimLog *log)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;

        fd = openat(log->dir_fd, log->name,
                        O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
                                        O_CLOEXEC,
                        0640);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;

        log->fd = TAKE_FD(fd);
        log->size = (uint64_t) st.st_size;
        return 0;
}

/* Frees the name of the current file. The older ones move up; the oldest is overwritten. */
static int rotate(ShimLog *log)
{
        char from[NAME_MAX + 1], to[NAME_MAX + 1];

        for (unsigned i = log->max_files - 1; i > 0; i--) {
                file_name(log, i - 1, from);
                file_name(log, i, to);
                if (renameat(log->dir_fd, from, log->dir_fd, to) < 0 && errno != ENOENT)
                        return -errno;
        }

        log->fd = safe_close(log->fd);
        log->size = 0;
        return 0;
}

/* The number of files may have been lowered since the last run. */
static void remove_surplus(ShimLog *log)
{
        char name[NAME_MAX + 1];

        for (unsigned i = log->max_files; i <= LIMIT_LOG_FILES_MAX; i++)
                if (unlinkat(log->dir_fd, file_name(log, i, name), 0) < 0)
                        return;
}

/* The last record in the tail of @fd; *@ret_end is the offset in the file behind it. */
static int find_last_seq(int fd, uint64_t size, uint64_t *ret_seq, uint64_t *ret_end)
{
        uint64_t offset = size > TAIL_MAX ? size - TAIL_MAX : 0;
        CLEANUP_FREE char *tail = NULL;
        LogRecord record;
        size_t end;
        ssize_t n;
        int r;

        tail = malloc(TAIL_MAX);
        if (!tail)
                return -ENOMEM;
        n = pread(fd, tail, TAIL_MAX, (off_t) offset);
        if (n < 0)
                return -errno;

        r = log_find_last_record(tail, (size_t) n, &record, &end);
        if (r < 0)
                return r;

        *ret_seq = record.seq;
        *ret_end = offset + end;
        return 0;
}

/* The numbering goes on behind the last record of the current file. A file that ends in a torn one
 * (power loss) is cut back, so that the next record starts on a line of its own. -ENOENT when there
 * is nothing of ours in it. */
static int recover_current(ShimLog *log)
{
        uint64_t end;
        int r;

        if (log->size == 0)
                return -ENOENT;

        r = find_last_seq(log->fd, log->size, &log->seq, &end);
        if (r == -ENOENT && write(log->fd, "\n", 1) == 1)
                log->size++; /* whatever it is, it is kept: behind a newline */
        if (r < 0 || end == log->size)
                return r;

        if (ftruncate(log->fd, (off_t) end) < 0)
                return -errno;
        log->size = end;
        return 0;
}

static int recover_previous(ShimLog *log)
{
        CLEANUP_CLOSE int fd = -EBADF;
        char name[NAME_MAX + 1];
        struct stat st;
        uint64_t end;

        fd = openat(log->dir_fd, file_name(log, 1, name),
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        return find_last_seq(fd, (uint64_t) st.st_size, &log->seq, &end);
}

/* ---- records ---- */

static void drop(ShimLog *log, uint64_t n, int error)
{
        if (log->dropped_since == 0)
                log_warning_errno(error,
                                "cannot write log %s, dropping records until it is possible again",
                                log->name);
        log->dropped += n;
        log->dropped_since += n;
}

/* Removes what a failed write left behind its last whole record; returns what remains of
 * @written. */
static size_t cut_back(ShimLog *log, size_t written)
{
        const char *end = written > 0 ? memrchr(log->out, '\n', written) : NULL;
        size_t keep = end ? (size_t) (end - log->out) + 1 : 0;

        if (keep < written && ftruncate(log->fd, (off_t) (log->size + keep)) < 0) {
                /* Then at least the next record must not continue the torn one: closing makes
                 * the next write open the file anew, which recovers it. */
                log->fd = safe_close(log->fd);
        }
        return keep;
}

static void drop_from(ShimLog *log, size_t offset, int error)
{
        uint64_t n = 0;

        for (const char *p = log->out + offset, *end = log->out + log->n_out;
                        p < end && (p = memchr(p, '\n', (size_t) (end - p))); p++)
                n++;
        drop(log, n, error);
        log->n_out = offset;
}

static int reopen(ShimLog *log)
{
        uint64_t seq = log->seq;
        int r;

        r = open_current(log);
        if (r < 0)
                return r;
        r = recover_current(log);
        log->seq = seq; /* records were numbered since */
        if (r < 0 && r != -ENOENT) {
                log->fd = safe_close(log->fd);
                return r;
        }
        return 0;
}

static void write_out(ShimLog *log)
{
        size_t written = 0;
        int r = 0;

        if (log->n_out == 0)
                return;

        if (log->fd < 0)
                r = reopen(log);
        while (r >= 0 && written < log->n_out) {
                ssize_t n = write(log->fd, log->out + written, log->n_out - written);

                if (n >= 0)
                        written += (size_t) n;
                else if (errno != EINTR)
                        r = -errno;
        }

        if (r < 0) {
                written = cut_back(log, written);
                drop_from(log, written, r);
        } else if (log->dropped_since > 0) {
                log_notice("log %s can be written again, %" PRIu64 " records are missing",
                                log->name, log->dropped_since);
                log->dropped_since = 0;
        }

        log->size += written;
        log->n_out = 0;
}

/* Makes room for a record of @size bytes, in the file and in the buffer. */
static int make_room(ShimLog *log, size_t size)
{
        int r;

        if (log->size + log->n_out > 0 && log->size + log->n_out + size > log->max_size) {
                write_out(log);
                if (log->size > 0 && log->size + size > log->max_size) {
                        r = rotate(log);
                        if (r < 0)
                                return r;
                }
        }
        if (log->n_out + size > OUT_SIZE)
                write_out(log);
        return 0;
}

/* Composes one record: what was pending, then @data. */
static void put_record(Stream *s, const char *data, size_t size, bool partial)
{
        ShimLog *log = s->log;
        char header[LOG_HEADER_MAX];
        size_t n_header, n_pending = s->n_pending;
        char *p;
        int r;

        s->n_pending = 0;

        /* A terminal ends its lines with CR LF (onlcr); one CR belongs to the newline. */
        if (s->id == LOG_STREAM_TTY && !partial) {
                if (size > 0 && data[size - 1] == '\r')
                        size--;
                else if (size == 0 && n_pending > 0 && s->pending[n_pending - 1] == '\r')
                        n_pending--;
        }

        if (!log->stamped) {
                format_rfc3339(now_realtime_usec(), log->stamp);
                log->stamped = true;
        }
        n_header = log_format_header(header, log->stamp, s->id, partial, ++log->seq);

        r = make_room(log, n_header + n_pending + size + 1);
        if (r < 0) {
                drop(log, 1, r);
                return;
        }

        p = mempcpy(log->out + log->n_out, header, n_header);
        p = mempcpy(p, s->pending, n_pending);
        if (size > 0)
                p = mempcpy(p, data, size);
        *p++ = '\n';
        log->n_out = (size_t) (p - log->out);
}

void shim_log_feed(ShimLog *log, LogStream stream, const void *bytes, size_t size)
{
        Stream *s = &log->streams[stream];
        const char *data = bytes;

        while (size > 0) {
                size_t room = sizeof(s->pending) - s->n_pending;
                /* One byte more than fits: a full line is whole when its newline comes next. */
                const char *end = memchr(data, '\n', MIN(size, room + 1));

                if (end) {
                        put_record(s, data, (size_t) (end - data), false);
                        size -= (size_t) (end - data) + 1;
                        data = end + 1;
                } else if (size > room) {
                        put_record(s, data, room, true);
                        size -= room;
                        data += room;
                } else {
                        memcpy(s->pending + s->n_pending, data, size);
                        s->n_pending += size;
                        return;
                }
        }
}

void shim_log_flush(ShimLog *log)
{
        write_out(log);
        log->stamped = false;
}

void shim_log_end_stream(ShimLog *log, LogStream stream)
{
        Stream *s = &log->streams[stream];

        s->source = sd_event_source_disable_unref(s->source);
        s->fd = safe_close(s->fd);
        if (s->n_pending > 0)
                put_record(s, NULL, 0, true);
        shim_log_flush(log);
}

uint64_t shim_log_dropped(const ShimLog *log)
{
        return log->dropped;
}

/* ---- the loop ---- */

static bool all_ended(const ShimLog *log)
{
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                if (log->streams[i].source)
                        return false;
        return true;
}

/* While finishing: the time of silence begins anew, but never passes the deadline. */
static void rearm(ShimLog *log)
{
        uint64_t now, next = 0;

        if (!log->timer)
                return;
        if (!all_ended(log)) {
                if (sd_event_now(log->event, CLOCK_MONOTONIC, &now) < 0)
                        return;
                next = MIN(now + SILENCE_USEC, log->deadline);
        }
        (void) sd_event_source_set_time(log->timer, next); /* it stays armed at the old time */
}

/* Reads what is there, up to a bound. Returns whether there was anything. */
static bool read_stream(Stream *s)
{
        bool any = false;

        for (unsigned i = 0; i < READS_PER_TURN; i++) {
                ssize_t n = read(s->fd, s->log->in, IN_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0) {
                        shim_log_end_stream(s->log, s->id);
                        return any;
                }

                any = true;
                shim_log_feed(s->log, s->id, s->log->in, (size_t) n);
                if ((size_t) n < IN_SIZE)
                        break; /* empty now; the loop tells when it no longer is */
        }

        shim_log_flush(s->log);
        return any;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Stream *s = userdata;
        ShimLog *log = s->log;

        (void) read_stream(s);
        rearm(log);
        return 0;
}

static int on_silence(sd_event_source *source, uint64_t usec, void *userdata)
{
        ShimLog *log = userdata;
        bool any = false;
        uint64_t now;

        /* The loop may have been late: silence counts only when the pipes are empty too. */
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                if (log->streams[i].source)
                        any |= read_stream(&log->streams[i]);

        if (any && sd_event_now(log->event, CLOCK_MONOTONIC, &now) >= 0 && now < log->deadline) {
                rearm(log);
                return sd_event_source_set_enabled(log->timer, SD_EVENT_ONESHOT);
        }

        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                shim_log_end_stream(log, i);
        log->timer = sd_event_source_disable_unref(log->timer);
        log->done(log->done_userdata); /* may free the log: last */
        return 0;
}

void shim_log_drain(ShimLog *log)
{
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                for (unsigned n = 0; log->streams[i].source && n < DRAIN_TURNS; n++)
                        if (!read_stream(&log->streams[i]))
                                break;
}

int shim_log_finish(ShimLog *log, ShimLogDone done, void *userdata)
{
        uint64_t now;
        int r;

        assert(!log->timer);

        r = sd_event_now(log->event, CLOCK_MONOTONIC, &now);
        if (r < 0)
                return r;
        log->done = done;
        log->done_userdata = userdata;
        log->deadline = now + FINISH_MAX_USEC;

        return sd_event_add_time(log->event, &log->timer, CLOCK_MONOTONIC,
                        all_ended(log) ? 0 : now + SILENCE_USEC, ACCURACY_USEC, on_silence, log);
}

int shim_log_add_pipe(ShimLog *log, LogStream stream, int fd)
{
        Stream *s = &log->streams[stream];
        int r;

        assert(!s->source);

        r = fd_set_nonblock(fd, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(log->event, &s->source, fd, EPOLLIN, on_readable, s);
        if (r < 0)
                return r;
        /* Control goes before data, and the loop's idle work (giving up privileges, joining the
         * bus) takes turns with it: a workload that never stops writing is always readable. */
        r = sd_event_source_set_priority(s->source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0) {
                s->source = sd_event_source_disable_unref(s->source);
                return r;
        }
        s->fd = fd;
        return 0;
}

/* ---- life ---- */

/* The part that belongs to the namespace and the pod is ours, and no link is followed there; what
 * is above it is the administrator's. */
static int open_directory(const char *dir, int *ret_fd)
{
        CLEANUP_FREE char *base = NULL;
        CLEANUP_CLOSE int base_fd = -EBADF;
        const char *pod, *namespace;
        int r;

        pod = strrchr(dir, '/');
        namespace = pod && pod > dir ? memrchr(dir, '/', (size_t) (pod - dir)) : NULL;
        if (dir[0] != '/' || !namespace || namespace == dir)
                return -EINVAL;

        base = strndup(dir, (size_t) (namespace - dir));
        if (!base)
                return -ENOMEM;
        r = mkdir_p(base, 0750);
        if (r < 0)
                return r;
        base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (base_fd < 0)
                return -errno;
        return mkdir_p_open_at(base_fd, namespace + 1, 0750, ret_fd);
}

int shim_log_new(sd_event *event, const char *dir, const char *name, uint64_t max_size,
                unsigned max_files, ShimLog **ret)
{
        CLEANUP(shim_log_freep) ShimLog *log = NULL;
        int r;

        if (max_size == 0 || max_files < LIMIT_LOG_FILES_MIN || max_files > LIMIT_LOG_FILES_MAX)
                return -EINVAL;
        if (isempty(name) || strchr(name, '/') || strlen(name) >= sizeof(log->name))
                return -EINVAL;

        log = calloc(1, sizeof(*log));
        if (!log)
                return -ENOMEM;
        log->event = sd_event_ref(event);
        log->dir_fd = log->fd = -EBADF;
        log->max_size = max_size;
        log->max_files = max_files;
        memcpy(log->name, name, strlen(name) + 1);
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++) {
                log->streams[i].log = log;
                log->streams[i].id = i;
                log->streams[i].fd = -EBADF;
        }

        r = open_directory(dir, &log->dir_fd);
        if (r < 0)
                return r;
        r = open_current(log);
        if (r < 0)
                return r;
        r = recover_current(log);
        if (r == -ENOENT)
                r = recover_previous(log);
        if (r < 0 && r != -ENOENT)
                return r;
        remove_surplus(log);

        *ret = TAKE_PTR(log);
        return 0;
}

ShimLog *shim_log_free(ShimLog *log)
{
        if (!log)
                return NULL;

        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                shim_log_end_stream(log, i);
        sd_event_source_disable_unref(log->timer);
        safe_close(log->fd);
        safe_close(log->dir_fd);
        sd_event_unref(log->event);
        free(log);
        return NULL;
}
