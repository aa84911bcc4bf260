/* SPDX-License-Identifier: Apache-2.0 */

#include <gcrypt.h>
#include <stdio.h>

#include "digest.h"

struct Sha256 {
        gcry_md_hd_t handle;
};

/* The library wants to be initialised once; asking its version does it. */
static void initialize(void)
{
        if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
                return;
        (void) gcry_check_version(NULL);
        (void) gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        (void) gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE])
{
        unsigned char digest[SHA256_SIZE];

        initialize();
        gcry_md_hash_buffer(GCRY_MD_SHA256, digest, data, size);
        for (size_t i = 0; i < sizeof(digest); i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

int sha256_new(Sha256 **ret)
{
        Sha256 *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        initialize();
        if (gcry_md_open(&h->handle, GCRY_MD_SHA256, 0) != 0) {
                free(h);
                return -ENOMEM;
        }
        *ret = h;
        return 0;
}

Sha256 *sha256_free(Sha256 *h)
{
        if (h)
                gcry_md_close(h->handle);
        free(h);
        return NULL;
}

void sha256_add(Sha256 *h, const void *data, size_t size)
{
        gcry_md_write(h->handle, data, size);
}

void sha256_end(Sha256 *h, unsigned char ret[static SHA256_SIZE])
{
        memcpy(ret, gcry_md_read(h->handle, GCRY_MD_SHA256), SHA256_SIZE);
}
