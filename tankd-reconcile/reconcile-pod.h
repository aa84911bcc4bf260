/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What reconcile-entry.c, reconcile-pod.c and reconcile-run.c share. */

#include "reconcile.h"
#include "shim-client.h"

const RunResult *container_last_result(const ContainerEntry *c);
/* Something of @c has changed that is told and written down, or only told. */
void container_changed(ContainerEntry *c, unsigned announce);
void container_announce_later(ContainerEntry *c, unsigned announce);
/* Its start is through or over: another one may begin. */
void container_free_place(ContainerEntry *c);
/* Says `ready`, once for each time the pod becomes so and for each generation. */
void pod_tell_ready(PodEntry *p);
/* The run that makes the pod's sandbox has @made it, or never will. */
void container_sandbox_decided(ContainerEntry *c, bool made);
/* Of the run that is going on; NULL: there is none. */
const ShimStatus *container_run_status(const ContainerEntry *c);
