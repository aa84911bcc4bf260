/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which fields of the table (lib/spec-table.h) were refused, and for which of the reasons that each
 * of them has. */

#include <jansson.h>

/* @sentence: "path: message", what was said of @doc. */
void spec_coverage_note(const json_t *doc, const char *sentence);

/* A line for each reason that was not given yet: "limits.memory: expected at least". */
char *spec_coverage_missing(void);
