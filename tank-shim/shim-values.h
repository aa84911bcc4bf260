/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Volumes of secrets and configs: see shim-values.c. */

#include "shim-mount.h"
#include "shim-user.h"

/* On the host: a volume with its files, not attached, and nobody's yet but the container's
 * root's. */
int values_make(const Launch *launch, const LaunchMount *m, int *ret_fd, SetupReport *reterr);
/* In the child, when they are attached and it is known who runs there: makes the files that user's,
 * and the volumes read-only. *@ret_live: of those that are live, a way to write to them, else
 * -EBADF. */
int values_give(const Launch *launch, const Trees *trees, const Identity *id,
                int ret_live[static LIMIT_MOUNTS], SetupReport *reterr);
/* On the host, later: what live volumes hold becomes @files, all at once in each of them; or
 * nothing changes in any. @live: what values_give() gave, as in the launch's mounts. */
int values_replace(const Launch *launch, const int live[static LIMIT_MOUNTS], const Launch *files,
                SetupReport *reterr);
/* A while later: what was there before goes. */
void values_forget_earlier(const Launch *launch, const int live[static LIMIT_MOUNTS]);
