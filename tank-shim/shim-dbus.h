/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The run as an object on the bus. Never on the critical path: made after `running` was reported,
 * and nothing in the shim waits for it. */

#include "macro.h"

typedef struct Shim Shim;
typedef struct ShimBus ShimBus;

int shim_bus_new(Shim *shim, ShimBus **ret);
ShimBus *shim_bus_free(ShimBus *b);
DEFINE_CLEANUP(ShimBus *, shim_bus_freep, shim_bus_free);

/* State or Pid changed: one PropertiesChanged at the end of this turn of the loop. */
void shim_bus_changed(ShimBus *b); /* NULL is allowed */

/* For `tank-shim --introspect`. */
int shim_dbus_introspect(void);
