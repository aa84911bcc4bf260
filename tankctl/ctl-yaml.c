/* SPDX-License-Identifier: Apache-2.0 */

/* libyaml's events become jansson values; nothing else of YAML reaches the rest of tank.
 *
 * What is understood is the 1.2 core schema, narrowed to what means the same to everybody: `true`
 * and `false` alone are booleans, a number with a leading zero is text, tags and merge keys are
 * refused. Aliases are expanded, counted in nodes, so that nothing grows without bound. Where
 * everything stands is noted beside the value, in ctl-yaml-document.c. */

#include <stdio.h>
#include <yaml.h>

#include "ctl-yaml.h"
#include "ctl-yaml-document.h"
#include "ctl-yaml-json.h"
#include "limit.h"

#define SIMPLE_KEY_MAX 1024U /* characters, quotes too: YAML's own bound, which libyaml keeps */

typedef struct Anchor {
        char *name;
        json_t *value;
        size_t n_nodes, n_bytes, depth;
} Anchor;

/* A mapping or sequence that is being read. Its value belongs to its own parent already. */
typedef struct Frame {
        json_t *value;
        size_t node;
        char *anchor;
        char *key; /* read, its value not yet */
        YamlPosition key_at;
} Frame;

struct YamlReader {
        yaml_parser_t parser;
        const char *text;
        size_t size;
        YamlJoins joins; /* what @text is of, when it was not read as it is */
        bool finished;
        bool splits, in_list;
        size_t key_index;   /* in characters: where the last key began, */
        size_t empty_index; /* and where the last value that nobody wrote stands */
        YamlPosition key_at;

        /* of the document that is being read */
        YamlDocument *document;
        Frame frames[LIMIT_DOCUMENT_DEPTH];
        size_t n_frames;
        Anchor *anchors;
        size_t n_anchors;
        size_t n_bytes;       /* lower bound of the document's size as JSON text */
        size_t n_alias_nodes; /* made by aliases */
};

static int fail(YamlError *e, YamlPosition at, const char *format, ...) PRINTF_LIKE(3, 4);

static int fail(YamlError *e, YamlPosition at, const char *format, ...)
{
        va_list ap;

        e->position = at;
        va_start(ap, format);
        (void) vsnprintf(e->message, sizeof(e->message), format, ap);
        va_end(ap);
        return -EINVAL;
}

static int fail_tag(YamlError *e, YamlPosition at, const char *tag)
{
        const char *core = startswith(tag, "tag:yaml.org,2002:"); /* what "!!" stands for */

        return fail(e, at, "the tag %s%.40s is not understood: remove it", core ? "!!" : "",
                        core ? core : tag);
}

static YamlPosition position_of(const YamlReader *r, const yaml_mark_t *mark)
{
        return yaml_joins_position(&r->joins, (YamlPosition){ mark->line + 1, mark->column + 1 });
}

/* Where a byte stands, for errors that libyaml tells as an offset. */
static YamlPosition position_of_byte(const char *text, size_t size, size_t offset)
{
        YamlPosition p = { 1, 1 };

        for (size_t i = 0; i < MIN(offset, size); i++)
                if (text[i] == '\n')
                        p = (YamlPosition){ p.line + 1, 1 };
                else if (((unsigned char) text[i] & 0xc0) != 0x80)
                        p.column++;
        return p;
}

/* YAML 1.1 breaks lines at U+0085, U+2028 and U+2029, which JSON and YAML 1.2 have as text. libyaml
 * does so, and would fold "a\u2028b" into "a b" and end a comment there. */
static const char *find_foreign_break(const char *text, size_t size)
{
        static const char *const breaks[] = { "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };
        const char *first = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
                const char *p = memmem(text, size, breaks[i], strlen(breaks[i]));

                if (p && (!first || p < first))
                        first = p;
        }
        return first;
}

static int fail_control(YamlError *e, YamlPosition at)
{
        return fail(e, at, "a control character; write it as an escape in double quotes");
}

/* ---- scalars ------------------------------------------------------------------------------- */

