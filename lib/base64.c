/* SPDX-License-Identifier: Apache-2.0 */

#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(const void *data, size_t size, char **ret)
{
        const unsigned char *p = data;
        char *text, *q;

        text = q = malloc((size + 2) / 3 * 4 + 1);
        if (!text)
                return -ENOMEM;
        for (; size > 0; p += MIN(size, 3U), size -= MIN(size, 3U)) {
                unsigned bits = (unsigned) p[0] << 16;

                if (size > 1)
                        bits |= (unsigned) p[1] << 8;
                if (size > 2)
                        bits |= p[2];
                *q++ = alphabet[bits >> 18];
                *q++ = alphabet[bits >> 12 & 63];
                *q++ = size > 1 ? alphabet[bits >> 6 & 63] : '=';
                *q++ = size > 2 ? alphabet[bits & 63] : '=';
        }
        *q = '\0';
        *ret = text;
        return 0;
}

static int digit_value(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* @bits holds what @n_digits digits of the last group say, and @n_pads stood behind them. */
static bool ends_well(unsigned bits, unsigned n_digits, unsigned n_pads)
{
        if (n_digits == 0)
                return n_pads == 0;
        return n_digits >= 2 && n_digits + n_pads == 4 &&
               (bits & (n_digits == 2 ? 0xfU : 0x3U)) == 0; /* one spelling only */
}

static int decode(const char *s, size_t n, char *to, size_t *ret_size)
{
        unsigned bits = 0, n_digits = 0, n_pads = 0;
        char *q = to;

        for (size_t i = 0; i < n; i++) {
                int v = digit_value(s[i]);

                if (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t')
                        continue;
                if (s[i] == '=' && n_pads < 2) {
                        n_pads++;
                        continue;
                }
                if (v < 0 || n_pads > 0)
                        return -EINVAL;
                bits = bits << 6 | (unsigned) v;
                if (++n_digits < 4)
                        continue;
                *q++ = (char) (bits >> 16);
                *q++ = (char) (bits >> 8);
                *q++ = (char) bits;
                bits = n_digits = 0;
        }
        if (!ends_well(bits, n_digits, n_pads))
                return -EINVAL;
        if (n_digits == 2)
                *q++ = (char) (bits >> 4);
        if (n_digits == 3) {
                *q++ = (char) (bits >> 10);
                *q++ = (char) (bits >> 2);
        }
        *q = '\0';
        *ret_size = (size_t) (q - to);
        return 0;
}

int base64_decode(const char *s, size_t n, char **ret, size_t *ret_size)
{
        size_t room = n / 4 * 3 + 4;
        char *to = malloc(room);
        int r;

        if (!to)
                return -ENOMEM;
        r = decode(s, n, to, ret_size);
        if (r < 0) {
                explicit_bzero(to, room);
                free(to);
                return r;
        }
        *ret = to;
        return 0;
}
