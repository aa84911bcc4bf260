/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is wrong with a database, a sentence each: where, what, and what to do. Of many only the
 * first LIMIT_VERIFY_PROBLEMS, and how many more there are. */

#include "macro.h"
#include "store-key.h"

typedef struct Problems {
        char **list; /* a strv */
        size_t n;    /* with those that are not in it */
} Problems;

int problems_add(Problems *p, const char *format, ...) PRINTF_LIKE(2, 3); /* -ENOMEM */
int problems_close(Problems *p); /* behind the last one; -ENOMEM */
void problems_done(Problems *p);

/* What helps with an object that is stored, and is not as it should be. A namespace is not deleted
 * for it, with all that stands in it: whatever changes it, writes it anew. */
const char *problems_remedy(const ObjectKey *key, bool readable);

/* A key that is none of ours, as text: letters stay, all else as hex digits; of a long one its
 * beginning. */
#define KEY_WORDS_SIZE 128
const char *key_words(const void *key, size_t size, char buf[static KEY_WORDS_SIZE]);
