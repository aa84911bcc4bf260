/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?` for namespaces, objects, containers, volumes.
 * Types are `[a-z][a-z0-9_-]{0,61}`. Used as path components and keys without escaping. */

#include "macro.h"

bool name_is_valid(const char *s);
bool name_prefix_is_valid(const char *s); /* whether a name can begin so */
bool type_is_valid(const char *s);
/* Names of hosts: one or more names like the above with dots between them, at most @max bytes; none
 * that reads as an address. */
bool host_name_is_valid(const char *s, size_t max);
/* An IPv4 or IPv6 address in its shortest form. -EINVAL. */
#define ADDRESS_TEXT_SIZE 46
int address_normalize(const char *s, char ret[static ADDRESS_TEXT_SIZE]);
bool label_key_is_valid(const char *s);   /* up to 63 characters, optionally "prefix/" */
bool label_value_is_valid(const char *s); /* up to 256 bytes of printable UTF-8 */
/* Of a value in a secret or config: 1 to 256 of A-Z, a-z, 0-9, '-', '_' and '.', but neither "."
 * nor anything that begins with "..". Such a key needs no quoting wherever keys turn up: as the
 * name of a file in a volume (which can have 255 bytes only), behind the '/' of a reference, before
 * the '=' of an option. Names with ".." in front are left to whoever exchanges those files in one
 * step. */
bool data_key_is_valid(const char *s);
/* Of an environment variable that is made from such a key: A-Z, a-z, 0-9 and '_', no digit first:
 * what every shell can name. */
bool variable_name_is_valid(const char *s);
bool utf8_is_valid(const char *s, size_t n); /* NUL is not valid: no string may hold one */
void utf8_repair(char *s);                   /* each byte that belongs to no character: '?' */
bool path_is_absolute_normal(const char *s); /* starts with '/', no "//", "." or ".." component,
                                                no trailing slash but for "/" itself */

/* The order of paths in which what is in a directory stands right behind it. */
int path_compare(const char *a, const char *b);
bool path_is_in(const char *path, const char *directory); /* or is it */

/* The candidate nearest to @word (edit distance at most 2 and less than half its length), or NULL:
 * for "did you mean". */
const char *nearest_word(const char *word, const char *const *candidates);

/* "pods", "po", "pod" → "pod"; NULL when it is no known spelling. */
const char *type_from_word(const char *word);
/* Whether objects of this type stand outside of namespaces. */
bool type_is_global(const char *type);
const char *type_near(const char *word); /* the known type that @word nearly spells, or NULL */
const char *type_known(size_t i);        /* the @i-th known type, NULL behind the last one */
