/* SPDX-License-Identifier: Apache-2.0 */

/* Making children of the shim in other namespaces and cgroups; see shim-namespace.h. */

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "shim-namespace.h"

int namespaces_enter(int pidfd, const Launch *launch)
{
        int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

        /* One's own user namespace cannot be entered again (EINVAL), and entering the host's
         * network, where we are already, needs a right that the shim gave up. */
        if (!launch->userns_host)
                flags |= CLONE_NEWUSER;
        if (!launch->network_host)
                flags |= CLONE_NEWNET;
        return setns(pidfd, flags) < 0 ? -errno : 0;
}

int namespaces_enter_cgroup(int pidfd)
{
        return setns(pidfd, CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

/* The child returns 0. *@ret_in_cgroup tells it whether it is in its v2 cgroup already. */
static pid_t clone_child(
                uint64_t flags, int cgroup_fd, bool sibling, int *ret_pidfd, bool *ret_in_cgroup)
{
        struct clone_args args = {
                .flags = flags | (sibling ? CLONE_PARENT : 0) | (ret_pidfd ? CLONE_PIDFD : 0) |
                         (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t) (uintptr_t) ret_pidfd,
                .exit_signal = sibling ? 0 : SIGCHLD, /* a sibling inherits ours */
                .cgroup = cgroup_fd >= 0 ? (uint64_t) cgroup_fd : 0,
        };
        long pid;

        *ret_in_cgroup = cgroup_fd >= 0;
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid >= 0)
                return (pid_t) pid;
        if (errno != ENOSYS && errno != EPERM)
                return -errno;

        /* Outer system call filters refuse clone3 because they cannot look into its arguments. */
        *ret_in_cgroup = cgroup_fd < 0;
        pid = syscall(SYS_clone, (args.flags & ~(uint64_t) CLONE_INTO_CGROUP) | SIGCHLD, NULL,
                        ret_pidfd, NULL, 0);
        return pid < 0 ? -errno : (pid_t) pid;
}

/* What the kernel kills first is not for a container to inherit from those who guard it. Raising it
 * is everybody's right; done while /proc is still the host's. */
static void reset_oom_score(void)
{
        if (write_kernel_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "0") < 0)
                return; /* no /proc: then nobody lowered it either */
}

static _Noreturn void run_child(const SpawnRequest *req, bool in_cgroup)
{
        int r = req->place ? cgroup_place_enter(req->place, in_cgroup) : 0;

        if (r < 0) { /* unaccounted is not an option */
                SetupReport report = { 0 };

                (void) setup_report_set(&report, r, "cgroup", "entering the cgroup");
                setup_report_send_and_exit(req->report_fd, &report);
        }
        req->child(req->userdata);
}

typedef struct HelperAnswer {
        int error;
        pid_t pid;
} HelperAnswer;

static _Noreturn void run_helper(const SpawnRequest *req, int answer_fd)
{
        HelperAnswer answer = { 0 };
        bool in_cgroup;

        reset_oom_score();
        answer.error = req->enter(req->userdata);
        if (answer.error >= 0) {
                answer.pid = clone_child(req->clone_flags, req->place ? req->place->fd : -EBADF,
                                true, NULL, &in_cgroup);
                if (answer.pid == 0) {
                        (void) safe_close(answer_fd); /* else its end would never be seen */
                        run_child(req, in_cgroup);
                }
                if (answer.pid < 0)
                        answer.error = answer.pid;
        }
        (void) write_full(answer_fd, &answer, sizeof(answer));
        _exit(EXIT_SUCCESS);
}

static int spawn_by_helper(const SpawnRequest *req, PidRef *ret)
{
        CLEANUP_CLOSE int read_end = -EBADF, write_end = -EBADF;
        HelperAnswer answer = { 0 };
        bool in_cgroup;
        int fds[2], status, r;
        pid_t helper;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        read_end = fds[0];
        write_end = fds[1];
        helper = clone_child(0, -EBADF, false, NULL, &in_cgroup);
        if (helper < 0)
                return helper;
        if (helper == 0) {
                (void) safe_close(read_end);
                run_helper(req, write_end);
        }
        write_end = safe_close(write_end);
        r = read_full(read_end, &answer, sizeof(answer));
        while (waitpid(helper, &status, 0) < 0 && errno == EINTR)
                ;
        if (r < 0)
                return r;
        if (answer.error < 0)
                return answer.error;
        /* Our own child, reaped by nobody else: the number is good. */
        return pidref_set_pid(ret, answer.pid);
}

int shim_spawn(const SpawnRequest *req, PidRef *ret)
{
        bool in_cgroup;
        int pidfd = -EBADF;
        pid_t pid;

        if (req->enter)
                return spawn_by_helper(req, ret);
        pid = clone_child(req->clone_flags, req->place ? req->place->fd : -EBADF, false, &pidfd,
                        &in_cgroup);
        if (pid < 0)
                return pid;
        if (pid == 0) {
                reset_oom_score();
                run_child(req, in_cgroup);
        }
        pidref_set_take(ret, pid, pidfd);
        return 0;
}
