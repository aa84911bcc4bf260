/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A store on a real database in a directory of its own, or in memory, driven without a loop:
 * store_flush() waits for answers. Included by the tests of the store only. */

#include "document.h"
#include "error.h"
#include "fd.h"
#include "log.h"
#include "store-query.h"
#include "store-verify.h"
#include "store.h"

#include <stdio.h>
#include <unistd.h>

typedef struct Fixture {
        sd_event *event;
        Store *store;
        char dir[64], data[96], logs[96];
        bool memory;
        unsigned n_batches;
} Fixture;

typedef struct Outcome {
        bool answered;
        StoreAnswer answer; /* of the first operation */
        uint64_t revision;  /* of the whole */
        size_t n, at;       /* how many answers; which operation is at fault */
        uint64_t stands;    /* where its object is, as a refusal told */
        char error[128];    /* its name; "" for none */
        char message[512];
} Outcome;

static void fixture_on_changed(const CommitBatch *batch, void *userdata)
{
        ((Fixture *) userdata)->n_batches++;
}

static int fixture_open(Fixture *f)
{
        const StoreOptions disk = { .dir = f->data, .log_dir = f->logs }, memory = {};
        int r = store_open(f->event, f->memory ? &memory : &disk, &f->store);

        if (r >= 0)
                store_set_hooks(f->store, &(const StoreHooks){ .changed = fixture_on_changed,
                                                          .userdata = f });
        return r;
}

static void fixture_close(Fixture *f)
{
        f->store = store_free(f->store);
}

/* @dir: made with mkdtemp(), or NULL for one under /tmp. */
static void fixture_init(Fixture *f, const char *dir)
{
        *f = (Fixture){};
        (void) snprintf(f->dir, sizeof(f->dir), "%s", dir ? dir : "/tmp/tank-test-store-XXXXXX");
        if (!dir)
                assert_non_null(mkdtemp(f->dir));
        (void) snprintf(f->data, sizeof(f->data), "%s/data", f->dir);
        (void) snprintf(f->logs, sizeof(f->logs), "/tmp/tank-test-store-log-%d", (int) getpid());
        assert_true(sd_event_new(&f->event) >= 0);
}

static void fixture_done(Fixture *f)
{
        fixture_close(f);
        sd_event_unref(f->event);
        (void) remove_tree_at(AT_FDCWD, f->dir);
        (void) remove_tree_at(AT_FDCWD, f->logs);
}

/* For cmocka: a store of each test's own, open. */
static inline int fixture_setup(void **state)
{
        static Fixture fixture;

        fixture_init(&fixture, NULL);
        assert_true(fixture_open(&fixture) >= 0);
        *state = &fixture;
        return 0;
}

static inline int fixture_teardown(void **state)
{
        fixture_done(*state);
        return 0;
}

static void fixture_on_answer(const StoreOutcome *outcome, const sd_bus_error *e, void *userdata)
{
        Outcome *o = userdata;

        assert_false(o->answered);
        o->answered = true;
        assert_non_null(outcome);
        o->at = outcome->at;
        o->stands = outcome->stands;
        if (!e) {
                o->n = outcome->n;
                o->revision = outcome->revision;
                if (o->n > 0)
                        o->answer = outcome->answers[0];
        }
        if (e) {
                (void) snprintf(o->error, sizeof(o->error), "%s", e->name);
                (void) snprintf(o->message, sizeof(o->message), "%s", e->message);
        }
}

static inline StoreWrite fixture_write(Outcome *o)
{
        return (StoreWrite){
                .by = 7,
                .privileged = true,
                .reterr_revision = &o->stands,
                .answered = fixture_on_answer,
                .userdata = o,
        };
}

/* Begin a write; its outcome is complete after store_flush() at the latest. */
static inline void begin_as(Fixture *f, Outcome *o, const StoreWrite *w,
                const StoreOperation *operations, size_t n)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        *o = (Outcome){};
        r = store_write(f->store, operations, n, w, &o->at, &e);
        if (r < 0) {
                assert_false(o->answered);
                assert_true(sd_bus_error_is_set(&e));
                assert_int_equal(r, tank_error_to_errno(e.name));
                o->answered = true;
                (void) snprintf(o->error, sizeof(o->error), "%s", e.name);
                (void) snprintf(o->message, sizeof(o->message), "%s", e.message);
        }
        sd_bus_error_free(&e);
}

static inline void begin(Fixture *f, Outcome *o, const StoreOperation *operations, size_t n)
{
        StoreWrite w = fixture_write(o);

        begin_as(f, o, &w, operations, n);
}

static inline StoreOperation op_document(StoreVerb verb, const char *text)
{
        return (StoreOperation){ .verb = verb, .document = text, .document_size = strlen(text) };
}

