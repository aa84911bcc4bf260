/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run of one container, seen from the reconciler: the shim's channel, its life, and what is
 * left of it. Knows nothing of pods and plans.
 *
 * A Shim exists from spawn or adoption until `over` is reported: then its lock is free, nothing of
 * the run is alive any more, its cgroup is gone. In between `changed` is reported for each
 * transition. Whether a shim lives is told by its lock and, once that has been seen held, by its
 * pidfd (of a child and of an adopted process alike); its channel may come and go.
 *
 * Neither a stop nor an update is lost: while there is no channel, or its queue is full, it waits.
 */

#include <systemd/sd-event.h>

#include "shim-status.h"

/* @run_path: "<pod uid>/<container>/<run>" beneath the pods' directory; made here. @launch: the
 * launch record. On failure nothing is left but perhaps the empty run directory. */
int shim_spawn(ShimContext *c, const char *run_path, const char *run, const void *launch,
                size_t launch_size, void *userdata, Shim **ret);
/* Takes over what is in @run_path, alive or not: everything else is reported through the ops, from
 * the loop. */
int shim_adopt(ShimContext *c, const char *run_path, const char *run, void *userdata, Shim **ret);
Shim *shim_free(Shim *s); /* the process stays */

const char *shim_run(const Shim *s);
const char *shim_run_path(const Shim *s);
const ShimStatus *shim_status(const Shim *s);

/* @signo 0 and @grace_usec USEC_INFINITY: those of the launch record. */
void shim_stop(Shim *s, int signo, uint64_t grace_usec);
/* @hosts: lines of /etc/hosts, "ADDRESS NAME"; copied. Answered by `updated`; asked again by itself
 * when the channel was lost before the answer. -ENOMEM. */
int shim_update(Shim *s, const Limits *limits, char *const *hosts);
/* @consume_fd: a sealed memory file with the files of its live volumes, taken. Answered by
 * `values_set` or `refused`, the last one alone when several are on their way; sent again by itself
 * when the channel was lost before the answer. */
void shim_set_values(Shim *s, int consume_fd);
int shim_kill(Shim *s, int signo); /* -ENOTCONN, -EAGAIN */
void shim_retry(Shim *s);          /* at each resync: reconnect, clean up again */

/* 1: held, 0: free, -ENOENT: there is none. */
int run_lock_test(int dir_fd);
