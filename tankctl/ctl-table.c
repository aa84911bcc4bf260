/* SPDX-License-Identifier: Apache-2.0 */

/* Tables, and text made harmless. Cells are kept as they were given and neutralised when they are
 * printed, so widths are counted on what is shown. */

#include <stdarg.h>
#include <unistd.h>

#include "ctl-table.h"
#include "names.h"
#include "state.h"

typedef struct Cell {
        char *text;
        Color color;
} Cell;

struct Table {
        const char *const *titles;
        size_t n_columns;
        Cell *cells;
        size_t n_cells, n_allocated;
        int error;
};

/* The length of the printable UTF-8 sequence that @s begins with; 0: it begins with none. C1
 * controls are as dangerous to a terminal as C0 ones. */
static size_t printable_sequence(const unsigned char *s)
{
        size_t n;

        if (s[0] < 0x80)
                return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
        n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if (!utf8_is_valid((const char *) s, n) || (s[0] == 0xc2 && s[1] < 0xa0))
                return 0;
        return n;
}

/* @text made harmless, in characters that are shown; NULL: out of memory. */
static char *neutralise(const char *text, bool keep_newline, size_t *ret_width)
{
        char *result = malloc(strlen(text) * 4 + 1), *out = result;
        size_t width = 0;

        if (!result)
                return NULL;
        while (*text) {
                size_t n = printable_sequence((const unsigned char *) text);

                if (n == 0 && *text == '\n' && keep_newline)
                        n = 1;
                if (n > 0) {
                        out = mempcpy(out, text, n);
                        text += n;
                        width++;
                } else {
                        static const char digits[] = "0123456789abcdef";
                        unsigned char c = (unsigned char) *text++;

                        *out++ = '\\';
                        *out++ = 'x';
                        *out++ = digits[c >> 4];
                        *out++ = digits[c & 15];
                        width += 4;
                }
        }
        *out = '\0';
        if (ret_width)
                *ret_width = width;
        return result;
}

void print_neutral(FILE *f, const char *text)
{
        CLEANUP_FREE char *harmless = neutralise(text, true, NULL);

        fputs(harmless ? harmless : "(out of memory)", f);
}

bool colors_wanted(FILE *f)
{
        const char *term = getenv("TERM");

        return isatty(fileno(f)) && isempty(getenv("NO_COLOR")) && !isempty(term) &&
               !streq(term, "dumb");
}

Color color_of_state(const char *state)
{
        RunState s = run_state_from_string(state);

        if (s < 0)
                return COLOR_NONE;
        switch (s) {
        case RUN_RUNNING: return COLOR_GOOD;
        case RUN_WAITING:
        case RUN_CREATING:
        case RUN_STOPPING: return COLOR_PENDING;
        case RUN_FAILED: return COLOR_BAD;
        case RUN_EXITED:
        case _RUN_STATE_MAX:
        case _RUN_STATE_INVALID: break;
        }
        return COLOR_NONE;
}

int table_new(const char *const *titles, Table **ret)
{
        Table *t = calloc(1, sizeof(Table));

        if (!t)
                return -ENOMEM;
        t->titles = titles;
        while (titles[t->n_columns])
                t->n_columns++;
        *ret = t;
        return 0;
}

Table *table_free(Table *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

void table_add(Table *t, const char *text, Color color)
{
        if (t->n_cells == t->n_allocated) {
                size_t wanted = MAX(t->n_allocated * 2, (size_t) 64);
                Cell *grown = reallocarray(t->cells, wanted, sizeof(Cell));

                if (!grown) {
                        t->error = -ENOMEM;
                        return;
                }
                t->cells = grown;
                t->n_allocated = wanted;
        }
        t->cells[t->n_cells] = (Cell){ .text = strdup(isempty(text) ? "-" : text), .color = color };
        if (!t->cells[t->n_cells].text) {
                t->error = -ENOMEM;
                return;
        }
        t->n_cells++;
}

void table_addf(Table *t, const char *format, ...)
{
        CLEANUP_FREE char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                t->error = -ENOMEM;
                return;
        }
        table_add(t, text, COLOR_NONE);
}

static void print_cell(FILE *f, const char *text, size_t width, size_t wanted, Color color)
{
        static const char *const sequences[] = {
                [COLOR_NONE] = "",
                [COLOR_GOOD] = "\033[32m",
                [COLOR_PENDING] = "\033[33m",
                [COLOR_BAD] = "\033[31m",
        };

        fprintf(f, "%s%s%s", sequences[color], text, color == COLOR_NONE ? "" : "\033[0m");
        for (; width < wanted; width++)
                fputc(' ', f);
}

int table_print(Table *t, FILE *f)
{
        CLEANUP_FREE size_t *widths = calloc(t->n_columns, sizeof(size_t));
        bool colors = colors_wanted(f);

        if (!widths || t->error < 0)
                return -ENOMEM;
        assert(t->n_cells % t->n_columns == 0);
        for (size_t i = 0; i < t->n_columns; i++)
                widths[i] = strlen(t->titles[i]);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t width;
                char *shown = neutralise(t->cells[i].text, false, &width);

                if (!shown)
                        return -ENOMEM;
                free(t->cells[i].text);
                t->cells[i].text = shown;
                widths[i % t->n_columns] = MAX(widths[i % t->n_columns], width);
        }
        for (size_t i = 0; i < t->n_columns + t->n_cells; i++) {
                bool title = i < t->n_columns, last = i % t->n_columns == t->n_columns - 1;
                const char *text = title ? t->titles[i] : t->cells[i - t->n_columns].text;
                Color color = title || !colors ? COLOR_NONE : t->cells[i - t->n_columns].color;
                size_t width = 0;

                for (const char *c = text; *c; c++)
                        width += ((unsigned char) *c & 0xc0) != 0x80;
                print_cell(f, text, width, last ? 0 : widths[i % t->n_columns] + 3, color);
                if (last)
                        fputc('\n', f);
        }
        return 0;
}
