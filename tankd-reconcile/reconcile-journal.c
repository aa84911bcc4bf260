/* SPDX-License-Identifier: Apache-2.0 */

/* Two append-only files and, in memory, where each event begins.
 *
 * An event is a record (lib/record.h) behind which stands one more NUL: records have no empty
 * entry, so two NULs in a row are an end, whatever the values are. Each is written by one call, so
 * that only a full disk or a dead machine can tear it. The index needs no numbers of its own: those
 * of a segment follow each other. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fd.h"
#include "limit.h"
#include "names.h"
#include "reconcile-journal.h"
#include "record.h"

#define JOURNAL_VERSION 1U
#define NAME_CURRENT    "events"
#define NAME_OLD        "events.old"

typedef struct Segment {
        int fd;
        uint64_t first; /* number of the first event, when there is one */
        uint32_t *starts;
        size_t n, allocated;
        uint32_t size;
} Segment;

struct Journal {
        int dir_fd; /* borrowed */
        Segment old, current;
        uint64_t last;
};

/* ---- one event ---- */

static int event_parse(const char *data, size_t size, JournalEvent *ret)
{
        JournalEvent e = {};
        const struct {
                const char *key;
                const char **value;
        } texts[] = {
                { "namespace", &e.namespace },
                { "pod", &e.pod },
                { "uid", &e.uid },
                { "container", &e.container },
                { "event", &e.event },
                { "detail", &e.detail },
        };
        Record record;
        int r;

        r = record_parse(data, size, JOURNAL_VERSION, &record);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                const char *value = record_get(&record, texts[i].key);

                /* The bus takes nothing else, and one bad event would hide all others. */
                if (!value || !utf8_is_valid(value, strlen(value)))
                        return -EBADMSG;
                *texts[i].value = value;
        }
        if (record_get_u64(&record, "sequence", &e.sequence) < 0 ||
                        record_get_u64(&record, "generation", &e.generation) < 0 ||
                        record_get_u64(&record, "at_usec", &e.at_usec) < 0)
                return -EBADMSG;
        if (e.sequence == 0 || e.sequence > INT64_MAX)
                return -EBADMSG;
        *ret = e;
        return 0;
}

static int event_format(const JournalEvent *e, RecordWriter *ret)
{
        char detail[LIMIT_EVENT_DETAIL + 1];
        RecordWriter w = {};
        int r;

        (void) snprintf(detail, sizeof(detail), "%s", strempty(e->detail));
        utf8_repair(detail); /* the cut may have gone through a character */
        record_start(&w, JOURNAL_VERSION);
        record_put_u64(&w, "sequence", e->sequence);
        record_put_u64(&w, "at_usec", e->at_usec);
        record_put(&w, "namespace", e->namespace);
        record_put(&w, "pod", e->pod);
        record_put(&w, "uid", e->uid);
        record_put(&w, "container", e->container);
        record_put(&w, "event", e->event);
        record_put_u64(&w, "generation", e->generation);
        record_put(&w, "detail", detail);
        r = record_finish(&w);
        if (r < 0) {
                record_done(&w);
                return r;
        }
        *ret = w;
        return 0;
}

/* ---- one segment ---- */

static void segment_done(Segment *s)
{
        s->fd = safe_close(s->fd);
        free(s->starts);
        *s = (Segment){ .fd = -EBADF };
}

static int segment_reserve(Segment *s)
{
        size_t wanted = MAX(s->allocated * 2, (size_t) 256);
        uint32_t *grown;

        if (s->n < s->allocated)
                return 0;
        grown = reallocarray(s->starts, wanted, sizeof(uint32_t));
        if (!grown)
                return -ENOMEM;
        s->starts = grown;
        s->allocated = wanted;
        return 0;
}

/* Finds the events of @data, up to the first that is none. */
static int segment_index(Segment *s, const char *data, size_t size)
{
        size_t at = 0;
        int r;

        while (at < size) {
                const char *end = memmem(data + at, size - at, "\0", 2);
                JournalEvent e;

                if (!end)
                        break;
                r = event_parse(data + at, (size_t) (end + 1 - (data + at)), &e);
                if (r == -EPROTONOSUPPORT)
                        return r;
                if (r < 0 || (s->n > 0 && e.sequence != s->first + s->n))
                        break;
                r = segment_reserve(s);
                if (r < 0)
                        return r;
                if (s->n == 0)
                        s->first = e.sequence;
                s->starts[s->n++] = (uint32_t) at;
                at = (size_t) (end + 2 - data);
        }
        s->size = (uint32_t) at;
        return 0;
}

static int segment_open(Segment *s, int dir_fd, const char *name)
{
        CLEANUP_FREE char *data = NULL;
        size_t size;
        int r;

        s->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->fd < 0)
                return -errno;
        r = read_fd_bounded(s->fd, 2 * LIMIT_EVENT_SEGMENT, &data, &size);
        if (r < 0)
                return r;
        r = segment_index(s, data, size);
        if (r < 0)
                return r;
        return s->size < size && ftruncate(s->fd, s->size) < 0 ? -errno : 0;
}

