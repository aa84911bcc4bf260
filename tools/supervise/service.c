/* SPDX-License-Identifier: Apache-2.0 */

/* The daemons of a sandbox, kept up as systemd would: started, watched for READY=1, started again
 * when they die. Under the sandbox directory:
 *
 *   pids/NAME    pid of the running process, there from start to death
 *   ready/NAME   the same pid, there once it said READY=1
 *   hold/NAME    made by a test: while it exists a dead NAME is not started again
 *   env/NAME     made by a test: KEY=VALUE lines for the next start (failpoints)
 *   logs/NAME    its output
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "supervise.h"

#define RESTART_USEC     (100 * USEC_PER_MSEC)
#define RESTART_MAX_USEC (2 * USEC_PER_SEC)
#define ENV_FILE_MAX     (64U * 1024U)
#define LOG_TAIL_BYTES   4096

uint64_t now_monotonic(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static void mark(Sandbox *s, const char *folder, const Service *service)
{
        char path[64], text[16];
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, service->name);
        if (service->pid <= 0) {
                (void) unlinkat(s->dir_fd, path, 0); /* often not there */
                return;
        }
        int n = snprintf(text, sizeof(text), "%d\n", service->pid);
        int CLEANUP_CLOSE fd = openat(s->dir_fd, folder, O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno
                   : write_file_atomic_at(fd, service->name, text, (size_t) n, 0644, false);
        if (r < 0)
                log_warning_errno(r, "cannot write %s, ignoring", path);
}

/* In the child: KEY=VALUE lines of env/NAME, left there by a test. */
static void apply_extra_environment(Sandbox *s, const Service *service)
{
        char path[64];
        char *CLEANUP_FREE text = NULL;
        size_t size;

        (void) snprintf(path, sizeof(path), "env/%s", service->name);
        if (read_file_at(s->dir_fd, path, ENV_FILE_MAX, &text, &size) < 0)
                return;
        char *state = NULL;
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                char *eq = strchr(line, '=');
                if (!eq)
                        continue;
                *eq = 0;
                (void) setenv(line, eq + 1, 1);
        }
}

static _Noreturn void service_child(Sandbox *s, const Service *service)
{
        char path[64];
        sigset_t none;

        /* A session of its own: the terminal's Ctrl-C is for the command. */
        (void) setsid();
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        (void) snprintf(path, sizeof(path), "logs/%s", service->name);
        int log_fd = openat(s->dir_fd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (log_fd < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
                        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
                _exit(EXIT_FAILURE);

        char *CLEANUP_FREE socket_path = NULL;
        if (asprintf(&socket_path, "%s/notify", s->dir) < 0 ||
                        setenv("NOTIFY_SOCKET", socket_path, 1) < 0)
                _exit(EXIT_FAILURE);
        apply_extra_environment(s, service);

        (void) execv(service->argv[0], (char *const *) service->argv);
        log_error_errno(-errno, "cannot execute %s", service->argv[0]);
        _exit(127);
}

int service_start(Sandbox *s, Service *service)
{
        assert(service->pid == 0);

        service->restart_usec = 0;
        service->ready = false;
        pid_t pid = fork();
        if (pid < 0)
                return log_error_errno(-errno, "cannot start %s", service->name);
        if (pid == 0)
                service_child(s, service);
        service->pid = pid;
        mark(s, "pids", service);
        return 0;
}

void service_died(Sandbox *s, Service *service, int status)
{
        bool asked = s->stop_signal || s->command_done;

        if (!asked && WIFEXITED(status))
                log_info("%s exited with %d", service->name, WEXITSTATUS(status));
        else if (!asked && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM)
                log_info("%s died of signal %d", service->name, WTERMSIG(status));

        service->failures = service->ready ? 0 : service->failures + 1;
        service->pid = 0;
        service->ready = false;
        mark(s, "pids", service);
        mark(s, "ready", service);

        uint64_t delay = RESTART_USEC << MIN(service->failures, 5U);
        service->restart_usec = usec_add(now_monotonic(), MIN(delay, RESTART_MAX_USEC));
}

static bool service_is_held(Sandbox *s, const Service *service)
{
        char path[64];

        (void) snprintf(path, sizeof(path), "hold/%s", service->name);
        return faccessat(s->dir_fd, path, F_OK, 0) >= 0;
}

uint64_t services_run_due(Sandbox *s)
{
        uint64_t next = USEC_INFINITY;

        for (size_t i = 0; i < ARRAY_SIZE(s->services); i++) {
                Service *service = &s->services[i];

                if (service->pid > 0 || service->restart_usec == 0)
                        continue;
                if (now_monotonic() < service->restart_usec) {
                        next = MIN(next, service->restart_usec);
                        continue;
                }
                if (service_is_held(s, service))
                        continue; /* the hold directory is watched */
                if (service_start(s, service) < 0) {
                        service->restart_usec = usec_add(now_monotonic(), RESTART_MAX_USEC);
                        next = MIN(next, service->restart_usec);
                }
        }
        return next;
}

void services_hold_changed(Sandbox *s)
{
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

        while (read(s->hold_fd, buf, sizeof(buf)) > 0)
                ; /* which file does not matter: services_run_due() looks */
}

/* Descriptors that came along are closed: that is what sd_notify_barrier() waits for. */
static void close_received(struct msghdr *mh, pid_t *ret_pid)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred cred;
                        memcpy(&cred, CMSG_DATA(c), sizeof(cred));
                        *ret_pid = cred.pid;
                } else if (c->cmsg_type == SCM_RIGHTS) {
                        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                        for (size_t i = 0; i < n; i++) {
                                int fd;
                                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                                safe_close(fd);
                        }
                }
        }
}

