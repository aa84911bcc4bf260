/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the validator stands, and how it says no. Internal to spec-*.c. */

#include "document.h"
#include "spec.h"

/* A chain on the stack from a value up to the document; the document itself is NULL. */
typedef struct SpecPath {
        const struct SpecPath *parent;
        const char *key; /* NULL: an element of a list */
        size_t index;
} SpecPath;

typedef struct SpecContext {
        SpecFlags flags;
        SpecError *error;
} SpecContext;

/* As it stands in SpecError.path, cut where it does not fit. */
const char *spec_path_format(const SpecPath *path, char buf[static 256]);

/* Fill the error in and return the negative errno that goes with its name. */
int spec_invalid(SpecContext *c, const SpecPath *path, const char *format, ...) PRINTF_LIKE(3, 4);
int spec_invalid_key(SpecContext *c, const SpecPath *path, const char *format, ...)
                PRINTF_LIKE(3, 4);
int spec_not_supported(SpecContext *c, const SpecPath *path, const char *format, ...)
                PRINTF_LIKE(3, 4);
int spec_too_large(SpecContext *c, const SpecPath *path, const char *format, ...) PRINTF_LIKE(3, 4);

/* "expected @what, found the number 5 (…)". */
int spec_unexpected(SpecContext *c, const SpecPath *path, const char *what, const json_t *found);

/* @s for a message: between quotes, control characters as '?', cut at 48 bytes. */
#define SPEC_QUOTED_SIZE 56
const char *spec_quote(const char *s, char buf[static SPEC_QUOTED_SIZE]);
/* A text or number for a message. */
const char *spec_found(const json_t *v, char buf[static SPEC_QUOTED_SIZE]);
/* "a|b|c" as "a, b or c". */
#define SPEC_WORDS_SIZE 160
const char *spec_words(const char *words, char buf[static SPEC_WORDS_SIZE]);
