/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which documents of a type are meant, by -l and --fields. The store finds them, so that the others
 * are not even sent; what is asked of a status only the reconciler knows, and tankctl decides. */

#include <jansson.h>

#include "ctl.h"
#include "selector.h"

typedef struct Selection {
        const char *labels, *fields; /* for the store; NULL: none */
        Selector *by_status;         /* what it cannot decide; NULL: nothing */
} Selection;

/* 0 or the exit code. */
int selection_init(Selection *s, const Arguments *a);
void selection_done(Selection *s);

/* Leaves in @docs, which have a status, what the store could not decide upon. */
void documents_select(json_t *docs, const Selection *s);
