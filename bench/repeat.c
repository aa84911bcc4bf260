/* SPDX-License-Identifier: Apache-2.0 */

/* repeat [--before CMD] [--after CMD] N COMMAND…: runs COMMAND N times and prints how long it took
 * from spawn to exit: "p50 p99 mean" in milliseconds. {} in an argument is the number of the run,
 * from 1. CMD is given to sh -c before or after each run, outside the measured time, with $N set.
 * A COMMAND that fails ends the measurement: what did not work has no speed. */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_RUNS 3
#define RUNS_MAX     100000
#define ARGS_MAX     64

static double now_ms(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static int run(char *const *argv)
{
        posix_spawn_file_actions_t actions;
        int status;
        pid_t pid;

        if (posix_spawn_file_actions_init(&actions) != 0 ||
                        posix_spawn_file_actions_addopen(
                                        &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
                        posix_spawn_file_actions_addopen(
                                        &actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) != 0)
                return -1;
        int r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        if (r != 0) {
                (void) fprintf(stderr, "repeat: %s: %s\n", argv[0], strerror(r));
                return -1;
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The arguments with {} replaced; kept until the next call. */
static char **fill_in(char *const *argv, int n)
{
        static char *filled[ARGS_MAX + 1];
        int i;

        for (i = 0; i < ARGS_MAX && argv[i]; i++) {
                const char *at = strstr(argv[i], "{}");

                free(filled[i]);
                if (!at)
                        filled[i] = strdup(argv[i]);
                else if (asprintf(&filled[i], "%.*s%d%s", (int) (at - argv[i]), argv[i], n,
                                         at + 2) < 0)
                        filled[i] = NULL;
                if (!filled[i])
                        return NULL;
        }
        free(filled[i]);
        filled[i] = NULL;
        return filled;
}

static int hook(const char *command, int n)
{
        char number[16];

        if (!command)
                return 0;
        (void) snprintf(number, sizeof(number), "%d", n);
        (void) setenv("N", number, 1);
        return run((char *const[]){ (char *) "sh", (char *) "-c", (char *) command, NULL });
}

/* The time of run @n in @ret_ms; when it failed, its exit status. */
static int once(char *const *argv, const char *before, const char *after, int n, double *ret_ms)
{
        char **filled = fill_in(argv, n);
        double start;
        int r;

        if (!filled || hook(before, n) != 0)
                return -1;
        start = now_ms();
        r = run(filled);
        *ret_ms = now_ms() - start;
        if (r != 0) {
                (void) fprintf(stderr, "repeat: run %d of %s failed with %d\n", n, filled[0], r);
                return r;
        }
        return hook(after, n);
}

int main(int argc, char **argv)
{
        const char *before = NULL, *after = NULL;
        double sum = 0, ms;
        int i = 1, n;

        for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2)
                if (strcmp(argv[i], "--before") == 0)
                        before = argv[i + 1];
                else if (strcmp(argv[i], "--after") == 0)
                        after = argv[i + 1];
                else
                        break;
        n = i < argc ? atoi(argv[i]) : 0;
        if (n < 1 || n > RUNS_MAX || argc < i + 2 || argc - i - 1 > ARGS_MAX) {
                (void) fputs("usage: repeat [--before CMD] [--after CMD] N COMMAND…\n", stderr);
                return 2;
        }
        double *times = calloc((size_t) n, sizeof(*times));
        if (!times)
                return 1;
        for (int k = 1; k <= n + WARM_UP_RUNS; k++) {
                if (once(argv + i + 1, before, after, k, &ms) != 0)
                        return 1;
                if (k > WARM_UP_RUNS) {
                        times[k - WARM_UP_RUNS - 1] = ms;
                        sum += ms;
                }
        }
        qsort(times, (size_t) n, sizeof(*times), compare);
        (void) printf("%.2f %.2f %.2f\n", times[n / 2], times[n - 1 - n / 100], sum / n);
        free(times);
        return 0;
}
