/* SPDX-License-Identifier: Apache-2.0 */

/* See store-compact.h. Nothing of the database is held from one slice to the next but a position,
 * so that its handle may be exchanged in between. While a batch of the cycle is under way its job
 * waits: the disk says how fast it goes. */

#include "store-compact.h"

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "log.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-prune.h"
#include "store-upkeep.h"

#define STEP_ROWS       512U  /* of the change log in a step, and the rest of its revision */
#define PRUNE_ROWS      1000U /* versions in a batch */
#define FIRST_LOOK_USEC (60 * 60 * USEC_PER_SEC) /* of a database that was never looked at */
#define AGAIN_USEC      (60 * USEC_PER_SEC)      /* behind a failure */
#define SLACK_ROWS_MIN  UINT64_C(16)
#define SLACK_BYTES_MIN (UINT64_C(64) * 1024)
#define LOOKS_IN_AGE    16U /* how often the whole is looked at in the least age, at most */

typedef enum Phase {
        PHASE_LOG,
        PHASE_PRUNE,
        PHASE_SWEEP,
        PHASE_CLOSE,
        PHASE_DONE,
} Phase;

typedef struct Request Request;
struct Request {
        Request *next;
        Compacted done;
        void *userdata;
};

/* What one step gives up of the change log. */
typedef struct Step {
        uint64_t revision; /* of the rows that were read last */
        uint32_t index;    /* of the next one */
        bool to_the_end;   /* they are the last that there are */
        uint64_t rows, bytes;
        ObjectKey *keys;
        size_t n_keys, allocated, next_key;
} Step;

struct Compactor {
        Job job;
        Store *store;
        Rules rules;
        bool running;
        unsigned n_under_way; /* batches; more than one only behind a cycle that was given up */
        Phase phase;
        Request *requests;

        uint64_t target; /* the log goes up to here, whatever the rules say */
        Step step;
        bool sweep_wanted, swept;
        bool again; /* something was asked for while it ran */
        StoreKey sweep_at;
        uint64_t expiring; /* the earliest that was found in this cycle */

        uint64_t due, due_stored;
        uint64_t not_before; /* boot time: behind a failure */
        sd_event_source *timer;
};

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

const Rules *compactor_rules(const Compactor *c)
{
        return &c->rules;
}

bool store_is_compacting(const Store *s)
{
        return s->compactor->running;
}

bool store_is_giving_up(const Store *s)
{
        return s->compactor->n_under_way > 0;
}

/* ---- the end of a batch ---- */

static void on_batch(int error, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Compactor *c = userdata;
        uint64_t compacted;

        c->n_under_way--;
        if (!c->running)
                return; /* it was given up meanwhile */
        if (error >= 0) {
                job_wake(&c->job);
                return;
        }
        if (meta_get_u64(c->store->db, NULL, META_COMPACTED, &compacted) >= 0)
                c->store->compacted = compacted;
        (void) store_write_failed(c->store, error, &e);
        job_fail(&c->job, &e);
}

/* -EAGAIN: it is under way. */
static int submit(Compactor *c, Upkeep **u, sd_bus_error *reterr)
{
        int r = upkeep_submit(c->store, *u, on_batch, c, reterr);

        if (r < 0)
                return r;
        *u = NULL;
        c->n_under_way++;
        return -EAGAIN;
}

/* ---- the change log ---- */

static uint64_t left(uint64_t whole, uint64_t part)
{
        return whole > part ? whole - part : 0;
}

/* Whether @revision, behind what the step has, goes too. */
static bool must_go(const Compactor *c, uint64_t revision)
{
        LogRetention rule = rules_of_log(&c->rules);
        const LogSize *log = &c->store->log;

        return revision <= c->target ||
               (rule.rows > 0 && left(log->rows, c->step.rows) > rule.rows) ||
               (rule.bytes > 0 && left(log->bytes, c->step.bytes) > rule.bytes);
}

static void begin_step(Compactor *c)
{
        c->step.revision = c->store->compacted;
        c->step.index = UINT32_MAX;
        c->step.rows = c->step.bytes = 0;
        c->step.to_the_end = false;
        c->step.n_keys = c->step.next_key = 0;
}

static int step_add(Step *p, const char *value, size_t size)
{
        StoreChange change;

        p->rows++;
        p->bytes += size;
        /* Key-value data has no versions; what cannot be read leaves them to the next sweep. */
        if (store_change_decode(value, size, &change) != 0)
                return 0;
        if (p->n_keys == p->allocated) {
                size_t n = MAX(2 * p->allocated, (size_t) STEP_ROWS);
                ObjectKey *keys = reallocarray(p->keys, n, sizeof(*keys));

                if (!keys)
                        return -ENOMEM;
                p->keys = keys;
                p->allocated = n;
        }
        p->keys[p->n_keys++] = change.key;
        return 0;
}

