/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-logs.c for the model. Here: one file after the other through one buffer. */

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

struct LogReader {
        int directory;
        char *name;
        LogFiles files;
        size_t at; /* the file that is being read */

        char buffer[BUFFER_SIZE];
        size_t start, end;
        bool skipping; /* a line that is too long to be a record, up to its end */
        bool overtaken;
};

/* ---- records ------------------------------------------------------------------------------- */

/* The next record in the buffer. 0: it holds none, and has room again. */
static int take_record(LogReader *r, LogRecord *ret)
{
        char *newline;

        while ((newline = memchr(r->buffer + r->start, '\n', r->end - r->start))) {
                char *line = r->buffer + r->start;
                size_t size = (size_t) (newline - line);
                bool skip = r->skipping;

                r->start += size + 1;
                r->skipping = false;
                if (!skip && log_parse_record(line, size, ret) >= 0)
                        return 1;
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

/* From the current file. 0: its present end. */
static int fill(LogReader *r)
{
        ssize_t n;

        do
                n = read(r->files.items[r->at].fd, r->buffer + r->end, sizeof(r->buffer) - r->end);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        r->end += (size_t) n;
        return n > 0;
}

/* At the present end: what has no newline yet is read again when there is more. Its writer may find
 * the disk full, take it back, and write something else in its place later. */
static int give_back(LogReader *r)
{
        LogFile *f = &r->files.items[r->at];

        if (r->start < r->end && lseek(f->fd, -(off_t) (r->end - r->start), SEEK_CUR) < 0)
                return -errno;
        r->start = r->end = 0;
        return 0;
}

/* What is left of an older file without a newline is torn. */
int log_reader_next(LogReader *r, LogRecord *ret)
{
        while (r->files.n > 0) {
                int k = take_record(r, ret);

                if (k == 0)
                        k = fill(r);
                else
                        return k;
                if (k < 0)
                        return k;
                if (k > 0)
                        continue;
                if (r->at + 1 == r->files.n)
                        return give_back(r);
                r->at++;
                r->start = r->end = 0;
                r->skipping = false;
        }
        return 0;
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
        } else {
                r->start = r->end = 0;
                r->overtaken = true;
        }
        files_done(&r->files);
        r->files = fresh;
        r->at = at == SIZE_MAX ? 0 : at;
        return 0;
}

/* ---- the reader ---------------------------------------------------------------------------- */

bool log_reader_overtaken(LogReader *r)
{
        bool overtaken = r->overtaken;

        r->overtaken = false;
        return overtaken;
}

int log_reader_new(int directory, const char *name, LogReader **ret)
{
        CLEANUP(log_reader_freep) LogReader *r = calloc(1, sizeof(LogReader));
        int k;

        if (!r)
                return -ENOMEM;
        r->directory = directory;
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

int log_reader_rewind(LogReader *r)
{
        r->at = r->start = r->end = 0;
        r->skipping = false;
        for (size_t i = 0; i < r->files.n; i++)
                if (lseek(r->files.items[i].fd, 0, SEEK_SET) < 0)
                        return -errno;
        return 0;
}

int log_reader_renew(LogReader *r)
{
        struct stat st;
        int k;

        if (fstatat(r->directory, r->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (r->files.n > 0 && st.st_ino == r->files.items[r->at].ino)
                return 0;
        k = r->files.n > 0 ? files_renew(r) : files_open(r, &r->files);
        if (k < 0 || r->files.n == 0)
                return k;
        /* In the middle of a rotation the name is nobody's: the next event tells. */
        return r->files.items[r->files.n - 1].ino == st.st_ino;
}
