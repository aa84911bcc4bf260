/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What of its declaration a container is given while it runs: limits and extra hosts. */

#include "reconcile-model.h"

/* Asks the shim for what is declared now. */
void container_update(ContainerEntry *c);
/* The answers: @parts are in force; the rest was refused. */
void container_updated(ContainerEntry *c, unsigned parts);
void container_update_refused(ContainerEntry *c, int error, const char *message);
void container_forget_refusal(ContainerEntry *c);

/* It runs, and with something else than is declared. */
bool container_update_is_due(const ContainerEntry *c);
/* Why it still does, a sentence; NULL: nothing was refused, or that is no longer declared. */
const char *container_refusal(const ContainerEntry *c);
