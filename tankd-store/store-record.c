/* SPDX-License-Identifier: Apache-2.0 */
#include "store-record.h"

#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "store-cursor.h"

static const char *const operation_table[_OPERATION_MAX] = {
        [OPERATION_CREATED] = "created",
        [OPERATION_UPDATED] = "updated",
        [OPERATION_DELETED] = "deleted",
};

const char *operation_to_string(Operation o)
{
        return o >= 0 && o < _OPERATION_MAX ? operation_table[o] : NULL;
}

Operation operation_from_string(const char *s)
{
        for (Operation o = 0; o < _OPERATION_MAX; o++)
                if (streq_ptr(s, operation_table[o]))
                        return o;
        return _OPERATION_INVALID;
}

int store_record_encode(const StoreRecord *r, char **ret, size_t *ret_size)
{
        char head[320]; /* 6 members of at most 20 digits, 32 hex digits and a word */
        char sealed[40] = "";
        int n;
        char *p;

        if (r->sealed_size > 0)
                (void) snprintf(sealed, sizeof(sealed), ",\"sealed\":%zu", r->sealed_size);
        n = snprintf(head, sizeof(head),
                        "%c{\"created\":%" PRIu64 ",\"generation\":%" PRIu64
                        ",\"operation\":\"%s\",\"revision\":%" PRIu64
                        "%s,\"uid\":\"%s\",\"updated\":%" PRIu64 "}\n",
                        STORE_FORMAT_JSON, r->created_usec, r->generation,
                        operation_to_string(r->operation), r->revision, sealed, r->uid,
                        r->updated_usec);
        assert(n > 0 && (size_t) n < sizeof(head));

        p = malloc((size_t) n + r->document_size + r->sealed_size);
        if (!p)
                return -ENOMEM;
        memcpy(p, head, (size_t) n);
        if (r->document_size > 0)
                memcpy(p + n, r->document, r->document_size);
        if (r->sealed_size > 0)
                memcpy(p + n + r->document_size, r->sealed, r->sealed_size);
        *ret = p;
        *ret_size = (size_t) n + r->document_size + r->sealed_size;
        return 0;
}

int store_record_encode_into(StoreRecord *r, char **ret, size_t *ret_size)
{
        int e = store_record_encode(r, ret, ret_size);

        if (e < 0)
                return e;
        r->sealed = *ret + *ret_size - r->sealed_size;
        r->document = r->sealed - r->document_size;
        return 0;
}

static int get_u64(const json_t *o, const char *key, uint64_t *ret)
{
        const json_t *v = json_object_get(o, key);

        if (!json_is_integer(v) || json_integer_value(v) < 0)
                return -EBADMSG;
        *ret = (uint64_t) json_integer_value(v);
        return 0;
}

static int get_uid(const json_t *o, char ret[static ID128_SIZE])
{
        const char *uid = json_get_string(o, "uid");

        if (!uid || !id_is_valid(uid))
                return -EBADMSG;
        memcpy(ret, uid, ID128_SIZE);
        return 0;
}

int store_format_check(const void *data, size_t size)
{
        const char *p = data;

        if (size < 1)
                return -EBADMSG;
        return p[0] == STORE_FORMAT_JSON ? 0 : -EPROTONOSUPPORT;
}

/* ---- decoding a header: as this program writes it, without a parser; else as JSON ---- */

static bool take_operation(Cursor *c, const char *before, Operation *ret)
{
        if (!cursor_literal(c, before))
                return false;
        for (Operation o = 0; o < _OPERATION_MAX; o++)
                if (cursor_literal(c, operation_table[o])) {
                        *ret = o;
                        return true;
                }
        return false;
}

static bool take_uid(Cursor *c, const char *before, char ret[static ID128_SIZE])
{
        if (!cursor_literal(c, before) || c->end - c->p < ID128_SIZE)
                return false;
        memcpy(ret, c->p, ID128_SIZE - 1);
        ret[ID128_SIZE - 1] = 0;
        c->p += ID128_SIZE - 1;
        return id_is_valid(ret);
}

