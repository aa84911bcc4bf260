/* SPDX-License-Identifier: Apache-2.0 */

/* The last steps of every process of a container; see shim-confine.h. Order matters:
 *
 *   1. identity is looked up while the files can still be read whatever the user may see
 *   2. session keyring, so that the host's is left behind
 *   3. no_new_privs, then ids and capability sets (bounding first: it needs CAP_SETPCAP)
 *   4. every descriptor above 2 is closed, but the one for the report
 *   5. working directory, as the user; it must be inside the root
 *   6. the filter, then execve: nothing but the PATH search runs under it
 *
 * Without no_new_privs a filter needs CAP_SYS_ADMIN in the user namespace, so it comes before 3. */

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capability.h"
#include "conceal.h"
#include "fd.h"
#include "shim-confine.h"
#include "strv.h"

#define SOFT_NOFILE  1024U
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- capabilities ---- */

#define CAP_BIT(c) (UINT64_C(1) << (c))

/* What root inside needs to act as root towards its own files and users, and no more. */
static const uint64_t default_capabilities =
                CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) |
                CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_NET_BIND_SERVICE) |
                CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETPCAP) |
                CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SYS_CHROOT);

static int capability_mask(const char *name, uint64_t *ret)
{
        int c;

        if (streq(name, "ALL")) {
                *ret = UINT64_MAX;
                return 0;
        }
        c = capability_from_name(name);
        if (c < 0)
                return -EINVAL;
        *ret = CAP_BIT(c);
        return 0;
}

int capabilities_from_launch(char *const *add, char *const *drop, uint64_t *ret)
{
        uint64_t set = default_capabilities, mask;
        bool drop_all = strv_contains((char **) drop, "ALL");
        int r;

        /* "drop ALL, add X" means X whatever the order it was written in. */
        if (drop_all)
                set = 0;
        STRV_FOREACH(c, add)
        {
                r = capability_mask(*c, &mask);
                if (r < 0)
                        return r;
                set |= mask;
        }
        STRV_FOREACH(c, drop)
        {
                r = capability_mask(*c, &mask);
                if (r < 0)
                        return r;
                if (mask != UINT64_MAX)
                        set &= ~mask;
        }
        *ret = set;
        return 0;
}

static int capabilities_get(uint64_t *ret_permitted)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 };

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        *ret_permitted = (uint64_t) data[1].permitted << 32 | data[0].permitted;
        return 0;
}

int capabilities_set(uint64_t permitted)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = { 0 };

        data[0].permitted = data[0].effective = (uint32_t) permitted;
        data[1].permitted = data[1].effective = (uint32_t) (permitted >> 32);
        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int capabilities_keep(uint64_t set)
{
        uint64_t have = 0;
        int r;

        r = capabilities_get(&have);
        return r < 0 ? r : capabilities_set(set & have);
}

int capabilities_bound(uint64_t set)
{
        for (unsigned c = 0; c < 64; c++) {
                if (set & CAP_BIT(c))
                        continue;
                if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0) {
                        if (errno == EINVAL) /* past the last one of this kernel */
                                return 0;
                        /* One that is not there needs no right to be dropped. */
                        if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) != 0)
                                return -EPERM;
                }
        }
        return 0;
}

/* ---- signals, ids ---- */

