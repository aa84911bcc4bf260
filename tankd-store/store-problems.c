/* SPDX-License-Identifier: Apache-2.0 */

/* See store-problems.h. */

#include "store-problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "limit.h"
#include "strv.h"

int problems_add(Problems *p, const char *format, ...)
{
        CLEANUP_FREE char *text = NULL;
        va_list ap;
        int r;

        if (p->n++ >= LIMIT_VERIFY_PROBLEMS)
                return 0;
        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        return r < 0 ? -ENOMEM : strv_append_take(&p->list, TAKE_PTR(text));
}

int problems_close(Problems *p)
{
        CLEANUP_FREE char *text = NULL;

        if (p->n <= LIMIT_VERIFY_PROBLEMS || strv_length(p->list) > LIMIT_VERIFY_PROBLEMS)
                return 0;
        if (asprintf(&text, "and %zu more", p->n - LIMIT_VERIFY_PROBLEMS) < 0)
                return -ENOMEM;
        return strv_append_take(&p->list, TAKE_PTR(text));
}

void problems_done(Problems *p)
{
        strv_free(p->list);
        *p = (Problems){};
}

const char *problems_remedy(const ObjectKey *key, bool readable)
{
        if (!streq(key->type, "namespace"))
                return "delete it and declare it anew";
        return readable ? "declare it with other labels than it has" : "declare it anew";
}

const char *key_words(const void *key, size_t size, char buf[static KEY_WORDS_SIZE])
{
        const unsigned char *p = key;
        size_t n = 0;

        for (size_t i = 0; i < size && n < KEY_WORDS_SIZE - 8; i++)
                if ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z') || p[i] == '-')
                        buf[n++] = (char) p[i];
                else
                        n += (size_t) snprintf(buf + n, KEY_WORDS_SIZE - n, "\\x%02x", p[i]);
        buf[n] = 0;
        return buf;
}
