/* SPDX-License-Identifier: Apache-2.0 */

/* A walk over two values at once. Paths are built in one buffer that grows and shrinks with it. */

#include <stdarg.h>

#include "ctl-diff.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "document.h"

typedef struct Diff {
        FILE *f; /* NULL: only count */
        bool colors;
        char path[1024]; /* cut when it is longer: it is for people */
        size_t length;
        int n, error;
} Diff;

static void path_push(Diff *d, const char *format, ...) PRINTF_LIKE(2, 3);

static void path_push(Diff *d, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(d->path + d->length, sizeof(d->path) - d->length, format, ap);
        va_end(ap);
        d->length = MIN(d->length + (size_t) MAX(n, 0), sizeof(d->path) - 1);
}

static void path_pop(Diff *d, size_t to)
{
        d->length = to;
        d->path[to] = '\0';
}

static char *value_text(Diff *d, const json_t *v)
{
        char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

        if (!text)
                d->error = -ENOMEM;
        return text;
}

static void print_sign(FILE *f, bool colors, char sign)
{
        const char *color = sign == '+' ? "\033[32m" : sign == '-' ? "\033[31m" : "\033[33m";

        fprintf(f, "%s  %c ", colors ? color : "", sign);
}

static void print_line(Diff *d, const json_t *old, const json_t *new)
{
        CLEANUP_FREE char *before = old ? value_text(d, old) : NULL;
        CLEANUP_FREE char *after = new ? value_text(d, new) : NULL;
        char sign = !old ? '+' : !new ? '-' : '~';

        d->n++;
        if (!d->f || d->error < 0)
                return;
        print_sign(d->f, d->colors, sign);
        print_neutral(d->f, d->path);
        fputs(": ", d->f);
        if (before)
                print_neutral(d->f, before);
        if (before && after)
                fputs(" -> ", d->f);
        if (after)
                print_neutral(d->f, after);
        fprintf(d->f, "%s\n", d->colors ? "\033[0m" : "");
}

static void diff_values(Diff *d, const json_t *old, const json_t *new);

static void diff_objects(Diff *d, const json_t *old, const json_t *new)
{
        size_t here = d->length;
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *) old, key, value) {
                path_push(d, "%s%s", here > 0 ? "." : "", key);
                diff_values(d, value, json_object_get(new, key));
                path_pop(d, here);
        }
        json_object_foreach ((json_t *) new, key, value) {
                if (json_object_get(old, key))
                        continue;
                path_push(d, "%s%s", here > 0 ? "." : "", key);
                diff_values(d, NULL, value);
                path_pop(d, here);
        }
}

static bool all_named(const json_t *list)
{
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (!json_get_string(v, "name"))
                        return false;
        return json_array_size(list) > 0;
}

static const json_t *find_named(const json_t *list, const char *name)
{
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq_ptr(json_get_string(v, "name"), name))
                        return v;
        return NULL;
}

static void diff_named(Diff *d, const json_t *old, const json_t *new)
{
        size_t here = d->length, i;
        json_t *v;

        json_array_foreach (old, i, v) {
                const char *name = json_get_string(v, "name");

                path_push(d, "[%s]", name);
                diff_values(d, v, find_named(new, name));
                path_pop(d, here);
        }
        json_array_foreach (new, i, v) {
                const char *name = json_get_string(v, "name");

                if (find_named(old, name))
                        continue;
                path_push(d, "[%s]", name);
                diff_values(d, NULL, v);
                path_pop(d, here);
        }
}

static void diff_arrays(Diff *d, const json_t *old, const json_t *new)
{
        size_t here = d->length, n = MAX(json_array_size(old), json_array_size(new));
        int before = d->n;

        if (all_named(old) && all_named(new)) {
                diff_named(d, old, new);
                /* Nothing said, and yet not equal: the order. */
                if (d->n == before && !json_equal(old, new))
                        print_line(d, old, new);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                path_push(d, "[%zu]", i);
                diff_values(d, json_array_get(old, i), json_array_get(new, i));
                path_pop(d, here);
        }
}

static void diff_values(Diff *d, const json_t *old, const json_t *new)
{
        if (json_is_object(old) && json_is_object(new))
                diff_objects(d, old, new);
        else if (json_is_array(old) && json_is_array(new))
                diff_arrays(d, old, new);
        else if (!old || !new || !json_equal(old, new))
                print_line(d, old, new);
}

int diff_print(FILE *f, const json_t *old, const json_t *new)
{
        Diff d = { .f = f, .colors = f && colors_wanted(f) };

        if (old)
                diff_values(&d, old, new);
        else
                diff_objects(&d, NULL, new);
        return d.error < 0 ? d.error : d.n;
}

void diff_print_word(FILE *f, char sign, const char *path, const char *key, const char *word)
{
        bool colors = colors_wanted(f);

        print_sign(f, colors, sign);
        print_neutral(f, path);
        fputc('.', f);
        print_neutral(f, key);
        fprintf(f, ": %s%s\n", word, colors ? "\033[0m" : "");
}
