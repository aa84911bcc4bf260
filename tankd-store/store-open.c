/* SPDX-License-Identifier: Apache-2.0 */

/* Opening: directory, witness, database, and what they say about each other.
 *
 *   no witness, no database      a new one is made
 *   witness, no database         refused: something was lost; a new one must be asked for
 *   database, no witness         goes on without (an interrupted first start, or accepted loss)
 *   both, other ids              the database was exchanged: goes on with a warning
 *   both, revision below it      acknowledged writes are missing: reads only
 *   disk full                    ballast given up, tried again: deletes only; else reads only,
 *                                both until there is room
 *   read-only                    reads only, until it is mounted for writing
 *   damaged                      reads only: up to where the log is damaged, which is what it held
 *                                at one moment; where a table is missing or damaged, what can be
 *                                read, and then rows of a damaged log may be missing in the middle:
 *                                what is absent may only be missing (Store.incomplete)
 *   none of it can be opened     nothing is served but why that is: a process that ends is one that
 *                                is started again and again, and says it to nobody. Where the
 *                                database would be there is an empty one in memory */

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-key.h"
#include "store-kv.h"
#include "store-quota.h"

/* Adds to *size what the change log gets by it. */
static int put_namespace(
                Store *s, DbBatch *b, const char *name, uint32_t index, uint64_t now, LogSize *size)
{
        CLEANUP_FREE char *document = NULL;
        CLEANUP(op_done)
        Op op = { .record = {
                                  .generation = 1,
                                  .revision = 1,
                                  .created_usec = now,
                                  .updated_usec = now,
                                  .operation = OPERATION_CREATED,
                  } };
        int r;

        if (asprintf(&document, "{\"kind\":\"namespace\",\"name\":\"%s\"}", name) < 0)
                return -ENOMEM;
        op.record.document = document;
        op.record.document_size = strlen(document);
        if ((r = random_id(op.record.uid)) < 0 ||
                        (r = object_key_init(&op.key, "namespace", "", name)) < 0 ||
                        (r = op_encode(&op, geteuid(), NULL, NULL)) < 0)
                return r;
        op_put(&op, index, b, s->db);
        size->rows++;
        size->bytes += op.change_size;
        return 0;
}

/* Everything of a new database in one batch: it is there whole, or still to be made. */
static int initialize(Store *s)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        char id[ID128_SIZE], created[RFC3339_SIZE];
        uint64_t now = now_realtime_usec();
        LogSize log = {};
        int r;

        r = random_id(id);
        if (r >= 0)
                r = db_batch_new(&b);
        if (r < 0)
                return r;
        meta_put_u64(b, s->db, META_FORMAT, STORE_FORMAT);
        meta_put_text(b, s->db, META_ID, id);
        meta_put_text(b, s->db, META_CREATED, format_rfc3339(now, created));
        meta_put_u64(b, s->db, META_REVISION, 1);
        meta_put_u64(b, s->db, META_COMPACTED, 0);
        if ((r = put_namespace(s, b, "default", 0, now, &log)) < 0 ||
                        (r = put_namespace(s, b, "system", 1, now, &log)) < 0)
                return r;
        meta_put_u64(b, s->db, META_LOG_ROWS, log.rows);
        meta_put_u64(b, s->db, META_LOG_BYTES, log.bytes);
        r = db_write(s->db, b);
        if (r >= 0 && !s->closed)
                log_info("made the database %s in %s", id, store_place(s));
        return r;
}

/* 1 when no family has any row. */
static int is_empty(Store *s)
{
        for (DbFamily f = 0; f < _DB_FAMILY_MAX; f++) {
                CLEANUP(db_iter_freep) DbIter *i = NULL;
                int r;

                r = db_iter_new(s->db, NULL, f, &i);
                if (r < 0)
                        return r;
                db_iter_seek(i, (DbKey){ "", 0 });
                if (db_iter_valid(i))
                        return 0;
                r = db_iter_status(i);
                if (r < 0)
                        return r;
        }
        return 1;
}

static int read_format(Store *s, uint64_t *ret)
{
        int r;

        r = meta_get_u64(s->db, NULL, META_FORMAT, ret);
        if (r < 0) {
                store_set_state(s, STORE_BROKEN,
                                "the database in %s does not say its format (%s): restore a copy "
                                "of it, then restart tankd-store",
                                store_place(s), errno_words(r));
                return r;
        }
        if (*ret >= 1 && *ret <= STORE_FORMAT)
                return 0;
        store_set_state(s, STORE_BROKEN,
                        "the database in %s has format %" PRIu64
                        ", this tankd-store knows %d: %s, then restart tankd-store",
                        store_place(s), *ret, STORE_FORMAT,
                        *ret > STORE_FORMAT ? "install the newer tank that made it"
                                            : "it is damaged, restore a copy of it");
        return -EPROTONOSUPPORT;
}

