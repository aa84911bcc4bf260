/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the programs that measure have in common: the clock, the table, an end with a reason. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_MISSED 3 /* a goal was */

static inline double now_sec(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static inline uint64_t now_nsec(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000U + (uint64_t) ts.tv_nsec;
}

static inline void print_row(const char *what, double figure, const char *goal)
{
        (void) printf("%-58s %16.0f   %s\n", what, figure, goal);
}

static inline void print_pair(const char *what, double a, double b, const char *goal)
{
        char text[64];

        (void) snprintf(text, sizeof(text), "%.2f / %.2f", a, b);
        (void) printf("%-58s %16s   %s\n", what, text, goal);
}

static inline int compare_u64(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

/* The p50 and p99 of nanoseconds as milliseconds; sorts them. */
static inline void print_latency(const char *what, uint64_t *nsec, size_t n, const char *goal)
{
        if (n == 0) {
                (void) printf("%-58s %16s   %s\n", what, "nothing seen", goal);
                return;
        }
        qsort(nsec, n, sizeof(*nsec), compare_u64);
        print_pair(what, (double) nsec[n / 2] / 1e6, (double) nsec[n * 99 / 100] / 1e6, goal);
}
