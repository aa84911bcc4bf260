/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Encryption of one version's values. A sealed blob is
 *
 *      01 | key id (8) | nonce (24) | data key, wrapped (32 + 16) | nonce (24) | values (n + 16)
 *
 * Both halves are XChaCha20-Poly1305: the values under a data key of their own, the data key under
 * one of the keyring's. What both authenticate is the place where the record stands, which the
 * reader tells from where it found it: type, namespace, name, uid and the revision that wrote it.
 * A revision names one version of an object in all of the database's life, which a generation does
 * not: it goes back to 1 with each incarnation. The half with the key authenticates its id too, so
 * another key is told by name before anything is tried; the half with the values does not, so that
 * a rotation needs to touch keys only.
 *
 * Plaintext and keys live in Plain alone: locked into memory where the limit allows, between guard
 * pages, in no core dump, and zeroed when freed. */

#include "clock.h"
#include "macro.h"
#include "store-key.h"

#define SEAL_KEY_SIZE    32U
#define SEAL_KEY_ID_SIZE 8U
#define SEAL_OVERHEAD    (1U + SEAL_KEY_ID_SIZE + 24U + 32U + 16U + 24U + 16U)

typedef struct Plain {
        unsigned char *data;
        size_t size;
} Plain;

int seal_init(void);                      /* before anything else, any number of times; -EIO */
int plain_alloc(size_t size, Plain *ret); /* zeroed; -ENOMEM */
void plain_free(Plain *p);                /* and forgets it */
bool plain_equal(const Plain *a, const Plain *b);
void plain_random(Plain *p);

/* One of the values of a version (store-sealed.h), in the open. */
typedef struct SealedValue {
        const char *key; /* borrowed, not terminated */
        size_t key_size;
        const unsigned char *data;
        size_t size;
} SealedValue;

/* One key, and what it is called: a name made of the key itself, which does not tell the key. */
typedef struct SealKey {
        Plain secret; /* SEAL_KEY_SIZE bytes */
        unsigned char id[SEAL_KEY_ID_SIZE];
} SealKey;
/* Takes @secret. */
void seal_key_init(SealKey *k, Plain *secret);

typedef struct SealPlace {
        const ObjectKey *key;
        const char *uid;
        uint64_t revision;
} SealPlace;

/* *ret is the caller's to free(). -ENOMEM. */
int seal_close(const SealKey *key, const SealPlace *place, const Plain *values, char **ret,
                size_t *ret_size);
/* Which key it is sealed with. -EBADMSG: no blob; -EPROTONOSUPPORT: a newer one's. */
int seal_key_id(const void *blob, size_t size, unsigned char ret[static SEAL_KEY_ID_SIZE]);
/* -EBADMSG: it is not what was sealed at this place with this key; -EPROTONOSUPPORT, -ENOMEM. */
int seal_open(const SealKey *key, const SealPlace *place, const void *blob, size_t size,
                Plain *ret);
/* The same blob, in place, under another key. Failures leave it as it was. */
int seal_rewrap(const SealKey *from, const SealKey *to, const SealPlace *place, void *blob,
                size_t size);
