/* SPDX-License-Identifier: Apache-2.0 */

/* What the system tests run inside a container to see what busybox cannot show: what a process has
 * at its first instruction, and what happens to one that tries what it must not. Static, so that it
 * works in any root. Prints one fact per line; the tests compare them. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define FD_SCAN_MAX 4096
#define NEWUSER     0x10000000
#define X32_BIT     0x40000000

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

static const char *outcome(long r)
{
        return r >= 0 ? "OK" : strerrorname_np(errno);
}

/* Every open descriptor and what it is. */
static int applet_fds(int argc, char **argv)
{
        (void) argc;
        (void) argv;
        for (int fd = 0; fd < FD_SCAN_MAX; fd++) {
                char path[64], target[256] = "";

                if (fcntl(fd, F_GETFD) < 0)
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                (void) printf("%d %s\n", fd, target);
        }
        return 0;
}

/* Signals that are not as a new program expects them. */
static int applet_signals(int argc, char **argv)
{
        sigset_t blocked;

        (void) argc;
        (void) argv;
        if (sigprocmask(SIG_BLOCK, NULL, &blocked) < 0)
                return 1;
        for (int i = 1; i <= SIGRTMAX; i++) {
                struct sigaction sa;

                if (sigismember(&blocked, i) == 1)
                        (void) printf("blocked %d\n", i);
                if (sigaction(i, NULL, &sa) >= 0 && sa.sa_handler != SIG_DFL)
                        (void) printf("ignored %d\n", i);
        }
        return 0;
}

static int applet_ids(int argc, char **argv)
{
        uid_t r, e, s;
        gid_t rg, eg, sg, groups[256];

        (void) argc;
        (void) argv;
        if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
                return 1;
        int n = getgroups(256, groups);
        (void) printf("uid %u %u %u\ngid %u %u %u\ngroups", r, e, s, rg, eg, sg);
        for (int i = 0; i < n; i++)
                (void) printf(" %u", groups[i]);
        (void) printf("\nno_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
        return 0;
}

/* What a seccomp profile and dropped capabilities have to refuse: name and outcome. Each runs in a
 * child, which what succeeds changes instead of us. */
static long try_call(int which)
{
        static char buffer[256];

        switch (which) {
        case 0: return syscall(SYS_unshare, NEWUSER);
        case 1: return syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL);
        case 2: return syscall(SYS_fsopen, "tmpfs", 0);
        case 3: return syscall(SYS_open_tree, -100, "/", 1);
        case 4: return syscall(SYS_move_mount, -100, "/", -100, "/mnt", 0);
        case 5: return syscall(SYS_bpf, 0, buffer, sizeof(buffer));
        case 6: return syscall(SYS_keyctl, 0, -3, 1);
        case 7: return syscall(SYS_add_key, "user", "probe", "x", 1, -3);
        case 8: return syscall(SYS_userfaultfd, 0);
        case 9: return syscall(SYS_io_uring_setup, 1, buffer);
        case 10: return syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0);
        case 11: return syscall(SYS_clone3, buffer, 64);
        case 12: return syscall(SYS_open_by_handle_at, -100, buffer, 0);
        case 13: return syscall(SYS_kexec_load, 0, 0, NULL, 0);
        case 14: return syscall(SYS_init_module, buffer, 0, "");
        case 15: return syscall(SYS_reboot, 0, 0, 0, NULL); /* magic numbers come after the right */
        case 16: return syscall(SYS_swapon, "/none", 0);
        case 17: return syscall(SYS_pivot_root, "/", "/");
        case 18: return syscall(SYS_setns, 0, 0);
        case 19: return syscall(SYS_mknod, "/tmp/probe-block", S_IFBLK | 0600, makedev(8, 0));
        case 20: return syscall(SYS_mknod, "/tmp/probe-mem", S_IFCHR | 0600, makedev(1, 1));
        case 21: return syscall(SYS_settimeofday, buffer, NULL);
        case 22: return syscall(SYS_iopl, 3);
        case 23: return syscall(SYS_umount2, "/proc", 2);
        case 24: return syscall(SYS_clone, (long) (NEWUSER | SIGCHLD), 0, 0, 0, 0);
        case 25: return ioctl(0, TIOCSTI, "x");
        case 26: return ioctl(0, TIOCLINUX, "\x02");
        case 27: return syscall(X32_BIT | SYS_getpid);
        case 28: return syscall(-1L);
        default: return -2;
        }
}

