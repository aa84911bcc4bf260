/* SPDX-License-Identifier: Apache-2.0 */

/* What people read when a document is refused. All text that comes from the document is cut and
 * cleaned here: messages travel over the bus, which wants valid UTF-8, and end on terminals. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "names.h"
#include "spec-error.h"

/* Appends at most @max bytes of @s, cleaned, never half a character; @buf stays terminated. */
static void append_clean(char *buf, size_t size, const char *s, size_t max)
{
        size_t used = strlen(buf), n = strnlen(s, max + 1);
        bool cut = n > max;

        if (cut)
                n = max;
        if (n > size - 1 - used)
                n = size - 1 - used;
        while (n > 0 && !utf8_is_valid(s, n))
                n--;
        for (size_t i = 0; i < n; i++) {
                unsigned char ch = (unsigned char) s[i];

                buf[used++] = ch < 0x20 || ch == 0x7f ? '?' : s[i];
        }
        buf[used] = '\0';
        if (cut && size - used > strlen("…"))
                strcpy(buf + used, "…");
}

const char *spec_path_format(const SpecPath *path, char buf[static 256])
{
        char index[32];

        if (!path) {
                buf[0] = '\0';
                return buf;
        }
        spec_path_format(path->parent, buf);
        if (!path->key) {
                (void) snprintf(index, sizeof(index), "[%zu]", path->index);
                append_clean(buf, 256, index, 255);
        } else {
                if (buf[0])
                        append_clean(buf, 256, ".", 255);
                append_clean(buf, 256, path->key, 255);
        }
        return buf;
}

const char *spec_quote(const char *s, char buf[static SPEC_QUOTED_SIZE])
{
        strcpy(buf, "'");
        append_clean(buf, SPEC_QUOTED_SIZE - 1, s, 48);
        strcat(buf, "'");
        return buf;
}

const char *spec_found(const json_t *v, char buf[static SPEC_QUOTED_SIZE])
{
        if (json_is_string(v))
                return spec_quote(json_string_value(v), buf);
        if (json_is_integer(v))
                (void) snprintf(buf, SPEC_QUOTED_SIZE, "%" PRId64, (int64_t) json_integer_value(v));
        else
                (void) snprintf(buf, SPEC_QUOTED_SIZE, "%.15g", json_real_value(v));
        return buf;
}

const char *spec_words(const char *words, char buf[static SPEC_WORDS_SIZE])
{
        size_t used = 0;

        buf[0] = '\0';
        while (*words) {
                size_t n = strcspn(words, "|");
                const char *next = words[n] ? words + n + 1 : NULL;
                const char *join = used == 0 ? "" : next ? ", " : " or ";

                if (used + strlen(join) + n >= SPEC_WORDS_SIZE)
                        break;
                used += (size_t) snprintf(
                                buf + used, SPEC_WORDS_SIZE - used, "%s%.*s", join, (int) n, words);
                words += n + (next ? 1 : 0);
        }
        return buf;
}

static void fill_in(SpecContext *c, const char *name, const SpecPath *path, bool at_key,
                const char *format, va_list ap)
{
        char text[sizeof(c->error->message)];

        *c->error = (SpecError){ .name = name, .at_key = at_key };
        spec_path_format(path, c->error->path);
        (void) vsnprintf(text, sizeof(text), format, ap);
        append_clean(c->error->message, sizeof(c->error->message), text, sizeof(text));
}

int spec_invalid(SpecContext *c, const SpecPath *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        fill_in(c, TANK_ERROR_INVALID_ARGUMENT, path, false, format, ap);
        va_end(ap);
        return -EINVAL;
}

int spec_invalid_key(SpecContext *c, const SpecPath *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        fill_in(c, TANK_ERROR_INVALID_ARGUMENT, path, true, format, ap);
        va_end(ap);
        return -EINVAL;
}

int spec_not_supported(SpecContext *c, const SpecPath *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        fill_in(c, TANK_ERROR_NOT_SUPPORTED, path, false, format, ap);
        va_end(ap);
        return -EOPNOTSUPP;
}

int spec_too_large(SpecContext *c, const SpecPath *path, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        fill_in(c, TANK_ERROR_TOO_LARGE, path, false, format, ap);
        va_end(ap);
        return -EFBIG;
}

int spec_unexpected(SpecContext *c, const SpecPath *path, const char *what, const json_t *found)
{
        char quoted[SPEC_QUOTED_SIZE];
        /* `app: 1` and `debug: yes please` are the usual mistakes: a hint where text was meant. */
        const char *hint = strstr(what, "text") ? " (put it in quotes)" : "";

        switch (json_typeof(found)) {
        case JSON_OBJECT: return spec_invalid(c, path, "expected %s, found a map", what);
        case JSON_ARRAY: return spec_invalid(c, path, "expected %s, found a list", what);
        case JSON_STRING:
                return spec_invalid(c, path, "expected %s, found the text %s", what,
                                spec_quote(json_string_value(found), quoted));
        case JSON_INTEGER:
                return spec_invalid(c, path, "expected %s, found the number %" PRId64 "%s", what,
                                (int64_t) json_integer_value(found), hint);
        case JSON_REAL:
                return spec_invalid(c, path, "expected %s, found the number %.15g%s", what,
                                json_real_value(found), hint);
        case JSON_TRUE:
        case JSON_FALSE:
                return spec_invalid(c, path, "expected %s, found %s%s", what,
                                json_is_true(found) ? "true" : "false", hint);
        case JSON_NULL:
                return spec_invalid(c, path,
                                "expected %s, found nothing (write one, or leave it out)", what);
        }
        return spec_invalid(c, path, "expected %s", what);
}
