/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people are told. */

#include "reconcile-model.h"
#include "shim-client.h"

int pod_status_json(PodEntry *p, char **ret);
StateSum pod_sum(const PodEntry *p);
RunState pod_state(const PodEntry *p);
Reason pod_reason(const PodEntry *p);
int pod_message(const PodEntry *p, char **ret);
bool container_is_ready(const ContainerEntry *c);
/* Of the run that is going on; NULL: there is none. */
const ShimStatus *container_run_status(const ContainerEntry *c);
