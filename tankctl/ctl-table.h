/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people look at: aligned columns, colour on a terminal only, and nothing that a terminal
 * would obey (ctl-text.h). */

#include <stdio.h>

#include "macro.h"

bool colors_wanted(FILE *f); /* a terminal, and neither $NO_COLOR nor TERM=dumb */

typedef enum Color {
        COLOR_NONE,
        COLOR_GOOD,
        COLOR_PENDING,
        COLOR_BAD,
} Color;

Color color_of_state(const char *state);

typedef struct Table Table;

/* @titles is a NULL-terminated vector, borrowed for the table's life. */
int table_new(const char *const *titles, Table **ret);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table *, table_freep, table_free);

/* Adds a cell to the current row; rows end by themselves. The first failure sticks. Empty text
 * shows as "-". */
void table_add(Table *t, const char *text, Color color);
void table_addf(Table *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints what was added since the last time, below the titles the first time. -ENOMEM, also when a
 * cell could not be added. */
int table_print(Table *t, FILE *f);
bool table_is_empty(const Table *t); /* nothing was added since then */
/* Room for what will come in later rows. */
void table_reserve(Table *t, size_t column, size_t width);
