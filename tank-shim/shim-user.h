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

/* A file that is missing is an empty one. */
typedef struct IdentityFile {
        char *data;
        size_t size;
} IdentityFile;

/* The same in files that were read already. */
int identity_find(const char *user, char *const *groups, const IdentityFile *passwd,
                const IdentityFile *group, Identity *ret, SetupReport *reterr);

int identity_resolve(const char *user, char *const *groups, Identity *ret, SetupReport *reterr);
void identity_done(Identity *id);
