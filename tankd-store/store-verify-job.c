/* SPDX-License-Identifier: Apache-2.0 */

/* The verifier at work: in slices beside everything else, or alone in a directory. */

#include <stdio.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-verify.h"
#include "strv.h"

typedef struct Verify {
        Job job;
        Verifier *verifier;
        Verified done;
        void *userdata;
} Verify;

static int turn(Job *j, uint64_t deadline, sd_bus_error *reterr)
{
        int r = verifier_turn(container_of(j, Verify, job)->verifier, deadline);

        return r < 0 ? store_read_failed(r, reterr) : r;
}

static void end(Job *j, const sd_bus_error *error)
{
        Verify *v = container_of(j, Verify, job);

        v->done(v->verifier, error, v->userdata);
        verifier_free(v->verifier);
        free(v);
}

static const JobType verify_job = { .turn = turn, .end = end, .holds = true };

int store_verify(Store *s, Verified done, void *userdata, sd_bus_error *reterr)
{
        Verify *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        v->job.type = &verify_job;
        v->done = done;
        v->userdata = userdata;
        r = verifier_new(s->db, &v->verifier);
        r = r < 0 ? store_read_failed(r, reterr) : job_add(s, &v->job, reterr);
        if (r < 0) {
                verifier_free(v->verifier);
                free(v);
        }
        return r;
}

/* ---- of a directory ---- */

/* 1: told of a problem. */
static int compare_witness(const char *dir, Db *db)
{
        CLEANUP(guard_freep) Guard *guard = NULL;
        char id[ID128_SIZE], witness_id[ID128_SIZE];
        uint64_t revision, witness;
        int r;

        r = guard_open(dir, &guard);
        if (r >= 0)
                r = guard_read_witness(guard, witness_id, &witness);
        if (r == -ENOENT)
                return 0; /* a restored database has none before its first start */
        if (r < 0) {
                printf("%s/witness cannot be read (%s): the next start makes a new one\n", dir,
                                errno_words(r));
                return 1;
        }
        if (meta_get_id(db, id) < 0 || !streq(id, witness_id) ||
                        meta_get_u64(db, NULL, META_REVISION, &revision) < 0 || revision >= witness)
                return 0;
        printf("the database ends at revision %llu, but writes up to %llu were acknowledged: "
               "restore a newer copy\n",
                        (unsigned long long) revision, (unsigned long long) witness);
        return 1;
}

static int verify_open(const char *dir, Db *db)
{
        CLEANUP(verifier_freep) Verifier *v = NULL;
        int r, problems = 0;

        r = verifier_new(db, &v);
        while (r >= 0 && (r = verifier_turn(v, UINT64_MAX)) > 0)
                ;
        if (r < 0)
                return log_error_errno(r, "the database in %s cannot be read", dir);
        STRV_FOREACH(i, verifier_problems(v)) printf("%s\n", *i);
        if (db_is_salvaged(db)) {
                printf("a file of the database is missing or damaged, and writes may be missing "
                       "without a trace: restore a copy\n");
                problems++;
        }
        problems += compare_witness(dir, db) + (strv_length(verifier_problems(v)) > 0);
        if (problems == 0)
                printf("%llu rows were read: nothing is wrong\n",
                                (unsigned long long) verifier_rows(v));
        return problems > 0;
}

int store_verify_directory(const char *dir, const char *log_dir)
{
        CLEANUP_FREE char *db_dir = NULL;
        CLEANUP(db_closep) Db *db = NULL;
        int r;

        if (asprintf(&db_dir, "%s/db", dir) < 0)
                return log_oom();
        r = db_open(db_dir, log_dir, DB_READ_ONLY, &db);
        if (r == -ENOENT)
                return log_error_errno(r, "there is no database in %s", dir);
        if (r == -EBADMSG || r == -EIO || r == -EPROTONOSUPPORT) {
                printf("the database in %s cannot be opened (%s): restore a copy\n", dir,
                                errno_words(r));
                return 1;
        }
        if (r < 0)
                return log_error_errno(r, "cannot open the database in %s", dir);
        return verify_open(dir, db);
}
