/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-fixture.h. The steps carry the numbers of docs/protocol.md section 2.2. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "limit.h"
#include "record.h"
#include "shim-fixture.h"

#define POD_UID "00000000000000000000000000000001"

static const char *build_dir(void)
{
        const char *dir = getenv("TANK_BUILD_DIR");

        return dir ? dir : ".";
}

const char *shim_fixture_missing(void)
{
        if (geteuid() != 0)
                return "containers need root";
        if (access("/bin/busybox", X_OK) < 0)
                return "there is no /bin/busybox";
        return NULL;
}

static pid_t spawn(char *const *argv, const int *fds, size_t n_fds)
{
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* Above the places that they get, so that none is overwritten before it is copied. */
        for (size_t i = 0; i < n_fds; i++)
                if (dup3(fds[i], 100 + (int) i, O_CLOEXEC) < 0)
                        _exit(126);
        for (size_t i = 0; i < n_fds; i++)
                if (dup2(100 + (int) i, 3 + (int) i) < 0)
                        _exit(126);
        (void) execvp(argv[0], argv);
        _exit(127);
}

static void reap(pid_t *pid, int signo)
{
        if (*pid <= 0)
                return;
        if (signo > 0)
                (void) kill(*pid, signo);
        (void) waitpid(*pid, NULL, 0);
        *pid = 0;
}

void shim_fixture_wait_for_name(ShimFixture *f)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;
        int has = 0, r;

        assert_true(sd_bus_open_system(&bus) >= 0);
        assert_true(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", NULL,
                                    "org.freedesktop.DBus", "NameOwnerChanged", NULL, NULL) >= 0);
        for (;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;

                assert_true(sd_bus_call_method(bus, "org.freedesktop.DBus", "/",
                                            "org.freedesktop.DBus", "NameHasOwner", NULL, &reply,
                                            "s", f->bus_name) >= 0);
                assert_true(sd_bus_message_read(reply, "b", &has) >= 0);
                if (has)
                        return;
                while ((r = sd_bus_process(bus, NULL)) > 0)
                        ;
                assert_true(r >= 0 && now_boottime_usec() < deadline);
                assert_true(sd_bus_wait(bus, USEC_PER_SEC) >= 0);
        }
}

/* ---- the channel ---- */

static int send_strings(ShimFixture *f, const char *first, va_list ap)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        for (const char *s = first; s; s = va_arg(ap, const char *)) {
                char key[64];
                size_t n = strcspn(s, "=");

                assert_true(n < sizeof(key));
                memcpy(key, s, n);
                key[n] = '\0';
                record_put(&w, key, s + n + 1);
        }
        assert_int_equal(record_finish(&w), 0);
        return packet_send(f->channel, w.data, w.size, NULL, 0);
}

void shim_fixture_send(ShimFixture *f, const char *first, ...)
{
        va_list ap;
        int r;

        va_start(ap, first);
        r = send_strings(f, first, ap);
        va_end(ap);
        assert_true(r >= 0);
}

/* To one that may be gone, after a test that failed. */
static int try_to_send(ShimFixture *f, const char *first, ...)
{
        va_list ap;
        int r;

        va_start(ap, first);
        r = send_strings(f, first, ap);
        va_end(ap);
        return r;
}

/* One message; it must have come before @deadline. */
static ssize_t receive(ShimFixture *f, char *buf, size_t size, uint64_t deadline)
{
        struct pollfd p = { .fd = f->channel, .events = POLLIN };
        uint64_t now = now_boottime_usec();

        assert_true(now < deadline);
        assert_int_equal(poll(&p, 1, (int) ((deadline - now) / USEC_PER_MSEC) + 1), 1);
        return packet_recv(f->channel, buf, size, NULL, 0, NULL);
}

char *shim_fixture_wait_for_state(ShimFixture *f, const char *state, const char *key)
{
        static char buf[LIMIT_CHANNEL_MESSAGE];
        uint64_t deadline = now_boottime_usec() + FIXTURE_TIMEOUT_USEC;

        for (;;) {
                ssize_t n = receive(f, buf, sizeof(buf), deadline);
                const char *now, *value;
                Record r;

                if (n <= 0)
                        fail_msg("the shim closed its channel (%zd) before it was %s", n, state);
                assert_int_equal(record_parse(buf, (size_t) n, 1, &r), 0);
                now = strempty(record_get(&r, "state"));
                if (streq(now, state)) {
                        value = key ? record_get(&r, key) : NULL;
                        return value ? strdup(value) : NULL;
                }
                if (streq(now, "exited"))
                        fail_msg("the container ended: %s %s %s",
                                        strempty(record_get(&r, "result.kind")),
                                        strempty(record_get(&r, "result.stage")),
                                        strempty(record_get(&r, "result.code")));
        }
}