/* 1: the slice is over, 0: the step is found, whole revisions all. */
static int read_log(Compactor *c, uint64_t deadline)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        Step *p = &c->step;
        StoreKey from = change_key_encode(p->revision, p->index);
        int r;

        r = db_iter_new(c->store->db, NULL, DB_CHANGES, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&from)); db_iter_valid(i); db_iter_next(i)) {
                const char *key, *value;
                uint64_t revision;
                uint32_t index;
                size_t size;

                key = db_iter_key(i, &size);
                if (change_key_decode(key, size, &revision, &index) < 0)
                        continue; /* the place of no change */
                if (revision > c->store->revision)
                        break;
                if (revision != p->revision && (p->rows >= STEP_ROWS || !must_go(c, revision)))
                        return 0;
                value = db_iter_value(i, &size);
                r = step_add(p, value, size);
                if (r < 0)
                        return r;
                p->revision = revision;
                p->index = index + 1;
                if (p->rows % 32 == 0 && now_boottime_usec() >= deadline)
                        return 1;
        }
        p->to_the_end = true;
        return db_iter_valid(i) ? 0 : db_iter_status(i);
}

static int compare_keys(const void *a, const void *b)
{
        const ObjectKey *x = a, *y = b;
        int r;

        r = strcmp(x->type, y->type);
        if (r == 0)
                r = strcmp(x->namespace, y->namespace);
        return r != 0 ? r : strcmp(x->name, y->name);
}

static void sort_keys(Step *p)
{
        size_t n = 0;

        if (p->n_keys > 0)
                qsort(p->keys, p->n_keys, sizeof(*p->keys), compare_keys);
        for (size_t i = 0; i < p->n_keys; i++)
                if (n == 0 || compare_keys(&p->keys[n - 1], &p->keys[i]) != 0)
                        p->keys[n++] = p->keys[i];
        p->n_keys = n;
}

/* The last changes may be missing, in a log that was damaged: they are given up like the others.
 * And of a log that is gone nothing is left, whatever was counted. */
static void end_step(Compactor *c)
{
        const Store *s = c->store;
        Step *p = &c->step;

        if (!p->to_the_end)
                return;
        p->revision = MAX(p->revision, MIN(c->target, s->revision));
        if (p->revision == s->revision && p->revision == s->allocated) {
                p->rows = s->log.rows;
                p->bytes = s->log.bytes;
        }
}

/* From here on nobody is served what goes: a page of changes is read in one turn, and the next one
 * begins with the question what is gone. */
static int give_up_log(Compactor *c, sd_bus_error *reterr)
{
        CLEANUP(upkeep_freep) Upkeep *u = NULL;
        uint64_t revision = c->step.revision;
        StoreKey begin = change_key_encode(0, 0), end = change_key_encode(revision + 1, 0);
        int r;

        sort_keys(&c->step);
        if (upkeep_new(&u) < 0 || upkeep_put_meta_u64(u, META_COMPACTED, revision) < 0 ||
                        upkeep_delete_range(u, DB_CHANGES, DB_KEY(&begin), DB_KEY(&end)) < 0 ||
                        (c->due_stored != 0 && upkeep_put_meta_u64(u, META_PRUNE_DUE, 0) < 0))
                return oom(reterr);
        upkeep_shrink_log(u, c->step.rows, c->step.bytes);
        r = submit(c, &u, reterr);
        if (r != -EAGAIN)
                return r;
        FAILPOINT("store.compact.log");
        c->due_stored = 0;
        c->store->compacted = revision;
        c->phase = PHASE_PRUNE;
        return r;
}

static int turn_log(Compactor *c, uint64_t deadline, sd_bus_error *reterr)
{
        int r = read_log(c, deadline);

        if (r < 0)
                return store_read_failed(r, reterr);
        if (r > 0)
                return r;
        end_step(c);
        if (c->step.revision > c->store->compacted || c->step.rows > 0)
                return give_up_log(c, reterr);
        c->phase = c->sweep_wanted ? PHASE_SWEEP : PHASE_CLOSE;
        c->sweep_wanted = false; /* who asks from now on wants another one */
        c->sweep_at = (StoreKey){};
        return 1;
}

/* ---- versions ---- */

/* 1: the slice is over, 0: the objects are through. */
typedef int (*Pruner)(Compactor *c, Prune *p, uint64_t deadline);

static int prune_step(Compactor *c, Prune *p, uint64_t deadline)
{
        Step *step = &c->step;

        while (step->next_key < step->n_keys) {
                StoreKey prefix = key_prefix_history(&step->keys[step->next_key]);
                int r = prune_object(p, &prefix);

                if (r != 0)
                        return r;
                step->next_key++;
                if (now_boottime_usec() >= deadline)
                        return 1;
        }
        return 0;
}

