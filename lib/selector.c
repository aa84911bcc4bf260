/* SPDX-License-Identifier: Apache-2.0 */

/* A selector is a list of terms; a term is a path, as steps, with the values of which one has to
 * stand at its end (none: anything), and maybe the opposite of that. A label's path is one step
 * from the labels on. A path only ever goes down, so that a term looks at each value of a document
 * once at most, however many lists it goes through. */

#include "selector.h"

#include <stdarg.h>
#include <stdio.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "names.h"
#include "quantity.h"

#define SPACE     " \t\r\n"
#define FIELD_END ".[]=!<>~*&|,()\"" SPACE /* some as they would be operators elsewhere */
#define LABEL_END "[]=!,()\"" SPACE
#define VALUE_END ",()\"" SPACE

typedef struct Step {
        char *key;     /* of a map; NULL: none */
        bool is_index; /* of a list; with a key that is a number both */
        uint64_t index;
        /* neither: any element of a list */
} Step;

/* Read once: a list in a document may have half a million numbers. */
typedef struct Value {
        char *text;
        bool is_integer, is_real; /* the JSON text of one */
        json_int_t integer;
        double real;
} Value;

typedef struct Term {
        bool negative;
        Step *steps;
        size_t n_steps;
        Value *values; /* none: anything will do */
        size_t n_values;
} Term;

struct Selector {
        bool labels;
        Term *terms;
        size_t n_terms, n_values;
};

Selector *selector_free(Selector *s)
{
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_terms; i++) {
                for (size_t j = 0; j < s->terms[i].n_steps; j++)
                        free(s->terms[i].steps[j].key);
                for (size_t j = 0; j < s->terms[i].n_values; j++)
                        free(s->terms[i].values[j].text);
                free(s->terms[i].steps);
                free(s->terms[i].values);
        }
        free(s->terms);
        free(s);
        return NULL;
}

/* ---- parsing ---- */

typedef struct Parser {
        Selector *selector;
        const char *text, *p;
        sd_bus_error *reterr;
} Parser;

static int parser_fail(const Parser *p, const char *at, const char *format, ...) PRINTF_LIKE(3, 4);

static int parser_fail(const Parser *p, const char *at, const char *format, ...)
{
        char words[256];
        size_t column = 1;
        va_list ap;

        for (const char *c = p->text; c < at; c++)
                column += ((unsigned char) *c & 0xc0) != 0x80; /* characters, not bytes */
        va_start(ap, format);
        (void) vsnprintf(words, sizeof(words), format, ap); /* cut: only words of others are long */
        va_end(ap);
        utf8_repair(words);
        return tank_error_set(p->reterr, TANK_ERROR_INVALID_ARGUMENT, "%s selector, column %zu: %s",
                        p->selector->labels ? "label" : "field", column, words);
}

static int parser_oom(const Parser *p)
{
        return tank_error_set_errno(p->reterr, -ENOMEM, "the selector cannot be read");
}

/* Room for one more at *@array; it is zero. */
static int grow(void **array, size_t n, size_t size)
{
        char *more = reallocarray(*array, n + 1, size);

        if (!more)
                return -ENOMEM;
        memset(more + n * size, 0, size);
        *array = more;
        return 0;
}

static void skip_space(Parser *p)
{
        p->p += strspn(p->p, SPACE);
}

static bool take(Parser *p, const char *word)
{
        const char *rest = startswith(p->p, word);

        if (rest)
                p->p = rest;
        return rest;
}

/* A JSON string, the quote of which is next. */
static int parse_quoted(Parser *p, char **ret)
{
        CLEANUP_JSON json_t *string = NULL;
        const char *end = p->p + 1;

        while (*end && *end != '"')
                end += end[0] == '\\' && end[1] ? 2 : 1;
        if (!*end)
                return parser_fail(p, p->p, "the text in quotes does not end: a quote is missing");
        end++;
        string = json_loadb(p->p, (size_t) (end - p->p), JSON_DECODE_ANY, NULL);
        if (!string)
                return parser_fail(p, p->p,
                                "not a JSON string: a quote in it is \\\", a backslash \\\\");
        *ret = strdup(json_string_value(string));
        if (!*ret)
                return parser_oom(p);
        p->p = end;
        return 0;
}

/* Takes @text. */
static Value make_value(char *text)
{
        Value v = { .text = text };
        char canonical[24], *end;

        v.integer = strtoll(text, NULL, 10);
        (void) snprintf(canonical, sizeof(canonical), "%" JSON_INTEGER_FORMAT, v.integer);
        v.is_integer = streq(canonical, text);
        v.real = strtod(text, &end);
        v.is_real = *text && !*end;
        return v;
}

