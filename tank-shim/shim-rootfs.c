/* SPDX-License-Identifier: Apache-2.0 */

/* The container's half of a root file system, made inside its user namespace, so that the kernel
 * limits what these mounts can be. Order:
 *
 *   1. everything of the host becomes private, so that nothing done here is seen there
 *   2. a small tmpfs holds the mount points and the run's files for /etc (hosts in one of its own,
 *      which nothing else can fill). It is attached over /proc: a place that every host has and
 *      that is needed by name no more, whereas the way to the run's own directories may lead
 *      through some that are closed to the container's root. In it the read-only root, the writable
 *      layer, and the overlay of both; `userxattr` and its user.overlay.* marks always, with the
 *      host's user namespace, too: one form on disk
 *   3. /proc, /dev, /sys: before the host's are out of reach, since the kernel lets a user
 *      namespace mount proc and sysfs only while it sees others
 *   4. masks, volumes, files in /etc
 *   5. pivot_root; the host's tree is detached as a whole
 *
 * Names inside the root are a stranger's: each is resolved by descriptor, in the root (openat2), or
 * must be a plain directory, and is mounted on by descriptor. */

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "shim-mount.h"

#define ATTR_STRICT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

typedef struct Rootfs {
        const Launch *launch;
        const EtcFiles *etc;
        Trees *trees;
        int stage; /* the tmpfs: lower/ layer/ root/ empty/ own/hosts hostname resolv.conf */
        int root;  /* the overlay's root directory */
        int proc, dev, sys;
        int hosts; /* the file, for writing */
        SetupReport *report;
} Rootfs;

static int fail(Rootfs *f, int r, const char *stage, const char *what)
{
        return setup_report_set(f->report, r, stage, "%.200s", what);
}

/* ---- targets ---- */

