/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A transaction that declares nothing: it keeps house. It has no revision and makes no event; its
 * rows go through the commit queue like all others, so that it shares their batch and is durable
 * whole or not at all. Collected on the loop, put into the batch by the commit thread. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store.h"

typedef struct Upkeep Upkeep;
/* On the loop: 0, or why nothing of it counts. */
typedef void (*UpkeepDone)(int error, void *userdata);

int upkeep_new(Upkeep **ret);
Upkeep *upkeep_free(Upkeep *u);
DEFINE_CLEANUP(Upkeep *, upkeep_freep, upkeep_free);

/* -ENOMEM */
int upkeep_put(Upkeep *u, DbFamily family, DbKey key, const void *value, size_t size);
int upkeep_put_meta_u64(Upkeep *u, const char *name, uint64_t value);
int upkeep_put_meta(Upkeep *u, const char *name, const char *value);
int upkeep_delete(Upkeep *u, DbFamily family, DbKey key);
int upkeep_delete_range(Upkeep *u, DbFamily family, DbKey begin, DbKey end);
/* Those rows of the change log are among what it deletes. */
void upkeep_shrink_log(Upkeep *u, uint64_t rows, uint64_t bytes);
size_t upkeep_rows(const Upkeep *u); /* how many there are to put and to delete */

/* Takes @u on success. What it frees is wanted most on a full disk: it is taken like a delete. */
int upkeep_submit(Store *s, Upkeep *u, UpkeepDone done, void *userdata, sd_bus_error *reterr);
