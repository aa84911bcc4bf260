/* SPDX-License-Identifier: Apache-2.0 */

/* The one thing that JSON can say and libyaml does not read: a character beyond U+FFFF as two
 * escapes, "\ud83d\ude00". Where the text is JSON by its tokens, and only there, the pair is
 * written as the one escape that YAML has for it, "\U0001F600", which is two columns shorter: so
 * each place is noted, and positions behind it are corrected. */

#include <ctype.h>
#include <stdio.h>

#include "ctl-yaml-json.h"

#define PAIR_SIZE   12U /* \uD83D\uDE00 */
#define JOINED_SIZE 10U /* \U0001F600 */

/* The code unit of the escape \uXXXX at @p, which has room for one; -1 when it is none. */
static int unit_at(const char *p)
{
        int v = 0;

        if (p[0] != '\\' || p[1] != 'u')
                return -1;
        for (size_t i = 2; i < 6; i++) {
                static const char digits[] = "0123456789abcdef";
                const char *d = p[i] ? strchr(digits, tolower((unsigned char) p[i])) : NULL;

                if (!d)
                        return -1;
                v = v * 16 + (int) (d - digits);
        }
        return v;
}

/* The character of the pair at @p, 0 when there is none. */
static unsigned pair_at(const char *p, size_t left)
{
        int high, low;

        if (left < PAIR_SIZE)
                return 0;
        high = unit_at(p);
        low = unit_at(p + 6);
        if (high < 0xd800 || high > 0xdbff || low < 0xdc00 || low > 0xdfff)
                return 0;
        return 0x10000U + (((unsigned) high - 0xd800U) << 10) + ((unsigned) low - 0xdc00U);
}

/* Behind the string that begins at @i, or 0 when it does not end. */
static size_t string_end(const char *text, size_t size, size_t i)
{
        for (i++; i < size && text[i] != '"'; i++)
                if (text[i] == '\\')
                        i++;
        return i < size ? i + 1 : 0;
}

/* Whether every '"' that is no part of a string begins one, for YAML as for JSON: outside of
 * strings there is nothing but what JSON has there, and strings stand only where a value may
 * begin. */
static bool has_tokens_of_json(const char *text, size_t size)
{
        char last = ','; /* the last one that is no space */
        size_t i = 0;

        while (i < size && isspace((unsigned char) text[i]))
                i++;
        if (i == size || !strchr("{[", text[i]))
                return false;
        while (i < size) {
                char c = text[i];

                if (c == '"') {
                        if (!strchr("{[,:", last))
                                return false;
                        i = string_end(text, size, i);
                        if (i == 0)
                                return false;
                } else if (c == ':' && last != '"')
                        return false;
                else if (isalnum((unsigned char) c) || (c && strchr("{}[],:+-. \t\r\n", c)))
                        i++;
                else
                        return false;
                if (!isspace((unsigned char) c))
                        last = c;
        }
        return true;
}

static int note(YamlJoins *joins, YamlPosition at)
{
        YamlPosition *grown;

        if (joins->n == joins->n_allocated) {
                size_t wanted = MAX(joins->n_allocated * 2, (size_t) 64);

                grown = reallocarray(joins->items, wanted, sizeof(YamlPosition));
                if (!grown)
                        return -ENOMEM;
                joins->items = grown;
                joins->n_allocated = wanted;
        }
        joins->items[joins->n++] = at;
        return 0;
}

/* Positions are those in the result. */
static int join_pairs(const char *text, size_t size, YamlJoins *joins)
{
        YamlPosition at = { 1, 1 };
        char *out = joins->text;

        for (size_t i = 0; i < size;) {
                unsigned c = text[i] == '\\' ? pair_at(text + i, size - i) : 0;
                size_t n = text[i] == '\\' && i + 1 < size ? 2 : 1; /* never half an escape */

                if (c > 0) {
                        int r = note(joins, at);

                        if (r < 0)
                                return r;
                        (void) snprintf(out, JOINED_SIZE + 1, "\\U%08X", c);
                        out += JOINED_SIZE;
                        i += PAIR_SIZE;
                        at.column += JOINED_SIZE;
                        continue;
                }
                for (; n > 0; n--, i++) {
                        if (text[i] == '\n')
                                at = (YamlPosition){ at.line + 1, 1 };
                        else if (((unsigned char) text[i] & 0xc0) != 0x80)
                                at.column++;
                        *out++ = text[i];
                }
        }
        *out = '\0';
        joins->size = (size_t) (out - joins->text);
        return 0;
}

int yaml_joins_make(const char *text, size_t size, YamlJoins *ret)
{
        CLEANUP(yaml_joins_done) YamlJoins joins = {};
        bool any = false;
        int r;

        for (size_t i = 0; i < size && !any; i++)
                any = text[i] == '\\' && pair_at(text + i, size - i) > 0;
        if (!any || !has_tokens_of_json(text, size))
                return 0;
        joins.text = malloc(size + 1);
        if (!joins.text)
                return -ENOMEM;
        r = join_pairs(text, size, &joins);
        if (r < 0)
                return r;
        *ret = joins;
        joins = (YamlJoins){};
        return 1;
}

/* How many pairs stand before @at. */
static size_t joins_before(const YamlJoins *joins, YamlPosition at)
{
        size_t low = 0, high = joins->n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                const YamlPosition *p = &joins->items[middle];

                if (p->line < at.line || (p->line == at.line && p->column < at.column))
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

YamlPosition yaml_joins_position(const YamlJoins *joins, YamlPosition at)
{
        size_t n = joins_before(joins, at) - joins_before(joins, (YamlPosition){ at.line, 0 });

        return (YamlPosition){ at.line, at.column + n * (PAIR_SIZE - JOINED_SIZE) };
}

void yaml_joins_done(YamlJoins *joins)
{
        free(joins->text);
        free(joins->items);
        *joins = (YamlJoins){};
}
