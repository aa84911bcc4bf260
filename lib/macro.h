/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bottom of the house: ownership marks, sizes, assertions. Includes nothing of tank. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)

/* Each argument once; the counter keeps nested ones from shadowing each other. */
#define MIN(a, b) MIN_UNIQUE(a, b, CONCAT(_min_a, __COUNTER__), CONCAT(_min_b, __COUNTER__))
#define MIN_UNIQUE(a, b, x, y) \
        ({ \
                __typeof__(a) x = (a); \
                __typeof__(b) y = (b); \
                x < y ? x : y; \
        })
#define MAX(a, b) MAX_UNIQUE(a, b, CONCAT(_max_a, __COUNTER__), CONCAT(_max_b, __COUNTER__))
#define MAX_UNIQUE(a, b, x, y) \
        ({ \
                __typeof__(a) x = (a); \
                __typeof__(b) y = (b); \
                x > y ? x : y; \
        })

#define container_of(ptr, type, member) \
        ((type *) ((char *) (1 ? (ptr) : &((type *) NULL)->member) - offsetof(type, member)))

/* The one mark of a hand-over: the local forgets what it owned. */
#define TAKE_PTR(p) \
        ({ \
                __typeof__(p) *_pp = &(p); \
                __typeof__(p) _taken = *_pp; \
                *_pp = NULL; \
                _taken; \
        })
#define TAKE_FD(fd) \
        ({ \
                int *_pfd = &(fd); \
                int _taken = *_pfd; \
                *_pfd = -EBADF; \
                _taken; \
        })

#define CLEANUP(f) __attribute__((__cleanup__(f)))

/* Defines `static inline void name##p(type *p)` for use with CLEANUP(). */
#define DEFINE_CLEANUP(type, name, func) \
        static inline void name(type *p) \
        { \
                if (*p) \
                        func(*p); \
        }

static inline void freep(void *p)
{
        free(*(void **) p);
}
#define CLEANUP_FREE CLEANUP(freep)

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}
static inline bool streq_ptr(const char *a, const char *b)
{
        return a && b ? streq(a, b) : a == b;
}
static inline bool isempty(const char *s)
{
        return !s || !*s;
}
static inline const char *strempty(const char *s)
{
        return s ? s : "";
}
/* The rest of @s behind @prefix, NULL when it does not start so. */
static inline const char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);
        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}
/* Replaces *@p by a copy of @s (NULL allowed); -ENOMEM leaves *@p as it was. */
static inline int free_and_strdup(char **p, const char *s)
{
        char *n = NULL;
        if (s) {
                n = strdup(s);
                if (!n)
                        return -ENOMEM;
        }
        free(*p);
        *p = n;
        return 0;
}

#define PRINTF_LIKE(f, a) __attribute__((__format__(__printf__, f, a)))

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX
