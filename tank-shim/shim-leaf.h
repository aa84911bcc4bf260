/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All processes of one cgroup, by the directory of it: what cgroup.kill does not do. */

#include "macro.h"

/* To each process that is in it, the first 1,024 of them: one that is born meanwhile may be missed.
 * The list is read twice, however long it is. Returns how many got it. */
int leaf_signal(int dir_fd, int signo);
int leaf_count(int dir_fd); /* how many processes are in it */

/* Its cgroup.events: EPOLLPRI when it gets empty, or the opposite. */
int leaf_open_events(int dir_fd);
/* At each wake-up, and once before the first: 1 when nothing is in it. */
int leaf_read_events(int events_fd);