static int parse_value(Parser *p, Term *t, bool may_be_empty)
{
        CLEANUP_FREE char *value = NULL;
        size_t n;
        int r;

        if (++p->selector->n_values > LIMIT_SELECTOR_VALUES)
                return tank_error_set(p->reterr, TANK_ERROR_TOO_LARGE,
                                "the selector has more than %u values: ask in several parts",
                                LIMIT_SELECTOR_VALUES);
        skip_space(p);
        n = strcspn(p->p, VALUE_END);
        if (*p->p == '"') {
                r = parse_quoted(p, &value);
                if (r < 0)
                        return r;
        } else if (*p->p == '=' || *p->p == '!') {
                return parser_fail(p, p->p,
                                "no value begins with '%c': put it into quotes if this one does",
                                *p->p);
        } else if (n == 0 && !may_be_empty) {
                return parser_fail(p, p->p, "a value is missing: the empty one is \"\"");
        } else {
                value = strndup(p->p, n);
                if (!value)
                        return parser_oom(p);
                p->p += n;
        }
        if (grow((void **) &t->values, t->n_values, sizeof(*t->values)) < 0)
                return parser_oom(p);
        t->values[t->n_values++] = make_value(TAKE_PTR(value));
        return 0;
}

static int parse_values(Parser *p, Term *t)
{
        int r;

        skip_space(p);
        if (!take(p, "("))
                return parser_fail(p, p->p,
                                "expected values in parentheses, as in \"tier in (web,db)\"");
        for (;;) {
                r = parse_value(p, t, false);
                if (r < 0)
                        return r;
                skip_space(p);
                if (take(p, ")"))
                        return 0;
                if (!take(p, ","))
                        return parser_fail(p, p->p,
                                        "expected ',' or ')' behind a value; one with spaces or "
                                        "signs stands in quotes");
        }
}

static int add_step(Parser *p, Term *t, char *key, const char *index)
{
        CLEANUP_FREE char *owned = key;
        Step *s;

        if (t->n_steps >= LIMIT_DOCUMENT_DEPTH)
                return tank_error_set(p->reterr, TANK_ERROR_TOO_LARGE,
                                "no document is deeper than %u levels, the path of the selector is",
                                LIMIT_DOCUMENT_DEPTH);
        if (grow((void **) &t->steps, t->n_steps, sizeof(*t->steps)) < 0)
                return parser_oom(p);
        s = &t->steps[t->n_steps++];
        s->is_index = index && parse_u64(index, &s->index) >= 0;
        s->key = TAKE_PTR(owned);
        return 0;
}

/* `[0]`, `[*]`, `["key"]`, behind the bracket. */
static int parse_bracket(Parser *p, Term *t)
{
        const char *first = p->p;
        char index[21], *key = NULL;
        size_t n;
        int r;

        if (*p->p == '"') {
                r = parse_quoted(p, &key);
                if (r >= 0)
                        r = add_step(p, t, key, NULL);
        } else if (take(p, "*")) {
                r = add_step(p, t, NULL, NULL);
        } else {
                n = strspn(p->p, "0123456789");
                if (n == 0 || n >= 19) /* else it would become any element */
                        return parser_fail(p, p->p,
                                        "between brackets stands a number, * or a key in quotes");
                memcpy(index, p->p, n);
                index[n] = 0;
                p->p += n;
                r = add_step(p, t, NULL, index);
        }
        if (r < 0)
                return r;
        return take(p, "]") ? 0 : parser_fail(p, first, "the bracket is not closed by ']'");
}

static int parse_name(Parser *p, Term *t)
{
        size_t n = strcspn(p->p, p->selector->labels ? LABEL_END : FIELD_END);
        char *key;

        if (n == 0)
                return parser_fail(p, p->p,
                                p->selector->labels ? "the key of a label is missing"
                                                    : "the name of a field is missing");
        key = strndup(p->p, n);
        if (!key)
                return parser_oom(p);
        if (p->selector->labels && !label_key_is_valid(key)) {
                int r = parser_fail(p, p->p,
                                "\"%.80s\" is no key of a label: letters, digits, '-', '_' and "
                                "'.', maybe behind PREFIX/",
                                key);

                free(key);
                return r;
        }
        p->p += n;
        return add_step(p, t, key, p->selector->labels ? NULL : key);
}

static int parse_path(Parser *p, Term *t)
{
        int r;

        if (p->selector->labels)
                return parse_name(p, t);
        (void) take(p, "."); /* as tankctl's columns are written */
        if (*p->p != '[') {
                r = parse_name(p, t);
                if (r < 0)
                        return r;
        }
        for (;;) {
                if (take(p, "["))
                        r = parse_bracket(p, t);
                else if (take(p, "."))
                        r = parse_name(p, t);
                else
                        return 0;
                if (r < 0)
                        return r;
        }
}

/* A word operator, which is followed by a space or its parenthesis. */
static bool take_word(Parser *p, const char *word)
{
        const char *rest = startswith(p->p, word);

        if (!rest || (*rest != '(' && !strchr(SPACE, *rest)))
                return false;
        p->p = rest; /* at the end of the text, too: what follows is then told as missing */
        return true;
}

