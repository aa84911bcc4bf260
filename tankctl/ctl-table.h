/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people look at: aligned columns, colour on a terminal only, and nothing that a terminal
 * would obey. */

#include <stdio.h>

#include "macro.h"

/* Text of foreign origin: control characters and what is no UTF-8 become \xNN; a newline stays. */
void print_neutral(FILE *f, const char *text);

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
int table_print(Table *t, FILE *f); /* -ENOMEM when a cell could not be added */
