/* SPDX-License-Identifier: Apache-2.0 */

/* See store-operation.h. Order within a step: read, authorise, validate, compare. */

#include "store-operation.h"

#include <inttypes.h>
#include <stdio.h>

#include "base64.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "spec.h"
#include "store-sealed.h"

static const char *const verb_table[_STORE_VERB_MAX] = {
        [STORE_CREATE] = "create",
        [STORE_APPLY] = "apply",
        [STORE_UPDATE] = "update",
        [STORE_DELETE] = "delete",
        [STORE_ROLLBACK] = "rollback",
        [STORE_CHECK] = "check",
};

const char *store_verb_to_string(StoreVerb v)
{
        return v >= 0 && v < _STORE_VERB_MAX ? verb_table[v] : NULL;
}

StoreVerb store_verb_from_string(const char *s)
{
        for (StoreVerb v = 0; v < _STORE_VERB_MAX; v++)
                if (streq_ptr(s, verb_table[v]))
                        return v;
        return _STORE_VERB_INVALID;
}

void step_done(Step *p)
{
        json_decref(p->document);
        free(p->text);
        free(p->previous_buffer);
        plain_free(&p->values);
        free(p->version_buffer);
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

/* ---- what is asked for ---- */

/* Takes "meta" out of the document. In an apply or update its revision is a precondition (a
 * document that was read, edited and brought back); an option of the call goes before it. */
static int take_meta(Step *p, json_t *doc, sd_bus_error *reterr)
{
        const json_t *meta = json_object_get(doc, "meta"), *revision;

        if (!meta)
                return 0;
        if (p->operation->verb == STORE_CREATE)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta: is the store's to give: leave it out, or apply instead");
        if (!json_is_object(meta))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta: expected the map that tank made: leave it out");
        revision = json_object_get(meta, "revision");
        if (revision && (!json_is_integer(revision) || json_integer_value(revision) < 0))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta.revision: expected a revision, a whole number from 0, or "
                                "no meta at all");
        if (revision && !p->has_if_revision) {
                p->has_if_revision = true;
                p->if_revision = (uint64_t) json_integer_value(revision);
        }
        (void) json_object_del(doc, "meta");
        return 0;
}

/* A secret without its values is text, and not before. */
static int normalize(Step *p, const json_t *doc, SpecError *reterr_spec)
{
        return spec_normalize_text(doc, &p->document, &p->text, reterr_spec);
}

/* A secret may be larger than what is stored of it as a document. */
static int parse(const StoreOperation *o, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        int r;

        if (o->parsed) {
                *ret = json_copy((json_t *) o->parsed);
                return *ret ? 0 : oom(reterr);
        }
        r = document_parse_bounded(
                        o->document, o->document_size, LIMIT_DATA_DOCUMENT_MAX, &doc, reterr);
        if (r < 0)
                return r;
        if (o->document_size > LIMIT_DOCUMENT_MAX &&
                        !streq_ptr(json_get_string(doc, "kind"), "secret"))
                return document_refuse_size(o->document_size, LIMIT_DOCUMENT_MAX, reterr);
        *ret = TAKE_PTR(doc);
        return 0;
}

static int read_document(Step *p, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        const char *type, *namespace, *name;
        SpecError e = {};
        int r;

        r = parse(p->operation, &doc, reterr);
        if (r < 0)
                return r;
        if (json_object_get(doc, "status"))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "status: made by tank and never declared: leave it out");
        r = take_meta(p, doc, reterr);
        if (r < 0)
                return r;
        r = normalize(p, doc, &e);
        if (r < 0)
                return refuse_spec(r, &e, reterr);

        type = strempty(json_get_string(p->document, "kind"));
        namespace = strempty(json_get_string(p->document, "namespace"));
        name = strempty(json_get_string(p->document, "name"));
        if (object_key_init(&p->key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        return 0;
}

/* An earlier version is read like a document that comes in now: what a tank of today would refuse
 * does not come back. */
static int read_version(Step *p, Store *s, sd_bus_error *reterr)
{
        CLEANUP_FREE char *buffer = NULL;
        CLEANUP_JSON json_t *doc = NULL;
        char text[OBJECT_KEY_TEXT_SIZE];
        SpecError e = {};
        StoreRecord v;
        int r;

        r = store_version_load(s, &p->key, p->operation->revision, &v, &buffer, reterr);
        if (r < 0)
                return r;
        (void) object_key_format(&p->key, text);
        if (v.operation == OPERATION_DELETED)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "revision %" PRIu64 " deleted %s: roll back to an earlier one, or "
                                "delete it",
                                v.revision, text);
        doc = json_loadb(v.document, v.document_size, JSON_REJECT_DUPLICATES, NULL);
        if (!doc)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL,
                                "%s of revision %" PRIu64 " cannot be decoded", text, v.revision);
        r = normalize(p, doc, &e);
        if (r == -ENOMEM)
                return oom(reterr);
        if (r < 0)
                return tank_error_set(reterr, e.name, "%s of revision %" PRIu64 ": %s%s%s", text,
                                v.revision, e.path, isempty(e.path) ? "" : ": ", e.message);
        p->version = v;
        p->version_buffer = TAKE_PTR(buffer);
        return 0;
}

