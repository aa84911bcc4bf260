/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The system call filters of a run, as descriptors of files with compiled programs. */

#include "shim-confine.h"
#include "shim-launch.h"

/* *@ret_workload: as the launch says. *@ret_init: the default one, for tank-init, whatever the
 * workload's is. -EBADF where there is none (unconfined). A default filter that is not in the cache
 * yet is compiled, by tank-seccomp, which takes some 15 ms once. */
int seccomp_open(const Launch *launch, int *ret_workload, int *ret_init, SetupReport *reterr);