static int scalar_integer(const char *s, YamlPosition at, json_t **ret, YamlError *reterr)
{
        const char *digits = s;
        int base = 10;
        long long v;

        if (startswith(s, "0o")) {
                base = 8;
                digits = s + 2;
        } else if (startswith(s, "0x")) {
                base = 16;
                digits = s + 2;
        }
        errno = 0;
        v = strtoll(digits, NULL, base);
        if (errno == ERANGE)
                return fail(reterr, at,
                                "the number %.40s%s does not fit in 64 bits; quote it if it is "
                                "text",
                                s, strlen(s) > 40 ? "…" : "");
        *ret = json_integer(v);
        return *ret ? 0 : -ENOMEM;
}

static int scalar_value(const yaml_event_t *event, YamlPosition at, json_t **ret, YamlError *reterr)
{
        const char *s = (const char *) event->data.scalar.value;
        size_t length = event->data.scalar.length;

        if (memchr(s, 0, length))
                return fail(reterr, at, "text cannot hold a NUL character: remove it");
        if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
                switch (yaml_scalar_classify(s)) {
                case YAML_NULL: *ret = json_null(); return 0;
                case YAML_BOOLEAN: *ret = json_boolean(streq(s, "true")); return 0;
                case YAML_INTEGER: return scalar_integer(s, at, ret, reterr);
                case YAML_FLOAT:
                        *ret = json_real(strtod(s, NULL));
                        if (!*ret)
                                return fail(reterr, at,
                                                "the number %.40s is too large; quote it if it is "
                                                "text",
                                                s);
                        return 0;
                case YAML_UNREPRESENTABLE:
                        return fail(reterr, at,
                                        "%s is no number that can be stored; quote it if it is "
                                        "text",
                                        s);
                case YAML_STRING: break;
                }
        *ret = json_stringn(s, length);
        return *ret ? 0 : -ENOMEM;
}

/* ---- building ------------------------------------------------------------------------------ */

static Frame *reader_top(YamlReader *r)
{
        return r->n_frames > 0 ? &r->frames[r->n_frames - 1] : NULL;
}

static int reader_count(YamlReader *r, size_t bytes, YamlPosition at, YamlError *reterr)
{
        r->n_bytes += bytes;
        if (r->n_bytes > LIMIT_DOCUMENT_MAX)
                return fail(reterr, at,
                                "the document has more than %u bytes up to here: shorten it",
                                LIMIT_DOCUMENT_MAX);
        return 0;
}

/* Puts a finished scalar or alias, or an empty collection, where the next value belongs. Consumes
 * @value. */
static int reader_put_consume(YamlReader *r, json_t *value, YamlPosition at)
{
        Frame *top = reader_top(r);
        YamlNode node;
        int k;

        node = (YamlNode){ .parent = YAML_NO_PARENT, .at = at, .key_at = at };
        if (top) {
                node.parent = top->node;
                node.index = json_array_size(top->value);
        }
        if (top && top->key)
                node.key_at = top->key_at;
        k = yaml_document_add(r->document, &node, top ? top->key : NULL);
        if (k < 0) {
                json_decref(value);
                return k;
        }
        if (!top) {
                r->document->root = value;
                return 0;
        }
        if (top->key) {
                k = json_object_set_new(top->value, top->key, value);
                free(TAKE_PTR(top->key));
        } else
                k = json_array_append_new(top->value, value);
        return k < 0 ? -ENOMEM : 0;
}

static int reader_remember(YamlReader *r, const char *name, const Anchor *as)
{
        Anchor *grown = reallocarray(r->anchors, r->n_anchors + 1, sizeof(Anchor));

        if (!grown)
                return -ENOMEM;
        r->anchors = grown;
        grown[r->n_anchors] = *as;
        grown[r->n_anchors].name = strdup(name);
        if (!grown[r->n_anchors].name)
                return -ENOMEM;
        r->n_anchors++;
        return 0;
}

/* What an alias to @value would add. Its depth is bounded, since it was read. */
static void measure(const json_t *value, Anchor *a, size_t depth)
{
        const char *key;
        json_t *child;
        size_t i;

        a->n_nodes++;
        a->n_bytes++;
        a->depth = MAX(a->depth, depth);
        if (json_is_string(value))
                a->n_bytes += json_string_length(value);
        json_object_foreach ((json_t *) value, key, child) {
                a->n_bytes += strlen(key);
                measure(child, a, depth + 1);
        }
        json_array_foreach (value, i, child)
                measure(child, a, depth + 1);
}

static int reader_anchor(YamlReader *r, const char *name, json_t *value)
{
        Anchor a = { .value = value };

        if (!name)
                return 0;
        measure(value, &a, 0);
        return reader_remember(r, name, &a);
}