int step_read(Step *p, Store *s, const StoreOperation *o, sd_bus_error *reterr)
{
        p->operation = o;
        p->has_if_revision = o->has_if_revision;
        p->if_revision = o->if_revision;
        if (o->verb == STORE_CREATE || o->verb == STORE_APPLY || o->verb == STORE_UPDATE)
                return read_document(p, reterr);
        if (object_key_init(&p->key, o->type, o->namespace, o->name) < 0)
                return store_refuse_key(o->type, o->namespace, o->name, reterr);
        return o->verb == STORE_ROLLBACK ? read_version(p, s, reterr) : 0;
}

/* ---- what stands there, and what comes of it ---- */

/* 1 when the stored document @r is one that only a privileged caller may change. */
static int record_is_privileged(const StoreRecord *r)
{
        CLEANUP_JSON json_t *doc = NULL;
        char field[256];

        doc = json_loadb(r->document, r->document_size, 0, NULL);
        return !doc || spec_privileged_field(doc, field);
}

static bool is_secret(const Step *p)
{
        return streq(p->key.type, "secret");
}

static int check_privileges(const StoreWrite *w, const Step *p, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE], buf[256];
        const char *field;

        if (is_secret(p) && !w->secrets)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s: writing secrets needs the right 'secrets': be root",
                                object_key_format(&p->key, text));
        if (w->privileged)
                return 0;
        field = p->document ? spec_privileged_field(p->document, buf) : NULL;
        if (field)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s: needs the right 'privileged': be root", field);
        if (p->exists && record_is_privileged(&p->previous))
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s declares privileged fields: to %s it needs the right "
                                "'privileged': be root",
                                object_key_format(&p->key, text),
                                p->document ? "change" : "delete");
        return 0;
}

static int check_namespace(Store *s, const ObjectKey *key, sd_bus_error *reterr)
{
        int r;

        if (type_is_global(key->type))
                return 0;
        r = store_namespace_exists(s, key);
        if (r == 0)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "namespace: there is no namespace '%s': declare it first, or "
                                "let it be made (create-namespace)",
                                key->namespace);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

/* A record that nobody can read goes all the same: for whoever may write anything, as what it was
 * is not known. */
static int pass_unreadable(
                Store *s, Step *p, const StoreWrite *w, const char *what, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        int r;

        (void) object_key_format(&p->key, text);
        if (!w->privileged)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "the stored record of %s cannot be read: %s it needs the right "
                                "'privileged': be root",
                                text, what);
        log_warning("%s the unreadable record of %s", what, text);
        r = store_lost_record(s, &p->key, &p->previous);
        return r < 0 ? tank_error_set_errno(reterr, r, "no random bits for a uid") : 0;
}

/* Fills in what the write builds upon. A namespace cannot be deleted first, with all that stands in
 * it; and nothing is lost by it, as a namespace is little more than its name. */
static int find_previous(Store *s, Step *p, const StoreWrite *w, sd_bus_error *reterr)
{
        char text[OBJECT_KEY_TEXT_SIZE];
        bool unreadable;
        int r;

        r = store_lookup(s, &p->key, &p->previous, &p->previous_buffer);
        unreadable = r == -EBADMSG || r == -EPROTONOSUPPORT;
        /* In a file that is damaged nothing can be deleted, either. */
        if (unreadable) {
                int k = store_check_writable(s, true, reterr);

                if (k < 0)
                        return k;
        }
        if (unreadable && streq(p->key.type, "namespace") && p->operation->verb != STORE_CHECK)
                r = pass_unreadable(s, p, w, "replacing", reterr);
        else if (unreadable)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the stored record of %s cannot be read: %s; delete it first",
                                object_key_format(&p->key, text), errno_words(r));
        else if (r < 0 && r != -ENOENT) /* that may pass: nothing is lost yet */
                return store_read_failed(r, reterr);
        p->exists = r >= 0;
        return r == -ENOENT ? 0 : r;
}

