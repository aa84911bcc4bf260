/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What shims report. */

#include "reconcile-model.h"
#include "shim-client.h"

extern const struct ShimOps pod_shim_ops;
/* Says `ready`, once for each time the pod becomes so and for each generation. */
void pod_tell_ready(PodEntry *p);
/* The run that makes the pod's sandbox has @made it, or never will. */
void container_sandbox_decided(ContainerEntry *c, bool made);
