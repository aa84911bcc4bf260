/* SPDX-License-Identifier: Apache-2.0 */

/* Names and the other small grammars of text that ends up in paths, keys and messages. All of it is
 * ASCII by bytes, whatever the locale. */

#include <arpa/inet.h>

#include "limit.h"
#include "names.h"

#define LABEL_PREFIX_MAX 253U
#define NEAREST_WORD_MAX 64U
#define NEAREST_DISTANCE 2U

static bool is_lower_or_digit(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alphanumeric(char c)
{
        return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_name(const char *s, size_t n)
{
        if (n == 0 || n > LIMIT_NAME_MAX)
                return false;
        if (!is_lower_or_digit(s[0]) || !is_lower_or_digit(s[n - 1]))
                return false;
        for (size_t i = 1; i < n; i++)
                if (!is_lower_or_digit(s[i]) && s[i] != '-')
                        return false;
        return true;
}

bool name_is_valid(const char *s)
{
        return is_name(s, strnlen(s, LIMIT_NAME_MAX + 1));
}

bool name_prefix_is_valid(const char *s)
{
        size_t n = strnlen(s, LIMIT_NAME_MAX + 1);

        while (n > 1 && n < LIMIT_NAME_MAX && s[n - 1] == '-')
                n--;
        return is_name(s, n);
}

int address_normalize(const char *s, char ret[static ADDRESS_TEXT_SIZE])
{
        struct in6_addr address;
        int family = strchr(s, ':') ? AF_INET6 : AF_INET;

        static_assert(ADDRESS_TEXT_SIZE >= INET6_ADDRSTRLEN, "an address fits");
        if (inet_pton(family, s, &address) != 1)
                return -EINVAL;
        return inet_ntop(family, &address, ret, ADDRESS_TEXT_SIZE) ? 0 : -EINVAL;
}

bool host_name_is_valid(const char *s, size_t max)
{
        char address[ADDRESS_TEXT_SIZE];

        if (strnlen(s, max + 1) > max || address_normalize(s, address) >= 0)
                return false;
        for (;;) {
                size_t n = strcspn(s, ".");

                if (!is_name(s, n))
                        return false;
                if (!s[n])
                        return true;
                s += n + 1;
        }
}

bool type_is_valid(const char *s)
{
        size_t n = strnlen(s, LIMIT_NAME_MAX);

        if (n == 0 || n > LIMIT_NAME_MAX - 1 || s[0] < 'a' || s[0] > 'z')
                return false;
        for (size_t i = 1; i < n; i++)
                if (!is_lower_or_digit(s[i]) && s[i] != '-' && s[i] != '_')
                        return false;
        return true;
}

/* @n characters that begin and end alphanumeric, with '-', '.' and, if @underscore, '_' between. */
static bool is_label_part(const char *s, size_t n, size_t max, bool underscore)
{
        if (n == 0 || n > max || !is_alphanumeric(s[0]) || !is_alphanumeric(s[n - 1]))
                return false;
        for (size_t i = 1; i < n; i++)
                if (!is_alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' &&
                                !(underscore && s[i] == '_'))
                        return false;
        return true;
}

bool label_key_is_valid(const char *s)
{
        const char *slash = strchr(s, '/');

        if (slash) {
                if (!is_label_part(s, (size_t) (slash - s), LABEL_PREFIX_MAX, false))
                        return false;
                s = slash + 1;
        }
        return is_label_part(s, strlen(s), LIMIT_NAME_MAX, true);
}

bool label_value_is_valid(const char *s)
{
        size_t n = strnlen(s, LIMIT_LABEL_VALUE_MAX + 1);

        if (n > LIMIT_LABEL_VALUE_MAX || !utf8_is_valid(s, n))
                return false;
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) s[i];

                if (c < 0x20 || c == 0x7f)
                        return false;
                /* U+0080 to U+009F: control characters too, terminals obey them. */
                if (c == 0xc2 && (unsigned char) s[i + 1] < 0xa0)
                        return false;
        }
        return true;
}

