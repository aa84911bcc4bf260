/* SPDX-License-Identifier: Apache-2.0 */

/* Writes. The operations of a transaction go into the overlay one after the other, so that each
 * sees those before it and is seen by those behind it; then all of them go into the commit queue at
 * once. Until then it can be undone, and is when one of them is refused: the loop does nothing else
 * in between. */

#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-operation.h"

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

/* ---- one transaction ---- */

/* One piece of memory: for a single write, which is what most are, this is all there is. */
static Write *write_new(const StoreWrite *w, size_t n, uint64_t revision)
{
        Write *x = calloc(1, sizeof(Write) + n * (sizeof(Op) + sizeof(Op *) + sizeof(StoreAnswer)));

        if (!x)
                return NULL;
        x->ops = (Op *) (x + 1);
        x->shadowed = (Op **) (x->ops + n);
        x->answers = (StoreAnswer *) (x->shadowed + n);
        x->transaction.ops = x->ops;
        x->transaction.revision = revision;
        x->outcome.answers = x->answers;
        x->answered = w->answered;
        x->userdata = w->userdata;
        return x;
}

Write *write_free(Write *x)
{
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->transaction.n_ops; i++)
                op_done(&x->ops[i]);
        free(x);
        return NULL;
}

static void undo(Store *s, Write *x)
{
        for (size_t i = x->transaction.n_ops; i > 0; i--)
                if (x->shadowed[i - 1])
                        (void) overlay_set(s, x->shadowed[i - 1]); /* replaces: cannot fail */
                else
                        overlay_drop(s, &x->ops[i - 1]);
}

/* ---- one operation of it ---- */

/* The text of a document's labels, NULL when it has none. */
static int labels_of(const json_t *doc, char **ret)
{
        const json_t *labels = json_object_get(doc, "labels");

        *ret = NULL;
        return json_object_size(labels) > 0 ? document_format(labels, ret) : 0;
}

/* A parse is dear and few have labels: look for the word first. */
static int labels_of_record(const StoreRecord *r, char **ret)
{
        CLEANUP_JSON json_t *doc = NULL;

        *ret = NULL;
        if (r->document_size == 0) { /* it cannot be read, and is being deleted */
                *ret = strdup("null");
                return *ret ? 0 : -ENOMEM;
        }
        if (!memmem(r->document, r->document_size, "\"labels\":", strlen("\"labels\":")))
                return 0;
        doc = json_loadb(r->document, r->document_size, 0, NULL);
        return doc ? labels_of(doc, ret) : -ENOMEM;
}

static int encode_op(Op *op, const Step *p, uid_t by)
{
        CLEANUP_FREE char *labels = NULL, *previous_labels = NULL;
        StoreChange c = {
                .operation = op->record.operation,
                .key = op->key,
                .generation = op->record.generation,
                .by = by,
        };
        int r;

        memcpy(c.uid, op->record.uid, sizeof(c.uid));
        if ((r = labels_of(p->document, &labels)) < 0 ||
                        (p->exists && (r = labels_of_record(&p->previous, &previous_labels)) < 0))
                return r;
        c.labels = labels;
        c.previous_labels = previous_labels;
        r = store_change_encode(&c, &op->change, &op->change_size);
        if (r < 0)
                return r;
        r = store_record_encode(&op->record, &op->value, &op->value_size);
        if (r < 0)
                return r;
        /* The overlay lends the record: it must live as long as the op. */
        op->record.document = op->value + op->value_size - op->record.document_size;
        return 0;
}

static int make_op(const Step *p, uint64_t revision, uid_t by, Op *ret, sd_bus_error *reterr)
{
        uint64_t now = now_realtime_usec();
        int r;

        ret->key = p->key;
        ret->record = (StoreRecord){
                .operation = p->effect,
                .generation = p->exists ? p->previous.generation : 1,
                .revision = revision,
                .created_usec = p->exists ? p->previous.created_usec : now,
                .updated_usec = now,
                .document = p->text,
                .document_size = p->text ? strlen(p->text) : 0,
        };
        if (p->exists)
                memcpy(ret->record.uid, p->previous.uid, sizeof(ret->record.uid));
        else {
                r = random_id(ret->record.uid);
                if (r < 0)
                        return tank_error_set_errno(reterr, r, "no random bits for a uid");
        }
        if (p->effect == OPERATION_UPDATED)
                ret->record.generation++;
        return encode_op(ret, p, by) < 0 ? oom(reterr) : 0;
}

static int add_op(Store *s, Write *x, const Step *p, uid_t by, sd_bus_error *reterr)
{
        size_t i = x->transaction.n_ops;
        Op *op = &x->ops[i];
        int r;

        r = make_op(p, x->transaction.revision, by, op, reterr);
        if (r >= 0) {
                x->bytes += op->value_size + op->change_size;
                if (x->bytes > LIMIT_TRANSACTION_BYTES)
                        r = tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                        "a transaction writes at most %u MiB: make several of it",
                                        LIMIT_TRANSACTION_BYTES >> 20);
        }
        if (r >= 0) {
                x->shadowed[i] = overlay_find(s, &op->key);
                if (overlay_set(s, op) < 0)
                        r = oom(reterr);
        }
        if (r < 0) {
                op_done(op);
                return r;
        }
        x->transaction.n_ops++;
        return 0;
}

