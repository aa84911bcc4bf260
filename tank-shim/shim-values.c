/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes whose files are values of secrets and configs.
 *
 * Each mount of one is a tmpfs of its own, as large as its files and read-only for good. It is
 * made by the shim, on the host, since only there a file system may be told to stay out of the
 * swap; the kernels that cannot be told so (before 6.4) get the files of secrets locked in
 * memory instead, by a mapping that lives as long as the shim does. Who the files belong to is
 * known in the child alone, which has the container's /etc/passwd: it gives them away, through
 * the descriptor that it attached, and closes the volume for writing behind itself. Directories
 * are the container's root's, for all to pass through; what is not for everybody is what is in
 * the files. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "shim-values.h"

#define PAGE 4096U

static bool is_of(const LaunchFile *f, const LaunchMount *m)
{
        return streq(f->volume, m->values);
}

/* ---- making ---- */

/* Room for exactly that, in whole pages; a size of 0 would be no limit. */
static void measure(const Launch *l, const LaunchMount *m, size_t *ret_pages, size_t *ret_inodes)
{
        size_t pages = 1, inodes = 2;

        for (size_t i = 0; i < l->n_files; i++) {
                const LaunchFile *f = &l->files[i];

                if (!is_of(f, m))
                        continue;
                pages += (f->size + PAGE - 1) / PAGE;
                for (const char *p = f->path; p; p = strchr(p + 1, '/'))
                        inodes++;
        }
        *ret_pages = pages;
        *ret_inodes = inodes;
}

static int make_file_system(const Launch *l, const LaunchMount *m, int *ret_fd)
{
        char size[48], inodes[48], uid[32], gid[32];
        uid_t root = l->userns_host ? 0 : l->id_base;
        const char *options[] = { "source=tank", "mode=755", uid, gid, size, inodes,
                m->secret ? "noswap" : NULL, NULL };
        size_t n_pages, n_inodes;
        int r;

        measure(l, m, &n_pages, &n_inodes);
        (void) snprintf(size, sizeof(size), "size=%zu", n_pages * PAGE);
        (void) snprintf(inodes, sizeof(inodes), "nr_inodes=%zu", 2 * n_inodes);
        (void) snprintf(uid, sizeof(uid), "uid=%u", (unsigned) root);
        (void) snprintf(gid, sizeof(gid), "gid=%u", (unsigned) root);
        r = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                        ret_fd);
        if (r != -EINVAL || !m->secret)
                return r;
        options[ARRAY_SIZE(options) - 2] = NULL;
        r = mount_new("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                        ret_fd);
        return r < 0 ? r : 1; /* it may be swapped */
}

static int make_directories(int root, const char *path, uid_t owner)
{
        CLEANUP_FREE char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdirat(root, copy, 0755) < 0) {
                        if (errno != EEXIST)
                                return -errno;
                } else if (fchownat(root, copy, owner, owner, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

static void lock_in_memory(int fd, size_t size)
{
        void *p = size > 0 ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

        /* It stays mapped. Where it cannot be locked it is as safe as the memory of the workload,
         * which reads it. */
        if (p != MAP_FAILED)
                (void) mlock(p, size);
}

static int make_file(int root, const LaunchFile *f, uid_t owner, bool lock)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        r = make_directories(root, f->path, owner);
        if (r < 0)
                return r;
        fd = openat(root, f->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_full(fd, f->data, f->size);
        if (r < 0)
                return r;
        if (lock)
                lock_in_memory(fd, f->size);
        if (fchmod(fd, f->mode) < 0 || fchown(fd, owner, owner) < 0)
                return -errno;
        return 0;
}

int values_make(const Launch *launch, const LaunchMount *m, int *ret_fd, SetupReport *reterr)
{
        uid_t root = launch->userns_host ? 0 : launch->id_base;
        CLEANUP_CLOSE int fd = -EBADF;
        int r, lock;

        lock = make_file_system(launch, m, &fd);
        if (lock < 0)
                return setup_report_set(reterr, lock, "volume", "a tmpfs for %s", m->values);
        for (size_t i = 0; i < launch->n_files; i++) {
                const LaunchFile *f = &launch->files[i];

                if (!is_of(f, m))
                        continue;
                r = make_file(fd, f, root, lock > 0);
                if (r < 0)
                        return setup_report_set(
                                        reterr, r, "volume", "%s: %.150s", m->values, f->path);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* ---- giving ---- */

static int give_files(const Launch *l, const LaunchMount *m, int root, const Identity *id)
{
        for (size_t i = 0; i < l->n_files; i++)
                if (is_of(&l->files[i], m) && fchownat(root, l->files[i].path, id->uid, id->gid,
                                                              AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        return 0;
}

int values_give(const Launch *launch, const Trees *trees, const Identity *id, SetupReport *reterr)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

        for (size_t i = 0; i < launch->n_mounts; i++) {
                const LaunchMount *m = &launch->mounts[i];
                int r;

                if (!m->values)
                        continue;
                r = give_files(launch, m, trees->volumes[i], id);
                if (r >= 0 && mount_setattr(trees->volumes[i], "", AT_EMPTY_PATH, &attr,
                                              sizeof(attr)) < 0)
                        r = -errno;
                if (r < 0)
                        return setup_report_set(reterr, r, "volume", "files of %s", m->values);
        }
        return 0;
}
