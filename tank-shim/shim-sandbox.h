/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The start of a container, from the shim's side. */

#include "shim-confine.h"

typedef struct Shim Shim;
typedef struct Sandbox Sandbox;

/* Called from the loop, once: NULL when the workload's execve() happened, or what failed. After a
 * failure the container's first process ends by itself or has been killed. */
typedef void (*SandboxDone)(Shim *shim, const SetupReport *failure);

/* Sets the shim's main process, log pipes, terminal. On failure nothing is left. */
int sandbox_start(Shim *shim, SandboxDone done, Sandbox **ret, SetupReport *reterr);
/* The child is dead: takes what it said before from the socket, now. Calls @done. */
void sandbox_hurry(Sandbox *s);
Sandbox *sandbox_free(Sandbox *s);
