/* SPDX-License-Identifier: Apache-2.0 */

/* The lock of a run: held by a shim that lives, by nobody when it is dead. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "shim-cleanup.h"

static void run_up(char *path, int *ret_dir)
{
        assert_non_null(mkdtemp(path));
        *ret_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(*ret_dir >= 0);
}

static void run_down(const char *path, int dir)
{
        (void) close(dir);
        assert_int_equal(remove_tree_at(AT_FDCWD, path), 0);
}

/* Locks it and tells, in a process that stays, with a child that has its descriptors. */
static pid_t shim_with_child(int dir, pid_t *ret_child)
{
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe(fds), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int lock;
                pid_t child;

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (run_lock(dir, &lock) < 0)
                        _exit(1);
                child = fork();
                if (child != 0)
                        (void) !write(fds[1], &child, sizeof(child));
                for (;;)
                        (void) pause();
        }
        assert_int_equal(read(fds[0], ret_child, sizeof(*ret_child)), sizeof(*ret_child));
        (void) close(fds[0]);
        (void) close(fds[1]);
        assert_true(*ret_child > 0);
        return pid;
}

static void test_lock(void **state)
{
        char path[] = "/tmp/test-cleanup-XXXXXX";
        int dir, lock = -EBADF, before, behind;
        pid_t shim, child;

        run_up(path, &dir);
        shim = shim_with_child(dir, &child);
        before = run_lock(dir, &lock);
        /* Its children die a moment later, or are about to execute something. */
        assert_int_equal(kill(shim, SIGKILL), 0);
        assert_int_equal(waitpid(shim, NULL, 0), shim);
        behind = run_lock(dir, &lock);
        assert_int_equal(kill(child, SIGKILL), 0); /* it was there until now */
        (void) safe_close(lock);
        run_down(path, dir);
        assert_int_equal(before, -EAGAIN);
        assert_int_equal(behind, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lock),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