/* Most rows have nothing sealed: the word need not be there. */
static bool take_sealed(Cursor *c, size_t *ret)
{
        Cursor before = *c;
        uint64_t n;

        if (!cursor_literal(&before, ",\"sealed\":"))
                return true;
        if (!cursor_u64(c, ",\"sealed\":", &n))
                return false;
        *ret = n;
        return true;
}

static bool decode_own_header(const char *p, const char *end, StoreRecord *r)
{
        Cursor c = { p, end };

        return cursor_u64(&c, "{\"created\":", &r->created_usec) &&
               cursor_u64(&c, ",\"generation\":", &r->generation) &&
               take_operation(&c, ",\"operation\":\"", &r->operation) &&
               cursor_u64(&c, "\",\"revision\":", &r->revision) &&
               take_sealed(&c, &r->sealed_size) && take_uid(&c, ",\"uid\":\"", r->uid) &&
               cursor_u64(&c, "\",\"updated\":", &r->updated_usec) && cursor_literal(&c, "}") &&
               c.p == end;
}

static int decode_header(const char *p, const char *end, StoreRecord *r)
{
        CLEANUP_JSON json_t *head = NULL;
        uint64_t sealed = 0;

        if (decode_own_header(p, end, r))
                return 0;
        *r = (StoreRecord){};
        head = json_loadb(p, (size_t) (end - p), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(head))
                return -EBADMSG;
        r->operation = operation_from_string(json_get_string(head, "operation"));
        if (r->operation < 0 || get_u64(head, "created", &r->created_usec) < 0 ||
                        get_u64(head, "updated", &r->updated_usec) < 0 ||
                        get_u64(head, "generation", &r->generation) < 0 ||
                        get_u64(head, "revision", &r->revision) < 0 || get_uid(head, r->uid) < 0 ||
                        (json_object_get(head, "sealed") && get_u64(head, "sealed", &sealed) < 0))
                return -EBADMSG;
        r->sealed_size = sealed;
        return 0;
}

int store_record_decode(const void *data, size_t size, StoreRecord *ret)
{
        const char *p = data, *lf;
        StoreRecord r = {};
        int e;

        e = store_format_check(p, size);
        if (e < 0)
                return e;
        lf = memchr(p, '\n', size);
        if (!lf)
                return -EBADMSG;
        e = decode_header(p + 1, lf, &r);
        if (e < 0)
                return e;

        r.document = lf + 1;
        r.document_size = size - (size_t) (lf + 1 - p);
        if (r.sealed_size > r.document_size)
                return -EBADMSG;
        r.document_size -= r.sealed_size;
        r.sealed = r.document + r.document_size;
        if (r.operation == OPERATION_DELETED)
                e = r.document_size == 0 && r.sealed_size == 0 ? 0 : -EBADMSG;
        else if (r.document_size < 2 || r.document[0] != '{' ||
                        r.document[r.document_size - 1] != '}' ||
                        !document_is_readable(r.document, r.document_size, "meta"))
                e = -EBADMSG; /* whoever is shown it would stumble */
        if (e < 0)
                return e;
        *ret = r;
        return 0;
}

int store_record_to_text(const StoreRecord *r, char **ret)
{
        char created[RFC3339_SIZE], updated[RFC3339_SIZE], meta[256], *p;
        size_t body;
        int n;

        assert(r->document_size >= 2);
        n = snprintf(meta, sizeof(meta),
                        "%s\"meta\":{\"created\":\"%s\",\"generation\":%" PRIu64
                        ",\"revision\":%" PRIu64 ",\"uid\":\"%s\",\"updated\":\"%s\"}}",
                        r->document_size > 2 ? "," : "", format_rfc3339(r->created_usec, created),
                        r->generation, r->revision, r->uid,
                        format_rfc3339(r->updated_usec, updated));
        assert(n > 0 && (size_t) n < sizeof(meta));

        body = r->document_size - 1; /* without the last brace */
        p = malloc(body + (size_t) n + 1);
        if (!p)
                return -ENOMEM;
        memcpy(p, r->document, body);
        memcpy(p + body, meta, (size_t) n + 1);
        *ret = p;
        return 0;
}

