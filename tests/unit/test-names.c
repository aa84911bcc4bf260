/* SPDX-License-Identifier: Apache-2.0 */

/* Names, labels, text, paths; words that are nearly right; capabilities. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/capability.h>

#include "capability.h"
#include "names.h"

#define TEN   "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void expect(bool (*valid)(const char *), bool wanted, const char *const *words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (valid(words[i]) != wanted)
                        fail_msg("'%s' is taken as %s", words[i], wanted ? "invalid" : "valid");
}
#define EXPECT(valid, wanted, ...) \
        do { \
                static const char *const _words[] = { __VA_ARGS__ }; \
                expect(valid, wanted, _words, ARRAY_SIZE(_words)); \
        } while (false)

static void test_names(void **state)
{
        EXPECT(name_is_valid, true, "a", "0", "web", "web-1", "a--b", SIXTY "012");
        EXPECT(name_is_valid, false, "", "-", "-a", "a-", "A", "Web", "a_b", "a.b", "a/b", "..",
                        "../x", "a b", "a\n", "ä", SIXTY "0123");
}

static bool is_hostname(const char *s)
{
        return host_name_is_valid(s, 64);
}

static void test_hosts(void **state)
{
        static const char *const addresses[][2] = { { "10.0.0.1", "10.0.0.1" },
                { "0.0.0.0", "0.0.0.0" }, { "::1", "::1" }, { "FD00:0:0:0:0:0:0:7", "fd00::7" },
                { "::ffff:1.2.3.4", "::ffff:1.2.3.4" }, { "", NULL }, { "10.0.0", NULL },
                { "010.0.0.1", NULL }, { "10.0.0.256", NULL }, { "10.0.0.1 ", NULL },
                { "10.0.0.1/8", NULL }, { "::1%lo", NULL }, { ":", NULL }, { "db", NULL },
                { "10.0.0.1\n10.0.0.2", NULL } };
        char text[ADDRESS_TEXT_SIZE];

        EXPECT(is_hostname, true, "a", "web", "web.example.org", "7", "1.2.3", "10.0.0", "a--b.c",
                        SIXTY "012", SIXTY ".abc", "ffff");
        EXPECT(is_hostname, false, "", ".", "a.", ".a", "a..b", "-a", "a-.b", "A", "a_b", "a b",
                        "a\nb", "10.0.0.1", "::1", "ä", SIXTY "0123", SIXTY ".abcd");
        assert_true(host_name_is_valid(SIXTY ".abcd", 253));
        for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
                int r = address_normalize(addresses[i][0], text);

                assert_int_equal(r, addresses[i][1] ? 0 : -EINVAL);
                if (r == 0)
                        assert_string_equal(text, addresses[i][1]);
        }
}

static void test_types(void **state)
{
        EXPECT(type_is_valid, true, "pod", "scaling_operation", "a-b", "a1", "a" SIXTY "0");
        EXPECT(type_is_valid, false, "", "1a", "_a", "Pod", "a/b", "a.b", "a b", "a" SIXTY "01");
}

static void test_label_keys(void **state)
{
        EXPECT(label_key_is_valid, true, "app", "App", "a.b_c-d", "example.org/app", SIXTY "012",
                        "x/" SIXTY "012");
        EXPECT(label_key_is_valid, false, "", "/", "/a", "a/", "a/b/c", "-a", "a-", "a b", "_a",
                        "a_b/c", SIXTY "0123", "x/" SIXTY "0123");
}

static void test_label_values(void **state)
{
        char longest[258];

        EXPECT(label_value_is_valid, true, "", "blue", "two words", "größe", "日本語",
                        "\U0001F600");
        EXPECT(label_value_is_valid, false, "a\nb", "\x1b[31m", "a\x7f",
                        "\xc2\x9b"
                        "31m",
                        "\xff", "\xc3");

        memset(longest, 'a', sizeof(longest));
        longest[256] = '\0';
        assert_true(label_value_is_valid(longest));
        longest[256] = 'a';
        longest[257] = '\0';
        assert_false(label_value_is_valid(longest));
}

static bool text_is_valid(const char *s)
{
        return utf8_is_valid(s, strlen(s));
}

static void test_utf8(void **state)
{
        EXPECT(text_is_valid, true, "", "a\tb\n", "ü", "€", "\U00010348", "\xf4\x8f\xbf\xbf");
        EXPECT(text_is_valid, false, "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82",
                        "a\xff", "\xe2\x28\xa1");
        assert_false(utf8_is_valid("a\0b", 3));
        /* Nothing behind the end is looked at. */
        assert_false(utf8_is_valid("\xe2\x82\xac", 2));
        assert_true(utf8_is_valid("\xe2\x82\xac", 3));
}

