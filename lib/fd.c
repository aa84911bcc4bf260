/* SPDX-License-Identifier: Apache-2.0 */

/* Descriptors: closing, whole reads and writes, inheritance, messages with descriptors. */

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

int safe_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;
                (void) close(fd); /* Linux frees the number even on EINTR */
                errno = saved;
        }
        return -EBADF;
}

int fd_set_nonblock(int fd, bool nonblock)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        flags = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool cloexec)
{
        int flags = fcntl(fd, F_GETFD);

        if (flags < 0)
                return -errno;
        flags = cloexec ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
        return fcntl(fd, F_SETFD, flags) < 0 ? -errno : 0;
}

int read_full(int fd, void *buf, size_t size)
{
        char *p = buf;

        while (size > 0) {
                ssize_t n = read(fd, p, size);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        return -EIO;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

int write_full(int fd, const void *buf, size_t size)
{
        const char *p = buf;

        while (size > 0) {
                ssize_t n = write(fd, p, size);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

int read_fd_bounded(int fd, size_t max, char **ret, size_t *ret_size)
{
        CLEANUP_FREE char *buf = NULL;
        size_t size = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                /* One byte above the bound tells "exactly @max" from "more". */
                if (size == allocated) {
                        size_t want = MIN(MAX(allocated * 2, (size_t) 4096), max + 1);
                        char *grown;

                        if (allocated > max)
                                return -EFBIG;
                        grown = realloc(buf, want + 1);
                        if (!grown)
                                return -ENOMEM;
                        buf = grown;
                        allocated = want;
                }
                n = read(fd, buf + size, allocated - size);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        if (size > max)
                return -EFBIG;
        buf[size] = '\0';
        *ret = TAKE_PTR(buf);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_size)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return -errno;
        return read_fd_bounded(fd, max, ret, ret_size);
}

int write_kernel_file_at(int dir_fd, const char *path, const char *value)
{
        CLEANUP_CLOSE int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        size_t n = strlen(value);
        ssize_t w;

        if (fd < 0)
                return -errno;
        do
                w = write(fd, value, n);
        while (w < 0 && errno == EINTR);
        if (w < 0)
                return -errno;
        return (size_t) w == n ? 0 : -EIO;
}

int memfd_sealed(const char *name, const void *data, size_t size, int *ret_fd)
{
        CLEANUP_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = write_full(fd, data, size);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Where close_range() is refused (ENOSYS, or EPERM by an outer seccomp filter) the open numbers are
 * read from /proc. The directory's own descriptor is passed over: closing it would end the walk. */
static int close_each_fd_from(int first)
{
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;

        if (!d)
                return -errno;
        while ((e = readdir(d))) {
                char *end;
                long n = strtol(e->d_name, &end, 10);

                if (*end || end == e->d_name || n < first || n == dirfd(d))
                        continue;
                (void) close((int) n);
        }
        (void) closedir(d);
        return 0;
}

int close_fds_from(int first)
{
        if (syscall(SYS_close_range, (unsigned) first, ~0U, 0) == 0)
                return 0;
        return errno == ENOSYS || errno == EPERM ? close_each_fd_from(first) : -errno;
}

#define PACKET_FDS_MAX 72U /* the most is a start with LIMIT_MOUNTS volumes */

int packet_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds)
{
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
        } control = { 0 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        assert(n_fds <= PACKET_FDS_MAX);
        if (n_fds > 0) {
                struct cmsghdr *c;

                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        do
                n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

ssize_t packet_recv(int fd, void *buf, size_t size, int *ret_fds, size_t max_fds, size_t *ret_n)
{
        struct iovec iov = { .iov_base = buf, .iov_len = size };
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
        } control;
        struct msghdr m = { .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control) };
        size_t n_fds = 0;
        bool too_many = false;
        ssize_t n;

        do
                n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
                size_t k;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < k; i++) {
                        int received;

                        memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (n_fds < max_fds) {
                                ret_fds[n_fds++] = received;
                        } else {
                                (void) safe_close(received);
                                too_many = true;
                        }
                }
        }
        if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || too_many) {
                for (size_t i = 0; i < n_fds; i++)
                        ret_fds[i] = safe_close(ret_fds[i]);
                return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : -ETOOMANYREFS;
        }
        if (ret_n)
                *ret_n = n_fds;
        return n;
}

const char *fd_path(int fd, char buf[static FD_PATH_MAX])
{
        (void) snprintf(buf, FD_PATH_MAX, "/proc/self/fd/%d", fd);
        return buf;
}
