/* SPDX-License-Identifier: Apache-2.0 */

/* One terminal, held in statics because the ways out (atexit, a handler of a fatal signal) carry no
 * argument. Signals that ask to end are not handled here: whoever made the terminal raw takes them
 * through its loop. */

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "ctl-terminal.h"

static struct termios saved, raw;
static volatile sig_atomic_t saved_fd = -1;

bool terminal_size(uint16_t *ret_rows, uint16_t *ret_columns)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                struct winsize size;

                if (ioctl(fd, TIOCGWINSZ, &size) < 0)
                        continue;
                *ret_rows = size.ws_row;
                *ret_columns = size.ws_col;
                return true;
        }
        return false;
}

void terminal_restore(void)
{
        int fd = saved_fd, saved_errno = errno;

        if (fd < 0)
                return;
        saved_fd = -1;
        (void) tcsetattr(fd, TCSANOW, &saved); /* a terminal that is gone needs no settings */
        errno = saved_errno;
}

void terminal_suspend(void)
{
        if (saved_fd >= 0)
                (void) tcsetattr(saved_fd, TCSADRAIN, &saved); /* the same: it may be gone */
}

/* In the background this stops us once more, until we are in the foreground. */
void terminal_resume(void)
{
        if (saved_fd >= 0)
                (void) tcsetattr(saved_fd, TCSADRAIN, &raw);
}

void terminal_ring(void)
{
        struct pollfd p = { .fd = saved_fd, .events = POLLOUT };

        /* One that takes nothing, or was opened for reading alone, stays silent. */
        if (saved_fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
                (void) !write(saved_fd, "\a", 1);
}

static void on_crash(int signo)
{
        terminal_restore();
        (void) raise(signo); /* the disposition is the default again (SA_RESETHAND) */
}

int terminal_make_raw(int fd, bool signals)
{
        static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };
        struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };

        assert(saved_fd < 0);
        if (tcgetattr(fd, &saved) < 0)
                return -errno;
        raw = saved;
        cfmakeraw(&raw);
        if (signals)
                raw.c_lflag |= ISIG;
        for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
                if (sigaction(fatal[i], &action, NULL) < 0)
                        return -errno;
        if (atexit(terminal_restore) != 0)
                return -ENOMEM;
        saved_fd = fd;
        if (tcsetattr(fd, TCSANOW, &raw) < 0) {
                int r = -errno;

                saved_fd = -1;
                return r;
        }
        return 0;
}
