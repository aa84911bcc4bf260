/* SPDX-License-Identifier: Apache-2.0 */

/* What a shim asks of systemd, against one that is played: busy, executing itself anew in the
 * middle of a job, unwilling. It has the socket of the real one, in a mount namespace of this
 * test's own, and makes cgroups as the real one does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "bus-util.h"
#include "clock.h"
#include "fd.h"
#include "record.h"
#include "shim-cleanup.h"
#include "shim-record.h"
#include "shim-scope.h"

#define NAME     "tank-default-web-main-0123456789abcdef.scope"
#define SOCKET   "/run/systemd/private"
#define STOPPED  "/run/stopped" /* the names that were stopped, a line each */
#define JOB      "/org/freedesktop/systemd1/job/1"
#define PATIENCE (20 * USEC_PER_SEC) /* where an answer comes */
#define NO_WAIT  (USEC_PER_SEC / 5)  /* where none comes */

/* What the played systemd does with the first, second, … connection's request. */
typedef enum Act {
        ACT_OVER,
        ACT_ANSWER,     /* makes the scope, and says so */
        ACT_SILENT,     /* is busy */
        ACT_DEAF,       /* so much that it does not even greet */
        ACT_DROP_FIRST, /* the connection is gone, the scope was not made */
        ACT_DROP_AFTER, /* the connection is gone, the scope is there */
        ACT_DROP_LATE,  /* the connection is gone, and so is the time, when it is looked at */
        ACT_EXISTS,     /* what is there is not looked at again */
        ACT_JOB_FAILS,
        ACT_ONLY_SAYS, /* "done", without the process */
} Act;

typedef struct Systemd {
        pid_t pid;
        int listener;
} Systemd;

/* Of the process that asks: it is put into the scope, so that it is a child. */
typedef struct Asked {
        int r;
        char path[256], message[CGROUP_ERROR_MAX];
} Asked;

static char cgroup[128]; /* where scopes are made; empty: not on this machine */

/* Elsewhere the machine's own systemd would be asked. */
static void need_a_place(void)
{
        if (*cgroup)
                return;
        print_message("making cgroups and a mount namespace needs root\n");
        skip();
}

/* ---- the played systemd ---- */

static void make_scope(pid_t pid)
{
        char path[256], text[16];
        CLEANUP_CLOSE int fd = -EBADF;

        (void) snprintf(path, sizeof(path), "%s/" NAME, cgroup);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                _exit(71);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void) snprintf(text, sizeof(text), "%d", pid);
        if (write_kernel_file_at(fd, "cgroup.procs", text) < 0)
                _exit(72);
}

static void say_removed(sd_bus_message *call, const char *result)
{
        (void) sd_bus_reply_method_return(call, "o", JOB);
        (void) sd_bus_emit_signal(sd_bus_message_get_bus(call), "/org/freedesktop/systemd1",
                        "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", 1, JOB, NAME,
                        result);
        (void) sd_bus_flush(sd_bus_message_get_bus(call));
}

/* Who asks stands still meanwhile, so that both have happened when it goes on. */
static void drop_late(sd_bus_message *call, pid_t pid)
{
        if (kill(pid, SIGSTOP) < 0)
                _exit(76);
        sd_bus_close(sd_bus_message_get_bus(call));
        (void) usleep(2 * NO_WAIT);
        (void) kill(pid, SIGCONT);
}

static void act(Act what, sd_bus_message *call, pid_t pid)
{
        if (what == ACT_ANSWER || what == ACT_DROP_AFTER)
                make_scope(pid);
        switch (what) {
        case ACT_ANSWER:
        case ACT_ONLY_SAYS: say_removed(call, "done"); break;
        case ACT_JOB_FAILS: say_removed(call, "dependency"); break;
        case ACT_EXISTS:
                (void) sd_bus_reply_method_errorf(call, "org.freedesktop.systemd1.UnitExists",
                                "Unit " NAME " was already loaded or has a fragment file.");
                break;
        case ACT_DROP_FIRST:
        case ACT_DROP_AFTER: sd_bus_close(sd_bus_message_get_bus(call)); break;
        case ACT_DROP_LATE: drop_late(call, pid); break;
        case ACT_SILENT:
        case ACT_DEAF:
        case ACT_OVER: break;
        }
}

