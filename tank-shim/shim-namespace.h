/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Joining a running container, and cloning into or beside it.
 *
 * All namespaces are joined in one setns() through the pidfd of the container's first process: one
 * consistent set of that very process, so that no recycled pid can splice two containers. */

#include <sys/types.h>

#include "macro.h"
#include "pidref.h"
#include "shim-cgroup.h"
#include "shim-confine.h"

/* Everything but the cgroup namespace (it is joined last, by the placed child: CLONE_INTO_CGROUP
 * cannot name a cgroup beside the root of the caller's namespace). Afterwards root and working
 * directory are the container's root; the pid namespace counts for children only. -ESRCH: over. */
int namespaces_enter(int pidfd, const Launch *launch);
int namespaces_enter_cgroup(int pidfd);

/* One child of the shim. With @enter it is made by way of a helper that first runs @enter and then
 * clones with CLONE_PARENT: the child is the shim's own in both cases and reaped by it. */
typedef struct SpawnRequest {
        int (*enter)(void *userdata); /* in the helper; NULL: no helper. Negative errno to fail */
        uint64_t clone_flags;         /* CLONE_NEW…, for the child */
        const CgroupPlace *place;     /* NULL: stay in the shim's */
        void (*child)(void *userdata) __attribute__((__noreturn__));
        void *userdata;
        int report_fd; /* where a child that cannot get into its place says so */
} SpawnRequest;

/* The child is in its @place (v2 and mirrors) before child() runs; signals are still blocked as in
 * the shim. -errno of whatever failed. */
int shim_spawn(const SpawnRequest *request, PidRef *ret);
