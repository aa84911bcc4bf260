/* SPDX-License-Identifier: Apache-2.0 */

/* Pinned namespaces; see shim-pins.h. */

#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"
#include "fd.h"
#include "shim-mount.h"
#include "shim-pins.h"

#define SHM      "shm"
#define SHM_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

typedef struct Pin {
        const char *name;
        int clone_flag;
} Pin;

static const Pin pins[] = {
        { "user", CLONE_NEWUSER }, /* first: owns the others */
        { "net", CLONE_NEWNET },
        { "ipc", CLONE_NEWIPC },
        { "uts", CLONE_NEWUTS },
};

static bool pin_applies(const Pin *p, const Launch *launch)
{
        return !(p->clone_flag == CLONE_NEWUSER && launch->userns_host) &&
               !(p->clone_flag == CLONE_NEWNET && launch->network_host);
}

/* umount2() knows paths only; the directory is ours alone (0700). */
static int pin_unmount(int ns_dir, const char *name)
{
        char dir[FD_PATH_MAX], path[FD_PATH_MAX + 8];

        (void) snprintf(path, sizeof(path), "%s/%s", fd_path(ns_dir, dir), name);
        /* Several may be stacked after a crash between mount and record. */
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
                ;
        return errno == EINVAL || errno == ENOENT ? 0 : -errno;
}

static int pin_make(int ns_dir, int proc_dir, const Pin *p)
{
        CLEANUP_CLOSE int file = -EBADF, source = -EBADF, tree = -EBADF;
        char path[16];
        int r;

        r = pin_unmount(ns_dir, p->name);
        if (r < 0)
                return r;
        file = openat(ns_dir, p->name, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file < 0)
                return -errno;
        (void) snprintf(path, sizeof(path), "ns/%s", p->name);
        source = openat(proc_dir, path, O_RDONLY | O_CLOEXEC);
        if (source < 0)
                return -errno;
        tree = open_tree(source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
        if (tree < 0)
                return -errno;
        return mount_attach(tree, file, "");
}

static int open_ns_dir(int pod_dir, int *ret_fd)
{
        int fd;

        if (mkdirat(pod_dir, "ns", 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(pod_dir, "ns", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* The file system is the host's, so that it can be mounted by any shim of the pod; what is in it
 * belongs to whoever made it, by the ids of the host, and the pod's are its own. */
static int shm_make(int ns_dir, const Launch *launch)
{
        unsigned owner = launch->userns_host ? 0 : (unsigned) launch->id_base;
        CLEANUP_CLOSE int fd = -EBADF;
        char uid[32], gid[32];
        int r;

        (void) snprintf(uid, sizeof(uid), "uid=%u", owner);
        (void) snprintf(gid, sizeof(gid), "gid=%u", owner);
        r = pin_unmount(ns_dir, SHM);
        if (r < 0)
                return r;
        if (mkdirat(ns_dir, SHM, 0700) < 0 && errno != EEXIST)
                return -errno;
        FAILPOINT("shim.shm");
        r = mount_new("tmpfs",
                        (const char *const[]){
                                        "source=shm", "mode=1777", "size=64m", uid, gid, NULL },
                        SHM_ATTR, &fd);
        return r < 0 ? r : mount_attach(fd, ns_dir, SHM);
}

int pins_make_shm(int pod_dir, const Launch *launch, SetupReport *reterr)
{
        CLEANUP_CLOSE int ns_dir = -EBADF;
        int r;

        r = open_ns_dir(pod_dir, &ns_dir);
        if (r >= 0)
                r = shm_make(ns_dir, launch);
        return r < 0 ? setup_report_set(reterr, r, "devices", "the pod's /dev/shm") : 0;
}

/* -ENOENT also when there is but the directory, of a shim that died before it mounted anything on
 * it: a copy of that would be a part of the host's own /run. */
static int shm_copy(int ns_dir, int *ret_fd)
{
        struct statx st;

        if (statx(ns_dir, SHM, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
                return -errno;
        if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
                return -ENOENT;
        return mount_detach(ns_dir, SHM, false, SHM_ATTR, -EBADF, ret_fd);
}

int pins_copy_shm(int pod_dir, const Launch *launch, int *ret_fd)
{
        CLEANUP_CLOSE int ns_dir = -EBADF;
        int r;

        ns_dir = openat(pod_dir, "ns", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (ns_dir < 0)
                return -errno;
        r = shm_copy(ns_dir, ret_fd);
        if (r != -ENOENT)
                return r;
        /* Made by an earlier build, which gave each container its own. Those that join at the same
         * time shall find one, so that it is made under a lock, and looked for again in there. */
        if (flock(ns_dir, LOCK_EX) < 0)
                return -errno;
        r = shm_copy(ns_dir, ret_fd);
        if (r != -ENOENT)
                return r;
        r = shm_make(ns_dir, launch);
        return r < 0 ? r : shm_copy(ns_dir, ret_fd);
}

int pins_make(int pod_dir, pid_t pid, const Launch *launch, SetupReport *reterr)
{
        CLEANUP_CLOSE int ns_dir = -EBADF, proc_dir = -EBADF;
        char path[32];
        int r;

        (void) snprintf(path, sizeof(path), "/proc/%d", (int) pid);
        proc_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_dir < 0)
                return setup_report_set(reterr, -errno, "namespaces", "%s", path);
        r = open_ns_dir(pod_dir, &ns_dir);
        if (r < 0)
                return setup_report_set(reterr, r, "namespaces", "pins");
        for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
                if (!pin_applies(&pins[i], launch))
                        continue;
                r = pin_make(ns_dir, proc_dir, &pins[i]);
                if (r < 0)
                        return setup_report_set(reterr, r, "namespaces", "pin of %s", pins[i].name);
        }
        return 0;
}

static int pin_open(int pod_dir, const Pin *p, int *ret_fd)
{
        char path[16];
        int fd;

        (void) snprintf(path, sizeof(path), "ns/%s", p->name);
        fd = openat(pod_dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

int pins_open_user(int pod_dir, int *ret_fd)
{
        return pin_open(pod_dir, &pins[0], ret_fd);
}

int pins_enter(int pod_dir, const Launch *launch)
{
        int fds[ARRAY_SIZE(pins)] = { -EBADF, -EBADF, -EBADF, -EBADF };
        int r = 0;

        /* All are opened before the first is entered: afterwards the path is out of reach. */
        for (size_t i = 0; i < ARRAY_SIZE(pins) && r >= 0; i++) {
                if (pin_applies(&pins[i], launch))
                        r = pin_open(pod_dir, &pins[i], &fds[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(pins) && r >= 0; i++) {
                if (fds[i] >= 0 && setns(fds[i], pins[i].clone_flag) < 0)
                        r = -errno;
        }
        for (size_t i = 0; i < ARRAY_SIZE(pins); i++)
                (void) safe_close(fds[i]);
        return r;
}

int pins_remove(int pod_dir)
{
        CLEANUP_CLOSE int ns_dir = -EBADF;
        int r;

        ns_dir = openat(pod_dir, "ns", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (ns_dir < 0)
                return errno == ENOENT ? 0 : -errno;
        for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
                r = pin_unmount(ns_dir, pins[i].name);
                if (r < 0)
                        return r;
                if (unlinkat(ns_dir, pins[i].name, 0) < 0 && errno != ENOENT)
                        return -errno;
        }
        r = pin_unmount(ns_dir, SHM);
        if (r < 0)
                return r;
        if (unlinkat(ns_dir, SHM, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;
        return unlinkat(pod_dir, "ns", AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}
