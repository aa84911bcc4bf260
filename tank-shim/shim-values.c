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
 * it closes the first one. Through that the shim puts what the reconciler sends later. The files of
 * one version of the object are a generation, in a directory of its own, and one link says which
 * one counts:
 *
 *      ..7/tls/key  ..7/user       a generation: never written to again
 *      ..data -> ..7               replaced by rename(): all files change at once
 *      tls -> ..data/tls           where the container looks
 *      user -> ..data/user
 *
 * So who opens one file has the old or the new one, whole; and who goes into ..data and opens there
 * has files of one version. (Programs that watch for such a change know the scheme: it is that of
 * Kubernetes.) All that can fail for want of room is done before the rename, in all volumes of the
 * container; what failed leaves nothing behind. The generation before stays for a while, for those
 * who are in it or on their way. What is declared cannot meet these names: no key begins with "..",
 * nor the path of an item.
 *
 * A container that may mount can make its own mount of a live volume writable again, and exchange
 * there what the shim is about to use, which has all rights on the host. So the shim goes by one
 * name at a time, never through a link, and puts files only into a directory that it found to be
 * its own and that nobody else may enter until all is in it. What such a container can spoil is
 * its own volume. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "quantity.h"
#include "shim-values.h"

#define PAGE 4096U
#define DATA "..data"
#define NEXT "..next" /* what becomes it */
#define LAST "..last" /* what was it, until all volumes have their new one */

/* Files of secrets that are locked, on kernels that would swap them; of one process, which is one
 * run's. */
typedef struct Lock {
        void *address;
        size_t size;
} Lock;

typedef struct Locks {
        Lock *all;
        size_t n;
} Locks;

static bool must_lock;
static Locks fixed_locks;               /* until the process ends */
static Locks live_locks, earlier_locks; /* of the generations that count; of those before */

/* Whose the directories and links are, and, until it is known who runs there, the files. */
static uid_t root_of(const Launch *l)
{
        return l->userns_host ? 0 : l->id_base;
}

static bool is_of(const LaunchFile *f, const LaunchMount *m)
{
        return streq(f->volume, m->values);
}

/* ---- making ---- */

/* Room for exactly that, in whole pages; a size of 0 would be no limit. Live files are written
 * while the old ones are there, and nobody but the shim writes: twice what may come at all, and the
 * links, of which a long one takes a page. What `items` places stays there, and so do the
 * directories that it takes. */
static void measure(const Launch *l, const LaunchMount *m, size_t *ret_pages, size_t *ret_inodes)
{
        size_t pages = 1, inodes = 2, directories = 0;

        for (size_t i = 0; i < l->n_files; i++) {
                const LaunchFile *f = &l->files[i];

                if (!is_of(f, m))
                        continue;
                pages += (f->size + PAGE - 1) / PAGE;
                inodes++;
                for (const char *p = strchr(f->path, '/'); p; p = strchr(p + 1, '/'))
                        directories++;
        }
        if (m->live) {
                pages = 2 * (LIMIT_VALUES_BYTES / PAGE + LIMIT_VALUE_FILES) + 2 * LIMIT_VALUE_FILES;
                inodes = 2 * LIMIT_VALUE_FILES + 2 * LIMIT_VALUE_FILES + 8;
                directories *= 2;
        }
        *ret_pages = pages;
        *ret_inodes = inodes + directories;
}

