/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The child's side of a start; the numbered handshake is told in shim-sandbox.c. */

#include "shim-confine.h"
#include "shim-launch.h"
#include "shim-mount.h"

typedef struct MainChild {
        const Launch *launch;
        const ConfinePolicy *policy;
        const EtcFiles *etc;
        int init_filter; /* for tank-init, -EBADF: none */
        int sync;        /* the child's end of the SEQPACKET pair */
        int parent_sync; /* the shim's, closed first: else its end would never be seen */
        int status;      /* writing end for tank-init */
        int out, err;    /* writing ends of the log's pipes; -EBADF with a terminal */
        int pod_dir;     /* for the helper of a start that joins */
} MainChild;

/* One byte each, some with descriptors. A SetupReport in between means failure. */
#define SYNC_TREES    'T' /* shim → child, with what trees_list() lists */
#define SYNC_READY    'R' /* child → shim, with the PTY's master */
#define SYNC_HOSTS    'H' /* child → shim, before that, with /etc/hosts */
#define SYNC_LIVE     'L' /* child → shim, before that, with each live volume in order */
#define SYNC_GO       'G' /* shim → child */
#define SYNC_WORKLOAD 'W' /* child → shim, with the workload's pidfd */

/* The attribute, not _Noreturn: clang has it in the type of a function that is passed on. */
void main_child(void *userdata) __attribute__((__noreturn__));
