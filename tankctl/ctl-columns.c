/* SPDX-License-Identifier: Apache-2.0 */

#include <strings.h>

#include "clock.h"
#include "ctl-columns.h"
#include "ctl-quota.h"
#include "ctl-resource.h"
#include "ctl-text.h"
#include "document.h"
#include "names.h"
#include "quantity.h"
#include "strv.h"

typedef enum ColumnFlags {
        COLUMN_ALWAYS = 1 << 0, /* in every table */
        COLUMN_WIDE = 1 << 1,   /* with -o wide */
        COLUMN_ALL_NS = 1 << 2, /* with --all-namespaces */
        COLUMN_AGE = 1 << 3,    /* a time, shown as the time since then */
        COLUMN_STATE = 1 << 4,  /* in the colour of that state */
} ColumnFlags;

typedef struct Column {
        const char *title;
        const char *path; /* of the field that it shows, NULL: @value makes it */
        unsigned flags;
        json_t *(*value)(const json_t *doc); /* a new one, or NULL */
        const char *type;                    /* NULL: of every type */
} Column;

struct Columns {
        Column *items;
        size_t n;
        const char **titles;
        char **owned; /* paths that were given */
};

/* ---- what stands in them ------------------------------------------------------------------- */

static const json_t *containers_of(const json_t *doc)
{
        return json_object_get(json_object_get(doc, "status"), "containers");
}

static const json_t *init_containers_of(const json_t *doc)
{
        return json_object_get(json_object_get(doc, "status"), "init_containers");
}

static json_t *value_ready(const json_t *doc)
{
        const json_t *containers = containers_of(doc);
        size_t ready = 0, declared = json_array_size(json_object_get(doc, "containers")), i;
        json_t *c;

        json_array_foreach (containers, i, c)
                ready += json_get_bool(c, "ready", false);
        return json_sprintf("%zu/%zu", ready, MAX(json_array_size(containers), declared));
}

static json_t *value_restarts(const json_t *doc)
{
        int64_t restarts = 0;
        json_t *c;
        size_t i;

        json_array_foreach (init_containers_of(doc), i, c)
                restarts += json_get_int(c, "restarts", 0);
        json_array_foreach (containers_of(doc), i, c)
                restarts += json_get_int(c, "restarts", 0);
        return json_integer(restarts);
}

/* Adds a field of @containers to @joined, which is consumed. */
static json_t *join_containers(json_t *joined, const json_t *containers, const char *field)
{
        json_t *c;
        size_t i;

        json_array_foreach (containers, i, c) {
                const json_t *v = json_object_get(c, field);
                json_t *old = joined;

                if (json_is_integer(v) && json_integer_value(v) > 0)
                        joined = json_sprintf("%s%s%lld", strempty(json_string_value(old)),
                                        old ? "," : "", (long long) json_integer_value(v));
                else if (json_is_string(v) && *json_string_value(v))
                        joined = json_sprintf("%s%s%s", strempty(json_string_value(old)),
                                        old ? "," : "", json_string_value(v));
                else
                        continue;
                json_decref(old);
        }
        return joined;
}

static json_t *value_pids(const json_t *doc)
{
        return join_containers(join_containers(NULL, init_containers_of(doc), "pid"),
                        containers_of(doc), "pid");
}

static json_t *value_images(const json_t *doc)
{
        return join_containers(NULL, containers_of(doc), "image");
}

static json_t *value_labels(const json_t *doc)
{
        json_t *joined = NULL, *value;
        const char *key;

        json_object_foreach (json_object_get(doc, "labels"), key, value) {
                json_t *old = joined;

                joined = json_sprintf("%s%s%s=%s", strempty(json_string_value(old)), old ? "," : "",
                                key, strempty(json_string_value(value)));
                json_decref(old);
        }
        return joined;
}

/* In the order of the table; the first of a title that fits the type counts. */
static const Column known[] = {
        { "NAMESPACE", ".namespace", COLUMN_ALL_NS, NULL, NULL },
        { "NAME", ".name", COLUMN_ALWAYS, NULL, NULL },
        { "READY", NULL, COLUMN_ALWAYS, value_ready, "pod" },
        { "STATE", ".status.state", COLUMN_ALWAYS | COLUMN_STATE, NULL, "pod" },
        { "REASON", ".status.reason", COLUMN_ALWAYS, NULL, "pod" },
        { "RESTARTS", NULL, COLUMN_ALWAYS, value_restarts, "pod" },
        { "OBJECTS", NULL, COLUMN_ALWAYS, namespace_objects, "namespace" },
        { "SIZE", NULL, COLUMN_ALWAYS, namespace_size, "namespace" },
        { "AGE", ".meta.created", COLUMN_ALWAYS | COLUMN_AGE, NULL, NULL },
        { "GENERATION", ".meta.generation", COLUMN_WIDE, NULL, NULL },
        { "UID", ".meta.uid", COLUMN_WIDE, NULL, NULL },
        { "MESSAGE", ".status.message", COLUMN_WIDE, NULL, "pod" },
        { "PID", NULL, 0, value_pids, "pod" },
        { "IMAGE", NULL, 0, value_images, "pod" },
        { "RESTART-AT", ".status.restart_at", 0, NULL, "pod" },
        { "LABELS", NULL, 0, value_labels, NULL },
        { "REVISION", ".meta.revision", 0, NULL, NULL },
        { "CREATED", ".meta.created", 0, NULL, NULL },
        { "UPDATED", ".meta.updated", 0, NULL, NULL },
};

