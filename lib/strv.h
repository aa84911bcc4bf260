/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* NULL-terminated string vectors; NULL is the empty one. */

#include "macro.h"

char **strv_free(char **v);
size_t strv_length(char *const *v);
int strv_append(char ***v, const char *s); /* copies */
int strv_append_take(char ***v, char *s);  /* takes @s on success, frees it on failure */
int strv_copy(char *const *v, char ***ret);
bool strv_contains(char *const *v, const char *s);
bool strv_equal(char *const *a, char *const *b);
static inline void strv_freep(char ***v)
{
        strv_free(*v);
}
#define CLEANUP_STRV       CLEANUP(strv_freep)
#define STRV_FOREACH(i, v) for (char *const *i = (v); i && *i; i++)
