/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl-text.h"
#include "names.h"

typedef struct Range {
        uint32_t first, last;
} Range;

/* A terminal obeys them, or shows nothing, or shows what follows in another order. */
static const Range harmful[] = {
        { 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, /* soft hyphen */
        { 0x61c, 0x61c },                               /* arabic letter mark */
        { 0x180e, 0x180e },                             /* mongolian vowel separator */
        { 0x200b, 0x200f },   /* no width; left-to-right and right-to-left marks */
        { 0x2028, 0x202e },   /* separators of lines and paragraphs; bidi embeddings, overrides */
        { 0x2060, 0x206f },   /* joiners, bidi isolates, deprecated format controls */
        { 0xfeff, 0xfeff },   /* byte order mark */
        { 0xfff9, 0xfffb },   /* interlinear annotation */
        { 0xe0000, 0xe007f }, /* tags */
};

/* Coarse: tables stay aligned for the scripts that people use; nothing depends on it. */
static const Range zero_width[] = {
        { 0x300, 0x36f },
        { 0x483, 0x489 },
        { 0x591, 0x5bd },
        { 0x610, 0x61a },
        { 0x64b, 0x65f },
        { 0x1ab0, 0x1aff },
        { 0x1dc0, 0x1dff },
        { 0x20d0, 0x20ff },
        { 0xfe00, 0xfe0f },
        { 0xfe20, 0xfe2f },
};

static const Range double_width[] = {
        { 0x1100, 0x115f },
        { 0x2e80, 0xa4cf },
        { 0xac00, 0xd7a3 },
        { 0xf900, 0xfaff },
        { 0xfe30, 0xfe6f },
        { 0xff00, 0xff60 },
        { 0xffe0, 0xffe6 },
        { 0x1f300, 0x1f64f },
        { 0x1f900, 0x1f9ff },
        { 0x20000, 0x3fffd },
};

static bool is_in(uint32_t c, const Range *ranges, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

static unsigned character_width(uint32_t c)
{
        if (c < 0x300)
                return 1;
        if (is_in(c, zero_width, ARRAY_SIZE(zero_width)))
                return 0;
        return 1 + is_in(c, double_width, ARRAY_SIZE(double_width));
}

/* The character at @s, of which @left bytes are there; its length, or 0: that is no UTF-8. */
static size_t decode(const char *s, size_t left, uint32_t *ret)
{
        unsigned char first = (unsigned char) *s;
        size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        uint32_t c = first;

        if (n == 1) {
                *ret = c;
                return 1;
        }
        if (n > left || !utf8_is_valid(s, n))
                return 0;
        c &= 0xffU >> (n + 1);
        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((unsigned char) s[i] & 0x3f);
        *ret = c;
        return n;
}

/* Room for it: no byte becomes more than four characters, and no character of n bytes more than
 * 4n. */
static int escape(char *out, const char *s, size_t n, uint32_t c)
{
        if (n == 0 || c < 0x80)
                return sprintf(out, "\\x%02x", (unsigned char) *s);
        return sprintf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
}

static char *neutral(const char *text, size_t size, const char *kept, size_t *ret_size,
                size_t *ret_width)
{
        char *result = malloc(size * 4 + 1), *out = result;
        size_t width = 0, n;

        if (!result)
                return NULL;
        for (const char *s = text, *end = text + size; s < end; s += MAX(n, (size_t) 1)) {
                uint32_t c = 0;

                n = decode(s, (size_t) (end - s), &c);
                if (n > 0 && (!is_in(c, harmful, ARRAY_SIZE(harmful)) ||
                                             (c > 0 && c < 0x80 && strchr(kept, (int) c)))) {
                        out = mempcpy(out, s, n);
                        width += character_width(c);
                } else {
                        int escaped = escape(out, s, n, c);

                        out += escaped;
                        width += (size_t) escaped;
                }
        }
        *out = '\0';
        if (ret_size)
                *ret_size = (size_t) (out - result);
        if (ret_width)
                *ret_width = width;
        return result;
}

char *text_neutral(const char *text, size_t *ret_width)
{
        return neutral(text, strlen(text), "", NULL, ret_width);
}

size_t text_width(const char *harmless)
{
        size_t width = 0, left = strlen(harmless), n;

        for (; left > 0; harmless += n, left -= n) {
                uint32_t c = 0;

                n = MAX(decode(harmless, left, &c), (size_t) 1);
                width += character_width(c);
        }
        return width;
}

const char *text_cut(const char *word, char buf[static TEXT_CUT_SIZE])
{
        size_t n = 48;

        static_assert(TEXT_CUT_SIZE >= 48 + sizeof("…"), "what is left fits");
        if (strnlen(word, n + 1) <= n)
                return word;
        while (n > 45 && ((unsigned char) word[n] & 0xc0) == 0x80)
                n--;
        memcpy(buf, word, n);
        strcpy(buf + n, "…");
        return buf;
}

void print_neutral(FILE *f, const char *text)
{
        CLEANUP_FREE char *harmless = text_neutral(text, NULL);

        fputs(harmless ? harmless : "(out of memory)", f);
}

void print_shell_word(FILE *f, const char *text)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                    "_./:@%+=,-";
        CLEANUP_FREE char *harmless = text_neutral(text, NULL);

        if (!harmless || (*text && text[strspn(text, plain)] == 0)) {
                fputs(harmless ? harmless : "(out of memory)", f);
                return;
        }
        fputc('\'', f);
        for (const char *c = harmless; *c; c++)
                if (*c == '\'')
                        fputs("'\\''", f);
                else
                        fputc(*c, f);
        fputc('\'', f);
}

char *output_neutral(const char *data, size_t size, size_t *ret_size)
{
        return neutral(data, size, "\n\t", ret_size, NULL);
}

bool text_is_harmless(const char *text)
{
        size_t left = strlen(text), n;

        for (; left > 0; text += n, left -= n) {
                uint32_t c = 0;

                n = decode(text, left, &c);
                if (n == 0 || is_in(c, harmful, ARRAY_SIZE(harmful)))
                        return false;
        }
        return true;
}

char *json_neutral(const char *json)
{
        /* The writer escapes what is below 0x20, so that newlines are layout; what is harmful
         * beyond that stands in strings only. Six characters for two bytes, twelve for four. */
        size_t left = strlen(json), n;
        char *result = malloc(left * 6 + 1), *out = result;

        if (!result)
                return NULL;
        for (; left > 0; json += n, left -= n) {
                uint32_t c = 0;

                n = MAX(decode(json, left, &c), (size_t) 1);
                if (c < 0x7f || !is_in(c, harmful, ARRAY_SIZE(harmful)))
                        out = mempcpy(out, json, n);
                else if (c > 0xffff)
                        out += sprintf(out, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10),
                                        0xdc00 + (c & 0x3ff));
                else
                        out += sprintf(out, "\\u%04x", c);
        }
        *out = '\0';
        return result;
}