static int applet_syscalls(int argc, char **argv)
{
        static const char *const names[] = {
                "unshare",
                "mount",
                "fsopen",
                "open_tree",
                "move_mount",
                "bpf",
                "keyctl",
                "add_key",
                "userfaultfd",
                "io_uring_setup",
                "perf_event_open",
                "clone3",
                "open_by_handle_at",
                "kexec_load",
                "init_module",
                "reboot",
                "swapon",
                "pivot_root",
                "setns",
                "mknod-block",
                "mknod-mem",
                "settimeofday",
                "iopl",
                "umount2",
                "clone-newuser",
                "TIOCSTI",
                "TIOCLINUX",
                "x32",
                "negative",
        };

        (void) argc;
        (void) argv;
        /* Where these go through they do harm: never in the machine's own root. */
        if (access("/marker", F_OK) < 0) {
                (void) fputs("probe: not in a root of the tests\n", stderr);
                return 2;
        }
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                int status;

                (void) fflush(stdout);
                pid_t pid = fork();
                if (pid < 0)
                        return 1;
                if (pid == 0) {
                        pid_t self = getpid();
                        long r = try_call((int) i);
                        if (getpid() != self) /* the child of a clone that went through */
                                _exit(0);
                        (void) printf("%s %s\n", names[i], outcome(r));
                        (void) fflush(stdout);
                        _exit(0);
                }
                if (waitpid(pid, &status, 0) < 0)
                        return 1;
                if (WIFSIGNALED(status))
                        (void) printf("%s SIG%s\n", names[i], sigabbrev_np(WTERMSIG(status)));
        }
        return 0;
}

/* Opens each path for writing, changing nothing. */
static int applet_open_write(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                int fd = open(argv[i], O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

                (void) printf("%s %s\n", argv[i], outcome(fd));
                if (fd >= 0)
                        (void) close(fd);
        }
        return 0;
}

/* Opens each path for reading: OK, EMPTY or the error. */
static int applet_open_read(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                char c;
                int fd = open(argv[i], O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                ssize_t n = fd < 0 ? -1 : read(fd, &c, 1);

                (void) printf("%s %s\n", argv[i], n == 0 ? "EMPTY" : outcome(n));
                if (fd >= 0)
                        (void) close(fd);
        }
        return 0;
}

/* The way of CVE-2019-5736: a descriptor of a program is kept and opened again for writing, here
 * for a while, since the program's first process may end in between. */
static int applet_reopen_write(int argc, char **argv)
{
        char path[64];

        if (argc != 2)
                return 2;
        int fd = open(argv[1], O_PATH | O_CLOEXEC);
        if (fd < 0) {
                (void) printf("open %s\n", strerrorname_np(errno));
                return 0;
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int w = open(path, O_WRONLY | O_CLOEXEC);
        (void) printf("write %s\n", outcome(w));
        (void) printf("chmod %s\n", outcome(chmod(path, 0777)));
        (void) printf("truncate %s\n", outcome(truncate(path, 0)));
        return 0;
}

/* How many of N children could be had; they are gone when we are. */
static int applet_fork(int argc, char **argv)
{
        int n = argc > 1 ? atoi(argv[1]) : 0, got = 0;

        for (int i = 0; i < n; i++) {
                pid_t pid = fork();
                if (pid < 0)
                        break;
                if (pid == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        for (;;)
                                (void) pause();
                }
                got++;
        }
        (void) printf("%d\n", got);
        return 0;
}

/* Uses so many MiB of memory. */
static int applet_alloc(int argc, char **argv)
{
        size_t size = (size_t) (argc > 1 ? atoi(argv[1]) : 1) << 20;
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED) {
                (void) printf("%s\n", strerrorname_np(errno));
                return 1;
        }
        for (size_t i = 0; i < size; i += 4096)
                p[i] = 1;
        (void) printf("allocated\n");
        return 0;
}