static int reader_key(YamlReader *r, const yaml_event_t *event, YamlPosition at, YamlError *reterr)
{
        Frame *top = reader_top(r);
        const char *s = (const char *) event->data.scalar.value;
        size_t length = event->data.scalar.length;

        if (event->data.scalar.anchor)
                return fail(reterr, at, "a key cannot have an anchor: remove it");
        if (memchr(s, 0, length))
                return fail(reterr, at, "a key cannot hold a NUL character: remove it");
        if (length == 0)
                return fail(reterr, at, "a key is missing before \":\"");
        if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && streq(s, "<<"))
                return fail(reterr, at, "merge keys (<<) are not understood; write the keys out");
        if (json_object_get(top->value, s))
                return fail(reterr, at, "duplicate key \"%.60s\", first in line %zu: remove one", s,
                                yaml_document_key_line(r->document, top->node, s));
        top->key = strdup(s);
        if (!top->key)
                return -ENOMEM;
        top->key_at = at;
        return reader_count(r, length + 1, at, reterr);
}

static bool reader_wants_key(YamlReader *r)
{
        Frame *top = reader_top(r);

        return top && json_is_object(top->value) && !top->key;
}

static int on_scalar(YamlReader *r, const yaml_event_t *event, YamlPosition at, YamlError *reterr)
{
        json_t *value = NULL;
        int k;

        if (event->data.scalar.tag)
                return fail_tag(reterr, at, (const char *) event->data.scalar.tag);
        if (reader_wants_key(r)) {
                r->key_index = event->start_mark.index;
                r->key_at = at;
                return reader_key(r, event, at, reterr);
        }
        if (event->start_mark.index == event->end_mark.index)
                r->empty_index = event->start_mark.index;
        k = reader_count(r, event->data.scalar.length + 1, at, reterr);
        if (k < 0)
                return k;
        k = scalar_value(event, at, &value, reterr);
        if (k < 0)
                return k;
        k = reader_anchor(r, (const char *) event->data.scalar.anchor, value);
        if (k < 0) {
                json_decref(value);
                return k;
        }
        return reader_put_consume(r, value, at);
}

static int on_alias(YamlReader *r, const char *name, YamlPosition at, YamlError *reterr)
{
        const Anchor *a = NULL;
        json_t *copy;
        int k;

        if (reader_wants_key(r))
                return fail(reterr, at, "an alias cannot be a key: write the key out");
        for (size_t i = r->n_anchors; i > 0 && !a; i--)
                if (streq(r->anchors[i - 1].name, name))
                        a = &r->anchors[i - 1];
        if (!a)
                return fail(reterr, at,
                                "no finished anchor &%.60s stands before this alias: write the "
                                "value out",
                                name);
        r->n_alias_nodes += a->n_nodes;
        if (r->n_alias_nodes > LIMIT_YAML_ALIAS_NODES)
                return fail(reterr, at,
                                "the aliases of the document make more than %u nodes: write the "
                                "values out",
                                LIMIT_YAML_ALIAS_NODES);
        if (r->n_frames + a->depth > LIMIT_DOCUMENT_DEPTH)
                return fail(reterr, at, "nested deeper than %u levels: flatten it",
                                LIMIT_DOCUMENT_DEPTH);
        k = reader_count(r, a->n_bytes, at, reterr);
        if (k < 0)
                return k;
        copy = json_deep_copy(a->value);
        if (!copy)
                return -ENOMEM;
        return reader_put_consume(r, copy, at);
}

static int on_start(YamlReader *r, json_t *value, const yaml_char_t *tag, const yaml_char_t *anchor,
                YamlPosition at, YamlError *reterr)
{
        char *name = NULL;
        size_t node = r->document->n_nodes;
        int k;

        if (!value)
                return -ENOMEM;
        if (tag)
                k = fail_tag(reterr, at, (const char *) tag);
        else if (reader_wants_key(r))
                k = fail(reterr, at, "a key must be text: a list or map cannot be one");
        else if (r->n_frames == LIMIT_DOCUMENT_DEPTH)
                k = fail(reterr, at, "nested deeper than %u levels: flatten it",
                                LIMIT_DOCUMENT_DEPTH);
        else
                k = reader_count(r, 2, at, reterr);
        if (k < 0) {
                json_decref(value);
                return k;
        }
        if (anchor) {
                name = strdup((const char *) anchor);
                if (!name) {
                        json_decref(value);
                        return -ENOMEM;
                }
        }
        k = reader_put_consume(r, value, at);
        if (k < 0) {
                free(name);
                return k;
        }
        r->frames[r->n_frames++] = (Frame){ .value = value, .node = node, .anchor = name };
        return 0;
}