static int parse_term(Parser *p, Term *t)
{
        const char *first;
        int r;

        skip_space(p);
        first = p->p;
        if (!*p->p || *p->p == ',')
                return parser_fail(p, p->p, "a term is missing");
        t->negative = take(p, "!");
        skip_space(p);
        r = parse_path(p, t);
        if (r < 0)
                return r;
        skip_space(p);
        if (!*p->p || *p->p == ',')
                return 0;
        if (t->negative)
                return parser_fail(p, first,
                                "a term that begins with '!' has nothing behind its key; say "
                                "KEY!=VALUE or KEY notin (VALUE,…)");
        t->negative = take(p, "!=");
        if (t->negative || take(p, "==") || take(p, "="))
                return parse_value(p, t, true);
        t->negative = take_word(p, "notin");
        if (t->negative || take_word(p, "in"))
                return parse_values(p, t);
        return parser_fail(p, p->p, "expected =, ==, !=, in, notin, or a comma");
}

static int parse_terms(Parser *p)
{
        Selector *s = p->selector;
        int r;

        skip_space(p);
        if (!*p->p)
                return 0;
        for (;;) {
                if (s->n_terms >= LIMIT_SELECTOR_TERMS)
                        return tank_error_set(p->reterr, TANK_ERROR_TOO_LARGE,
                                        "the selector has more than %u terms: ask in several parts",
                                        LIMIT_SELECTOR_TERMS);
                if (grow((void **) &s->terms, s->n_terms, sizeof(*s->terms)) < 0)
                        return parser_oom(p);
                r = parse_term(p, &s->terms[s->n_terms++]);
                if (r < 0)
                        return r;
                skip_space(p);
                if (!*p->p)
                        return 0;
                if (!take(p, ","))
                        return parser_fail(p, p->p,
                                        "expected a comma between terms; a value with spaces or "
                                        "signs stands in quotes");
        }
}

static int selector_parse(const char *text, bool labels, Selector **ret, sd_bus_error *reterr)
{
        CLEANUP(selector_freep) Selector *s = NULL;
        size_t n = strnlen(text, LIMIT_SELECTOR_BYTES + 1);
        Parser p = { .text = text, .p = text, .reterr = reterr };
        int r;

        if (n > LIMIT_SELECTOR_BYTES)
                return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                "the selector has more than %u bytes: ask in several parts",
                                LIMIT_SELECTOR_BYTES);
        s = p.selector = calloc(1, sizeof(*s));
        if (!s)
                return tank_error_set_errno(reterr, -ENOMEM, "the selector cannot be read");
        s->labels = labels;
        if (!utf8_is_valid(text, n))
                return parser_fail(&p, text, "the text is not valid UTF-8");
        r = parse_terms(&p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int selector_parse_labels(const char *text, Selector **ret, sd_bus_error *reterr)
{
        return selector_parse(text, true, ret, reterr);
}

int selector_parse_fields(const char *text, Selector **ret, sd_bus_error *reterr)
{
        return selector_parse(text, false, ret, reterr);
}

/* ---- matching ---- */

static bool value_equals(const json_t *v, const Value *wanted)
{
        switch (json_typeof(v)) {
        case JSON_STRING: return streq(json_string_value(v), wanted->text);
        case JSON_INTEGER: return wanted->is_integer && json_integer_value(v) == wanted->integer;
        case JSON_REAL:
                return wanted->is_real && wanted->real >= json_real_value(v) &&
                       wanted->real <= json_real_value(v);
        case JSON_TRUE: return streq(wanted->text, "true");
        case JSON_FALSE: return streq(wanted->text, "false");
        case JSON_NULL: return streq(wanted->text, "null");
        case JSON_OBJECT:
        case JSON_ARRAY: return false;
        }
        return false;
}

/* Whether there is what @t wants, from its @step on at @v. */
static bool term_finds(const Term *t, size_t step, const json_t *v)
{
        const Step *s = &t->steps[step];
        json_t *element;
        size_t i;

        if (!v)
                return false;
        if (step == t->n_steps) {
                for (i = 0; i < t->n_values; i++)
                        if (value_equals(v, &t->values[i]))
                                return true;
                return t->n_values == 0;
        }
        if (s->key && json_is_object(v))
                return term_finds(t, step + 1, json_object_get(v, s->key));
        if (s->is_index)
                return term_finds(t, step + 1, json_array_get(v, (size_t) s->index));
        if (!s->key)
                json_array_foreach (v, i, element)
                        if (term_finds(t, step + 1, element))
                                return true;
        return false;
}

static bool terms_match(const Selector *s, const json_t *root)
{
        for (size_t i = 0; i < s->n_terms; i++)
                if (term_finds(&s->terms[i], 0, root) == s->terms[i].negative)
                        return false;
        return true;
}

bool selector_matches_labels(const Selector *s, const json_t *labels)
{
        assert(!s || s->labels);
        return !s || terms_match(s, labels);
}

bool selector_matches(const Selector *s, const json_t *document)
{
        if (!s)
                return true;
        return terms_match(s, s->labels ? json_object_get(document, "labels") : document);
}

bool selector_looks_at(const Selector *s, const char *field)
{
        for (size_t i = 0; s && !s->labels && i < s->n_terms; i++)
                if (streq_ptr(s->terms[i].steps[0].key, field))
                        return true;
        return false;
}
