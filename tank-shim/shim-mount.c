/* SPDX-License-Identifier: Apache-2.0 */

/* The mount calls by descriptor; see shim-mount.h. */

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fd.h"
#include "shim-mount.h"

int mount_detach(int dir_fd, const char *path, bool recursive, uint64_t attributes, int userns_fd,
                int *ret_fd)
{
        unsigned recurse = recursive ? AT_RECURSIVE : 0;
        CLEANUP_CLOSE int fd = -EBADF;
        struct mount_attr attr = {
                .attr_set = attributes | (userns_fd >= 0 ? MOUNT_ATTR_IDMAP : 0),
                /* A copy of a shared mount is its peer: what is mounted below would come back. */
                .propagation = MS_PRIVATE,
                .userns_fd = userns_fd >= 0 ? (uint64_t) userns_fd : 0,
        };

        fd = open_tree(dir_fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recurse);
        if (fd < 0)
                return -errno;
        if (mount_setattr(fd, "", AT_EMPTY_PATH | recurse, &attr, sizeof(attr)) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int mount_new(const char *type, const char *const *options, uint64_t attributes, int *ret_fd)
{
        CLEANUP_CLOSE int fs = -EBADF, fd = -EBADF;

        fs = fsopen(type, FSOPEN_CLOEXEC);
        if (fs < 0)
                return -errno;
        for (; options && *options; options++) {
                CLEANUP_FREE char *key = strdup(*options);
                char *value;
                int r;

                if (!key)
                        return -ENOMEM;
                value = strchr(key, '=');
                if (value)
                        *value++ = 0;
                r = value ? fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0)
                          : fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0);
                if (r < 0)
                        return -errno;
        }
        if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned) attributes);
        if (fd < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int mount_attach(int tree_fd, int dir_fd, const char *name)
{
        unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*name ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

        return move_mount(tree_fd, "", dir_fd, name, flags) < 0 ? -errno : 0;
}
