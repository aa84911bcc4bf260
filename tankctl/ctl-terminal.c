/* SPDX-License-Identifier: Apache-2.0 */

/* One terminal, held in statics because the ways out (atexit, the handler of what ends us) carry no
 * argument. Whoever made the terminal raw takes the usual signals through its loop, and so blocks
 * them; the handler is for all the others. */

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

static void on_end(int signo)
{
        terminal_restore();
        (void) raise(signo); /* the disposition is the default again (SA_RESETHAND) */
}

/* What would end us as things stand: a crash, a limit, a timer, or anybody's kill. */
static bool is_deadly(int signo)
{
        static const int others[] = { SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGCONT,
                SIGURG, SIGWINCH };
        struct sigaction now;

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (signo == others[i])
                        return false;
        /* Of those that the C library keeps for itself nothing is told. */
        return sigaction(signo, NULL, &now) >= 0 && now.sa_handler == SIG_DFL;
}

int terminal_make_raw(int fd, bool signals)
{
        struct sigaction action = { .sa_handler = on_end, .sa_flags = SA_RESETHAND | SA_NODEFER };

        assert(saved_fd < 0);
        if (tcgetattr(fd, &saved) < 0)
                return -errno;
        raw = saved;
        cfmakeraw(&raw);
        if (signals)
                raw.c_lflag |= ISIG;
        for (int signo = 1; signo <= SIGRTMAX; signo++)
                if (is_deadly(signo) && sigaction(signo, &action, NULL) < 0)
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
