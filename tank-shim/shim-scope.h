/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A delegated systemd scope with the calling process in it. */

#include "macro.h"
#include "shim-cgroup.h"

/* Blocks until systemd has done it (at most 10 s). *@ret_path: the scope's path beneath the v2
 * mount. Only for the start of a run: it opens a bus connection of its own and closes it. */
int scope_start(const char *name, char **ret_path, char reterr[static CGROUP_ERROR_MAX]);
