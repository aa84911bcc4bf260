/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A fuzzer is one function that takes any bytes, hands them to a parser of ours, and checks what
 * must hold whatever they are. With libFuzzer (configure --enable-fuzzers) it is driven by that;
 * else by replay.c, over the inputs that are kept in corpus/. */

#include <stdio.h>
#include <stdlib.h>

#include "macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): that one is for mistakes of ours in a parser, this one for what it returned. */
#define CHECK(condition) \
        do { \
                if (!(condition)) { \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
                                        #condition); \
                        abort(); \
                } \
        } while (false)

/* Up to and without the next @separator, which is skipped; the rest when there is none. */
static inline size_t fuzz_part(
                const uint8_t **data, size_t *size, uint8_t separator, const uint8_t **ret)
{
        const uint8_t *end = *size > 0 ? memchr(*data, separator, *size) : NULL;
        size_t n = end ? (size_t) (end - *data) : *size;

        *ret = *data;
        *data += n + (end ? 1 : 0);
        *size -= n + (end ? 1 : 0);
        return n;
}

/* The same as a string of its own. */
static inline char *fuzz_text(const uint8_t **data, size_t *size, uint8_t separator)
{
        const uint8_t *part;
        size_t n = fuzz_part(data, size, separator, &part);
        char *s = malloc(n + 1);

        CHECK(s);
        if (n > 0)
                memcpy(s, part, n);
        s[n] = '\0';
        return s;
}
