/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents for programs and files: JSON as it is on the bus, YAML as people declare it. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

int json_print(FILE *f, const json_t *value);

/* One YAML document. What would be read back as something else is quoted. -ENOMEM, -EIO. */
int yaml_print(FILE *f, const json_t *value, bool separator);

/* The declaration alone, quantities in the form in which people write them: applying it changes
 * nothing. */
int declaration_for_people(const json_t *doc, json_t **ret);
