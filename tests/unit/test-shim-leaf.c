/* SPDX-License-Identifier: Apache-2.0 */

/* A signal to all processes that a cgroup lists. A directory with a list in it stands for one: what
 * the kernel would write there is written here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "shim-leaf.h"

#define N_CHILDREN 8
#define N_MANY     100000

typedef struct Leaf {
        char path[64];
        int dir;
        pid_t children[N_CHILDREN];
} Leaf;

static int leaf_up(void **state)
{
        Leaf *l = calloc(1, sizeof(*l));

        assert_non_null(l);
        *state = l;
        strcpy(l->path, "/tmp/test-leaf-XXXXXX");
        assert_non_null(mkdtemp(l->path));
        l->dir = open(l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(l->dir >= 0);
        for (size_t i = 0; i < N_CHILDREN; i++) {
                l->children[i] = fork();
                assert_true(l->children[i] >= 0);
                if (l->children[i] == 0) {
                        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                        (void) signal(SIGHUP, SIG_DFL);
                        for (;;)
                                (void) pause();
                }
        }
        return 0;
}

static int leaf_down(void **state)
{
        Leaf *l = *state;

        for (size_t i = 0; i < N_CHILDREN; i++)
                if (l->children[i] > 0) {
                        (void) kill(l->children[i], SIGKILL);
                        (void) waitpid(l->children[i], NULL, 0);
                }
        (void) unlinkat(l->dir, "cgroup.procs", 0);
        (void) close(l->dir);
        assert_int_equal(rmdir(l->path), 0);
        free(l);
        return 0;
}

static FILE *leaf_list(const Leaf *l)
{
        int fd = openat(l->dir, "cgroup.procs", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        FILE *f;

        assert_true(fd >= 0);
        f = fdopen(fd, "we");
        assert_non_null(f);
        return f;
}

/* The signal that ended the @i-th child. */
static int ended_by(Leaf *l, size_t i)
{
        int status;

        assert_int_equal(waitpid(l->children[i], &status, 0), l->children[i]);
        l->children[i] = 0;
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_signals(void **state)
{
        Leaf *l = *state;
        FILE *f = leaf_list(l);
        int root;

        /* Of another PID namespace, gone, no number: all are passed over. A number may stand there
         * twice, the kernel says. */
        fprintf(f, "0\n2147483646\n-1\nx\n");
        for (size_t i = N_CHILDREN; i > 1; i--)
                fprintf(f, "%d\n", (int) l->children[i - 1]);
        fprintf(f, "%d\n", (int) l->children[1]);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(leaf_count(l->dir), N_CHILDREN + 4);
        assert_int_equal(leaf_signal(l->dir, SIGHUP), N_CHILDREN - 1);
        for (size_t i = 1; i < N_CHILDREN; i++)
                assert_int_equal(ended_by(l, i), SIGHUP);
        /* Whom it does not list stays. */
        assert_int_equal(waitpid(l->children[0], NULL, WNOHANG), 0);
        assert_int_equal(kill(l->children[0], SIGKILL), 0);
        assert_int_equal(ended_by(l, 0), SIGKILL);
        assert_int_equal(leaf_signal(l->dir, SIGHUP), 0);

        f = leaf_list(l);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(leaf_signal(l->dir, SIGHUP), 0);
        root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(leaf_signal(root, SIGHUP), -ENOENT);
        (void) close(root);
}

/* The shim serves everybody else meanwhile: a long list is not looked through for each process. */
static void test_long_list(void **state)
{
        Leaf *l = *state;
        FILE *f = leaf_list(l);
        struct timespec before, behind;
        double seconds;

        for (int i = 0; i < N_MANY; i++)
                fprintf(f, "%d\n", 4194304 + i); /* beyond what the kernel gives out */
        for (int i = 0; i < 1024 - N_CHILDREN; i++)
                fprintf(f, "%d\n", (int) l->children[0]);
        for (size_t i = 0; i < N_CHILDREN; i++)
                fprintf(f, "%d\n", (int) l->children[i]);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
        assert_int_equal(leaf_signal(l->dir, SIGHUP), N_CHILDREN);
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &behind), 0);
        for (size_t i = 0; i < N_CHILDREN; i++)
                assert_int_equal(ended_by(l, i), SIGHUP);
        seconds = (double) (behind.tv_sec - before.tv_sec) +
                  (double) (behind.tv_nsec - before.tv_nsec) / 1e9;
        print_message("%d listed: %.3f s\n", N_MANY, seconds);
        if (seconds > 2)
                fail_msg("%.3f s for a list of %d", seconds, N_MANY);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_signals, leaf_up, leaf_down),
                cmocka_unit_test_setup_teardown(test_long_list, leaf_up, leaf_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
