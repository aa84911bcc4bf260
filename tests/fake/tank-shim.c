/* SPDX-License-Identifier: Apache-2.0 */

/* A shim without a sandbox, for the tests of the reconciler: speaks the channel of docs/protocol.md
 * section 2 and runs the command as it is, on the host. What it does wrong is asked for by the
 * container's environment, FAULT=:
 *
 *   mute           never says hello
 *   die-early      dies before hello
 *   die-started    dies when it is let go, before it says so
 *   die-running    dies of SIGKILL as soon as the workload runs
 *   fail-setup     reports a failed set-up
 *   unseen-scope   gave up waiting for a scope that it asked for
 *   refuse-update  refuses new limits and hosts
 *   refuse-hosts   refuses new hosts; the limits are in force
 *   mute-update    does not answer an update
 *   drop-update    closes the channel instead of answering the first update
 *
 * The refusals last until there is a file $FAKE_SHIM_NOTES.accept.
 *
 * Each start, stop, update, refusal and --cleanup is noted in the file $FAKE_SHIM_NOTES, a
 * line each. */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "limit.h"
#include "quantity.h"
#include "record.h"
#include "state.h"
#include "strv.h"

#define END_MSEC 60000

enum { CHANNEL_FD = 3, LAUNCH_FD = 4, DIR_FD = 5 };

typedef struct Fake {
        char *launch_data;
        Record launch;
        int channel, listener, signals, lock;
        RunState state;
        bool started, dropped;
        pid_t pid;
        uint64_t started_usec, started_boot_usec, ended_usec, ended_boot_usec;
        RunResult result;
        uint64_t kill_at;
        char buffer[LIMIT_CHANNEL_MESSAGE];
} Fake;

static void note(const char *format, ...) PRINTF_LIKE(1, 2);
static void note(const char *format, ...)
{
        const char *path = getenv("FAKE_SHIM_NOTES");
        FILE *f = path ? fopen(path, "ae") : NULL;
        va_list ap;

        if (!f)
                return;
        va_start(ap, format);
        (void) vfprintf(f, format, ap);
        va_end(ap);
        (void) fclose(f);
}

static void die(const char *what)
{
        (void) fprintf(stderr, "fake tank-shim: %s: %s\n", what, strerror(errno));
        _exit(1);
}

static bool has_fault(Fake *f, const char *fault)
{
        CLEANUP_STRV char **env = NULL;

        (void) record_get_strv(&f->launch, "env", &env);
        STRV_FOREACH(i, env)
        {
                const char *v = startswith(*i, "FAULT=");

                if (v && streq(v, fault))
                        return true;
        }
        return false;
}

static void put_status(Fake *f, RecordWriter *w, const char *type)
{
        static const char *const copied[] = { "pod_uid", "run", "namespace", "pod", "container",
                "generation", "scratch", "bus_name", "stop.signal", "stop.grace_usec" };
        char boot[ID128_SIZE];

        record_start(w, 1);
        if (type) {
                record_put(w, "type", type);
                record_put(w, "protocol", "1");
        }
        (void) boot_id(boot);
        record_put(w, "boot_id", boot);
        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                record_put(w, copied[i], record_get(&f->launch, copied[i]));
        record_put_u64(w, "shim_pid", (uint64_t) getpid());
        record_put_u64(w, "started", f->started);
        record_put(w, "state", run_state_to_string(f->state));
        record_put_u64(w, "pid", f->state == RUN_EXITED ? 0 : (uint64_t) f->pid);
        record_put_u64(w, "started_usec", f->started_usec);
        record_put_u64(w, "started_boot_usec", f->started_boot_usec);
        if (has_fault(f, "unseen-scope"))
                record_put(w, "cgroup.scope", "tank-unseen.scope");
        if (f->state != RUN_EXITED)
                return;
        record_put(w, "result.kind", result_kind_to_string(f->result.kind));
        record_put_u64(w, "result.code", (uint64_t) f->result.code);
        record_put(w, "result.stage", f->result.stage);
        record_put_u64(w, "ended_usec", f->ended_usec);
        record_put_u64(w, "ended_boot_usec", f->ended_boot_usec);
}

static void write_record(Fake *f)
{
        RecordWriter w;

        put_status(f, &w, NULL);
        if (record_finish(&w) < 0 ||
                        write_file_atomic_at(DIR_FD, "record", w.data, w.size, 0600, false) < 0)
                die("record");
        record_done(&w);
}

static void say(Fake *f, const char *type)
{
        RecordWriter w;

        put_status(f, &w, type);
        if (f->channel >= 0)
                (void) packet_send(f->channel, w.data, w.size, NULL, 0); /* it may be gone */
        record_done(&w);
}

