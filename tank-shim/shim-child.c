/* SPDX-License-Identifier: Apache-2.0 */

/* From clone to execve, in the container's first process. It is PID 1 of the new PID namespace;
 * with tank-init it confines itself, forks the workload, which becomes its own session, and both
 * execute: PID 1 tank-init, the other the command. So tank-init never touches the command line, the
 * environment or a descriptor of the workload, and is as confined as that. */

#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conceal.h"
#include "fd.h"
#include "shim-child.h"
#include "shim-pty.h"
#include "shim-values.h"

typedef struct MainState {
        MainChild *c;
        Trees trees;
        Identity id;
        int slave;
        SetupReport report;
} MainState;

/* Waits for one byte. The shim's end means abort: nobody is left to report to. */
static int await(int sync, char what, int *fds, size_t max, size_t *ret_n)
{
        size_t n = 0;
        ssize_t size;
        char byte;

        do {
                struct pollfd p = { .fd = sync, .events = POLLIN };

                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        return -errno;
                size = packet_recv(sync, &byte, 1, fds, max, &n);
        } while (size == -EINTR || size == -EAGAIN);
        if (size == 0)
                _exit(EXIT_FAILURE);
        if (size < 0)
                return (int) size;
        *ret_n = n;
        return byte == what ? 0 : -EPROTO;
}

static int tell(int sync, char what, int fd)
{
        return packet_send(sync, &what, 1, fd >= 0 ? &fd : NULL, fd >= 0 ? 1 : 0);
}

static int receive_trees(MainState *m)
{
        int *slots[TREES_FDS_MAX], fds[TREES_FDS_MAX];
        size_t n = 0, expected;
        int r;

        trees_init(&m->trees);
        expected = trees_list(&m->trees, m->c->launch, slots);
        r = await(m->c->sync, SYNC_TREES, fds, expected, &n); /* sync 1 */
        if (r >= 0 && n != expected)
                r = -EPROTO;
        if (r < 0)
                return setup_report_set(&m->report, r, "rootfs", "hand-over of the mounts");
        for (size_t i = 0; i < n; i++)
                *slots[i] = fds[i];
        return 0;
}

/* From here on what is made belongs to the container's root; the host's has no name in here. */
static int become_root(MainState *m)
{
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
                        syscall(SYS_setresuid, 0, 0, 0) < 0)
                return setup_report_set(
                                &m->report, -errno, "namespaces", "becoming the container's root");
        (void) process_conceal(); /* once more, with other ids */
        /* Not before this process is in its cgroup: that becomes the namespace's root. */
        if (unshare(CLONE_NEWCGROUP) < 0)
                return setup_report_set(&m->report, -errno, "namespaces", "cgroup namespace");
        return 0;
}

static int set_up_pod(MainState *m)
{
        const Launch *l = m->c->launch;
        CLEANUP_CLOSE int fd = -EBADF;
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        if (!l->sandbox_create)
                return 0;
        if (sethostname(l->hostname, strlen(l->hostname)) < 0)
                return setup_report_set(&m->report, -errno, "hostname", "%.100s", l->hostname);
        if (l->network_host)
                return 0;
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
                return setup_report_set(&m->report, -errno, "network", "bringing lo up");
        return 0;
}

