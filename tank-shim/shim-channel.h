/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The reconciler's channel (docs/protocol.md sections 2.2 and 2.5): inherited by the one that
 * spawned this shim, and a socket in the run's directory for every later one. */

#include "macro.h"

typedef struct Shim Shim;
typedef struct ShimChannel ShimChannel;

/* Takes @inherited. Binds `control`, and says hello on @inherited. */
int shim_channel_new(Shim *shim, int inherited, ShimChannel **ret);
ShimChannel *shim_channel_free(ShimChannel *c); /* removes `control` */
DEFINE_CLEANUP(ShimChannel *, shim_channel_freep, shim_channel_free);

void shim_channel_send_status(ShimChannel *c); /* to everybody who is connected */
