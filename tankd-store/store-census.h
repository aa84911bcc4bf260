/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How many objects of each type stand. Counted once from the rows, a millisecond of each turn of an
 * idle loop, and kept right by what is written; unknown until that is done. */

#include "store.h"

typedef struct Census Census;

int census_new(sd_event *event, Store *s, Census **ret);
Census *census_free(Census *c);
DEFINE_CLEANUP(Census *, census_freep, census_free);

/* What the store tells through its hook: a batch is durable; NULL: everything may be another. */
void census_batch(Census *c, const CommitBatch *batch);

/* Those of which there is or was one, "" for all types beyond the first CENSUS_TYPES; nothing as
 * long as it is not known. */
#define CENSUS_TYPES 256U
typedef int (*CensusType)(const char *type, uint64_t n, void *userdata);
int census_walk(const Census *c, CensusType each, void *userdata);
