/* SPDX-License-Identifier: Apache-2.0 */

/* What an unquoted word means: the core schema, less those numbers and booleans that readers
 * disagree about. */

#include <ctype.h>

#include "ctl-yaml.h"

static bool is_decimal_integer(const char *s)
{
        if (*s == '-' || *s == '+')
                s++;
        if (*s == '0')
                return s[1] == '\0';
        return *s && strspn(s, "0123456789") == strlen(s);
}

static bool is_prefixed_integer(const char *s)
{
        const char *digits;

        if ((digits = startswith(s, "0o")))
                return *digits && strspn(digits, "01234567") == strlen(digits);
        if ((digits = startswith(s, "0x")))
                return *digits && strspn(digits, "0123456789abcdefABCDEF") == strlen(digits);
        return false;
}

static bool is_float(const char *s)
{
        size_t whole, fraction = 0;

        if (*s == '-' || *s == '+')
                s++;
        whole = strspn(s, "0123456789");
        if (whole > 1 && *s == '0')
                return false;
        s += whole;
        if (*s == '.') {
                s++;
                fraction = strspn(s, "0123456789");
                s += fraction;
        }
        if (whole + fraction == 0)
                return false;
        if (*s == 'e' || *s == 'E') {
                s++;
                if (*s == '-' || *s == '+')
                        s++;
                if (!isdigit((unsigned char) *s))
                        return false;
                s += strspn(s, "0123456789");
        }
        return *s == '\0';
}

static bool is_one_of(const char *s, const char *const *words)
{
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

YamlScalar yaml_scalar_classify(const char *s)
{
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
        static const char *const infinities[] = { ".inf", ".Inf", ".INF", NULL };
        static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };

        if (is_one_of(s, nulls))
                return YAML_NULL;
        if (streq(s, "true") || streq(s, "false"))
                return YAML_BOOLEAN;
        if (is_decimal_integer(s) || is_prefixed_integer(s))
                return YAML_INTEGER;
        if (is_float(s))
                return YAML_FLOAT;
        if (is_one_of(s, nans) || is_one_of(s + (*s == '-' || *s == '+'), infinities))
                return YAML_UNREPRESENTABLE;
        return YAML_STRING;
}
