/* SPDX-License-Identifier: Apache-2.0 */

/* Writes: read, authorise, validate, then one Write into the overlay and the commit queue. Until
 * store_submit() nothing of the store changes. */

#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "error.h"
#include "log.h"
#include "spec.h"
#include "store-internal.h"

/* What a put was asked for, taken apart. */
typedef struct Put {
        bool create;
        bool has_if_revision;
        uint64_t if_revision;
        json_t *document; /* normalized */
        char *text;       /* its stored form */
        ObjectKey key;
        StoreRecord previous;
        char *previous_buffer;
        bool exists;
} Put;

static void put_done(Put *p)
{
        json_decref(p->document);
        free(p->text);
        free(p->previous_buffer);
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

static int refuse_spec(int r, const SpecError *e, sd_bus_error *reterr)
{
        if (r == -ENOMEM)
                return oom(reterr);
        return tank_error_set(reterr, e->name, "%s%s%s", e->path, isempty(e->path) ? "" : ": ",
                        e->message);
}

/* Takes "meta" out of the document. In an apply its revision is a precondition (a document that
 * was read, edited and brought back); an option of the call goes before it. */
static int take_meta(Put *p, json_t *doc, sd_bus_error *reterr)
{
        const json_t *meta = json_object_get(doc, "meta"), *revision;

        if (!meta)
                return 0;
        if (p->create)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta: is the store's to give: leave it out, or apply instead");
        if (!json_is_object(meta))
                return tank_error_set(
                                reterr, TANK_ERROR_INVALID_ARGUMENT, "meta: must be an object");
        revision = json_object_get(meta, "revision");
        if (revision && (!json_is_integer(revision) || json_integer_value(revision) < 0))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta.revision: must be a whole number, 0 or greater");
        if (revision && !p->has_if_revision) {
                p->has_if_revision = true;
                p->if_revision = (uint64_t) json_integer_value(revision);
        }
        (void) json_object_del(doc, "meta");
        return 0;
}

static int parse_put(Put *p, const char *text, size_t size, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        const char *type, *namespace, *name;
        SpecError e = {};
        int r;

        r = document_parse(text, size, &doc, reterr);
        if (r < 0)
                return r;
        if (json_object_get(doc, "status"))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "status: is observed, not declared: leave it out");
        r = take_meta(p, doc, reterr);
        if (r < 0)
                return r;
        r = spec_normalize(doc, SPEC_DEFAULT, &p->document, &e);
        if (r < 0)
                return refuse_spec(r, &e, reterr);
        if (document_format(p->document, &p->text) < 0)
                return oom(reterr);

        type = strempty(json_get_string(p->document, "kind"));
        namespace = strempty(json_get_string(p->document, "namespace"));
        name = strempty(json_get_string(p->document, "name"));
        if (object_key_init(&p->key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        return 0;
}

/* 1 when the stored document @r is one that only a privileged caller may change. */
static int record_is_privileged(const StoreRecord *r)
{
        CLEANUP_JSON json_t *doc = NULL;
        char field[256];

        doc = json_loadb(r->document, r->document_size, 0, NULL);
        return !doc || spec_privileged_field(doc, field);
}

static int check_privileges(
                const StoreWrite *w, const Put *p, const char *what, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE], buf[256];
        const char *field;

        if (w->privileged)
                return 0;
        field = p->document ? spec_privileged_field(p->document, buf) : NULL;
        if (field)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s: needs the right 'privileged': be root", field);
        if (p->exists && record_is_privileged(&p->previous))
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s declares privileged fields: to %s it needs the right "
                                "'privileged': be "
                                "root",
                                object_key_format(&p->key, text), what);
        return 0;
}

static int check_namespace(Store *s, const ObjectKey *key, sd_bus_error *reterr)
{
        ObjectKey k;
        int r;

        if (type_is_global(key->type))
                return 0;
        r = object_key_init(&k, "namespace", "", key->namespace);
        if (r >= 0)
                r = store_exists(s, &k);
        if (r == 0)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "namespace: there is no namespace '%s': declare it first",
                                key->namespace);
        if (r < 0)
                return tank_error_set_errno(
                                reterr, r, "namespace: '%s' cannot be read", key->namespace);
        return 0;
}

/* Fills in what the write builds upon. */
static int find_previous(Store *s, Put *p, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        int r;

        r = store_lookup(s, &p->key, &p->previous, &p->previous_buffer);
        p->exists = r >= 0;
        if (r >= 0 || r == -ENOENT)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                        "the stored record of %s cannot be read: %s; delete it first",
                        object_key_format(&p->key, text), errno_words(r));
}

