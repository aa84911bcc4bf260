/* SPDX-License-Identifier: Apache-2.0 */

/* The leaves of a document. A value that is accepted here twice gives the same result both times:
 * that is what makes the stored form stable. */

#include <inttypes.h>
#include <stdio.h>

#include "capability.h"
#include "limit.h"
#include "names.h"
#include "quantity.h"
#include "spec-value.h"

const char *spec_kind_expects(SpecKind kind)
{
        switch (kind) {
        case SPEC_KIND: return "the name of a type, as text";
        case SPEC_NAME: return "a name, as text";
        case SPEC_HOSTNAME: return "the name of a host, as text";
        case SPEC_STRING: return "text";
        case SPEC_WORD: return "a word";
        case SPEC_BOOL: return "true or false";
        case SPEC_COUNT: return "a whole number";
        case SPEC_SIZE: return "a size such as 64MiB, or a number of bytes";
        case SPEC_DURATION: return "a duration such as 10s, 1m30s or 250ms";
        case SPEC_CPU: return "a number of CPUs such as 0.5, or {quota, period}";
        case SPEC_PATH:
        case SPEC_MOUNT_POINT: return "an absolute path, as text";
        case SPEC_SIGNAL: return "a signal such as SIGTERM, or its number";
        case SPEC_USER: return "a user: a name, uid or uid:gid";
        case SPEC_GROUP: return "a group: a name or gid";
        case SPEC_CAPABILITY: return "a capability such as CAP_NET_RAW, or ALL, as text";
        case SPEC_REFERENCE: return "NAME/KEY, as text";
        case SPEC_VARIABLE_PREFIX: return "the beginning of the name of a variable, as text";
        case SPEC_FILE_MODE: return "a file mode such as 0400, as text";
        case SPEC_ITEMS:
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT:
        case SPEC_HOSTS:
        case SPEC_DATA:
        case SPEC_OBJECT: return "a map";
        case SPEC_OTHER: return "a value";
        }
        return "a value";
}

static int make_string(const char *s, json_t **ret)
{
        json_t *j = json_string(s);

        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

static int make_integer(uint64_t v, json_t **ret)
{
        json_t *j;

        assert(v <= INT64_MAX);
        j = json_integer((json_int_t) v);
        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

static int normalize_kind(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE];
        const char *type = type_from_word(s);

        if (type && !streq(type, s))
                return spec_invalid(c, path,
                                "%s means '%s' on a command line, and no type can be called "
                                "that: write '%s'",
                                spec_quote(s, quoted), type, type);
        if (!type_is_valid(s))
                return spec_invalid(c, path,
                                "%s is no name of a type: use up to 62 of a-z, 0-9, "
                                "'-' and '_', beginning with a letter",
                                spec_quote(s, quoted));
        return make_string(s, ret);
}

static int normalize_name(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE];

        if (!name_is_valid(s))
                return spec_invalid(c, path,
                                "%s is no valid name: use 1 to 63 of a-z, 0-9 and "
                                "'-', beginning and ending with a letter or digit",
                                spec_quote(s, quoted));
        return make_string(s, ret);
}

static int normalize_hostname(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE];

        if (!host_name_is_valid(s, LIMIT_HOSTNAME_MAX))
                return spec_invalid(c, path,
                                "%s is no valid host name: use up to 64 of a-z, 0-9, '-' and '.', "
                                "each part beginning and ending with a letter or digit, and no "
                                "address",
                                spec_quote(s, quoted));
        return make_string(s, ret);
}

static int normalize_word(SpecContext *c, const SpecField *f, const SpecPath *path, const char *s,
                json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE], words[SPEC_WORDS_SIZE];

        if (spec_word_in(f->words, s))
                return make_string(s, ret);
        if (spec_word_in(f->later_words, s))
                return spec_not_supported(c, path, "%s is not supported yet; use %s",
                                spec_quote(s, quoted), spec_words(f->words, words));
        return spec_invalid(c, path, "expected %s, found %s", spec_words(f->words, words),
                        spec_quote(s, quoted));
}