static void stop(sd_bus_message *call)
{
        const char *name;
        FILE *f = fopen(STOPPED, "ae");

        if (!f || sd_bus_message_read(call, "s", &name) < 0)
                _exit(73);
        (void) fprintf(f, "%s\n", name);
        (void) fclose(f);
        if (streq(name, NAME))
                (void) sd_bus_reply_method_return(call, "o", JOB);
        else
                (void) sd_bus_reply_method_errorf(call, "org.freedesktop.systemd1.NoSuchUnit",
                                "Unit %s not loaded.", name);
}

/* One connection, until it is gone. */
static void serve(int consume_fd, Act what)
{
        CLEANUP(sd_bus_close_unrefpp) sd_bus *bus = NULL;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r;

        if (getsockopt(consume_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
                        sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, consume_fd, consume_fd) < 0 ||
                        sd_bus_set_server(bus, 1,
                                        SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f,
                                                        10)) < 0 ||
                        sd_bus_set_trusted(bus, 1) < 0 || sd_bus_start(bus) < 0)
                _exit(74);
        for (;;) {
                CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;

                r = sd_bus_process(bus, &m);
                if (r < 0)
                        return;
                if (r == 0) {
                        (void) sd_bus_wait(bus, UINT64_MAX);
                        continue;
                }
                if (!m)
                        continue;
                if (sd_bus_message_is_method_call(m, NULL, "StartTransientUnit"))
                        act(what, m, peer.pid);
                else if (sd_bus_message_is_method_call(m, NULL, "StopUnit"))
                        stop(m);
        }
}

static void play(int listener, const Act *acts)
{
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0)
                        _exit(75);
                while (*acts == ACT_DEAF)
                        (void) pause();
                serve(fd, *acts);
                if (*acts != ACT_OVER)
                        acts++;
        }
}

static void systemd_up(Systemd *s, const Act *acts)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };

        (void) unlink(SOCKET);
        (void) unlink(STOPPED);
        s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(s->listener >= 0);
        assert_int_equal(bind(s->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(s->listener, 8), 0);
        s->pid = fork();
        assert_true(s->pid >= 0);
        if (s->pid == 0)
                play(s->listener, acts);
}

static void systemd_down(Systemd *s)
{
        char path[256];

        (void) kill(s->pid, SIGKILL);
        (void) waitpid(s->pid, NULL, 0);
        (void) close(s->listener);
        (void) unlink(SOCKET);
        (void) snprintf(path, sizeof(path), "%s/" NAME, cgroup);
        (void) rmdir(path);
}

/* ---- who asks ---- */

