/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-logs.c for the model. Here: one file after the other through one buffer, and what is
 * printed through another, which is written out before it changes its destination, so that the
 * order of the two streams survives when both go to the same place. */

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "ctl-log-reader.h"
#include "fd.h"
#include "limit.h"

#define BUFFER_SIZE  (8U * LOG_RECORD_SIZE_MAX)
#define STABLE_TRIES 10U

typedef struct LogFile {
        int fd;
        dev_t dev;
        ino_t ino;
} LogFile;

typedef struct LogFiles {
        LogFile items[LIMIT_LOG_FILES_MAX + 1];
        size_t n;
} LogFiles;

/* Where a stream is in its line. */
typedef struct StreamState {
        bool inside, wanted;
} StreamState;

struct LogReader {
        int directory;
        char *name;
        LogSelection selection;
        LogFiles files;
        size_t at; /* the file that is being read */

        char buffer[BUFFER_SIZE];
        size_t start, end;
        bool skipping; /* a line that is too long to be a record, up to its end */

        StreamState streams[_LOG_STREAM_MAX];
        uint64_t n_lines, first_line; /* lines begun; the first one to print */
        bool counting, following;
        uint64_t last_seq;

        char out[BUFFER_SIZE];
        size_t out_size;
        int out_fd;
};

/* ---- printing ------------------------------------------------------------------------------ */

static int out_flush(LogReader *r)
{
        size_t size = r->out_size;

        r->out_size = 0;
        return size > 0 ? write_full(r->out_fd, r->out, size) : 0;
}

static int out_put(LogReader *r, int fd, const char *data, size_t size)
{
        int k = 0;

        if (fd != r->out_fd || r->out_size + size > sizeof(r->out))
                k = out_flush(r);
        if (k < 0)
                return k;
        r->out_fd = fd;
        memcpy(r->out + r->out_size, data, size); /* a record is smaller than the buffer */
        r->out_size += size;
        return 0;
}

static int print_record(LogReader *r, const LogRecord *record, bool first)
{
        int fd = record->stream == LOG_STREAM_ERR ? STDERR_FILENO : STDOUT_FILENO, k = 0;

        if (first && r->selection.timestamps) {
                char stamp[RFC3339_SIZE];

                (void) format_rfc3339(record->usec, stamp);
                stamp[RFC3339_SIZE - 1] = ' ';
                k = out_put(r, fd, stamp, RFC3339_SIZE);
        }
        if (k >= 0)
                k = out_put(r, fd, record->data, record->size);
        if (k >= 0 && !record->partial)
                k = out_put(r, fd, "\n", 1);
        return k;
}

/* ---- records ------------------------------------------------------------------------------- */

static void warn_of_gap(LogReader *r, uint64_t seq)
{
        if (r->last_seq > 0 && seq > r->last_seq + 1)
                ctl_error("%" PRIu64 " records were rotated away before they could be read",
                                seq - r->last_seq - 1);
}

static int on_record(LogReader *r, const LogRecord *record)
{
        StreamState *s = &r->streams[record->stream];
        bool first = !s->inside;

        if (first && record->usec >= r->selection.since_usec) {
                s->wanted = !r->counting && r->n_lines >= r->first_line;
                r->n_lines++;
        } else if (first)
                s->wanted = false;
        if (r->following)
                warn_of_gap(r, record->seq);
        s->inside = record->partial;
        r->last_seq = record->seq;
        return s->wanted ? print_record(r, record, first) : 0;
}

