/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kernel's mount calls by descriptor, and what the two sides of a start pass to each other.
 *
 * The shim, on the host, makes detached trees (host files, idmapped to the pod's ids); the child,
 * in its user namespace, attaches them and makes the file systems of its own. */

#include <sys/types.h>

#include "limit.h"
#include "macro.h"
#include "shim-confine.h"
#include "shim-launch.h"

/* A private copy of the mount at @path (relative to @dir_fd; "" for the descriptor itself), not
 * attached anywhere. @attributes: MOUNT_ATTR_…. @userns_fd: idmapped to it, -EBADF: not. */
int mount_detach(int dir_fd, const char *path, bool recursive, uint64_t attributes, int userns_fd,
                int *ret_fd);
/* A new file system, not attached. @options: "key=value" or "flag", NULL at the end. */
int mount_new(const char *type, const char *const *options, uint64_t attributes, int *ret_fd);
/* @name beneath @dir_fd, or @dir_fd itself with "". No symlink is followed in the last
 * component. */
int mount_attach(int tree_fd, int dir_fd, const char *name);

/* What the shim prepared for one start, in the order in which it is sent. */
typedef struct Trees {
        int scratch; /* upper/ and work/ */
        int lower;   /* the root file system, read-only */
        int shm;     /* the pod's /dev/shm */
        int init;    /* tank-init itself, on a read-only mount; -EBADF with init=none */
        int volumes[LIMIT_MOUNTS]; /* as in the launch's mounts, -EBADF beyond the last */
} Trees;

#define TREES_FDS_MAX (4 + LIMIT_MOUNTS)
void trees_init(Trees *t);
void trees_done(Trees *t);
size_t trees_list(Trees *t, const Launch *launch, int *fds[static TREES_FDS_MAX]);

/* What may be taken over of a file in the host's /etc. */
#define ETC_FILE_MAX (64U * 1024U)

/* The content of the files in /etc that are the run's own. */
typedef struct EtcFiles {
        char *hosts, *hostname, *resolv;
} EtcFiles;
void etc_files_done(EtcFiles *e);

/* On the host: those, the scratch directory, … */
int etc_files_make(const Launch *launch, EtcFiles *ret, SetupReport *reterr);
/* Writes /etc/hosts anew, through the descriptor that rootfs_enter() gave. */
int etc_hosts_rewrite(const Launch *launch, int fd);
int scratch_make(const Launch *launch, SetupReport *reterr);
/* … and the trees, idmapped to @userns_fd (-EBADF with userns=host). @pod_dir: where the pod's pins
 * are. */
int trees_make(const Launch *launch, int pod_dir, int userns_fd, Trees *ret, SetupReport *reterr);

/* In the child, as root of the user namespace, in new mount, PID, cgroup (and the pod's other)
 * namespaces: builds the root and makes it "/". Trees are consumed. *@ret_hosts: /etc/hosts, to be
 * written to. */
int rootfs_enter(const Launch *launch, const EtcFiles *etc, Trees *trees, int *ret_hosts,
                SetupReport *reterr);
/* Then, with a terminal: /dev/console is this slave. */
int rootfs_bind_console(int slave_fd, SetupReport *reterr);