static void test_utf8_repair(void **state)
{
        static const char *const pairs[][2] = {
                { "", "" },
                { "plain", "plain" },
                { "caf\xc3\xa9", "caf\xc3\xa9" },
                { "cut\xc3", "cut?" },
                { "\xe2\x82", "??" },
                { "\xff\xe2\x82\xac\xc0\x80", "?\xe2\x82\xac??" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                CLEANUP_FREE char *s = strdup(pairs[i][0]);

                assert_non_null(s);
                utf8_repair(s);
                assert_string_equal(s, pairs[i][1]);
        }
}

static void test_paths(void **state)
{
        EXPECT(path_is_absolute_normal, true, "/", "/a", "/a/b", "/a.b/..c", "/...");
        EXPECT(path_is_absolute_normal, false, "", "a", "a/b", "//", "/a/", "/a//b", "/.", "/./a",
                        "/..", "/a/../b", "/a/.");
}

static void test_nearest_word(void **state)
{
        static const char *const fields[] = { "name", "image", "command", "args", "env", "limits",
                "tty", NULL };
        static const char *const none[] = { NULL };

        assert_string_equal(nearest_word("imge", fields), "image");
        assert_string_equal(nearest_word("iamge", fields), "image"); /* swapped: one edit */
        assert_string_equal(nearest_word("comand", fields), "command");
        assert_string_equal(nearest_word("commands", fields), "command");
        assert_string_equal(nearest_word("limist", fields), "limits");
        assert_string_equal(nearest_word("evn", fields), "env");
        assert_null(nearest_word("volumes", fields));
        assert_null(nearest_word("xy", fields));
        assert_null(nearest_word("", fields));
        assert_null(nearest_word("image", none));
        assert_null(nearest_word(SIXTY TEN, fields));
}

static void test_types_from_words(void **state)
{
        assert_string_equal(type_from_word("pod"), "pod");
        assert_string_equal(type_from_word("pods"), "pod");
        assert_string_equal(type_from_word("po"), "pod");
        assert_string_equal(type_from_word("ns"), "namespace");
        assert_string_equal(type_from_word("namespaces"), "namespace");
        assert_null(type_from_word("Pod"));
        assert_null(type_from_word("configmap"));
        assert_null(type_from_word(""));
}

static void test_capabilities(void **state)
{
        assert_int_equal(capability_from_name("CAP_CHOWN"), CAP_CHOWN);
        assert_int_equal(capability_from_name("NET_RAW"), CAP_NET_RAW);
        assert_int_equal(capability_from_name("CAP_"), -EINVAL);
        assert_int_equal(capability_from_name("chown"), -EINVAL);
        assert_int_equal(capability_from_name("ALL"), -EINVAL);
        assert_null(capability_to_name(-1));
        assert_null(capability_to_name(CAP_LAST_CAP + 1));
        for (int i = 0; i <= CAP_LAST_CAP; i++)
                assert_int_equal(capability_from_name(capability_to_name(i)), i);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_hosts),
                cmocka_unit_test(test_types),
                cmocka_unit_test(test_label_keys),
                cmocka_unit_test(test_label_values),
                cmocka_unit_test(test_utf8),
                cmocka_unit_test(test_utf8_repair),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_nearest_word),
                cmocka_unit_test(test_types_from_words),
                cmocka_unit_test(test_capabilities),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
