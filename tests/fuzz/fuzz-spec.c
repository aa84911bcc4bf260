/* SPDX-License-Identifier: Apache-2.0 */

/* Documents made of the table's own fields: the bytes choose which ones, and what is in them, most
 * of it right and some of it not, so that what is checked between fields is reached, too. */

#include "document.h"
#include "fuzz.h"
#include "fuzz-spec-check.h"
#include "spec-table.h"

typedef struct Source {
        const uint8_t *data;
        size_t size;
        unsigned budget; /* values still to be made */
} Source;

static unsigned choose(Source *s, unsigned n)
{
        unsigned v;

        if (s->size == 0 || n == 0)
                return 0;
        v = *s->data;
        s->data++;
        s->size--;
        return v % n;
}

#define CHOOSE_OF(s, list) ((list)[choose((s), ARRAY_SIZE(list))])

static json_t *any_value(Source *s)
{
        static const char *const values[] = { "null", "true", "false", "0", "-1", "1", "100",
                "1048576", "9223372036854775807", "-9223372036854775808", "0.5", "1e300", "\"\"",
                "\"\\ud83d\\ude00\"", "\"\\u001b[2J\"", "[]", "[\"a\"]", "[{}]", "{}",
                "{\"a\":\"b\"}", "{\"\":{}}", "{\"host\":\"/x\"}", "{\"secret\":\"a\"}" };

        return json_loads(CHOOSE_OF(s, values), JSON_DECODE_ANY, NULL);
}

/* Bytes of the input as they are: what no list here thinks of. */
static json_t *any_text(Source *s)
{
        char text[64];
        size_t n = MIN(s->size, (size_t) choose(s, sizeof(text)));

        n = MIN(n, s->size);
        if (n > 0)
                memcpy(text, s->data, n);
        s->data += n;
        s->size -= n;
        return json_stringn(text, n); /* NULL when it is no UTF-8 */
}

static json_t *a_word(Source *s, const char *words)
{
        unsigned n = 1;

        for (const char *p = words; *p; p++)
                n += *p == '|';
        for (n = choose(s, n); n > 0; n--)
                words = strchr(words, '|') + 1;
        return json_stringn(words, strcspn(words, "|"));
}

static json_t *a_leaf(Source *s, const SpecField *f)
{
        static const char *const names[] = { "a", "b", "web", "a-1", "A", "" };
        static const char *const paths[] = { "/", "/a", "/a/", "//b/./c", "/a/../b", "x", "/proc/1",
                "/dev/shm" };
        static const char *const sizes[] = { "64MiB", "1.5GiB", "1TB", "9EB", "1 MB", "0" };
        static const char *const durations[] = { "10s", "1m30s", "250ms", "1.5h", "400d", "5", "0s",
                "1s1h" };
        static const char *const cpus[] = { "0.5", "2", "1e3", "0.000001" };
        static const char *const signals[] = { "TERM", "SIGKILL", "RTMIN+3", "64", "FOO" };
        static const char *const users[] = { "0", "1:2", "www", "65533", "65534", "01", "a:b" };
        static const char *const capabilities[] = { "ALL", "KILL", "CAP_KILL", "cap_kill",
                "NET_RAW" };
        static const char *const references[] = { "a/b", "a/b.c", "a", "/b", "a/", "A/b", "a/..b" };
        static const char *const modes[] = { "0400", "644", "0777", "1777", "0800", "" };
        static const char *const hosts[] = { "db", "db.example.org", "-a", "10.0.0.1", "a..b" };

        if (f->words && choose(s, 2) == 0)
                return a_word(s, f->words);
        if (f->later_words && choose(s, 2) == 0)
                return a_word(s, f->later_words);
        switch (f->kind) {
        case SPEC_KIND: return json_string("pod");
        case SPEC_NAME: return json_string(CHOOSE_OF(s, names));
        case SPEC_HOSTNAME: return json_string(CHOOSE_OF(s, hosts));
        case SPEC_BOOL: return json_boolean(choose(s, 2));
        case SPEC_COUNT: return json_integer((json_int_t) choose(s, 256));
        case SPEC_SIZE: return json_string(CHOOSE_OF(s, sizes));
        case SPEC_DURATION: return json_string(CHOOSE_OF(s, durations));
        case SPEC_CPU: return json_string(CHOOSE_OF(s, cpus));
        case SPEC_PATH:
        case SPEC_MOUNT_POINT: return json_string(CHOOSE_OF(s, paths));
        case SPEC_SIGNAL: return json_string(CHOOSE_OF(s, signals));
        case SPEC_USER:
        case SPEC_GROUP: return json_string(CHOOSE_OF(s, users));
        case SPEC_CAPABILITY: return json_string(CHOOSE_OF(s, capabilities));
        case SPEC_REFERENCE: return json_string(CHOOSE_OF(s, references));
        case SPEC_FILE_MODE: return json_string(CHOOSE_OF(s, modes));
        case SPEC_VARIABLE_PREFIX:
        case SPEC_STRING:
        case SPEC_WORD:
        case SPEC_ITEMS:
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT:
        case SPEC_HOSTS:
        case SPEC_DATA:
        case SPEC_OBJECT:
        case SPEC_OTHER: break;
        }
        return any_text(s);
}