/* Takes the complete lines out of the buffer. */
static int take_lines(LogReader *r)
{
        char *newline;

        while ((newline = memchr(r->buffer + r->start, '\n', r->end - r->start))) {
                size_t size = (size_t) (newline - r->buffer) - r->start;
                LogRecord record;
                int k = 0;

                if (!r->skipping && log_parse_record(r->buffer + r->start, size, &record) >= 0)
                        k = on_record(r, &record);
                r->skipping = false;
                r->start += size + 1;
                if (k < 0)
                        return k;
        }
        if (r->end - r->start == sizeof(r->buffer)) {
                r->skipping = true;
                r->start = r->end;
        }
        memmove(r->buffer, r->buffer + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
        return 0;
}

/* Reads the current file to its present end. */
static int read_file(LogReader *r)
{
        for (;;) {
                ssize_t n = read(r->files.items[r->at].fd, r->buffer + r->end,
                                sizeof(r->buffer) - r->end);
                int k;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                r->end += (size_t) n;
                k = take_lines(r);
                if (k < 0)
                        return k;
        }
}

/* Reads from the current file to the newest one. What is left of an older file without a newline is
 * torn. */
static int read_files(LogReader *r)
{
        for (;; r->at++) {
                int k = read_file(r);

                if (k < 0 || r->at + 1 == r->files.n)
                        return k;
                r->start = r->end = 0;
                r->skipping = false;
        }
}

/* ---- files --------------------------------------------------------------------------------- */

static void files_done(LogFiles *f)
{
        for (size_t i = 0; i < f->n; i++)
                (void) safe_close(f->items[i].fd);
        f->n = 0;
}

static void file_name(const LogReader *r, size_t number, char buf[static 128])
{
        if (number == 0)
                (void) snprintf(buf, 128, "%s", r->name);
        else
                (void) snprintf(buf, 128, "%s.%zu", r->name, number);
}

/* 1: opened; 0: there is none. */
static int file_open(const LogReader *r, size_t number, LogFile *ret)
{
        CLEANUP_CLOSE int fd = -EBADF;
        char name[128];
        struct stat st;

        file_name(r, number, name);
        fd = openat(r->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        *ret = (LogFile){ .fd = TAKE_FD(fd), .dev = st.st_dev, .ino = st.st_ino };
        return 1;
}

/* All files by their present names, oldest first. */
static int files_open_once(const LogReader *r, LogFiles *ret)
{
        ret->n = 0;
        for (size_t number = LIMIT_LOG_FILES_MAX + 1; number > 0; number--) {
                int k = file_open(r, number - 1, &ret->items[ret->n]);

                if (k < 0) {
                        files_done(ret);
                        return k;
                }
                ret->n += (size_t) k;
        }
        return 0;
}

/* Whether the names still mean these files. */
static bool files_are_stable(const LogReader *r, const LogFiles *f)
{
        size_t left = f->n;

        for (size_t number = 0; number <= LIMIT_LOG_FILES_MAX; number++) {
                char name[128];
                struct stat st;

                file_name(r, number, name);
                if (fstatat(r->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (left == 0 || f->items[left - 1].ino != st.st_ino)
                        return false;
                left--;
        }
        return left == 0;
}

static int files_open(const LogReader *r, LogFiles *ret)
{
        for (unsigned i = 0; i < STABLE_TRIES; i++) {
                int k = files_open_once(r, ret);

                if (k < 0)
                        return k;
                if (files_are_stable(r, ret))
                        return 0;
                files_done(ret);
        }
        return -EAGAIN;
}

static bool file_equal(const LogFile *a, const LogFile *b)
{
        return a->dev == b->dev && a->ino == b->ino;
}

/* The set of files as it is now, going on in the one that was read last, or in the oldest when that
 * is gone. The old descriptor is kept: it knows how far it was read. */
static int files_renew(LogReader *r)
{
        LogFile *current = &r->files.items[r->at];
        LogFiles fresh;
        size_t at = SIZE_MAX;
        int k = files_open(r, &fresh);

        if (k < 0)
                return k;
        for (size_t i = 0; i < fresh.n; i++)
                if (file_equal(&fresh.items[i], current))
                        at = i;
        if (fresh.n == 0)
                return 0; /* in the middle of a rotation: the next event brings the new file */
        if (at != SIZE_MAX) {
                (void) safe_close(fresh.items[at].fd);
                fresh.items[at].fd = TAKE_FD(current->fd);
        } else
                r->start = r->end = 0;
        files_done(&r->files);
        r->files = fresh;
        r->at = at == SIZE_MAX ? 0 : at;
        return 0;
}

/* ---- the reader ---------------------------------------------------------------------------- */

int log_reader_new(int directory, const char *name, const LogSelection *selection, LogReader **ret)
{
        CLEANUP(log_reader_freep) LogReader *r = calloc(1, sizeof(LogReader));
        int k;

        if (!r)
                return -ENOMEM;
        r->directory = directory;
        r->selection = *selection;
        r->out_fd = STDOUT_FILENO;
        r->name = strdup(name);
        if (!r->name)
                return -ENOMEM;
        k = files_open(r, &r->files);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

LogReader *log_reader_free(LogReader *r)
{
        if (!r)
                return NULL;
        files_done(&r->files);
        free(r->name);
        free(r);
        return NULL;
}

/* Finds how many lines there are before those wanted, and goes back to the beginning. */
static int count_lines(LogReader *r)
{
        int k;

        r->counting = true;
        k = read_files(r);
        if (k < 0)
                return k;
        r->counting = false;
        r->first_line = r->n_lines > r->selection.tail ? r->n_lines - r->selection.tail : 0;
        r->n_lines = r->last_seq = 0;
        r->at = r->start = r->end = 0;
        r->skipping = false;
        memset(r->streams, 0, sizeof(r->streams));
        for (size_t i = 0; i < r->files.n; i++)
                if (lseek(r->files.items[i].fd, 0, SEEK_SET) < 0)
                        return -errno;
        return 0;
}

int log_reader_print(LogReader *r)
{
        int k = 0;

        if (r->files.n == 0)
                return 0;
        if (r->selection.tail > 0)
                k = count_lines(r);
        if (k >= 0)
                k = read_files(r);
        return k < 0 ? k : out_flush(r);
}

int log_reader_follow(LogReader *r)
{
        struct stat st;
        int k = 0;

        r->following = true;
        if (r->files.n > 0)
                k = read_files(r);
        if (k < 0)
                return k;
        if (fstatat(r->directory, r->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? out_flush(r) : -errno;
        if (r->files.n == 0 || st.st_ino != r->files.items[r->at].ino) {
                k = r->files.n > 0 ? files_renew(r) : files_open(r, &r->files);
                if (k >= 0 && r->files.n > 0)
                        k = read_files(r);
        }
        return k < 0 ? k : out_flush(r);
}
