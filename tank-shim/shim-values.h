/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Volumes of secrets and configs: see shim-values.c. */

#include "shim-mount.h"
#include "shim-user.h"

/* On the host: a volume with its files, not attached, and nobody's yet but the container's
 * root's. */
int values_make(const Launch *launch, const LaunchMount *m, int *ret_fd, SetupReport *reterr);
/* In the child, when they are attached and it is known who runs there: makes the files that user's,
 * and the volumes read-only. */
int values_give(const Launch *launch, const Trees *trees, const Identity *id, SetupReport *reterr);
