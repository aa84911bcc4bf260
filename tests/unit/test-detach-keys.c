/* SPDX-License-Identifier: Apache-2.0 */

/* The keys that detach: how they are written, and that they are found wherever a read ends, with
 * everything else passed on as it was typed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl-detach.h"

static void check_keys(const char *text, const char *keys)
{
        DetachKeys k;

        assert_int_equal(detach_keys_parse(text, &k), 0);
        assert_int_equal(k.n, strlen(keys));
        assert_memory_equal(k.keys, keys, k.n);
        assert_int_equal(k.held, 0);
}

static void test_parse(void **state)
{
        static const char *const bad[] = { ",", "a,", ",a", "ab", "a,,b", "ctrl-", "ctrl-pq",
                "ctrl-1", "ctrl-p ctrl-q", "a, b", " ", "\001", "\303\251", "ctrl-p,ctrl",
                "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q" };
        DetachKeys k;

        check_keys("", "");
        check_keys(DETACH_KEYS_DEFAULT, "\020\021");
        check_keys("ctrl-P,ctrl-Q", "\020\021");
        check_keys("a", "a");
        check_keys("a,b,~", "ab~");
        check_keys("ctrl-]", "\035");
        check_keys("ctrl-[,ctrl-\\,ctrl-^,ctrl-_,ctrl-z", "\033\034\036\037\032");
        check_keys("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "abcdefghijklmnop");
        assert_int_equal(detach_keys_parse("ctrl-@", &k), 0);
        assert_int_equal(k.n, 1);
        assert_int_equal(k.keys[0], 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(detach_keys_parse(bad[i], &k), -EINVAL);
}

typedef struct Typed {
        char out[256];
        size_t n;
        bool detached;
} Typed;

/* @text in pieces of @piece bytes. */
static Typed type(DetachKeys *k, const char *text, size_t piece)
{
        size_t size = strlen(text);
        Typed t = {};

        for (size_t i = 0; i < size && !t.detached; i += piece) {
                size_t passed;

                t.detached = detach_keys_pass(
                                k, text + i, MIN(piece, size - i), t.out + t.n, &passed);
                assert_true(passed <= MIN(piece, size - i) + DETACH_KEYS_MAX);
                t.n += passed;
        }
        return t;
}

/* Whatever the pieces. @passed is what comes before the end. */
static void check(
                const char *keys, const char *text, const char *passed, size_t held, bool detached)
{
        for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
                DetachKeys k;
                Typed t;

                assert_int_equal(detach_keys_parse(keys, &k), 0);
                t = type(&k, text, piece);
                assert_int_equal(t.detached, detached);
                assert_int_equal(t.n, strlen(passed));
                assert_memory_equal(t.out, passed, t.n);
                if (!detached) {
                        assert_int_equal(detach_keys_end(&k, t.out), held);
                        assert_memory_equal(t.out, k.keys, held);
                        assert_int_equal(detach_keys_end(&k, t.out), 0);
                }
        }
}

static void test_matching(void **state)
{
        const char *const keys = DETACH_KEYS_DEFAULT;

        check(keys, "hello", "hello", 0, false);
        check(keys, "a\020\021b", "a", 0, true);
        check(keys, "\020", "", 1, false); /* waits for one more */
        check(keys, "\020a\021", "\020a\021", 0, false);
        check(keys, "\020\020", "\020", 1, false);
        check(keys, "\020\020\021", "\020", 0, true);
        check(keys, "\021\020", "\021", 1, false);
        check(keys, "\020\020\020a", "\020\020\020a", 0, false);
        check("", "\020\021", "\020\021", 0, false);
        check("q", "abqc", "ab", 0, true);
        /* Sequences that begin within themselves. */
        check("x,x,y", "xxxy", "x", 0, true);
        check("x,x,y", "xxzxxy", "xxz", 0, true);
        check("a,b,a,c", "ababac", "ab", 0, true);
        check("a,b,a,c", "abababad", "abababad", 0, false);
        check("a,b,a,c", "ababa", "ab", 3, false);
        check("a,a,a,b", "aaaaaaab", "aaaa", 0, true);
}

/* Against the plain way to do it, for all texts of an alphabet of two. */
static void test_all_short_texts(void **state)
{
        for (unsigned n = 1; n <= 4; n++)
                for (unsigned key = 0; key < 1U << n; key++)
                        for (unsigned text = 0; text < 1U << 9; text++) {
                                char keys[8], t[10], *found;
                                DetachKeys k = { .n = n };
                                size_t passed;
                                Typed got;

                                for (unsigned i = 0; i < n; i++)
                                        k.keys[i] = keys[i] = key >> i & 1 ? 'a' : 'b';
                                keys[n] = '\0';
                                for (unsigned i = 0; i < 9; i++)
                                        t[i] = text >> i & 1 ? 'a' : 'b';
                                t[9] = '\0';
                                found = strstr(t, keys);
                                got = type(&k, t, 1 + text % 4);
                                assert_int_equal(got.detached, found != NULL);
                                passed = found ? (size_t) (found - t) : 9;
                                if (!found)
                                        got.n += detach_keys_end(&k, got.out + got.n);
                                assert_int_equal(got.n, passed);
                                assert_memory_equal(got.out, t, passed);
                        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_matching),
                cmocka_unit_test(test_all_short_texts),
        };

        return cmocka_run_group_tests_name("detach-keys", tests, NULL, NULL);
}
