/* SPDX-License-Identifier: Apache-2.0 */

/* tank-sandbox: a private tank in one directory for the time of one command.
 *
 * Owns the directory's bus, store and reconciler (service.c keeps them up), is the subreaper of
 * everything below it, and takes all of it down at the end, on failure and on signals
 * (teardown.c). Every host-global name carries the instance, a hash of the directory, so that
 * sandboxes run side by side. It has a mount namespace of its own, in which a user `tank-member` is
 * in the group `tank` (member.c). What a killed sandbox left in the same directory is taken down
 * before it starts again. Started by tools/sandbox, which builds first.
 *
 * Order: bus, ready; store and reconciler, both ready; COMMAND. Exit status: COMMAND's own,
 * 128+N when it or we ended by signal N, 125 when the sandbox could not start. */

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "member.h"
#include "supervise.h"

#define MARK              ".tank-sandbox"
#define EXIT_SANDBOX      125
#define START_USEC        (30 * USEC_PER_SEC)
#define STOP_COMMAND_USEC (5 * USEC_PER_SEC)

/* What the sandbox's programs are called and where in the build directory they are. */
static const char *const programs[] = {
        "tankctl/tankctl",
        "tankd-store/tankd-store",
        "tankd-reconcile/tankd-reconcile",
        "tank-shim/tank-shim",
        "tank-shim/init/tank-init",
        "tank-shim/seccomp/tank-seccomp",
};

static void set_instance(Sandbox *s)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: stable names, no secrecy */

        for (const char *p = s->dir; *p; p++)
                h = (h ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
        h ^= h >> 32;
        (void) snprintf(s->instance, sizeof(s->instance), "%08x", (unsigned) h);
}

/* Teardown empties the directory, so it must be one of ours: new, empty, or with our mark. The
 * lock on the mark says that a sandbox is running here. */
static int lock_dir(Sandbox *s)
{
        bool marked = faccessat(s->dir_fd, MARK, F_OK, 0) >= 0, empty = true;

        if (!s->made_dir && !marked) {
                DIR *d = opendir(s->dir);
                if (!d)
                        return log_error_errno(-errno, "cannot read %s", s->dir);
                for (struct dirent *e; (e = readdir(d));)
                        empty = empty && (streq(e->d_name, ".") || streq(e->d_name, ".."));
                (void) closedir(d);
        }
        if (!empty) {
                log_error("%s is neither empty nor the directory of a sandbox: name another one",
                                s->dir);
                return -ENOTEMPTY;
        }
        int fd = openat(s->dir_fd, MARK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return log_error_errno(-errno, "cannot make %s/%s", s->dir, MARK);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                int r = -errno;
                safe_close(fd);
                if (r == -EWOULDBLOCK)
                        log_error("a sandbox is running in %s already", s->dir);
                else
                        log_error_errno(r, "cannot lock %s/%s", s->dir, MARK);
                return r;
        }
        s->owned = true; /* @fd stays open, and with it the lock, until we are gone */
        return 0;
}

static int make_dir(Sandbox *s, const char *dir)
{
        char *CLEANUP_FREE made = NULL;
        const char *tmp = getenv("TMPDIR");

        if (!dir) {
                if (asprintf(&made, "%s/tank-XXXXXX", isempty(tmp) ? "/tmp" : tmp) < 0)
                        return log_oom();
                if (!mkdtemp(made))
                        return log_error_errno(-errno, "cannot make %s", made);
                s->made_dir = true;
                dir = made;
        } else if (mkdir(dir, 0755) >= 0)
                s->made_dir = true;
        else if (errno != EEXIST)
                return log_error_errno(-errno, "cannot make %s", dir);

        s->dir = realpath(dir, NULL);
        if (!s->dir)
                return log_error_errno(-errno, "cannot resolve %s", dir);
        if (strlen(s->dir) + strlen("/notify") >= sizeof(((struct sockaddr_un *) NULL)->sun_path))
                return log_error_errno(-ENAMETOOLONG, "%s is too long for a socket's path", s->dir);
        s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0)
                return log_error_errno(-errno, "cannot open %s", s->dir);
        if (s->made_dir)
                (void) fchmod(s->dir_fd, 0755); /* other users reach the bus through it */
        set_instance(s);
        return lock_dir(s);
}

