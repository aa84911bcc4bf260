/* SPDX-License-Identifier: Apache-2.0 */

/* Files and trees by descriptor: atomic replacement, directories, resolution beneath a root. */

#include <dirent.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"

#define UNFINISHED_PREFIX ".#"

int write_file_atomic_at(
                int dir_fd, const char *name, const void *data, size_t size, mode_t mode, bool sync)
{
        CLEANUP_CLOSE int fd = -EBADF;
        CLEANUP_FREE char *tmp = NULL;
        char id[ID128_SIZE];
        const char *base = strrchr(name, '/');
        int r;

        r = random_id(id);
        if (r < 0)
                return r;
        base = base ? base + 1 : name;
        if (asprintf(&tmp, "%.*s" UNFINISHED_PREFIX "%s.%.8s", (int) (base - name), name, base,
                            id) < 0)
                return -ENOMEM;
        fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        r = write_full(fd, data, size);
        if (r >= 0 && sync && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlinkat(dir_fd, tmp, 0); /* the first error is the one that counts */
                return r;
        }
        if (sync) {
                CLEANUP_FREE char *parent = strndup(name, (size_t) (base - name));
                CLEANUP_CLOSE int parent_fd = -EBADF;

                if (!parent)
                        return -ENOMEM;
                parent_fd = openat(dir_fd, isempty(parent) ? "." : parent,
                                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (parent_fd < 0 || fsync(parent_fd) < 0)
                        return -errno;
        }
        return 0;
}

int remove_unfinished_at(int dir_fd)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(dir_fd, ".", &d);
        if (r < 0)
                return r;
        while ((e = readdir(d)))
                if (startswith(e->d_name, UNFINISHED_PREFIX) &&
                                unlinkat(dir_fd, e->d_name, 0) < 0 && errno != ENOENT)
                        r = -errno;
        return r;
}

int mkdir_p_open_at(int dir_fd, const char *path, mode_t mode, int *ret_fd)
{
        CLEANUP_CLOSE int fd = -EBADF;
        CLEANUP_FREE char *copy = strdup(path);
        char *save = NULL;

        if (!copy)
                return -ENOMEM;
        fd = *path == '/' ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                          : openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (char *c = strtok_r(copy, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
                int next;

                if (mkdirat(fd, c, mode) < 0 && errno != EEXIST)
                        return -errno;
                /* Below a directory descriptor of ours no component is a symlink; of an absolute
                 * path the system's own (/var/run) are followed. */
                next = openat(fd, c,
                                O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                                (*path == '/' ? 0 : O_NOFOLLOW));
                if (next < 0)
                        return -errno;
                (void) safe_close(fd);
                fd = next;
        }
        if (ret_fd)
                *ret_fd = TAKE_FD(fd);
        return 0;
}

int mkdir_p(const char *path, mode_t mode)
{
        return mkdir_p_open_at(AT_FDCWD, path, mode, NULL);
}

static int openat2_retry(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
        struct open_how how = {
                .flags = (uint64_t) flags | O_CLOEXEC,
                .mode = flags & O_CREAT ? mode : 0,
                .resolve = resolve,
        };

        /* EAGAIN: a rename raced with ".." resolution; the kernel asks to try again. Bounded, so
         * that a hostile tree which renames without end cannot hold us. */
        for (int i = 0; i < 64; i++) {
                long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
                if (fd >= 0)
                        return (int) fd;
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
        }
        return -EAGAIN;
}

int open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
        return openat2_retry(root_fd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
        return openat2_retry(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

int opendir_beneath(int dir_fd, const char *path, DIR **ret)
{
        int fd = open_beneath(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

        if (fd < 0)
                return fd;
        *ret = fdopendir(fd);
        if (!*ret) {
                safe_close(fd);
                return -ENOMEM;
        }
        return 0;
}

/* One removal. Each level holds a DIR, and a stranger made the tree: what lies deeper than a bound
 * is moved up to the top, and found there by another pass. */
typedef struct Removal {
        int top;
        dev_t dev;
        unsigned lifted, serial;
} Removal;

#define REMOVE_DEPTH_MAX 64U

static int lift(Removal *rm, int dir_fd, const char *name)
{
        char to[32];

        for (unsigned i = 0; i < 1000; i++) {
                (void) snprintf(to, sizeof(to), ".lifted-%u", rm->serial++);
                if (renameat2(dir_fd, name, rm->top, to, RENAME_NOREPLACE) == 0) {
                        rm->lifted++;
                        return 0;
                }
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static int remove_contents(Removal *rm, int dir_fd, unsigned depth);

static int remove_directory(Removal *rm, int dir_fd, const char *name, unsigned depth)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;
        int r;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != rm->dev)
                return -EXDEV; /* a mount: not ours to empty */
        if (depth >= REMOVE_DEPTH_MAX)
                return lift(rm, dir_fd, name);
        r = remove_contents(rm, TAKE_FD(fd), depth + 1);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Consumes @dir_fd. */
static int remove_contents(Removal *rm, int dir_fd, unsigned depth)
{
        DIR *d = fdopendir(dir_fd);
        struct dirent *e;
        int r = 0;

        if (!d) {
                r = -errno;
                (void) safe_close(dir_fd);
                return r;
        }
        while ((e = readdir(d))) {
                int q = 0;

                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                if (unlinkat(dirfd(d), e->d_name, 0) == 0)
                        continue;
                if (errno == EISDIR || errno == EPERM)
                        q = remove_directory(rm, dirfd(d), e->d_name, depth);
                else if (errno != ENOENT)
                        q = -errno;
                if (q < 0 && r >= 0)
                        r = q; /* go on, report the first */
        }
        (void) closedir(d);
        return r;
}

int remove_tree_at(int dir_fd, const char *name)
{
        CLEANUP_CLOSE int fd = -EBADF;
        Removal rm = { 0 };
        struct stat st;
        int r;

        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
                if (errno == ENOENT)
                        return 0;
                if (errno != ENOTDIR && errno != ELOOP)
                        return -errno;
                return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        rm.top = fd;
        rm.dev = st.st_dev;
        do {
                int pass = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (pass < 0)
                        return -errno;
                rm.lifted = 0;
                r = remove_contents(&rm, pass, 0);
        } while (r >= 0 && rm.lifted > 0);
        if (r < 0)
                return r;
        return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}