static int refuse_meta(Store *s, int r, const char *what)
{
        store_set_state(s, STORE_BROKEN,
                        "the database in %s does not say %s (%s): restore a copy of it, then "
                        "restart tankd-store",
                        store_place(s), what, errno_words(r));
        return r;
}

/* Where the database does not say it: it is damaged there, or has an older format and is read-only.
 * It can be told without. */
static int count_log(Store *s)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        LogSize log = {};
        int r;

        log_warning("counting the changes in %s: the database does not say how many there are",
                        store_place(s));
        r = db_iter_new(s->db, NULL, DB_CHANGES, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, (DbKey){ "", 0 }); db_iter_valid(i); db_iter_next(i)) {
                size_t size;

                (void) db_iter_value(i, &size);
                log.rows++;
                log.bytes += size;
        }
        r = db_iter_status(i);
        if (r >= 0)
                s->log = log;
        return r;
}

static int read_meta(Store *s)
{
        int r;

        if ((r = meta_get_id(s->db, s->database_id)) < 0 ||
                        (r = meta_get_u64(s->db, NULL, META_REVISION, &s->revision)) < 0 ||
                        (r = meta_get_u64(s->db, NULL, META_COMPACTED, &s->compacted)) < 0)
                return refuse_meta(s, r, "its id or revision");
        if ((r = meta_get_u64(s->db, NULL, META_LOG_ROWS, &s->log.rows)) < 0 ||
                        (r = meta_get_u64(s->db, NULL, META_LOG_BYTES, &s->log.bytes)) < 0)
                r = count_log(s);
        if (r < 0)
                return refuse_meta(s, r, "how long its log is");
        s->allocated = s->revision;
        return 0;
}

CommitStart store_commit_start(const Store *s)
{
        return (CommitStart){
                .db = s->db,
                .guard = s->guard,
                .revision = s->revision,
                .log = s->log,
        };
}

/* Says why there is no store. */
static int refuse_open(Store *s, int r)
{
        switch (r) {
        case -EBUSY:
                log_error("another process has the database in %s open: only one tankd-store may; "
                          "stop the other, or give this one its own --data-dir",
                                s->dir);
                break;
        case -ENOMEM:
        case -EMFILE:
                log_error("the database in %s cannot be opened now: %s", s->dir, errno_words(r));
                break;
        case -ENOENT:
                store_set_state(s, STORE_BROKEN,
                                "%s/witness tells of a database, but there is none in %s: bring "
                                "it back, or remove the witness and %s to begin anew, with "
                                "nothing, then restart tankd-store",
                                s->dir, s->db_dir, s->db_dir);
                break;
        case -EPROTONOSUPPORT:
                store_set_state(s, STORE_BROKEN,
                                "the database in %s was made by a newer tank: install that, then "
                                "restart tankd-store",
                                s->dir);
                break;
        case -EROFS:
                store_set_state(s, STORE_BROKEN,
                                "the file system of %s is read-only, and there is no database that "
                                "could be read: mount it for writing, then restart tankd-store",
                                s->dir);
                break;
        default:
                store_set_state(s, STORE_BROKEN,
                                "the database in %s cannot be opened: %s; where it is damaged, "
                                "restore a copy of it, then restart tankd-store",
                                s->dir, errno_words(r));
        }
        return r;
}

static int open_read_only(Store *s, int reason)
{
        int r;

        r = db_open(s->db_dir, s->log_dir, DB_READ_ONLY, &s->db);
        if (r < 0)
                return refuse_open(s, reason);
        if (reason == -ENOSPC)
                store_set_state(s, STORE_CRAMMED,
                                "the disk of %s is full, with what was set aside for deleting: "
                                "make room; writes are taken again once there is",
                                s->dir);
        else if (reason == -EROFS)
                store_set_read_only(s);
        else
                store_set_damaged(s);
        return 0;
}

static void set_full(Store *s)
{
        store_set_state(s, STORE_FULL,
                        "the disk of %s is full: make room (deleting objects works); writes are "
                        "taken again once there is",
                        s->dir);
}

