/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The sorted array of pods. */

#include "reconcile-model.h"

PodEntry *manager_find_pod(Manager *m, const char *namespace, const char *name); /* newest */
PodEntry *manager_find_uid(Manager *m, const char *namespace, const char *name, const char *uid);
size_t manager_first_after(Manager *m, const char *namespace, const char *name); /* index */
int manager_insert_pod(Manager *m, PodEntry *take);
void manager_drop_pod(PodEntry *p);
bool manager_has_predecessor(const PodEntry *p);