int store_change_encode(const StoreChange *c, char **ret, size_t *ret_size)
{
        char *p;
        int n;

        /* Names and types are letters, digits, '-' and '_': nothing to escape. */
        n = asprintf(&p,
                        "%c{\"by\":%" PRIu32 ",\"generation\":%" PRIu64
                        "%s%s,\"name\":\"%s\",\"namespace\":\"%s\",\"operation\":\"%s\"%s%s"
                        ",\"type\":\"%s\",\"uid\":\"%s\"}",
                        STORE_FORMAT_JSON, (uint32_t) c->by, c->generation,
                        c->labels ? ",\"labels\":" : "", strempty(c->labels), c->key.name,
                        c->key.namespace, operation_to_string(c->operation),
                        c->previous_labels ? ",\"previous_labels\":" : "",
                        strempty(c->previous_labels), c->key.type, c->uid);
        if (n < 0)
                return -ENOMEM;
        *ret = p;
        *ret_size = (size_t) n;
        return 0;
}

/* NULL: it is none. */
static json_t *parse_change(const char *p, size_t size, bool *ret_is_object)
{
        const char *lf = memchr(p + 1, '\n', size - 1);
        size_t n = (size_t) ((lf ? lf : p + size) - p - 1);
        CLEANUP_JSON json_t *o = json_loadb(p + 1, n, JSON_REJECT_DUPLICATES, NULL);

        if (!json_is_object(o) || !lf != !json_object_get(o, "store"))
                return NULL;
        *ret_is_object = !lf;
        return TAKE_PTR(o);
}

int store_change_decode(const void *data, size_t size, StoreChange *ret)
{
        CLEANUP_JSON json_t *o = NULL;
        StoreChange c = {};
        bool is_object;
        uint64_t by;
        int e;

        e = store_format_check(data, size);
        if (e < 0)
                return e;
        o = parse_change(data, size, &is_object);
        if (!o)
                return -EBADMSG;
        if (!is_object)
                return 1;

        c.operation = operation_from_string(json_get_string(o, "operation"));
        if (c.operation < 0 || get_u64(o, "generation", &c.generation) < 0 ||
                        get_u64(o, "by", &by) < 0 || by > UINT32_MAX || get_uid(o, c.uid) < 0)
                return -EBADMSG;
        c.by = (uid_t) by;
        if (object_key_init(&c.key, strempty(json_get_string(o, "type")),
                            strempty(json_get_string(o, "namespace")),
                            strempty(json_get_string(o, "name"))) < 0)
                return -EBADMSG;
        *ret = c;
        return 0;
}

static int take_labels(const json_t *row, const char *member, bool may_be_null, json_t **ret)
{
        json_t *v = json_object_get(row, member);

        if (v && !json_is_object(v) && !(may_be_null && json_is_null(v)))
                return -EBADMSG;
        *ret = json_incref(v);
        return 0;
}

int store_change_labels(const void *data, size_t size, json_t **ret, json_t **ret_previous)
{
        CLEANUP_JSON json_t *o = NULL, *labels = NULL, *previous = NULL;
        bool is_object;
        int r;

        r = store_format_check(data, size);
        if (r < 0)
                return r;
        o = parse_change(data, size, &is_object);
        if (!o || !is_object)
                return -EBADMSG;
        if ((r = take_labels(o, "labels", false, &labels)) < 0 ||
                        (r = take_labels(o, "previous_labels", true, &previous)) < 0)
                return r;
        *ret = TAKE_PTR(labels);
        *ret_previous = TAKE_PTR(previous);
        return 0;
}