static int set_up_stdio(MainState *m)
{
        MainChild *c = m->c;
        int null, out, err;

        null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (null < 0)
                return setup_report_set(&m->report, -errno, "stdio", "/dev/null");
        out = m->slave >= 0 ? m->slave : c->out;
        err = m->slave >= 0 ? m->slave : c->err;
        if (dup2(m->slave >= 0 ? m->slave : null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
                return setup_report_set(&m->report, -errno, "stdio", "standard streams");
        return 0;
}

static int set_up_terminal(MainState *m, int *ret_master)
{
        int r;

        if (!m->c->launch->tty)
                return 0;
        r = shim_pty_open(0, 0, ret_master, &m->slave);
        if (r < 0)
                return setup_report_set(&m->report, r, "tty", "terminal of the container's devpts");
        return rootfs_bind_console(m->slave, &m->report);
}

static int set_up(MainState *m)
{
        CLEANUP_CLOSE int master = -EBADF, hosts = -EBADF;
        int live[LIMIT_MOUNTS];
        size_t n;
        int r;

        r = receive_trees(m);
        if (r >= 0)
                r = become_root(m);
        if (r >= 0)
                r = rootfs_enter(m->c->launch, m->c->etc, &m->trees, &hosts, &m->report);
        if (r >= 0)
                r = set_up_pod(m);
        if (r >= 0)
                r = set_up_terminal(m, &master);
        if (r >= 0)
                r = set_up_stdio(m);
        if (r >= 0)
                r = identity_resolve(m->c->launch->user, m->c->launch->groups, &m->id, &m->report);
        if (r >= 0)
                r = values_give(m->c->launch, &m->trees, &m->id, live, &m->report);
        if (r < 0)
                return r;
        r = tell(m->c->sync, SYNC_HOSTS, hosts);
        for (size_t i = 0; i < LIMIT_MOUNTS && r >= 0; i++)
                if (live[i] >= 0) {
                        r = tell(m->c->sync, SYNC_LIVE, live[i]);
                        (void) safe_close(live[i]);
                }
        if (r >= 0)
                r = tell(m->c->sync, SYNC_READY, master); /* sync 2 */
        if (r >= 0)
                r = await(m->c->sync, SYNC_GO, NULL, 0, &n); /* sync 3 */
        if (r < 0)
                return setup_report_set(&m->report, r, "namespaces", "hand-over");
        return confine_apply(m->c->policy, &m->id, &m->report);
}

static _Noreturn void run_workload(MainState *m, const ConfinePolicy *policy)
{
        const Launch *l = m->c->launch;
        const ConfineProgram program = {
                .argv = l->argv,
                .env = l->env,
                .cwd = l->cwd,
                .user = l->user,
                .groups = l->groups,
                .tty = l->tty,
        };
        int r;

        r = l->tty ? shim_pty_take_terminal(m->slave) : setsid() < 0 && errno != EPERM ? -errno : 0;
        if (r < 0) {
                (void) setup_report_set(&m->report, r, "tty", "session");
                setup_report_send_and_exit(m->c->sync, &m->report);
        }
        confine_reset_signals();
        confine_execute(policy, &program, &m->id, m->c->sync);
}

/* Moves descriptors to 3, 4, … in this order, and closes all others. */
static int arrange(int *fds[], size_t n)
{
        for (size_t i = 0; i < n; i++) {
                int high = fcntl(*fds[i], F_DUPFD_CLOEXEC, 64);

                if (high < 0)
                        return -errno;
                *fds[i] = high;
        }
        for (size_t i = 0; i < n; i++) {
                int low = dup3(*fds[i], 3 + (int) i, O_CLOEXEC);

                if (low < 0)
                        return -errno;
                *fds[i] = low;
        }
        return close_fds_from(3 + (int) n);
}

static int become_init(MainState *m, pid_t workload)
{
        char pid[16], fd[16];
        char *argv[] = { (char *) "tank-init", pid, fd, NULL }, *env[] = { NULL };
        int *fds[] = { &m->c->status, &m->c->sync, &m->trees.init };
        int null, r;

        null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
                return -errno;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        r = confine_load_filter(m->c->init_filter);
        if (r < 0)
                return r;
        r = arrange(fds, ARRAY_SIZE(fds));
        if (r >= 0)
                r = fd_set_cloexec(m->c->status, false);
        if (r < 0)
                return r;
        (void) snprintf(pid, sizeof(pid), "%d", (int) workload);
        (void) snprintf(fd, sizeof(fd), "%d", m->c->status);
        (void) syscall(SYS_execveat, m->trees.init, "", argv, env, AT_EMPTY_PATH);
        return -errno;
}

/* Loading a filter means compiling it, a tenth of a start: when both are to have the same, it is
 * loaded before the fork. An operator's own filter might refuse what comes until execve(), and what
 * tank-init needs: each loads its own then, as late as it can. */
static int share_filter(MainState *m, ConfinePolicy *workload)
{
        int r;

        if (m->c->launch->seccomp_file || !workload->no_new_privileges)
                return 0;
        r = confine_load_filter(workload->seccomp_fd);
        if (r < 0)
                return setup_report_set(&m->report, r, "seccomp", "system call filter");
        workload->seccomp_fd = m->c->init_filter = -EBADF;
        return 0;
}

static _Noreturn void run_under_init(MainState *m)
{
        ConfinePolicy workload = *m->c->policy;
        struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
        int pidfd = -EBADF, r;
        long pid;

        if (!workload.no_new_privileges)
                m->c->init_filter = -EBADF; /* confine_apply() loaded the workload's, for both */
        if (share_filter(m, &workload) < 0)
                setup_report_send_and_exit(m->c->sync, &m->report);
        args.pidfd = (uint64_t) (uintptr_t) &pidfd;
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0 && (errno == ENOSYS || errno == EPERM))
                pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0);
        if (pid == 0)
                run_workload(m, &workload);
        r = pid < 0 ? -errno : tell(m->c->sync, SYNC_WORKLOAD, pidfd); /* sync 4 */
        if (r >= 0)
                r = become_init(m, (pid_t) pid);
        (void) setup_report_set(&m->report, r, "init", "tank-init");
        setup_report_send_and_exit(m->c->sync, &m->report);
}

void main_child(void *userdata)
{
        MainState m = { .c = userdata, .slave = -EBADF };
        sigset_t all;

        (void) safe_close(m.c->parent_sync);
        /* Blocked until execve() and beyond: PID 1 would ignore what it has no handler for, and
         * tank-init takes what is pending. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);

        if (set_up(&m) < 0)
                setup_report_send_and_exit(m.c->sync, &m.report);
        if (m.c->launch->init_none)
                run_workload(&m, m.c->policy);
        run_under_init(&m);
}
