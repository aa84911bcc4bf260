/* SPDX-License-Identifier: Apache-2.0 */

/* Loop and thread share two lists under one mutex; the thread holds it only to take and to give
 * back. Everything the thread reads of a transaction stays unchanged while it is queued.
 *
 *      loop                              thread
 *      submit: append to gathered
 *      no more input, or enough:
 *      append to waiting --------------> takes all that waits
 *      (next batch gathers)              batch, synced write, witness
 *      on_event <------- eventfd ------- append to finished
 *
 * What came in together goes out together: a thread woken by the first of many calls would sync
 * that one alone, and each batch costs a sync, two wake-ups and a signal to every subscriber. The
 * loop says that there is no more input by commit_hurry(), when it knows, or by coming to its idle
 * source. */

#include "store-commit.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "store-meta.h"

/* Enough for the sync to be shared; few enough for it to overlap with the reading of the rest. */
#define GATHER_MAX 16U

struct Commit {
        sd_event_source *source, *idle_source;
        int event_fd;
        CommitDone done;
        void *userdata;

        Transaction *gathered, **gathered_last; /* the loop's alone */
        size_t n_gathered;

        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t work, idle;

        /* under the lock */
        CommitStart at; /* where the next batch stands */
        Transaction *waiting, **waiting_last;
        CommitBatch *finished, **finished_last;
        size_t n_queued, queued_bytes; /* submitted and not yet handed back */
        bool busy, stop;
        int failed;
};

static size_t transaction_bytes(const Transaction *t)
{
        return sizeof(*t) + t->bytes;
}

/* Of the batch alone: nothing of @c that the loop may change. */
static int write_batch(const CommitStart *at, CommitBatch *batch)
{
        CLEANUP(db_batch_freep) DbBatch *b = NULL;
        MetaText before;
        int r;

        if (!batch->writes)
                return 0;
        r = db_batch_new(&b);
        if (r < 0)
                return r;
        for (const Transaction *t = batch->first; t; t = t->next)
                if (t->type->put)
                        t->type->put(t, b, at->db);
        if (batch->revision > 0)
                meta_put_u64(b, at->db, META_REVISION, batch->revision);
        if (batch->log.rows != at->log.rows || batch->log.bytes != at->log.bytes) {
                meta_put_u64(b, at->db, META_LOG_ROWS, batch->log.rows);
                meta_put_u64(b, at->db, META_LOG_BYTES, batch->log.bytes);
        }
        /* Two stores on one database would each overwrite what the other acknowledged. */
        meta_expect_u64(b, META_REVISION, at->revision, &before);
        return db_write(at->db, b);
}

/* Takes from the queue what goes under one sync. */
static void gather(Commit *c, CommitBatch *batch)
{
        size_t bytes = 0;

        batch->last = &batch->first;
        batch->log = c->at.log;
        while (c->waiting && bytes < LIMIT_TRANSACTION_BYTES) {
                Transaction *t = c->waiting;

                c->waiting = t->next;
                t->next = NULL;
                *batch->last = t;
                batch->last = &t->next;
                batch->writes = batch->writes || t->type->put;
                if (t->revision > 0)
                        batch->revision = t->revision;
                batch->log.rows += (uint64_t) t->log_rows;
                batch->log.bytes += (uint64_t) t->log_bytes;
                bytes += transaction_bytes(t);
        }
        if (!c->waiting)
                c->waiting_last = &c->waiting;
}

static void ring(Commit *c)
{
        uint64_t one = 1;

        /* Can only fail when the counter is full, and then the loop wakes up anyway. */
        (void) !write(c->event_fd, &one, sizeof(one));
}

/* Called and returns with the lock held. */
static void run_batch(Commit *c, CommitBatch *batch)
{
        CommitStart at = c->at;
        uint64_t begun;

        gather(c, batch);
        batch->error = c->failed;
        c->busy = true;
        pthread_mutex_unlock(&c->lock);

        begun = batch->writes ? now_boottime_usec() : 0;
        if (batch->error >= 0)
                batch->error = write_batch(&at, batch);
        if (batch->writes)
                batch->sync_usec = now_boottime_usec() - begun;
        if (batch->error >= 0 && batch->revision > 0 && at.guard)
                guard_note(at.guard, batch->revision);

        pthread_mutex_lock(&c->lock);
        c->busy = false;
        if (batch->error < 0)
                c->failed = batch->error;
        else {
                c->at.log = batch->log;
                if (batch->revision > 0)
                        c->at.revision = batch->revision;
        }
        *c->finished_last = batch;
        c->finished_last = &batch->next;
        if (!c->waiting)
                pthread_cond_broadcast(&c->idle);
        pthread_mutex_unlock(&c->lock);
        ring(c); /* unlocked: the loop shall not wake up to wait for the lock */
        pthread_mutex_lock(&c->lock);
}

static void *commit_thread(void *userdata)
{
        Commit *c = userdata;

        (void) pthread_setname_np(pthread_self(), "commit");
        pthread_mutex_lock(&c->lock);
        for (;;) {
                CommitBatch *batch;

                while (!c->waiting && !c->stop)
                        pthread_cond_wait(&c->work, &c->lock);
                if (!c->waiting)
                        break;
                batch = calloc(1, sizeof(*batch));
                if (batch) {
                        run_batch(c, batch);
                        continue;
                }
                /* Nothing was promised yet; memory may come back. */
                pthread_mutex_unlock(&c->lock);
                (void) usleep(10000);
                pthread_mutex_lock(&c->lock);
        }
        pthread_mutex_unlock(&c->lock);
        return NULL;
}

