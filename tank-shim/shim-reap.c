/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-reap.h. waitid() knows no "all but these", and what it would reap first may be a child
 * whose status its owner still wants: the kernel's own list of children tells whom to ask for. */

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "log.h"
#include "quantity.h"
#include "shim-reap.h"
#include "shim.h"

#define CHILDREN_SIZE 4096U /* of the list at a time: what is behind it comes in the next turn */

struct ShimReaper {
        Shim *shim;
        sd_event_source *signal_source, *turn_source;
};

static bool is_ours(const Shim *s, pid_t pid)
{
        return pid == s->main.pid || shim_sessions_own(s->sessions, pid);
}

/* Whether one ended that nobody of ours waits for. A number in the list is a child's until it is
 * reaped, and that is done by this process alone. */
static bool reap(const Shim *s, const char *word)
{
        siginfo_t info = {};
        uint64_t pid;

        if (parse_u64(word, &pid) < 0 || pid == 0 || pid > INT32_MAX || is_ours(s, (pid_t) pid))
                return false;
        return waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | __WALL) == 0 && info.si_pid > 0;
}

static int reap_some(const Shim *s)
{
        CLEANUP_CLOSE int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        char list[CHILDREN_SIZE + 1], *end, *state = NULL;
        int reaped = 0;
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, list, CHILDREN_SIZE);
        if (n < 0)
                return -errno;
        list[n] = 0;
        end = strrchr(list, ' '); /* one stands behind each number: the last may be cut */
        if (!end)
                return 0;
        *end = 0;
        for (char *word = strtok_r(list, " ", &state); word; word = strtok_r(NULL, " ", &state))
                reaped += reap(s, word);
        return reaped;
}

static int on_turn(sd_event_source *source, void *userdata)
{
        ShimReaper *r = userdata;
        int n = reap_some(r->shim);

        if (n < 0)
                log_warning_errno(n, "cannot read the list of children, ignoring");
        return n > 0 ? sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) : 0;
}

static int on_child(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        ShimReaper *r = userdata;

        return sd_event_source_set_enabled(r->turn_source, SD_EVENT_ONESHOT);
}

int shim_reaper_new(Shim *shim, ShimReaper **ret)
{
        CLEANUP(shim_reaper_freep) ShimReaper *reaper = calloc(1, sizeof(*reaper));
        int r;

        if (!reaper)
                return -ENOMEM;
        reaper->shim = shim;
        r = sd_event_add_signal(shim->event, &reaper->signal_source, SIGCHLD, on_child, reaper);
        if (r >= 0)
                r = sd_event_add_defer(shim->event, &reaper->turn_source, on_turn, reaper);
        if (r >= 0)
                r = sd_event_source_set_enabled(reaper->turn_source, SD_EVENT_OFF);
        /* Behind everything else: who makes such children without end delays nothing by it. */
        if (r >= 0)
                r = sd_event_source_set_priority(reaper->turn_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reaper);
        return 0;
}

ShimReaper *shim_reaper_free(ShimReaper *r)
{
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->signal_source);
        sd_event_source_disable_unref(r->turn_source);
        free(r);
        return NULL;
}
