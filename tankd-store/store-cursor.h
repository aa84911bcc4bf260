/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading the headers of rows as this program writes them, without a parser; whatever does not look
 * so is left to one. */

#include "macro.h"

typedef struct Cursor {
        const char *p, *end;
} Cursor;

static inline bool cursor_literal(Cursor *c, const char *s)
{
        size_t n = strlen(s);

        if ((size_t) (c->end - c->p) < n || memcmp(c->p, s, n) != 0)
                return false;
        c->p += n;
        return true;
}

static inline bool cursor_u64(Cursor *c, const char *before, uint64_t *ret)
{
        const char *first;
        uint64_t n = 0;

        if (!cursor_literal(c, before))
                return false;
        first = c->p;
        for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
                n = n * 10 + (uint64_t) (*c->p - '0');
        *ret = n;
        return c->p > first && c->p - first <= 18; /* longer ones may not fit: left to the parser */
}
