/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What differs between two versions of a secret. That a key came, went or has another value is
 * shown, a value never. The values are read and compared where whoever asks may read them;
 * otherwise a key that both have is said to be not compared, which is no word about it. */

#include <jansson.h>
#include <stdio.h>

#include "ctl-bus.h"

typedef struct SecretVersion {
        const json_t *document; /* NULL: there is none */
        uint64_t revision;      /* where its values can be read; 0: those that stand */
        bool given;             /* its values are in the document, but for those it keeps */
} SecretVersion;

typedef struct SecretDiff {
        json_t *keys;        /* those that differ, or may: "added", "removed", … */
        size_t n, n_unknown; /* of these, not compared */
} SecretDiff;

/* Why values were not compared is said on standard error. 0 or the exit code. */
int secret_diff_make(sd_bus *bus, const char *namespace, const char *name, const SecretVersion *old,
                const SecretVersion *new, SecretDiff *ret);
void secret_diff_print(FILE *f, const SecretDiff *d);
void secret_diff_done(SecretDiff *d);

/* @doc with its map of values empty: what is left can be compared as that of any other type. */
json_t *secret_without_values(const json_t *doc);