/* Collapses "//" and "/./", drops a trailing "/", and puts a "/" in front. "" for "/". -EINVAL:
 * there is a ".." in it. @ret has room for strlen(s) + 2 bytes. */
static int collapse_path(const char *s, char *ret)
{
        size_t n = 0;

        while (*s) {
                size_t k;

                s += strspn(s, "/");
                k = strcspn(s, "/");
                if (k == 2 && s[0] == '.' && s[1] == '.')
                        return -EINVAL;
                if (k > 0 && !(k == 1 && s[0] == '.')) {
                        ret[n++] = '/';
                        memcpy(ret + n, s, k);
                        n += k;
                }
                s += k;
        }
        ret[n] = '\0';
        return 0;
}

/* ".." is refused, as what it means depends on symlinks that only the container has. */
static int normalize_path(SpecContext *c, const SpecField *f, const SpecPath *path, const char *s,
                json_t **ret)
{
        CLEANUP_FREE char *clean = NULL;
        char quoted[SPEC_QUOTED_SIZE];

        if (s[0] != '/')
                return spec_invalid(c, path, "%s is no absolute path: it must begin with '/'",
                                spec_quote(s, quoted));
        if (strlen(s) > LIMIT_PATH_MAX)
                return spec_invalid(c, path, "the path has %zu bytes, and may have at most %u",
                                strlen(s), LIMIT_PATH_MAX);
        clean = malloc(strlen(s) + 2);
        if (!clean)
                return -ENOMEM;
        if (collapse_path(s, clean) < 0)
                return spec_invalid(c, path, "%s contains '..': write the path without it",
                                spec_quote(s, quoted));
        if (!*clean)
                strcpy(clean, "/");

        if (f->kind == SPEC_MOUNT_POINT) {
                const char *own[] = { "/proc", "/sys", "/dev" };

                if (streq(clean, "/"))
                        return spec_invalid(c, path,
                                        "a volume cannot be mounted over the root: choose a "
                                        "directory in it");
                for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
                        const char *rest = startswith(clean, own[i]);

                        if (rest && (*rest == '\0' || (*rest == '/' && i < 2)))
                                return spec_invalid(c, path,
                                                "a volume cannot be mounted at %s: "
                                                "%s is made by tank, choose another place",
                                                spec_quote(clean, quoted), own[i]);
                }
        }
        return make_string(clean, ret);
}

static int normalize_signal(SpecContext *c, const SpecPath *path, const json_t *v, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE], name[16];
        int signo;

        if (json_is_integer(v)) {
                json_int_t n = json_integer_value(v);

                if (n < 1 || n > 64)
                        return spec_invalid(c, path, "%" PRId64 " is no signal: 1 to 64 are",
                                        (int64_t) n);
                signo = (int) n;
        } else {
                signo = parse_signal(json_string_value(v));
                if (signo < 0)
                        return spec_invalid(c, path, "%s is no signal; write one like SIGTERM",
                                        spec_quote(json_string_value(v), quoted));
        }
        return make_string(signal_name(signo, name), ret);
}

static int parse_id(const char *s, uint64_t *ret)
{
        /* "010" is 8 to some programs and 10 to others. */
        if (s[0] == '0' && s[1])
                return -EINVAL;
        return parse_u64(s, ret);
}

static bool is_user_name(const char *s)
{
        size_t n = strlen(s);

        if (n == 0 || n > LIMIT_NAME_MAX || s[0] == '-' || s[0] == '+' ||
                        (s[0] >= '0' && s[0] <= '9'))
                return false;
        for (size_t i = 0; i < n; i++) {
                unsigned char ch = (unsigned char) s[i];

                if (ch <= 0x20 || ch == 0x7f || ch == ':' || ch == '/' || ch == ',')
                        return false;
        }
        return true;
}