static void ask(const Act *acts, uint64_t timeout, Asked *ret)
{
        Asked *shared = mmap(NULL, sizeof(Asked), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        Systemd systemd;
        int status;
        pid_t pid;

        assert_ptr_not_equal(shared, MAP_FAILED);
        systemd_up(&systemd, acts);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char *path = NULL;

                shared->r = scope_start(NAME, timeout, &path, shared->message);
                (void) snprintf(shared->path, sizeof(shared->path), "%s", strempty(path));
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        systemd_down(&systemd);
        *ret = *shared;
        (void) munmap(shared, sizeof(Asked));
}

static void assert_started(const Act *acts)
{
        Asked a;

        need_a_place();
        ask(acts, PATIENCE, &a);
        assert_string_equal(a.message, "");
        assert_int_equal(a.r, 0);
        assert_string_equal(strrchr(a.path, '/'), "/" NAME);
}

static void assert_refused(const Act *acts, int r, const char *words)
{
        char message[CGROUP_ERROR_MAX];
        Asked a;

        need_a_place();
        ask(acts, NO_WAIT, &a);
        (void) snprintf(message, sizeof(message), "cannot start the scope " NAME ": %s", words);
        assert_string_equal(a.message, message);
        assert_int_equal(a.r, r);
}

static void test_start(void **state)
{
        assert_started((const Act[]){ ACT_ANSWER, ACT_OVER });
}

/* Executing itself anew (each upgrade of systemd), it drops every connection and goes on with its
 * jobs. */
static void test_connection_lost(void **state)
{
        assert_started((const Act[]){ ACT_DROP_FIRST, ACT_ANSWER, ACT_OVER });
        assert_started((const Act[]){ ACT_DROP_AFTER, ACT_OVER });
        /* The job goes on beside the second request for it. */
        assert_started((const Act[]){ ACT_DROP_FIRST, ACT_EXISTS, ACT_ANSWER, ACT_OVER });
}

static void test_refused(void **state)
{
        assert_refused((const Act[]){ ACT_DROP_LATE, ACT_OVER }, -ETIMEDOUT,
                        "systemd does not answer");
        assert_refused((const Act[]){ ACT_SILENT, ACT_OVER }, -ETIMEDOUT,
                        "systemd does not answer");
        assert_refused((const Act[]){ ACT_DEAF, ACT_OVER }, -ETIMEDOUT, "systemd does not answer");
        assert_refused((const Act[]){ ACT_JOB_FAILS, ACT_OVER }, -EIO, "dependency");
        assert_refused((const Act[]){ ACT_ONLY_SAYS, ACT_OVER }, -EIO,
                        "systemd left this process where it was");
}

static void test_no_systemd(void **state)
{
        char message[CGROUP_ERROR_MAX] = "", *path = NULL;

        need_a_place();
        assert_true(scope_start(NAME, NO_WAIT, &path, message) < 0);
        assert_non_null(strstr(message, "cannot reach systemd"));
        assert_true(scope_stop(NAME, NO_WAIT) < 0);
}

/* ---- stopping ---- */

static void assert_stopped(const char *names)
{
        CLEANUP_FREE char *text = NULL;
        size_t size;

        assert_true(read_file_at(AT_FDCWD, STOPPED, 4096, &text, &size) >= 0);
        assert_string_equal(text, names);
}

static void test_stop(void **state)
{
        Systemd systemd;

        need_a_place();
        systemd_up(&systemd, (const Act[]){ ACT_OVER });
        assert_int_equal(scope_stop(NAME, PATIENCE), 0);
        assert_int_equal(scope_stop("tank-not-there.scope", PATIENCE), 0);
        assert_stopped(NAME "\ntank-not-there.scope\n");
        systemd_down(&systemd);
        systemd_up(&systemd, (const Act[]){ ACT_DEAF });
        assert_int_equal(scope_stop(NAME, NO_WAIT), -ETIMEDOUT);
        systemd_down(&systemd);
}

/* The record of a run whose shim is gone, @cgroup as it had seen it. */
static void write_record(const char *dir, const char *path)
{
        CLEANUP_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(record_done) RecordWriter w;

        record_start(&w, RUN_RECORD_VERSION);
        record_put(&w, "cgroup", path);
        record_put(&w, "cgroup.scope", NAME);
        assert_true(record_finish(&w) >= 0);
        assert_true(write_file_atomic_at(fd, "record", w.data, w.size, 0600, false) >= 0);
}

static void test_cleanup(void **state)
{
        char dir[] = "/run/run-XXXXXX";
        Systemd systemd;

        need_a_place();
        assert_non_null(mkdtemp(dir));
        write_record(dir, "");
        /* Not known to be stopped, not over: it is tried again. */
        assert_true(cleanup_run(dir) < 0);
        systemd_up(&systemd, (const Act[]){ ACT_OVER });
        assert_int_equal(cleanup_run(dir), 0);
        assert_stopped(NAME "\n");
        systemd_down(&systemd);
        /* A scope that it was in went with it. */
        write_record(dir, "not-there/" NAME);
        assert_int_equal(cleanup_run(dir), 0);
}

/* ---- the machine ---- */

static int up(void **state)
{
        static const char *const mounts[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup" };

        /* Neither this machine's systemd nor its bus is asked. */
        (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/no-bus", 1);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("tmpfs", "/run", "tmpfs", 0, "mode=755") < 0 ||
                        mkdir("/run/systemd", 0755) < 0)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
                char procs[160];

                (void) snprintf(procs, sizeof(procs), "%s/cgroup.procs", mounts[i]);
                if (access(procs, F_OK) < 0)
                        continue;
                (void) snprintf(cgroup, sizeof(cgroup), "%s/test-scope-%d", mounts[i], getpid());
                if (mkdir(cgroup, 0755) < 0)
                        cgroup[0] = '\0';
                break;
        }
        return 0;
}

static int down(void **state)
{
        return *cgroup && rmdir(cgroup) < 0 ? -1 : 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),
                cmocka_unit_test(test_connection_lost),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_no_systemd),
                cmocka_unit_test(test_stop),
                cmocka_unit_test(test_cleanup),
        };

        return cmocka_run_group_tests(tests, up, down);
}
