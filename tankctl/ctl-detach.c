/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-detach.h. What is held is always the beginning of the sequence, so that its length is all
 * there is to remember. */

#include "ctl.h"
#include "ctl-detach.h"
#include "ctl-text.h"
#include "error.h"

/* One key of @text, *ret_used bytes long. */
static int parse_key(const char *text, char *ret, size_t *ret_used)
{
        const char *control = startswith(text, "ctrl-");
        char c;

        if (control && *control && (control[1] == ',' || !control[1])) {
                c = *control;
                if (c >= 'a' && c <= 'z')
                        c = (char) (c - 'a' + 'A');
                if (c < '@' || c > '_')
                        return -EINVAL;
                *ret = (char) (c - '@');
                *ret_used = strlen("ctrl-") + 1;
                return 0;
        }
        if (*text <= ' ' || *text > '~' || *text == ',')
                return -EINVAL;
        *ret = *text;
        *ret_used = 1;
        return 0;
}

int detach_keys_parse(const char *text, DetachKeys *ret)
{
        DetachKeys k = {};

        while (*text) {
                size_t used;
                int r;

                if (k.n == DETACH_KEYS_MAX)
                        return -EINVAL;
                r = parse_key(text, &k.keys[k.n++], &used);
                if (r < 0)
                        return r;
                text += used;
                if (*text && (*text++ != ',' || !*text))
                        return -EINVAL;
        }
        *ret = k;
        return 0;
}

int detach_keys_option(const char *given, const char *fallback, DetachKeys *ret)
{
        if (detach_keys_parse(given ? given : fallback, ret) >= 0)
                return 0;
        ctl_error("--detach-keys %s: expected single characters or ctrl-X (a to z, @ [ \\ ] ^ _) "
                  "with commas between them, at most %u, or \"\" for none",
                        WORD(given), DETACH_KEYS_MAX);
        return EXIT_CODE_REFUSED;
}

/* The longest beginning of the sequence that ends what is held, but for the whole of it. */
static size_t shorter(const DetachKeys *k)
{
        size_t n = k->held - 1;

        while (n > 0 && memcmp(k->keys, k->keys + k->held - n, n) != 0)
                n--;
        return n;
}

bool detach_keys_pass(DetachKeys *k, const char *in, size_t size, char *out, size_t *ret_size)
{
        size_t n = 0;

        for (size_t i = 0; i < size && (k->n == 0 || k->held < k->n); i++) {
                while (k->held > 0 && k->keys[k->held] != in[i]) {
                        size_t keep = shorter(k);

                        memcpy(out + n, k->keys, k->held - keep);
                        n += k->held - keep;
                        k->held = keep;
                }
                if (k->n > 0 && k->keys[k->held] == in[i])
                        k->held++;
                else
                        out[n++] = in[i];
        }
        *ret_size = n;
        return k->n > 0 && k->held == k->n;
}

size_t detach_keys_end(DetachKeys *k, char *out)
{
        size_t n = k->held;

        memcpy(out, k->keys, n);
        k->held = 0;
        return n;
}
