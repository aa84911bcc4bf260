/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys of the database. Binary, so that their order is the order of what they name and no
 * prefix of one component can reach into another: components are separated by a NUL, which no
 * component may hold, and numbers are big endian.
 *
 *   objects   type NUL namespace NUL name
 *   history   type NUL namespace NUL name NUL revision(8) index(4)
 *   changes   revision(8) index(4)
 *   ids       the 16 bytes of the uid of an object that stands; the value is its key in objects
 *
 * Every change of one transaction has the transaction's revision and its own index from 0. Types
 * that stand outside of namespaces have an empty namespace component. */

#include "limit.h"
#include "macro.h"
#include "names.h"

typedef struct ObjectKey {
        char type[LIMIT_NAME_MAX + 1];
        char namespace[LIMIT_NAME_MAX + 1]; /* "" for types outside of namespaces */
        char name[LIMIT_NAME_MAX + 1];
} ObjectKey;

#define STORE_KEY_MAX (3 * (LIMIT_NAME_MAX + 1) + 8 + 4)

typedef struct StoreKey {
        size_t size;
        char data[STORE_KEY_MAX];
} StoreKey;

/* -EINVAL when a component is no legal name, or the namespace does not fit the type. */
int object_key_init(ObjectKey *k, const char *type, const char *namespace, const char *name);
/* "pod default/web", "namespace prod": for people. */
#define OBJECT_KEY_TEXT_SIZE (3 * (LIMIT_NAME_MAX + 2))
const char *object_key_format(const ObjectKey *k, char buf[static OBJECT_KEY_TEXT_SIZE]);

StoreKey object_key_encode(const ObjectKey *k);
int object_key_decode(const void *data, size_t size, ObjectKey *ret); /* -EBADMSG */

/* What all keys of a type, of a namespace within a type, of an object's history begin with. */
StoreKey key_prefix_type(const char *type);
StoreKey key_prefix_namespace(const char *type, const char *namespace);
StoreKey key_prefix_history(const ObjectKey *k);
/* The least key behind every key of the type that this one belongs to; seeks to the next type. */
StoreKey key_behind_type(const char *type);
bool key_has_prefix(const void *data, size_t size, const StoreKey *prefix);
/* Of the key @data: below 0, 0 or above 0, as it stands before, at or behind @k. */
int key_compare(const void *data, size_t size, const StoreKey *k);

StoreKey history_key_encode(const ObjectKey *k, uint64_t revision, uint32_t index);
/* Of a key that key_prefix_history() begins. -EBADMSG. */
int history_key_decode(const void *data, size_t size, const StoreKey *prefix,
                uint64_t *ret_revision, uint32_t *ret_index);
StoreKey change_key_encode(uint64_t revision, uint32_t index);
int change_key_decode(const void *data, size_t size, uint64_t *ret_revision, uint32_t *ret_index);
int id_key_encode(const char *uid, StoreKey *ret); /* -EINVAL: not 32 hex digits */