static void report(Fake *f)
{
        write_record(f);
        say(f, "status");
}

static void ended(Fake *f, ResultKind kind, int code, const char *stage)
{
        f->state = RUN_EXITED;
        f->result = (RunResult){ .kind = kind, .code = code };
        (void) snprintf(f->result.stage, sizeof(f->result.stage), "%s", stage);
        f->ended_usec = now_realtime_usec();
        f->ended_boot_usec = now_boottime_usec();
        report(f);
        (void) rmdir(record_get(&f->launch, "scratch"));
        _exit(0);
}

/* Returns when it is the command, or has ended: what is said to run has its name. */
static pid_t spawn_workload(char *const *argv)
{
        CLEANUP_CLOSE int executed = -EBADF;
        sigset_t none;
        int fds[2];
        char byte;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                die("pipe");
        executed = fds[0];
        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                sigemptyset(&none);
                (void) sigprocmask(SIG_SETMASK, &none, NULL);
                (void) setpgid(0, 0);
                (void) execvp(argv[0], argv);
                _exit(127);
        }
        (void) close(fds[1]);
        while (read(executed, &byte, 1) < 0 && errno == EINTR)
                ;
        return pid;
}

static void start(Fake *f)
{
        CLEANUP_STRV char **argv = NULL;

        note("start %s sandbox=%s\n", record_get(&f->launch, "container"),
                        record_get(&f->launch, "sandbox"));
        if (has_fault(f, "die-started"))
                (void) kill(getpid(), SIGKILL);
        f->started = true;
        write_record(f);
        (void) mkdir_p(record_get(&f->launch, "scratch"), 0700);
        if (has_fault(f, "fail-setup"))
                ended(f, RESULT_SETUP_FAILED, ENOENT, "rootfs");
        if (has_fault(f, "unseen-scope"))
                ended(f, RESULT_SETUP_FAILED, ETIMEDOUT, "cgroup");
        (void) record_get_strv(&f->launch, "argv", &argv);
        f->pid = spawn_workload(argv);
        f->state = RUN_RUNNING;
        f->started_usec = now_realtime_usec();
        f->started_boot_usec = now_boottime_usec();
        report(f);
        if (has_fault(f, "die-running"))
                (void) kill(getpid(), SIGKILL);
}

static void stop(Fake *f, const Record *m)
{
        uint64_t signo, grace;

        if (record_get_u64(m, "signal", &signo) < 0)
                (void) record_get_u64(&f->launch, "stop.signal", &signo);
        if (record_get_u64(m, "grace_usec", &grace) < 0)
                (void) record_get_u64(&f->launch, "stop.grace_usec", &grace);
        note("stop %s signal=%d grace=%d\n", record_get(&f->launch, "container"), (int) signo,
                        (int) (grace / USEC_PER_MSEC));
        f->state = RUN_STOPPING;
        f->kill_at = now_boottime_usec() + grace;
        report(f);
        (void) kill(-f->pid, (int) signo);
}

static bool refuses_updates(void)
{
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s.accept", strempty(getenv("FAKE_SHIM_NOTES")));
        return access(path, F_OK) < 0;
}

static void refuse(Fake *f, const char *request, const char *applied)
{
        RecordWriter w;

        note("refused %s %s\n", record_get(&f->launch, "container"), request);

        record_start(&w, 1);
        record_put(&w, "type", "error");
        record_put(&w, "request", request);
        record_put_u64(&w, "errno", EBUSY);
        record_put(&w, "message", "asked for by the test");
        if (applied)
                record_put(&w, "applied", applied);
        (void) packet_send(f->channel, w.data, w.size, NULL, 0);
        record_done(&w);
}

static void note_hosts(Fake *f, const Record *m)
{
        CLEANUP_STRV char **hosts = NULL;

        (void) record_get_strv(m, "extra_host", &hosts);
        STRV_FOREACH(i, hosts)
        {
                note("host %s %s\n", record_get(&f->launch, "container"), *i);
        }
}