static int check_revision(const Put *p, sd_bus_error *reterr)
{
        uint64_t revision = p->exists ? p->previous.revision : 0;
        char text[OBJECT_KEY_TEXT_SIZE];

        if (!p->has_if_revision || p->if_revision == revision)
                return 0;
        (void) object_key_format(&p->key, text);
        if (!p->exists)
                return tank_error_set(reterr, TANK_ERROR_CONFLICT,
                                "%s is not there, revision %" PRIu64 " was expected: read it again",
                                text, p->if_revision);
        return tank_error_set(reterr, TANK_ERROR_CONFLICT,
                        "%s stands at revision %" PRIu64 ", %" PRIu64
                        " was expected: read it again",
                        text, revision, p->if_revision);
}

/* ---- making the write ---- */

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
        if (r->document_size == 0) /* it cannot be read, and is being deleted */
                return 0;
        if (!memmem(r->document, r->document_size, "\"labels\":", strlen("\"labels\":")))
                return 0;
        doc = json_loadb(r->document, r->document_size, 0, NULL);
        return doc ? labels_of(doc, ret) : -ENOMEM;
}

static int encode_op(Op *op, const Put *p, uid_t by)
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

static Write *write_new(const StoreWrite *w)
{
        Write *n = calloc(1, sizeof(*n));

        if (!n)
                return NULL;
        n->answered = w->answered;
        n->userdata = w->userdata;
        return n;
}

/* Hands the write to the commit thread; consumes it. */
static int submit(Store *s, Write *consumed, sd_bus_error *reterr)
{
        CLEANUP(write_freep) Write *w = consumed;
        Op *shadowed = NULL;
        bool writes = w->transaction.ops;
        int r;

        if (writes) {
                shadowed = overlay_find(s, &w->op.key);
                if (overlay_set(s, &w->op) < 0)
                        return oom(reterr);
        }
        r = commit_submit(s->commit, &w->transaction);
        if (r >= 0) {
                if (writes)
                        s->allocated = w->transaction.revision;
                (void) TAKE_PTR(w);
                return 0;
        }
        if (shadowed)
                (void) overlay_set(s, shadowed); /* replaces: cannot fail */
        else if (writes)
                overlay_drop(s, &w->op);
        if (r == -EBUSY)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "too many writes wait for the disk: wait for answers, then try "
                                "again");
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "an earlier write failed (%s): try again in a moment", errno_words(r));
}

/* A write of nothing: answered at once, or behind the write under way that it rests upon. */
static int submit_nothing(Store *s, const ObjectKey *key, const StoreAnswer *answer,
                const StoreWrite *w, sd_bus_error *reterr)
{
        Write *n;

        if (!overlay_find(s, key)) {
                w->answered(answer, NULL, w->userdata);
                return 0;
        }
        n = write_new(w);
        if (!n)
                return oom(reterr);
        n->answer = *answer;
        return submit(s, n, reterr);
}

static int submit_op(Store *s, const Put *p, Operation operation, const StoreWrite *w,
                sd_bus_error *reterr)
{
        CLEANUP(write_freep) Write *n = write_new(w);
        uint64_t now = now_realtime_usec();
        Op *op;
        int r;

        if (!n)
                return oom(reterr);
        op = &n->op;
        op->key = p->key;
        op->record = (StoreRecord){
                .operation = operation,
                .generation = p->exists ? p->previous.generation : 1,
                .revision = s->allocated + 1,
                .created_usec = p->exists ? p->previous.created_usec : now,
                .updated_usec = now,
                .document = p->text,
                .document_size = p->text ? strlen(p->text) : 0,
        };
        if (p->exists)
                memcpy(op->record.uid, p->previous.uid, sizeof(op->record.uid));
        else {
                r = random_id(op->record.uid);
                if (r < 0)
                        return tank_error_set_errno(reterr, r, "no random bits for a uid");
        }
        if (operation == OPERATION_UPDATED)
                op->record.generation++;
        r = encode_op(op, p, w->by);
        if (r < 0)
                return oom(reterr);

        n->transaction = (Transaction){ .revision = op->record.revision, .ops = op, .n_ops = 1 };
        n->answer = (StoreAnswer){
                .generation = op->record.generation,
                .revision = op->record.revision,
                .changed = operation_to_string(operation),
                .existed = p->exists,
        };
        memcpy(n->answer.uid, op->record.uid, sizeof(n->answer.uid));
        return submit(s, TAKE_PTR(n), reterr);
}

