/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Finishing what a shim that is gone left behind: `tank-shim --cleanup`, `--cleanup-pod`. */

/* -EBUSY: its shim is alive. */
int cleanup_run(const char *run_dir);
int cleanup_pod(const char *pod_dir);

/* The lock that a shim holds for life. -EAGAIN: another one does. */
int run_lock(int run_dir, int *ret_fd);