/* Gives up the ballast when that is what it takes; leaves the store readable where it can. */
static int open_for_writing(Store *s, DbMode mode, bool *ret_writable)
{
        int r;

        r = db_open(s->db_dir, s->log_dir, mode, &s->db);
        if (r == -ENOSPC) {
                log_warning("the disk of %s is full: giving up the ballast file", s->dir);
                guard_drop_ballast(s->guard);
                r = db_open(s->db_dir, s->log_dir, mode, &s->db);
                if (r >= 0)
                        set_full(s);
        }
        *ret_writable = r >= 0;
        if (r == -ENOSPC || r == -EROFS || r == -EBADMSG || r == -EIO)
                return open_read_only(s, r);
        return r < 0 ? refuse_open(s, r) : 0;
}

typedef struct Witness {
        bool present, readable;
        char id[ID128_SIZE];
        uint64_t revision;
} Witness;

static int read_witness(Store *s, Witness *ret)
{
        Witness w = {};
        int r;

        r = guard_read_witness(s->guard, w.id, &w.revision);
        if (r == -EPROTONOSUPPORT) {
                store_set_state(s, STORE_BROKEN,
                                "%s/witness was written by a newer tank: install that, then "
                                "restart tankd-store",
                                s->dir);
                return r;
        }
        w.present = r != -ENOENT;
        w.readable = r >= 0;
        if (w.present && !w.readable)
                (void) log_warning_errno(r, "cannot use %s/witness, making a new one", s->dir);
        *ret = w;
        return 0;
}

/* Each revision has rows in the change log: 1 and the first that has none, 0 when all have; or from
 * where on that cannot be told. */
static int find_gap(Store *s, uint64_t *ret)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey first = change_key_encode(s->compacted + 1, 0);
        uint64_t at = s->compacted;
        int r;

        r = db_iter_new(s->db, NULL, DB_CHANGES, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&first)); db_iter_valid(i); db_iter_next(i)) {
                uint64_t revision;
                uint32_t index;
                const char *k;
                size_t size;

                k = db_iter_key(i, &size);
                if (change_key_decode(k, size, &revision, &index) < 0 || revision == at)
                        continue;
                if (revision != at + 1)
                        break;
                at = revision;
        }
        r = db_iter_valid(i) ? 0 : db_iter_status(i);
        *ret = at + 1;
        return r < 0 ? r : at < s->revision;
}

/* What is not there, of a database that is only read: "" when that is nothing. */
static void describe_missing(Store *s, uint64_t acknowledged, char *ret, size_t size)
{
        uint64_t gap = 0;
        int r = 0, n = 0;

        ret[0] = '\0';
        if (s->revision < acknowledged)
                n = snprintf(ret, size,
                                ": it is served as of revision %" PRIu64
                                ", and writes up to %" PRIu64 " were acknowledged",
                                s->revision, acknowledged);
        if (!db_is_salvaged(s->db))
                return;
        r = find_gap(s, &gap);
        if (r > 0)
                (void) snprintf(ret + n, size - (size_t) n,
                                ": what revision %" PRIu64 " wrote is missing, and more may be",
                                gap);
        else if (r < 0)
                (void) snprintf(ret + n, size - (size_t) n,
                                ": what was written since revision %" PRIu64
                                " may be missing, its changes cannot be read",
                                gap);
        else if (n == 0)
                (void) snprintf(ret, size,
                                ": what can be read is served; \"tankctl store verify\" tells what "
                                "cannot");
}

/* Of a database that is only read, for whatever reason. */
static void tell_missing(Store *s, const Witness *w)
{
        bool known = w->readable && streq(w->id, s->database_id);
        CLEANUP_FREE char *besides = NULL;
        char missing[320];

        describe_missing(s, known ? w->revision : 0, missing, sizeof(missing));
        s->incomplete = *missing;
        if (!s->incomplete)
                return;
        if (s->state != STORE_BROKEN)
                besides = TAKE_PTR(s->reason);
        store_set_state(s, s->state,
                        "the database in %s is %s%s; restore a %s, then restart tankd-store%s%s",
                        s->dir,
                        s->state == STORE_BROKEN || db_is_salvaged(s->db)
                                        ? "damaged"
                                        : "damaged, or an older copy",
                        missing, known && s->revision < w->revision ? "newer copy" : "copy of it",
                        besides ? "; besides, " : "", strempty(besides));
}

