/* SPDX-License-Identifier: Apache-2.0 */

/* Volumes whose files are values of secrets and configs.
 *
 * Each mount of one is a tmpfs of its own, as large as its files and read-only for good. It is
 * made by the shim, on the host, since only there a file system may be told to stay out of the
 * swap; the kernels that cannot be told so (before 6.4) get the files of secrets locked in
 * memory instead, by a mapping that lives as long as the shim does. Who the files belong to is
 * known in the child alone, which has the container's /etc/passwd: it gives them away, through
 * the descriptor that it attached, and closes the volume for writing behind itself. Directories
 * beneath it are the container's root's, for all to pass through; what is not for everybody is
 * what is in the files.
 *
 * Of a live volume the child sends back a second mount, attached nowhere and not read-only, before
 * it closes the first one. Through that the shim puts what the reconciler sends later: each file is
 * written aside and takes its place in one step, so that a reader has the old one or the new one,
 * whole. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "shim-values.h"

#define PAGE 4096U
#define NEW  "..new" /* no key begins so */

/* A file of a live secret that is locked, on kernels that would swap it; of one process, which is
 * one run's. */
typedef struct Lock {
        void *address;
        size_t size;
} Lock;

static bool must_lock;
static Lock *locks; /* those of values_replace() */
static size_t n_locks;

static bool is_of(const LaunchFile *f, const LaunchMount *m)
{
        return streq(f->volume, m->values);
}

/* ---- making ---- */

/* Room for exactly that, in whole pages; a size of 0 would be no limit. Live files are written
 * while the old ones are there, and nobody but the shim writes: twice what may come at all. */
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
        *ret_pages = m->live ? 2 * (LIMIT_VALUES_BYTES / PAGE + LIMIT_VALUE_FILES) : pages;
        *ret_inodes = m->live ? 4 * LIMIT_VALUE_FILES : inodes;
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
        must_lock = must_lock || r >= 0;
        return r;
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

/* As long as it is mapped; by a descriptor for reading, since one for writing would keep the mount
 * from becoming read-only. Where it cannot be locked it is as safe as the memory of the workload,
 * which reads it. */
static int lock_in_memory(int dir, const char *name, size_t size, Lock *ret)
{
        CLEANUP_CLOSE int fd = -EBADF;
        void *p;

        *ret = (Lock){};
        if (size == 0)
                return 0;
        fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        (void) mlock(p, size);
        *ret = (Lock){ p, size };
        return 0;
}

/* @lock: NULL when it need not be. */
static int make_file(
                int dir, const char *name, const LaunchFile *f, uid_t uid, gid_t gid, Lock *lock)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_full(fd, f->data, f->size);
        if (r < 0)
                return r;
        if (lock) {
                r = lock_in_memory(dir, name, f->size, lock);
                if (r < 0)
                        return r;
        }
        /* Owner first: changing it would take bits off the mode. */
        if (fchown(fd, uid, gid) < 0 || fchmod(fd, f->mode) < 0)
                return -errno;
        return 0;
}