static int segment_append(Segment *s, const RecordWriter *w)
{
        const struct iovec iov[] = {
                { .iov_base = w->data, .iov_len = w->size },
                { .iov_base = (char *) "", .iov_len = 1 },
        };
        ssize_t n = writev(s->fd, iov, ARRAY_SIZE(iov));
        int error = n < 0 ? -errno : -ENOSPC;

        if (n == (ssize_t) w->size + 1)
                return 0;
        (void) !ftruncate(s->fd, s->size); /* a torn end is cut off by the next reader, too */
        return error;
}

static uint32_t segment_end(const Segment *s, size_t i)
{
        return i + 1 < s->n ? s->starts[i + 1] : s->size;
}

/* ---- the log ---- */

int journal_open(int dir_fd, Journal **ret)
{
        CLEANUP(journal_freep) Journal *j = calloc(1, sizeof(Journal));
        int r;

        if (!j)
                return -ENOMEM;
        j->dir_fd = dir_fd;
        j->old.fd = j->current.fd = -EBADF;
        r = segment_open(&j->old, dir_fd, NAME_OLD);
        if (r >= 0)
                r = segment_open(&j->current, dir_fd, NAME_CURRENT);
        if (r < 0)
                return r;
        if (j->old.n > 0)
                j->last = j->old.first + j->old.n - 1;
        if (j->current.n > 0) {
                /* Something is missing between them: what is older counts as gone. */
                if (j->old.n > 0 && j->current.first != j->last + 1)
                        j->old.n = j->old.size = 0;
                j->last = j->current.first + j->current.n - 1;
        }
        *ret = TAKE_PTR(j);
        return 0;
}

Journal *journal_free(Journal *j)
{
        if (!j)
                return NULL;
        segment_done(&j->old);
        segment_done(&j->current);
        free(j);
        return NULL;
}

uint64_t journal_first(const Journal *j)
{
        return j->last + 1 - j->current.n - j->old.n;
}

uint64_t journal_last(const Journal *j)
{
        return j->last;
}

static int journal_rotate(Journal *j)
{
        Segment fresh = { .fd = -EBADF };
        int r;

        if (renameat(j->dir_fd, NAME_CURRENT, j->dir_fd, NAME_OLD) < 0)
                return -errno;
        segment_done(&j->old);
        j->old = j->current;
        j->current = fresh;
        r = segment_open(&j->current, j->dir_fd, NAME_CURRENT);
        if (r < 0)
                segment_done(&j->current);
        return r;
}

int journal_append(Journal *j, JournalEvent *e)
{
        CLEANUP(record_done) RecordWriter w = {};
        int r;

        if (j->last >= INT64_MAX)
                return -EOVERFLOW;
        e->sequence = j->last + 1;
        r = event_format(e, &w);
        if (r < 0)
                return r;
        if (j->current.fd < 0) /* the last rotation failed in its middle */
                r = segment_open(&j->current, j->dir_fd, NAME_CURRENT);
        else if (j->current.n > 0 && j->current.size + w.size + 1 > LIMIT_EVENT_SEGMENT)
                r = journal_rotate(j);
        if (r >= 0)
                r = segment_reserve(&j->current);
        if (r >= 0)
                r = segment_append(&j->current, &w);
        if (r < 0)
                return r;
        if (j->current.n == 0)
                j->current.first = e->sequence;
        j->current.starts[j->current.n++] = j->current.size;
        j->current.size += (uint32_t) w.size + 1;
        j->last++;
        return 0;
}

/* From the @i-th event of @s on; *budget bytes are read at most, but one event in any case. 1: the
 * reading is over. */
static int segment_visit(Segment *s, size_t i, size_t *budget, JournalVisit visit, void *userdata,
                uint64_t *ret_last)
{
        CLEANUP_FREE char *data = NULL;
        uint32_t start = s->starts[i];
        size_t size, end = i;
        ssize_t n;
        int r;

        while (end < s->n && (end == i || segment_end(s, end) - start <= *budget))
                end++;
        size = segment_end(s, end - 1) - start;
        data = malloc(size);
        if (!data)
                return -ENOMEM;
        n = pread(s->fd, data, size, start);
        if (n < 0)
                return -errno;
        if ((size_t) n != size)
                return -EIO; /* somebody cut it */
        for (; i < end; i++) {
                size_t at = s->starts[i] - start;
                JournalEvent e;

                r = event_parse(data + at, segment_end(s, i) - s->starts[i] - 1, &e);
                if (r >= 0)
                        r = visit(&e, userdata);
                if (r < 0)
                        return r;
                *ret_last = s->first + i;
                if (r > 0)
                        return 1;
        }
        *budget -= MIN(*budget, size);
        return end < s->n;
}

int journal_read(Journal *j, uint64_t after, JournalVisit visit, void *userdata, uint64_t *ret_last)
{
        Segment *segments[] = { &j->old, &j->current };
        size_t budget = LIMIT_PAGE_BYTES;

        assert(after + 1 >= journal_first(j));
        *ret_last = after;
        for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
                Segment *s = segments[i];
                int r;

                if (s->n == 0 || after >= s->first + s->n - 1)
                        continue;
                r = segment_visit(s, after < s->first ? 0 : (size_t) (after + 1 - s->first),
                                &budget, visit, userdata, ret_last);
                if (r != 0)
                        return MIN(r, 0);
                if (budget == 0)
                        break;
        }
        return 0;
}
