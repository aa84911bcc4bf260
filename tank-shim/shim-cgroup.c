/* SPDX-License-Identifier: Apache-2.0 */

/* The run's node in the cgroup tree; see shim-cgroup.h for its shape.
 *
 * Everything works on descriptors of the directories. Placement costs: a process that is cloned
 * into a v2 cgroup takes no lock; one that writes "0" to a v1 `tasks` file moves only itself and
 * takes none either, whereas writing a pid to cgroup.procs waits for an RCU grace period. So the
 * child moves itself, through files that the shim opened. */

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "log.h"
#include "quantity.h"
#include "shim-cgroup.h"
#include "shim-scope.h"
#include "strv.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Where the limits of a hybrid host stand. One hierarchy may hold several (cpu,cpuacct). */
static const char *const mirror_controllers[] = { "memory", "pids", "cpu", "cpuacct" };

struct ShimCgroup {
        bool unified;
        bool scope;     /* systemd's: it removes the node */
        char *path;     /* beneath the v2 mount */
        char **mirrors; /* absolute */
        int node, ctr;  /* v2 directories */
        int events;     /* ctr/cgroup.events */
        int mirror_fds[CGROUP_MIRRORS_MAX];
        size_t n_mirrors;
};

void cgroup_place_done(CgroupPlace *p)
{
        p->fd = safe_close(p->fd);
        for (size_t i = 0; i < CGROUP_MIRRORS_MAX; i++)
                p->tasks[i] = safe_close(p->tasks[i]);
}

int cgroup_place_enter(const CgroupPlace *p, bool in_cgroup)
{
        for (size_t i = 0; i < CGROUP_MIRRORS_MAX && p->tasks[i] >= 0; i++) {
                if (write(p->tasks[i], "0", 1) != 1)
                        return -errno;
        }
        return in_cgroup ? 0 : write_kernel_file_at(p->fd, "cgroup.procs", "0");
}

static int fail(char reterr[static CGROUP_ERROR_MAX], int r, const char *what, const char *where)
{
        (void) snprintf(reterr, CGROUP_ERROR_MAX, "%s %.180s", what, where);
        return r;
}

/* The v2 tree is all there is (unified), or one tree beside the v1 hierarchies (hybrid). */
static int find_tree(bool *ret_unified, const char **ret_mount)
{
        struct statfs fs;

        if (statfs(CGROUP_ROOT, &fs) == 0 && (unsigned long) fs.f_type == CGROUP2_SUPER_MAGIC) {
                *ret_unified = true;
                *ret_mount = CGROUP_ROOT;
                return 0;
        }
        if (statfs(CGROUP_ROOT "/unified", &fs) == 0 &&
                        (unsigned long) fs.f_type == CGROUP2_SUPER_MAGIC) {
                *ret_unified = false;
                *ret_mount = CGROUP_ROOT "/unified";
                return 0;
        }
        return -ENOENT;
}

static ShimCgroup *cgroup_allocate(void)
{
        ShimCgroup *c = calloc(1, sizeof(ShimCgroup));

        if (!c)
                return NULL;
        c->node = c->ctr = c->events = -EBADF;
        for (size_t i = 0; i < CGROUP_MIRRORS_MAX; i++)
                c->mirror_fds[i] = -EBADF;
        return c;
}

ShimCgroup *shim_cgroup_free(ShimCgroup *c)
{
        if (!c)
                return NULL;
        free(c->path);
        strv_free(c->mirrors);
        c->node = safe_close(c->node);
        c->ctr = safe_close(c->ctr);
        c->events = safe_close(c->events);
        for (size_t i = 0; i < CGROUP_MIRRORS_MAX; i++)
                c->mirror_fds[i] = safe_close(c->mirror_fds[i]);
        free(c);
        return NULL;
}

/* Controllers have to be let down level by level. One that is not there is missed only by a limit
 * that needs it, and named then. */
static void enable_controllers(int dir_fd)
{
        (void) write_kernel_file_at(dir_fd, "cgroup.subtree_control", "+memory");
        (void) write_kernel_file_at(dir_fd, "cgroup.subtree_control", "+pids");
        (void) write_kernel_file_at(dir_fd, "cgroup.subtree_control", "+cpu");
}

