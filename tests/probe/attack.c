/* SPDX-License-Identifier: Apache-2.0 */

/* What somebody does who is root in a container and means harm, as far as a shell cannot do it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

static const char *outcome(long r)
{
        return r >= 0 ? "OK" : strerrorname_np(errno);
}

#if defined __x86_64__
/* Arguments of 32 bits, so pointers must lie low. -errno as the kernel gives it. */
static long call32(long number, long a, long b, long c)
{
        long r;

        __asm__ volatile("int $0x80"
                         : "=a"(r)
                         : "a"(number), "b"(a), "c"(b), "d"(c)
                         : "memory", "r8", "r9", "r10", "r11");
        return r;
}

/* The 32-bit way in, which a filter must guard like the other: names and outcomes. */
int applet_compat(int argc, char **argv)
{
        static const struct {
                const char *name;
                long number, a, b;
        } calls[] = {
                { "getpid", 20, 0, 0 },
                { "clone-newuser", 120, 0x10000000 | SIGCHLD, 0 },
                { "unshare", 310, 0x10000000, 0 },
                { "mount", 21, 0, 0 },
                { "keyctl", 288, 0, 0 },
                { "syslog", 103, 10, 0 },
                { "bpf", 357, 0, 0 },
                { "io_uring_setup", 425, 1, 0 },
                { "ioctl-TIOCSTI", 54, 0, 0x5412 },
                { "socket-AF_ALG", 359, 38, SOCK_SEQPACKET },
                { "socket-AF_VSOCK", 359, 40, SOCK_STREAM },
        };
        unsigned *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        static const struct {
                const char *name;
                unsigned family, type;
        } families[] = {
                { "socketcall-AF_ALG", 38, SOCK_SEQPACKET },
                { "socketcall-AF_VSOCK", 40, SOCK_STREAM },
        };

        (void) argc;
        (void) argv;
        if (low == MAP_FAILED || access("/marker", F_OK) < 0)
                return 2;
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
                long r = call32(calls[i].number, calls[i].a, calls[i].b, 0);

                (void) printf("%s %s\n", calls[i].name, r < 0 ? strerrorname_np((int) -r) : "OK");
        }
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
                long r;

                low[0] = families[i].family;
                low[1] = families[i].type;
                low[2] = 0;
                r = call32(102, 1, (long) low, 0);
                (void) printf("%s %s\n", families[i].name,
                                r < 0 ? strerrorname_np((int) -r) : "OK");
        }
        return 0;
}
#else
int applet_compat(int argc, char **argv)
{
        (void) argc;
        (void) argv;
        (void) puts("none");
        return 0;
}
#endif

/* N children for our parent, which knows nothing of them; half of them live on. */
int applet_clone_parent(int argc, char **argv)
{
        int n = argc > 1 ? atoi(argv[1]) : 1;

        for (int i = 0; i < n; i++) {
                long pid = syscall(SYS_clone, (long) (CLONE_PARENT | SIGCHLD), 0, 0, 0, 0);

                if (pid < 0) {
                        (void) printf("%s\n", strerrorname_np(errno));
                        return 1;
                }
                if (pid == 0) {
                        if (i % 2)
                                (void) sleep(1000);
                        _exit(0);
                }
        }
        (void) puts("made");
        return 0;
}

/* A directory in a directory in a directory, N times. */
int applet_deep(int argc, char **argv)
{
        int n, i = 0;

        if (argc != 3 || chdir(argv[1]) < 0)
                return 2;
        n = atoi(argv[2]);
        while (i < n && mkdir("d", 0700) == 0 && chdir("d") == 0)
                i++;
        (void) printf("%d\n", i);
        return 0;
}

/* Whether the program is kept from us: the process is there, and not yet the one it shall be. */
static bool is_dark(const char *exe)
{
        char target[256];

        return readlink(exe, target, sizeof(target)) < 0 && errno == EACCES;
}

static int hunt_file(const char *exe, const char *path, int flags)
{
        int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC), hits = 0;

        if (fd < 0)
                return 0;
        (void) close(fd);
        if (is_dark(exe)) {
                (void) printf("opened %s\n", path);
                hits = 1;
        }
        return hits;
}

static int hunt_process(int pid)
{
        static const char *const files[] = { "mem", "root", "cwd", "fd/3", "fd/4", "fd/5",
                "environ", "maps", "auxv" };
        char exe[64], path[64], target[256] = "";
        int hits = 0, pidfd;

        (void) snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
        if (readlink(exe, target, sizeof(target) - 1) >= 0) {
                if (!strstr(target, "shim"))
                        return 0;
                (void) printf("seen %s\n", target);
                return 1;
        }
        if (errno != EACCES)
                return 0;
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
                (void) snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
                hits += hunt_file(exe, path, i == 0 ? O_RDWR : O_RDONLY);
        }
        pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
        for (int fd = 3; pidfd >= 0 && fd < 12; fd++) {
                int got = (int) syscall(SYS_pidfd_getfd, pidfd, fd, 0);

                if (got < 0)
                        continue;
                (void) close(got);
                if (!is_dark(exe))
                        break;
                (void) printf("took descriptor %d\n", fd);
                hits++;
        }
        if (pidfd >= 0)
                (void) close(pidfd);
        if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
                if (is_dark(exe)) {
                        (void) printf("traced %d\n", pid);
                        hits++;
                }
                (void) ptrace(PTRACE_DETACH, pid, 0, 0);
        }
        return hits;
}

/* CVE-2016-9962 and CVE-2019-5736: for N seconds, every process that comes into sight is looked
 * into before it has become the program that it was made for. */
int applet_hunt(int argc, char **argv)
{
        time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
        int hits = 0, self = getpid(), parent = getppid();

        while (time(NULL) < end) {
                DIR *d = opendir("/proc");
                struct dirent *e;

                if (!d)
                        return 2;
                while ((e = readdir(d))) {
                        int pid = atoi(e->d_name);

                        if (pid > 1 && pid != self && pid != parent)
                                hits += hunt_process(pid);
                }
                (void) closedir(d);
        }
        (void) printf("%d\n", hits);
        return 0;
}

/* An abstract socket: listens at NAME for good, or with "try" tells whether somebody does. */
int applet_connect(int argc, char **argv)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (argc != 3 || fd < 0 || strlen(argv[2]) > sizeof(address.sun_path) - 2)
                return 2;
        (void) strcpy(address.sun_path + 1, argv[2]);
        size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[2]));
        if (strcmp(argv[1], "try") == 0) {
                (void) puts(outcome(connect(fd, (struct sockaddr *) &address, size)));
                return 0;
        }
        (void) puts(outcome(bind(fd, (struct sockaddr *) &address, size) < 0 ? -1 : listen(fd, 8)));
        (void) fflush(stdout);
        for (;;)
                (void) pause();
}
