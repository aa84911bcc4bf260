/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What starts need of secrets and configs, asked of the store; see reconcile-resolve.c. */

#include "reconcile-model.h"

/* Begins; the pod is planned again when all is there. What is not there is waited for. */
void container_resolve(ContainerEntry *c);

/* The store says that an object is another one now, or gone. */
void values_object_changed(Manager *m, uint64_t revision, ValueSource source, const char *namespace,
                const char *name, bool deleted);
/* Changes may have been missed: everything that is waited for is asked for again, and what runs is
 * compared with what there is. */
void values_changes_missed(Manager *m);
void values_store_appeared(Manager *m);
void values_resync(Manager *m);
void values_disconnected(Manager *m);
/* Goes on comparing, when something is to be compared. */
void values_compare(Manager *m);
