/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors and files. "No descriptor" is -EBADF; every descriptor is close-on-exec at birth. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>

#include "macro.h"

int safe_close(int fd); /* keeps errno, accepts -EBADF, returns -EBADF: fd = safe_close(fd) */
static inline void closep(int *fd)
{
        (void) safe_close(*fd);
}
#define CLEANUP_CLOSE CLEANUP(closep)
DEFINE_CLEANUP(FILE *, fclosep, fclose)

int fd_set_nonblock(int fd, bool nonblock);
int fd_set_cloexec(int fd, bool cloexec);

/* Whole buffers; EINTR is retried, a short read gives -EIO, EAGAIN is not expected. */
int read_full(int fd, void *buf, size_t size);
int write_full(int fd, const void *buf, size_t size);

/* Reads a whole file, NUL-terminated beside its length. -EFBIG beyond @max bytes. */
int read_fd_bounded(int fd, size_t max, char **ret, size_t *ret_size);
int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size);

/* One write(2) to an existing kernel file (/proc, /sys, cgroupfs). */
int write_kernel_file_at(int dir_fd, const char *path, const char *value);

/* Temporary name in the same directory, write, [fsync], rename, [fsync of the directory]. */
int write_file_atomic_at(int dir_fd, const char *name, const void *data, size_t size, mode_t mode,
                bool sync);
/* Removes what write_file_atomic_at() leaves in a directory when the program or the machine dies in
 * it: for the one program that writes there. */
int remove_unfinished_at(int dir_fd);

/* mkdir -p beneath @dir_fd (symlinks refused in each component), opens the last one. */
int mkdir_p_open_at(int dir_fd, const char *path, mode_t mode, int *ret_fd);
int mkdir_p(const char *path, mode_t mode);

/* Resolves @path beneath @root_fd with openat2: RESOLVE_IN_ROOT, so that absolute names and
 * symlinks of a foreign tree never leave it. -ENOSYS when the kernel has no openat2. */
int open_in_root(int root_fd, const char *path, int flags, mode_t mode);
/* The same with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS, for trees of our own. */
int open_beneath(int dir_fd, const char *path, int flags, mode_t mode);
/* What is in such a directory, "." for that of @dir_fd itself. */
int opendir_beneath(int dir_fd, const char *path, DIR **ret);
DEFINE_CLEANUP(DIR *, closedirp, closedir)

/* Removes a tree beneath @dir_fd/@name without following symlinks or crossing mounts;
 * missing is success. */
int remove_tree_at(int dir_fd, const char *name);

/* A sealed (write, grow, shrink, seal) memory file with @data, at offset 0. */
int memfd_sealed(const char *name, const void *data, size_t size, int *ret_fd);

/* close_range() with the /proc/self/fd fallback (refused by some outer seccomp filters). */
int close_fds_from(int first);

/* SEQPACKET messages with descriptors. send: -EAGAIN when full, never SIGPIPE. recv: returns the
 * size, 0 at EOF; -EMSGSIZE when it was truncated; received descriptors are close-on-exec, the
 * ones beyond @max_fds are closed and give -ETOOMANYREFS. */
int packet_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds);
ssize_t packet_recv(int fd, void *buf, size_t size, int *ret_fds, size_t max_fds, size_t *ret_n);

/* "/proc/self/fd/N" in a static-size buffer, for calls that know paths only. */
#define FD_PATH_MAX (sizeof("/proc/self/fd/") + 3 * sizeof(int))
const char *fd_path(int fd, char buf[static FD_PATH_MAX]);
