/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Single values, each checked and brought to its canonical form. Internal to spec-*.c. */

#include "spec-error.h"
#include "spec-table.h"

/* Every kind but SPEC_CPU, the maps, SPEC_OBJECT and SPEC_OTHER. */
int spec_normalize_scalar(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret);

/* A path in a volume of a secret or config. */
int spec_normalize_item(SpecContext *c, const SpecPath *path, const char *s, json_t **ret);

#define SPEC_DATA_KEY_RULE \
        "use 1 to 256 of A-Z, a-z, 0-9, '-', '_' and '.', but neither '.' alone nor '..' in front"

/* A number of CPUs as µs of quota. */
int spec_parse_cpus(SpecContext *c, const SpecPath *path, const json_t *v, uint64_t *ret_quota);

/* "name", "uid", "uid:gid"; names leave the ids alone and give 0, numbers give 1. */
int spec_parse_user(const char *s, uint64_t *ret_uid, uint64_t *ret_gid);

/* What a value of this kind is, for messages and the reference: "a size such as 64MiB…". */
const char *spec_kind_expects(SpecKind kind);