/* ---- the container ---- */

static void make_root(const char *root)
{
        static const char *const dirs[] = { "bin", "dev", "etc", "proc", "root", "run", "sys",
                "tmp", "usr/bin", "var" };
        static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                     "app:x:1000:1001::/tmp:/bin/sh\n";
        static const char group[] = "root:x:0:\napp:x:1001:\nextra:x:2000:app\n";
        CLEANUP_CLOSE int fd = -EBADF;
        char path[256];
        pid_t pid;

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", root, dirs[i]);
                assert_int_equal(mkdir_p(path, 0755), 0);
        }
        (void) snprintf(path, sizeof(path), "%s/tmp", root);
        assert_int_equal(chmod(path, 01777), 0);

        fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(
                        write_file_atomic_at(fd, "etc/passwd", passwd, strlen(passwd), 0644, false),
                        0);
        assert_int_equal(write_file_atomic_at(fd, "etc/group", group, strlen(group), 0644, false),
                        0);

        (void) snprintf(path, sizeof(path), "%s/bin/busybox", root);
        pid = spawn((char *[]){ (char *) "cp", (char *) "/bin/busybox", path, NULL }, NULL, 0);
        reap(&pid, 0);
        (void) snprintf(path, sizeof(path),
                        "for a in $(/bin/busybox --list); do ln -s busybox %s/bin/$a; done "
                        "2>/dev/null",
                        root);
        pid = spawn((char *[]){ (char *) "sh", (char *) "-c", path, NULL }, NULL, 0);
        reap(&pid, 0);
        (void) snprintf(path, sizeof(path), "%s/bin/sh", root);
        assert_int_equal(access(path, X_OK), 0);
}

/* As installed: tank-init and tank-seccomp side by side. */
static void make_libexec(const ShimFixture *f)
{
        static const char *const programs[] = { "init/tank-init", "seccomp/tank-seccomp" };
        char to[256], from[256];

        (void) snprintf(from, sizeof(from), "%s/libexec", f->dir);
        assert_int_equal(mkdir(from, 0755), 0);
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
                (void) snprintf(to, sizeof(to), "%s/tank-shim/%s", build_dir(), programs[i]);
                (void) snprintf(from, sizeof(from), "%s/libexec/%s", f->dir,
                                strchr(programs[i], '/') + 1);
                assert_int_equal(symlink(to, from), 0);
        }
}

static void put_launch(ShimFixture *f, const FixtureOptions *o, const char *run, RecordWriter *w)
{
        static const char *const sleeps[] = { "/bin/sleep", "100000", NULL };

        record_start(w, 1);
        /* The first value of a key is the one that counts. */
        for (const char *const *e = o->extra; e && *e; e++) {
                CLEANUP_FREE char *key = strndup(*e, strcspn(*e, "="));
                record_put(w, key, *e + strlen(key) + 1);
        }
        record_put(w, "pod_uid", POD_UID);
        record_put(w, "run", run);
        record_put(w, "namespace", "default");
        record_put(w, "pod", "web");
        record_put(w, "container", "app");
        record_put(w, "generation", "1");
        record_put(w, "sandbox", "create");
        record_put(w, "userns", "auto");
        record_put(w, "id_base", "1060110336"); /* an instance's pool that no other test takes */
        record_put(w, "id_count", "65536");
        record_put(w, "network", "none");
        record_put(w, "hostname", "web");
        record_putf(w, "rootfs", "%s/root", f->dir);
        record_putf(w, "scratch", "%s/state/containers/%s", f->dir, run);
        record_put_strv(w, "argv", (char *const *) (o->argv ? o->argv : sleeps));
        record_put(w, "env", "PATH=/bin:/usr/bin");
        record_put(w, "env", "COLOUR=red");
        record_put(w, "tty", o->tty ? "1" : "0");
        record_put(w, "init", "tank");
        record_put(w, "seccomp", "default");
        record_put(w, "no_new_privileges", "1");
        record_put(w, "privileged", "0");
        record_putf(w, "stop.signal", "%d", SIGTERM);
        record_put(w, "stop.grace_usec", "500000");
        record_putf(w, "log.dir", "%s/log/default/web", f->dir);
        record_put(w, "log.name", "app.log");
        record_put(w, "log.max_size", "100000000");
        record_put(w, "log.max_files", "2");
        record_put(w, "cgroup.path", f->cgroup);
        record_put(w, "bus_name", f->bus_name);
        record_putf(w, "seccomp_cache", "%s/run/seccomp", f->dir);
        record_putf(w, "libexec_dir", "%s/libexec", f->dir);
        assert_int_equal(record_finish(w), 0);
}

