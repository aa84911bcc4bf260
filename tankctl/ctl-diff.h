/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What changes between two documents, one line for each place. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

/* Lists of things with names are compared by name, others by position. @old may be NULL. Returns
 * how many lines were printed (to NULL: counted only), or -ENOMEM. */
int diff_print(FILE *f, const json_t *old, const json_t *new);

/* A line of the same form for what is told by a word. @sign: '+', '-', '~', '?'. */
void diff_print_word(FILE *f, char sign, const char *path, const char *key, const char *word);
