/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-logs.c for the model. Here: one reader for each container, whose next records are
 * compared by time; a container that is within a line goes on until that is at its end, or it has
 * no more to say. What is printed goes through a buffer, which is written out before it changes its
 * destination, so that the order of the two streams survives when both go to the same place. */

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl.h"
#include "ctl-log-merge.h"
#include "ctl-log-reader.h"
#include "ctl-text.h"
#include "fd.h"
#include "strv.h"

#define BUFFER_SIZE (8U * LOG_RECORD_SIZE_MAX)
#define SOURCES_MAX 256U /* containers may come and go for as long as somebody follows */

/* Where a stream is in its line. */
typedef struct StreamState {
        bool inside, wanted;
} StreamState;

typedef struct Source {
        char *container;
        LogReader *reader;
        LogRecord record; /* the next one */
        bool has_record;
        uint64_t since_usec; /* lines that began then or later */
        StreamState streams[_LOG_STREAM_MAX];
        uint64_t last_seq;
} Source;

struct LogMerge {
        int directory;
        LogSelection selection;
        Source *sources;
        size_t n_sources, current;
        uint64_t n_lines, first_line; /* lines begun; the first one to print */
        bool counting, following;
        bool is_terminal[2]; /* standard output, standard error */

        char out[BUFFER_SIZE];
        size_t out_size;
        int out_fd;
};

/* ---- printing ------------------------------------------------------------------------------ */

static int out_flush(LogMerge *m)
{
        size_t size = m->out_size;

        m->out_size = 0;
        return size > 0 ? write_full(m->out_fd, m->out, size) : 0;
}

static int out_put(LogMerge *m, int fd, const char *data, size_t size)
{
        int k = 0;

        if (fd != m->out_fd || m->out_size + size > sizeof(m->out))
                k = out_flush(m);
        if (k < 0)
                return k;
        m->out_fd = fd;
        memcpy(m->out + m->out_size, data, size); /* a record is smaller than the buffer */
        m->out_size += size;
        return 0;
}

static int print_line_head(LogMerge *m, int fd, const Source *s)
{
        char head[RFC3339_SIZE + 80];
        size_t n = 0;

        if (m->selection.timestamps) {
                (void) format_rfc3339(s->record.usec, head);
                n = strlen(head);
                head[n++] = ' ';
        }
        if (m->selection.prefix)
                n += (size_t) snprintf(head + n, sizeof(head) - n, "[%.63s] ", s->container);
        return n > 0 ? out_put(m, fd, head, n) : 0;
}

static int print_data(LogMerge *m, int fd, const LogRecord *record)
{
        bool err = fd == STDERR_FILENO;
        CLEANUP_FREE char *harmless = NULL;
        size_t size;

        if (m->selection.raw || !m->is_terminal[err])
                return out_put(m, fd, record->data, record->size);
        harmless = output_neutral(record->data, record->size, &size);
        return harmless ? out_put(m, fd, harmless, size) : -ENOMEM;
}

static int print_record(LogMerge *m, const Source *s, bool first)
{
        const LogRecord *record = &s->record;
        int fd = record->stream == LOG_STREAM_ERR ? STDERR_FILENO : STDOUT_FILENO, k = 0;

        if (first)
                k = print_line_head(m, fd, s);
        if (k >= 0)
                k = print_data(m, fd, record);
        if (k >= 0 && !record->partial)
                k = out_put(m, fd, "\n", 1);
        return k;
}

/* ---- records ------------------------------------------------------------------------------- */

/* Each record has a number, whether it could be written or not. */
static void warn_of_gap(const Source *s)
{
        uint64_t seq = s->record.seq;
        bool overtaken = log_reader_overtaken(s->reader);

        if (s->last_seq > 0 && seq > s->last_seq + 1)
                ctl_error("%" PRIu64 " records %s", seq - s->last_seq - 1,
                                overtaken ? "were rotated away before they could be read"
                                          : "are missing here: there was no room on the disk when "
                                            "they came");
}

static int take_record(LogMerge *m, Source *s)
{
        StreamState *stream = &s->streams[s->record.stream];
        bool first = !stream->inside;

        if (first && s->record.usec >= s->since_usec) {
                stream->wanted = !m->counting && m->n_lines >= m->first_line;
                m->n_lines++;
        } else if (first)
                stream->wanted = false;
        if (m->following || (stream->wanted && !m->counting))
                warn_of_gap(s);
        stream->inside = s->record.partial;
        s->last_seq = s->record.seq;
        s->has_record = false;
        return stream->wanted ? print_record(m, s, first) : 0;
}

