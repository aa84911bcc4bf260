/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The pod's namespaces, pinned as bind mounts at <run>/pods/<pod uid>/ns/{user,net,ipc,uts} by its
 * first shim and joined by the others: a pod's sandbox outlives each of its containers. */

#include "shim-confine.h"
#include "shim-launch.h"

/* From the namespaces of @pid, replacing whatever stands there. @pod_dir: <run>/pods/<pod uid>. */
int pins_make(int pod_dir, pid_t pid, const Launch *launch, SetupReport *reterr);
/* In the helper of a start that joins: the user namespace first, the others belong to it. */
int pins_enter(int pod_dir, const Launch *launch);
int pins_open_user(int pod_dir, int *ret_fd);
/* Unmounts them and removes ns/. Missing is success. */
int pins_remove(int pod_dir);
