/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where things are: options beat environment ($TANK_STATE_DIR, $TANK_RUN_DIR, $TANK_LOG_DIR,
 * $TANK_LIBEXEC_DIR) beat the installed default. $TANK_INSTANCE (empty when installed; up to 16 of
 * [a-z0-9]) goes into every host-global name. */

#include <sys/types.h>

#include "macro.h"

typedef struct Paths {
        char *state_dir;   /* /var/lib/tank */
        char *run_dir;     /* /run/tank */
        char *log_dir;     /* /var/log/tank */
        char *libexec_dir; /* where tank-shim and tank-init are */
        char *instance;    /* "" or the instance */
} Paths;

int paths_init(Paths *p); /* from the environment; -EINVAL: not absolute or a bad instance */
void paths_done(Paths *p);

/* "tank" or "tank-<instance>": the cgroup root, scope prefix and the like. */
int paths_host_name(const Paths *p, char **ret);
/* The first host id of this instance's pool and its size. Installed: 0x20000000; an instance takes
 * one of 22 ranges of 2^26 ids above it, picked by its hash. */
void paths_id_pool(const Paths *p, uid_t *ret_base, uint32_t *ret_size);