/* Borrowed, or NULL. */
static const json_t *lookup(const json_t *doc, const char *path)
{
        const json_t *v = doc;

        while (v && *path) {
                size_t n = strcspn(path + 1, ".");
                char name[512];
                uint64_t at;

                if (n >= sizeof(name))
                        return NULL;
                memcpy(name, path + 1, n);
                name[n] = '\0';
                path += 1 + n;
                if (json_is_array(v))
                        v = parse_u64(name, &at) >= 0 ? json_array_get(v, (size_t) at) : NULL;
                else {
                        const json_t *whole = json_object_get(v, name);

                        /* Keys of labels have dots: ".labels.example.org/tier". */
                        if (!whole && json_object_get(v, path - n))
                                return json_object_get(v, path - n);
                        v = whole;
                }
        }
        return v;
}

static json_t *column_value(const Column *c, const json_t *doc)
{
        return c->value ? c->value(doc) : json_incref((json_t *) lookup(doc, c->path));
}

/* NULL: out of memory. */
static char *value_text(const json_t *v)
{
        char *text;

        if (!v || json_is_null(v))
                return strdup("");
        if (json_is_string(v))
                return strdup(json_string_value(v));
        text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        return text;
}

/* ---- choosing ------------------------------------------------------------------------------ */

static bool is_path(const char *word)
{
        return *word == '.' && word[1] && !strstr(word, "..") && word[strlen(word) - 1] != '.';
}

void columns_list(const char *type, void (*each)(const char *title, void *userdata), void *userdata)
{
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (!known[i].type || streq(known[i].type, type))
                        each(known[i].title, userdata);
}

static int unknown_column(const char *type, const char *word)
{
        size_t length = 0;
        char all[256] = "";

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                if (known[i].type && !streq(known[i].type, type))
                        continue;
                length += (size_t) snprintf(all + length, sizeof(all) - length, "%s%s",
                                length > 0 ? ", " : "", known[i].title);
                assert(length < sizeof(all));
        }
        return ctl_usage_error("%s has no column \"%s\": %s, or the path of a field like "
                               ".meta.revision",
                        type, WORD(word), all);
}

/* By title, in upper or lower case, or by path, which is then borrowed. */
static int column_find(const char *type, const char *word, Column *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (strcasecmp(known[i].title, word) == 0 &&
                                (!known[i].type || streq(known[i].type, type))) {
                        *ret = known[i];
                        return 0;
                }
        if (!is_path(word))
                return unknown_column(type, word);
        *ret = (Column){ .title = word, .path = word };
        return 0;
}

static void choose(Columns *c, const Column *column)
{
        c->titles[c->n] = column->title;
        c->items[c->n++] = *column;
}

static int choose_named(Columns *c, const char *type, const char *words)
{
        CLEANUP_FREE char *copy = strdup(words);
        char *rest = copy, *word;
        int r;

        if (!copy)
                return ctl_oom();
        while ((word = strsep(&rest, ",")))
                if (strv_append(&c->owned, word) < 0)
                        return ctl_oom();
        STRV_FOREACH(i, c->owned)
        {
                Column column;

                r = column_find(type, *i, &column);
                if (r != 0)
                        return r;
                choose(c, &column);
        }
        return 0;
}

int columns_new(const Arguments *a, const char *type, Columns **ret)
{
        CLEANUP(columns_freep) Columns *c = calloc(1, sizeof(Columns));
        size_t room = ARRAY_SIZE(known) + 1 + (a->columns ? strlen(a->columns) : 0);
        unsigned wanted = COLUMN_ALWAYS | (a->output == OUTPUT_WIDE ? COLUMN_WIDE : 0) |
                          (a->all_namespaces && !type_is_global(type) ? COLUMN_ALL_NS : 0);
        int r;

        if (!c)
                return ctl_oom();
        c->items = calloc(room, sizeof(Column));
        c->titles = calloc(room + 1, sizeof(char *));
        if (!c->items || !c->titles)
                return ctl_oom();
        if (a->columns) {
                r = choose_named(c, type, a->columns);
                if (r != 0)
                        return r;
        } else
                for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                        if ((known[i].flags & wanted) &&
                                        (!known[i].type || streq(known[i].type, type)))
                                choose(c, &known[i]);
        *ret = TAKE_PTR(c);
        return 0;
}

