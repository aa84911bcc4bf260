/* SPDX-License-Identifier: Apache-2.0 */

/* Plays the reconciler for one shim, so that a shim can be tested without one:
 *
 *     shim-drive WORK [KEY=VALUE…] [@running COMMAND] [@end stop|wait|lost|abort|shim-kill] --
 *     ARGV…
 *
 * Makes the run directory beneath WORK, a launch record with sensible defaults (each KEY=VALUE
 * replaces or, repeated, adds), spawns tank-shim of $TANK_BUILD_DIR, starts it and prints what it
 * says: "state=… pid=…" for each status, at last "result=KIND CODE STAGE MESSAGE". COMMAND is run
 * by sh when the container runs, with $PID, $SHIM, $RUN (the run's directory), $SCRATCH, $LOG,
 * $CGROUP. Then, by @end:
 *
 *     stop       (default) asks to stop with a grace of 2 s
 *     wait       waits for the workload to end
 *     kill:N     sends signal N, then waits
 *     lost       closes the channel while running and connects to `control` anew, then stops
 *     abort      closes the channel in place of starting
 *     shim-kill  kills the shim and runs `tank-shim --cleanup`
 *     failpoint  the shim kills itself ($TANK_FAILPOINT): as shim-kill
 *
 * Exits 0 when the shim did, all that it made is gone, and (shim-kill) the clean-up succeeded. */

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "limit.h"
#include "quantity.h"
#include "record.h"

#define TIMEOUT_MSEC 20000

typedef struct Drive {
        const char *work, *build, *command, *end;
        char *run_path, *scratch, *log_path, *cgroup;
        int channel;
        pid_t shim, pid;
        uint64_t spawned_usec, running_usec;
        bool over;
} Drive;

static _Noreturn void die(const char *what, int r)
{
        fprintf(stderr, "shim-drive: %s: %s\n", what, strerror(r < 0 ? -r : r));
        exit(1);
}

/* The strings live as long as this program, and are held for those who look for leaks. */
static char *kept[128];
static size_t n_kept;

static char *format(const char *f, ...) PRINTF_LIKE(1, 2);
static char *format(const char *f, ...)
{
        va_list ap;
        char *s;
        int n;

        va_start(ap, f);
        n = vasprintf(&s, f, ap);
        va_end(ap);
        if (n < 0)
                die("memory", ENOMEM);
        if (n_kept == ARRAY_SIZE(kept))
                die("strings", ENOBUFS);
        kept[n_kept++] = s;
        return s;
}

/* ---- the launch record ---- */

typedef struct Pair {
        const char *key;
        char *value;
} Pair;

static bool overridden(char *const *given, size_t n, const char *key)
{
        size_t len = strlen(key);

        for (size_t i = 0; i < n; i++) {
                if (strncmp(given[i], key, len) == 0 && given[i][len] == '=')
                        return true;
        }
        return false;
}

static int make_launch(Drive *d, const char *run, char **given, size_t n_given, char **argv)
{
        const char *pod = getenv("POD_UID") ?: "0123456789abcdef0123456789abcdef";
        char pod_uid[ID128_SIZE];
        const Pair defaults[] = {
                { "run", (char *) run },
                { "namespace", (char *) "default" },
                { "pod", (char *) "web" },
                { "container", (char *) "app" },
                { "generation", (char *) "1" },
                { "sandbox", (char *) "create" },
                { "userns", (char *) "auto" },
                { "id_base", (char *) "536870912" },
                { "id_count", (char *) "65536" },
                { "network", (char *) "none" },
                { "hostname", (char *) "web" },
                { "scratch", d->scratch },
                { "cwd", (char *) "/" },
                { "user", (char *) "0" },
                { "tty", (char *) "0" },
                { "init", (char *) "tank" },
                { "seccomp", (char *) "default" },
                { "no_new_privileges", (char *) "1" },
                { "privileged", (char *) "0" },
                { "stop.signal", (char *) "15" },
                { "stop.grace_usec", (char *) "2000000" },
                { "log.dir", format("%s/log/default/web", d->work) },
                { "log.name", (char *) "app.log" },
                { "log.max_size", (char *) "5000000" },
                { "log.max_files", (char *) "5" },
                { "cgroup.path", d->cgroup },
                { "seccomp_cache", format("%s/seccomp", d->work) },
                { "libexec_dir", format("%s/libexec", d->work) },
                { "rootfs", format("%s/root", d->work) },
        };
        RecordWriter w;
        int fd, r;

        (void) snprintf(pod_uid, sizeof(pod_uid), "%s", pod);
        record_start(&w, 1);
        record_put(&w, "pod_uid", pod_uid);
        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
                if (!overridden(given, n_given, defaults[i].key))
                        record_put(&w, defaults[i].key, defaults[i].value);
        }
        for (size_t i = 0; i < n_given; i++) {
                char *key = strndup(given[i], strcspn(given[i], "="));

                record_put(&w, key, given[i] + strlen(key) + 1);
                free(key);
        }
        record_put_strv(&w, "argv", argv);
        r = record_finish(&w);
        if (r >= 0)
                r = memfd_sealed("launch", w.data, w.size, &fd);
        if (r < 0)
                die("launch record", r);
        record_done(&w);
        return fd;
}

