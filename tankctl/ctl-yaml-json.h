/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Escaped surrogate pairs of JSON, for the reader of ctl-yaml.c alone. */

#include "ctl-yaml.h"

typedef struct YamlJoins {
        char *text; /* with one escape for each pair */
        size_t size;
        YamlPosition *items; /* in it: where a pair was joined */
        size_t n, n_allocated;
} YamlJoins;

/* 1: @ret is filled in; 0: the text can be read as it is. -ENOMEM. */
int yaml_joins_make(const char *text, size_t size, YamlJoins *ret);
/* What is at @at in the joined text, in that of the file. */
YamlPosition yaml_joins_position(const YamlJoins *joins, YamlPosition at);
void yaml_joins_done(YamlJoins *joins);