/* What a program needs to decide whether to read again. */
static void tell_revision(const Step *p, const StoreWrite *w)
{
        if (w->reterr_revision)
                *w->reterr_revision = p->exists ? p->previous.revision : 0;
}

static int check_revision(const Step *p, const StoreWrite *w, sd_bus_error *reterr)
{
        uint64_t revision = p->exists ? p->previous.revision : 0;
        char text[OBJECT_KEY_TEXT_SIZE];

        if (!p->has_if_revision || p->if_revision == revision)
                return 0;
        tell_revision(p, w);
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

int namespace_refuse_delete(const char *name, sd_bus_error *reterr)
{
        if (!streq(name, "default") && !streq(name, "system"))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                        "the namespace '%s' always exists", name);
}

static int check_namespace_delete(Store *s, const ObjectKey *key, sd_bus_error *reterr)
{
        const size_t max = 1000;
        size_t n;
        int r;

        if (!streq(key->type, "namespace"))
                return 0;
        r = namespace_refuse_delete(key->name, reterr);
        if (r < 0)
                return r;
        r = store_count_namespace(s, key->name, max, &n);
        if (r < 0)
                return store_read_failed(r, reterr);
        if (n > 0)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "the namespace '%s' still holds %s%zu object%s: delete %s first, "
                                "or with it (cascade)",
                                key->name, n >= max ? "at least " : "", n, n == 1 ? "" : "s",
                                n == 1 ? "it" : "them");
        return 0;
}

static int find_deleted(Store *s, Step *p, const StoreWrite *w, sd_bus_error *reterr)
{
        int r;

        r = store_lookup(s, &p->key, &p->previous, &p->previous_buffer);
        p->exists = r != -ENOENT;
        if (r == -EBADMSG || r == -EPROTONOSUPPORT)
                return pass_unreadable(s, p, w, "deleting", reterr);
        return r >= 0 || r == -ENOENT ? 0 : store_read_failed(r, reterr);
}

/* A record that was put in the place of another has the uid of an object that stands elsewhere, and
 * what is written over it must not touch that one. */
static int check_home(Step *p, Store *s, bool *ret_at_home, sd_bus_error *reterr)
{
        int r = 1;

        if (p->exists && p->previous.document_size > 0 && is_secret(p) && !overlay_find(s, &p->key))
                r = sealed_is_at_home(s, NULL, &p->key, &p->previous);
        if (r < 0)
                return store_read_failed(r, reterr);
        *ret_at_home = r > 0;
        return 0;
}

/* The values that stand; none when they cannot be opened. */
static int open_previous(const Step *p, Store *s, Plain *ret, sd_bus_error *reterr)
{
        /* What is under way came from here. */
        if (overlay_find(s, &p->key))
                return sealed_open(s, &p->key, p->previous.revision, &p->previous, ret, reterr);
        return sealed_open_current(s, NULL, &p->key, &p->previous, ret, reterr);
}

/* Where redacted values come from that are not those which stand: an earlier version, or what was
 * exported; none otherwise. */
static int open_other(const Step *p, Store *s, Plain *ret, sd_bus_error *reterr)
{
        const StoreOperation *o = p->operation;
        CLEANUP_FREE char *blob = NULL;
        StoreRecord record = {};
        int r;

        if (o->verb == STORE_ROLLBACK)
                return sealed_open(s, &p->key, o->revision, &p->version, ret, reterr);
        if (!o->sealed)
                return 0;
        r = base64_decode(o->sealed, strlen(o->sealed), &blob, &record.sealed_size);
        if (r == -ENOMEM)
                return oom(reterr);
        if (r < 0 || !o->sealed_uid || !id_is_valid(o->sealed_uid))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta: sealed or uid are not as they were exported");
        memcpy(record.uid, o->sealed_uid, sizeof(record.uid));
        record.sealed = blob;
        return sealed_open(s, &p->key, o->sealed_revision, &record, ret, reterr);
}

