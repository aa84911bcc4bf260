/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Executing tank-shim: the context that all runs share, and the way to start a process that costs
 * the same however large this one is. Private to shim-client.c and shim-spawn.c. */

#include "pidref.h"
#include "shim-client.h"

struct ShimContext {
        sd_event *event;
        int pods_fd;
        const char *pods_path;
        char *program;      /* path of tank-shim */
        char **environment; /* ours without what systemd tells this process alone */
        const ShimOps *ops;
        char *buffer; /* one message of the channel */
};

/* Executes tank-shim with @argv and @fds as its descriptors 3, 4, …; standard input and output are
 * /dev/null, standard error is ours. posix_spawn(3): shares the address space until exec, no copy
 * of page tables. */
int shim_exec(ShimContext *c, const char *const *argv, const int *fds, size_t n_fds, PidRef *ret);