/* From object to object, over all that lies between. */
static int prune_all(Compactor *c, Prune *p, uint64_t deadline)
{
        const size_t position = sizeof(uint64_t) + sizeof(uint32_t);

        db_iter_seek(p->iter, DB_KEY(&c->sweep_at));
        for (;;) {
                const char *key;
                StoreKey prefix;
                size_t size;
                int r;

                if (!db_iter_valid(p->iter))
                        return db_iter_status(p->iter);
                key = db_iter_key(p->iter, &size);
                if (size <= position || size > sizeof(prefix.data) ||
                                key[size - position - 1] != 0) {
                        db_iter_next(p->iter); /* the name of nothing: store verify says which */
                        continue;
                }
                prefix.size = size - position;
                memcpy(prefix.data, key, prefix.size);
                r = prune_object(p, &prefix);
                if (r != 0)
                        return r;
                c->sweep_at = prefix;
                c->sweep_at.data[prefix.size - 1] = 1; /* behind every version of it */
                if (now_boottime_usec() >= deadline)
                        return 1;
                db_iter_seek(p->iter, DB_KEY(&c->sweep_at));
        }
}

/* 0: all are through and nothing is under way. */
static int prune_with(Compactor *c, Pruner pruner, uint64_t deadline, sd_bus_error *reterr)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        CLEANUP(upkeep_freep) Upkeep *u = NULL;
        Prune p = {
                .rules = &c->rules,
                .compacted = c->store->compacted,
                .now_usec = now_realtime_usec(),
                .max = PRUNE_ROWS,
                .due_usec = c->expiring,
        };
        int r;

        if ((r = upkeep_new(&u)) < 0 || (r = db_iter_new(c->store->db, NULL, DB_HISTORY, &i)) < 0)
                return store_read_failed(r, reterr);
        p.iter = i;
        p.upkeep = u;
        r = pruner(c, &p, deadline);
        if (r < 0)
                return store_read_failed(r, reterr);
        c->expiring = p.due_usec;
        c->target = MAX(c->target, p.wanted);
        if (upkeep_rows(u) == 0)
                return r;
        FAILPOINT("store.compact.prune");
        /* Looked at again from where it was: with nothing to do, there, when all was taken. */
        return submit(c, &u, reterr);
}

static int turn_prune(Compactor *c, uint64_t deadline, sd_bus_error *reterr)
{
        int r = prune_with(c, prune_step, deadline, reterr);

        if (r != 0)
                return r;
        begin_step(c);
        c->phase = PHASE_LOG;
        return 1;
}

static int turn_sweep(Compactor *c, uint64_t deadline, sd_bus_error *reterr)
{
        int r = prune_with(c, prune_all, deadline, reterr);

        if (r != 0)
                return r;
        c->swept = true;
        begin_step(c);
        c->phase = PHASE_LOG; /* what expired may have asked for more of it */
        return 1;
}

/* ---- when something expires ---- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void arm_timer(Compactor *c)
{
        int r;

        if (c->due == UINT64_MAX)
                r = c->timer ? sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) : 0;
        else if (!c->timer)
                r = sd_event_add_time(c->store->event, &c->timer, CLOCK_REALTIME, c->due,
                                USEC_PER_SEC, on_timer, c);
        else if ((r = sd_event_source_set_time(c->timer, c->due)) >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) log_warning_errno(r, "cannot arrange for old versions to go, ignoring");
}

/* What is written from now on expires the least age from now at the earliest. */
static uint64_t next_due(const Compactor *c)
{
        uint64_t now = now_realtime_usec(), age = rules_least_age(&c->rules);

        if (age == 0)
                return UINT64_MAX;
        if (!c->swept)
                return MIN(c->due, c->expiring);
        return MIN(MAX(c->expiring, now + age / LOOKS_IN_AGE), now + age);
}

static int turn_close(Compactor *c, sd_bus_error *reterr)
{
        CLEANUP(upkeep_freep) Upkeep *u = NULL;
        int r;

        FAILPOINT("store.compact.close");
        c->due = next_due(c);
        c->phase = PHASE_DONE;
        if (c->due == c->due_stored)
                return 1;
        if (upkeep_new(&u) < 0 || upkeep_put_meta_u64(u, META_PRUNE_DUE, c->due) < 0)
                return oom(reterr);
        r = submit(c, &u, reterr);
        if (r == -EAGAIN)
                c->due_stored = c->due;
        return r;
}

/* ---- the cycle ---- */

