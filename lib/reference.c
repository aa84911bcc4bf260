/* SPDX-License-Identifier: Apache-2.0 */

/* See reference.h. A part is cut at the separators as they stand in the text, and decoded behind
 * that: "%2F" never separates, and what a part decodes to is checked as it is. */

#include "reference.h"

#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "names.h"

/* Of a reference, in a sentence about it. */
#define SHOWN_MAX 120U

/* Part of the text, not ended by NUL. */
typedef struct Span {
        const char *start;
        size_t size;
} Span;

typedef struct Parser {
        const char *text;
        bool rune; /* it is spelled in Rune's words */
        sd_bus_error *error;
} Parser;

void reference_done(Reference *r)
{
        free(r->key);
        *r = (Reference){};
}

bool reference_is_meant(const char *s)
{
        return strchr(s, ':') != NULL;
}

static bool is_control(char c)
{
        return (unsigned char) c < 0x20 || c == 0x7f;
}

/* -EINVAL, with a sentence about the character at @at. */
static int PRINTF_LIKE(3, 4) refuse(const Parser *p, const char *at, const char *format, ...)
{
        char shown[SHOWN_MAX + 1], what[256];
        va_list ap;

        (void) snprintf(shown, sizeof(shown), "%s", p->text);
        utf8_repair(shown); /* a character may have been cut */
        for (char *c = shown; *c; c++)
                if (is_control(*c))
                        *c = '?';
        va_start(ap, format);
        (void) vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        return tank_error_set(p->error, TANK_ERROR_INVALID_ARGUMENT,
                        "\"%s%s\" is no reference: at character %zu: %s", shown,
                        strlen(p->text) > SHOWN_MAX ? "…" : "", (size_t) (at - p->text) + 1, what);
}

/* ---- parts --------------------------------------------------------------------------------- */