static int make_file_system(const Launch *l, const LaunchMount *m, int *ret_fd)
{
        char size[48], inodes[48], uid[32], gid[32];
        uid_t root = root_of(l);
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

/* The directory that the last name of @path stands in, which is made; *@ret_name: that name. */
static int open_parent(int root, const char *path, uid_t owner, int *ret_fd, const char **ret_name)
{
        CLEANUP_FREE char *copy = strdup(path);
        CLEANUP_CLOSE int fd = -EBADF;
        char *name = copy;

        if (!copy)
                return -ENOMEM;
        fd = fcntl(root, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;
        for (char *slash; (slash = strchr(name, '/')); name = slash + 1) {
                int next, r;

                *slash = '\0';
                r = mkdir_p_open_at(fd, name, 0755, &next);
                if (r < 0)
                        return r;
                (void) safe_close(fd);
                fd = next;
                if (fchown(fd, owner, owner) < 0)
                        return -errno;
        }
        *ret_fd = TAKE_FD(fd);
        *ret_name = path + (name - copy);
        return 0;
}

static void drop_locks(Locks *l)
{
        for (size_t i = 0; i < l->n; i++)
                (void) munmap(l->all[i].address, l->all[i].size);
        free(l->all);
        *l = (Locks){};
}

static int add_lock(Locks *l, void *address, size_t size)
{
        Lock *grown = reallocarray(l->all, l->n + 1, sizeof(Lock));

        if (!grown)
                return -ENOMEM;
        l->all = grown;
        l->all[l->n++] = (Lock){ address, size };
        return 0;
}

/* As long as it is mapped; by a descriptor for reading, since one for writing would keep the mount
 * from becoming read-only. Where it cannot be locked it is as safe as the memory of the workload,
 * which reads it. */
static int lock_in_memory(int dir, const char *name, size_t size, Locks *locks)
{
        CLEANUP_CLOSE int fd = -EBADF;
        void *p;
        int r;

        if (size == 0)
                return 0;
        fd = open_beneath(dir, name, O_RDONLY, 0);
        if (fd < 0)
                return fd;
        p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        (void) mlock(p, size);
        r = add_lock(locks, p, size);
        if (r < 0)
                (void) munmap(p, size);
        return r;
}

/* @locks: NULL when it need not be. */
static int make_file(
                int dir, const char *name, const LaunchFile *f, uid_t uid, gid_t gid, Locks *locks)
{
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        fd = open_beneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
                return fd;
        r = write_full(fd, f->data, f->size);
        if (r < 0)
                return r;
        if (locks) {
                r = lock_in_memory(dir, name, f->size, locks);
                if (r < 0)
                        return r;
        }
        /* Owner first: changing it would take bits off the mode. */
        if (fchown(fd, uid, gid) < 0 || fchmod(fd, f->mode) < 0)
                return -errno;
        return 0;
}

/* The files of @m that are among @files, into @dir. *@reterr_path: the one that could not be. */
static int fill(const Launch *launch, const LaunchMount *m, const Launch *files, int dir, uid_t uid,
                gid_t gid, Locks *locks, const char **reterr_path)
{
        for (size_t i = 0; i < files->n_files; i++) {
                const LaunchFile *f = &files->files[i];
                CLEANUP_CLOSE int parent = -EBADF;
                const char *name = NULL;
                int r;

                if (!is_of(f, m))
                        continue;
                r = open_parent(dir, f->path, root_of(launch), &parent, &name);
                if (r >= 0)
                        r = make_file(parent, name, f, uid, gid,
                                        m->secret && must_lock ? locks : NULL);
                if (r < 0) {
                        *reterr_path = f->path;
                        return r;
                }
        }
        return 0;
}

static int refuse_files(SetupReport *reterr, int r, const LaunchMount *m, const char *path)
{
        if (!path)
                return setup_report_set(reterr, r, "volume", "files of %s", m->values);
        return setup_report_set(reterr, r, "volume", "%s: %.150s", m->values, path);
}

/* ---- generations ---- */

/* Longer than any path in a volume: "..data/" or "..NUMBER" stands in front. */
#define INNER_PATH_SIZE (LIMIT_ITEM_PATH_MAX + 32)

/* That which counts; 0: none yet. */
static int generation_read(int root, uint64_t *ret)
{
        char target[32] = {};

        *ret = 0;
        if (readlinkat(root, DATA, target, sizeof(target) - 1) < 0)
                return errno == ENOENT ? 0 : -errno;
        return startswith(target, "..") ? parse_u64(target + 2, ret) : -EBADMSG;
}

/* What is of no generation that @kept names, nor a way to it. */
static int clear(int root, const char *kept)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(root, ".", &d);
        while (r >= 0 && (e = readdir(d)))
                if (startswith(e->d_name, "..") && e->d_name[2] && !streq(e->d_name, DATA) &&
                                !streq(e->d_name, kept))
                        r = remove_tree_at(root, e->d_name);
        return r;
}

static bool is_dangling(int root, const char *name)
{
        CLEANUP_CLOSE int fd = open_in_root(root, name, O_PATH, 0);

        return fd == -ENOENT;
}

/* Links to what is not in the generation that counts: of a key that is gone, or of one that did
 * not come. */
static int drop_dangling(int root)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(root, ".", &d);
        while (r >= 0 && (e = readdir(d)))
                if (e->d_type == DT_LNK && !startswith(e->d_name, "..") &&
                                is_dangling(root, e->d_name) && unlinkat(root, e->d_name, 0) < 0)
                        r = -errno;
        return r;
}

