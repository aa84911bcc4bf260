/* SPDX-License-Identifier: Apache-2.0 */
#include "store-backup.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "store-dump.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-stream.h"

#define BUFFER_SIZE (256U * 1024U)

typedef struct Backup {
        Job job;
        Stream stream;
        DumpWriter writer;
        size_t written; /* of what the writer holds */
        DbView *view;
        DbIter *iter; /* NULL: between two families */
        DbFamily family;
        bool ended; /* the end record is in the writer */
        BackupResult result;
        BackupDone done;
        void *userdata;
} Backup;

static void backup_free(Backup *b)
{
        stream_close(&b->stream);
        dump_writer_done(&b->writer);
        db_iter_free(b->iter);
        db_view_free(b->view);
        free(b);
}

/* It stands in the head. */
static bool is_id(DbFamily family, const char *key, size_t size)
{
        return family == DB_META && size == strlen(META_ID) && memcmp(key, META_ID, size) == 0;
}

static int begin_family(Backup *b)
{
        int r;

        if (b->family == _DB_FAMILY_MAX) {
                b->ended = true;
                return dump_put_end(&b->writer);
        }
        r = db_iter_new(b->job.store->db, b->view, b->family, &b->iter);
        if (r < 0)
                return r;
        db_iter_seek(b->iter, (DbKey){ "", 0 });
        return dump_put_family(&b->writer, db_family_name(b->family));
}

/* One row more in the buffer, or one family. */
static int step(Backup *b)
{
        size_t key_size, size;
        const char *key, *value;
        int r = 0;

        if (!b->iter)
                return begin_family(b);
        if (!db_iter_valid(b->iter)) {
                r = db_iter_status(b->iter);
                b->iter = db_iter_free(b->iter);
                b->family++;
                return r;
        }
        key = db_iter_key(b->iter, &key_size);
        value = db_iter_value(b->iter, &size);
        if (!is_id(b->family, key, key_size))
                r = dump_put_row(&b->writer, key, key_size, value, size);
        db_iter_next(b->iter);
        return r;
}

static int turn(Job *j, uint64_t deadline, sd_bus_error *reterr)
{
        Backup *b = container_of(j, Backup, job);
        int r;

        FAILPOINT("store.backup");
        if (b->writer.size > 0) {
                r = stream_write(&b->stream, b->writer.data, b->writer.size, &b->written, reterr);
                if (r < 0)
                        return r;
                b->written = b->writer.size = 0;
        }
        b->result.bytes = b->stream.total;
        if (b->ended)
                return 0;
        while (!b->ended && b->writer.size < BUFFER_SIZE) {
                r = step(b);
                if (r < 0)
                        return store_read_failed(r, reterr);
                if (now_boottime_usec() >= deadline)
                        break;
        }
        return 1;
}

static void end(Job *j, const sd_bus_error *error)
{
        Backup *b = container_of(j, Backup, job);

        b->done(error ? NULL : &b->result, error, b->userdata);
        backup_free(b);
}

static const JobType backup_job = { .turn = turn, .end = end, .holds = true };

static int begin(Backup *b, Store *s, sd_bus_error *reterr)
{
        DumpHead head = { .created_usec = now_realtime_usec() };
        int r;

        memcpy(head.database_id, s->database_id, sizeof(head.database_id));
        if ((r = db_view_new(s->db, &b->view)) < 0 ||
                        (r = meta_get_u64(s->db, b->view, META_REVISION, &head.revision)) < 0 ||
                        (r = meta_get_u64(s->db, b->view, META_FORMAT, &head.format)) < 0 ||
                        (r = dump_writer_init(&b->writer)) < 0 ||
                        (r = dump_put_head(&b->writer, &head)) < 0)
                return store_read_failed(r, reterr);
        b->result.revision = head.revision;
        return 0;
}

int store_backup(Store *s, int fd, BackupDone done, void *userdata, sd_bus_error *reterr)
{
        Backup *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        b->job = (Job){ .type = &backup_job, .store = s };
        b->stream.fd = -EBADF;
        b->done = done;
        b->userdata = userdata;
        if ((r = stream_open(&b->stream, &b->job, fd, EPOLLOUT, reterr)) < 0 ||
                        (r = begin(b, s, reterr)) < 0 || (r = job_add(s, &b->job, reterr)) < 0) {
                backup_free(b);
                return r;
        }
        return 0;
}