/* What is in /run on a machine is in memory, and so it is here: a start makes a dozen small
 * files. */
static int mount_run(Sandbox *s)
{
        char *CLEANUP_FREE path = NULL;

        if (asprintf(&path, "%s/run", s->dir) < 0)
                return log_oom();
        if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0)
                return log_error_errno(-errno, "cannot mount a tmpfs at %s", path);
        return 0;
}

/* The rules of tank's group are the same here as where tank is installed. */
static int add_member(Sandbox *s)
{
        char *CLEANUP_FREE path = NULL;

        if (asprintf(&path, "%s/etc", s->dir) < 0)
                return log_oom();
        int r = member_provide(path);
        return r < 0 ? log_error_errno(r, "cannot add the user %s of group tank", MEMBER_USER) : 0;
}

static int fill_dir(Sandbox *s)
{
        static const char *const folders[] = {
                "state",
                "run",
                "log",
                "logs",
                "bin",
                "pids",
                "ready",
                "hold",
                "env",
        };

        for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
                if (mkdirat(s->dir_fd, folders[i], 0755) < 0 && errno != EEXIST)
                        return log_error_errno(-errno, "cannot make %s/%s", s->dir, folders[i]);
        int r = add_member(s);
        if (r < 0)
                return r;
        r = mount_run(s);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
                char *CLEANUP_FREE target = NULL, *CLEANUP_FREE name = NULL;
                if (asprintf(&target, "%s/%s", s->build, programs[i]) < 0 ||
                                asprintf(&name, "bin%s", strrchr(programs[i], '/')) < 0)
                        return log_oom();
                if (access(target, X_OK) < 0)
                        return log_error_errno(-errno, "%s is not built", target);
                if (symlinkat(target, s->dir_fd, name) < 0)
                        return log_error_errno(-errno, "cannot link %s/%s", s->dir, name);
        }
        return 0;
}

static int set_path_variable(const char *name, Sandbox *s, const char *folder, const char *suffix)
{
        char *CLEANUP_FREE value = NULL;

        if (asprintf(&value, "%s/%s%s%s", s->dir, folder, suffix ? ":" : "", strempty(suffix)) < 0)
                return -ENOMEM;
        return setenv(name, value, 1) < 0 ? -errno : 0;
}

static int set_environment(Sandbox *s)
{
        const char *path = getenv("PATH");

        if (asprintf(&s->address, "unix:path=%s/bus", s->dir) < 0)
                return log_oom();
        if (set_path_variable("TANK_STATE_DIR", s, "state", NULL) < 0 ||
                        set_path_variable("TANK_RUN_DIR", s, "run", NULL) < 0 ||
                        set_path_variable("TANK_LOG_DIR", s, "log", NULL) < 0 ||
                        set_path_variable("TANK_LIBEXEC_DIR", s, "bin", NULL) < 0 ||
                        set_path_variable("PATH", s, "bin",
                                        path ? path : "/usr/sbin:/usr/bin:/sbin:/bin") < 0 ||
                        setenv("TANK_INSTANCE", s->instance, 1) < 0 ||
                        setenv("TANK_SANDBOX_DIR", s->dir, 1) < 0 ||
                        setenv("DBUS_SYSTEM_BUS_ADDRESS", s->address, 1) < 0)
                return log_error_errno(-errno, "cannot set the environment");
        (void) unsetenv("NOTIFY_SOCKET"); /* of whoever started us */
        return 0;
}