static int on_end(YamlReader *r)
{
        Frame *top = reader_top(r);
        int k = reader_anchor(r, top->anchor, top->value);

        free(top->anchor);
        r->n_frames--;
        return k;
}

static void reader_reset(YamlReader *r)
{
        for (size_t i = 0; i < r->n_frames; i++) {
                free(r->frames[i].anchor);
                free(r->frames[i].key);
        }
        for (size_t i = 0; i < r->n_anchors; i++)
                free(r->anchors[i].name);
        free(TAKE_PTR(r->anchors));
        r->n_frames = r->n_anchors = r->n_bytes = r->n_alias_nodes = 0;
        r->document = yaml_document_free(r->document);
}

/* ---- reading ------------------------------------------------------------------------------- */

int yaml_reader_new(const char *text, size_t size, YamlReader **ret, YamlError *reterr)
{
        CLEANUP(yaml_reader_freep) YamlReader *r = NULL;
        const char *nul, *foreign;
        int k;

        if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
                return fail(reterr, (YamlPosition){ 1, 1 }, "UTF-16 text; save it as UTF-8");
        if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
                return fail(reterr, (YamlPosition){ 1, 1 },
                                "starts with a byte order mark; save it as UTF-8 without one");
        nul = memchr(text, 0, size);
        if (nul)
                return fail(reterr, position_of_byte(text, size, (size_t) (nul - text)),
                                "a NUL byte; save it as UTF-8 text");
        foreign = find_foreign_break(text, size);
        if (foreign)
                return fail_control(
                                reterr, position_of_byte(text, size, (size_t) (foreign - text)));
        r = calloc(1, sizeof(YamlReader));
        if (!r || !yaml_parser_initialize(&r->parser))
                return -ENOMEM;
        k = yaml_joins_make(text, size, &r->joins);
        if (k < 0)
                return k;
        r->text = k > 0 ? r->joins.text : text;
        r->size = k > 0 ? r->joins.size : size;
        yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&r->parser, (const unsigned char *) r->text, r->size);
        *ret = TAKE_PTR(r);
        return 0;
}

void yaml_reader_split_lists(YamlReader *r)
{
        r->splits = true;
}

YamlReader *yaml_reader_free(YamlReader *r)
{
        if (!r)
                return NULL;
        reader_reset(r);
        yaml_parser_delete(&r->parser);
        yaml_joins_done(&r->joins);
        free(r);
        return NULL;
}

/* libyaml gives a key up when its ":" is too far behind where it began, and then misses something
 * else. Between braces it has told the key already, as one without a value, and now meets the ":";
 * elsewhere the key is its newest token. */
static bool is_long_key(const YamlReader *r, const char *problem, YamlPosition *ret)
{
        const yaml_parser_t *p = &r->parser;
        const yaml_mark_t *given_up;
        const yaml_token_t *newest;

        if (strstr(problem, "expected ',' or '}'")) {
                *ret = r->key_at;
                return r->empty_index == p->problem_mark.index &&
                       r->empty_index > r->key_index + SIMPLE_KEY_MAX;
        }
        if (p->simple_keys.top == p->simple_keys.start || p->tokens.tail == p->tokens.start)
                return false;
        given_up = &p->simple_keys.top[-1].mark;
        newest = &p->tokens.tail[-1];
        *ret = position_of(r, given_up);
        return (strstr(problem, "could not find expected ':'") ||
                               strstr(problem, "mapping values are not allowed")) &&
               p->buffer.pointer < p->buffer.last && *p->buffer.pointer == ':' &&
               newest->type == YAML_SCALAR_TOKEN && newest->start_mark.index == given_up->index &&
               p->mark.line == given_up->line && p->mark.index > given_up->index + SIMPLE_KEY_MAX;
}

