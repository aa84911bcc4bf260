/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Executing tank-shim: a run of a container, or one of its one-shot modes. */

#include <systemd/sd-event.h>

#include "pidref.h"
#include "shim-status.h"

/* @pods_path stays the caller's. @libexec_dir: where tank-shim is. */
int shim_context_new(sd_event *event, int pods_fd, const char *pods_path, const char *libexec_dir,
                const ShimOps *ops, ShimContext **ret);
ShimContext *shim_context_free(ShimContext *c);
DEFINE_CLEANUP(ShimContext *, shim_context_freep, shim_context_free);

/* Executes tank-shim with @argv and @fds as its descriptors 3, 4, …; standard input and output are
 * /dev/null, standard error is ours. posix_spawn(3): shares the address space until exec, no copy
 * of page tables. */
int shim_exec(ShimContext *c, const char *const *argv, const int *fds, size_t n_fds, PidRef *ret);

/* Runs tank-shim with @mode and @path and calls back with its wait status. */
typedef void (*ShimHelperDone)(int status, void *userdata);
int shim_helper_spawn(ShimContext *c, const char *mode, const char *path, ShimHelperDone done,
                void *userdata, ShimHelper **ret);
ShimHelper *shim_helper_free(ShimHelper *h); /* the process stays, unheard */
