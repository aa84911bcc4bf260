/* SPDX-License-Identifier: Apache-2.0 */
#include "store-seal.h"

#include <endian.h>
#include <sodium.h>

#define FORMAT 1

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG   crypto_aead_xchacha20poly1305_ietf_ABYTES

/* Where the parts of a blob begin. */
#define AT_KEY_ID    1U
#define AT_KEY_NONCE (AT_KEY_ID + SEAL_KEY_ID_SIZE)
#define AT_KEY       (AT_KEY_NONCE + NONCE)
#define AT_NONCE     (AT_KEY + SEAL_KEY_SIZE + TAG)
#define AT_VALUES    (AT_NONCE + NONCE)

static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == SEAL_KEY_SIZE, "key size");
static_assert(AT_VALUES + TAG == SEAL_OVERHEAD, "size of a blob");

int seal_init(void)
{
        return sodium_init() < 0 ? -EIO : 0;
}

int plain_alloc(size_t size, Plain *ret)
{
        unsigned char *p = sodium_malloc(size);

        if (!p)
                return -ENOMEM;
        memset(p, 0, size);
        *ret = (Plain){ p, size };
        return 0;
}

void plain_free(Plain *p)
{
        sodium_free(p->data); /* zeroes */
        *p = (Plain){};
}

bool plain_equal(const Plain *a, const Plain *b)
{
        return a->size == b->size && sodium_memcmp(a->data, b->data, a->size) == 0;
}

void plain_random(Plain *p)
{
        randombytes_buf(p->data, p->size);
}

void seal_key_init(SealKey *k, Plain *secret)
{
        static const unsigned char context[] = "tank: id of a key for secrets";
        unsigned char hash[crypto_generichash_BYTES];

        assert(secret->size == SEAL_KEY_SIZE);
        (void) crypto_generichash(hash, sizeof(hash), context, sizeof(context), secret->data,
                        secret->size); /* fails on wrong sizes only */
        memcpy(k->id, hash, sizeof(k->id));
        k->secret = *secret;
        *secret = (Plain){};
}

/* Components end with a NUL, which none of them can hold: no two places read alike. */
#define PLACE_MAX (sizeof(ObjectKey) + ID128_SIZE + 8 + SEAL_KEY_ID_SIZE + 1)

typedef struct Authenticated {
        size_t size;
        unsigned char data[PLACE_MAX];
} Authenticated;

static void append(Authenticated *a, const void *data, size_t size)
{
        assert(a->size + size <= sizeof(a->data));
        memcpy(a->data + a->size, data, size);
        a->size += size;
}

static void append_text(Authenticated *a, const char *s)
{
        append(a, s, strlen(s) + 1);
}

/* @key_id NULL: of the values. */
static Authenticated authenticate(const SealPlace *p, const unsigned char *key_id)
{
        uint64_t revision = htobe64(p->revision);
        unsigned char half = key_id ? 'k' : 'v';
        Authenticated a = {};

        append(&a, &half, 1);
        append_text(&a, p->key->type);
        append_text(&a, p->key->namespace);
        append_text(&a, p->key->name);
        append_text(&a, p->uid);
        append(&a, &revision, sizeof(revision));
        if (key_id)
                append(&a, key_id, SEAL_KEY_ID_SIZE);
        return a;
}

static void encrypt(const unsigned char *key, const Authenticated *a, const void *plain,
                size_t size, unsigned char *nonce, unsigned char *ret)
{
        randombytes_buf(nonce, NONCE);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(
                        ret, NULL, plain, size, a->data, a->size, NULL, nonce, key);
}

static int decrypt(const unsigned char *key, const Authenticated *a, const unsigned char *data,
                size_t size, const unsigned char *nonce, unsigned char *ret)
{
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
                               ret, NULL, NULL, data, size, a->data, a->size, nonce, key) < 0
                               ? -EBADMSG
                               : 0;
}

static void wrap(const SealKey *key, const SealPlace *place, const Plain *data_key,
                unsigned char *blob)
{
        Authenticated a = authenticate(place, key->id);

        memcpy(blob + AT_KEY_ID, key->id, SEAL_KEY_ID_SIZE);
        encrypt(key->secret.data, &a, data_key->data, SEAL_KEY_SIZE, blob + AT_KEY_NONCE,
                        blob + AT_KEY);
}

static int unwrap(const SealKey *key, const SealPlace *place, const unsigned char *blob,
                size_t size, Plain *ret)
{
        unsigned char id[SEAL_KEY_ID_SIZE];
        Authenticated a;
        int r;

        r = seal_key_id(blob, size, id);
        if (r < 0)
                return r;
        if (memcmp(id, key->id, sizeof(id)) != 0)
                return -EBADMSG;
        a = authenticate(place, id);
        r = plain_alloc(SEAL_KEY_SIZE, ret);
        if (r < 0)
                return r;
        r = decrypt(key->secret.data, &a, blob + AT_KEY, SEAL_KEY_SIZE + TAG, blob + AT_KEY_NONCE,
                        ret->data);
        if (r < 0)
                plain_free(ret);
        return r;
}

int seal_close(const SealKey *key, const SealPlace *place, const Plain *values, char **ret,
                size_t *ret_size)
{
        CLEANUP(plain_free) Plain data_key = {};
        Authenticated a = authenticate(place, NULL);
        size_t size = SEAL_OVERHEAD + values->size;
        unsigned char *blob;
        int r;

        r = plain_alloc(SEAL_KEY_SIZE, &data_key);
        if (r < 0)
                return r;
        blob = malloc(size);
        if (!blob)
                return -ENOMEM;
        plain_random(&data_key);
        blob[0] = FORMAT;
        wrap(key, place, &data_key, blob);
        encrypt(data_key.data, &a, values->data, values->size, blob + AT_NONCE, blob + AT_VALUES);
        *ret = (char *) blob;
        *ret_size = size;
        return 0;
}

int seal_key_id(const void *blob, size_t size, unsigned char ret[static SEAL_KEY_ID_SIZE])
{
        const unsigned char *p = blob;

        if (size < 1)
                return -EBADMSG;
        if (p[0] != FORMAT)
                return -EPROTONOSUPPORT;
        if (size < SEAL_OVERHEAD)
                return -EBADMSG;
        memcpy(ret, p + AT_KEY_ID, SEAL_KEY_ID_SIZE);
        return 0;
}

int seal_open(const SealKey *key, const SealPlace *place, const void *blob, size_t size, Plain *ret)
{
        CLEANUP(plain_free) Plain data_key = {}, values = {};
        Authenticated a = authenticate(place, NULL);
        const unsigned char *p = blob;
        int r;

        if ((r = unwrap(key, place, p, size, &data_key)) < 0 ||
                        (r = plain_alloc(size - SEAL_OVERHEAD, &values)) < 0)
                return r;
        r = decrypt(data_key.data, &a, p + AT_VALUES, size - AT_VALUES, p + AT_NONCE, values.data);
        if (r < 0)
                return r;
        *ret = values;
        values = (Plain){};
        return 0;
}

int seal_rewrap(const SealKey *from, const SealKey *to, const SealPlace *place, void *blob,
                size_t size)
{
        CLEANUP(plain_free) Plain data_key = {};
        int r = unwrap(from, place, blob, size, &data_key);

        if (r >= 0)
                wrap(to, place, &data_key, blob);
        return r;
}
