/* SPDX-License-Identifier: Apache-2.0 */

/* The store as a whole: opening and closing it, and what happens when a batch comes back. */

#include "store.h"

#include <stdio.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "store-compact.h"
#include "store-internal.h"
#include "store-keyring.h"
#include "store-quota.h"
#include "store-rotate.h"
#include "store-kv.h"
#include "store-job.h"

void store_set_hooks(Store *s, const StoreHooks *hooks)
{
        s->hooks = *hooks;
}

/* Runs from the loop once a batch has failed; until then the queue takes nothing. */
int store_on_failure(sd_event_source *source, void *userdata)
{
        Store *s = userdata;
        int failure = s->failure;

        commit_drain(s->commit); /* fails all that waited, at once */
        /* What is open goes on being read: another handle might not even come to be. */
        if (failure == -EROFS) {
                s->allocated = s->revision;
                store_set_read_only(s);
                return 0;
        }
        if (failure != -ENOSPC || store_is_in_memory(s)) {
                s->allocated = s->revision;
                store_set_state(s, STORE_BROKEN,
                                "writing to the database in %s failed: %s; look at the disk and "
                                "its "
                                "kernel messages, then restart tankd-store",
                                store_place(s),
                                failure == -ESTALE ? "somebody else wrote to it"
                                                   : errno_words(failure));
                return 0;
        }

        if (db_is_stuck(s->db)) {
                log_warning("the disk of %s has no room for another file, and the database cannot "
                            "be "
                            "opened anew in this process: ending, to be started again",
                                s->dir);
                (void) sd_event_exit(s->event, STORE_EXIT_AGAIN);
                return 0;
        }
        (void) store_reopen(s); /* or there is no reading either: the end */
        return 0;
}

static void on_failed_batch(Store *s, const CommitBatch *batch)
{
        int r;

        s->failure = batch->error;
        r = sd_event_source_set_enabled(s->failure_source, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) log_error_errno(r, "cannot arrange for what a failed write needs");
}

void store_on_batch(const CommitBatch *batch, void *userdata)
{
        Store *s = userdata;
        bool tell = batch->error >= 0 && batch->revision > 0;

        if (tell)
                s->revision = batch->revision;
        if (batch->error >= 0)
                s->log = batch->log;
        for (Transaction *t = batch->first; t; t = t->next)
                t->type->finish(t, batch->error, s);
        if (tell && s->hooks.changed)
                s->hooks.changed(batch, s->hooks.userdata);
        for (Transaction *t = batch->first, *next; t; t = next) {
                next = t->next;
                t->type->free(t);
        }
        if (batch->error < 0)
                on_failed_batch(s, batch);
        else if (s->compactor)
                compactor_note_batch(s->compactor);
}

bool store_gathers(const Store *s)
{
        return commit_gathers(s->commit);
}

void store_hurry(Store *s)
{
        commit_hurry(s->commit);
}

void store_flush(Store *s)
{
        commit_drain(s->commit);
}

int store_reset(Store *s)
{
        CommitStart start;
        int r;

        if (!store_is_in_memory(s))
                return -EOPNOTSUPP;
        jobs_end(s->jobs, true, "the store was reset");
        commit_drain(s->commit);
        store_end_queries(s);
        s->db = db_close(s->db);
        r = store_open_database(s);
        if (r < 0) {
                (void) sd_event_exit(s->event, EXIT_FAILURE);
                return r;
        }
        start = store_commit_start(s);
        commit_resume(s->commit, &start);
        quotas_forget(s->quotas);
        kv_reset(s->kv);
        compactor_reload(s->compactor);
        if (s->hooks.changed)
                s->hooks.changed(NULL, s->hooks.userdata);
        return 0;
}

void store_end_jobs(Store *s)
{
        jobs_end(s->jobs, true, "tankd-store ends");
        store_end_rotation(s);
}

/* While sources can still be armed, and the bus still takes answers: a loop that is over refuses
 * both. */
static int on_loop_exit(sd_event_source *source, void *userdata)
{
        Store *s = userdata;

        s->ending = true;
        store_end_jobs(s);
        store_flush(s);
        return 0;
}

static int use_directories(Store *s, const StoreOptions *o)
{
        int r;

        if (free_and_strdup(&s->dir, o->dir) < 0 || free_and_strdup(&s->log_dir, o->log_dir) < 0 ||
                        asprintf(&s->db_dir, "%s/db", o->dir) < 0)
                return log_oom();
        if ((r = mkdir_p(o->dir, 0700)) < 0 || (r = guard_open(o->dir, &s->guard)) < 0)
                return log_error_errno(r, "cannot use the data directory %s", o->dir);
        r = mkdir_p(o->log_dir, 0700);
        return r < 0 ? log_error_errno(r, "cannot use the directory %s", o->log_dir) : 0;
}

int store_open(sd_event *event, const StoreOptions *options, Store **ret)
{
        CLEANUP(store_freep) Store *s = NULL;
        CommitStart start;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return log_oom();
        s->event = sd_event_ref(event);
        r = options->dir ? use_directories(s, options) : 0;
        if (r >= 0)
                r = store_open_database(s);
        if (r < 0)
                return r;
        start = store_commit_start(s);
        if ((r = sd_event_add_defer(event, &s->failure_source, store_on_failure, s)) < 0 ||
                        (r = sd_event_source_set_enabled(s->failure_source, SD_EVENT_OFF)) < 0 ||
                        (r = commit_new(event, &start, store_on_batch, s, &s->commit)) < 0)
                return log_error_errno(r, "cannot start the commit thread");
        r = quotas_new(s, &s->quotas);
        if (r < 0)
                return log_error_errno(r, "cannot arrange for the quotas of namespaces");
        r = kv_new(s, &s->kv);
        if (r < 0)
                return log_error_errno(r, "cannot start with the key-value data");
        if ((r = jobs_new(event, &s->jobs)) < 0 || (r = compactor_new(s, &s->compactor)) < 0 ||
                        (r = sd_event_add_exit(event, &s->exit_source, on_loop_exit, s)) < 0 ||
                        /* Ahead of the bus. */
                        (r = sd_event_source_set_priority(
                                         s->exit_source, SD_EVENT_PRIORITY_IMPORTANT - 1)) < 0)
                return log_error_errno(r, "cannot arrange for what is done beside writes");
        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_free(Store *s)
{
        if (!s)
                return NULL;
        store_end_queries(s);
        if (s->jobs)
                store_end_jobs(s);
        commit_free(s->commit);
        quotas_free(s->quotas);
        kv_free(s->kv);
        compactor_free(s->compactor);
        jobs_free(s->jobs);
        if (s->guard)
                guard_sync(s->guard);
        rotation_free(s->rotation);
        keyring_free(s->keyring);
        db_close(s->db);
        guard_free(s->guard);
        sd_event_source_disable_unref(s->failure_source);
        sd_event_source_disable_unref(s->exit_source);
        sd_event_unref(s->event);
        assert(!s->overlay);
        free(s->reason);
        free(s->db_dir);
        free(s->log_dir);
        free(s->dir);
        free(s);
        return NULL;
}
