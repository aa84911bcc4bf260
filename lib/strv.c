/* SPDX-License-Identifier: Apache-2.0 */

#include "strv.h"

char **strv_free(char **v)
{
        if (v)
                for (char **i = v; *i; i++)
                        free(*i);
        free(v);
        return NULL;
}

size_t strv_length(char *const *v)
{
        size_t n = 0;

        if (v)
                while (v[n])
                        n++;
        return n;
}

int strv_append_take(char ***v, char *s)
{
        CLEANUP_FREE char *owned = s;
        char **grown;
        size_t n;

        if (!owned)
                return -ENOMEM;
        n = strv_length(*v);
        grown = reallocarray(*v, n + 2, sizeof(char *));
        if (!grown)
                return -ENOMEM;
        grown[n] = TAKE_PTR(owned);
        grown[n + 1] = NULL;
        *v = grown;
        return 0;
}

int strv_append(char ***v, const char *s)
{
        return strv_append_take(v, strdup(s));
}

int strv_copy(char *const *v, char ***ret)
{
        CLEANUP_STRV char **copy = NULL;

        copy = calloc(strv_length(v) + 1, sizeof(char *));
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; v && v[i]; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

bool strv_contains(char *const *v, const char *s)
{
        STRV_FOREACH(i, v)
        {
                if (streq(*i, s))
                        return true;
        }
        return false;
}

bool strv_equal(char *const *a, char *const *b)
{
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
}
