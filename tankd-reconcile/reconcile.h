/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The reconciler as a whole; its house is told in reconcile-model.h. */

#include "reconcile-model.h"

int manager_new(sd_event *event, Manager **ret);
Manager *manager_free(Manager *m); /* shims stay */
DEFINE_CLEANUP(Manager *, manager_freep, manager_free);
int manager_start(Manager *m); /* adoption, then the bus; READY=1 when adopted */