void confine_reset_signals(void)
{
        /* The kernel's own struct, all of it zero: SIG_DFL. The C library refuses the two signals
         * that it keeps for itself, and its posix_spawn() leaves exactly those ignored. */
        static const unsigned char action[4 * sizeof(unsigned long)];
        sigset_t none;

        /* An ignored disposition and a blocked signal both survive execve(). */
        for (int s = 1; s < _NSIG; s++)
                if (s != SIGKILL && s != SIGSTOP)
                        (void) syscall(SYS_rt_sigaction, s, action, NULL, (_NSIG - 1) / 8);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

typedef struct Filter {
        struct sock_filter *instructions; /* NULL: unconfined */
        size_t n;
} Filter;

static void filter_done(Filter *f)
{
        free(f->instructions);
}

/* @fd is shared by all children: no offset of its own is used. */
static int filter_read(int fd, Filter *ret)
{
        CLEANUP_FREE char *data = NULL;
        struct stat st;
        size_t size;
        ssize_t n;

        *ret = (Filter){ 0 };
        if (fd < 0)
                return 0;
        if (fstat(fd, &st) < 0)
                return -errno;
        size = (size_t) st.st_size;
        if (size == 0 || size % sizeof(struct sock_filter) != 0 ||
                        size / sizeof(struct sock_filter) > BPF_MAXINSNS)
                return -EBADMSG;
        data = malloc(size);
        if (!data)
                return -ENOMEM;
        n = pread(fd, data, size, 0);
        if (n < 0)
                return -errno;
        if ((size_t) n != size)
                return -EBADMSG;
        ret->n = size / sizeof(struct sock_filter);
        ret->instructions = (struct sock_filter *) (void *) TAKE_PTR(data);
        return 0;
}

static int filter_install(const Filter *f)
{
        struct sock_fprog program = { .len = (unsigned short) f->n, .filter = f->instructions };

        if (!f->instructions)
                return 0;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int confine_load_filter(int fd)
{
        CLEANUP(filter_done) Filter f;
        int r;

        r = filter_read(fd, &f);
        return r < 0 ? r : filter_install(&f);
}

/* Pipes and terminals are the container's root's so far; a program that opens /dev/stdout anew
 * does so as the user. Descriptors of other kinds stay as they are. */
static void give_stdio(const Identity *id)
{
        struct stat st;
        int r = 0;

        for (int fd = 0; fd <= 2; fd++) {
                if (fstat(fd, &st) < 0 || st.st_uid != 0 || st.st_uid == id->uid)
                        continue;
                if (S_ISFIFO(st.st_mode))
                        r = fchown(fd, id->uid, id->gid);
                else if (S_ISCHR(st.st_mode) && isatty(fd))
                        r = fchown(fd, id->uid, (gid_t) -1);
                (void) r; /* opening it anew is all that is lost */
        }
}

/* A daemon that serves thousands has many descriptors; a program that closes "all" of them, or uses
 * select(), is better off with what every login has, and may raise it up to the hard limit. */
static void limit_descriptors(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur <= SOFT_NOFILE)
                return;
        limit.rlim_cur = SOFT_NOFILE;
        (void) setrlimit(RLIMIT_NOFILE, &limit); /* lowering needs no right */
}

/* Who may not enter "/" can neither find nor execute anything: told as what it is, and not as the
 * failure of whatever would be tried first. */
static int check_root(const Identity *id, SetupReport *reterr)
{
        struct stat st;

        if (access("/", X_OK) == 0)
                return 0;
        if (errno != EACCES || stat("/", &st) < 0)
                return setup_report_set(reterr, -errno, "user", "the root directory");
        return setup_report_tell(reterr, -EACCES, "user",
                        "uid %u, gid %u may not enter the container's root directory, which has "
                        "mode %04o and belongs to %u:%u; allow it on the host (chmod o+x), or run "
                        "as another user",
                        id->uid, id->gid, st.st_mode & 07777, st.st_uid, st.st_gid);
}

int confine_apply(const ConfinePolicy *policy, const Identity *id, SetupReport *reterr)
{
        uint64_t have = 0, want;
        int r;

        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 && errno != ENOSYS)
                return setup_report_set(reterr, -errno, "keyring", "session keyring");
        give_stdio(id);
        limit_descriptors();
        if (policy->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return setup_report_set(reterr, -errno, "capabilities", "no_new_privs");
        if (!policy->no_new_privileges) {
                r = confine_load_filter(policy->seccomp_fd);
                if (r < 0)
                        return setup_report_set(reterr, r, "seccomp", "system call filter");
        }

        r = capabilities_get(&have);
        if (r >= 0)
                r = capabilities_bound(policy->capabilities);
        if (r < 0)
                return setup_report_set(reterr, r, "capabilities", "bounding set");
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return setup_report_set(reterr, -errno, "capabilities", "ambient set");

        /* The raw calls: glibc's would go looking for threads. */
        if (syscall(SYS_setgroups, id->n_groups, id->groups) < 0 ||
                        syscall(SYS_setresgid, id->gid, id->gid, id->gid) < 0 ||
                        syscall(SYS_setresuid, id->uid, id->uid, id->uid) < 0)
                return errno == EINVAL ? setup_report_tell(reterr, -errno, "user",
                                                         "uid %u, gid %u are not both among the "
                                                         "pod's ids, 0 to 65535",
                                                         id->uid, id->gid)
                                       : setup_report_set(reterr, -errno, "user",
                                                         "uid %u, gid %u cannot be taken", id->uid,
                                                         id->gid);

        /* The kernel emptied the sets of anybody but root; for root they are cut here. A
         * capability that the shim itself lacks cannot be given. */
        want = id->uid == 0 ? policy->capabilities & have : 0;
        r = capabilities_set(want);
        if (r < 0)
                return setup_report_set(reterr, r, "capabilities", "permitted set");
        (void) process_conceal(); /* forgotten with the old ids; until execve() */
        (void) umask(0022);
        return check_root(id, reterr);
}

/* ---- environment, directory, execve ---- */

static const char *env_get(char *const *env, const char *name)
{
        size_t n = strlen(name);

        STRV_FOREACH(e, env)
        {
                if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
                        return *e + n + 1;
        }
        return NULL;
}

static int build_environment(const ConfineProgram *program, const Identity *id, char ***ret)
{
        CLEANUP_STRV char **env = NULL;
        CLEANUP_FREE char *home = NULL;
        int r;

        r = strv_copy(program->env, &env);
        if (r >= 0 && !env_get(env, "PATH"))
                r = strv_append(&env, "PATH=" DEFAULT_PATH);
        if (r >= 0 && !env_get(env, "HOME")) {
                if (asprintf(&home, "HOME=%s", id->home) < 0) {
                        home = NULL;
                        return -ENOMEM;
                }
                r = strv_append(&env, home);
        }
        if (r >= 0 && program->tty && !env_get(env, "TERM"))
                r = strv_append(&env, "TERM=xterm");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}

/* A directory outside the root is reached by /proc/self/fd/N when a descriptor leaked: the kernel
 * tells it by a path that does not start at our root. */
static int enter_directory(const char *path, SetupReport *report)
{
        char cwd[4096];
        long n;

        if (chdir(path) < 0)
                return setup_report_set(report, -errno, "cwd", "working directory %.150s", path);
        n = syscall(SYS_getcwd, cwd, sizeof(cwd));
        if (n < 0 && errno != ERANGE)
                return setup_report_set(report, -errno, "cwd", "working directory %.150s", path);
        if (n > 0 && cwd[0] != '/')
                return setup_report_tell(report, -EPERM, "cwd",
                                "working directory %.150s is outside the container's root", path);
        return 0;
}

/* argv[0] with a slash as it is, else each directory of PATH: the first that can be executed. A
 * file that may not be executed is remembered, so that the answer is "permission denied" and not
 * "not found". */
static int execute(char *const *argv, char *const *env)
{
        CLEANUP_FREE char *path = NULL;
        char *state = NULL;
        int error = -ENOENT;

        if (strchr(argv[0], '/')) {
                (void) execve(argv[0], argv, env);
                return -errno;
        }
        if (!argv[0][0])
                return -ENOENT;
        path = strdup(env_get(env, "PATH") ?: DEFAULT_PATH);
        if (!path)
                return -ENOMEM;
        for (char *dir = strtok_r(path, ":", &state); dir; dir = strtok_r(NULL, ":", &state)) {
                CLEANUP_FREE char *file = NULL;

                if (asprintf(&file, "%s/%s", dir, argv[0]) < 0) {
                        file = NULL;
                        return -ENOMEM;
                }
                (void) execve(file, argv, env);
                if (errno == EACCES)
                        error = -EACCES;
                else if (errno != ENOENT && errno != ENOTDIR)
                        return -errno;
        }
        return error;
}

/* Nothing but 0, 1, 2 and the report at 3. Closed, not only marked: a working directory or a
 * command by way of /proc/self/fd would still reach what execve() is about to close. */
static int close_all_but_report(int *report_fd)
{
        if (*report_fd != 3) {
                if (dup3(*report_fd, 3, O_CLOEXEC) < 0)
                        return -errno;
                *report_fd = 3;
        }
        return close_fds_from(4);
}

static int prepare_execute(const ConfinePolicy *policy, const ConfineProgram *program,
                const Identity *id, int *report_fd, char ***ret_env, SetupReport *report)
{
        CLEANUP(filter_done) Filter filter = { 0 };
        int r;

        r = build_environment(program, id, ret_env);
        if (r < 0)
                return setup_report_set(report, r, "exec", "environment");
        if (policy->no_new_privileges) {
                r = filter_read(policy->seccomp_fd, &filter);
                if (r < 0)
                        return setup_report_set(report, r, "seccomp", "system call filter");
        }
        r = close_all_but_report(report_fd);
        if (r < 0)
                return setup_report_set(report, r, "exec", "closing descriptors");
        r = enter_directory(program->cwd, report);
        if (r < 0)
                return r;
        r = filter_install(&filter);
        return r < 0 ? setup_report_set(report, r, "seccomp", "system call filter") : 0;
}

void confine_execute(const ConfinePolicy *policy, const ConfineProgram *program, const Identity *id,
                int report_fd)
{
        SetupReport report = { 0 };
        char **env = NULL;
        int r;

        r = prepare_execute(policy, program, id, &report_fd, &env, &report);
        if (r >= 0) {
                r = execute(program->argv, env);
                (void) setup_report_set(&report, r, "exec", "%.150s", program->argv[0]);
        }
        setup_report_send_and_exit(report_fd, &report);
}

void confine_exec(const ConfinePolicy *policy, const ConfineProgram *program, int report_fd)
{
        CLEANUP(identity_done) Identity id = { 0 };
        SetupReport report = { 0 };

        if (identity_resolve(program->user, program->groups, &id, &report) < 0)
                setup_report_send_and_exit(report_fd, &report);
        give_stdio(&id);
        if (confine_apply(policy, &id, &report) < 0)
                setup_report_send_and_exit(report_fd, &report);
        confine_reset_signals();
        confine_execute(policy, program, &id, report_fd);
}