int spec_parse_user(const char *s, uint64_t *ret_uid, uint64_t *ret_gid)
{
        const char *colon = strchr(s, ':');
        char first[24];
        int r;

        if (s[0] < '0' || s[0] > '9')
                return is_user_name(s) ? 0 : -EINVAL;
        if (!colon)
                r = parse_id(s, ret_uid);
        else {
                if ((size_t) (colon - s) >= sizeof(first))
                        return -ERANGE;
                memcpy(first, s, (size_t) (colon - s));
                first[colon - s] = '\0';
                r = parse_id(first, ret_uid);
                if (r >= 0)
                        r = parse_id(colon + 1, ret_gid);
        }
        return r < 0 ? r : 1;
}

/* A user or group; the range of ids depends on the pod's user namespace and is checked later. */
static int normalize_id(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE], number[24];
        uint64_t uid, gid;
        const char *s;

        if (json_is_integer(v)) {
                if (json_integer_value(v) < 0)
                        return spec_unexpected(c, path, spec_kind_expects(f->kind), v);
                (void) snprintf(number, sizeof(number), "%" PRId64,
                                (int64_t) json_integer_value(v));
                s = number;
        } else
                s = json_string_value(v);
        if (spec_parse_user(s, &uid, &gid) < 0 || (f->kind == SPEC_GROUP && strchr(s, ':')))
                return spec_invalid(c, path, "expected %s, found %s", spec_kind_expects(f->kind),
                                spec_quote(s, quoted));
        return make_string(s, ret);
}

static int normalize_capability(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE];
        int capability;

        if (streq(s, "ALL"))
                return make_string(s, ret);
        capability = capability_from_name(s);
        if (capability < 0)
                return spec_invalid(c, path,
                                "%s is no capability; write one like CAP_NET_RAW, or "
                                "ALL",
                                spec_quote(s, quoted));
        return make_string(capability_to_name(capability), ret);
}

static int normalize_reference(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        const char *slash = strchr(s, '/');
        CLEANUP_FREE char *name = NULL;
        char quoted[SPEC_QUOTED_SIZE];

        if (!slash || slash == s || !slash[1])
                return spec_invalid(c, path, "expected NAME/KEY, found %s", spec_quote(s, quoted));
        name = strndup(s, (size_t) (slash - s));
        if (!name)
                return -ENOMEM;
        if (!name_is_valid(name))
                return spec_invalid(c, path,
                                "expected NAME/KEY, and %s is no valid name: use 1 to 63 of a-z, "
                                "0-9 and '-', beginning and ending with a letter or digit",
                                spec_quote(name, quoted));
        if (!data_key_is_valid(slash + 1))
                return spec_invalid(c, path,
                                "expected NAME/KEY, and %s is no valid key: " SPEC_DATA_KEY_RULE,
                                spec_quote(slash + 1, quoted));
        return make_string(s, ret);
}

static int normalize_variable_prefix(
                SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE];

        if (!variable_name_is_valid(s) || strlen(s) > LIMIT_NAME_MAX)
                return spec_invalid(c, path,
                                "expected up to %u of A-Z, a-z, 0-9 and '_', not beginning with a "
                                "digit, found %s",
                                LIMIT_NAME_MAX, spec_quote(s, quoted));
        return make_string(s, ret);
}

static int normalize_file_mode(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE], text[8];
        size_t n = strlen(s);

        if (n < 3 || n > 4 || strspn(s, "01234567") != n || (n == 4 && s[0] != '0'))
                return spec_invalid(c, path,
                                "expected a file mode such as 0400, at most 0777, found %s",
                                spec_quote(s, quoted));
        (void) snprintf(text, sizeof(text), "0%s", s + (n - 3));
        return make_string(text, ret);
}