static int open_notify_socket(Sandbox *s)
{
        static const int on = 1;
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        s->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->notify_fd < 0)
                return log_error_errno(-errno, "cannot make a socket");
        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/notify", s->dir);
        if (setsockopt(s->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
                        bind(s->notify_fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                return log_error_errno(-errno, "cannot bind %s", sa.sun_path);
        return 0;
}

static int set_services(Sandbox *s)
{
        char *config, *address, *store, *reconcile;

        if (asprintf(&config, "--config-file=%s/dbus/sandbox-bus.conf", s->build) < 0 ||
                        asprintf(&address, "--address=%s", s->address) < 0 ||
                        asprintf(&store, "%s/bin/tankd-store", s->dir) < 0 ||
                        asprintf(&reconcile, "%s/bin/tankd-reconcile", s->dir) < 0)
                return log_oom();
        /* kept for the life of the process */
        s->services[SERVICE_BUS] = (Service){
                .name = "bus",
                .argv = { "/usr/bin/dbus-daemon", config, address, "--nofork", "--nopidfile" },
        };
        s->services[SERVICE_STORE] = (Service){
                .name = "store",
                .argv = { store, s->memory ? "--memory" : NULL },
        };
        s->services[SERVICE_RECONCILE] = (Service){ .name = "reconcile", .argv = { reconcile } };
        return 0;
}

static void child_events(Sandbox *s)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid == s->command) {
                        s->command = 0;
                        s->command_done = true;
                        s->command_status = status;
                        continue;
                }
                for (size_t i = 0; i < ARRAY_SIZE(s->services); i++)
                        if (s->services[i].pid == pid)
                                service_died(s, &s->services[i], status);
        }
}

static void signal_events(Sandbox *s)
{
        struct signalfd_siginfo si;

        while (read(s->signal_fd, &si, sizeof(si)) == sizeof(si)) {
                if (si.ssi_signo == SIGCHLD)
                        child_events(s);
                else if (si.ssi_signo == SIGINT && si.ssi_code == SI_KERNEL && s->command > 0)
                        continue; /* Ctrl-C at the terminal: the command got it too and decides */
                else if (!s->stop_signal)
                        s->stop_signal = (int) si.ssi_signo;
        }
}

/* One turn of the loop: waits until something happened or @deadline has passed. */
static int turn(Sandbox *s, uint64_t deadline)
{
        uint64_t next = MIN(services_run_due(s), deadline), now = now_monotonic();
        struct pollfd fds[] = {
                { .fd = s->signal_fd, .events = POLLIN },
                { .fd = s->notify_fd, .events = POLLIN },
                { .fd = s->hold_fd, .events = POLLIN },
        };
        int timeout = -1;

        if (next != USEC_INFINITY)
                timeout = next <= now ? 0
                                      : (int) MIN((next - now) / USEC_PER_MSEC + 1,
                                                        (uint64_t) INT_MAX);
        if (poll(fds, ARRAY_SIZE(fds), timeout) < 0 && errno != EINTR)
                return log_error_errno(-errno, "cannot poll");
        /* READY before deaths: a daemon that did both was up. */
        if (fds[1].revents)
                service_notified(s);
        if (fds[2].revents)
                services_hold_changed(s);
        if (fds[0].revents)
                signal_events(s);
        return 0;
}

/* Starts @n services from @first on and waits until all of them are ready. */
static int start_services(Sandbox *s, ServiceId first, size_t n)
{
        uint64_t deadline = usec_add(now_monotonic(), START_USEC);
        Service *services = &s->services[first];
        int r;

        for (size_t i = 0; i < n; i++) {
                r = service_start(s, &services[i]);
                if (r < 0)
                        return r;
        }
        for (;;) {
                size_t ready = 0;
                for (size_t i = 0; i < n; i++) {
                        ready += services[i].ready;
                        if (services[i].failures == 0 && now_monotonic() < deadline)
                                continue;
                        if (services[i].ready)
                                continue;
                        log_error(services[i].failures ? "%s did not start"
                                                       : "%s did not say READY=1 in time",
                                        services[i].name);
                        service_show_log(s, &services[i]);
                        return -EPROTO;
                }
                if (ready == n)
                        return 0;
                if (s->stop_signal)
                        return -EINTR;
                r = turn(s, deadline);
                if (r < 0)
                        return r;
        }
}

