/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log files are found by name: they can be read when nothing runs, and after a pod is gone. */

#include "reconcile-model.h"

/* Makes the directory of all logs. A group `tank` gets it, with the set-group-id bit: what shims
 * make beneath it, 0750 and 0640, is then the group's, and they need not ask for its number. What
 * was made before there was the group is given to it, unless it is another group's than root's. */
int manager_prepare_logs(Manager *m);

/* @container "": the pod's first, or the only one there are files of. @ret_names: oldest first, the
 * last one is being written; empty when the container has not written anything yet. */
int manager_open_logs(Manager *m, const char *namespace, const char *pod, const char *container,
                int *ret_dir, char ***ret_names, sd_bus_error *reterr);