static int make_path(int mount_fd, const char *path, bool unified, int *ret_fd)
{
        CLEANUP_CLOSE int fd = -EBADF;
        CLEANUP_FREE char *copy = strdup(path);
        char *state = NULL;

        if (!copy)
                return -ENOMEM;
        fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (char *c = strtok_r(copy, "/", &state); c; c = strtok_r(NULL, "/", &state)) {
                CLEANUP_CLOSE int next = -EBADF;

                if (streq(c, "..") || streq(c, "."))
                        return -EINVAL;
                if (unified)
                        enable_controllers(fd);
                if (mkdirat(fd, c, 0755) < 0 && errno != EEXIST)
                        return -errno;
                next = openat(fd, c, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return -errno;
                (void) safe_close(fd);
                fd = TAKE_FD(next);
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int make_mirrors(ShimCgroup *c, const char *path, char reterr[static CGROUP_ERROR_MAX])
{
        for (size_t i = 0; i < ARRAY_SIZE(mirror_controllers); i++) {
                CLEANUP_CLOSE int mount_fd = -EBADF;
                CLEANUP_FREE char *mount = NULL, *dir = NULL;
                struct stat st, other;
                bool shared = false;
                int r;

                if (asprintf(&mount, CGROUP_ROOT "/%s", mirror_controllers[i]) < 0 ||
                                asprintf(&dir, "%s/%s", mount, path) < 0)
                        return -ENOMEM;
                mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (mount_fd < 0)
                        continue; /* missed only by a limit that needs it */
                r = make_path(mount_fd, path, false, &c->mirror_fds[c->n_mirrors]);
                if (r < 0)
                        return fail(reterr, r, "cannot make", dir);
                /* cpu and cpuacct may be one hierarchy. */
                if (fstat(c->mirror_fds[c->n_mirrors], &st) < 0)
                        return -errno;
                for (size_t k = 0; k < c->n_mirrors; k++) {
                        if (fstat(c->mirror_fds[k], &other) < 0)
                                return -errno;
                        shared = shared || other.st_dev == st.st_dev;
                }
                if (shared) {
                        c->mirror_fds[c->n_mirrors] = safe_close(c->mirror_fds[c->n_mirrors]);
                        continue;
                }
                c->n_mirrors++;
                r = strv_append(&c->mirrors, dir);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int make_children(ShimCgroup *c, char reterr[static CGROUP_ERROR_MAX])
{
        static const char *const dirs[] = { "ctr", "ctr/main" };

        if (c->unified)
                enable_controllers(c->node);
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                if (mkdirat(c->node, dirs[i], 0755) < 0 && errno != EEXIST)
                        return fail(reterr, -errno, "cannot make the cgroup", dirs[i]);
        }
        c->ctr = openat(c->node, "ctr", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (c->ctr < 0)
                return fail(reterr, -errno, "cannot open the cgroup", c->path);
        c->events = openat(c->ctr, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (c->events < 0)
                return fail(reterr, -errno, "cannot open cgroup.events of", c->path);
        return 0;
}

int shim_cgroup_new(const Launch *launch, ShimCgroup **ret, char reterr[static CGROUP_ERROR_MAX])
{
        CLEANUP(shim_cgroup_freep) ShimCgroup *c = cgroup_allocate();
        CLEANUP_CLOSE int mount_fd = -EBADF;
        const char *mount;
        int r;

        reterr[0] = 0;
        if (!c)
                return -ENOMEM;
        r = find_tree(&c->unified, &mount);
        if (r < 0)
                return fail(reterr, r, "no cgroup v2 tree at", CGROUP_ROOT);
        mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return fail(reterr, -errno, "cannot open", mount);

        c->scope = launch->cgroup_scope;
        if (c->scope)
                r = scope_start(launch->cgroup_scope, SCOPE_TIMEOUT_USEC, &c->path, reterr);
        else
                r = free_and_strdup(&c->path, launch->cgroup_path);
        if (r < 0)
                return r;
        /* A scope's ancestors are systemd's to set up. */
        r = make_path(mount_fd, c->path, c->unified && !c->scope, &c->node);
        if (r < 0)
                return fail(reterr, r, "cannot make the cgroup", c->path);
        if (c->scope) {
                /* systemd put the shim into the scope itself; no process may stay in an inner
                 * node before controllers are enabled below it. */
                if (mkdirat(c->node, "shim", 0755) < 0 && errno != EEXIST)
                        return fail(reterr, -errno, "cannot make shim/ in", c->path);
                r = write_kernel_file_at(c->node, "shim/cgroup.procs", "0");
                if (r < 0)
                        return fail(reterr, r, "cannot enter shim/ in", c->path);
        }
        r = make_children(c, reterr);
        if (r >= 0 && !c->unified)
                r = make_mirrors(c, c->path, reterr);
        if (r >= 0)
                r = shim_cgroup_set_limits(c, &launch->limits, reterr);
        if (r < 0) {
                (void) shim_cgroup_remove(c);
                return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

/* A shim that died before it could tell: where it would have made them. */
static int expect_mirrors(ShimCgroup *c)
{
        for (size_t i = 0; i < ARRAY_SIZE(mirror_controllers) && !c->unified; i++) {
                char *dir;
                int r;

                if (asprintf(&dir, CGROUP_ROOT "/%s/%s", mirror_controllers[i], c->path) < 0)
                        return -ENOMEM;
                r = strv_append_take(&c->mirrors, dir);
                if (r < 0)
                        return r;
        }
        return 0;
}

int shim_cgroup_open(const char *path, char *const *mirrors, ShimCgroup **ret)
{
        CLEANUP(shim_cgroup_freep) ShimCgroup *c = cgroup_allocate();
        CLEANUP_CLOSE int mount_fd = -EBADF;
        const char *mount;
        int r;

        if (!c)
                return -ENOMEM;
        r = find_tree(&c->unified, &mount);
        if (r < 0)
                return r;
        mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return -errno;
        r = free_and_strdup(&c->path, path);
        if (r < 0)
                return r;
        c->node = open_beneath(mount_fd, path, O_RDONLY | O_DIRECTORY, 0);
        if (c->node < 0)
                return c->node;
        c->ctr = openat(c->node, "ctr", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (c->ctr >= 0)
                c->events = openat(c->ctr, "cgroup.events", O_RDONLY | O_CLOEXEC);
        r = strv_length(mirrors) > 0 ? strv_copy(mirrors, &c->mirrors) : expect_mirrors(c);
        if (r < 0)
                return r;
        STRV_FOREACH(m, c->mirrors)
        {
                if (c->n_mirrors == CGROUP_MIRRORS_MAX)
                        break;
                c->mirror_fds[c->n_mirrors] = open(*m, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (c->mirror_fds[c->n_mirrors] >= 0)
                        c->n_mirrors++;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

int shim_cgroup_place(ShimCgroup *c, const char *leaf, CgroupPlace *ret)
{
        CLEANUP(cgroup_place_done) CgroupPlace p = CGROUP_PLACE_NULL;

        if (mkdirat(c->ctr, leaf, 0755) < 0 && errno != EEXIST)
                return -errno;
        p.fd = openat(c->ctr, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (p.fd < 0)
                return -errno;
        for (size_t i = 0; i < c->n_mirrors; i++) {
                p.tasks[i] = openat(c->mirror_fds[i], "tasks", O_WRONLY | O_CLOEXEC);
                if (p.tasks[i] < 0)
                        return -errno;
        }
        *ret = p;
        p = CGROUP_PLACE_NULL;
        return 0;
}

int shim_cgroup_open_leaf(ShimCgroup *c, const char *leaf)
{
        int fd = openat(c->ctr, leaf ?: ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int shim_cgroup_kill(ShimCgroup *c, const char *leaf)
{
        CLEANUP_CLOSE int fd = -EBADF;

        if (c->ctr < 0)
                return 0;
        fd = shim_cgroup_open_leaf(c, leaf);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        return write_kernel_file_at(fd, "cgroup.kill", "1");
}

/* The number behind @key in a file of "key number" lines. */
static int read_key(int dir_fd, const char *file, const char *key, uint64_t *ret)
{
        CLEANUP_FREE char *data = NULL;
        char *state = NULL;
        size_t size;
        int r;

        r = read_file_at(dir_fd, file, 4096, &data, &size);
        if (r < 0)
                return r;
        for (char *l = strtok_r(data, "\n", &state); l; l = strtok_r(NULL, "\n", &state)) {
                const char *v = startswith(l, key);

                if (v && *v == ' ')
                        return parse_u64(v + 1, ret);
        }
        return -ENOENT;
}

int shim_cgroup_is_empty(ShimCgroup *c, const char *leaf)
{
        CLEANUP_CLOSE int fd = -EBADF;
        uint64_t populated = 0;
        int r;

        if (c->ctr < 0)
                return 1;
        fd = shim_cgroup_open_leaf(c, leaf);
        if (fd < 0)
                return fd == -ENOENT ? 1 : fd;
        r = read_key(fd, "cgroup.events", "populated", &populated);
        return r < 0 ? r : !populated;
}

int shim_cgroup_remove_leaf(ShimCgroup *c, const char *leaf)
{
        if (unlinkat(c->ctr, leaf, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}

/* ---- limits ---- */

static const int *mirror_for(const ShimCgroup *c, const char *file)
{
        for (size_t i = 0; i < c->n_mirrors; i++) {
                if (faccessat(c->mirror_fds[i], file, W_OK, 0) == 0)
                        return &c->mirror_fds[i];
        }
        return NULL;
}

/* One value into one file. A controller that is not there is an error only when it was asked
 * for. */
static int put_limit(ShimCgroup *c, const char *file, const char *value, bool wanted,
                char reterr[static CGROUP_ERROR_MAX])
{
        const int *dir = c->unified ? &c->ctr : mirror_for(c, file);
        char what[128];
        int r;

        r = dir ? write_kernel_file_at(*dir, file, value) : -ENOENT;
        if (r == -ENOENT && !wanted)
                return 0;
        if (r < 0) {
                (void) snprintf(what, sizeof(what),
                                r == -ENOENT ? "no controller for %s=%s in" : "cannot set %s=%s in",
                                file, value);
                return fail(reterr, r, what, c->path);
        }
        return 0;
}

static const char *format_limit(uint64_t value, const char *none, char buf[static 24])
{
        if (value == 0)
                return none;
        (void) snprintf(buf, 24, "%llu", (unsigned long long) value);
        return buf;
}

static int set_memory(ShimCgroup *c, uint64_t memory, char reterr[static CGROUP_ERROR_MAX])
{
        char buf[24], size[FORMAT_EXACT_SIZE];
        int r;

        if (c->unified) {
                r = put_limit(c, "memory.max", format_limit(memory, "max", buf), memory, reterr);
                /* Memory that may be swapped out instead is not limited. */
                if (r >= 0)
                        r = put_limit(c, "memory.swap.max", memory ? "0" : "max", false, reterr);
                return r;
        }
        /* memsw can never be below limit: raise it first, and lower it last. */
        (void) put_limit(c, "memory.memsw.limit_in_bytes", "-1", false, reterr);
        r = put_limit(c, "memory.limit_in_bytes", format_limit(memory, "-1", buf), memory, reterr);
        if (r == -EBUSY)
                (void) snprintf(reterr, CGROUP_ERROR_MAX, "more memory than %s is in use",
                                format_size_exact(memory, size));
        if (r >= 0 && memory)
                r = put_limit(c, "memory.memsw.limit_in_bytes", buf, false, reterr);
        return r;
}

static int set_cpu(ShimCgroup *c, const LaunchLimits *l, char reterr[static CGROUP_ERROR_MAX])
{
        uint64_t period = l->cpu_period ?: 100000;
        char quota[24], value[64];
        int r;

        if (c->unified) {
                (void) snprintf(value, sizeof(value), "%s %llu",
                                format_limit(l->cpu_quota, "max", quota),
                                (unsigned long long) period);
                return put_limit(c, "cpu.max", value, l->cpu_quota, reterr);
        }
        /* Without a quota any period is legal, between the two writes, too. */
        r = put_limit(c, "cpu.cfs_quota_us", "-1", false, reterr);
        if (r < 0 || !l->cpu_quota)
                return r;
        (void) snprintf(value, sizeof(value), "%llu", (unsigned long long) period);
        r = put_limit(c, "cpu.cfs_period_us", value, true, reterr);
        if (r >= 0)
                r = put_limit(c, "cpu.cfs_quota_us", format_limit(l->cpu_quota, "-1", quota), true,
                                reterr);
        return r;
}

int shim_cgroup_set_limits(
                ShimCgroup *c, const LaunchLimits *limits, char reterr[static CGROUP_ERROR_MAX])
{
        char buf[24];
        int r;

        reterr[0] = 0;
        r = set_memory(c, limits->memory, reterr);
        if (r >= 0)
                r = put_limit(c, "pids.max", format_limit(limits->pids, "max", buf), limits->pids,
                                reterr);
        if (r >= 0)
                r = set_cpu(c, limits, reterr);
        return r;
}

int shim_cgroup_oom_kills(ShimCgroup *c, uint64_t *ret)
{
        const int *mirror;

        if (c->unified)
                return read_key(c->ctr, "memory.events", "oom_kill", ret);
        mirror = mirror_for(c, "memory.oom_control");
        return mirror ? read_key(*mirror, "memory.oom_control", "oom_kill", ret) : -ENOENT;
}

int shim_cgroup_events_fd(ShimCgroup *c)
{
        return c->events;
}

void shim_cgroup_events_clear(ShimCgroup *c)
{
        char buf[256];

        /* The kernel keeps signalling until this very descriptor has been read from the start. */
        if (pread(c->events, buf, sizeof(buf), 0) < 0)
                log_debug("cannot read cgroup.events");
}

const char *shim_cgroup_path(const ShimCgroup *c)
{
        return c->path;
}

char *const *shim_cgroup_mirrors(const ShimCgroup *c)
{
        return c->mirrors;
}

/* ---- removal ---- */

/* rmdir gives EBUSY until the last task is reaped, which for processes whose parent died is up to
 * the kernel's own pace; v1 has no event for it. */
static int remove_dir_at(int dir_fd, const char *path)
{
        uint64_t deadline = now_boottime_usec() + 2 * USEC_PER_SEC;

        for (;;) {
                if (unlinkat(dir_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
                        return 0;
                if (errno != EBUSY || now_boottime_usec() >= deadline)
                        return -errno;
                (void) poll(NULL, 0, 2);
        }
}

static int remove_leaves(ShimCgroup *c)
{
        struct dirent *e;
        CLEANUP_CLOSE int fd = -EBADF;
        DIR *d;
        int r = 0;

        fd = shim_cgroup_open_leaf(c, NULL);
        if (fd < 0)
                return fd;
        d = fdopendir(fd);
        if (!d)
                return -errno;
        (void) TAKE_FD(fd);
        while ((e = readdir(d))) {
                if (e->d_type == DT_DIR && !streq(e->d_name, ".") && !streq(e->d_name, "..")) {
                        int q = remove_dir_at(dirfd(d), e->d_name);

                        r = r < 0 ? r : q;
                }
        }
        (void) closedir(d);
        return r;
}

int shim_cgroup_remove(ShimCgroup *c)
{
        CLEANUP_CLOSE int mount_fd = -EBADF;
        bool unified;
        const char *mount;
        int r = 0;

        if (c->ctr >= 0)
                r = remove_leaves(c);
        if (r >= 0)
                r = remove_dir_at(c->node, "ctr");
        STRV_FOREACH(m, c->mirrors)
        {
                int q = remove_dir_at(AT_FDCWD, *m);

                r = r < 0 ? r : q;
        }
        if (r < 0 || c->scope)
                return r;
        r = find_tree(&unified, &mount);
        if (r < 0)
                return r;
        mount_fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mount_fd < 0)
                return -errno;
        /* Of a scope whose shim is gone, too, and systemd with it. */
        r = remove_dir_at(c->node, "shim");
        return r < 0 ? r : remove_dir_at(mount_fd, c->path);
}