int spec_normalize_item(SpecContext *c, const SpecPath *path, const char *s, json_t **ret)
{
        CLEANUP_FREE char *clean = NULL;
        char quoted[SPEC_QUOTED_SIZE];

        if (s[0] == '/')
                return spec_invalid(c, path,
                                "%s must be a path in the volume: write it without '/' in front",
                                spec_quote(s, quoted));
        if (strlen(s) > LIMIT_ITEM_PATH_MAX)
                return spec_invalid(c, path, "the path has %zu bytes, and may have at most %u",
                                strlen(s), LIMIT_ITEM_PATH_MAX);
        clean = malloc(strlen(s) + 2);
        if (!clean)
                return -ENOMEM;
        if (collapse_path(s, clean) < 0)
                return spec_invalid(c, path, "%s contains '..': write the path without it",
                                spec_quote(s, quoted));
        if (!*clean || s[strlen(s) - 1] == '/')
                return spec_invalid(c, path, "expected a path in the volume, found %s",
                                spec_quote(s, quoted));
        if (startswith(clean, "/.."))
                return spec_invalid(c, path,
                                "%s begins with '..', as the names do that tank makes in a volume: "
                                "choose another one",
                                spec_quote(s, quoted));
        for (const char *p = clean; *p;) {
                size_t k = strcspn(++p, "/");

                if (k > LIMIT_FILE_NAME_MAX)
                        return spec_invalid(c, path,
                                        "no name of a file may have more than %u bytes, and one "
                                        "has %zu",
                                        LIMIT_FILE_NAME_MAX, k);
                p += k;
        }
        return make_string(clean + 1, ret);
}

static const char *format_bound(
                const SpecField *f, uint64_t bound, char buf[static FORMAT_EXACT_SIZE])
{
        if (f->kind == SPEC_DURATION)
                return format_duration_exact(bound, buf);
        if (f->kind == SPEC_SIZE && bound % 1024 == 0)
                return format_size_exact(bound, buf);
        (void) snprintf(buf, FORMAT_EXACT_SIZE, "%" PRIu64 "%s", bound,
                        f->kind == SPEC_SIZE ? " bytes" : "");
        return buf;
}

static int normalize_quantity(SpecContext *c, const SpecField *f, const SpecPath *path,
                const json_t *v, json_t **ret)
{
        char quoted[SPEC_QUOTED_SIZE], bound[FORMAT_EXACT_SIZE];
        uint64_t n = 0;
        int r = 0;

        if (json_is_integer(v)) {
                json_int_t i = json_integer_value(v);

                if (i < 0)
                        return spec_unexpected(c, path, spec_kind_expects(f->kind), v);
                if (f->kind == SPEC_DURATION && (c->flags & SPEC_STRICT_ENTRY))
                        return spec_invalid(c, path,
                                        "a duration needs a unit: write "
                                        "\"%" PRId64 "s\" or \"%" PRId64 "ms\"",
                                        (int64_t) i, (int64_t) i);
                n = (uint64_t) i;
        } else {
                const char *s = json_string_value(v);

                r = f->kind == SPEC_SIZE ? parse_size(s, &n) : parse_duration(s, &n);
                if (r == -EINVAL)
                        return spec_invalid(c, path, "expected %s, found %s",
                                        spec_kind_expects(f->kind), spec_quote(s, quoted));
        }

        if (r >= 0 && n < f->min)
                return spec_invalid(c, path, "expected at least %s, found %s",
                                format_bound(f, f->min, bound), spec_found(v, quoted));
        if (r < 0 || n > INT64_MAX || (f->max > 0 && n > f->max))
                return spec_invalid(c, path, "expected at most %s, found %s",
                                format_bound(f, f->max > 0 ? f->max : INT64_MAX, bound),
                                spec_found(v, quoted));
        return make_integer(n, ret);
}