static int run_command(Sandbox *s, char *const *argv, const sigset_t *mask)
{
        uint64_t deadline = USEC_INFINITY;
        int r = command_start(s, argv, mask);

        while (r >= 0 && !s->command_done) {
                r = turn(s, deadline);
                if (s->stop_signal && s->command > 0 && deadline == USEC_INFINITY) {
                        (void) kill(s->command, s->stop_signal);
                        deadline = usec_add(now_monotonic(), STOP_COMMAND_USEC);
                } else if (now_monotonic() >= deadline && s->command > 0) {
                        (void) kill(s->command, SIGKILL);
                        deadline = usec_add(now_monotonic(), STOP_COMMAND_USEC);
                }
        }
        return r;
}

static int sandbox_run(Sandbox *s, char *const *argv, const sigset_t *mask)
{
        int r = fill_dir(s);

        if (r < 0)
                return r;
        r = set_environment(s);
        if (r < 0)
                return r;
        r = open_notify_socket(s);
        if (r < 0)
                return r;
        s->hold_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        char *CLEANUP_FREE hold = NULL;
        if (asprintf(&hold, "%s/hold", s->dir) < 0)
                return log_oom();
        if (s->hold_fd < 0 || inotify_add_watch(s->hold_fd, hold, IN_DELETE | IN_MOVED_FROM) < 0)
                return log_error_errno(-errno, "cannot watch %s", hold);
        r = set_services(s);
        if (r < 0)
                return r;
        r = start_services(s, SERVICE_BUS, 1);
        if (r < 0)
                return r;
        r = start_services(s, SERVICE_STORE, 2);
        if (r < 0)
                return r;
        return run_command(s, argv, mask);
}

static int sandbox_init(Sandbox *s, const char *dir, sigset_t *ret_mask)
{
        static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT };
        sigset_t set;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void) sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, ret_mask) < 0)
                return log_error_errno(-errno, "cannot block signals");
        s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->signal_fd < 0)
                return log_error_errno(-errno, "cannot make a signalfd");
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return log_error_errno(-errno, "cannot become a subreaper");
        return make_dir(s, dir);
}

static int exit_code(const Sandbox *s, int r)
{
        if (s->stop_signal)
                return 128 + s->stop_signal;
        if (r < 0)
                return EXIT_SANDBOX;
        if (WIFSIGNALED(s->command_status))
                return 128 + WTERMSIG(s->command_status);
        return WEXITSTATUS(s->command_status);
}

static int usage(void)
{
        (void) fputs("usage: tank-sandbox --build DIR [--dir DIR] [--memory] -- COMMAND…\n",
                        stderr);
        return 2;
}

int main(int argc, char **argv)
{
        static const struct option options[] = {
                { "build", required_argument, NULL, 'b' },
                { "dir", required_argument, NULL, 'd' },
                { "memory", no_argument, NULL, 'm' },
                { NULL, 0, NULL, 0 },
        };
        Sandbox s = {
                .dir_fd = -EBADF, .signal_fd = -EBADF, .notify_fd = -EBADF, .hold_fd = -EBADF
        };
        const char *dir = NULL;
        sigset_t mask;
        int c, r;

        log_setup("sandbox");
        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                if (c == 'b')
                        s.build = optarg;
                else if (c == 'd')
                        dir = optarg;
                else if (c == 'm')
                        s.memory = true;
                else
                        return usage();
        if (!s.build || optind >= argc)
                return usage();

        r = sandbox_init(&s, dir, &mask);
        if (r >= 0) {
                if (!s.made_dir)
                        teardown(&s); /* what a killed sandbox left here */
                r = sandbox_run(&s, argv + optind, &mask);
        }
        if (s.owned)
                teardown(&s);
        return exit_code(&s, r);
}
