/* SPDX-License-Identifier: Apache-2.0 */

/* Walks a document along the table, in the document's own order, so that the first mistake a person
 * would see is the one that is told; what is missing in a map is told after what is wrong in it.
 * The result is built anew: nothing gets into it that the table does not know. Values that stay as
 * they are belong to both, the document and the result. */

#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "limit.h"
#include "names.h"
#include "spec-check.h"
#include "spec-value.h"

#define MAX_FIELDS   40 /* of one map of the table */
#define ADDRESS_RULE "an address such as 10.0.0.1 or fd00::1"

static int normalize_value(SpecContext *c, const SpecField *f, const SpecPath *path,
                const json_t *v, json_t **ret);

/* jansson iterates over mutable objects only, though iterating changes nothing. */
static json_t *mutable(const json_t *j)
{
        return (json_t *) j;
}

static int put_new(json_t *object, const char *key, json_t *value)
{
        return json_object_set_new_nocheck(object, key, value) < 0 ? -ENOMEM : 0;
}

static int unknown_field(SpecContext *c, const SpecField *fields, const SpecPath *path)
{
        const char *names[MAX_FIELDS + 1], *near;
        char quoted[SPEC_QUOTED_SIZE];
        size_t n = 0;

        if (!path->parent && (streq(path->key, "meta") || streq(path->key, "status")))
                return spec_invalid_key(c, path, "made by tank and never declared: leave it out");
        for (const SpecField *f = fields; f->name; f++) {
                assert(n < MAX_FIELDS);
                names[n++] = f->name;
        }
        names[n] = NULL;
        near = nearest_word(path->key, names);
        if (near)
                return spec_invalid_key(c, path, "unknown field %s, did you mean '%s'?",
                                spec_quote(path->key, quoted), near);
        return spec_invalid_key(c, path, "unknown field %s: remove it, or see tank-pod(5)",
                        spec_quote(path->key, quoted));
}

/* "none or host", "managed or {host: …}", "a map". Alternatives that do not work yet are none. */
static const char *object_expects(const SpecField *f, char buf[static SPEC_WORDS_SIZE])
{
        char all[SPEC_WORDS_SIZE];

        if (!f->one_of && !f->words)
                return "a map";
        (void) snprintf(all, sizeof(all), "%s", strempty(f->words));
        for (const SpecField *g = f->fields; g->name; g++) {
                size_t n = strlen(all);

                if (!g->later && !g->beside)
                        (void) snprintf(all + n, sizeof(all) - n, "%s{%s: …}", n > 0 ? "|" : "",
                                        g->name);
        }
        return *all ? spec_words(all, buf) : "text";
}

static int check_required(
                SpecContext *c, const SpecField *fields, const SpecPath *path, const json_t *object)
{
        for (const SpecField *f = fields; f->name; f++) {
                SpecPath p = { path, f->name, 0 };

                char words[SPEC_WORDS_SIZE];
                const char *what = f->list                  ? "a list"
                                   : f->kind == SPEC_OBJECT ? object_expects(f, words)
                                                            : spec_kind_expects(f->kind);

                if (f->required && !json_object_get(object, f->name))
                        return spec_invalid(c, &p, "is required: give %.*s",
                                        (int) strcspn(what, ","), what);
        }
        return 0;
}

