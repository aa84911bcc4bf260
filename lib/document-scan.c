/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a text can be read, without reading it: what document_format() makes is compact, and the
 * keys of each object ascend, so that one pass tells that it is JSON and that no key stands twice.
 * The pass knows no more than that form. Whatever looks otherwise, a number that may not fit, a key
 * out of its order, a blank, a character in hexadecimal, is left to the parser, whose word counts:
 * "not sure" here never means "not readable". */

#include "document.h"
#include "limit.h"
#include "names.h"

#define DIGITS_SURE 18 /* so many fit into any integer */

typedef struct Scan {
        const char *p, *end;
        const char *without; /* no member of the outermost object may be called so */
        unsigned depth;
} Scan;

typedef struct Span {
        const char *data;
        size_t size;
} Span;

static bool scan_value(Scan *s);

static bool take(Scan *s, char c)
{
        if (s->p >= s->end || *s->p != c)
                return false;
        s->p++;
        return true;
}

static bool scan_word(Scan *s, const char *word)
{
        size_t n = strlen(word);

        if ((size_t) (s->end - s->p) < n || memcmp(s->p, word, n) != 0)
                return false;
        s->p += n;
        return true;
}

static bool scan_number(Scan *s)
{
        const char *first;

        (void) take(s, '-');
        first = s->p;
        while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
                s->p++;
        return s->p > first && s->p - first <= DIGITS_SURE && (*first != '0' || s->p == first + 1);
}

/* *ret: what stands between the quotes. */
static bool scan_string(Scan *s, bool is_key, Span *ret)
{
        const char *first;
        bool ascii = true;

        if (!take(s, '"'))
                return false;
        for (first = s->p; s->p < s->end; s->p++) {
                unsigned char c = (unsigned char) *s->p;

                if (c == '"') {
                        *ret = (Span){ first, (size_t) (s->p++ - first) };
                        return ascii || utf8_is_valid(ret->data, ret->size);
                }
                if (c < 0x20)
                        return false;
                ascii = ascii && c < 0x80;
                if (c != '\\')
                        continue;
                /* Keys are compared as they stand here. */
                if (is_key || ++s->p == s->end || !*s->p || !strchr("\"\\/bfnrt", *s->p))
                        return false;
        }
        return false;
}

static bool is_behind(const Span *key, const Span *before)
{
        int c = memcmp(key->data, before->data, MIN(key->size, before->size));

        return c > 0 || (c == 0 && key->size > before->size);
}

static bool scan_members(Scan *s)
{
        Span key, before;

        for (bool is_first = true;; is_first = false) {
                if (!scan_string(s, true, &key) || (!is_first && !is_behind(&key, &before)))
                        return false;
                if (s->depth == 1 && key.size == strlen(s->without) &&
                                memcmp(key.data, s->without, key.size) == 0)
                        return false;
                before = key;
                if (!take(s, ':') || !scan_value(s))
                        return false;
                if (!take(s, ','))
                        return take(s, '}');
        }
}

static bool scan_elements(Scan *s)
{
        do
                if (!scan_value(s))
                        return false;
        while (take(s, ','));
        return take(s, ']');
}

static bool scan_value(Scan *s)
{
        bool r = false;
        Span string;

        if (s->p >= s->end)
                return false;
        switch (*s->p) {
        case '"': return scan_string(s, false, &string);
        case 't': return scan_word(s, "true");
        case 'f': return scan_word(s, "false");
        case 'n': return scan_word(s, "null");
        case '{':
        case '[': break;
        default: return scan_number(s);
        }
        if (s->depth++ < LIMIT_DOCUMENT_DEPTH) {
                if (*s->p++ == '{')
                        r = take(s, '}') || scan_members(s);
                else
                        r = take(s, ']') || scan_elements(s);
        }
        s->depth--;
        return r;
}

bool document_is_readable(const char *text, size_t size, const char *without)
{
        CLEANUP_JSON json_t *doc = NULL;
        Scan s = { .p = text, .end = text + size, .without = without };

        if (size > 0 && *text == '{' && scan_value(&s) && s.p == s.end)
                return true;
        doc = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        return json_is_object(doc) && !json_object_get(doc, without);
}
