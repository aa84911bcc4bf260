/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the store says, and when that is not believed (Held). */

#include "reconcile-model.h"

typedef enum StoreVerdict {
        STORE_CONTINUE, /* what is known holds up to our revision: read the changes since */
        STORE_LIST,     /* read a list */
} StoreVerdict;
StoreVerdict manager_store_appeared(Manager *m, const char *database_id, uint64_t revision);
void manager_store_gone(Manager *m);
void manager_list_begin(Manager *m);
void manager_list_document(Manager *m, const char *document);
/* @whole: what it did not tell of is not there. */
void manager_list_end(Manager *m, uint64_t revision, bool whole);
void manager_change(Manager *m, uint64_t revision, const char *operation, const char *type,
                const char *namespace, const char *name, const char *document);
void manager_caught_up(Manager *m, uint64_t revision, uint64_t read);
int manager_accept_store(Manager *m, sd_bus_error *reterr);