static void on_message(Fake *f)
{
        ssize_t n = packet_recv(f->channel, f->buffer, sizeof(f->buffer), NULL, 0, NULL);
        const char *type;
        uint64_t signo;
        Record m;

        if (n <= 0) {
                if (!f->started)
                        _exit(0);
                f->channel = safe_close(f->channel);
                return;
        }
        if (record_parse(f->buffer, (size_t) n, 1, &m) < 0)
                die("message");
        type = record_get(&m, "type");
        if (streq(type, "start"))
                start(f);
        else if (streq(type, "stop") && f->pid > 0)
                stop(f, &m);
        else if (streq(type, "kill") && record_get_u64(&m, "signal", &signo) >= 0)
                (void) kill(f->pid, (int) signo);
        else if (streq(type, "update") && has_fault(f, "mute-update") && refuses_updates())
                note("unanswered %s\n", record_get(&f->launch, "container"));
        else if (streq(type, "update") && has_fault(f, "drop-update") && !f->dropped) {
                f->dropped = true;
                f->channel = safe_close(f->channel);
        } else if (streq(type, "update") && has_fault(f, "refuse-update") && refuses_updates())
                refuse(f, "update", NULL);
        else if (streq(type, "update") && has_fault(f, "refuse-hosts") && refuses_updates())
                refuse(f, "update", "limits");
        else if (streq(type, "update")) {
                note("update %s memory=%s pids=%s\n", record_get(&f->launch, "container"),
                                strempty(record_get(&m, "limit.memory")),
                                strempty(record_get(&m, "limit.pids")));
                note_hosts(f, &m);
                say(f, "status");
        }
}

static void on_child(Fake *f)
{
        int status;

        if (f->pid <= 0 || waitpid(f->pid, &status, WNOHANG) != f->pid)
                return;
        (void) kill(-f->pid, SIGKILL);
        if (WIFEXITED(status))
                ended(f, RESULT_EXITED, WEXITSTATUS(status), "");
        ended(f, RESULT_SIGNALED, WTERMSIG(status), "");
}

static void set_up(Fake *f)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[FD_PATH_MAX];
        sigset_t mask;

        (void) setsid();
        f->lock = openat(DIR_FD, "lock", O_RDWR | O_CLOEXEC);
        if (f->lock < 0 || fcntl(f->lock, F_SETLK, &lock) < 0)
                die("lock");
        f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/control",
                        fd_path(DIR_FD, path));
        if (bind(f->listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
                        listen(f->listener, 4) < 0)
                die("control");
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        f->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void loop(Fake *f)
{
        for (;;) {
                struct pollfd fds[] = { { f->channel, POLLIN, 0 }, { f->listener, POLLIN, 0 },
                        { f->signals, POLLIN, 0 } };
                uint64_t now = now_boottime_usec();
                int wait = f->kill_at == 0    ? -1
                           : f->kill_at > now ? (int) ((f->kill_at - now) / USEC_PER_MSEC) + 1
                                              : 0;
                struct signalfd_siginfo si;

                if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
                        die("poll");
                if (f->kill_at > 0 && now_boottime_usec() >= f->kill_at) {
                        f->kill_at = 0;
                        (void) kill(-f->pid, SIGKILL);
                }
                if (fds[0].revents)
                        on_message(f);
                if (fds[1].revents) {
                        (void) safe_close(f->channel);
                        f->channel = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
                        say(f, "hello");
                }
                if (fds[2].revents && read(f->signals, &si, sizeof(si)) > 0)
                        on_child(f);
        }
}

/* And its group; as with a cgroup that is empty, it is gone when this returns. */
static void end_workload(pid_t pid)
{
        CLEANUP_CLOSE int fd = (int) syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };

        (void) kill(-pid, SIGKILL);
        if (fd >= 0)
                (void) poll(&p, 1, END_MSEC);
}

/* What the shim did not live to do: here, kill the process that it left behind. */
static int clean_up(const char *run_directory)
{
        CLEANUP_CLOSE int dir = open(run_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FREE char *data = NULL;
        uint64_t pid;
        size_t size;
        Record r;

        note("cleanup\n");
        if (dir < 0 || read_file_at(dir, "record", LIMIT_RECORD_MAX, &data, &size) < 0 ||
                        record_parse(data, size, 1, &r) < 0)
                return 0;
        if (record_get_u64(&r, "pid", &pid) >= 0 && pid > 1)
                end_workload((pid_t) pid);
        if (record_get(&r, "scratch"))
                (void) rmdir(record_get(&r, "scratch"));
        return 0;
}

int main(int argc, char *argv[])
{
        static Fake fake = { .channel = CHANNEL_FD, .state = RUN_CREATING };
        size_t size;

        if (argc == 3 && streq(argv[1], "--cleanup"))
                return clean_up(argv[2]);
        if (argc == 3 && streq(argv[1], "--cleanup-pod"))
                return 0;
        for (int fd = CHANNEL_FD; fd <= DIR_FD; fd++)
                (void) fd_set_cloexec(fd, true);
        if (read_fd_bounded(LAUNCH_FD, LIMIT_LAUNCH_MAX, &fake.launch_data, &size) < 0 ||
                        record_parse(fake.launch_data, size, 1, &fake.launch) < 0)
                die("launch record");
        if (has_fault(&fake, "die-early"))
                return 1;
        set_up(&fake);
        write_record(&fake);
        if (!has_fault(&fake, "mute"))
                say(&fake, "hello");
        loop(&fake);
}
