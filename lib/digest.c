/* SPDX-License-Identifier: Apache-2.0 */

#include <gcrypt.h>
#include <stdio.h>

#include "digest.h"

void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE])
{
        unsigned char digest[32];

        /* The library wants to be initialised once; asking its version does it. */
        if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
                (void) gcry_check_version(NULL);
                (void) gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
                (void) gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
        }
        gcry_md_hash_buffer(GCRY_MD_SHA256, digest, data, size);
        for (size_t i = 0; i < sizeof(digest); i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}
