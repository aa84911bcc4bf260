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
#include "store-quota.h"

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

/* ---- one transaction ---- */

Write *write_free(Write *x)
{
        if (!x)
                return NULL;
        for (size_t i = 0; i < x->n_ops; i++)
                op_done(&x->ops[i]);
        sd_bus_error_free(&x->refusal);
        free(x);
        return NULL;
}

static void put(const Transaction *t, DbBatch *b, const Db *db)
{
        const Write *x = container_of(t, const Write, transaction);

        for (size_t i = 0; i < x->n_ops; i++)
                op_put(&x->ops[i], (uint32_t) i, b, db);
}

static void finish(Transaction *t, int error, void *userdata)
{
        Write *x = container_of(t, Write, transaction);
        sd_bus_error e = SD_BUS_ERROR_NULL;
        Store *s = userdata;

        for (size_t i = 0; i < x->n_ops; i++) {
                overlay_drop(s, &x->ops[i]);
                if (streq(x->ops[i].key.type, "namespace"))
                        store_forget_namespaces(s);
        }
        if (error < 0)
                quotas_forget(s->quotas);
        if (error < 0 && !t->type->put) { /* nothing of its own was to be durable */
                x->outcome.at = STORE_WHOLE;
                (void) store_refuse_after_failure(error, &e);
        } else if (error < 0)
                (void) store_write_failed(s, error, &e);
        else
                (void) sd_bus_error_move(&e, &x->refusal);
        x->answered(&x->outcome, sd_bus_error_is_set(&e) ? &e : NULL, x->userdata);
        sd_bus_error_free(&e);
}

static void free_transaction(Transaction *t)
{
        write_free(container_of(t, Write, transaction));
}

static const TransactionType write_type = { put, finish, free_transaction };
static const TransactionType wait_type = { NULL, finish, free_transaction };

size_t store_transaction_ops(const Transaction *t, const Op **ret)
{
        const Write *x = container_of(t, const Write, transaction);

        if (t->type != &write_type)
                return 0;
        *ret = x->ops;
        return x->n_ops;
}

/* One piece of memory: for a single write, which is what most are, this is all there is. */
static Write *write_new(const StoreWrite *w, size_t n, size_t n_ops)
{
        size_t size = sizeof(Write) + n_ops * (sizeof(Op) + sizeof(Op *)) + n * sizeof(StoreAnswer);
        Write *x = calloc(1, size);

        if (!x)
                return NULL;
        x->size = size;
        x->ops = (Op *) (x + 1);
        x->shadowed = (Op **) (x->ops + n_ops);
        x->answers = (StoreAnswer *) (x->shadowed + n_ops);
        x->max_ops = n_ops;
        x->outcome.answers = x->answers;
        x->outcome.at = STORE_WHOLE;
        x->answered = w->answered;
        x->userdata = w->userdata;
        return x;
}

/* It writes nothing, then. */
static void undo(Store *s, Write *x)
{
        for (size_t i = x->n_ops; i > 0; i--)
                if (x->shadowed[i - 1])
                        (void) overlay_set(s, x->shadowed[i - 1]); /* replaces: cannot fail */
                else
                        overlay_drop(s, &x->ops[i - 1]);
        if (x->taken)
                quotas_give_back(s->quotas, x->ops, x->n_ops);
        x->taken = false;
        for (; x->n_ops > 0; x->n_ops--)
                op_done(&x->ops[x->n_ops - 1]);
        x->transaction = (Transaction){};
}

/* ---- one operation of it ---- */

static int refuse_count(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction has at most %u operations, and writes as many objects: make "
                        "several of it",
                        LIMIT_TRANSACTION_OPS);
}

static int add_op(Store *s, Write *x, const Step *p, uid_t by, sd_bus_error *reterr)
{
        size_t i = x->n_ops;
        Op *op = &x->ops[i];
        int r;

        if (i >= LIMIT_TRANSACTION_OPS)
                return refuse_count(reterr);
        assert(i < x->max_ops);
        r = step_make_op(p, s, s->allocated + 1, by, op, reterr);
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
        x->n_ops++;
        x->transaction.bytes += op_bytes(op);
        x->transaction.log_rows++;
        x->transaction.log_bytes += (int64_t) op->change_size;
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
        x->bytes_read += p->previous.document_size + p->previous.sealed_size;
        if (p->operation->verb == STORE_ROLLBACK)
                x->bytes_read += strlen(p->text) + p->values.size;
        if (x->bytes_read <= LIMIT_TRANSACTION_READ)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction is about at most %u MiB of what is stored: make several of "
                        "it",
                        LIMIT_TRANSACTION_READ >> 20);
}