static inline StoreOperation op_object(
                StoreVerb verb, const char *type, const char *ns, const char *name)
{
        return (StoreOperation){ .verb = verb, .type = type, .namespace = ns, .name = name };
}

static inline StoreOperation op_if(StoreOperation o, uint64_t revision)
{
        o.has_if_revision = true;
        o.if_revision = revision;
        return o;
}

static inline void begin_apply(Fixture *f, Outcome *o, const char *text)
{
        const StoreOperation op = op_document(STORE_APPLY, text);

        begin(f, o, &op, 1);
}

static inline void begin_create(Fixture *f, Outcome *o, const char *text)
{
        const StoreOperation op = op_document(STORE_CREATE, text);

        begin(f, o, &op, 1);
}

static inline void begin_delete(
                Fixture *f, Outcome *o, const char *type, const char *ns, const char *name)
{
        const StoreOperation op = op_object(STORE_DELETE, type, ns, name);

        begin(f, o, &op, 1);
}

static inline Outcome run(Fixture *f, const StoreOperation *operations, size_t n)
{
        Outcome o;

        begin(f, &o, operations, n);
        store_flush(f->store);
        assert_true(o.answered);
        return o;
}

static inline Outcome apply(Fixture *f, const char *text)
{
        Outcome o;

        begin_apply(f, &o, text);
        store_flush(f->store);
        assert_true(o.answered);
        return o;
}

static inline Outcome delete (Fixture *f, const char *type, const char *ns, const char *name)
{
        Outcome o;

        begin_delete(f, &o, type, ns, name);
        store_flush(f->store);
        assert_true(o.answered);
        return o;
}

/* NULL with the error's name in @ret_error. */
static inline json_t *get(Fixture *f, const char *type, const char *ns, const char *name,
                char ret_error[static 128])
{
        CLEANUP_FREE char *text = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        json_t *doc;

        ret_error[0] = 0;
        if (store_get(f->store, type, ns, name, &text, &e) < 0) {
                (void) snprintf(ret_error, 128, "%s", e.name);
                sd_bus_error_free(&e);
                return NULL;
        }
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(doc);
        return doc;
}

/* ---- lists ---- */

typedef struct Listed {
        bool answered;
        uint64_t count, revision;
        char next[512];
        char error[128], message[512]; /* "" for none */
} Listed;

static void fixture_note_error(Listed *l, const sd_bus_error *e)
{
        (void) snprintf(l->error, sizeof(l->error), "%s", e->name);
        (void) snprintf(l->message, sizeof(l->message), "%s", e->message);
}

static inline void fixture_on_queried(
                const StoreResult *result, const sd_bus_error *e, void *userdata)
{
        Listed *l = *(Listed **) userdata;

        assert_false(l->answered);
        assert_true(!result != !e);
        l->answered = true;
        if (e)
                fixture_note_error(l, e);
        if (!result)
                return;
        l->count = result->count;
        l->revision = result->revision;
        (void) snprintf(l->next, sizeof(l->next), "%s", result->next);
}

/* What @each gets is @userdata, which begins with a Listed *: that is made to point here. 1: the
 * query is under way. */
static inline int fixture_query(Fixture *f, Listed *l, const StoreQuery *q, StoreDocument each,
                void *userdata, Query **ret)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        *l = (Listed){};
        *(Listed **) userdata = l;
        r = store_query(f->store, q, each, fixture_on_queried, userdata, ret, &e);
        assert_true(r < 0 ? sd_bus_error_is_set(&e) && !l->answered : (r == 0) == l->answered);
        if (r < 0) {
                assert_int_equal(r, tank_error_to_errno(e.name));
                l->answered = true;
                fixture_note_error(l, &e);
        }
        sd_bus_error_free(&e);
        return r;
}

/* To its end. */
static inline Listed query(Fixture *f, const StoreQuery *q, StoreDocument each, void *userdata)
{
        Query *under_way;
        Listed l;

        if (fixture_query(f, &l, q, each, userdata, &under_way) > 0)
                while (!l.answered)
                        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        return l;
}

/* Whether verifying the closed database finds something. Its output is not for the test's. */
static inline bool fixture_verify_finds(const Fixture *f)
{
        int out = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC), r;

        assert_true(out >= 0 && null >= 0);
        (void) fflush(stdout);
        assert_true(dup2(null, STDOUT_FILENO) >= 0);
        r = store_verify_directory(f->data, f->logs);
        (void) fflush(stdout);
        assert_true(dup2(out, STDOUT_FILENO) >= 0);
        (void) close(out);
        (void) close(null);
        return r != 0;
}