static int make_link(int root, const char *name, const char *target, uid_t owner)
{
        if (symlinkat(target, root, name) < 0)
                return errno == EEXIST ? 0 : -errno;
        return fchownat(root, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make_links(const Launch *launch, const LaunchMount *m, const Launch *files, int root)
{
        for (size_t i = 0; i < files->n_files; i++) {
                const LaunchFile *f = &files->files[i];
                char target[INNER_PATH_SIZE], *name = target + strlen(DATA "/");
                int r;

                if (!is_of(f, m))
                        continue;
                (void) snprintf(target, sizeof(target), DATA "/%.*s", (int) strcspn(f->path, "/"),
                                f->path);
                r = make_link(root, name, target, root_of(launch));
                if (r < 0)
                        return r;
        }
        return 0;
}

static void format_generation(uint64_t n, char ret[static 32])
{
        (void) snprintf(ret, 32, "..%" PRIu64, n);
}

/* Empty, and ours alone until all is in it: nobody else can make one that belongs to us. */
static int make_generation(int root, const char *name, int *ret_fd, const char **reterr_path)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;

        if (mkdirat(root, name, 0700) < 0)
                return -errno;
        fd = open_beneath(root, name, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 07777) != 0700) {
                *reterr_path = "somebody else writes there, who exchanged a new directory";
                return -EBUSY;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* All that takes room, before anything is another one: a generation behind that which counts, the
 * links to what is new in it, the link that will make it count, and one that takes that back. */
static int stage(const Launch *launch, const LaunchMount *m, const Launch *files, int root,
                const struct stat *owner, Locks *locks, const char **reterr_path)
{
        uid_t container_root = root_of(launch);
        CLEANUP_CLOSE int dir = -EBADF;
        char name[32], kept[32];
        uint64_t n;
        int r;

        r = generation_read(root, &n);
        if (r < 0)
                return r;
        format_generation(n, kept);
        format_generation(n + 1, name);
        r = clear(root, kept);
        if (r < 0)
                return r;
        r = make_generation(root, name, &dir, reterr_path);
        if (r < 0)
                return r;
        r = fill(launch, m, files, dir, owner->st_uid, owner->st_gid, locks, reterr_path);
        if (r < 0)
                return r;
        if (fchown(dir, container_root, container_root) < 0 || fchmod(dir, 0755) < 0)
                return -errno;
        r = make_links(launch, m, files, root);
        if (r >= 0 && n > 0)
                r = make_link(root, LAST, kept, container_root);
        return r < 0 ? r : make_link(root, NEXT, name, container_root);
}

static int publish(int root)
{
        return renameat(root, NEXT, root, DATA) < 0 ? -errno : 0;
}

/* What was staged in vain. */
static void unstage(int root)
{
        char kept[32];
        uint64_t n;
        int r;

        r = generation_read(root, &n);
        if (r >= 0) {
                format_generation(n, kept);
                r = clear(root, kept);
        }
        if (r >= 0)
                r = drop_dangling(root);
        if (r < 0)
                (void) log_warning_errno(r, "cannot clear a live volume, which is done before it "
                                            "is filled again");
}

int values_make(const Launch *launch, const LaunchMount *m, int *ret_fd, SetupReport *reterr)
{
        uid_t root = root_of(launch);
        const struct stat owner = { .st_uid = root, .st_gid = root };
        const char *path = NULL;
        CLEANUP_CLOSE int fd = -EBADF;
        int r;

        r = make_file_system(launch, m, &fd);
        if (r < 0)
                return setup_report_set(reterr, r, "volume", "a tmpfs for %s", m->values);
        if (!m->live)
                r = fill(launch, m, launch, fd, root, root, &fixed_locks, &path);
        else {
                r = stage(launch, m, launch, fd, &owner, &live_locks, &path);
                if (r >= 0)
                        r = publish(fd);
        }
        if (r < 0)
                return refuse_files(reterr, r, m, path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* ---- giving ---- */

/* The volume's own directory, too: that is how the shim knows later whose its files are. */
static int give_files(const Launch *l, const LaunchMount *m, int root, const Identity *id)
{
        if (fchownat(root, "", id->uid, id->gid, AT_EMPTY_PATH) < 0)
                return -errno;
        for (size_t i = 0; i < l->n_files; i++) {
                char path[INNER_PATH_SIZE];

                if (!is_of(&l->files[i], m))
                        continue;
                (void) snprintf(path, sizeof(path), "%s%s", m->live ? DATA "/" : "",
                                l->files[i].path);
                if (fchownat(root, path, id->uid, id->gid, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        }
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

static int stage_all(const Launch *launch, const int live[static LIMIT_MOUNTS], const Launch *files,
                Locks *locks, SetupReport *reterr)
{
        for (size_t i = 0; i < launch->n_mounts; i++) {
                const LaunchMount *m = &launch->mounts[i];
                const char *path = NULL;
                struct stat owner;
                int r = 0;

                if (live[i] < 0)
                        continue;
                if (fstatat(live[i], "", &owner, AT_EMPTY_PATH) < 0)
                        r = -errno;
                if (r >= 0)
                        r = stage(launch, m, files, live[i], &owner, locks, &path);
                if (r < 0)
                        return refuse_files(reterr, r, m, path);
        }
        return 0;
}

/* In all, or in none: of each one both generations are still there. *@ret_mixed: what was
 * published could not be taken back, so that files of both count. */
static int publish_all(const Launch *launch, const int live[static LIMIT_MOUNTS], bool *ret_mixed,
                SetupReport *reterr)
{
        *ret_mixed = false;
        for (size_t i = 0; i < launch->n_mounts; i++) {
                int r = live[i] >= 0 ? publish(live[i]) : 0;

                if (r >= 0)
                        continue;
                for (size_t k = 0; k < i; k++)
                        if (live[k] >= 0 && renameat(live[k], LAST, live[k], DATA) < 0)
                                *ret_mixed = true;
                return refuse_files(reterr, r, &launch->mounts[i], NULL);
        }
        return 0;
}

/* Behind what was published in all. */
static void tidy(const LaunchMount *m, int root)
{
        int r = unlinkat(root, LAST, 0) < 0 && errno != ENOENT ? -errno : drop_dangling(root);

        if (r < 0)
                (void) log_warning_errno(r, "cannot take the names of keys that are gone out of %s",
                                m->values);
}

int values_replace(const Launch *launch, const int live[static LIMIT_MOUNTS], const Launch *files,
                SetupReport *reterr)
{
        bool mixed = false;
        Locks locks = {};
        int r;

        r = stage_all(launch, live, files, &locks, reterr);
        if (r >= 0)
                r = publish_all(launch, live, &mixed, reterr);
        if (r < 0) {
                for (size_t i = 0; i < launch->n_mounts; i++)
                        if (live[i] >= 0)
                                unstage(live[i]);
                /* Where some of either count, all stay locked, for good. */
                if (mixed)
                        free(locks.all);
                else
                        drop_locks(&locks);
                return r;
        }
        for (size_t i = 0; i < launch->n_mounts; i++)
                if (live[i] >= 0)
                        tidy(&launch->mounts[i], live[i]);
        drop_locks(&earlier_locks);
        earlier_locks = live_locks;
        live_locks = locks;
        return 0;
}

void values_forget_earlier(const Launch *launch, const int live[static LIMIT_MOUNTS])
{
        for (size_t i = 0; i < launch->n_mounts; i++)
                if (live[i] >= 0)
                        unstage(live[i]);
        drop_locks(&earlier_locks);
}