static void start_shim(ShimFixture *f, const FixtureOptions *o)
{
        CLEANUP(record_done) RecordWriter w = {};
        CLEANUP_CLOSE int launch = -EBADF, run_dir = -EBADF, lock = -EBADF;
        CLEANUP_FREE char *pid = NULL;
        char program[256], run[ID128_SIZE];
        static char hello[LIMIT_CHANNEL_MESSAGE];
        int pair[2];

        assert_int_equal(random_id(run), 0);
        (void) snprintf(f->bus_name, sizeof(f->bus_name), "org.tankd.Shim1.u%.16s", run);
        put_launch(f, o, run, &w);
        assert_int_equal(memfd_sealed("launch", w.data, w.size, &launch), 0);

        /* 1 */
        (void) snprintf(f->run, sizeof(f->run), "%s/run/pods/%s/app/%s", f->dir, POD_UID, run);
        assert_int_equal(mkdir_p(f->run, 0700), 0);
        run_dir = open(f->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(run_dir >= 0);
        lock = openat(run_dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_true(lock >= 0);

        /* 2 */
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->channel = pair[0];
        (void) snprintf(program, sizeof(program), "%s/tank-shim/tank-shim", build_dir());
        f->shim = spawn((char *[]){ program, NULL }, (int[]){ pair[1], launch, run_dir }, 3);
        (void) close(pair[1]);

        /* 3, 4, 6 */
        assert_true(receive(f, hello, sizeof(hello), now_boottime_usec() + FIXTURE_TIMEOUT_USEC) >
                        0);
        shim_fixture_send(f, "type=hello", "protocol=1", NULL);
        shim_fixture_send(f, "type=start", NULL);
        pid = shim_fixture_wait_for_state(f, "running", "pid");
        assert_non_null(pid);
        f->container = (pid_t) atol(pid);
        assert_true(f->container > 0);
}

void shim_fixture_init(ShimFixture *f, const FixtureOptions *options)
{
        char path[128];

        *f = (ShimFixture){ .dir = "/tmp/tank-test-shim.XXXXXX", .channel = -EBADF };
        assert_non_null(mkdtemp(f->dir));
        assert_int_equal(chmod(f->dir, 0755), 0);
        (void) snprintf(f->cgroup, sizeof(f->cgroup), "tank-test-%d", (int) getpid());
        (void) snprintf(f->log, sizeof(f->log), "%s/log/default/web/app.log", f->dir);

        assert_int_equal(private_bus_init(&f->bus), 0);
        (void) snprintf(path, sizeof(path), "%s/root", f->dir);
        make_root(path);
        make_libexec(f);
        start_shim(f, options);
}

static void clean_up(const char *option, const char *path)
{
        char program[256];
        pid_t pid;

        (void) snprintf(program, sizeof(program), "%s/tank-shim/tank-shim", build_dir());
        pid = spawn((char *[]){ program, (char *) option, (char *) path, NULL }, NULL, 0);
        reap(&pid, 0);
}

/* In no hierarchy, of the one or the other version. */
static void assert_no_cgroup(const char *name)
{
        glob_t found = {};
        char pattern[128];

        (void) snprintf(pattern, sizeof(pattern), "/sys/fs/cgroup/{,*/}%s", name);
        if (glob(pattern, GLOB_BRACE, NULL, &found) == 0)
                fail_msg("left behind: %s", found.gl_pathv[0]);
        globfree(&found);
}

void shim_fixture_done(ShimFixture *f)
{
        char path[160];

        /* The shim's own way out first: it removes its cgroup and writable layer. */
        if (f->shim > 0) {
                if (f->channel >= 0) {
                        struct pollfd p = { .fd = f->channel };

                        (void) try_to_send(f, "type=stop", "grace_usec=0", NULL);
                        (void) poll(&p, 1, (int) (FIXTURE_TIMEOUT_USEC / USEC_PER_MSEC));
                }
                reap(&f->shim, SIGKILL);
        }
        f->channel = safe_close(f->channel);
        private_bus_done(&f->bus);

        /* What one that was killed, or killed itself, could not remove. */
        clean_up("--cleanup", f->run);
        (void) snprintf(path, sizeof(path), "%s/run/pods/" POD_UID, f->dir);
        clean_up("--cleanup-pod", path);
        assert_int_equal(remove_tree_at(AT_FDCWD, f->dir), 0);
        assert_no_cgroup(f->cgroup);
}
