/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Another version of what a container uses, while it runs; see reconcile-refresh.c. */

#include "reconcile-model.h"

bool pod_updates_on(const PodEntry *p, ValueSource source);
/* Whether what it was started from is what is declared. */
bool container_may_compare(const ContainerEntry *c);
/* And it runs, so that its volumes are there. */
bool container_may_refresh(const ContainerEntry *c);
/* @all: reads all that it uses, and starts it again when that is something else; else live volumes
 * alone. */
void container_refresh(ContainerEntry *c, bool all);
/* It is being compared, or that came to nothing: any change of what it uses begins it anew. */
bool container_owes_compare(const ContainerEntry *c);
void container_stop_refresh(ContainerEntry *c);
/* What its shim answered. */
void container_refreshed(ContainerEntry *c);
void container_refresh_refused(ContainerEntry *c, int error, const char *message);
