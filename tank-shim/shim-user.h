/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who a process runs as. */

#include <sys/types.h>

#include "setup-report.h"

/* Looked up in the container's own /etc/passwd and /etc/group, opened beneath the root. */
typedef struct Identity {
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        char *home;
} Identity;

int identity_resolve(const char *user, char *const *groups, Identity *ret, SetupReport *reterr);
void identity_done(Identity *id);
