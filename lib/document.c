/* SPDX-License-Identifier: Apache-2.0 */

/* JSON text in and out. */

#include "document.h"
#include "error.h"
#include "limit.h"

/* jansson's own bound is 2048 levels of recursion; ours is counted on the text before it parses. */
static bool depth_is_bounded(const char *text, size_t size)
{
        unsigned depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < size; i++) {
                char c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '{' || c == '[') {
                        if (++depth > LIMIT_DOCUMENT_DEPTH)
                                return false;
                } else if ((c == '}' || c == ']') && depth > 0) {
                        depth--;
                }
        }
        return true;
}

int document_refuse_size(size_t size, size_t max, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                        "the document has %zu bytes, and may have at most %zu", size, max);
}

int document_parse(const char *text, size_t size, json_t **ret, sd_bus_error *reterr)
{
        return document_parse_bounded(text, size, LIMIT_DOCUMENT_MAX, ret, reterr);
}

int document_parse_bounded(
                const char *text, size_t size, size_t max, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL;
        json_error_t e;

        if (size > max)
                return document_refuse_size(size, max, reterr);
        if (!depth_is_bounded(text, size))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "nested deeper than %u levels: flatten it", LIMIT_DOCUMENT_DEPTH);
        doc = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
        if (!doc && json_error_code(&e) == json_error_null_character)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "line %d column %d: text cannot hold a NUL character: remove it",
                                e.line, e.column);
        if (!doc)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "line %d column %d: not valid JSON: %s", e.line, e.column, e.text);
        if (!json_is_object(doc))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "expected a map with kind and name");
        *ret = TAKE_PTR(doc);
        return 0;
}

int document_format(const json_t *doc, char **ret)
{
        char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);

        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int document_hash(const json_t *doc, char ret[static SHA256_HEX_SIZE])
{
        CLEANUP_FREE char *text = NULL;
        int r = document_format(doc, &text);

        if (r < 0)
                return r;
        sha256_hex(text, strlen(text), ret);
        return 0;
}

/* From a quote to behind the one that ends it; NULL: none does. */
static const char *skip_string(const char *p, const char *end)
{
        for (p++; p < end; p++)
                if (*p == '\\')
                        p++;
                else if (*p == '"')
                        return p + 1;
        return NULL;
}

/* To the comma or the brace behind a value; NULL: there is none. */
static const char *skip_value(const char *p, const char *end)
{
        size_t depth = 0;

        while (p && p < end) {
                if (*p == '"') {
                        p = skip_string(p, end);
                        continue;
                }
                if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
                        return p;
                if (*p == '{' || *p == '[')
                        depth++;
                else if (*p == '}' || *p == ']')
                        depth--;
                p++;
        }
        return NULL;
}

int document_find(
                const char *text, size_t size, const char *key, const char **ret, size_t *ret_size)
{
        const char *p = text, *end = text + size, *name, *value;
        size_t n;

        if (size < 2 || text[0] != '{')
                return -EBADMSG;
        if (text[1] == '}')
                return -ENOENT;
        do {
                name = p + 1;
                if (name >= end || *name != '"')
                        return -EBADMSG;
                p = skip_string(name, end);
                if (!p || p >= end || *p != ':')
                        return -EBADMSG;
                n = (size_t) (p - name);
                value = p + 1;
                p = skip_value(value, end);
                if (!p || *p == ']')
                        return -EBADMSG;
                if (n == strlen(key) + 2 && memcmp(name + 1, key, n - 2) == 0) {
                        *ret = value;
                        *ret_size = (size_t) (p - value);
                        return 0;
                }
        } while (*p == ',');
        return -ENOENT;
}

const char *json_get_string(const json_t *o, const char *key)
{
        return json_string_value(json_object_get(o, key));
}

bool json_get_bool(const json_t *o, const char *key, bool fallback)
{
        const json_t *v = json_object_get(o, key);
        return json_is_boolean(v) ? json_is_true(v) : fallback;
}

int64_t json_get_int(const json_t *o, const char *key, int64_t fallback)
{
        const json_t *v = json_object_get(o, key);
        return json_is_integer(v) ? json_integer_value(v) : fallback;
}