bool data_key_is_valid(const char *s)
{
        size_t n = strnlen(s, LIMIT_DATA_KEY_MAX + 1);

        if (n == 0 || n > LIMIT_DATA_KEY_MAX || streq(s, ".") || startswith(s, ".."))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_alphanumeric(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
                        return false;
        return true;
}

bool variable_name_is_valid(const char *s)
{
        if (!*s || (*s >= '0' && *s <= '9'))
                return false;
        for (; *s; s++)
                if (!is_alphanumeric(*s) && *s != '_')
                        return false;
        return true;
}

/* '/' before everything else. */
int path_compare(const char *a, const char *b)
{
        for (; *a && *a == *b; a++)
                b++;
        if (*a == *b || !*a || !*b)
                return (*a != 0) - (*b != 0);
        if (*a == '/' || *b == '/')
                return *a == '/' ? -1 : 1;
        return (unsigned char) *a - (unsigned char) *b;
}

bool path_is_in(const char *path, const char *directory)
{
        const char *rest = startswith(path, directory);

        return rest && (*rest == '\0' || *rest == '/');
}

/* The length of the UTF-8 sequence at @p, 0 when there is none: no overlong form, no surrogate,
 * nothing beyond U+10FFFF. */
static size_t utf8_sequence_length(const unsigned char *p, size_t left)
{
        unsigned char low = 0x80, high = 0xbf;
        size_t n;

        if (p[0] >= 0x01 && p[0] <= 0x7f)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                n = 2;
        else if (p[0] >= 0xe0 && p[0] <= 0xef)
                n = 3;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                n = 4;
        else
                return 0;
        if (n > left)
                return 0;

        if (p[0] == 0xe0)
                low = 0xa0;
        else if (p[0] == 0xed)
                high = 0x9f;
        else if (p[0] == 0xf0)
                low = 0x90;
        else if (p[0] == 0xf4)
                high = 0x8f;
        if (p[1] < low || p[1] > high)
                return 0;
        for (size_t i = 2; i < n; i++)
                if (p[i] < 0x80 || p[i] > 0xbf)
                        return 0;
        return n;
}

bool utf8_is_valid(const char *s, size_t n)
{
        const unsigned char *p = (const unsigned char *) s;

        while (n > 0) {
                size_t k = utf8_sequence_length(p, n);

                if (k == 0)
                        return false;
                p += k;
                n -= k;
        }
        return true;
}

void utf8_repair(char *s)
{
        size_t left = strlen(s), n;

        for (; left > 0; s += n, left -= n) {
                n = utf8_sequence_length((const unsigned char *) s, left);
                if (n == 0) {
                        *s = '?';
                        n = 1;
                }
        }
}

bool path_is_absolute_normal(const char *s)
{
        if (s[0] != '/')
                return false;
        if (!s[1])
                return true;
        while (*s) {
                size_t n;

                s++; /* the slash */
                n = strcspn(s, "/");
                if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
                        return false;
                s += n;
        }
        return true;
}

/* Edit distance with neighbours swapped as one edit; both words are at most NEAREST_WORD_MAX. */
static size_t word_distance(const char *a, size_t n, const char *b, size_t m)
{
        size_t rows[3][NEAREST_WORD_MAX + 1];
        size_t *before = rows[0], *last = rows[1], *row = rows[2];

        for (size_t j = 0; j <= m; j++)
                last[j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t *spare;

                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t d = last[j - 1] + (a[i - 1] != b[j - 1]);

                        d = MIN(d, last[j] + 1);
                        d = MIN(d, row[j - 1] + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                d = MIN(d, before[j - 2] + 1);
                        row[j] = d;
                }
                spare = before;
                before = last;
                last = row;
                row = spare;
        }
        return last[m];
}

const char *nearest_word(const char *word, const char *const *candidates)
{
        size_t n = strnlen(word, NEAREST_WORD_MAX + 1);
        size_t best_distance = NEAREST_DISTANCE + 1;
        const char *best = NULL;

        if (n > NEAREST_WORD_MAX)
                return NULL;
        for (; *candidates; candidates++) {
                size_t m = strnlen(*candidates, NEAREST_WORD_MAX + 1);
                size_t d;

                if (m > NEAREST_WORD_MAX)
                        continue;
                d = word_distance(word, n, *candidates, m);
                if (d < best_distance && 2 * d < n) {
                        best_distance = d;
                        best = *candidates;
                }
        }
        return best;
}

static const struct {
        const char *type;
        const char *plural;
        const char *brief;
} types[] = {
        { "pod", "pods", "po" },
        { "namespace", "namespaces", "ns" },
        { "secret", "secrets", NULL },
        { "config", "configs", NULL },
        { "network", "networks", "net" },
        { "service", "services", "svc" },
        { "instance", "instances", "inst" },
        { "scaling_operation", "scaling_operations", NULL },
        { "deletion_operation", "deletion_operations", NULL },
};

const char *type_known(size_t i)
{
        return i < ARRAY_SIZE(types) ? types[i].type : NULL;
}

bool type_is_global(const char *type)
{
        return streq(type, "namespace");
}

const char *type_from_word(const char *word)
{
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (streq(word, types[i].type) || streq(word, types[i].plural) ||
                                streq_ptr(word, types[i].brief))
                        return types[i].type;
        return NULL;
}

const char *type_near(const char *word)
{
        const char *words[2 * ARRAY_SIZE(types) + 1], *near;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                words[n++] = types[i].type;
                words[n++] = types[i].plural;
        }
        words[n] = NULL;
        near = nearest_word(word, words);
        return near ? type_from_word(near) : NULL;
}