Columns *columns_free(Columns *c)
{
        if (!c)
                return NULL;
        free(c->items);
        free(c->titles);
        strv_free(c->owned);
        free(c);
        return NULL;
}

/* ---- showing ------------------------------------------------------------------------------- */

const char *const *columns_titles(const Columns *c)
{
        return c->titles;
}

void columns_add_row(const Columns *c, Table *t, const json_t *doc)
{
        for (size_t i = 0; i < c->n; i++) {
                CLEANUP_JSON json_t *v = column_value(&c->items[i], doc);
                CLEANUP_FREE char *text = value_text(v);
                unsigned flags = c->items[i].flags;
                char age[FORMAT_DURATION_SIZE];

                if (!text)
                        table_add(t, "(out of memory)", COLOR_NONE);
                else if (flags & COLUMN_AGE)
                        table_add(t, age_since(text, age), COLOR_NONE);
                else
                        table_add(t, text,
                                        flags & COLUMN_STATE ? color_of_state(text) : COLOR_NONE);
        }
}

json_t *columns_row(const Columns *c, const json_t *doc)
{
        json_t *row = json_array();

        for (size_t i = 0; row && i < c->n; i++) {
                json_t *v = column_value(&c->items[i], doc);

                if (json_array_append_new(row, v ? v : json_null()) < 0) {
                        json_decref(row);
                        return NULL;
                }
        }
        return row;
}

/* ---- sorting ------------------------------------------------------------------------------- */

typedef struct SortItem {
        json_t *key, *doc; /* key: owned or NULL */
        size_t at;
        int sign;
} SortItem;

static int rank(const json_t *v)
{
        if (!v || json_is_null(v))
                return 3;
        return json_is_number(v) ? 0 : json_is_string(v) ? 1 : 2;
}

static int compare_values(const json_t *a, const json_t *b)
{
        if (json_is_integer(a) && json_is_integer(b))
                return (json_integer_value(a) > json_integer_value(b)) -
                       (json_integer_value(a) < json_integer_value(b));
        if (json_is_number(a))
                return (json_number_value(a) > json_number_value(b)) -
                       (json_number_value(a) < json_number_value(b));
        if (json_is_string(a))
                return strcmp(json_string_value(a), json_string_value(b));
        if (json_is_boolean(a) && json_is_boolean(b))
                return json_is_true(a) - json_is_true(b);
        return 0;
}

static int compare_items(const void *left, const void *right)
{
        const SortItem *a = left, *b = right;
        int c = rank(a->key) - rank(b->key);

        /* What has nothing there stands last in either direction. */
        if (c != 0)
                return rank(a->key) == 3 || rank(b->key) == 3 ? c : c * a->sign;
        c = a->key ? compare_values(a->key, b->key) * a->sign : 0;
        return c != 0 ? c : (a->at > b->at) - (a->at < b->at);
}

int documents_sort(json_t *docs, const char *type, const char *by)
{
        size_t n = json_array_size(docs);
        CLEANUP_FREE SortItem *items = NULL;
        int sign = *by == '-' ? -1 : 1, r;
        Column column;

        r = column_find(type, by + (*by == '-'), &column);
        if (r != 0)
                return r;
        if (column.flags & COLUMN_AGE)
                sign = -sign; /* the youngest first: the time of making, from behind */
        items = calloc(MAX(n, (size_t) 1), sizeof(SortItem));
        if (!items)
                return ctl_oom();
        for (size_t i = 0; i < n; i++)
                items[i] = (SortItem){
                        .key = column_value(&column, json_array_get(docs, i)),
                        .doc = json_incref(json_array_get(docs, i)),
                        .at = i,
                        .sign = sign,
                };
        qsort(items, n, sizeof(SortItem), compare_items);
        for (size_t i = 0; i < n; i++) {
                (void) json_array_set_new(docs, i, items[i].doc); /* cannot fail: it is there */
                json_decref(items[i].key);
        }
        return 0;
}

int documents_store_order(const char *type, const char *by, bool one_namespace, const char **ret)
{
        static const struct {
                const char *path, *forwards, *backwards;
        } orders[] = {
                { ".name", "name", "-name" },
                { ".meta.created", "created", "-created" },
                { ".meta.updated", "updated", "-updated" },
                { ".meta.revision", "revision", "-revision" },
        };
        bool backwards = *by == '-';
        Column column;
        int r;

        r = column_find(type, by + backwards, &column);
        if (r != 0)
                return r;
        if (column.flags & COLUMN_AGE)
                backwards = !backwards;
        *ret = NULL;
        /* By name alone the store sorts within a namespace only. */
        for (size_t i = one_namespace ? 0 : 1; column.path && i < ARRAY_SIZE(orders); i++)
                if (streq(column.path, orders[i].path))
                        *ret = backwards ? orders[i].backwards : orders[i].forwards;
        return 0;
}