/* tank-init and tank-seccomp where the shim looks for both. */
static void make_libexec(Drive *d)
{
        const char *const programs[][2] = { { "init/tank-init", "tank-init" },
                { "seccomp/tank-seccomp", "tank-seccomp" } };
        char *dir = format("%s/libexec", d->work);

        (void) mkdir(dir, 0755);
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
                char *from = format("%s/tank-shim/%s", d->build, programs[i][0]);
                char *to = format("%s/%s", dir, programs[i][1]);

                if (link(from, to) < 0 && errno != EEXIST && symlink(from, to) < 0)
                        die(to, errno);
        }
}

/* ---- the shim ---- */

static void spawn_shim(Drive *d, int launch)
{
        char *program = format("%s/tank-shim/tank-shim", d->build);
        int pair[2], dir;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                die("socketpair", errno);
        dir = open(d->run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                die(d->run_path, errno);
        d->spawned_usec = now_boottime_usec();
        d->shim = fork();
        if (d->shim < 0)
                die("fork", errno);
        if (d->shim == 0) {
                int fds[] = { pair[1], launch, dir };

                for (size_t i = 0; i < 3; i++)
                        fds[i] = fcntl(fds[i], F_DUPFD, 16);
                for (int i = 0; i < 3; i++)
                        (void) dup2(fds[i], 3 + i);
                for (size_t i = 0; i < 3; i++)
                        (void) close(fds[i]);
                (void) execl(program, "tank-shim", (char *) NULL);
                die(program, errno);
        }
        (void) close(pair[1]);
        (void) close(dir);
        (void) close(launch);
        d->channel = pair[0];
}

static void send_message(Drive *d, const char *type, const char *key, const char *value)
{
        RecordWriter w;
        int r;

        record_start(&w, 1);
        record_put(&w, "type", type);
        if (streq(type, "hello"))
                record_put(&w, "protocol", "1");
        if (key)
                record_put(&w, key, value);
        r = record_finish(&w);
        if (r >= 0)
                r = packet_send(d->channel, w.data, w.size, NULL, 0);
        /* A shim that is to die may have. */
        if (r < 0 && !(r == -EPIPE && streq_ptr(d->end, "failpoint")))
                die(type, r);
        record_done(&w);
}

static void connect_again(Drive *d)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int dir = open(d->run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) close(d->channel);
        d->channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        (void) snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/control", dir);
        if (connect(d->channel, (struct sockaddr *) &a, sizeof(a)) < 0)
                die("control", errno);
        (void) close(dir);
        send_message(d, "hello", NULL, NULL);
}

/* ---- the run ---- */

static void run_command(Drive *d)
{
        char pid[16], shim[16];
        int status;
        pid_t child;

        if (!d->command)
                return;
        (void) snprintf(pid, sizeof(pid), "%d", (int) d->pid);
        (void) snprintf(shim, sizeof(shim), "%d", (int) d->shim);
        (void) setenv("PID", pid, 1);
        (void) setenv("SHIM", shim, 1);
        (void) setenv("RUN", d->run_path, 1);
        (void) setenv("SCRATCH", d->scratch, 1);
        (void) setenv("LOG", d->log_path, 1);
        (void) setenv("CGROUP", d->cgroup, 1);
        (void) fflush(stdout);
        child = fork();
        if (child == 0) {
                (void) execl("/bin/sh", "sh", "-ec", d->command, (char *) NULL);
                _exit(127);
        }
        if (waitpid(child, &status, 0) < 0 || status != 0) {
                printf("command=failed\n");
                fprintf(stderr, "shim-drive: @running failed with status %d\n", status);
        }
}

static void on_running(Drive *d)
{
        d->running_usec = now_boottime_usec();
        run_command(d);
        if (streq(d->end, "stop"))
                send_message(d, "stop", NULL, NULL);
        else if (startswith(d->end, "kill:"))
                send_message(d, "kill", "signal", d->end + 5);
        else if (streq(d->end, "lost"))
                connect_again(d);
        else if (streq(d->end, "shim-kill"))
                (void) kill(d->shim, SIGKILL);
}

