/* SPDX-License-Identifier: Apache-2.0 */

/* Cells are kept as they were given and neutralised when they are printed, so widths are counted on
 * what is shown. */

#include <stdarg.h>
#include <unistd.h>

#include "ctl-table.h"
#include "ctl-text.h"
#include "state.h"

typedef struct Cell {
        char *text;
        size_t width; /* once it is neutralised */
        Color color;
} Cell;

struct Table {
        const char *const *titles;
        size_t n_columns;
        size_t *widths; /* they only grow: rows that come later line up with those before */
        bool begun;     /* the titles were printed */
        Cell *cells;
        size_t n_cells, n_allocated;
        int error;
};

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
        t->widths = calloc(MAX(t->n_columns, (size_t) 1), sizeof(size_t));
        if (!t->widths) {
                free(t);
                return -ENOMEM;
        }
        for (size_t i = 0; i < t->n_columns; i++)
                t->widths[i] = text_width(titles[i]);
        *ret = t;
        return 0;
}

static void table_clear(Table *t)
{
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        t->n_cells = 0;
}

Table *table_free(Table *t)
{
        if (!t)
                return NULL;
        table_clear(t);
        free(t->cells);
        free(t->widths);
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

static int table_neutralise(Table *t)
{
        for (size_t i = 0; i < t->n_cells; i++) {
                Cell *c = &t->cells[i];
                char *shown = text_neutral(c->text, &c->width);

                if (!shown)
                        return -ENOMEM;
                free(c->text);
                c->text = shown;
                t->widths[i % t->n_columns] = MAX(t->widths[i % t->n_columns], c->width);
        }
        return 0;
}

int table_print(Table *t, FILE *f)
{
        bool colors = colors_wanted(f);

        assert(t->n_cells % t->n_columns == 0 || t->error < 0);
        if (t->error < 0 || table_neutralise(t) < 0)
                return -ENOMEM;
        for (size_t i = t->begun ? t->n_columns : 0; i < t->n_columns + t->n_cells; i++) {
                size_t column = i % t->n_columns;
                bool title = i < t->n_columns, last = column == t->n_columns - 1;
                const Cell *c = title ? NULL : &t->cells[i - t->n_columns];

                print_cell(f, c ? c->text : t->titles[i], c ? c->width : text_width(t->titles[i]),
                                last ? 0 : t->widths[column] + 3,
                                c && colors ? c->color : COLOR_NONE);
                if (last)
                        fputc('\n', f);
        }
        t->begun = true;
        table_clear(t);
        return 0;
}

bool table_is_empty(const Table *t)
{
        return t->n_cells == 0;
}

void table_reserve(Table *t, size_t column, size_t width)
{
        assert(column < t->n_columns);
        t->widths[column] = MAX(t->widths[column], width);
}
