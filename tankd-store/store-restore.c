/* SPDX-License-Identifier: Apache-2.0 */

/* A database out of a backup. It grows in DIR/.restore and is renamed to DIR/db when all of it was
 * read, its digest is right and it was verified: a restore that is killed leaves nothing that a
 * start could take for a database, and the next one begins again. */

#include "store-backup.h"

#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "store-dump.h"
#include "store-internal.h"
#include "store-verify.h"
#include "strv.h"

#define WORK_NAME ".restore"

typedef struct Restore {
        FILE *from;
        Db *db;
        DbBatch *batch;
        size_t batch_size;
        DumpHead head;
        uint64_t rows;
} Restore;

static void restore_done(Restore *x)
{
        db_batch_free(x->batch);
        db_close(x->db);
        if (x->from && x->from != stdin)
                (void) fclose(x->from);
}

static int read_source(void *buf, size_t size, void *userdata)
{
        Restore *x = userdata;
        size_t n = fread(buf, 1, MIN(size, (size_t) 1 << 20), x->from);

        return n == 0 && ferror(x->from) ? -EIO : (int) n;
}

static int flush(Restore *x)
{
        int r = db_write(x->db, x->batch);

        x->batch = db_batch_free(x->batch);
        x->batch_size = 0;
        return r < 0 ? r : db_batch_new(&x->batch);
}

static int take_head(const DumpHead *h, void *userdata, sd_bus_error *reterr)
{
        Restore *x = userdata;

        x->head = *h;
        if (h->format == STORE_FORMAT)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_NOT_SUPPORTED,
                        "the backup is of a database of format %" PRIu64
                        ", this tankd-store knows %d: restore it with the tank that made it",
                        h->format, STORE_FORMAT);
}

static int take_row(const char *family, const void *key, size_t key_size, const void *value,
                size_t size, void *userdata, sd_bus_error *reterr)
{
        Restore *x = userdata;
        DbFamily f = db_family_from_name(family);
        int r = 0;

        if (f < 0)
                return tank_error_set(reterr, TANK_ERROR_NOT_SUPPORTED,
                                "the backup holds \"%s\", which this tank does not know: install "
                                "the newer one that made it",
                                family);
        db_batch_put(x->batch, x->db, f, (DbKey){ key, key_size }, value, size);
        x->batch_size += key_size + size;
        x->rows++;
        if (x->batch_size >= LIMIT_TRANSACTION_BYTES / 4)
                r = flush(x);
        return r < 0 ? tank_error_set_errno(reterr, r, "the database cannot be written") : 0;
}

static int check_result(Restore *x, sd_bus_error *reterr)
{
        uint64_t revision;
        int r = meta_get_u64(x->db, NULL, META_REVISION, &revision);

        if (r < 0 || revision != x->head.revision)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the backup contradicts itself: its head says revision %" PRIu64
                                ", its rows do not",
                                x->head.revision);
        return 0;
}

/* A copy of a database that is not quite well is better than none: what is wrong is told. */
static void report_problems(Restore *x)
{
        CLEANUP(verifier_freep) Verifier *v = NULL;
        int r = verifier_new(x->db, &v);

        while (r >= 0 && (r = verifier_turn(v, UINT64_MAX)) > 0)
                ;
        if (r < 0)
                (void) log_warning_errno(r, "what was restored cannot be verified, ignoring");
        else
                STRV_FOREACH(i, verifier_problems(v))
        log_warning("restored as it was in the backup: %s", *i);
}

static int fill(Restore *x, const char *db_dir, const char *log_dir, sd_bus_error *reterr)
{
        static const DumpSink sink = { take_head, take_row };
        char id[ID128_SIZE];
        int r;

        if ((r = db_open(db_dir, log_dir, DB_CREATE, &x->db)) < 0 ||
                        (r = db_batch_new(&x->batch)) < 0 || (r = random_id(id)) < 0)
                return tank_error_set_errno(reterr, r, "cannot make a database in %s", db_dir);
        r = dump_read(read_source, &sink, x, reterr);
        if (r < 0)
                return r;
        meta_put_text(x->batch, x->db, META_ID, id);
        r = flush(x);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "the database cannot be written");
        r = check_result(x, reterr);
        if (r < 0)
                return r;
        report_problems(x);
        x->batch = db_batch_free(x->batch);
        x->db = db_close(x->db);
        FAILPOINT("store.restored");
        return 0;
}

