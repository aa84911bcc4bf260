/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256 through libgcrypt, which libsystemd brings into the address space anyway. */

#include "macro.h"

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65
void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE]);

/* The same of what comes piece by piece. */
typedef struct Sha256 Sha256;
int sha256_new(Sha256 **ret); /* -ENOMEM */
Sha256 *sha256_free(Sha256 *h);
DEFINE_CLEANUP(Sha256 *, sha256_freep, sha256_free)
void sha256_add(Sha256 *h, const void *data, size_t size);
void sha256_end(Sha256 *h, unsigned char ret[static SHA256_SIZE]); /* nothing is added any more */