static void hand_back(Commit *c)
{
        CommitBatch *batch;

        pthread_mutex_lock(&c->lock);
        batch = c->finished;
        c->finished = NULL;
        c->finished_last = &c->finished;
        pthread_mutex_unlock(&c->lock);

        while (batch) {
                CommitBatch *next = batch->next;

                for (const Transaction *t = batch->first; t; t = t->next) {
                        c->n_queued--;
                        c->queued_bytes -= transaction_bytes(t);
                }
                c->done(batch, c->userdata);
                free(batch);
                batch = next;
        }
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        uint64_t n;

        /* Empty when commit_drain() was faster. */
        (void) !read(fd, &n, sizeof(n));
        hand_back(userdata);
        return 0;
}

static void release(Commit *c)
{
        if (!c->gathered)
                return;
        pthread_mutex_lock(&c->lock);
        *c->waiting_last = c->gathered;
        c->waiting_last = c->gathered_last;
        pthread_mutex_unlock(&c->lock);
        pthread_cond_signal(&c->work); /* unlocked: it shall not wake up to wait for the lock */
        c->gathered = NULL;
        c->gathered_last = &c->gathered;
        c->n_gathered = 0;
}

static int on_idle(sd_event_source *s, void *userdata)
{
        release(userdata);
        return 0;
}

int commit_submit(Commit *c, Transaction *t)
{
        size_t bytes = transaction_bytes(t);
        int r;

        /* Both are the loop's alone. A single transaction always fits. */
        if (c->n_queued >= LIMIT_WRITES_WAITING ||
                        (c->n_queued > 0 && c->queued_bytes + bytes > LIMIT_WRITES_WAITING_BYTES))
                return -EBUSY;
        pthread_mutex_lock(&c->lock);
        r = c->failed;
        pthread_mutex_unlock(&c->lock);
        if (r >= 0 && !c->gathered)
                r = sd_event_source_set_enabled(c->idle_source, SD_EVENT_ONESHOT);
        if (r < 0)
                return r;

        t->next = NULL;
        *c->gathered_last = t;
        c->gathered_last = &t->next;
        c->n_queued++;
        c->queued_bytes += bytes;
        if (++c->n_gathered >= GATHER_MAX)
                release(c);
        return 0;
}

bool commit_gathers(const Commit *c)
{
        return c->gathered;
}

void commit_hurry(Commit *c)
{
        release(c);
        /* Fails only for a source that is none. */
        (void) sd_event_source_set_enabled(c->idle_source, SD_EVENT_OFF);
}

void commit_drain(Commit *c)
{
        release(c);
        pthread_mutex_lock(&c->lock);
        while (c->waiting || c->busy)
                pthread_cond_wait(&c->idle, &c->lock);
        pthread_mutex_unlock(&c->lock);
        hand_back(c);
}

size_t commit_queued(const Commit *c)
{
        return c->n_queued;
}

void commit_resume(Commit *c, const CommitStart *start)
{
        pthread_mutex_lock(&c->lock);
        assert(!c->waiting && !c->busy);
        c->failed = 0;
        c->at = *start;
        pthread_mutex_unlock(&c->lock);
}

int commit_new(sd_event *event, const CommitStart *start, CommitDone done, void *userdata,
                Commit **ret)
{
        Commit *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->at = *start;
        c->done = done;
        c->userdata = userdata;
        c->waiting_last = &c->waiting;
        c->finished_last = &c->finished;
        c->gathered_last = &c->gathered;
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->work, NULL);
        pthread_cond_init(&c->idle, NULL);

        c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (c->event_fd < 0) {
                r = -errno;
                goto fail;
        }
        r = sd_event_add_io(event, &c->source, c->event_fd, EPOLLIN, on_event, c);
        if (r < 0)
                goto fail;
        /* Answers go out before more calls are read: what waits is what memory is used for. */
        r = sd_event_source_set_priority(c->source, SD_EVENT_PRIORITY_NORMAL - 1);
        if (r < 0)
                goto fail;
        if ((r = sd_event_add_defer(event, &c->idle_source, on_idle, c)) < 0 ||
                        (r = sd_event_source_set_enabled(c->idle_source, SD_EVENT_OFF)) < 0 ||
                        (r = sd_event_source_set_priority(c->idle_source, SD_EVENT_PRIORITY_IDLE)) <
                                        0)
                goto fail;
        r = -pthread_create(&c->thread, NULL, commit_thread, c);
        if (r < 0)
                goto fail;
        *ret = c;
        return 0;

fail:
        sd_event_source_disable_unref(c->idle_source);
        sd_event_source_disable_unref(c->source);
        safe_close(c->event_fd);
        free(c);
        return r;
}

Commit *commit_free(Commit *c)
{
        if (!c)
                return NULL;
        commit_drain(c);
        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_signal(&c->work);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);

        sd_event_source_disable_unref(c->idle_source);
        sd_event_source_disable_unref(c->source);
        safe_close(c->event_fd);
        pthread_cond_destroy(&c->idle);
        pthread_cond_destroy(&c->work);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return NULL;
}
