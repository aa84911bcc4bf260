/* SPDX-License-Identifier: Apache-2.0 */

/* PTYs of the container's own devpts.
 *
 * A PTY is made by the child that will use it, from inside the container's mount namespace: no path
 * of the container is ever resolved by the shim. What the container may have put in the place of
 * /dev/pts is refused (CVE-2025-52565 and its kin): the file must be the ptmx device on a devpts,
 * and the other end is taken from it by descriptor, never by its name.
 *
 * The main process's master stays with the shim, which reads it into the log and the fan-out that
 * attached clients are fed from. What those type is shim-input's. */

#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "limit.h"
#include "shim-pty.h"

#define READ_SIZE      4096U /* what a PTY gives at once */
#define READS_PER_TURN 64U   /* other sources of the loop wait for no more than this */

/* ---- in the child ---- */

static int verify_ptmx(int fd)
{
        struct statfs fs;
        struct stat st;

        if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
                return -ENODEV;
        return 0;
}

int shim_pty_set_window_size(int master, uint16_t rows, uint16_t cols)
{
        struct winsize size = { .ws_row = rows, .ws_col = cols };

        return ioctl(master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int shim_pty_open(uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave)
{
        CLEANUP_CLOSE int root = -EBADF, master = -EBADF, slave = -EBADF;
        int unlock = 0, r;

        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;
        /* Not by way of /proc/self/fd, which is the container's, too. */
        master = open_beneath(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
        if (master < 0)
                return master;
        r = verify_ptmx(master);
        if (r < 0)
                return r;
        if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
                return -errno;
        r = shim_pty_set_window_size(
                        master, rows > 0 ? rows : SHIM_PTY_ROWS, cols > 0 ? cols : SHIM_PTY_COLS);
        if (r < 0)
                return r;
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return -errno;

        *ret_master = TAKE_FD(master);
        *ret_slave = TAKE_FD(slave);
        return 0;
}

int shim_pty_take_terminal(int slave)
{
        CLEANUP_CLOSE int fd = slave;

        if (setsid() < 0 && errno != EPERM) /* EPERM: it leads one */
                return -errno;
        if (ioctl(fd, TIOCSCTTY, 0) < 0)
                return -errno;
        for (int i = 0; i < 3; i++)
                if (dup2(fd, i) < 0)
                        return -errno;
        if (fd < 3) /* dup2() onto itself keeps close-on-exec and must stay */
                return fd_set_cloexec(TAKE_FD(fd), false);
        return 0;
}

/* ---- the main process's terminal, in the shim ---- */

struct ShimPty {
        ShimLog *log;
        Fanout *output;
        sd_event_source *source;
        int master;
        bool hung_up;
};

static void deliver(ShimPty *pty, const void *data, size_t size)
{
        shim_log_feed(pty->log, LOG_STREAM_TTY, data, size);
        fanout_feed(pty->output, data, size);
}

/* Up to @turns reads. -EIO: nobody has the other end open; -EAGAIN: nothing there; 0: there is
 * more. */
static int read_master(ShimPty *pty, unsigned turns)
{
        char buf[READ_SIZE];
        int r = 0;

        for (unsigned i = 0; r == 0 && i < turns; i++) {
                ssize_t n = read(pty->master, buf, sizeof(buf));

                if (n > 0)
                        deliver(pty, buf, (size_t) n);
                else if (n == 0)
                        r = -EIO;
                else if (errno != EINTR)
                        r = -errno;
        }
        shim_log_flush(pty->log);
        return r;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        ShimPty *pty = userdata;
        bool hung_up = read_master(pty, READS_PER_TURN) == -EIO;

        /* While no process has the terminal open, the master is always "readable". It may be
         * opened again, so it is watched on, but told of changes only. */
        if (hung_up == pty->hung_up)
                return 0;
        pty->hung_up = hung_up;
        return sd_event_source_set_io_events(source, hung_up ? EPOLLIN | EPOLLET : EPOLLIN);
}

int shim_pty_new(sd_event *event, int master, ShimLog *log, ShimPty **ret)
{
        CLEANUP(shim_pty_freep) ShimPty *pty = NULL;
        int r;

        pty = malloc(sizeof(*pty));
        if (!pty)
                return -ENOMEM;
        *pty = (ShimPty){ .log = log, .master = -EBADF };

        r = fd_set_nonblock(master, true);
        if (r < 0)
                return r;
        r = fanout_new(event, LIMIT_HELD_OUTPUT, "\r\n", &pty->output);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &pty->source, master, EPOLLIN, on_readable, pty);
        if (r < 0)
                return r;

        pty->master = master;
        *ret = TAKE_PTR(pty);
        return 0;
}

ShimPty *shim_pty_free(ShimPty *pty)
{
        if (!pty)
                return NULL;

        sd_event_source_disable_unref(pty->source);
        safe_close(pty->master);
        fanout_free(pty->output);
        free(pty);
        return NULL;
}

void shim_pty_drain(ShimPty *pty)
{
        pty->source = sd_event_source_disable_unref(pty->source);
        /* More than a PTY and its line discipline can hold: whatever is there is read. */
        (void) read_master(pty, 1024);
        shim_log_end_stream(pty->log, LOG_STREAM_TTY);
}

void shim_pty_end(ShimPty *pty)
{
        fanout_end(pty->output);
}

Fanout *shim_pty_output(ShimPty *pty)
{
        return pty->output;
}

int shim_pty_master(const ShimPty *pty)
{
        return pty->master;
}
