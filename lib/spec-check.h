/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What no single field can tell. Internal to spec-*.c. */

#include "spec-error.h"

/* @pod is normalized otherwise. */
int spec_check_pod(SpecContext *c, const json_t *pod);

/* spec-data.c: an entry of a secret's or config's `data`, which is text or a map of one field;
 * gives it its one spelling. @size rises by the bytes of the value. No sentence repeats a value. */
int spec_check_data_value(SpecContext *c, const SpecPath *path, json_t **value, size_t *size);
int spec_check_data_size(SpecContext *c, const SpecPath *path, size_t size);
int spec_unexpected_data(SpecContext *c, const SpecPath *path, const json_t *found);
/* @secret is normalized otherwise. */
int spec_check_secret(SpecContext *c, const json_t *secret);