void service_notified(Sandbox *s)
{
        char buf[4096];
        char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))]
                        __attribute__((aligned(__alignof__(struct cmsghdr))));

        for (;;) {
                struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) - 1 };
                struct msghdr mh = {
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof(control),
                };
                pid_t pid = 0;
                ssize_t n = recvmsg(s->notify_fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                if (n < 0)
                        return;
                buf[n] = 0;
                close_received(&mh, &pid);

                char *state = NULL;
                bool ready = false;
                for (char *l = strtok_r(buf, "\n", &state); l; l = strtok_r(NULL, "\n", &state))
                        ready |= streq(l, "READY=1");
                for (size_t i = 0; ready && i < ARRAY_SIZE(s->services); i++) {
                        Service *service = &s->services[i];
                        if (pid <= 0 || service->pid != pid)
                                continue;
                        service->ready = true;
                        service->failures = 0;
                        mark(s, "ready", service);
                }
        }
}

void service_show_log(Sandbox *s, const Service *service)
{
        char path[64], buf[LOG_TAIL_BYTES];

        (void) snprintf(path, sizeof(path), "logs/%s", service->name);
        int CLEANUP_CLOSE fd = openat(s->dir_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        off_t size = lseek(fd, 0, SEEK_END);
        off_t from = size > (off_t) sizeof(buf) ? size - (off_t) sizeof(buf) : 0;
        ssize_t n = pread(fd, buf, sizeof(buf), from);
        if (n > 0) {
                (void) fprintf(stderr, "--- end of %s's output:\n", service->name);
                (void) fwrite(buf, 1, (size_t) n, stderr);
        }
}

int command_start(Sandbox *s, char *const *argv, const sigset_t *mask)
{
        pid_t pid = fork();
        if (pid < 0)
                return log_error_errno(-errno, "cannot start %s", argv[0]);
        if (pid > 0) {
                s->command = pid;
                return 0;
        }
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void) sigprocmask(SIG_SETMASK, mask, NULL);
        (void) execvp(argv[0], argv);
        int code = errno == ENOENT ? 127 : 126;
        log_error_errno(-errno, "cannot execute %s", argv[0]);
        _exit(code);
}