/* Takes the values of a secret out of its document. Those that a redacted document keeps are the
 * ones that stand, or those of another version. *ret_same: they are what stands. */
static int take_values(Step *p, Store *s, bool *ret_same, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error unopened = SD_BUS_ERROR_NULL;
        CLEANUP(plain_free) Plain standing = {}, other = {};
        const Plain *base = NULL;
        int r;

        if (p->exists && open_previous(p, s, &standing, &unopened) < 0)
                log_warning("%s", unopened.message);
        r = open_other(p, s, &other, reterr);
        if (r < 0)
                return r;
        if (other.data)
                base = &other;
        else if (standing.data)
                base = &standing;
        else if (sd_bus_error_is_set(&unopened) && sealed_keeps(p->document)) {
                r = tank_error_to_errno(unopened.name);
                (void) sd_bus_error_move(reterr, &unopened);
                return r;
        }
        r = sealed_take(p->document, base, &p->values, reterr);
        if (r < 0)
                return r;
        r = document_format(p->document, &p->text);
        if (r < 0)
                return oom(reterr);
        *ret_same = standing.data && plain_equal(&standing, &p->values);
        return 0;
}

static int put_secret(Step *p, Store *s, bool *ret_same, sd_bus_error *reterr)
{
        bool at_home;
        int r;

        r = take_values(p, s, ret_same, reterr);
        if (r >= 0)
                r = check_home(p, s, &at_home, reterr);
        if (r >= 0 && !at_home)
                p->exists = false; /* what is set now is a new object */
        return r;
}

static bool is_unchanged(const Step *p)
{
        return p->exists && p->previous.document_size == strlen(p->text) &&
               memcmp(p->previous.document, p->text, p->previous.document_size) == 0;
}

static int check_put(Step *p, Store *s, const StoreWrite *w, sd_bus_error *reterr)
{
        char buf[OBJECT_KEY_TEXT_SIZE];
        bool same = true;
        int r;

        if ((r = find_previous(s, p, w, reterr)) < 0 || (r = check_privileges(w, p, reterr)) < 0 ||
                        (r = check_namespace(s, &p->key, reterr)) < 0)
                return r;
        if (p->operation->verb == STORE_UPDATE && !p->exists)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no %s to update: create it, or apply",
                                object_key_format(&p->key, buf));
        if (p->operation->verb == STORE_CREATE && p->exists) {
                tell_revision(p, w);
                return tank_error_set(reterr, TANK_ERROR_ALREADY_EXISTS, "%s is there already",
                                object_key_format(&p->key, buf));
        }
        r = check_revision(p, w, reterr);
        if (r >= 0 && is_secret(p))
                r = put_secret(p, s, &same, reterr);
        if (r < 0 || (same && is_unchanged(p)))
                return r;
        p->writes = true;
        p->effect = p->exists ? OPERATION_UPDATED : OPERATION_CREATED;
        return store_check_writable(s, false, reterr);
}

static int check_delete(Step *p, Store *s, const StoreWrite *w, sd_bus_error *reterr)
{
        bool at_home;
        int r;

        if ((r = find_deleted(s, p, w, reterr)) < 0 || (r = check_privileges(w, p, reterr)) < 0 ||
                        (r = check_revision(p, w, reterr)) < 0 || !p->exists)
                return r;
        r = check_home(p, s, &at_home, reterr);
        if (r < 0)
                return r;
        if (!at_home && (r = random_id(p->previous.uid)) < 0)
                return tank_error_set_errno(reterr, r, "no random bits for a uid");
        p->writes = true;
        p->effect = OPERATION_DELETED;
        r = check_namespace_delete(s, &p->key, reterr);
        return r < 0 ? r : store_check_writable(s, true, reterr);
}

int step_check(Step *p, Store *s, const StoreWrite *w, sd_bus_error *reterr)
{
        int r;

        switch (p->operation->verb) {
        case STORE_CREATE:
        case STORE_APPLY:
        case STORE_UPDATE:
        case STORE_ROLLBACK: return check_put(p, s, w, reterr);
        case STORE_DELETE: return check_delete(p, s, w, reterr);
        case STORE_CHECK:
                r = find_previous(s, p, w, reterr);
                return r < 0 ? r : check_revision(p, w, reterr);
        case _STORE_VERB_MAX:
        case _STORE_VERB_INVALID: break;
        }
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "an operation without a verb");
}