static int normalize_fields(SpecContext *c, const SpecField *fields, bool open,
                const SpecPath *path, const json_t *v, json_t **ret)
{
        CLEANUP_JSON json_t *object = json_object();
        const char *key;
        json_t *value;
        int r;

        if (!object)
                return -ENOMEM;
        json_object_foreach (mutable(v), key, value) {
                const SpecField *f = spec_find_field(fields, key);
                SpecPath p = { path, key, 0 };
                CLEANUP_JSON json_t *normal = NULL;

                if (f)
                        r = normalize_value(c, f, &p, value, &normal);
                else if (open && !streq(key, "meta") && !streq(key, "status")) {
                        normal = json_incref(value);
                        r = 0;
                } else
                        r = unknown_field(c, fields, &p);
                if (r < 0)
                        return r;
                r = put_new(object, key, TAKE_PTR(normal));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

/* Exactly one of the alternatives, and beside it only what belongs to it. */
static int check_alternatives(
                SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *object)
{
        char words[SPEC_WORDS_SIZE];
        const char *chosen = NULL;
        size_t n = 0;

        for (const SpecField *g = f->fields; g->name; g++)
                if (!g->beside && json_object_get(object, g->name)) {
                        chosen = g->name;
                        n++;
                }
        if (n != 1)
                return spec_invalid(c, path, "expected %s, found %s", object_expects(f, words),
                                n > 1                           ? "more than one field"
                                : json_object_size(object) == 0 ? "an empty map"
                                                                : "none of these");
        for (const SpecField *g = f->fields; g->name; g++) {
                SpecPath p = { path, g->name, 0 };

                if (g->beside && json_object_get(object, g->name) &&
                                !spec_word_in(g->beside, chosen))
                        return spec_invalid_key(c, &p, "belongs to %s only: leave it out",
                                        spec_words(g->beside, words));
        }
        return 0;
}

static int normalize_object(SpecContext *c, const SpecField *f, const SpecPath *path,
                const json_t *v, json_t **ret)
{
        char words[SPEC_WORDS_SIZE], quoted[SPEC_QUOTED_SIZE];
        CLEANUP_JSON json_t *object = NULL;
        int r;

        if (json_is_string(v) && (f->words || f->later_words)) {
                const char *s = json_string_value(v);

                if (spec_word_in(f->words, s)) {
                        *ret = json_string(s);
                        return *ret ? 0 : -ENOMEM;
                }
                if (streq_ptr(f->later_words, "*") && *s)
                        return spec_not_supported(c, path, "%s", f->instead);
                return spec_invalid(c, path, "expected %s, found %s", object_expects(f, words),
                                spec_quote(s, quoted));
        }
        if (!json_is_object(v))
                return spec_unexpected(c, path, object_expects(f, words), v);

        r = normalize_fields(c, f->fields, false, path, v, &object);
        if (r < 0)
                return r;
        r = check_required(c, f->fields, path, object);
        if (r < 0)
                return r;
        /* A map that is an alternative to words has no meaning when it says nothing. */
        if (f->one_of || f->words) {
                r = check_alternatives(c, f, path, object);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

static int normalize_list(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret)
{
        CLEANUP_JSON json_t *list = NULL;
        SpecField element = *f;
        size_t n = json_array_size(v);

        element.list = false;
        if (!json_is_array(v))
                return spec_unexpected(c, path, "a list", v);
        if (n < f->min_items)
                return spec_invalid(c, path, "expected at least %zu entry, found an empty list",
                                f->min_items);
        if (f->max_items > 0 && n > f->max_items)
                return spec_invalid(c, path, "has %zu entries, and may have at most %zu", n,
                                f->max_items);

        list = json_array();
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                SpecPath p = { path, NULL, i };
                json_t *normal = NULL;
                int r;

                r = normalize_value(c, &element, &p, json_array_get(v, i), &normal);
                if (r < 0)
                        return r;
                if (json_array_append_new(list, normal) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

static int normalize_cpu(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret)
{
        const SpecField *quota_field = spec_find_field(f->fields, "quota");
        CLEANUP_JSON json_t *object = NULL;
        int r;

        if (!json_is_object(v)) {
                char found[SPEC_QUOTED_SIZE];
                uint64_t quota;

                r = spec_parse_cpus(c, path, v, &quota);
                if (r < 0)
                        return r;
                if (quota < quota_field->min || quota > quota_field->max)
                        return spec_invalid(c, path, "expected 0.01 to 10000000 CPUs, found %s",
                                        spec_found(v, found));
                *ret = json_pack("{s:I, s:I}", "quota", (json_int_t) quota, "period",
                                (json_int_t) SPEC_CPU_PERIOD_USEC);
                return *ret ? 0 : -ENOMEM;
        }

        r = normalize_fields(c, f->fields, false, path, v, &object);
        if (r < 0)
                return r;
        r = check_required(c, f->fields, path, object);
        if (r < 0)
                return r;
        if (!json_object_get(object, "period")) {
                r = put_new(object, "period", json_integer((json_int_t) SPEC_CPU_PERIOD_USEC));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

static int check_map_key(SpecContext *c, const SpecField *f, const SpecPath *path)
{
        char quoted[SPEC_QUOTED_SIZE];

        if (f->kind == SPEC_ENVIRONMENT) {
                if (!*path->key || strchr(path->key, '='))
                        return spec_invalid_key(c, path,
                                        "%s cannot name a variable: it must not "
                                        "be empty nor contain '='",
                                        spec_quote(path->key, quoted));
        } else if (f->kind == SPEC_HOSTS) {
                if (streq(path->key, "localhost") || streq(path->key, "ip6-localhost"))
                        return spec_invalid_key(c, path,
                                        "%s is always the container itself: use another name",
                                        spec_quote(path->key, quoted));
                if (!host_name_is_valid(path->key, LIMIT_DOMAIN_MAX))
                        return spec_invalid_key(c, path,
                                        "%s is no valid name of a host: use a-z, 0-9, '-' and "
                                        "'.', each part beginning and ending with a letter or "
                                        "digit, and no address",
                                        spec_quote(path->key, quoted));
        } else if (f->kind == SPEC_DATA || f->kind == SPEC_ITEMS) {
                if (!data_key_is_valid(path->key))
                        return spec_invalid_key(c, path, "%s is no valid key: " SPEC_DATA_KEY_RULE,
                                        spec_quote(path->key, quoted));
        } else if (!label_key_is_valid(path->key))
                return spec_invalid_key(c, path,
                                "%s is no valid key: use 1 to 63 of A-Z, a-z, "
                                "0-9, '-', '_' and '.', if need be behind a domain and '/'",
                                spec_quote(path->key, quoted));
        return 0;
}

/* In the form in which it is stored: the shortest. */
static int normalize_address(SpecContext *c, const SpecPath *path, json_t **value)
{
        char address[ADDRESS_TEXT_SIZE], quoted[SPEC_QUOTED_SIZE];
        const char *s = json_string_value(*value);

        if (address_normalize(s, address) < 0)
                return spec_invalid(c, path, "expected " ADDRESS_RULE ", found %s",
                                spec_quote(s, quoted));
        json_decref(*value);
        *value = json_string(address);
        return *value ? 0 : -ENOMEM;
}

/* In its shortest form, too. */
static int normalize_item(SpecContext *c, const SpecPath *path, json_t **value)
{
        json_t *item = NULL;
        int r = spec_normalize_item(c, path, json_string_value(*value), &item);

        if (r < 0)
                return r;
        json_decref(*value);
        *value = item;
        return 0;
}

static int check_map_size(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v)
{
        size_t max = f->kind == SPEC_LABELS  ? LIMIT_LABELS
                     : f->kind == SPEC_HOSTS ? LIMIT_EXTRA_HOSTS
                     : f->kind == SPEC_DATA  ? LIMIT_DATA_KEYS
                     : f->kind == SPEC_ITEMS ? LIMIT_DATA_KEYS
                                             : SIZE_MAX;

        if (json_object_size(v) > max)
                return spec_invalid(c, path, "has %zu entries, and may have at most %zu",
                                json_object_size(v), max);
        return 0;
}

static int check_map_value(SpecContext *c, const SpecField *f, const SpecPath *path, const char *s)
{
        if (f->kind != SPEC_LABELS || label_value_is_valid(s))
                return 0;
        if (strlen(s) > LIMIT_LABEL_VALUE_MAX)
                return spec_invalid(c, path,
                                "the value has %zu bytes, and a label's may have at most %u: "
                                "longer ones go into annotations",
                                strlen(s), LIMIT_LABEL_VALUE_MAX);
        return spec_invalid(c, path,
                        "the value of a label must be printable text: other text goes into "
                        "annotations");
}

static int normalize_map(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret)
{
        static const SpecField text = { "", SPEC_STRING };
        SpecField reference = { "", SPEC_OBJECT, .one_of = true, .fields = f->fields };
        CLEANUP_JSON json_t *map = json_object();
        const char *key;
        json_t *value;
        size_t size = 0;
        int r;

        if (!map)
                return -ENOMEM;
        if (!json_is_object(v))
                return spec_unexpected(c, path, "a map", v);
        r = check_map_size(c, f, path, v);
        if (r < 0)
                return r;
        json_object_foreach (mutable(v), key, value) {
                SpecPath p = { path, key, 0 };
                CLEANUP_JSON json_t *normal = NULL;

                r = check_map_key(c, f, &p);
                if (r < 0)
                        return r;
                if (f->kind == SPEC_HOSTS && !json_is_string(value))
                        return spec_unexpected(c, &p, ADDRESS_RULE, value);
                if (f->kind == SPEC_DATA && !json_is_string(value) && !json_is_object(value))
                        return spec_unexpected_data(c, &p, value);
                r = normalize_value(c, f->fields && json_is_object(value) ? &reference : &text, &p,
                                value, &normal);
                if (r < 0)
                        return r;
                if (f->kind == SPEC_DATA)
                        r = spec_check_data_value(c, &p, &normal, &size);
                else {
                        r = f->kind == SPEC_HOSTS ? normalize_address(c, &p, &normal)
                            : f->kind == SPEC_ITEMS
                                            ? normalize_item(c, &p, &normal)
                                            : check_map_value(c, f, &p, json_string_value(normal));
                        size += strlen(key) + json_string_length(normal);
                }
                if (r < 0)
                        return r;
                r = put_new(map, key, TAKE_PTR(normal));
                if (r < 0)
                        return r;
        }
        if (f->kind == SPEC_DATA) {
                r = spec_check_data_size(c, path, size);
                if (r < 0)
                        return r;
        }
        if (f->kind == SPEC_ANNOTATIONS && size > LIMIT_ANNOTATIONS_MAX)
                return spec_too_large(c, path,
                                "all annotations together have %zu bytes, and may "
                                "have at most %u",
                                size, LIMIT_ANNOTATIONS_MAX);
        *ret = TAKE_PTR(map);
        return 0;
}

static int normalize_value(SpecContext *c, const SpecField *f, const SpecPath *path,
                const json_t *v, json_t **ret)
{
        if (f->later)
                return spec_not_supported(c, path, "is not supported yet; leave it out");
        if (f->list)
                return normalize_list(c, f, path, v, ret);
        switch (f->kind) {
        case SPEC_CPU: return normalize_cpu(c, f, path, v, ret);
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT:
        case SPEC_ITEMS:
        case SPEC_HOSTS:
        case SPEC_DATA: return normalize_map(c, f, path, v, ret);
        case SPEC_OBJECT: return normalize_object(c, f, path, v, ret);
        case SPEC_KIND:
        case SPEC_NAME:
        case SPEC_HOSTNAME:
        case SPEC_STRING:
        case SPEC_WORD:
        case SPEC_BOOL:
        case SPEC_COUNT:
        case SPEC_SIZE:
        case SPEC_DURATION:
        case SPEC_PATH:
        case SPEC_MOUNT_POINT:
        case SPEC_SIGNAL:
        case SPEC_USER:
        case SPEC_GROUP:
        case SPEC_CAPABILITY:
        case SPEC_REFERENCE:
        case SPEC_VARIABLE_PREFIX:
        case SPEC_FILE_MODE:
        case SPEC_OTHER: break;
        }
        return spec_normalize_scalar(c, f, path, v, ret);
}

/* Which type it is decides what every other field means, so it is looked at first. */
static int find_type(SpecContext *c, const json_t *doc, const SpecType **ret, const char **ret_kind)
{
        static const SpecField kind_field = { "kind", SPEC_KIND };
        const json_t *kind = json_object_get(doc, "kind");
        SpecPath path = { NULL, "kind", 0 };
        CLEANUP_JSON json_t *normal = NULL;
        int r;

        *ret_kind = "pod";
        if (kind) {
                r = spec_normalize_scalar(c, &kind_field, &path, kind, &normal);
                if (r < 0)
                        return r;
                *ret_kind = json_string_value(kind);
        }
        *ret = spec_find_type(*ret_kind);
        return 0;
}

/* Puts what a document without them means. */
static int put_defaults(const SpecType *type, const char *kind, json_t *object)
{
        int r = put_new(object, "kind", json_string(kind));

        if (r < 0 || type->no_namespace || json_object_get(object, "namespace"))
                return r;
        return put_new(object, "namespace", json_string("default"));
}

int spec_normalize_identity(const json_t *doc, json_t **ret, SpecError *reterr)
{
        static const SpecField fields[] = {
                { "name", SPEC_NAME, .required = true },
                { "namespace", SPEC_NAME },
                { NULL },
        };
        CLEANUP_JSON json_t *object = json_object();
        SpecContext c = { SPEC_DEFAULT, reterr };
        const SpecType *type;
        const char *kind;
        int r;

        if (!object)
                return -ENOMEM;
        r = find_type(&c, doc, &type, &kind);
        for (const SpecField *f = fields; r >= 0 && f->name; f++) {
                const json_t *v = json_object_get(doc, f->name);
                SpecPath path = { NULL, f->name, 0 };
                json_t *normal = NULL;

                if (!v || (type->no_namespace && !f->required))
                        continue;
                r = spec_normalize_scalar(&c, f, &path, v, &normal);
                if (r >= 0)
                        r = put_new(object, f->name, normal);
        }
        if (r >= 0)
                r = check_required(&c, fields, NULL, object);
        if (r >= 0)
                r = put_defaults(type, kind, object);
        if (r >= 0)
                *ret = TAKE_PTR(object);
        return r;
}

/* The values of a secret are bounded by themselves, and are no part of what is stored as JSON. Of
 * what is, the text tells its size: it is made once. */
static int check_size(SpecContext *c, const char *kind, const json_t *object, char **ret_text)
{
        bool secret = streq(kind, "secret");
        size_t max = secret ? LIMIT_DATA_DOCUMENT_MAX : LIMIT_DOCUMENT_MAX, size;
        CLEANUP_FREE char *text = NULL;

        if (!ret_text || secret)
                size = json_dumpb(object, NULL, 0, JSON_COMPACT);
        else {
                int r = document_format(object, &text);

                if (r < 0)
                        return r;
                size = strlen(text);
        }
        if (size > max)
                return spec_too_large(c, NULL,
                                "the document has %zu bytes, and may have at most %zu", size, max);
        if (ret_text)
                *ret_text = TAKE_PTR(text);
        return 0;
}

static int normalize_document(SpecContext *c, const json_t *doc, json_t **ret, char **ret_text)
{
        CLEANUP_JSON json_t *object = NULL;
        SpecPath kind_path = { NULL, "kind", 0 };
        char quoted[SPEC_QUOTED_SIZE];
        const SpecType *type = NULL;
        const char *kind = NULL;
        int r;

        if (!json_is_object(doc))
                return spec_unexpected(c, NULL, "a map", doc);
        r = find_type(c, doc, &type, &kind);
        if (r < 0)
                return r;
        if (type->later)
                return spec_not_supported(c, &kind_path,
                                "objects of type %s are not supported yet; leave it out",
                                spec_quote(kind, quoted));
        r = normalize_fields(c, type->fields, type->open, NULL, doc, &object);
        if (r < 0)
                return r;
        r = put_defaults(type, kind, object);
        if (r < 0)
                return r;
        r = check_required(c, type->fields, NULL, object);
        if (r < 0)
                return r;
        if (streq(kind, "pod")) {
                r = spec_check_pod(c, object);
                if (r < 0)
                        return r;
        }
        if (streq(kind, "secret")) {
                r = spec_check_secret(c, object);
                if (r < 0)
                        return r;
        }
        r = check_size(c, kind, object, ret_text);
        if (r >= 0)
                *ret = TAKE_PTR(object);
        return r;
}

int spec_normalize(const json_t *doc, SpecFlags flags, json_t **ret, SpecError *reterr)
{
        SpecError unused = { 0 };
        SpecContext c = { flags, reterr ? reterr : &unused };

        return normalize_document(&c, doc, ret, NULL);
}

int spec_normalize_text(const json_t *doc, json_t **ret, char **ret_text, SpecError *reterr)
{
        SpecContext c = { SPEC_DEFAULT, reterr };

        return normalize_document(&c, doc, ret, ret_text);
}
