/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-agent.h. That a refused call is made again does no harm: what is refused has not
 * happened. */

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "ctl-agent.h"
#include "error.h"
#include "fd.h"

#define AGENT_PROGRAM "pkttyagent"

void agent_done(Agent *a)
{
        if (a->pid <= 0)
                return;
        /* It gives the terminal back; nobody else waits for it. */
        (void) kill(a->pid, SIGTERM);
        while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        a->pid = 0;
}

static _Noreturn void agent_child(pid_t parent, int notify_fd)
{
        char fd[16];

        /* It asks whether something is authorised for whoever started it, and not without him. */
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || fcntl(notify_fd, F_SETFD, 0) < 0)
                _exit(1);
        (void) snprintf(fd, sizeof(fd), "%d", notify_fd);
        /* Not --fallback: where there is no session polkit 122 would ask nobody. */
        (void) execlp(AGENT_PROGRAM, AGENT_PROGRAM, "--notify-fd", fd, NULL);
        _exit(127);
}

/* Returns when it is registered, or is not to be had: a desktop's may do instead. */
static int agent_start(Agent *a)
{
        CLEANUP_CLOSE int read_fd = -EBADF, write_fd = -EBADF;
        pid_t parent = getpid();
        int fds[2];
        char c;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_fd = fds[0];
        write_fd = fds[1];
        a->pid = fork();
        if (a->pid < 0) {
                a->pid = 0;
                return -errno;
        }
        if (a->pid == 0)
                agent_child(parent, write_fd);
        write_fd = safe_close(write_fd);
        while (read(read_fd, &c, 1) < 0 && errno == EINTR)
                ;
        return 0;
}

static bool somebody_is_there(void)
{
        return geteuid() != 0 && isatty(STDERR_FILENO) &&
               (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO));
}

int agent_prepare(Agent *a, sd_bus *bus, sd_bus_message *m, const sd_bus_error *e,
                sd_bus_message **ret)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *again = NULL;
        int r;

        if (!sd_bus_error_has_name(e, TANK_ERROR_ACCESS_DENIED) || !somebody_is_there())
                return 0;
        if ((r = sd_bus_message_new_method_call(bus, &again, sd_bus_message_get_destination(m),
                             sd_bus_message_get_path(m), sd_bus_message_get_interface(m),
                             sd_bus_message_get_member(m))) < 0 ||
                        (r = sd_bus_message_set_allow_interactive_authorization(again, true)) < 0 ||
                        (r = sd_bus_message_rewind(m, true)) < 0 ||
                        (r = sd_bus_message_copy(again, m, true)) < 0)
                return r;
        r = agent_start(a);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(again);
        return 0;
}

int agent_call(sd_bus *bus, sd_bus_message *m, sd_bus_message **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *again = NULL;
        CLEANUP(agent_done) Agent agent = {};
        int r = sd_bus_call(bus, m, 0, reterr, ret);

        /* What keeps people from being asked is no reason to say anything but the refusal. */
        if (r >= 0 || agent_prepare(&agent, bus, m, reterr, &again) < 0 || !again)
                return r;
        sd_bus_error_free(reterr);
        return sd_bus_call(bus, again, AGENT_CALL_USEC, reterr, ret);
}