int values_make(const Launch *launch, const LaunchMount *m, int *ret_fd, SetupReport *reterr)
{
        uid_t root = launch->userns_host ? 0 : launch->id_base;
        CLEANUP_CLOSE int fd = -EBADF;
        Lock lock; /* until the process ends */
        int r;

        r = make_file_system(launch, m, &fd);
        if (r < 0)
                return setup_report_set(reterr, r, "volume", "a tmpfs for %s", m->values);
        for (size_t i = 0; i < launch->n_files; i++) {
                const LaunchFile *f = &launch->files[i];

                if (!is_of(f, m))
                        continue;
                r = make_directories(fd, f->path, root);
                if (r >= 0)
                        r = make_file(fd, f->path, f, root, root,
                                        m->secret && must_lock ? &lock : NULL);
                if (r < 0)
                        return setup_report_set(
                                        reterr, r, "volume", "%s: %.150s", m->values, f->path);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* ---- giving ---- */

/* The volume's own directory, too: that is how the shim knows later whose its files are. */
static int give_files(const Launch *l, const LaunchMount *m, int root, const Identity *id)
{
        if (fchownat(root, "", id->uid, id->gid, AT_EMPTY_PATH) < 0)
                return -errno;
        for (size_t i = 0; i < l->n_files; i++)
                if (is_of(&l->files[i], m) && fchownat(root, l->files[i].path, id->uid, id->gid,
                                                              AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        return 0;
}

int values_give(const Launch *launch, const Trees *trees, const Identity *id,
                int ret_live[static LIMIT_MOUNTS], SetupReport *reterr)
{
        struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                ret_live[i] = -EBADF;

        for (size_t i = 0; i < launch->n_mounts; i++) {
                const LaunchMount *m = &launch->mounts[i];
                int r;

                if (!m->values)
                        continue;
                r = give_files(launch, m, trees->volumes[i], id);
                if (r >= 0 && m->live)
                        r = mount_detach(trees->volumes[i], "", false, 0, -EBADF, &ret_live[i]);
                if (r >= 0 && mount_setattr(trees->volumes[i], "", AT_EMPTY_PATH, &attr,
                                              sizeof(attr)) < 0)
                        r = -errno;
                if (r < 0)
                        return setup_report_set(reterr, r, "volume", "files of %s", m->values);
        }
        return 0;
}

/* ---- replacing ---- */

static void drop_locks(Lock *of, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (of[i].address)
                        (void) munmap(of[i].address, of[i].size);
        free(of);
}

/* All that takes room, before anything is another one. */
static int write_new(const LaunchMount *m, const Launch *files, int root, const struct stat *st,
                Lock *new_locks)
{
        CLEANUP_CLOSE int dir = -EBADF;
        char name[16];
        int r;

        r = remove_tree_at(root, NEW); /* of an earlier one that failed */
        if (r < 0)
                return r;
        if (mkdirat(root, NEW, 0700) < 0)
                return -errno;
        dir = openat(root, NEW, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        for (size_t i = 0; i < files->n_files; i++) {
                if (!is_of(&files->files[i], m))
                        continue;
                (void) snprintf(name, sizeof(name), "%zu", i);
                r = make_file(dir, name, &files->files[i], st->st_uid, st->st_gid,
                                m->secret && must_lock ? &new_locks[i] : NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int move_new(const Launch *launch, const LaunchMount *m, const Launch *files, int root)
{
        uid_t owner = launch->userns_host ? 0 : launch->id_base;
        char name[sizeof(NEW "/") + 16];
        int r;

        for (size_t i = 0; i < files->n_files; i++) {
                const LaunchFile *f = &files->files[i];

                if (!is_of(f, m))
                        continue;
                (void) snprintf(name, sizeof(name), NEW "/%zu", i);
                r = make_directories(root, f->path, owner);
                if (r < 0)
                        return r;
                if (renameat(root, name, root, f->path) < 0)
                        return -errno;
        }
        return unlinkat(root, NEW, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static bool is_among(const LaunchMount *m, const Launch *files, const char *name)
{
        for (size_t i = 0; i < files->n_files; i++)
                if (is_of(&files->files[i], m) && streq(files->files[i].path, name))
                        return true;
        return false;
}

/* Keys that are gone. They stood at the top: what `items` places is always there. */
static int remove_old(const LaunchMount *m, const Launch *files, int root)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(root, ".", &d);
        if (r < 0)
                return r;
        while ((e = readdir(d)))
                if (e->d_type == DT_REG && !is_among(m, files, e->d_name) &&
                                unlinkat(root, e->d_name, 0) < 0)
                        return -errno;
        return 0;
}

int values_replace(const Launch *launch, const int live[static LIMIT_MOUNTS], const Launch *files,
                SetupReport *reterr)
{
        Lock *new_locks = calloc(MAX(files->n_files * launch->n_mounts, (size_t) 1), sizeof(Lock));
        int r = new_locks ? 0 : -ENOMEM;

        for (size_t i = 0; i < launch->n_mounts && r >= 0; i++) {
                const LaunchMount *m = &launch->mounts[i];
                struct stat st;

                if (live[i] < 0)
                        continue;
                if (fstatat(live[i], "", &st, AT_EMPTY_PATH) < 0)
                        r = -errno;
                if (r >= 0)
                        r = write_new(m, files, live[i], &st, new_locks + i * files->n_files);
                if (r >= 0)
                        r = move_new(launch, m, files, live[i]);
                if (r >= 0)
                        r = remove_old(m, files, live[i]);
                if (r < 0)
                        (void) setup_report_set(reterr, r, "volume", "files of %s", m->values);
        }
        if (r < 0) {
                drop_locks(new_locks, new_locks ? files->n_files * launch->n_mounts : 0);
                return r;
        }
        drop_locks(locks, n_locks);
        locks = new_locks;
        n_locks = files->n_files * launch->n_mounts;
        return 0;
}