/* The loop stands still meanwhile, and whether a namespace is empty is asked of every type. */
static int refuse_namespaces(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "a transaction deletes at most %u namespaces: make several of it",
                        LIMIT_TRANSACTION_SPACES);
}

static int check_namespaces(Write *x, const Step *p, sd_bus_error *reterr)
{
        if (p->operation->verb != STORE_DELETE || !streq(p->key.type, "namespace") ||
                        x->n_namespaces++ < LIMIT_TRANSACTION_SPACES)
                return 0;
        return refuse_namespaces(reterr);
}

/* @ret_answer: NULL when nobody asked for it by itself. */
static int add_step(Store *s, Write *x, Step *p, const StoreWrite *w, StoreAnswer *ret_answer,
                sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        const Op *pending = overlay_find(s, &p->key);
        int r;

        if (pending >= x->ops && pending < x->ops + x->n_ops)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "an operation before this one writes %s: there can be one for each "
                                "object",
                                object_key_format(&p->key, text));
        x->rests = x->rests || pending;
        r = check_namespaces(x, p, reterr);
        if (r >= 0)
                r = step_check(p, s, w, reterr);
        if (r >= 0)
                r = check_read(x, p, reterr);
        if (r >= 0 && p->writes)
                r = add_op(s, x, p, w->by, reterr);
        if (r >= 0 && ret_answer)
                answer_for(p, p->writes ? &x->ops[x->n_ops - 1] : NULL, w->dry_run, ret_answer);
        return r;
}

/* ---- all of them ---- */

/* What is asked for. */
typedef struct Request {
        const StoreOperation *operations;
        size_t n;
        const StoreWrite *write;
        json_t *spaces; /* {NAME: index} of those that put a namespace there; NULL: not asked yet */
        size_t *reterr_index;
} Request;

static int add(Store *s, Write *x, Request *q, size_t i, sd_bus_error *reterr);

/* What another operation brings with it. */
static int add_unasked(Store *s, Write *x, const StoreOperation *o, const StoreWrite *w,
                sd_bus_error *reterr)
{
        CLEANUP(step_done) Step p = {};
        int r = step_read(&p, s, o, reterr);

        return r < 0 ? r : add_step(s, x, &p, w, NULL, reterr);
}

/* The name of the namespace that @o puts there; "": none. What is wrong with it is told when its
 * turn comes. */
static void puts_namespace(const StoreOperation *o, char ret[static LIMIT_NAME_MAX + 1])
{
        CLEANUP_JSON json_t *doc = NULL;
        const char *type = o->type, *name = o->name;
        ObjectKey k;

        *ret = '\0';
        if (o->verb == STORE_CREATE || o->verb == STORE_APPLY) {
                /* A parse is dear: look for the word first, unless it may be written otherwise. */
                if (o->document && !memmem(o->document, o->document_size, "namespace", 9) &&
                                !memmem(o->document, o->document_size, "\\u", 2))
                        return;
                if (!o->parsed && !(doc = json_loadb(o->document, o->document_size, 0, NULL)))
                        return;
                type = json_get_string(o->parsed ? o->parsed : doc, "kind");
                name = json_get_string(o->parsed ? o->parsed : doc, "name");
        } else if (o->verb != STORE_ROLLBACK)
                return;
        if (!streq_ptr(type, "namespace") || object_key_init(&k, type, "", strempty(name)) < 0)
                return;
        (void) snprintf(ret, LIMIT_NAME_MAX + 1, "%s", k.name);
        return;
}

/* The operation that puts the namespace @name there, wherever it stands; STORE_WHOLE: none. */
static size_t find_namespace(Request *q, const char *name)
{
        char found[LIMIT_NAME_MAX + 1];
        json_int_t i;

        if (!q->spaces) {
                q->spaces = json_object();
                for (size_t k = q->n; k-- > 0;) { /* the first one counts */
                        puts_namespace(&q->operations[k], found);
                        if (*found)
                                (void) json_object_set_new(
                                                q->spaces, found, json_integer((json_int_t) k));
                }
        }
        i = json_get_int(q->spaces, name, -1);
        return i < 0 ? STORE_WHOLE : (size_t) i;
}

