/* SPDX-License-Identifier: Apache-2.0 */

/* What keeps secrets in their process: memory that is not swapped, and no core dump, also behind a
 * change of ids. Seen with the kernel's eyes, each in a process of its own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conceal.h"
#include "fd.h"
#include "shim-confine.h"

#define SUID_DUMPABLE "/proc/sys/fs/suid_dumpable"
#define SKIPPED       77

/* Of a child: 0, SKIPPED, or the number of the line that did not hold. */
static void run_child(int (*child)(void))
{
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == SKIPPED)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition) \
        do { \
                if (!(condition)) \
                        return __LINE__; \
        } while (0)

#ifndef __SANITIZE_ADDRESS__ /* it makes nothing of mlock() */

static long locked_kib(void)
{
        CLEANUP_FREE char *text = NULL;
        const char *p;

        if (read_file_at(AT_FDCWD, "/proc/self/status", 65536, &text, NULL) < 0)
                return -1;
        p = strstr(text, "VmLck:");
        return p ? strtol(p + strlen("VmLck:"), NULL, 10) : -1;
}

/* How many mappings that can be written are not locked; @ret_n: of how many. */
static int count_unlocked(unsigned *ret_n)
{
        FILE *f = fopen("/proc/self/smaps", "re");
        bool writable = false;
        char line[512];
        int unlocked = 0;

        *ret_n = 0;
        if (!f)
                return -errno;
        while (fgets(line, sizeof(line), f)) {
                char mode[5];

                if (sscanf(line, "%*x-%*x %4s", mode) == 1)
                        writable = mode[1] == 'w';
                else if (writable && startswith(line, "VmFlags:")) {
                        ++*ret_n;
                        unlocked += !strstr(line, " lo");
                }
        }
        (void) fclose(f);
        return unlocked;
}

static int lock_all(void)
{
        unsigned n;
        char *later;

        CHECK(locked_kib() == 0);
        if (process_lock_memory() < 0) {
                CHECK(locked_kib() == 0);
                return SKIPPED;
        }
        later = malloc(4U * 1024 * 1024); /* a mapping of its own */
        CHECK(later);
        later[0] = 1;
        CHECK(locked_kib() > 4096);
        CHECK(count_unlocked(&n) == 0);
        CHECK(n > 2);
        free(later);
        return 0;
}

static void test_lock_memory(void **state)
{
        run_child(lock_all);
}

/* With a limit an allocation would fail one day: nothing is locked. */
static int lock_with_limit(void)
{
        const struct rlimit limit = { 65536, 65536 };
        void *p;

        if (geteuid() != 0)
                return SKIPPED;
        CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) >= 0);
        CHECK(capabilities_set(0) >= 0);
        CHECK(process_lock_memory() == -EPERM);
        CHECK(locked_kib() == 0);
        p = malloc(4U * 1024 * 1024);
        CHECK(p);
        free(p);
        return 0;
}

static void test_limit(void **state)
{
        run_child(lock_with_limit);
}

static int lock_file(void)
{
        LockedFile f = {};
        int fd, empty;

        CHECK(memfd_sealed("test", "secret", 6, &fd) >= 0);
        CHECK(memfd_sealed("test", "", 0, &empty) >= 0);
        CHECK(locked_file_take(&f, empty) >= 0);
        locked_file_done(&f);
        CHECK(locked_file_take(&f, fd) >= 0);
        CHECK(locked_kib() > 0);
        CHECK(memcmp(f.address, "secret", 6) == 0);
        CHECK(locked_file_take(&f, fd) >= 0);
        locked_file_done(&f);
        CHECK(locked_kib() == 0);
        return 0;
}

static void test_locked_file(void **state)
{
        run_child(lock_file);
}

#endif

/* As a container's first process, and one of a session, gives its ids up. */
static int take_ids(void)
{
        const ConfinePolicy policy = { .no_new_privileges = true, .seccomp_fd = -EBADF };
        const Identity id = { .uid = 65534, .gid = 65534 };
        SetupReport report = {};

        CHECK(process_conceal() >= 0);
        CHECK(prctl(PR_GET_DUMPABLE) == 0);
        CHECK(confine_apply(&policy, &id, &report) >= 0);
        CHECK(geteuid() == 65534);
        CHECK(prctl(PR_GET_DUMPABLE) == 0);
        return 0;
}

/* The machine's setting from before: whatever becomes of a test, the group's end puts it back. */
static char *suid_dumpable;

static int restore_machine(void **state)
{
        int r = 0;

        if (suid_dumpable)
                r = write_kernel_file_at(AT_FDCWD, SUID_DUMPABLE, suid_dumpable);
        free(suid_dumpable);
        suid_dumpable = NULL;
        return r;
}

/* What the kernel makes of dumpable at a change of ids is the administrator's; core dump handlers
 * set it to 2. */
static void test_ids(void **state)
{
        char *was;

        if (geteuid() != 0)
                skip();
        assert_int_equal(read_file_at(AT_FDCWD, SUID_DUMPABLE, 16, &was, NULL), 0);
        if (write_kernel_file_at(AT_FDCWD, SUID_DUMPABLE, "2") < 0) {
                free(was);
                skip();
        }
        suid_dumpable = was;
        run_child(take_ids);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_ADDRESS__
                cmocka_unit_test(test_lock_memory),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_locked_file),
#endif
                cmocka_unit_test(test_ids),
        };

        return cmocka_run_group_tests(tests, NULL, restore_machine);
}
