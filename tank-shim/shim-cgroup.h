/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The run's node in the cgroup tree:
 *
 *     <node>/shim          the shim itself, where the node is a systemd scope
 *     <node>/ctr           limits, events and kill act here
 *     <node>/ctr/main      the container's first process; root of its cgroup namespace
 *     <node>/ctr/exec-N    one for each exec session
 *
 * On the unified v2 tree everything is there. On a hybrid host the v2 tree has no memory, cpu and
 * pids: limits then stand on v1 mirrors of ctr, one directory in each of those hierarchies, and
 * each process is in the mirrors, too. Kill and events are the v2 tree's in both cases.
 *
 * Without systemd the shim stays in the cgroup that it was started in: moving a process makes every
 * fork on the machine wait for an RCU grace period, which is more than a whole start takes. */

#include <sys/types.h>

#include "macro.h"
#include "shim-launch.h"

typedef struct ShimCgroup ShimCgroup;

/* For the duration of one start: what a child needs to get into its place. The descriptors are the
 * shim's, closed by cgroup_place_done() and close-on-exec. */
#define CGROUP_MIRRORS_MAX 4
typedef struct CgroupPlace {
        int fd;                        /* the v2 directory, for CLONE_INTO_CGROUP */
        int tasks[CGROUP_MIRRORS_MAX]; /* v1 `tasks` files; -EBADF beyond the last */
} CgroupPlace;

#define CGROUP_PLACE_NULL \
        ((CgroupPlace){ .fd = -EBADF, .tasks = { -EBADF, -EBADF, -EBADF, -EBADF } })
void cgroup_place_done(CgroupPlace *p);

/* Makes the node with its ctr/main and sets the limits. *@reterr: a sentence. */
#define CGROUP_ERROR_MAX 256
int shim_cgroup_new(const Launch *launch, ShimCgroup **ret, char reterr[static CGROUP_ERROR_MAX]);
/* From a run's record, to clean up after a shim that is gone. */
int shim_cgroup_open(const char *path, char *const *mirrors, ShimCgroup **ret);
ShimCgroup *shim_cgroup_free(ShimCgroup *c);
DEFINE_CLEANUP(ShimCgroup *, shim_cgroup_freep, shim_cgroup_free);

/* Makes ctr/@leaf ("main", "exec-1") if it is missing, and opens it. */
int shim_cgroup_place(ShimCgroup *c, const char *leaf, CgroupPlace *ret);
/* In the child, before anything else: moves itself into the mirrors and, when the clone could not,
 * (@in_cgroup false) into the v2 directory. Only write(2). */
int cgroup_place_enter(const CgroupPlace *p, bool in_cgroup);

/* ctr/@leaf, or ctr itself with NULL, as a directory. */
int shim_cgroup_open_leaf(ShimCgroup *c, const char *leaf);
/* SIGKILL to everything in ctr/@leaf, or in ctr as a whole with NULL. Success when there is
 * none. */
int shim_cgroup_kill(ShimCgroup *c, const char *leaf);
int shim_cgroup_is_empty(ShimCgroup *c, const char *leaf);    /* 1, 0, negative */
int shim_cgroup_remove_leaf(ShimCgroup *c, const char *leaf); /* -EBUSY while populated */

int shim_cgroup_set_limits(
                ShimCgroup *c, const LaunchLimits *limits, char reterr[static CGROUP_ERROR_MAX]);
/* How often the kernel killed for lack of memory in here. */
int shim_cgroup_oom_kills(ShimCgroup *c, uint64_t *ret);
/* ctr/cgroup.events: EPOLLPRI when it gets empty. Borrowed. */
int shim_cgroup_events_fd(ShimCgroup *c);
void shim_cgroup_events_clear(ShimCgroup *c); /* at each wake-up, before asking */
/* Removes the node; systemd removes its own when the shim, the last in it, ends. */
int shim_cgroup_remove(ShimCgroup *c);

/* For the record. */
const char *shim_cgroup_path(const ShimCgroup *c); /* beneath the v2 mount */
char *const *shim_cgroup_mirrors(const ShimCgroup *c);
