/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Children that the shim never made.
 *
 * A session's process is the shim's child in the container's PID namespace, and whatever runs there
 * may clone with CLONE_PARENT: the new process is the shim's child as well. Not reaped, it stays in
 * the PID namespace, whose first process then cannot end (the kernel waits there until nobody is
 * left), and the container's end would never be seen. So all children that are neither the
 * container's first process nor a session's are reaped as they end, and nobody is told. */

#include "macro.h"

typedef struct Shim Shim;
typedef struct ShimReaper ShimReaper;

/* SIGCHLD must be blocked. */
int shim_reaper_new(Shim *shim, ShimReaper **ret);
ShimReaper *shim_reaper_free(ShimReaper *r);
DEFINE_CLEANUP(ShimReaper *, shim_reaper_freep, shim_reaper_free);
