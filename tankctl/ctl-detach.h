/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys that end a client's part in a session and leave the session be. */

#include "macro.h"

#define DETACH_KEYS_MAX     16U
#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

typedef struct DetachKeys {
        char keys[DETACH_KEYS_MAX];
        size_t n;    /* 0: none */
        size_t held; /* so many of them were typed, and are not passed on yet */
} DetachKeys;

/* Single characters and ctrl-X (a to z, @ [ \ ] ^ _), separated by commas; "" for none. -EINVAL. */
int detach_keys_parse(const char *text, DetachKeys *ret);

/* The same for the option of tankctl, @fallback when it was not given: 0, or an exit code when it
 * is said already what is wrong. */
int detach_keys_option(const char *given, const char *fallback, DetachKeys *ret);

/* Passes what was typed to @out, which has room for @size + DETACH_KEYS_MAX; what may be the
 * beginning of the sequence waits for the next key, also of a later call. true: the sequence is
 * complete; what is behind it is for nobody. */
bool detach_keys_pass(DetachKeys *k, const char *in, size_t size, char *out, size_t *ret_size);

/* Nothing more is typed: what waits is passed to @out, which has room for DETACH_KEYS_MAX. */
size_t detach_keys_end(DetachKeys *k, char *out);