/* Nothing may be there but what an earlier try left, and the keys of the secrets, which no backup
 * holds and somebody brought back already. */
static int check_empty(int dir_fd, const char *dir)
{
        static const char *const allowed[] = { ".", "..", WORK_NAME, "secrets.key", NULL };
        CLEANUP(closedirp) DIR *d = NULL;
        const struct dirent *e;
        int r = opendir_beneath(dir_fd, ".", &d);

        if (r < 0)
                return log_error_errno(r, "cannot read the directory %s", dir);
        while ((e = readdir(d)))
                if (!strv_contains((char *const *) allowed, e->d_name)) {
                        log_error("%s is not empty: \"%s\" is there; move what is in it away, or "
                                  "name another --data-dir",
                                        dir, e->d_name);
                        return -ENOTEMPTY;
                }
        r = remove_tree_at(dir_fd, WORK_NAME);
        return r < 0 ? log_error_errno(r, "cannot remove %s/" WORK_NAME, dir) : 0;
}

/* What root restores belongs to whom the directory belongs to: tankd-store could not open it. */
static int become_owner(int dir_fd, const char *log_dir)
{
        struct stat st;

        if (geteuid() != 0)
                return 0;
        if (fstat(dir_fd, &st) < 0)
                return -errno;
        if (st.st_uid == 0)
                return 0;
        /* Made just now, or of an earlier try: systemd takes it away with the service. */
        if (chown(log_dir, st.st_uid, st.st_gid) < 0)
                return -errno;
        /* Root locks all of its memory. Nobody else may beyond a limit, and would get no more of
         * it. What goes through here has the values of secrets sealed. */
        if (munlockall() < 0)
                return -errno;
        if (setgroups(0, NULL) < 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) < 0 ||
                        setresuid(st.st_uid, st.st_uid, st.st_uid) < 0)
                return -errno;
        return 0;
}

static int open_source(Restore *x, const char *from)
{
        struct stat st;

        x->from = streq(from, "-") ? stdin : fopen(from, "re");
        if (!x->from)
                return log_error_errno(-errno, "cannot read %s", from);
        if (fstat(fileno(x->from), &st) >= 0 && S_ISDIR(st.st_mode)) {
                log_error("%s is a directory: name the backup in it", from);
                return -EISDIR;
        }
        return 0;
}

int store_restore(const char *from, const char *dir, const char *log_dir)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(restore_done) Restore x = {};
        CLEANUP_FREE char *work = NULL;
        CLEANUP_CLOSE int dir_fd = -EBADF, work_fd = -EBADF;
        int r;

        if (asprintf(&work, "%s/" WORK_NAME "/db", dir) < 0)
                return log_oom();
        r = open_source(&x, from);
        if (r < 0)
                return r;
        if ((r = mkdir_p(dir, 0700)) < 0 || (r = mkdir_p(log_dir, 0700)) < 0)
                return log_error_errno(r, "cannot use the directory %s", r < 0 ? dir : log_dir);
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return log_error_errno(-errno, "cannot use the directory %s", dir);
        r = become_owner(dir_fd, log_dir);
        if (r < 0)
                return log_error_errno(r, "cannot become the owner of %s", dir);
        r = check_empty(dir_fd, dir);
        if (r < 0)
                return r;
        r = mkdir_p_open_at(dir_fd, WORK_NAME, 0700, &work_fd);
        if (r < 0)
                return log_error_errno(r, "cannot make %s/" WORK_NAME, dir);
        r = fill(&x, work, log_dir, &e);
        if (r >= 0 && renameat(work_fd, "db", dir_fd, "db") < 0)
                r = tank_error_set_errno(&e, -errno, "cannot rename %s", work);
        if (r >= 0 && fsync(dir_fd) < 0)
                r = tank_error_set_errno(&e, -errno, "cannot sync %s", dir);
        x.batch = db_batch_free(x.batch);
        x.db = db_close(x.db);
        (void) remove_tree_at(dir_fd, WORK_NAME); /* an earlier try's is removed by the next */
        if (r < 0) {
                log_error("nothing was restored: %s", e.message);
                return r;
        }
        log_notice("restored %" PRIu64 " rows into %s, up to revision %" PRIu64
                   "; it is a new database: whoever followed the old one lists anew, and "
                   "tankd-reconcile waits for \"tankctl doctor --accept-store\"",
                        x.rows, dir, x.head.revision);
        return 0;
}