static void on_packet(Drive *d, const char *data, size_t size)
{
        const char *type, *state;
        uint64_t pid = 0;
        Record m;
        int r;

        r = record_parse(data, size, 1, &m);
        if (r < 0)
                die("message", r);
        type = strempty(record_get(&m, "type"));
        state = strempty(record_get(&m, "state"));
        (void) record_get_u64(&m, "pid", &pid);
        if (streq(type, "error")) {
                printf("error=%s %s %s\n", strempty(record_get(&m, "request")),
                                strempty(record_get(&m, "errno")),
                                strempty(record_get(&m, "message")));
                return;
        }
        printf("%s state=%s pid=%d\n", type, state, (int) pid);
        if (pid > 0)
                d->pid = (pid_t) pid;
        if (streq(type, "hello") && streq(state, "creating")) {
                send_message(d, "hello", NULL, NULL);
                if (streq(d->end, "abort")) {
                        (void) shutdown(d->channel, SHUT_RDWR);
                        return;
                }
                send_message(d, "start", NULL, NULL);
        } else if (streq(type, "hello") && streq(state, "running")) {
                printf("adopted\n");
                send_message(d, "stop", NULL, NULL);
        } else if (streq(state, "running")) {
                on_running(d);
        } else if (streq(state, "exited") && !d->over) {
                d->over = true;
                printf("result=%s %s %s %s\n", strempty(record_get(&m, "result.kind")),
                                strempty(record_get(&m, "result.code")),
                                strempty(record_get(&m, "result.stage")),
                                strempty(record_get(&m, "result.message")));
        }
        (void) fflush(stdout);
}

static void loop(Drive *d)
{
        static char buf[LIMIT_CHANNEL_MESSAGE];

        for (;;) {
                struct pollfd p = { .fd = d->channel, .events = POLLIN };
                size_t n_fds;
                ssize_t n;

                if (poll(&p, 1, TIMEOUT_MSEC) == 0) {
                        (void) kill(d->shim, SIGTERM);
                        die("the shim says nothing", ETIMEDOUT);
                }
                n = packet_recv(d->channel, buf, sizeof(buf), NULL, 0, &n_fds);
                if (n == -EAGAIN)
                        continue;
                if (n <= 0)
                        return;
                on_packet(d, buf, (size_t) n);
        }
}

static bool exists(const char *path)
{
        return access(path, F_OK) == 0;
}

static int check_leftovers(Drive *d)
{
        const char *const trees[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu",
                "/sys/fs/cgroup/cpuacct" };
        int bad = 0;

        if (exists(d->scratch) && ++bad)
                printf("leftover=%s\n", d->scratch);
        for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
                char *path = format("%s/%s", trees[i], d->cgroup);

                if (exists(path) && ++bad)
                        printf("leftover=%s\n", path);
        }
        if (d->pid > 0 && kill(d->pid, 0) == 0 && ++bad)
                printf("leftover=process %d\n", (int) d->pid);
        return bad;
}

int main(int argc, char *argv[])
{
        Drive d = { .end = "stop", .channel = -EBADF };
        char run[ID128_SIZE], *pod_dir;
        char *given[256];
        size_t n = 0;
        int i, launch, status, bad = 0;

        d.build = getenv("TANK_BUILD_DIR") ?: ".";
        if (argc < 4 || random_id(run) < 0)
                die("usage", EINVAL);
        d.work = argv[1];
        for (i = 2; i < argc && !streq(argv[i], "--"); i++) {
                if (streq(argv[i], "@running") && i + 1 < argc)
                        d.command = argv[++i];
                else if (streq(argv[i], "@end") && i + 1 < argc)
                        d.end = argv[++i];
                else if (n < ARRAY_SIZE(given))
                        given[n++] = argv[i];
        }
        pod_dir = format("%s/run/pods/%s", d.work,
                        getenv("POD_UID") ?: "0123456789abcdef0123456789abcdef");
        d.run_path = format("%s/app/%s", pod_dir, run);
        d.scratch = format("%s/containers/%s", d.work, run);
        d.log_path = format("%s/log/default/web/app.log", d.work);
        d.cgroup = format("tank-test-%s/%s", getenv("TEST_ID") ?: "0", run);
        if (mkdir_p(d.run_path, 0700) < 0)
                die(d.run_path, errno);
        make_libexec(&d);
        launch = make_launch(&d, run, given, n, i < argc ? argv + i + 1 : argv + i);
        (void) signal(SIGPIPE, SIG_IGN);
        /* The children of a shim that is killed are ours to reap: PID 1 may take its time. */
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        spawn_shim(&d, launch);
        loop(&d);
        (void) waitpid(d.shim, &status, 0);
        if (d.running_usec > 0)
                printf("started_usec=%llu\n",
                                (unsigned long long) (d.running_usec - d.spawned_usec));
        if (streq(d.end, "failpoint"))
                printf("shim=%s\n", WIFSIGNALED(status) ? "killed" : "exited");
        if (streq(d.end, "shim-kill") || streq(d.end, "failpoint")) {
                char *command = format("%s/tank-shim/tank-shim --cleanup %s", d.build, d.run_path);

                bad += system(command) != 0;
        } else if (status != 0) {
                printf("shim=%d\n", status);
                bad++;
        }
        /* A process leaves its cgroup a moment before it can be waited for; one that lives on is
         * what the alarm is for. */
        (void) alarm(20);
        while (waitpid(-1, NULL, 0) > 0)
                ;
        (void) alarm(0);
        bad += check_leftovers(&d);
        if (!getenv("KEEP_PINS")) {
                char *command = format("%s/tank-shim/tank-shim --cleanup-pod %s", d.build, pod_dir);

                bad += system(command) != 0;
        }
        return bad != 0;
}