static json_t *a_value(Source *s, const SpecField *f);

static json_t *an_object(Source *s, const SpecField *fields)
{
        json_t *object = json_object();

        CHECK(object);
        for (const SpecField *f = fields; f->name; f++) {
                unsigned how = choose(s, 8);

                /* What is required is mostly there, what does not work yet mostly not. */
                if (f->required ? how == 7 : f->later ? how != 7 : how > 3)
                        continue;
                (void) json_object_set_new(object, f->name, a_value(s, f));
        }
        if (choose(s, 32) == 31)
                (void) json_object_set_new(object, "nmae", any_value(s));
        return object;
}

static json_t *a_map(Source *s)
{
        json_t *object = json_object();

        CHECK(object);
        for (unsigned n = choose(s, 4); n > 0; n--) {
                CLEANUP_JSON json_t *key = any_text(s);

                if (key)
                        (void) json_object_set_new(object, json_string_value(key),
                                        choose(s, 4) == 3 ? any_value(s) : any_text(s));
        }
        return object;
}

static json_t *some_data(Source *s, const SpecField *f)
{
        static const char *const keys[] = { "a", "B_2", "tls.crt", ".x", "..", "a b" };
        static const char *const values[] = { "", "YQ==", "AA==", "aGk", "gA==", "Y Q = =" };
        json_t *object = json_object();

        CHECK(object);
        for (unsigned n = choose(s, 4); n > 0; n--) {
                json_t *value = choose(s, 2) ? any_text(s) : an_object(s, f->fields);

                if (json_is_object(value) && choose(s, 2))
                        (void) json_object_set_new(
                                        value, "base64", json_string(CHOOSE_OF(s, values)));
                (void) json_object_set_new(object, CHOOSE_OF(s, keys),
                                choose(s, 8) == 7 ? (json_decref(value), any_value(s)) : value);
        }
        return object;
}

static json_t *some_items(Source *s)
{
        static const char *const keys[] = { "a", "b", "c.d", "..e", "" };
        static const char *const paths[] = { "a", "a/b", "b//a/.", "../a", "/a", "a-b", "" };
        json_t *object = json_object();

        CHECK(object);
        for (unsigned n = choose(s, 5); n > 0; n--)
                (void) json_object_set_new(object, CHOOSE_OF(s, keys),
                                choose(s, 8) == 7 ? any_value(s)
                                                  : json_string(CHOOSE_OF(s, paths)));
        return object;
}

static json_t *one_value(Source *s, const SpecField *f)
{
        if (choose(s, 16) == 15)
                return any_value(s);
        switch (f->kind) {
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_HOSTS:
        case SPEC_ENVIRONMENT: return a_map(s);
        case SPEC_DATA: return some_data(s, f);
        case SPEC_ITEMS: return some_items(s);
        case SPEC_OBJECT:
        case SPEC_CPU:
                if (choose(s, 4) < 3)
                        return an_object(s, f->fields);
                break;
        case SPEC_KIND:
        case SPEC_NAME:
        case SPEC_HOSTNAME:
        case SPEC_STRING:
        case SPEC_WORD:
        case SPEC_BOOL:
        case SPEC_COUNT:
        case SPEC_SIZE:
        case SPEC_DURATION:
        case SPEC_PATH:
        case SPEC_MOUNT_POINT:
        case SPEC_SIGNAL:
        case SPEC_USER:
        case SPEC_GROUP:
        case SPEC_CAPABILITY:
        case SPEC_REFERENCE:
        case SPEC_VARIABLE_PREFIX:
        case SPEC_FILE_MODE:
        case SPEC_OTHER: break;
        }
        return a_leaf(s, f);
}

static json_t *a_value(Source *s, const SpecField *f)
{
        SpecField element = *f;
        json_t *list;

        if (s->budget == 0)
                return json_null();
        s->budget--;
        if (!f->list || choose(s, 16) == 15)
                return one_value(s, f);
        element.list = false;
        list = json_array();
        CHECK(list);
        for (unsigned n = choose(s, 4); n > 0; n--)
                (void) json_array_append_new(list, one_value(s, &element));
        return list;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Source source = { data, size, 2000 };
        const SpecType *type = spec_types;
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL, *strict = NULL;
        SpecError error;

        for (unsigned n = choose(&source, 8); n > 0 && type->name; n--)
                type++;
        if (choose(&source, 2) == 0)
                type = spec_types; /* most of the table is the pod's */
        doc = an_object(&source, type->fields);
        if (type != spec_types || choose(&source, 2))
                (void) json_object_set_new(
                                doc, "kind", json_string(type->name ? type->name : "thing"));
        normal = fuzz_normalize(doc, SPEC_DEFAULT, &error);
        strict = fuzz_normalize(doc, SPEC_STRICT_ENTRY, &error);
        CHECK(!strict || json_equal(normal, strict));
        return 0;
}
