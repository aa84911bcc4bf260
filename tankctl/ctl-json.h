/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents for programs and files: JSON as it is on the bus, YAML as people declare it. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

int json_print(FILE *f, const json_t *value); /* -ENOMEM, -EIO */

/* One YAML document, behind "---" if @separator. What would be read back as something else is
 * quoted. -ENOMEM, -EIO. */
int yaml_print(FILE *f, const json_t *value, bool separator);

/* A stored document as it was declared: no meta, no status, quantities in the form in which people
 * write them. Applying it changes nothing. */
int declaration_for_people(const json_t *doc, json_t **ret);