static bool span_is(Span s, const char *word)
{
        return s.size == strlen(word) && memcmp(s.start, word, s.size) == 0;
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* What @s says, once decoded, with a NUL behind it. Its own NULs are refused: no string has one. */
static int decode(const Parser *p, Span s, const char *what, char *buf, size_t size)
{
        size_t n = 0;

        for (size_t i = 0; i < s.size; i++) {
                char c = s.start[i];

                if (is_control(c))
                        return refuse(p, s.start + i, "a control character is written as %%XX");
                if (c == '%') {
                        int high = i + 1 < s.size ? hex_digit(s.start[i + 1]) : -1;
                        int low = i + 2 < s.size ? hex_digit(s.start[i + 2]) : -1;

                        if (high < 0 || low < 0)
                                return refuse(p, s.start + i,
                                                "behind %% stand two hexadecimal digits; %% itself "
                                                "is %%25");
                        c = (char) (high << 4 | low);
                        if (!c)
                                return refuse(p, s.start + i, "%%00 stands for no text");
                        i += 2;
                }
                if (n + 1 >= size)
                        return refuse(p, s.start, "the %s is longer than %zu bytes", what,
                                        size - 1);
                buf[n++] = c;
        }
        buf[n] = '\0';
        return 0;
}

static int take_name(const Parser *p, Span s, const char *what, char ret[static LIMIT_NAME_MAX + 1])
{
        char name[LIMIT_NAME_MAX + 1];
        int r;

        if (s.size == 0)
                return refuse(p, s.start, "the %s is missing", what);
        r = decode(p, s, what, name, sizeof(name));
        if (r < 0)
                return r;
        if (!name_is_valid(name))
                return refuse(p, s.start,
                                "that is no %s: a-z, 0-9, and - between; at most %u characters",
                                what, LIMIT_NAME_MAX);
        memcpy(ret, name, sizeof(name));
        return 0;
}

static int take_type(const Parser *p, Span s, Reference *ref)
{
        int r;

        if (s.size == 0)
                return refuse(p, s.start, "the type is missing");
        if (memchr(s.start, '@', s.size))
                return refuse(p, s.start, "a reference has no user");
        if (memchr(s.start, ':', s.size))
                return refuse(p, s.start, "a reference has no port");
        r = decode(p, s, "type", ref->type, sizeof(ref->type));
        if (r < 0)
                return r;
        if (p->rune && streq(ref->type, "configmap"))
                (void) snprintf(ref->type, sizeof(ref->type), "config");
        if (!type_is_valid(ref->type))
                return refuse(p, s.start,
                                "that is no type: a letter, then a-z, 0-9, - and _; at most %u "
                                "characters",
                                LIMIT_NAME_MAX - 1);
        return 0;
}

static int take_key(const Parser *p, Span s, Reference *ref)
{
        char key[LIMIT_REFERENCE_KEY + 1];
        int r;

        if (s.size == 0)
                return refuse(p, s.start, "the key is missing; without one, leave out the slash");
        r = decode(p, s, "key", key, sizeof(key));
        if (r < 0)
                return r;
        if (!utf8_is_valid(key, strlen(key)))
                return refuse(p, s.start, "the key is not UTF-8");
        return free_and_strdup(&ref->key, key);
}

/* ---- tank://TYPE/NAMESPACE/NAME ------------------------------------------------------------ */

enum { URI_PARTS_MAX = 5 };

/* How many there are, at most one more than there may be, which stays uncut. */
static size_t split(const char *s, Span ret[static URI_PARTS_MAX + 1])
{
        size_t n = 0;

        for (;;) {
                size_t size = n < URI_PARTS_MAX ? strcspn(s, "/") : strlen(s);

                ret[n++] = (Span){ s, size };
                if (!s[size])
                        return n;
                s += size + 1;
        }
}

static int parse_uri(const Parser *p, const char *rest, Reference *ref)
{
        Span parts[URI_PARTS_MAX + 1];
        size_t odd = strcspn(rest, "?#"), n = split(rest, parts);
        bool by_id;
        int r;

        if (rest[odd])
                return refuse(p, rest + odd, "a reference has no %s; in a key, %c is %%%02X",
                                rest[odd] == '?' ? "query" : "fragment", rest[odd],
                                (unsigned) rest[odd]);
        r = take_type(p, parts[0], ref);
        if (r < 0)
                return r;
        if (n < 3)
                return refuse(p, rest + strlen(rest),
                                "behind the type stand /NAMESPACE/NAME; an object outside of "
                                "namespaces is TYPE:NAME");
        by_id = n > 3 && span_is(parts[2], "id");
        if (n > (by_id ? 5 : 4))
                return refuse(p, parts[by_id ? 5 : 4].start,
                                "there are too many parts; in a key, / is %%2F");
        r = take_name(p, parts[1], "namespace", ref->namespace);
        if (r >= 0)
                r = by_id ? take_name(p, parts[3], "id", ref->id)
                          : take_name(p, parts[2], "name", ref->name);
        if (r >= 0 && n == (by_id ? 5 : 4))
                r = take_key(p, parts[n - 1], ref);
        return r;
}

/* ---- TYPE:NAME.NAMESPACE.tank -------------------------------------------------------------- */

/* Cuts @suffix off, if it is there. */
static bool span_cut(Span *s, const char *suffix)
{
        size_t n = strlen(suffix);

        if (s->size < n || memcmp(s->start + s->size - n, suffix, n) != 0)
                return false;
        s->size -= n;
        return true;
}

static int parse_full_name(const Parser *p, Span s, Reference *ref)
{
        const char *dot = memrchr(s.start, '.', s.size);
        Span namespace;
        int r;

        if (!dot)
                return refuse(p, s.start,
                                "before .%s stand a name and a namespace: "
                                "NAME.NAMESPACE.%s",
                                p->rune ? "rune" : "tank", p->rune ? "rune" : "tank");
        namespace = (Span){ dot + 1, (size_t) (s.start + s.size - dot) - 1 };
        s.size = (size_t) (dot - s.start);
        r = take_name(p, s, "name", ref->name);
        return r < 0 ? r : take_name(p, namespace, "namespace", ref->namespace);
}

static int parse_short(Parser *p, Reference *ref)
{
        const char *s = p->text, *colon = strchr(s, ':'), *slash = strchr(s, '/');
        bool full;
        Span type, name;
        int r;

        if (!colon || (slash && slash < colon))
                return refuse(p, s,
                                "one is tank://TYPE/NAMESPACE/NAME, TYPE:NAME.NAMESPACE.tank or "
                                "TYPE:NAME");
        type = (Span){ s, (size_t) (colon - s) };
        if (startswith(colon, "://"))
                return refuse(p, s, "the scheme is tank, in lower case");
        name = (Span){ colon + 1, slash ? (size_t) (slash - colon) - 1 : strlen(colon + 1) };
        full = span_cut(&name, ".tank");
        if (!full)
                full = p->rune = span_cut(&name, ".rune");

        r = take_type(p, type, ref);
        if (r < 0)
                return r;
        if (full)
                r = parse_full_name(p, name, ref);
        else if (memchr(name.start, '.', name.size))
                r = refuse(p, name.start, "with a namespace it is NAME.NAMESPACE.tank");
        else
                r = take_name(p, name, "name", ref->name);
        if (r >= 0 && slash)
                r = take_key(p, (Span){ slash + 1, strlen(slash + 1) }, ref);
        return r;
}

int reference_parse(const char *s, Reference *ret, sd_bus_error *reterr)
{
        CLEANUP(reference_done) Reference ref = {};
        Parser p = { .text = s, .error = reterr };
        const char *tank, *rune;
        int r;

        if (strnlen(s, LIMIT_REFERENCE + 1) > LIMIT_REFERENCE)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "a reference has at most %u bytes", LIMIT_REFERENCE);
        if (!utf8_is_valid(s, strlen(s)))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "a reference is UTF-8 text; other bytes are written as %%XX");
        tank = startswith(s, "tank://");
        rune = startswith(s, "rune://");
        p.rune = rune != NULL;
        r = tank || rune ? parse_uri(&p, tank ? tank : rune, &ref) : parse_short(&p, &ref);
        if (r >= 0 && type_is_global(ref.type) && ref.namespace[0])
                r = refuse(&p, s, "a %s stands outside of namespaces: %s:NAME", ref.type, ref.type);
        if (r < 0)
                return r;
        *ret = ref;
        ref = (Reference){};
        return 0;
}

