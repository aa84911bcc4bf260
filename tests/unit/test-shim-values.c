/* SPDX-License-Identifier: Apache-2.0 */

/* Live volumes of secrets and configs: what a reader sees while their files are replaced, and what
 * stands there when that fails. On real file systems of their own, attached nowhere; root alone may
 * make them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "log.h"
#include "shim-values.h"

#define N_REFRESHES 200

typedef struct Volumes {
        LaunchMount mounts[2];
        Launch launch;
        int live[LIMIT_MOUNTS];
} Volumes;

/* "volume", "path", "text", …, NULL */
static Launch files_of(LaunchFile *files, const char *const *texts)
{
        Launch l = { .userns_host = true, .files = files };

        for (; texts[0]; texts += 3)
                files[l.n_files++] = (LaunchFile){
                        .volume = (char *) texts[0],
                        .path = (char *) texts[1],
                        .mode = 0400,
                        .data = texts[2],
                        .size = strlen(texts[2]),
                };
        return l;
}

static int replace(Volumes *v, const char *const *texts)
{
        LaunchFile files[16];
        SetupReport report = {};
        const Launch l = files_of(files, texts);
        int r = values_replace(&v->launch, v->live, &l, &report);

        assert_int_equal(-r, report.error);
        if (r < 0)
                assert_non_null(strstr(report.message, errno_words(r)));
        return r;
}

static void replace_ok(Volumes *v, const char *const *texts)
{
        assert_int_equal(replace(v, texts), 0);
}

static void make(Volumes *v, const char *const *texts)
{
        LaunchFile files[16];
        SetupReport report = {};

        if (geteuid() != 0)
                skip();
        *v = (Volumes){
                .mounts = { { .values = (char *) "one", .secret = true, .live = true },
                                { .values = (char *) "two", .live = true } },
        };
        v->launch = files_of(files, texts);
        v->launch.mounts = v->mounts;
        v->launch.n_mounts = 2;
        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                v->live[i] = -EBADF;
        for (size_t i = 0; i < 2; i++)
                if (values_make(&v->launch, &v->mounts[i], &v->live[i], &report) < 0)
                        fail_msg("%s", report.message);
        v->launch.files = NULL;
        v->launch.n_files = 0;
}

static void done(Volumes *v)
{
        for (size_t i = 0; i < 2; i++)
                (void) safe_close(v->live[i]);
}

/* Its text, or NULL with errno. */
static const char *text_of(int dir, const char *path)
{
        static char text[64];
        CLEANUP_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return NULL;
        n = read(fd, text, sizeof(text) - 1);
        assert_true(n >= 0);
        text[n] = '\0';
        return text;
}

static void assert_text(int dir, const char *path, const char *expected)
{
        const char *text = text_of(dir, path);

        if (!expected) {
                assert_null(text);
                assert_int_equal(errno, ENOENT);
        } else if (!text || !streq(text, expected))
                fail_msg("%s: expected '%s', found '%s'", path, expected, strempty(text));
}

/* Names at the top that are no key's: those of the scheme; *@ret_keys: the others. */
static size_t count_own(int dir, size_t *ret_keys)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        size_t n = 0;

        *ret_keys = 0;
        assert_int_equal(opendir_beneath(dir, ".", &d), 0);
        while ((e = readdir(d)))
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                else if (startswith(e->d_name, ".."))
                        n++;
                else
                        ++*ret_keys;
        return n;
}

#define TEXTS(...) \
        (const char *const[]) \
        { \
                __VA_ARGS__, NULL \
        }

