/* SPDX-License-Identifier: Apache-2.0 */

/* The keys: no name reaches into its neighbours, and what is encoded comes back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "store-key.h"

static const char *const words[] = { "a", "a-", "prod", "prod-2", "production", "prod2", "p", "z",
        "all", "default", "0", "a1", "aa", "a--b",
        "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc" };
static const char *const types[] = { "pod", "po", "pods", "pod-x", "pod_x", "namespace", "widget" };

static void test_round_trip(void **state)
{
        for (size_t t = 0; t < ARRAY_SIZE(types); t++)
                for (size_t n = 0; n < ARRAY_SIZE(words); n++)
                        for (size_t o = 0; o < ARRAY_SIZE(words); o++) {
                                const char *ns = type_is_global(types[t]) ? "" : words[n];
                                ObjectKey key, back;
                                StoreKey k;

                                if (object_key_init(&key, types[t], ns, words[o]) < 0)
                                        continue;
                                k = object_key_encode(&key);
                                assert_int_equal(object_key_decode(k.data, k.size, &back), 0);
                                assert_string_equal(back.type, types[t]);
                                assert_string_equal(back.namespace, ns);
                                assert_string_equal(back.name, words[o]);
                        }
}

static void test_illegal(void **state)
{
        ObjectKey k;

        assert_int_equal(object_key_init(&k, "pod", "default", ""), -EINVAL);
        assert_int_equal(object_key_init(&k, "pod", "", "a"), -EINVAL);
        assert_int_equal(object_key_init(&k, "pod", "default", "a/b"), -EINVAL);
        assert_int_equal(object_key_init(&k, "pod", "default", "a.b"), -EINVAL);
        assert_int_equal(object_key_init(&k, "pod", "De", "a"), -EINVAL);
        assert_int_equal(object_key_init(&k, "", "default", "a"), -EINVAL);
        assert_int_equal(object_key_init(&k, "namespace", "default", "a"), -EINVAL);
        assert_int_equal(object_key_init(&k, "namespace", "", "a"), 0);
        assert_int_equal(object_key_init(&k, "namespace", NULL, "a"), 0);
}

/* A prefix covers what it names and nothing else, over all pairs of names. */
static void test_prefixes_do_not_bleed(void **state)
{
        for (size_t a = 0; a < ARRAY_SIZE(words); a++)
                for (size_t b = 0; b < ARRAY_SIZE(words); b++) {
                        StoreKey prefix = key_prefix_namespace("pod", words[a]), k;
                        ObjectKey key;

                        if (object_key_init(&key, "pod", words[b], "x") < 0)
                                continue;
                        k = object_key_encode(&key);
                        assert_int_equal(key_has_prefix(k.data, k.size, &prefix), a == b);
                }
        for (size_t a = 0; a < ARRAY_SIZE(types); a++)
                for (size_t b = 0; b < ARRAY_SIZE(types); b++) {
                        StoreKey prefix = key_prefix_type(types[a]), k;
                        ObjectKey key;

                        if (object_key_init(&key, types[b],
                                            type_is_global(types[b]) ? "" : "default", "x") < 0)
                                continue;
                        k = object_key_encode(&key);
                        assert_int_equal(key_has_prefix(k.data, k.size, &prefix), a == b);
                }
        for (size_t a = 0; a < ARRAY_SIZE(words); a++)
                for (size_t b = 0; b < ARRAY_SIZE(words); b++) {
                        ObjectKey x, y;
                        StoreKey prefix, k;

                        if (object_key_init(&x, "pod", "default", words[a]) < 0 ||
                                        object_key_init(&y, "pod", "default", words[b]) < 0)
                                continue;
                        prefix = key_prefix_history(&x);
                        k = history_key_encode(&y, UINT64_C(0x0102030405060708), 3);
                        assert_int_equal(key_has_prefix(k.data, k.size, &prefix), a == b);
                }
}

static int compare(const StoreKey *a, const StoreKey *b)
{
        int r = memcmp(a->data, b->data, MIN(a->size, b->size));

        return r != 0 ? r : (a->size > b->size) - (a->size < b->size);
}

static void test_order(void **state)
{
        static const uint64_t revisions[] = { 0, 1, 9, 10, 255, 256, 65535, 65536,
                UINT64_C(1) << 40, UINT64_MAX };
        ObjectKey key;

        for (size_t i = 1; i < ARRAY_SIZE(revisions); i++) {
                StoreKey a = change_key_encode(revisions[i - 1], UINT32_MAX);
                StoreKey b = change_key_encode(revisions[i], 0);
                uint64_t revision;
                uint32_t index;

                assert_true(compare(&a, &b) < 0);
                assert_int_equal(change_key_decode(b.data, b.size, &revision, &index), 0);
                assert_true(revision == revisions[i] && index == 0);
        }

        /* Behind a type comes the next one, whatever their names share. */
        for (size_t a = 0; a < ARRAY_SIZE(types); a++)
                for (size_t b = 0; b < ARRAY_SIZE(types); b++) {
                        StoreKey behind = key_behind_type(types[a]), k;
                        int r;

                        assert_int_equal(
                                        object_key_init(&key, types[b],
                                                        type_is_global(types[b]) ? "" : "zz", "zz"),
                                        0);
                        k = object_key_encode(&key);
                        r = compare(&k, &behind);
                        if (a == b)
                                assert_true(r < 0);
                        else
                                assert_int_equal(r < 0, strcmp(types[b], types[a]) < 0);
                }
}

static void test_decode_junk(void **state)
{
        static const struct {
                const char *data;
                size_t size;
        } bad[] = {
                { "", 0 },
                { "pod", 3 },
                { "pod\0", 4 },
                { "pod\0default", 11 },
                { "pod\0default\0", 12 },
                { "pod\0default\0web\0", 16 },
                { "pod\0\0web", 8 },
                { "namespace\0x\0web", 15 },
                { "pod\0default\0W", 13 },
                { "\0default\0web", 12 },
                { "pod\0default\0we\0b", 16 },
        };
        ObjectKey key;
        uint64_t revision;
        uint32_t index;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(object_key_decode(bad[i].data, bad[i].size, &key), -EBADMSG);
        assert_int_equal(change_key_decode("12345678901", 11, &revision, &index), -EBADMSG);
        assert_int_equal(change_key_decode("1234567890123", 13, &revision, &index), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_illegal),
                cmocka_unit_test(test_prefixes_do_not_bleed),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_decode_junk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