static int turn(Job *j, uint64_t deadline, sd_bus_error *reterr)
{
        Compactor *c = container_of(j, Compactor, job);

        switch (c->phase) {
        case PHASE_LOG: return turn_log(c, deadline, reterr);
        case PHASE_PRUNE: return turn_prune(c, deadline, reterr);
        case PHASE_SWEEP: return turn_sweep(c, deadline, reterr);
        case PHASE_CLOSE: return turn_close(c, reterr);
        case PHASE_DONE: break;
        }
        if (!c->again)
                return 0;
        c->again = false;
        begin_step(c);
        c->phase = PHASE_LOG;
        return 1;
}

static void answer(Compactor *c, const sd_bus_error *error)
{
        while (c->requests) {
                Request *r = c->requests;

                c->requests = r->next;
                r->done(c->store->compacted, error, r->userdata);
                free(r);
        }
}

static void end(Job *j, const sd_bus_error *error)
{
        Compactor *c = container_of(j, Compactor, job);

        c->running = false;
        c->sweep_wanted = false;
        if (error) {
                log_debug("the change log and old versions could not be given up: %s",
                                error->message);
                c->due = MAX(c->due, now_realtime_usec() + AGAIN_USEC);
                c->due_stored = 0; /* as far as is known */
                c->not_before = now_boottime_usec() + AGAIN_USEC;
        } else if (c->requests) {
                db_suggest_compaction(c->store->db, DB_CHANGES);
                db_suggest_compaction(c->store->db, DB_HISTORY);
        }
        arm_timer(c);
        answer(c, error);
}

static const JobType compactor_job = { .turn = turn, .end = end, .always = true };

static int begin(Compactor *c, sd_bus_error *reterr)
{
        int r;

        c->again = c->running;
        if (c->running)
                return 0;
        r = job_add(c->store, &c->job, reterr);
        if (r < 0)
                return r;
        c->running = true;
        c->phase = PHASE_LOG;
        c->swept = false;
        c->expiring = UINT64_MAX;
        begin_step(c);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Compactor *c = userdata;

        c->sweep_wanted = true;
        (void) begin(c, NULL); /* it is always taken */
        return 0;
}

void compactor_note_batch(Compactor *c)
{
        LogRetention rule = rules_of_log(&c->rules);
        const LogSize *log = &c->store->log;

        if (c->running || now_boottime_usec() < c->not_before)
                return;
        if ((rule.rows > 0 && log->rows > rule.rows + MAX(rule.rows / 8, SLACK_ROWS_MIN)) ||
                        (rule.bytes > 0 &&
                                        log->bytes > rule.bytes + MAX(rule.bytes / 8,
                                                                                  SLACK_BYTES_MIN)))
                (void) begin(c, NULL);
}

void compactor_use_rules(Compactor *c, const Rules *rules)
{
        json_incref(rules->own);
        rules_done(&c->rules);
        c->rules = *rules;
        c->due_stored = 0; /* written with them */
        c->sweep_wanted = true;
        (void) begin(c, NULL);
}

int store_compact(Store *s, uint64_t revision, Compacted done, void *userdata, sd_bus_error *reterr)
{
        Compactor *c = s->compactor;
        Request *r;
        int k;

        store_try_writable(s);
        if (revision > s->revision)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "revision: the database stands at an earlier one");
        k = store_check_writable(s, true, reterr);
        if (k < 0)
                return k;
        r = malloc(sizeof(*r));
        if (!r)
                return oom(reterr);
        k = begin(c, reterr);
        if (k < 0) {
                free(r);
                return k;
        }
        *r = (Request){ c->requests, done, userdata };
        c->requests = r;
        c->target = MAX(c->target, revision);
        c->sweep_wanted = true;
        return 0;
}

/* ---- start and end ---- */

void compactor_reload(Compactor *c)
{
        int r;

        c->target = 0;
        rules_done(&c->rules);
        r = rules_load(c->store->db, &c->rules);
        if (r < 0) {
                (void) log_error_errno(r, "the rules of what is kept cannot be read: all is kept; "
                                          "set them anew");
                (void) rules_keep_all(&c->rules);
        }
        r = meta_get_u64(c->store->db, NULL, META_PRUNE_DUE, &c->due_stored);
        if (r < 0)
                c->due_stored = UINT64_MAX;
        c->due = r < 0 ? now_realtime_usec() + FIRST_LOOK_USEC : c->due_stored;
        /* Without an age only what was interrupted is looked for. */
        if (rules_least_age(&c->rules) == 0 && c->due_stored != 0)
                c->due = UINT64_MAX;
        arm_timer(c);
}

int compactor_new(Store *s, Compactor **ret)
{
        CLEANUP(compactor_freep) Compactor *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->job.type = &compactor_job;
        c->store = s;
        compactor_reload(c);
        if (!c->rules.own)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

Compactor *compactor_free(Compactor *c)
{
        if (!c)
                return NULL;
        assert(!c->running && !c->requests);
        sd_event_source_disable_unref(c->timer);
        rules_done(&c->rules);
        free(c->step.keys);
        free(c);
        return NULL;
}