static int reader_syntax_error(YamlReader *r, YamlError *reterr)
{
        const yaml_parser_t *p = &r->parser;
        const char *problem = p->problem ? p->problem : "cannot be read";
        YamlPosition at;

        if (p->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (p->error == YAML_READER_ERROR) {
                at = yaml_joins_position(
                                &r->joins, position_of_byte(r->text, r->size, p->problem_offset));
                if (strstr(problem, "control characters"))
                        return fail_control(reterr, at);
                return fail(reterr, at, "no UTF-8 text; save it as UTF-8");
        }
        if (is_long_key(r, problem, &at))
                return fail(reterr, at,
                                "a key has at most %u characters, as it is written: shorten it",
                                SIMPLE_KEY_MAX);
        at = position_of(r, &p->problem_mark);
        if (strstr(problem, "cannot start any token")) {
                /* The parser's own words for it name neither the tab nor the remedy. */
                if (p->buffer.pointer < p->buffer.last && *p->buffer.pointer == '\t')
                        return fail(reterr, at, "a tab cannot indent; use spaces");
                return fail(reterr, at, "a value cannot begin with \"%c\"; quote it",
                                p->buffer.pointer < p->buffer.last ? *p->buffer.pointer : '?');
        }
        reterr->position = at;
        yaml_problem_words(problem, p->context_mark.line + 1, reterr->message);
        return -EINVAL;
}

static int reader_begin(YamlReader *r)
{
        if (!r->document)
                r->document = calloc(1, sizeof(YamlDocument));
        return r->document ? 0 : -ENOMEM;
}

static int on_sequence(YamlReader *r, const yaml_event_t *event, YamlPosition at, YamlError *reterr)
{
        const yaml_char_t *tag = event->data.sequence_start.tag;

        if (!r->splits || r->in_list || r->n_frames > 0)
                return on_start(r, json_array(), tag, event->data.sequence_start.anchor, at,
                                reterr);
        if (tag)
                return fail_tag(reterr, at, (const char *) tag);
        r->in_list = true;
        return 0;
}

static int reader_value(
                YamlReader *r, const yaml_event_t *event, YamlPosition at, YamlError *reterr)
{
        int k = reader_begin(r); /* the one before, in a list, is gone */

        if (k < 0)
                return k;
        switch (event->type) {
        case YAML_SCALAR_EVENT: return on_scalar(r, event, at, reterr);
        case YAML_ALIAS_EVENT:
                return on_alias(r, (const char *) event->data.alias.anchor, at, reterr);
        case YAML_SEQUENCE_START_EVENT: return on_sequence(r, event, at, reterr);
        case YAML_MAPPING_START_EVENT:
                return on_start(r, json_object(), event->data.mapping_start.tag,
                                event->data.mapping_start.anchor, at, reterr);
        default: break;
        }
        if (r->n_frames > 0)
                return on_end(r);
        r->in_list = false;
        return 0;
}

/* 1: the document is complete. */
static int reader_event(YamlReader *r, const yaml_event_t *event, YamlError *reterr)
{
        YamlPosition at = position_of(r, &event->start_mark);
        int k;

        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (event->data.document_start.tag_directives.start !=
                                event->data.document_start.tag_directives.end)
                        return fail(reterr, at, "tag directives are not understood: remove them");
                return reader_begin(r);
        case YAML_SCALAR_EVENT:
        case YAML_ALIAS_EVENT:
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                k = reader_value(r, event, at, reterr);
                return k < 0 ? k : r->in_list && r->n_frames == 0 && r->document->root;
        case YAML_DOCUMENT_END_EVENT: return r->document && r->document->root;
        case YAML_STREAM_END_EVENT: r->finished = true; return 0;
        case YAML_NO_EVENT:
        case YAML_STREAM_START_EVENT: break;
        }
        return 0;
}

int yaml_reader_next(YamlReader *r, YamlDocument **ret, YamlError *reterr)
{
        while (!r->finished) {
                yaml_event_t event;
                int k;

                if (!yaml_parser_parse(&r->parser, &event)) {
                        r->finished = true;
                        return reader_syntax_error(r, reterr);
                }
                k = reader_event(r, &event, reterr);
                yaml_event_delete(&event);
                if (k < 0) {
                        r->finished = true;
                        return k;
                }
                if (k == 0)
                        continue;
                if (!json_is_null(r->document->root) || r->in_list) {
                        *ret = TAKE_PTR(r->document);
                        reader_reset(r);
                        return 1;
                }
                reader_reset(r); /* only comments between two separators */
        }
        return 0;
}