/* A top-level directory that the container's life depends on: made if missing, never a symlink. */
static int open_top(Rootfs *f, const char *name, int *ret_fd)
{
        int fd;

        if (mkdirat(f->root, name, 0755) < 0 && errno != EEXIST)
                return fail(f, -errno, "rootfs", name);
        fd = openat(f->root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
                return setup_report_tell(f->report, -errno, "rootfs",
                                "/%s of the root must be a directory", name);
        if (fd < 0)
                return fail(f, -errno, "rootfs", name);
        *ret_fd = fd;
        return 0;
}

/* Opens the directory @path in the root, making what is missing. Each step is resolved in the root,
 * whatever somebody who shares a volume does to the names meanwhile. */
static int open_dir_in_root(int root, const char *path, int *ret_fd)
{
        CLEANUP_CLOSE int fd = -EBADF;
        CLEANUP_FREE char *copy = strdup(path), *prefix = NULL;
        char *state = NULL;
        size_t used = 0;

        if (!copy)
                return -ENOMEM;
        prefix = calloc(1, strlen(path) + 2);
        if (!prefix)
                return -ENOMEM;
        fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (char *c = strtok_r(copy, "/", &state); c; c = strtok_r(NULL, "/", &state)) {
                int next;

                used += (size_t) sprintf(prefix + used, "/%s", c);
                next = open_in_root(root, prefix, O_PATH | O_DIRECTORY, 0);
                if (next == -ENOENT) {
                        if (mkdirat(fd, c, 0755) < 0 && errno != EEXIST)
                                return -errno;
                        next = open_in_root(root, prefix, O_PATH | O_DIRECTORY, 0);
                }
                if (next < 0)
                        return next;
                (void) safe_close(fd);
                fd = next;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* ---- the overlay ---- */

static int put_file(Rootfs *f, const char *name, const char *content)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        fd = openat(f->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
                return fail(f, -errno, "etc", name);
        r = write_full(fd, content, strlen(content));
        return r < 0 ? fail(f, r, "etc", name) : 0;
}

/* The only file that is written again later, by the shim, has a file system to itself: the
 * container may fill the other one through what it sees of it. Room for the host's file and all
 * lines that may be declared. */
static int mount_own(Rootfs *f)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        static_assert(ETC_FILE_MAX + 1024U + LIMIT_EXTRA_HOSTS * 320U <= 128U * 1024U,
                        "/etc/hosts has no room");
        r = mount_new("tmpfs",
                        (const char *const[]){ "source=tank", "mode=755", "size=128k",
                                        "nr_inodes=4", NULL },
                        ATTR_STRICT, &fd);
        if (r >= 0)
                r = mount_attach(fd, f->stage, "own");
        return r < 0 ? fail(f, r, "rootfs", "staging") : put_file(f, "own/hosts", f->etc->hosts);
}

static int mount_stage(Rootfs *f)
{
        static const char *const dirs[] = { "lower", "layer", "root", "empty", "own" };
        int r;

        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return fail(f, -errno, "rootfs", "making the mounts private");
        r = mount_new("tmpfs",
                        (const char *const[]){ "source=tank", "mode=755", "size=256k",
                                        "nr_inodes=32", NULL },
                        ATTR_STRICT, &f->stage);
        if (r >= 0)
                r = mount_attach(f->stage, AT_FDCWD, "/proc");
        if (r < 0)
                return fail(f, r, "rootfs", "staging");
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                if (mkdirat(f->stage, dirs[i], 0555) < 0)
                        return fail(f, -errno, "rootfs", "staging");
        }
        r = mount_own(f);
        if (r >= 0)
                r = put_file(f, "hostname", f->etc->hostname);
        if (r >= 0)
                r = put_file(f, "resolv.conf", f->etc->resolv);
        return r;
}

static int mount_overlay(Rootfs *f)
{
        /* The layer is as young as the run and dies with it: nothing in it needs a sync, neither
         * when a program asks for one nor, for the whole disk, when it is unmounted. */
        static const char *const options[] = { "source=overlay", "lowerdir=lower",
                "upperdir=layer/upper", "workdir=layer/work", "userxattr", "volatile", NULL };
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        if (fchdir(f->stage) < 0)
                return fail(f, -errno, "rootfs", "staging");
        r = mount_attach(f->trees->scratch, f->stage, "layer");
        if (r < 0)
                return fail(f, r, "rootfs", "attaching the writable layer");
        r = mount_attach(f->trees->lower, f->stage, "lower");
        if (r < 0)
                return fail(f, r, "rootfs", "attaching the root file system");
        r = mount_new("overlay", options, MOUNT_ATTR_NODEV, &fd);
        if (r < 0)
                return fail(f, r, "rootfs", "overlay");
        r = mount_attach(fd, f->stage, "root");
        if (r < 0)
                return fail(f, r, "rootfs", "attaching the overlay");
        f->root = TAKE_FD(fd);
        return 0;
}

/* ---- /proc ---- */

static int bind_over(int source_dir, const char *source, int target_dir, const char *target,
                uint64_t attributes)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        r = mount_detach(source_dir, source, false, attributes, -EBADF, &fd);
        return r < 0 ? r : mount_attach(fd, target_dir, target);
}

/* What tells about or reaches the machine beside the container. A name that this kernel does not
 * have needs no mask. */
static int mask(Rootfs *f, int dir_fd, const char *name)
{
        struct stat st;
        int r;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : fail(f, -errno, "masks", name);
        if (S_ISDIR(st.st_mode))
                r = bind_over(f->stage, "empty", dir_fd, name, MOUNT_ATTR_RDONLY | ATTR_STRICT);
        else
                r = bind_over(AT_FDCWD, "/dev/null", dir_fd, name, 0);
        return r < 0 ? fail(f, r, "masks", name) : 0;
}

static int make_read_only(Rootfs *f, int dir_fd, const char *name)
{
        int r = bind_over(dir_fd, name, dir_fd, name, MOUNT_ATTR_RDONLY | ATTR_STRICT);

        return r < 0 && r != -ENOENT ? fail(f, r, "masks", name) : 0;
}