static void test_replaced(void **state)
{
        Volumes v;
        struct stat st;
        size_t keys;

        make(&v, TEXTS("one", "a", "1", "one", "x/y/b", "old", "one", "gone", "g", "two", "a",
                                 "2"));
        assert_text(v.live[0], "a", "1");
        assert_text(v.live[0], "x/y/b", "old");
        assert_text(v.live[1], "a", "2");
        replace_ok(&v, TEXTS("one", "a", "3", "one", "x/y/b", "new", "one", "more", "m"));
        assert_text(v.live[0], "a", "3");
        assert_text(v.live[0], "x/y/b", "new");
        assert_text(v.live[0], "more", "m");
        assert_text(v.live[0], "gone", NULL);
        assert_text(v.live[1], "a", NULL);
        assert_int_equal(count_own(v.live[0], &keys), 3); /* ..1, ..2, ..data */
        assert_int_equal(keys, 3);
        assert_int_equal(count_own(v.live[1], &keys), 3);
        assert_int_equal(keys, 0);
        assert_int_equal(fstatat(v.live[0], "a", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0400);
        assert_int_equal(fstatat(v.live[0], "..data/x", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);

        /* What was before is there for a while, and then not. */
        assert_text(v.live[0], "..1/gone", "g");
        values_forget_earlier(&v.launch, v.live);
        assert_text(v.live[0], "..1/gone", NULL);
        assert_text(v.live[0], "a", "3");
        assert_int_equal(count_own(v.live[0], &keys), 2);
        assert_int_equal(keys, 3);
        done(&v);
}

/* Files are those of whoever has the volume's own directory. */
static void test_owner(void **state)
{
        struct stat st;
        Volumes v;

        make(&v, TEXTS("one", "a", "1"));
        assert_int_equal(fchownat(v.live[0], "", 1234, 2345, AT_EMPTY_PATH), 0);
        replace_ok(&v, TEXTS("one", "a", "2"));
        assert_int_equal(fstatat(v.live[0], "a", &st, 0), 0);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 2345);
        done(&v);
}

static void test_open_file_stays(void **state)
{
        Volumes v;
        char c;
        int fd;

        make(&v, TEXTS("one", "a", "1"));
        fd = openat(v.live[0], "a", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (int i = 0; i < 3; i++)
                replace_ok(&v, TEXTS("one", "a", "2"));
        assert_int_equal(read(fd, &c, 1), 1);
        assert_int_equal(c, '1');
        (void) close(fd);
        done(&v);
}

static void assert_as_before(const Volumes *v)
{
        size_t keys;

        assert_text(v->live[0], "a", "1");
        assert_text(v->live[0], "b", "1");
        assert_text(v->live[1], "a", "1");
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(count_own(v->live[i], &keys), 2);
                assert_int_equal(keys, 2 - i);
        }
}

static void write_until_full(int dir)
{
        static const char page[4096];
        CLEANUP_CLOSE int fd = openat(dir, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        while (write(fd, page, sizeof(page)) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

/* The first volume could be replaced, the second cannot: neither is. */
static void test_full(void **state)
{
        Volumes v;

        make(&v, TEXTS("one", "a", "1", "one", "b", "1", "two", "a", "1"));
        write_until_full(v.live[1]);
        assert_int_equal(replace(&v, TEXTS("one", "a", "2", "one", "c", "2", "two", "a", "2")),
                        -ENOSPC);
        assert_int_equal(unlinkat(v.live[1], "filler", 0), 0);
        assert_as_before(&v);
        replace_ok(&v, TEXTS("one", "a", "2", "one", "c", "2", "two", "a", "2"));
        assert_text(v.live[0], "a", "2");
        assert_text(v.live[0], "b", NULL);
        assert_text(v.live[0], "c", "2");
        assert_text(v.live[1], "a", "2");
        done(&v);
}

/* What fails behind files that were written, and behind links that were made. */
static void test_refused(void **state)
{
        char name[300];
        Volumes v;

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        make(&v, TEXTS("one", "a", "1", "one", "b", "1", "two", "a", "1"));
        for (int i = 0; i < 3; i++) {
                assert_int_equal(replace(&v, TEXTS("one", "a", "2", "one", "c", "2", "two", name,
                                                             "2")),
                                -ENAMETOOLONG);
                assert_as_before(&v);
        }
        done(&v);
}

/* What a killed shim would leave behind is no obstacle. */
static void test_left_behind(void **state)
{
        Volumes v;

        make(&v, TEXTS("one", "a", "1"));
        assert_int_equal(mkdirat(v.live[0], "..2", 0700), 0);
        assert_int_equal(mkdirat(v.live[0], "..2/a", 0700), 0);
        assert_int_equal(symlinkat("..2", v.live[0], "..next"), 0);
        replace_ok(&v, TEXTS("one", "a", "2"));
        assert_text(v.live[0], "a", "2");
        done(&v);
}

/* How often a generation comes to count before that fails, once. */
static unsigned n_published_left = UINT_MAX;

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
        if (streq(to, "..data") && n_published_left-- == 0) {
                errno = EIO;
                return -1;
        }
        return (int) syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

/* When the last step fails in the second volume, the first one has its files from before, and
 * nothing of the new ones. */
static void test_second_fails(void **state)
{
        Volumes v;

        make(&v, TEXTS("one", "a", "1", "one", "b", "1", "two", "a", "1"));
        n_published_left = 1;
        assert_int_equal(replace(&v, TEXTS("one", "a", "2", "one", "c", "2", "two", "a", "2")),
                        -EIO);
        assert_as_before(&v);
        replace_ok(&v, TEXTS("one", "a", "2", "one", "c", "2", "two", "a", "2"));
        assert_text(v.live[0], "a", "2");
        assert_text(v.live[0], "b", NULL);
        assert_text(v.live[1], "a", "2");
        done(&v);
}

/* As a container would that can write to its volume, and is quick: right behind the shim's
 * mkdirat() of that name there is what was prepared, in the place of the new directory. */
static const char *exchanged;

int mkdirat(int dir, const char *path, mode_t mode)
{
        int r = (int) syscall(SYS_mkdirat, dir, path, mode);

        if (r == 0 && exchanged && streq(path, exchanged)) {
                exchanged = NULL;
                assert_int_equal(renameat2(dir, path, dir, "prepared", RENAME_EXCHANGE), 0);
        }
        return r;
}

/* What was prepared is a directory with a link that leads out of the volume. */
static int replace_exchanged(Volumes *v, uid_t owner, mode_t mode)
{
        char outside[] = "/tmp/test-shim-values.XXXXXX";
        bool empty;
        int r;

        make(v, TEXTS("one", "a", "1", "one", "x/b", "1", "two", "a", "1"));
        assert_int_equal(mkdirat(v->live[0], "prepared", mode), 0);
        assert_int_equal(fchownat(v->live[0], "prepared", owner, owner, 0), 0);
        assert_non_null(mkdtemp(outside));
        assert_int_equal(symlinkat(outside, v->live[0], "prepared/x"), 0);
        exchanged = "..2";
        r = replace(v, TEXTS("one", "a", "2", "one", "x/b", "2", "two", "a", "2"));
        assert_null(exchanged);
        empty = rmdir(outside) == 0;
        if (!empty)
                (void) remove_tree_at(AT_FDCWD, outside);
        assert_true(empty);
        assert_text(v->live[0], "a", "1");
        assert_text(v->live[0], "x/b", "1");
        assert_text(v->live[1], "a", "1");
        return r;
}

/* A directory that is not the shim's gets no file. */
static void test_exchanged(void **state)
{
        Volumes v;

        assert_int_equal(replace_exchanged(&v, 1234, 0755), -EBUSY);
        replace_ok(&v, TEXTS("one", "a", "2", "one", "x/b", "2", "two", "a", "2"));
        assert_text(v.live[0], "x/b", "2");
        done(&v);
}

/* One that cannot be told from it, as root of the host could make, leads nowhere either. */
static void test_exchanged_alike(void **state)
{
        Volumes v;

        assert_int_equal(replace_exchanged(&v, 0, 0700), -ENOTDIR);
        done(&v);
}

/* A link of a container's is never followed out of the volume: whether there is something, is not
 * told. */
static void test_link_outside(void **state)
{
        char target[8];
        Volumes v;

        make(&v, TEXTS("one", "a", "1"));
        assert_int_equal(symlinkat("/etc/passwd", v.live[0], "link"), 0);
        replace_ok(&v, TEXTS("one", "a", "2"));
        assert_int_equal(readlinkat(v.live[0], "link", target, sizeof(target)), -1);
        assert_int_equal(errno, ENOENT);
        done(&v);
}

#define N_READERS    2
#define READERS_USEC (20 * USEC_PER_SEC)

/* Shared with the readers: how often each has seen all that it looks for. */
static _Atomic unsigned *n_seen;
static pid_t readers[N_READERS];

/* Two files of one version, through the directory that is ..data at the time; and one file by its
 * name, which is always there. */
static _Noreturn void read_on(int dir, _Atomic unsigned *n)
{
        for (;; ++*n) {
                CLEANUP_CLOSE int at = openat(dir, "..data", O_PATH | O_DIRECTORY | O_CLOEXEC);
                char first[64];
                const char *text;

                if (at < 0 || !text_of(dir, "x/b"))
                        _exit(2);
                text = text_of(at, "a");
                if (!text)
                        _exit(2);
                (void) snprintf(first, sizeof(first), "%s", text);
                text = text_of(at, "x/b");
                if (!text)
                        _exit(2);
                if (!streq(text, first))
                        _exit(3);
        }
}

static void start_readers(int dir)
{
        pid_t self = getpid();

        n_seen = mmap(NULL, N_READERS * sizeof(*n_seen), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(n_seen != MAP_FAILED);
        for (size_t i = 0; i < N_READERS; i++) {
                readers[i] = fork();
                assert_true(readers[i] >= 0);
                if (readers[i] == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        if (getppid() == self)
                                read_on(dir, &n_seen[i]);
                        _exit(4);
                }
        }
}

/* Until each has ended a look that it was in: no look meets two replacements, as none does of which
 * the second comes when the first one's earlier files are still kept. */
static void await_readers(uint64_t deadline)
{
        for (size_t i = 0; i < N_READERS; i++) {
                const unsigned before = n_seen[i];

                while (n_seen[i] == before) {
                        int status;

                        if (waitpid(readers[i], &status, WNOHANG) == readers[i]) {
                                readers[i] = 0;
                                /* 2: nothing there, 3: a mixture */
                                fail_msg("a reader ended: %#x", (unsigned) status);
                        }
                        if (now_boottime_usec() > deadline)
                                fail_msg("a reader sees nothing");
                        (void) sched_yield();
                }
        }
}

static int end_readers(void **state)
{
        for (size_t i = 0; i < N_READERS; i++)
                if (readers[i] > 0) {
                        (void) kill(readers[i], SIGKILL);
                        (void) waitpid(readers[i], NULL, 0);
                        readers[i] = 0;
                }
        return 0;
}

static void test_readers(void **state)
{
        const uint64_t deadline = now_boottime_usec() + READERS_USEC;
        Volumes v;

        make(&v, TEXTS("one", "a", "0", "one", "x/b", "0"));
        start_readers(v.live[0]);
        for (int i = 1; i <= N_REFRESHES; i++) {
                char text[16];

                await_readers(deadline);
                (void) snprintf(text, sizeof(text), "%d", i);
                replace_ok(&v, TEXTS("one", "a", text, "one", "x/b", text));
        }
        await_readers(deadline);
        done(&v);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replaced),
                cmocka_unit_test(test_owner),
                cmocka_unit_test(test_open_file_stays),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_left_behind),
                cmocka_unit_test(test_second_fails),
                cmocka_unit_test(test_exchanged),
                cmocka_unit_test(test_exchanged_alike),
                cmocka_unit_test(test_link_outside),
                cmocka_unit_test_teardown(test_readers, end_readers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
