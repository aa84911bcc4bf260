/* SPDX-License-Identifier: Apache-2.0 */

/* How a document is refused: what tests/errors/ cannot show, since it is no YAML, or too long to
 * come through. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "error.h"
#include "limit.h"
#include "names.h"
#include "spec-util.h"

#define INVALID TANK_ERROR_INVALID_ARGUMENT

typedef struct Case {
        const char *document;
        const char *path, *message;
        const char *name; /* InvalidArgument when not given */
} Case;

static void expect_error(const json_t *doc, SpecFlags flags, const Case *t)
{
        SpecError error = { 0 };
        json_t *normal = NULL;
        int r;

        r = spec_normalize(doc, flags, &normal, &error);
        if (r >= 0)
                fail_msg("accepted: %s", t->document);
        assert_null(normal);
        if (!error.name || !streq(error.name, t->name ? t->name : INVALID) ||
                        !streq(error.path, t->path) || !streq(error.message, t->message))
                fail_msg("%s\n  gives %s\n  %s: %s\n  not\n  %s: %s", t->document, error.name,
                                error.path, error.message, t->path, t->message);
        assert_int_equal(r, tank_error_to_errno(error.name));
}

/* What YAML cannot say: an empty key. */
static void test_empty_keys(void **state)
{
        static const Case label = { "an empty label", "labels.",
                "'' is no valid key: use 1 to 63 of A-Z, a-z, 0-9, '-', '_' and '.', if need be "
                "behind a domain and '/'" };
        static const Case variable = { "an empty variable", "containers[0].env.",
                "'' cannot name a variable: it must not be empty nor contain '='" };
        CLEANUP_FREE char *with_label = pod_text(", 'labels': {'': 'x'}", "");
        CLEANUP_FREE char *with_variable = pod_text("", ", 'env': {'': 'x'}");
        CLEANUP_JSON json_t *a = document_from(with_label), *b = document_from(with_variable);

        expect_error(a, SPEC_DEFAULT, &label);
        expect_error(b, SPEC_DEFAULT, &variable);
}

/* What is too much: built here, as it is too long to be written. */
static json_t *pod_with_list(const char *key, size_t n, const char *element)
{
        CLEANUP_FREE char *text = pod_text("", "");
        json_t *doc = document_from(text), *list = json_array();
        json_t *container = json_array_get(json_object_get(doc, "containers"), 0);

        for (size_t i = 0; i < n; i++)
                assert_int_equal(json_array_append_new(list, document_from(element)), 0);
        assert_int_equal(json_object_set_new(container, key, list), 0);
        return doc;
}

static void test_bounds(void **state)
{
        static const Case argv = { "argv of more than 2 MiB", "containers[0]",
                "command, args and env have 2097156 bytes, and may have at most 2097152",
                TANK_ERROR_TOO_LARGE };
        static const Case document = { "a document of more than 1 MiB", "",
                "the document has 1200137 bytes, and may have at most 1048576",
                TANK_ERROR_TOO_LARGE };
        json_t *doc;

        /* "run" and its NUL are four bytes, each empty argument is one. */
        doc = pod_with_list("args", LIMIT_ARGV_ENV_MAX, "''");
        expect_error(doc, SPEC_DEFAULT, &argv);
        json_decref(doc);

        doc = pod_with_list("args", 400000, "''");
        expect_error(doc, SPEC_DEFAULT, &document);
        json_decref(doc);
}

/* Whatever a document contains: the error is valid UTF-8 without control characters, and fits. */
static void test_hostile_text(void **state)
{
        static const char *const pieces[] = { "\u00e9", "\u20ac", "\U0001F600", "\x1b[31m", "\n" };

        for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
                CLEANUP_JSON json_t *doc = json_object(), *env = json_object(), *normal = NULL;
                char key[2000] = "=";
                SpecError error = { 0 };

                for (size_t n = i; n + 8 < sizeof(key); n = strlen(key))
                        strcat(key, pieces[i]);
                json_object_set_new(doc, key, json_null());
                assert_int_equal(spec_normalize(doc, SPEC_DEFAULT, &normal, &error), -EINVAL);
                assert_true(error.at_key);
                assert_true(utf8_is_valid(error.path, strlen(error.path)));
                assert_true(utf8_is_valid(error.message, strlen(error.message)));
                for (const char *p = error.message; *p; p++)
                        assert_true((unsigned char) *p >= 0x20);
                for (const char *p = error.path; *p; p++)
                        assert_true((unsigned char) *p >= 0x20);
        }
}

static void test_place(void **state)
{
        CLEANUP_JSON json_t *key = document_from("{'imge': 1}"),
                            *value = document_from("{'name': 1}");
        json_t *normal = NULL;
        SpecError error;

        assert_int_equal(spec_normalize(key, SPEC_DEFAULT, &normal, &error), -EINVAL);
        assert_true(error.at_key);
        assert_int_equal(spec_normalize(value, SPEC_DEFAULT, &normal, &error), -EINVAL);
        assert_false(error.at_key);
        assert_int_equal(spec_normalize(value, SPEC_DEFAULT, &normal, NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty_keys),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_hostile_text),
                cmocka_unit_test(test_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