static void answer_for(const Step *p, const Op *op, bool dry_run, StoreAnswer *ret)
{
        const StoreRecord *r = op ? &op->record : &p->previous;
        bool made_up = op && dry_run; /* nobody shall remember what was never given */

        if (!op && !p->exists) {
                ret->changed = "absent";
                return;
        }
        ret->changed = op ? operation_to_string(op->record.operation) : "unchanged";
        ret->generation = r->generation;
        ret->revision = made_up ? 0 : r->revision;
        if (!made_up || p->exists)
                memcpy(ret->uid, r->uid, sizeof(ret->uid));
}

/* What is read is no part of the message, and may be read again and again. */
static int check_read(Write *x, const Step *p, sd_bus_error *reterr)
{
        x->bytes_read += p->previous.document_size;
        if (p->operation->verb == STORE_ROLLBACK)
                x->bytes_read += strlen(p->text);
        if (x->bytes_read <= LIMIT_TRANSACTION_READ)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction is about at most %u MiB of what is stored: make several of "
                        "it",
                        LIMIT_TRANSACTION_READ >> 20);
}

/* The loop stands still meanwhile, and whether a namespace is empty is asked of every type. */
static int check_namespaces(Write *x, const Step *p, sd_bus_error *reterr)
{
        if (p->operation->verb != STORE_DELETE || !streq(p->key.type, "namespace") ||
                        x->n_namespaces++ < LIMIT_TRANSACTION_SPACES)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction deletes at most %u namespaces: make several of it",
                        LIMIT_TRANSACTION_SPACES);
}

static int add(Store *s, Write *x, const StoreOperation *o, const StoreWrite *w,
                sd_bus_error *reterr)
{
        CLEANUP(step_done) Step p = {};
        char text[OBJECT_KEY_TEXT_SIZE];
        const Op *pending;
        int r;

        r = step_read(&p, s, o, reterr);
        if (r < 0)
                return r;
        pending = overlay_find(s, &p.key);
        if (pending >= x->ops && pending < x->ops + x->transaction.n_ops)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "an operation before this one writes %s: there can be one for each "
                                "object",
                                object_key_format(&p.key, text));
        x->rests = x->rests || pending;
        r = check_namespaces(x, &p, reterr);
        if (r >= 0)
                r = step_check(&p, s, w, reterr);
        if (r >= 0)
                r = check_read(x, &p, reterr);
        if (r >= 0 && p.writes)
                r = add_op(s, x, &p, w->by, reterr);
        if (r < 0)
                return r;
        answer_for(&p, p.writes ? &x->ops[x->transaction.n_ops - 1] : NULL, w->dry_run,
                        &x->answers[x->outcome.n++]);
        return 0;
}

/* ---- the whole ---- */

/* Hands the write to the commit thread. */
static int submit(Store *s, Write *x, sd_bus_error *reterr)
{
        int r = commit_submit(s->commit, &x->transaction);

        if (r >= 0) {
                if (x->transaction.n_ops > 0)
                        s->allocated = x->transaction.revision;
                return 0;
        }
        if (r == -EBUSY)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "too many writes wait for the disk: wait for answers, then try "
                                "again");
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "an earlier write failed (%s): try again in a moment", errno_words(r));
}

static int check_count(size_t n, sd_bus_error *reterr)
{
        if (n <= LIMIT_TRANSACTION_OPS)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction has at most %u operations: make several of it",
                        LIMIT_TRANSACTION_OPS);
}

int store_write(Store *s, const StoreOperation *operations, size_t n, const StoreWrite *w,
                size_t *reterr_index, sd_bus_error *reterr)
{
        CLEANUP(write_freep) Write *x = NULL;
        bool writes;
        int r;

        *reterr_index = STORE_WHOLE;
        r = check_count(n, reterr);
        if (r < 0)
                return r;
        x = write_new(w, n, s->allocated + 1);
        if (!x)
                return oom(reterr);
        for (size_t i = 0; i < n; i++) {
                r = add(s, x, &operations[i], w, reterr);
                if (r < 0) {
                        *reterr_index = i;
                        undo(s, x);
                        return r;
                }
        }
        writes = x->transaction.n_ops > 0 && !w->dry_run;
        x->outcome.revision = writes     ? x->transaction.revision
                              : x->rests ? s->allocated
                                         : s->revision;
        if (w->dry_run || (!writes && !x->rests)) {
                undo(s, x);
                w->answered(&x->outcome, NULL, w->userdata);
                return 0;
        }
        r = submit(s, x, reterr);
        if (r < 0)
                undo(s, x);
        else
                (void) TAKE_PTR(x);
        return r;
}