static bool is_inside(const Source *s)
{
        for (size_t i = 0; i < _LOG_STREAM_MAX; i++)
                if (s->streams[i].inside)
                        return true;
        return false;
}

/* The source whose record is next; NULL: there is none, for now. */
static int next_source(LogMerge *m, Source **ret)
{
        Source *found = NULL;

        for (size_t i = 0; i < m->n_sources; i++) {
                Source *s = &m->sources[i];
                int k = 0;

                if (!s->has_record)
                        k = log_reader_next(s->reader, &s->record);
                if (k < 0)
                        return k;
                s->has_record = s->has_record || k > 0;
                if (!s->has_record)
                        continue;
                if (i == m->current && is_inside(s)) {
                        *ret = s;
                        return 0;
                }
                if (!found || s->record.usec < found->record.usec)
                        found = s;
        }
        *ret = found;
        return 0;
}

static int take_records(LogMerge *m)
{
        for (;;) {
                Source *s;
                int k = next_source(m, &s);

                if (k < 0 || !s)
                        return k;
                m->current = (size_t) (s - m->sources);
                k = take_record(m, s);
                if (k < 0)
                        return k;
        }
}

/* Finds how many lines there are before those wanted, and goes back to the beginning. */
static int count_lines(LogMerge *m)
{
        int k;

        m->counting = true;
        k = take_records(m);
        m->counting = false;
        m->first_line = m->n_lines > m->selection.tail ? m->n_lines - m->selection.tail : 0;
        m->n_lines = 0;
        for (size_t i = 0; i < m->n_sources && k >= 0; i++) {
                Source *s = &m->sources[i];

                s->last_seq = 0;
                memset(s->streams, 0, sizeof(s->streams));
                k = log_reader_rewind(s->reader);
        }
        return k;
}

/* ---- all of them --------------------------------------------------------------------------- */

static int add_source(LogMerge *m, const char *container, uint64_t since_usec)
{
        CLEANUP(log_reader_freep) LogReader *reader = NULL;
        char name[128], *copy;
        Source *grown;
        int k;

        grown = reallocarray(m->sources, m->n_sources + 1, sizeof(Source));
        if (!grown)
                return -ENOMEM;
        m->sources = grown;
        (void) snprintf(name, sizeof(name), "%.63s.log", container);
        k = log_reader_new(m->directory, name, &reader);
        if (k < 0)
                return k;
        copy = strdup(container);
        if (!copy)
                return -ENOMEM;
        m->sources[m->n_sources++] = (Source){
                .container = copy,
                .reader = TAKE_PTR(reader),
                .since_usec = since_usec,
        };
        return 0;
}

int log_merge_new(int directory, char *const *containers, const LogSelection *selection,
                LogMerge **ret)
{
        CLEANUP(log_merge_freep) LogMerge *m = calloc(1, sizeof(LogMerge));

        if (!m)
                return -ENOMEM;
        m->directory = directory;
        m->selection = *selection;
        m->out_fd = STDOUT_FILENO;
        m->is_terminal[0] = isatty(STDOUT_FILENO);
        m->is_terminal[1] = isatty(STDERR_FILENO);
        STRV_FOREACH(container, containers)
        {
                int k = add_source(m, *container, selection->since_usec);

                if (k < 0)
                        return k;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

int log_merge_add(LogMerge *m, const char *container, uint64_t since_usec)
{
        for (size_t i = 0; i < m->n_sources; i++)
                if (streq(m->sources[i].container, container))
                        return 0;
        if (m->n_sources >= SOURCES_MAX)
                return 0;
        return add_source(m, container, MAX(since_usec, m->selection.since_usec));
}

LogMerge *log_merge_free(LogMerge *m)
{
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->n_sources; i++) {
                log_reader_free(m->sources[i].reader);
                free(m->sources[i].container);
        }
        free(m->sources);
        free(m);
        return NULL;
}

int log_merge_print(LogMerge *m)
{
        int k = 0;

        if (m->selection.tail > 0)
                k = count_lines(m);
        if (k >= 0)
                k = take_records(m);
        return k < 0 ? k : out_flush(m);
}

int log_merge_follow(LogMerge *m)
{
        bool more = true;
        int k = 0;

        m->following = true;
        while (more && k >= 0) {
                more = false;
                k = take_records(m);
                for (size_t i = 0; i < m->n_sources && k >= 0; i++) {
                        k = log_reader_renew(m->sources[i].reader);
                        more = more || k > 0;
                }
        }
        return k < 0 ? k : out_flush(m);
}
