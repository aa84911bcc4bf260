/* SPDX-License-Identifier: Apache-2.0 */

/* Values of secrets and configs: bytes in are bytes out, each value has one spelling, and one
 * object holds so much and no more. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base64.h"
#include "data.h"
#include "error.h"
#include "limit.h"
#include "names.h"
#include "spec-util.h"

static void test_base64_vectors(void **state)
{
        static const char *const vectors[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
                { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
                { "foobar", "Zm9vYmFy" }, { "\xff\xef\xbe", "/+++" } };

        for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
                CLEANUP_FREE char *text = NULL, *data = NULL;
                size_t n;

                assert_int_equal(base64_encode(vectors[i][0], strlen(vectors[i][0]), &text), 0);
                assert_string_equal(text, vectors[i][1]);
                assert_int_equal(base64_decode(text, strlen(text), &data, &n), 0);
                assert_string_equal(data, vectors[i][0]);
                assert_int_equal(n, strlen(vectors[i][0]));
        }
}

static void test_base64_refused(void **state)
{
        static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zm8", "Zh==", "Zm9=", "=",
                "====", "Zg==Zg==", "Zm9v!", "Zm-_", "Zm9v\v" };
        static const char *const good[] = { " Zg==", "Z\ng = =\n", "Z\r\ng\t==" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char *data;
                size_t n;

                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &data, &n), -EINVAL);
        }
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                CLEANUP_FREE char *data = NULL;
                size_t n;

                assert_int_equal(base64_decode(good[i], strlen(good[i]), &data, &n), 0);
                assert_string_equal(data, "f");
        }
}

/* Every byte, at every place of a group, and every length. */
static void test_bytes(void **state)
{
        for (size_t size = 0; size < 700; size++) {
                CLEANUP_JSON json_t *value = NULL, *again = NULL;
                char bytes[700], *back;
                size_t n;

                for (size_t i = 0; i < size; i++)
                        bytes[i] = (char) (i * 31 + size);
                assert_int_equal(data_encode(bytes, size, &value), 0);
                assert_int_equal(data_decode(value, &back, &n), 0);
                assert_int_equal(n, size);
                assert_memory_equal(back, bytes, size);
                assert_int_equal(data_encode(back, n, &again), 0);
                assert_true(json_equal(value, again));
                data_free(back, n);
        }
}

static void check_spelling(const char *given, const char *stored)
{
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL, *expected = document_from(stored);
        CLEANUP_FREE char *text = NULL;

        assert_true(asprintf(&text, "{'kind': 'config', 'name': 'a', 'data': {'k': %s}}", given) >
                        0);
        doc = document_from(text);
        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, NULL), 0);
        assert_true(json_equal(json_object_get(json_object_get(normal, "data"), "k"),
                        json_object_get(expected, "k")));
}

/* Nothing is guessed and nothing expanded, and both spellings of a value are one. */
static void test_spelling(void **state)
{
        check_spelling("'password'", "{'k': 'password'}");
        check_spelling("'pa$$word${HOME}'", "{'k': 'pa$$word${HOME}'}");
        check_spelling("'cGFzcw=='", "{'k': 'cGFzcw=='}");
        check_spelling("{'base64': 'cGFzcw=='}", "{'k': 'pass'}");
        check_spelling("{'base64': 'AA=='}", "{'k': {'base64': 'AA=='}}");
        check_spelling("'\\u0001'", "{'k': {'base64': 'AQ=='}}");
        check_spelling("'a\\r\\n\\tb'", "{'k': 'a\\r\\n\\tb'}");
        check_spelling("''", "{'k': ''}");
}

static void test_keys(void **state)
{
        static const char *const good[] = { "a", "A", "0", "-", "_", ".a", "a..b", "tls.crt" };
        static const char *const bad[] = { "", ".", "..", "..a", "a/b", "a b", "a=b", "\xc3\xa9",
                "a\n" };
        char key[LIMIT_DATA_KEY_MAX + 2];

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(data_key_is_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(data_key_is_valid(bad[i]));
        memset(key, 'k', sizeof(key));
        key[LIMIT_DATA_KEY_MAX + 1] = 0;
        assert_false(data_key_is_valid(key));
        key[LIMIT_DATA_KEY_MAX] = 0;
        assert_true(data_key_is_valid(key));
}

/* A secret with two values of @size bytes in all. */
static int normalize_of_size(size_t size, SpecError *reterr)
{
        CLEANUP_JSON json_t *doc = document_from("{'kind': 'secret', 'name': 'a', 'data': {}}");
        CLEANUP_JSON json_t *normal = NULL;
        json_t *data = json_object_get(doc, "data"), *value;
        char *bytes = calloc(1, size);

        assert_non_null(bytes);
        assert_int_equal(data_encode(bytes, 10, &value), 0);
        assert_int_equal(json_object_set_new(data, "a", value), 0);
        assert_int_equal(data_encode(bytes, size - 10, &value), 0);
        assert_int_equal(json_object_set_new(data, "b", value), 0);
        free(bytes);
        return spec_normalize(doc, SPEC_DEFAULT, &normal, reterr);
}

static void test_size(void **state)
{
        SpecError e = {};

        assert_int_equal(normalize_of_size(LIMIT_DATA_MAX, &e), 0);
        assert_int_equal(normalize_of_size(LIMIT_DATA_MAX + 1, &e), -EFBIG);
        assert_string_equal(e.name, TANK_ERROR_TOO_LARGE);
        assert_string_equal(e.path, "data");
        assert_string_equal(e.message,
                        "all values together have 1048577 bytes, and may have at most 1048576");
}

static void test_count(void **state)
{
        CLEANUP_JSON json_t *doc = document_from("{'kind': 'config', 'name': 'a', 'data': {}}");
        CLEANUP_JSON json_t *normal = NULL, *more = NULL;
        json_t *data = json_object_get(doc, "data");
        SpecError e = {};

        for (unsigned i = 0; i < LIMIT_DATA_KEYS; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "%u", i);
                assert_int_equal(json_object_set_new(data, key, json_string("")), 0);
        }
        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, &e), 0);
        assert_int_equal(json_object_set_new(data, "one-more", json_string("")), 0);
        assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &more, &e), -EINVAL);
        assert_string_equal(e.message, "has 1025 entries, and may have at most 1024");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_base64_vectors),
                cmocka_unit_test(test_base64_refused),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_spelling),
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_count),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