/* ---- back ---------------------------------------------------------------------------------- */

static bool is_unreserved(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_' || c == '~';
}

static char *encode(char *to, const char *s)
{
        for (; *s; s++)
                if (is_unreserved(*s))
                        *to++ = *s;
                else
                        to += sprintf(to, "%%%02X", (unsigned) (unsigned char) *s);
        *to = '\0';
        return to;
}

int reference_format(const Reference *r, char **ret)
{
        bool by_id = r->id[0] != '\0';
        char *s, *p;

        assert(r->type[0] && (by_id ? !r->name[0] && r->namespace[0] : r->name[0]));
        s = malloc(sizeof("tank://") + 4 * sizeof(r->type) + 3 * strlen(strempty(r->key)));
        if (!s)
                return -ENOMEM;
        if (!r->namespace[0])
                p = s + sprintf(s, "%s:%s", r->type, r->name);
        else if (by_id)
                p = s + sprintf(s, "tank://%s/%s/id/%s", r->type, r->namespace, r->id);
        else
                p = s + sprintf(s, "tank://%s/%s/%s", r->type, r->namespace,
                                        r->key && streq(r->name, "id") ? "%69d" : r->name);
        if (r->key) {
                *p++ = '/';
                (void) encode(p, r->key);
        }
        *ret = s;
        return 0;
}