static int mount_proc(Rootfs *f)
{
        CLEANUP_CLOSE int point = -EBADF;
        int r;

        r = open_top(f, "proc", &point);
        if (r < 0)
                return r;
        r = mount_new("proc", (const char *const[]){ "source=proc", NULL }, ATTR_STRICT, &f->proc);
        if (r >= 0)
                r = mount_attach(f->proc, point, "");
        return r < 0 ? fail(f, r, "proc", "mounting /proc") : 0;
}

static int restrict_proc_and_sys(Rootfs *f)
{
        static const char *const masked_proc[] = { "acpi", "asound", "interrupts", "kcore", "keys",
                "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats" };
        static const char *const masked_sys[] = { "devices/virtual/powercap", "firmware" };
        static const char *const read_only[] = { "bus", "fs", "irq", "sys", "sysrq-trigger" };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(masked_proc); i++) {
                r = mask(f, f->proc, masked_proc[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ARRAY_SIZE(read_only); i++) {
                r = make_read_only(f, f->proc, read_only[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ARRAY_SIZE(masked_sys); i++) {
                r = mask(f, f->sys, masked_sys[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- /dev ---- */

typedef struct Node {
        const char *name;
        unsigned major, minor;
} Node;

static int bind_node(Rootfs *f, const Node *n)
{
        CLEANUP_CLOSE int fd = -EBADF;
        char path[32];
        struct stat st;
        int r;

        (void) snprintf(path, sizeof(path), "/dev/%s", n->name);
        r = mount_detach(AT_FDCWD, path, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, -EBADF, &fd);
        if (r < 0)
                return fail(f, r, "devices", path);
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(n->major, n->minor))
                return fail(f, -ENODEV, "devices", path);
        if (mknodat(f->dev, n->name, S_IFREG | 0644, 0) < 0)
                return fail(f, -errno, "devices", path);
        r = mount_attach(fd, f->dev, n->name);
        return r < 0 ? fail(f, r, "devices", path) : 0;
}

static int mount_in_dev(Rootfs *f, const char *name, const char *type, const char *const *options,
                uint64_t attributes)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        if (mkdirat(f->dev, name, 0755) < 0)
                return fail(f, -errno, "devices", name);
        r = mount_new(type, options, attributes, &fd);
        if (r >= 0)
                r = mount_attach(fd, f->dev, name);
        return r < 0 ? fail(f, r, "devices", name) : 0;
}

/* Shared by the containers of the pod, like the IPC namespace. */
static int attach_shm(Rootfs *f)
{
        int r;

        if (mkdirat(f->dev, "shm", 0755) < 0)
                return fail(f, -errno, "devices", "/dev/shm");
        r = mount_attach(f->trees->shm, f->dev, "shm");
        return r < 0 ? fail(f, r, "devices", "/dev/shm") : 0;
}

static int mount_dev(Rootfs *f)
{
        static const Node nodes[] = { { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 },
                { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
        static const char *const links[][2] = { { "/proc/self/fd", "fd" },
                { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" },
                { "/proc/self/fd/2", "stderr" }, { "pts/ptmx", "ptmx" } };
        /* Group 5 is tty everywhere; it exists inside only when it is mapped. */
        bool has_tty_group = f->launch->userns_host || f->launch->id_count > 5;
        const char *pts[] = { "source=devpts", "ptmxmode=0666", "mode=0620",
                has_tty_group ? "gid=5" : NULL, NULL };
        CLEANUP_CLOSE int point = -EBADF;
        int r;

        r = open_top(f, "dev", &point);
        if (r < 0)
                return r;
        r = mount_new("tmpfs",
                        (const char *const[]){ "source=tmpfs", "mode=755", "size=1m",
                                        "nr_inodes=1k", NULL },
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &f->dev);
        if (r >= 0)
                r = mount_attach(f->dev, point, "");
        if (r < 0)
                return fail(f, r, "devices", "mounting /dev");
        for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
                r = bind_node(f, &nodes[i]);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
                if (symlinkat(links[i][0], f->dev, links[i][1]) < 0)
                        return fail(f, -errno, "devices", links[i][1]);
        }
        r = mount_in_dev(f, "pts", "devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        if (r >= 0)
                r = attach_shm(f);
        if (r >= 0)
                r = mount_in_dev(f, "mqueue", "mqueue",
                                (const char *const[]){ "source=mqueue", NULL }, ATTR_STRICT);
        return r;
}

/* ---- /sys ---- */

static int mount_sys(Rootfs *f)
{
        uint64_t attributes = MOUNT_ATTR_RDONLY | ATTR_STRICT;
        CLEANUP_CLOSE int point = -EBADF, cgroup = -EBADF;
        int r;

        r = open_top(f, "sys", &point);
        if (r < 0)
                return r;
        /* A sysfs shows a network namespace: ours if the pod has one, else the host's, which only
         * the host's root may mount anew; a copy of its mounts is all there is then. */
        if (!f->launch->network_host || f->launch->userns_host)
                r = mount_new("sysfs", (const char *const[]){ "source=sysfs", NULL }, attributes,
                                &f->sys);
        else
                r = mount_detach(AT_FDCWD, "/sys", true, attributes, -EBADF, &f->sys);
        if (r >= 0)
                r = mount_attach(f->sys, point, "");
        if (r < 0)
                return fail(f, r, "sys", "mounting /sys");

        r = mount_new("cgroup2", (const char *const[]){ "source=cgroup2", NULL }, attributes,
                        &cgroup);
        if (r >= 0)
                r = mount_attach(cgroup, f->sys, "fs/cgroup");
        return r < 0 ? fail(f, r, "sys", "mounting /sys/fs/cgroup") : 0;
}

/* ---- volumes, /etc ---- */

static bool is_kernel_tree(int fd)
{
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return true;
        return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
               (unsigned long) fs.f_type == CGROUP2_SUPER_MAGIC;
}

static const Launch
                *sort_launch; /* qsort() has no argument for it, and this process has one thread */

static int compare_targets(const void *a, const void *b)
{
        return strcmp(sort_launch->mounts[*(const size_t *) a].target,
                        sort_launch->mounts[*(const size_t *) b].target);
}

/* Sorted by target, so that a volume inside another's directory is not hidden by it. */
static int mount_volumes(Rootfs *f)
{
        size_t order[LIMIT_MOUNTS];

        for (size_t i = 0; i < f->launch->n_mounts; i++)
                order[i] = i;
        sort_launch = f->launch;
        qsort(order, f->launch->n_mounts, sizeof(order[0]), compare_targets);
        for (size_t i = 0; i < f->launch->n_mounts; i++) {
                const LaunchMount *m = &f->launch->mounts[order[i]];
                CLEANUP_CLOSE int target = -EBADF;
                int r;

                r = open_dir_in_root(f->root, m->target, &target);
                if (r < 0)
                        return fail(f, r, "volume", m->target);
                /* Whoever mounts over /proc decides what the kernel's writes to it do. */
                if (is_kernel_tree(target))
                        return setup_report_tell(f->report, -EPERM, "volume",
                                        "%.150s: nothing is mounted over /proc and /sys",
                                        m->target);
                r = mount_attach(f->trees->volumes[order[i]], target, "");
                if (r < 0)
                        return fail(f, r, "volume", m->target);
        }
        return 0;
}

/* The plain file to mount on. A symlink (resolv.conf is one in many roots) gives way to one, in the
 * run's own layer. Not opened for writing: that would copy it up. */
static int open_etc_target(int etc, const char *name, int *ret_fd)
{
        struct stat st;
        int fd;

        if (fstatat(etc, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno != ENOENT)
                        return -errno;
        } else if (S_ISREG(st.st_mode)) {
                fd = openat(etc, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                *ret_fd = fd;
                return 0;
        } else if (unlinkat(etc, name, 0) < 0) {
                return -errno;
        }
        fd = openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* Only on the container's own layer: with a volume at /etc these names are the volume's. */
static int bind_etc_file(Rootfs *f, int etc, const char *source, const char *name)
{
        CLEANUP_CLOSE int target = -EBADF;
        struct stat st, root;
        int r;

        if (fstat(etc, &st) < 0 || fstat(f->root, &root) < 0)
                return fail(f, -errno, "etc", name);
        if (st.st_dev != root.st_dev)
                return 0;
        r = open_etc_target(etc, name, &target);
        if (r >= 0)
                r = bind_over(f->stage, source, target, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        return r < 0 ? fail(f, r, "etc", name) : 0;
}

static int bind_etc(Rootfs *f)
{
        static const char *const files[][2] = { { "own/hosts", "hosts" },
                { "hostname", "hostname" }, { "resolv.conf", "resolv.conf" } };
        CLEANUP_CLOSE int path = -EBADF;
        int r;

        r = open_dir_in_root(f->root, "/etc", &path);
        if (r < 0)
                return fail(f, r, "etc", "/etc");
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                r = bind_etc_file(f, path, files[i][0], files[i][1]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* For whoever writes it anew later: by descriptor, since the name is the container's. */
static int open_hosts(Rootfs *f)
{
        f->hosts = openat(f->stage, "own/hosts", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        return f->hosts < 0 ? fail(f, -errno, "etc", "hosts") : 0;
}

static int mount_id(const char *path, uint64_t *ret)
{
        struct statx sx;

        if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) < 0)
                return -errno;
        if (!(sx.stx_mask & STATX_MNT_ID))
                return -ENODATA;
        *ret = sx.stx_mnt_id;
        return 0;
}

/* The old root ends up on top of the new one and is taken off at once, with all the host's mounts
 * below it. What lies on top is seen through "/..", not through "/": asked until nothing does, for
 * one that stayed would be the way out. */
static int pivot(Rootfs *f)
{
        uint64_t ours = 0, top = 0;
        int r;

        if (fchdir(f->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
                return fail(f, -errno, "rootfs", "pivot_root");
        r = mount_id("/", &ours);
        for (int i = 0; i < 16 && r >= 0; i++) {
                r = mount_id("/..", &top);
                if (r >= 0 && top == ours)
                        return chdir("/") < 0 ? fail(f, -errno, "rootfs", "/") : 0;
                if (r >= 0 && umount2("/..", MNT_DETACH) < 0)
                        r = -errno;
        }
        return fail(f, r < 0 ? r : -EBUSY, "rootfs", "detaching the host's tree");
}

int rootfs_enter(const Launch *launch, const EtcFiles *etc, Trees *trees, int *ret_hosts,
                SetupReport *reterr)
{
        static int (*const steps[])(Rootfs *) = { mount_stage, mount_overlay, mount_proc, mount_dev,
                mount_sys, restrict_proc_and_sys, mount_volumes, bind_etc, open_hosts, pivot };
        Rootfs f = { .launch = launch,
                .etc = etc,
                .trees = trees,
                .report = reterr,
                .stage = -EBADF,
                .root = -EBADF,
                .proc = -EBADF,
                .dev = -EBADF,
                .sys = -EBADF,
                .hosts = -EBADF };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(steps) && r >= 0; i++)
                r = steps[i](&f);
        (void) safe_close(f.stage);
        (void) safe_close(f.root);
        (void) safe_close(f.proc);
        (void) safe_close(f.dev);
        (void) safe_close(f.sys);
        if (r >= 0)
                *ret_hosts = TAKE_FD(f.hosts);
        (void) safe_close(f.hosts);
        return r;
}

int rootfs_bind_console(int slave_fd, SetupReport *reterr)
{
        CLEANUP_CLOSE int dev = -EBADF, tree = -EBADF;
        int r;

        dev = open("/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dev < 0 || (mknodat(dev, "console", S_IFREG | 0600, 0) < 0 && errno != EEXIST))
                return setup_report_set(reterr, -errno, "tty", "/dev/console");
        /* By descriptor: no name under /dev/pts is looked up again. */
        r = mount_detach(slave_fd, "", false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, -EBADF, &tree);
        if (r >= 0)
                r = mount_attach(tree, dev, "console");
        return r < 0 ? setup_report_set(reterr, r, "tty", "/dev/console") : 0;
}