int spec_parse_cpus(SpecContext *c, const SpecPath *path, const json_t *v, uint64_t *ret_quota)
{
        char number[64], quoted[SPEC_QUOTED_SIZE];
        const char *s = number;
        int r;

        if (json_is_integer(v))
                (void) snprintf(number, sizeof(number), "%" PRId64,
                                (int64_t) json_integer_value(v));
        else if (json_is_real(v)) {
                double d = json_real_value(v);

                /* Micro-CPUs are finer than any quota; beyond this range the quota is refused. */
                if (!(d >= 0 && d < 1e9))
                        return spec_unexpected(c, path, spec_kind_expects(SPEC_CPU), v);
                (void) snprintf(number, sizeof(number), "%.6f", d);
        } else if (json_is_string(v))
                s = json_string_value(v);
        else
                return spec_unexpected(c, path, spec_kind_expects(SPEC_CPU), v);

        r = parse_cpus(s, SPEC_CPU_PERIOD_USEC, ret_quota);
        if (r < 0)
                return spec_invalid(c, path, "expected %s, found %s", spec_kind_expects(SPEC_CPU),
                                spec_quote(s, quoted));
        return 0;
}

static bool kind_takes(SpecKind kind, const json_t *v)
{
        switch (kind) {
        case SPEC_BOOL: return json_is_boolean(v);
        case SPEC_COUNT: return json_is_integer(v);
        case SPEC_SIZE:
        case SPEC_DURATION:
        case SPEC_SIGNAL:
        case SPEC_USER:
        case SPEC_GROUP: return json_is_string(v) || json_is_integer(v);
        case SPEC_KIND:
        case SPEC_NAME:
        case SPEC_HOSTNAME:
        case SPEC_STRING:
        case SPEC_WORD:
        case SPEC_PATH:
        case SPEC_MOUNT_POINT:
        case SPEC_REFERENCE:
        case SPEC_VARIABLE_PREFIX:
        case SPEC_FILE_MODE:
        case SPEC_CAPABILITY: return json_is_string(v);
        case SPEC_ITEMS:
        case SPEC_CPU:
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT:
        case SPEC_HOSTS:
        case SPEC_DATA:
        case SPEC_OBJECT:
        case SPEC_OTHER: return false;
        }
        return false;
}

int spec_normalize_scalar(SpecContext *c, const SpecField *f, const SpecPath *path, const json_t *v,
                json_t **ret)
{
        const char *s = json_string_value(v);
        char words[SPEC_WORDS_SIZE];

        if (!kind_takes(f->kind, v))
                return spec_unexpected(c, path,
                                f->kind == SPEC_WORD ? spec_words(f->words, words)
                                                     : spec_kind_expects(f->kind),
                                v);
        /* The C strings of the other side end at a NUL: what is behind it must not get lost. */
        if (s && strlen(s) != json_string_length(v))
                return spec_invalid(c, path, "text cannot hold a NUL character: remove it");

        switch (f->kind) {
        case SPEC_BOOL: *ret = json_boolean(json_is_true(v)); return 0;
        case SPEC_COUNT:
        case SPEC_SIZE:
        case SPEC_DURATION: return normalize_quantity(c, f, path, v, ret);
        case SPEC_SIGNAL: return normalize_signal(c, path, v, ret);
        case SPEC_USER:
        case SPEC_GROUP: return normalize_id(c, f, path, v, ret);
        case SPEC_KIND: return normalize_kind(c, path, s, ret);
        case SPEC_NAME: return normalize_name(c, path, s, ret);
        case SPEC_HOSTNAME: return normalize_hostname(c, path, s, ret);
        case SPEC_STRING: *ret = json_incref((json_t *) v); return 0;
        case SPEC_WORD: return normalize_word(c, f, path, s, ret);
        case SPEC_PATH:
        case SPEC_MOUNT_POINT: return normalize_path(c, f, path, s, ret);
        case SPEC_CAPABILITY: return normalize_capability(c, path, s, ret);
        case SPEC_REFERENCE: return normalize_reference(c, path, s, ret);
        case SPEC_VARIABLE_PREFIX: return normalize_variable_prefix(c, path, s, ret);
        case SPEC_FILE_MODE: return normalize_file_mode(c, path, s, ret);
        case SPEC_ITEMS:
        case SPEC_CPU:
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT:
        case SPEC_HOSTS:
        case SPEC_DATA:
        case SPEC_OBJECT:
        case SPEC_OTHER: break;
        }
        assert(false);
        return -EINVAL;
}