/* The namespace that @p's document stands in, when it is missing and may be made: by the operation
 * that says what it shall be, when there is one, else as it is by default. */
static int add_namespace(Store *s, Write *x, const Step *p, Request *q, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        StoreOperation o = { .verb = STORE_CREATE };
        size_t declared;
        int r;

        if (!q->write->create_namespaces || !p->document || type_is_global(p->key.type))
                return 0;
        r = store_namespace_exists(s, &p->key);
        if (r != 0)
                return 0; /* there, or told of by the step's own check */
        declared = find_namespace(q, p->key.namespace);
        if (declared != STORE_WHOLE && !x->answers[declared].changed)
                return add(s, x, q, declared, reterr);
        r = asprintf(&text, "{\"kind\":\"namespace\",\"name\":\"%s\"}", p->key.namespace);
        if (r < 0) {
                text = NULL;
                return oom(reterr);
        }
        o.document = text;
        o.document_size = (size_t) r;
        return add_unasked(s, x, &o, q->write, reterr);
}

/* Everything that stands in the namespace which @o deletes. */
static int add_contents(Store *s, Write *x, const StoreOperation *o, const StoreWrite *w,
                sd_bus_error *reterr)
{
        CLEANUP_FREE ObjectKey *keys = NULL;
        size_t n;
        int r;

        r = store_namespace_keys(s, o->name, LIMIT_TRANSACTION_OPS, &keys, &n);
        if (r < 0)
                return store_read_failed(r, reterr);
        for (size_t i = 0; i < n; i++) {
                const StoreOperation one = {
                        .verb = STORE_DELETE,
                        .type = keys[i].type,
                        .namespace = keys[i].namespace,
                        .name = keys[i].name,
                };

                r = add_unasked(s, x, &one, w, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add(Store *s, Write *x, Request *q, size_t i, sd_bus_error *reterr)
{
        const StoreOperation *o = &q->operations[i];
        CLEANUP(step_done) Step p = {};
        int r;

        r = step_read(&p, s, o, reterr);
        if (r >= 0)
                r = add_namespace(s, x, &p, q, reterr);
        if (r >= 0 && o->cascade)
                r = add_contents(s, x, o, q->write, reterr);
        if (r >= 0)
                r = add_step(s, x, &p, q->write, &x->answers[i], reterr);
        if (r < 0 && *q->reterr_index == STORE_WHOLE)
                *q->reterr_index = i;
        return r;
}

/* Preconditions first: they are about what stood there before any of it. */
static int add_all(Store *s, Write *x, Request *q, sd_bus_error *reterr)
{
        int r = 0;

        for (size_t i = 0; i < q->n && r >= 0; i++)
                if (q->operations[i].verb == STORE_CHECK)
                        r = add(s, x, q, i, reterr);
        for (size_t i = 0; i < q->n && r >= 0; i++)
                if (!x->answers[i].changed)
                        r = add(s, x, q, i, reterr);
        return r;
}

/* ---- the whole ---- */

/* Hands the write to the commit thread. */
static int submit(Store *s, Write *x, sd_bus_error *reterr)
{
        bool writes = x->n_ops > 0;
        int r;

        x->transaction.type = writes ? &write_type : &wait_type;
        x->transaction.revision = writes ? s->allocated + 1 : 0;
        if (!writes) /* it has no rows, and what it asked for had room for all of them */
                x->transaction.bytes = x->size;
        r = commit_submit(s->commit, &x->transaction);
        if (r >= 0) {
                if (writes)
                        s->allocated++;
                return 0;
        }
        if (r == -EBUSY)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "too many writes wait for the disk: wait for answers, then try "
                                "again");
        return store_refuse_after_failure(r, reterr);
}

/* How many objects @o writes at most, beside its own. Whatever else an operation before it puts
 * into a namespace that goes cannot be deleted by the same transaction. */
static int count_contents(Store *s, const StoreOperation *o, size_t *ret, sd_bus_error *reterr)
{
        ObjectKey k;
        int r;

        if (o->verb != STORE_DELETE || !streq_ptr(o->type, "namespace"))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "cascade: only a namespace is deleted with what stands in it");
        if (object_key_init(&k, o->type, o->namespace, o->name) < 0)
                return store_refuse_key(o->type, o->namespace, o->name, reterr);
        /* Before all that stands in it is gone through. */
        r = namespace_refuse_delete(o->name, reterr);
        if (r < 0)
                return r;
        r = store_count_namespace(s, o->name, LIMIT_TRANSACTION_OPS, ret);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

/* Before there is any effect. */
static int count_ops(Store *s, const StoreOperation *operations, size_t n, const StoreWrite *w,
                size_t *ret, size_t *reterr_index, sd_bus_error *reterr)
{
        size_t n_ops = n, n_cascades = 0;

        if (n > LIMIT_TRANSACTION_OPS)
                return refuse_count(reterr);
        for (size_t i = 0; i < n; i++) {
                size_t more = 0;
                int r;

                if (!operations[i].cascade)
                        continue;
                r = ++n_cascades > LIMIT_TRANSACTION_SPACES
                                    ? refuse_namespaces(reterr)
                                    : count_contents(s, &operations[i], &more, reterr);
                if (r >= 0 && n_ops + more > LIMIT_TRANSACTION_OPS)
                        r = refuse_count(reterr);
                if (r < 0) {
                        *reterr_index = i;
                        return r;
                }
                n_ops += more;
        }
        *ret = w->create_namespaces ? 2 * n_ops : n_ops;
        return 0;
}

/* Whether it may follow from what stands, so from writes under way, too. What the caller may not,
 * and what the store cannot, is no matter of theirs. */
static bool is_about_state(const Write *x, const sd_bus_error *e)
{
        if (sd_bus_error_has_names(
                            e, TANK_ERROR_ACCESS_DENIED, TANK_ERROR_DEGRADED, TANK_ERROR_BUSY))
                return false;
        return x->n_ops > 0 || x->rests ||
               sd_bus_error_has_names(e, TANK_ERROR_CONFLICT, TANK_ERROR_ALREADY_EXISTS,
                               TANK_ERROR_NOT_FOUND, TANK_ERROR_FAILED_PRECONDITION);
}

/* A refusal that may follow from what is not durable yet, and may be lost: it is told when that is
 * durable. Else it would name a revision that never was. */
static int hold_refusal(Store *s, Write *x, const StoreWrite *w, size_t at, sd_bus_error *reterr)
{
        sd_bus_error busy = SD_BUS_ERROR_NULL;
        int r;

        (void) sd_bus_error_move(&x->refusal, reterr);
        x->outcome.n = 0;
        x->outcome.at = at;
        x->outcome.stands = w->reterr_revision ? *w->reterr_revision : 0;
        r = submit(s, x, &busy);
        if (r < 0)
                (void) sd_bus_error_move(reterr, &busy);
        return r;
}

int store_write(Store *s, const StoreOperation *operations, size_t n, const StoreWrite *w,
                size_t *reterr_index, sd_bus_error *reterr)
{
        CLEANUP(write_freep) Write *x = NULL;
        Request q = { operations, n, w, NULL, reterr_index };
        size_t n_ops = 0;
        bool waits, about_state;
        int r;

        *reterr_index = STORE_WHOLE;
        store_try_writable(s);
        r = count_ops(s, operations, n, w, &n_ops, reterr_index, reterr);
        if (r < 0)
                return r;
        x = write_new(w, n, n_ops);
        if (!x)
                return oom(reterr);
        r = add_all(s, x, &q, reterr);
        json_decref(q.spaces);
        if (r >= 0 && x->n_ops > 0 && !w->any_amount) {
                x->taken = true;
                r = quotas_take(s->quotas, x->ops, x->n_ops, reterr);
        }
        x->outcome.n = n;
        x->outcome.revision = x->n_ops > 0 && !w->dry_run ? s->allocated + 1 : s->revision;
        about_state = r < 0 && is_about_state(x, reterr);
        if (r < 0 || w->dry_run)
                undo(s, x);
        waits = x->rests || (w->dry_run && s->overlay);
        if (r < 0) {
                if (!s->overlay || !about_state)
                        return r;
                r = hold_refusal(s, x, w, *reterr_index, reterr);
        } else if (x->n_ops > 0 || waits) {
                if (x->n_ops == 0)
                        x->outcome.revision = s->allocated;
                r = submit(s, x, reterr);
        } else {
                w->answered(&x->outcome, NULL, w->userdata);
                return 0;
        }
        if (r < 0) {
                *reterr_index = STORE_WHOLE;
                undo(s, x);
        } else
                (void) TAKE_PTR(x);
        return r;
}
