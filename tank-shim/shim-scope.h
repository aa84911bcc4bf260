/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A delegated systemd scope with the calling process in it. Its name is one run's: nobody else's
 * scope can be in its place, and to stop it by name stops no other. */

#include "macro.h"
#include "shim-cgroup.h"

/* How long a systemd may be busy before a start is given up: as long as it gives a unit to start.
 * Many that start at once wait for each other there, and who gave up would only queue up again. */
#define SCOPE_TIMEOUT_USEC (90 * USEC_PER_SEC)

/* Blocks until systemd has done it. *@ret_path: the scope's path beneath the v2 mount. Only for the
 * start of a run: it opens a connection of its own and closes it. */
int scope_start(const char *name, uint64_t timeout_usec, char **ret_path,
                char reterr[static CGROUP_ERROR_MAX]);
/* Blocks until systemd has taken the order. Success when there is no such scope. */
int scope_stop(const char *name, uint64_t timeout_usec);