/* N numbered lines, each with a write of its own, odd ones to standard error: the pipe is as often
 * full and as often empty as can be. */
static int applet_spew(int argc, char **argv)
{
        int n = argc > 1 ? atoi(argv[1]) : 0;

        for (int i = 1; i <= n; i++) {
                char line[32];
                int len = snprintf(line, sizeof(line), "%d\n", i);
                for (int done = 0; done < len;) {
                        ssize_t w = write(1 + i % 2, line + done, (size_t) (len - done));
                        if (w < 0)
                                return 1;
                        done += (int) w;
                }
        }
        return 0;
}

static int applet_winsize(int argc, char **argv)
{
        struct winsize ws;

        (void) argc;
        (void) argv;
        if (ioctl(0, TIOCGWINSZ, &ws) < 0)
                (void) printf("%s\n", strerrorname_np(errno));
        else
                (void) printf("%u %u\n", ws.ws_row, ws.ws_col);
        return 0;
}

/* Exchanges two names until it is killed: whoever looks twice sees two things. */
static int applet_swap(int argc, char **argv)
{
        if (argc != 3)
                return 2;
        for (;;)
                if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) <
                                0)
                        return 1;
}

/* Passes standard input on, read so many bytes at a time, with so many microseconds in between. */
static int applet_sip(int argc, char **argv)
{
        static char buf[65536];
        size_t size = argc > 1 ? (size_t) atoi(argv[1]) : 0;
        useconds_t pause = argc > 2 ? (useconds_t) atoi(argv[2]) : 0;
        ssize_t n;

        if (size < 1 || size > sizeof(buf))
                return 2;
        while ((n = read(0, buf, size)) > 0) {
                if (fwrite(buf, 1, (size_t) n, stdout) != (size_t) n)
                        return 1;
                if (pause > 0)
                        (void) usleep(pause);
        }
        return n < 0 || fflush(stdout) != 0;
}

/* Runs a command that holds FILE's lock for as long as any process of it lives. When somebody else
 * holds it, that is written into FILE. */
static int applet_alone(int argc, char **argv)
{
        static const char word[] = "not alone\n";
        int fd;

        if (argc < 3)
                return 2;
        fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (fd < 0)
                return 1;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return write(fd, word, sizeof(word) - 1) < 0 ? 1 : 99;
        (void) execvp(argv[2], argv + 2);
        return 127;
}

static int applet_exit(int argc, char **argv)
{
        return argc > 1 ? atoi(argv[1]) : 0;
}

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} applets[] = {
        { "fds", applet_fds },
        { "signals", applet_signals },
        { "ids", applet_ids },
        { "syscalls", applet_syscalls },
        { "open-write", applet_open_write },
        { "open-read", applet_open_read },
        { "reopen-write", applet_reopen_write },
        { "fork", applet_fork },
        { "alloc", applet_alloc },
        { "spew", applet_spew },
        { "winsize", applet_winsize },
        { "swap", applet_swap },
        { "sip", applet_sip },
        { "alone", applet_alone },
        { "exit", applet_exit },
        { "compat", applet_compat },
        { "clone-parent", applet_clone_parent },
        { "deep", applet_deep },
        { "hunt", applet_hunt },
        { "abstract", applet_connect },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < sizeof(applets) / sizeof(applets[0]); i++)
                if (strcmp(argv[1], applets[i].name) == 0)
                        return applets[i].run(argc - 1, argv + 1);
        (void) fputs("usage: probe APPLET [ARGUMENT…]\n", stderr);
        return 2;
}
