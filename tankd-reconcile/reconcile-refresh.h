/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* New values for the live volumes of a container that runs; see reconcile-refresh.c. */

#include "reconcile-model.h"

/* Whether what runs is what is declared, so that its volumes are. */
bool container_may_refresh(const ContainerEntry *c);
void container_refresh(ContainerEntry *c);
void container_stop_refresh(ContainerEntry *c);
/* What its shim answered. */
void container_refreshed(ContainerEntry *c);
void container_refresh_refused(ContainerEntry *c, int error, const char *message);
