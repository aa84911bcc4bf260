/* SPDX-License-Identifier: Apache-2.0 */

/* floor ROOT PROGRAM: the least that starting a container can cost on this machine: one clone into
 * six namespaces, an overlay over ROOT, proc and five further mounts, pivot_root, the execution of
 * PROGRAM (static, in ROOT), and its end. No store, no bus, no cgroup, no user namespace, no
 * seccomp. Measured from outside, by repeat. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed(const char *what)
{
        (void) fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        return 1;
}

static int sandbox(const char *root, const char *scratch)
{
        char options[4096], merged[1024];
        static const char *const tmpfs[] = { "dev", "tmp", "run", "root", "var/tmp" };

        (void) snprintf(merged, sizeof(merged), "%s/merged", scratch);
        (void) snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s/up,workdir=%s/work",
                        root, scratch, scratch);
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return failed("private");
        if (mount("overlay", merged, "overlay", 0, options) < 0)
                return failed("overlay");
        if (chdir(merged) < 0)
                return failed("chdir");
        if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
                return failed("proc");
        for (size_t i = 0; i < sizeof(tmpfs) / sizeof(tmpfs[0]); i++)
                if (mount("tmpfs", tmpfs[i], "tmpfs", MS_NOSUID, NULL) < 0)
                        return failed(tmpfs[i]);
        if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return failed("pivot_root");
        return 0;
}

int main(int argc, char **argv)
{
        char scratch[] = "/tmp/tank-floor-XXXXXX", path[64];
        static const char *const folders[] = { "up", "work", "merged" };
        int status;

        if (argc != 3) {
                (void) fputs("usage: floor ROOT PROGRAM\n", stderr);
                return 2;
        }
        if (!mkdtemp(scratch))
                return failed(scratch);
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", scratch, folders[i]);
                if (mkdir(path, 0700) < 0)
                        return failed(path);
        }
        long pid = syscall(SYS_clone,
                        (long) (SIGCHLD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                        CLONE_NEWUTS | CLONE_NEWCGROUP),
                        0, 0, 0, 0);
        if (pid < 0)
                return failed("clone");
        if (pid == 0) {
                if (sandbox(argv[1], scratch) == 0)
                        (void) execl(argv[2], argv[2], "exit", "0", NULL);
                _exit(failed(argv[2]));
        }
        if (waitpid((pid_t) pid, &status, 0) < 0)
                return failed("wait");
        (void) snprintf(path, sizeof(path), "%s/work/work", scratch);
        (void) rmdir(path); /* made by overlayfs */
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", scratch, folders[i]);
                if (rmdir(path) < 0)
                        return failed(path);
        }
        if (rmdir(scratch) < 0)
                return failed(scratch);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
