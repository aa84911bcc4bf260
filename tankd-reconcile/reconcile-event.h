/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* PodEvent on the bus: a hint, lost while there is no bus. */

#include "reconcile-model.h"

void pod_emit(PodEntry *p, ContainerEntry *c, PodEvent event, const char *detail);
