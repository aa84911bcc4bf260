/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the containers of a pod share, pinned at <run>/pods/<pod uid>/ns/ by its first shim and
 * joined by the others, so that it outlives each of them: the namespaces as bind mounts
 * {user,net,ipc,uts}, and /dev/shm, a tmpfs at shm: POSIX shared memory and semaphores are files in
 * there, and belong to the IPC namespace in everybody's eyes but the kernel's. */

#include "shim-confine.h"
#include "shim-launch.h"

/* From the namespaces of @pid, replacing whatever stands there. @pod_dir: <run>/pods/<pod uid>. */
int pins_make(int pod_dir, pid_t pid, const Launch *launch, SetupReport *reterr);
/* /dev/shm of the pod: made (before any of the others, replacing what stands there), and a detached
 * copy of its mount, which makes it in a sandbox that has none. */
int pins_make_shm(int pod_dir, const Launch *launch, SetupReport *reterr);
int pins_copy_shm(int pod_dir, const Launch *launch, int *ret_fd);
/* In the helper of a start that joins: the user namespace first, the others belong to it. */
int pins_enter(int pod_dir, const Launch *launch);
int pins_open_user(int pod_dir, int *ret_fd);
/* Unmounts them and removes ns/. Missing is success. */
int pins_remove(int pod_dir);
