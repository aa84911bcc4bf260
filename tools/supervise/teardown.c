/* SPDX-License-Identifier: Apache-2.0 */

/* Takes a whole sandbox down, whatever state it is in. Containers are found by the cgroups that
 * carry this instance's name, processes by being our descendants (we are a subreaper, so that what
 * lost its parent is ours), mounts by being under the directory. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "strv.h"
#include "supervise.h"

#define STOP_USEC     (5 * USEC_PER_SEC)
#define KILL_USEC     (20 * USEC_PER_SEC)
#define CGROUP_DEPTH  6
#define MOUNTINFO_MAX (16U * 1024U * 1024U)

static void nap(void)
{
        const struct timespec ts = { .tv_nsec = 5 * 1000 * 1000 };

        (void) nanosleep(&ts, NULL);
}

static void reap(Sandbox *s)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (size_t i = 0; i < ARRAY_SIZE(s->services); i++)
                        if (s->services[i].pid == pid)
                                service_died(s, &s->services[i], status);
}

static void stop_service(Sandbox *s, Service *service)
{
        if (service->pid <= 0)
                return;
        (void) kill(service->pid, SIGTERM);
        uint64_t deadline = usec_add(now_monotonic(), STOP_USEC);
        for (;;) {
                reap(s);
                if (service->pid <= 0)
                        return;
                if (now_monotonic() >= deadline)
                        break;
                nap();
        }
        log_warning("%s did not stop within %d s of SIGTERM: killing it", service->name,
                        (int) (STOP_USEC / USEC_PER_SEC));
        (void) kill(service->pid, SIGKILL);
}

/* Undoes the octal escapes of mountinfo, in place. */
static void unescape(char *p)
{
        char *to = p;

        for (; *p; p++)
                if (p[0] == '\\' && isdigit(p[1]) && isdigit(p[2]) && isdigit(p[3])) {
                        *to++ = (char) ((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
                        p += 3;
                } else
                        *to++ = *p;
        *to = 0;
}

/* Calls @func for each mount point. The fourth word after " - " is of no interest here. */
static int for_each_mount(
                void (*func)(const char *path, const char *type, void *userdata), void *userdata)
{
        char *CLEANUP_FREE text = NULL;
        size_t size;
        int r = read_file_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, &size);

        if (r < 0)
                return log_error_errno(r, "cannot read /proc/self/mountinfo");
        char *state = NULL;
        for (char *l = strtok_r(text, "\n", &state); l; l = strtok_r(NULL, "\n", &state)) {
                char *dash = strstr(l, " - ");
                char *path = l;
                for (int i = 0; path && i < 4; i++) {
                        path = strchr(path, ' ');
                        path = path ? path + 1 : NULL;
                }
                if (!dash || !path)
                        continue;
                char *type = dash + 3;
                path[strcspn(path, " ")] = 0;
                type[strcspn(type, " ")] = 0;
                unescape(path);
                func(path, type, userdata);
        }
        return 0;
}

static bool is_child_of_ours(const char *name)
{
        char path[300], *end;
        char *CLEANUP_FREE text = NULL;
        size_t size;

        if (!isdigit(name[0]))
                return false;
        (void) snprintf(path, sizeof(path), "/proc/%s/stat", name);
        if (read_file_at(AT_FDCWD, path, 4096, &text, &size) < 0)
                return false;
        /* the name in parentheses may hold anything: count from the last one */
        end = strrchr(text, ')');
        return end && strlen(end) > 4 && atol(end + 4) == (long) getpid();
}

/* Kills every child, once; their children become ours. Returns how many there were. */
static unsigned kill_children(void)
{
        unsigned n = 0;
        DIR *d = opendir("/proc");

        if (!d)
                return 0;
        for (struct dirent *e; (e = readdir(d));)
                if (is_child_of_ours(e->d_name)) {
                        (void) kill((pid_t) atol(e->d_name), SIGKILL);
                        n++;
                }
        (void) closedir(d);
        return n;
}

typedef struct CgroupPass {
        char name[32];  /* "tank-<instance>" */
        unsigned found; /* directories that are still there */
} CgroupPass;

static bool is_our_cgroup(const CgroupPass *pass, const char *name)
{
        const char *rest = startswith(name, pass->name);

        return rest && (*rest == 0 || *rest == '-' || *rest == '.');
}

/* Walks beneath @fd; @ours: we are inside a cgroup of the instance, everything goes. */
static void walk_cgroups(CgroupPass *pass, int fd, bool ours, unsigned depth)
{
        int dup_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = dup_fd < 0 ? NULL : fdopendir(dup_fd);

        if (!d) {
                safe_close(dup_fd);
                return;
        }
        for (struct dirent *e; (e = readdir(d));) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                bool match = ours || is_our_cgroup(pass, e->d_name);
                if (!match && depth >= CGROUP_DEPTH)
                        continue;
                int CLEANUP_CLOSE sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (sub < 0)
                        continue;
                if (match && !ours)
                        (void) write_kernel_file_at(sub, "cgroup.kill", "1"); /* v1 has none */
                walk_cgroups(pass, sub, match, depth + 1);
                if (match && unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                        pass->found++;
        }
        (void) closedir(d);
}

static void clean_cgroup_mount(const char *path, const char *type, void *userdata)
{
        if (!streq(type, "cgroup") && !streq(type, "cgroup2"))
                return;
        int CLEANUP_CLOSE fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                walk_cgroups(userdata, fd, false, 0);
}

static void kill_containers(Sandbox *s)
{
        uint64_t deadline = usec_add(now_monotonic(), KILL_USEC);

        for (;;) {
                CgroupPass pass = { 0 };
                (void) snprintf(pass.name, sizeof(pass.name), "tank-%s", s->instance);
                (void) for_each_mount(clean_cgroup_mount, &pass);
                unsigned children = kill_children();
                reap(s);
                if (pass.found == 0 && children == 0)
                        return;
                if (now_monotonic() >= deadline) {
                        log_error("%u cgroups of %s and %u processes would not go away within %d s",
                                        pass.found, pass.name, children,
                                        (int) (KILL_USEC / USEC_PER_SEC));
                        return;
                }
                nap();
        }
}

typedef struct MountPass {
        const char *dir;
        char **paths;
} MountPass;

static void collect_mount(const char *path, const char *type, void *userdata)
{
        MountPass *pass = userdata;
        const char *rest = startswith(path, pass->dir);

        if (rest && *rest == '/')
                (void) strv_append(&pass->paths, path);
}

static void remove_mounts(Sandbox *s)
{
        /* One lazy unmount can uncover another at the same place: go on until none is left. */
        for (int i = 0; i < 16; i++) {
                char **CLEANUP_STRV paths = NULL;
                MountPass pass = { .dir = s->dir };

                (void) for_each_mount(collect_mount, &pass);
                paths = pass.paths;
                size_t n = strv_length(paths);
                if (n == 0)
                        return;
                while (n-- > 0)
                        if (umount2(paths[n], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
                                log_warning_errno(-errno, "cannot unmount %s", paths[n]);
        }
}

void teardown(Sandbox *s)
{
        static const char *const volatile_names[] = {
                "run",
                "bin",
                "pids",
                "ready",
                "hold",
                "env",
                "etc",
                "notify",
                "bus",
        };
        int r;

        /* The managers first, so that nobody brings back what is taken away. */
        for (size_t i = ARRAY_SIZE(s->services); i-- > 0;)
                stop_service(s, &s->services[i]);
        kill_containers(s);
        remove_mounts(s);

        for (size_t i = 0; i < ARRAY_SIZE(volatile_names); i++) {
                r = remove_tree_at(s->dir_fd, volatile_names[i]);
                if (r < 0)
                        log_warning_errno(r, "cannot remove %s/%s", s->dir, volatile_names[i]);
        }
        if (!s->made_dir)
                return;
        r = remove_tree_at(AT_FDCWD, s->dir);
        if (r < 0)
                log_warning_errno(r, "cannot remove %s", s->dir);
}