static bool is_unchanged(const Put *p)
{
        return p->exists && p->previous.document_size == strlen(p->text) &&
               memcmp(p->previous.document, p->text, p->previous.document_size) == 0;
}

static int put(Store *s, Put *p, const char *text, size_t size, const StoreWrite *w,
                sd_bus_error *reterr)
{
        char buf[OBJECT_KEY_TEXT_SIZE];
        int r;

        if ((r = parse_put(p, text, size, reterr)) < 0 || (r = find_previous(s, p, reterr)) < 0 ||
                        (r = check_privileges(w, p, "change", reterr)) < 0 ||
                        (r = check_namespace(s, &p->key, reterr)) < 0)
                return r;
        if (p->create && p->exists)
                return tank_error_set(reterr, TANK_ERROR_ALREADY_EXISTS, "%s is there already",
                                object_key_format(&p->key, buf));
        r = check_revision(p, reterr);
        if (r < 0)
                return r;
        if (is_unchanged(p)) {
                StoreAnswer answer = {
                        .generation = p->previous.generation,
                        .revision = p->previous.revision,
                        .changed = "unchanged",
                        .existed = true,
                };

                memcpy(answer.uid, p->previous.uid, sizeof(answer.uid));
                return submit_nothing(s, &p->key, &answer, w, reterr);
        }
        r = store_check_writable(s, false, reterr);
        if (r < 0)
                return r;
        return submit_op(s, p, p->exists ? OPERATION_UPDATED : OPERATION_CREATED, w, reterr);
}

int store_create(Store *s, const char *text, size_t size, const StoreWrite *w, sd_bus_error *reterr)
{
        CLEANUP(put_done) Put p = { .create = true };

        return put(s, &p, text, size, w, reterr);
}

int store_apply(Store *s, const char *text, size_t size, const StoreWrite *w, sd_bus_error *reterr)
{
        CLEANUP(put_done)
        Put p = {
                .has_if_revision = w->has_if_revision,
                .if_revision = w->if_revision,
        };

        return put(s, &p, text, size, w, reterr);
}

/* ---- delete ---- */

static int check_namespace_delete(Store *s, const ObjectKey *key, sd_bus_error *reterr)
{
        const size_t max = 1000;
        size_t n;
        int r;

        if (!streq(key->type, "namespace"))
                return 0;
        if (streq(key->name, "default") || streq(key->name, "system"))
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the namespace '%s' always exists", key->name);
        r = store_count_namespace(s, key->name, max, &n);
        if (r < 0)
                return tank_error_set_errno(reterr, r,
                                "cannot tell whether the namespace '%s' is empty", key->name);
        if (n > 0)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the namespace '%s' still holds %s%zu object%s: delete %s first",
                                key->name, n >= max ? "at least " : "", n, n == 1 ? "" : "s",
                                n == 1 ? "it" : "them");
        return 0;
}

/* A record that nobody can read can still be deleted: by whoever may delete anything. */
static int find_deleted(Store *s, Put *p, const StoreWrite *w, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        int r;

        r = store_lookup(s, &p->key, &p->previous, &p->previous_buffer);
        p->exists = r != -ENOENT;
        if (r >= 0 || r == -ENOENT)
                return 0;
        if (!w->privileged)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "the stored record of %s cannot be read: deleting it needs the "
                                "right "
                                "'privileged': be root",
                                object_key_format(&p->key, text));
        log_warning("deleting the unreadable record of %s", object_key_format(&p->key, text));
        p->previous = (StoreRecord){ .generation = 1, .created_usec = now_realtime_usec() };
        return random_id(p->previous.uid);
}

int store_delete(Store *s, const char *type, const char *namespace, const char *name,
                const StoreWrite *w, sd_bus_error *reterr)
{
        CLEANUP(put_done)
        Put p = {
                .has_if_revision = w->has_if_revision,
                .if_revision = w->if_revision,
        };
        int r;

        if (object_key_init(&p.key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        if ((r = find_deleted(s, &p, w, reterr)) < 0 ||
                        (r = check_privileges(w, &p, "delete", reterr)) < 0 ||
                        (r = check_revision(&p, reterr)) < 0)
                return r;
        if (!p.exists) {
                StoreAnswer answer = {
                        .revision = overlay_find(s, &p.key) ? s->allocated : s->revision,
                        .changed = "unchanged",
                };

                return submit_nothing(s, &p.key, &answer, w, reterr);
        }
        if ((r = check_namespace_delete(s, &p.key, reterr)) < 0 ||
                        (r = store_check_writable(s, true, reterr)) < 0)
                return r;
        return submit_op(s, &p, OPERATION_DELETED, w, reterr);
}
