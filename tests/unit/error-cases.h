/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tables of tests/errors/: documents that are refused, each with the words that refuse it. How
 * they are written is told in tests/errors/README. */

#include <stdio.h>

#include "macro.h"

typedef struct ErrorCase {
        const char *file;
        size_t line;    /* where the case begins in it */
        char *snippet;  /* as it stands in the table */
        char *document; /* the same in its template: what is read */
        char *expected; /* the lines behind it, each with its newline */
} ErrorCase;

/* For each case of @path, in order. @copy gets the lines outside of cases, NULL: nobody does. */
void error_cases_each(const char *path, FILE *copy,
                void (*each)(const ErrorCase *c, void *userdata), void *userdata);