/* False when the witness speaks against the database. */
static bool heed_witness(Store *s, const Witness *w)
{
        if (!w->readable)
                return true;
        if (!streq(w->id, s->database_id)) {
                log_warning("%s/witness tells of the database %s, but %s is here: it was exchanged",
                                s->dir, w->id, s->database_id);
                return true;
        }
        if (s->revision >= w->revision)
                return true;
        s->incomplete = true;
        store_set_state(s, STORE_BROKEN,
                        "the database in %s ends at revision %" PRIu64 ", but writes up to %" PRIu64
                        " were acknowledged: restore a newer copy, or remove %s/witness to go on "
                        "without "
                        "them, then restart tankd-store",
                        s->dir, s->revision, w->revision, s->dir);
        return false;
}

/* What stands beside the database follows it. */
static void start_guard(Store *s)
{
        int r;

        r = guard_start_witness(s->guard, s->database_id, s->revision);
        if (r < 0)
                (void) log_warning_errno(r, "cannot write %s/witness, going on without", s->dir);
        r = s->state == STORE_OK ? guard_take_ballast(s->guard) : 0;
        if (r < 0)
                (void) log_warning_errno(r,
                                "cannot set space aside in %s, ignoring: deleting will fail on a "
                                "full disk",
                                s->dir);
}

static int open_on_disk(Store *s)
{
        Witness witness;
        bool writable;
        uint64_t format;
        int r;

        r = read_witness(s, &witness);
        if (r < 0)
                return r;
        r = open_for_writing(s, witness.present ? DB_OPEN : DB_CREATE, &writable);
        if (r < 0)
                return r;
        if (writable && !witness.present && is_empty(s) > 0) {
                r = initialize(s);
                if (r < 0)
                        return log_error_errno(r, "cannot make a database in %s", s->dir);
        }
        r = read_format(s, &format);
        if (r >= 0 && writable)
                r = store_migrate(s, format);
        if (r >= 0)
                r = read_meta(s);
        if (r < 0)
                return r;
        if (!writable)
                tell_missing(s, &witness);
        else if (heed_witness(s, &witness))
                start_guard(s);
        return 0; /* else the witness stays as it is */
}

static int open_in_memory(Store *s)
{
        int r;

        if ((r = db_open_memory(&s->db)) < 0 || (r = initialize(s)) < 0)
                return log_error_errno(r, "cannot make a database in memory");
        return read_meta(s);
}

/* Another process may give it up, memory and files may come back: a new process finds out. */
static bool may_pass(int error)
{
        return error == -EBUSY || error == -ENOMEM || error == -EMFILE;
}

int store_open_database(Store *s)
{
        int r;

        store_forget_namespaces(s);
        r = store_is_in_memory(s) ? open_in_memory(s) : open_on_disk(s);
        if (r >= 0 || store_is_in_memory(s) || may_pass(r))
                return r;
        s->closed = true;
        s->db = db_close(s->db);
        return open_in_memory(s);
}

/* Opens it for writing, or else for reading, and reads how far it has come. */
static int open_again(Store *s, bool was_read_only, bool *ret_writable)
{
        uint64_t format;
        int r;

        s->incomplete = false;
        r = open_for_writing(s, DB_OPEN, ret_writable);
        if (r >= 0 && *ret_writable && !was_read_only)
                set_full(s);
        if (r >= 0 && *ret_writable && was_read_only && (r = read_format(s, &format)) >= 0)
                r = store_migrate(s, format);
        return r < 0 ? r : read_meta(s);
}

int store_reopen(Store *s)
{
        bool was_read_only = s->state == STORE_READ_ONLY, writable = false;
        uint64_t told = s->revision;
        CommitStart start;
        Witness witness;
        int r;

        store_forget_namespaces(s);
        store_end_queries(s);
        jobs_end(s->jobs, false, "the database had to be opened anew");
        s->db = db_close(s->db);
        if (!was_read_only)
                guard_drop_ballast(s->guard);
        r = open_again(s, was_read_only, &writable);
        if (r >= 0)
                r = read_witness(s, &witness);
        quotas_forget(s->quotas);
        kv_reset(s->kv);
        if (r < 0) {
                /* Nothing can be served: a new process may find a better world. */
                (void) sd_event_exit(s->event, EXIT_FAILURE);
                return r;
        }
        if (writable && heed_witness(s, &witness)) {
                if (was_read_only) {
                        if (s->state != STORE_FULL)
                                store_set_state(s, STORE_OK, "the file system can be written to");
                        start_guard(s);
                }
                start = store_commit_start(s);
                commit_resume(s->commit, &start);
        }
        if (!writable)
                tell_missing(s, &witness);
        /* A batch can reach the log and fail all the same. */
        if (s->revision != told && s->hooks.changed)
                s->hooks.changed(NULL, s->hooks.userdata);
        return 0;
}
