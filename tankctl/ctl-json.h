/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents as they leave: JSON for programs, declarations for people and files. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

int json_print(FILE *f, const json_t *value);      /* -ENOMEM, -EIO */
int json_print_line(FILE *f, const json_t *value); /* of a stream: one value, one line */

json_t *ctl_json_time(uint64_t usec); /* RFC 3339, of 0 null; NULL: out of memory */

/* A stored document as it was declared: no meta, no status, quantities in the form in which people
 * write them. Applying it changes nothing. */
int declaration_for_people(const json_t *doc, json_t **ret);
