/* SPDX-License-Identifier: Apache-2.0 */

/* tankctl's YAML: what a scalar means, what is refused and where, and that nothing grows without
 * bound. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctl-yaml.h"
#include "document.h"
#include "limit.h"

static char *canonical(const json_t *value)
{
        char *text = json_dumps(value,
                        JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        assert_non_null(text);
        return text;
}

/* Every document of @text as JSON, a space behind each. */
static void assert_reads_as(const char *text, bool split, const char *expected)
{
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        char got[4096] = "";
        YamlError e = {};
        int r;

        assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
        if (split)
                yaml_reader_split_lists(reader);
        for (;;) {
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                CLEANUP_FREE char *json = NULL;

                r = yaml_reader_next(reader, &d, &e);
                if (r < 0)
                        fail_msg("%s: %zu:%zu: %s", text, e.position.line, e.position.column,
                                        e.message);
                if (r == 0)
                        break;
                json = canonical(yaml_document_root(d));
                strcat(got, json);
                strcat(got, " ");
        }
        assert_string_equal(got, expected);
}

static void assert_reads(const char *text, const char *expected)
{
        assert_reads_as(text, false, expected);
}

static void assert_refuses_bytes(
                const char *text, size_t size, size_t line, size_t column, const char *part)
{
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        YamlError e = {};
        int r;

        r = yaml_reader_new(text, size, &reader, &e);
        while (r >= 0) {
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;

                r = yaml_reader_next(reader, &d, &e);
                if (r == 0)
                        fail_msg("accepted: %.200s", text);
        }
        assert_int_equal(r, -EINVAL);
        if (!strstr(e.message, part))
                fail_msg("\"%s\" is not in \"%s\"", part, e.message);
        if (e.position.line != line || e.position.column != column)
                fail_msg("%s: at %zu:%zu, not %zu:%zu", e.message, e.position.line,
                                e.position.column, line, column);
        /* A reader that failed gives nothing more. */
        if (reader) {
                YamlDocument *d = NULL;

                assert_int_equal(yaml_reader_next(reader, &d, &e), 0);
        }
}

static void assert_refuses(const char *text, size_t line, size_t column, const char *part)
{
        assert_refuses_bytes(text, strlen(text), line, column, part);
}

static void test_scalars(void **state)
{
        assert_reads("[true, false]", "[true,false] ");
        assert_reads("[True, TRUE, yes, no, on, off, y, n]",
                        "[\"True\",\"TRUE\",\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\"] ");
        assert_reads("[null, ~, Null, '', \"null\"]", "[null,null,null,\"\",\"null\"] ");
        assert_reads("a:\nb: \nc: x\n", "{\"a\":null,\"b\":null,\"c\":\"x\"} ");
        assert_reads("[0, 12, -3, +4, 0x1F, 0o17]", "[0,12,-3,4,31,15] ");
        assert_reads("[0755, 00, 12:30, 1_000, 0b1, 2026-01-01, 1.2.3]",
                        "[\"0755\",\"00\",\"12:30\",\"1_000\",\"0b1\",\"2026-01-01\",\"1.2.3\"] ");
        assert_reads("[0.5, .5, 5., 1e3, -2.5E-1]", "[0.5,0.5,5.0,1000.0,-0.25] ");
        assert_reads("[., +, -1-, 1e, e1, 0x, 00.5]",
                        "[\".\",\"+\",\"-1-\",\"1e\",\"e1\",\"0x\",\"00.5\"] ");
}

static void test_text(void **state)
{
        assert_reads("a: |\n  one\n  two\nb: >\n  three\n  four\n",
                        "{\"a\":\"one\\ntwo\\n\",\"b\":\"three four\\n\"} ");
        assert_reads("k: \"\\u00e9\\t\\\"\"\n", "{\"k\":\"\u00e9\\t\\\"\"} ");
        assert_reads("\u00fc: \u2192\n", "{\"\u00fc\":\"\u2192\"} ");
        assert_reads("1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"} ");
}

static void test_documents(void **state)
{
        assert_reads("", "");
        assert_reads("# nothing\n", "");
        assert_reads("a: 1\n---\n# none\n---\nb: 2\n...\n", "{\"a\":1} {\"b\":2} ");
        assert_reads("%YAML 1.2\n---\na: 1\n", "{\"a\":1} ");
        assert_reads("{\"a\": [1, {\"b\": null}],\n\t\"c\":\"d\\/e\"}\n",
                        "{\"a\":[1,{\"b\":null}],\"c\":\"d/e\"} ");
}

static void test_aliases(void **state)
{
        assert_reads("a: &x {k: [1, 2]}\nb: *x\nc: &x 7\nd: *x\n",
                        "{\"a\":{\"k\":[1,2]},\"b\":{\"k\":[1,2]},\"c\":7,\"d\":7} ");
        assert_refuses("a: *x\n", 1, 4, "&x");
        assert_refuses("a: &x [*x]\n", 1, 8, "&x");
        assert_refuses("a: &x 1\n---\nb: *x\n", 3, 4, "&x");
        assert_refuses("&x a: 1\n", 1, 1, "anchor");
        assert_refuses("a: &x k\n*x : 1\n", 2, 1, "alias");
        assert_refuses("a: {<<: {b: 1}}\n", 1, 5, "merge");
        assert_reads("a: {'<<': 1}\n", "{\"a\":{\"<<\":1}} ");
}

static void test_alias_bomb(void **state)
{
        char text[4096];
        size_t n = 0;

        n += (size_t) sprintf(text + n, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for (int i = 1; i < 9; i++)
                n += (size_t) sprintf(text + n,
                                "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, "
                                "*a%d]\n",
                                i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
                                i - 1);
        assert_refuses(text, 4, 10, "1000 nodes");
}

/* Exactly the limit passes, one more does not; a long text counts by its bytes. */
static void test_alias_limits(void **state)
{
        CLEANUP_FREE char *text = malloc(LIMIT_DOCUMENT_MAX + 65536);
        size_t n = 0;

        assert_non_null(text);
        n += (size_t) sprintf(text, "a: &a x\nb: [");
        for (unsigned i = 0; i < LIMIT_YAML_ALIAS_NODES; i++)
                n += (size_t) sprintf(text + n, "*a,");
        sprintf(text + n, "]\n");
        {
                CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                YamlError e;

                assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
                assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
                assert_int_equal(json_array_size(json_object_get(yaml_document_root(d), "b")),
                                LIMIT_YAML_ALIAS_NODES);
        }
        sprintf(text + n, "*a]\n");
        assert_refuses(text, 2, 5 + 3 * LIMIT_YAML_ALIAS_NODES, "1000 nodes");

        n = (size_t) sprintf(text, "a: &a ");
        memset(text + n, 'x', 100000);
        n += 100000;
        sprintf(text + n, "\nb: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n");
        assert_refuses(text, 2, 41, "more than 1048576 bytes");
}

static void test_depth(void **state)
{
        char text[512];

        memset(text, '[', LIMIT_DOCUMENT_DEPTH);
        memset(text + LIMIT_DOCUMENT_DEPTH, ']', LIMIT_DOCUMENT_DEPTH);
        text[2 * LIMIT_DOCUMENT_DEPTH] = '\0';
        {
                CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                YamlError e;

                assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
                assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        }
        memset(text, '[', 300);
        text[300] = '\0';
        assert_refuses(text, 1, LIMIT_DOCUMENT_DEPTH + 1, "deeper");
        /* Aliases nest as well. */
        sprintf(text, "a: &a %.*s1%.*s\nb: %.*s*a%.*s\n", 40,
                        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 40,
                        "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 30,
                        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 30, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
        assert_refuses(text, 2, 34, "deeper");
}

static void test_refused(void **state)
{
        assert_refuses("a: 1\nb:\n\t- c\n", 3, 1, "tab");
        assert_refuses("a: 1\nb: {c: 1, c: 2}\n", 2, 11, "duplicate");
        assert_refuses("\"a\": 1\na: 2\n", 2, 1, "duplicate");
        assert_refuses("a: !!str 1\n", 1, 4, "tag");
        assert_refuses("a: ! 1\n", 1, 4, "tag");
        assert_refuses("a: !x {b: 1}\n", 1, 4, "tag");
        assert_refuses("%TAG ! tag:x,2000:\n---\na: 1\n", 1, 1, "tag");
        assert_refuses("? [a, b]\n: 1\n", 1, 3, "key");
        assert_refuses(": 1\n", 1, 1, "key");
        assert_refuses("a: .inf\n", 1, 4, "quote");
        assert_refuses("a: -.INF\n", 1, 4, "quote");
        assert_refuses("a: .nan\n", 1, 4, "quote");
        assert_refuses("a: 9223372036854775808\n", 1, 4, "64 bits");
        assert_refuses("a: 1e999\n", 1, 4, "too large");
        assert_refuses("a: \"x\\0y\"\n", 1, 4, "NUL");
        assert_refuses("a: b: c\n", 1, 5, "a second \":\"");
        assert_refuses("a: @x\n", 1, 4, "quote");
        assert_refuses("a: [1, 2\nb: 3\n", 2, 2, "the list that opens in line 1");
}

static void test_bytes(void **state)
{
        assert_refuses("\xff\xfe"
                       "a",
                        1, 1, "UTF-16");
        assert_refuses("\xfe\xff"
                       "a",
                        1, 1, "UTF-16");
        assert_refuses("\xef\xbb\xbf"
                       "a: 1\n",
                        1, 1, "byte order mark");
        assert_refuses_bytes("a: 1\nb\0c\n", 9, 2, 2, "NUL");
        assert_refuses("a: 1\nb: \xc3\x28\n", 2, 5, "UTF-8");
        assert_refuses("a: 1\nb: \x01\n", 2, 4, "control character");
        assert_refuses("\x7f"
                       "ELF\x02\x01",
                        1, 1, "control character");
}

/* Line breaks of YAML 1.1 alone: raw they are refused wherever they stand, or text would change;
 * as escapes they are what they say, and so they are printed. */
static void test_foreign_breaks(void **state)
{
        static const char *const breaks[] = { "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
        CLEANUP_FREE char *printed = NULL;
        const char *text = "{\"a\": \"x\\u0085y\\u2028\\u2029\", \"b\": \"x\\N\\L\\P\"}";
        YamlError e;
        size_t size;
        FILE *f;

        for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
                char refused[64];

                (void) sprintf(refused, "a: 1\nb: \"\xc3\xa4%sc\"\n", breaks[i]);
                assert_refuses(refused, 2, 6, "write it as an escape in double quotes");
                (void) sprintf(refused, "{\"a\": \"b%sc\"}", breaks[i]);
                assert_refuses(refused, 1, 9, "control character");
                (void) sprintf(refused, "{\"a\": \"\\ud83d\\ude00%s\"}", breaks[i]);
                assert_refuses(refused, 1, 20, "control character");
                (void) sprintf(refused, "a: 1 # to%sb: 2\n", breaks[i]);
                assert_refuses(refused, 1, 10, "control character");
                (void) sprintf(refused, "a: |\n  to%s  b\n", breaks[i]);
                assert_refuses(refused, 2, 5, "control character");
        }
        assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        assert_string_equal(json_get_string(yaml_document_root(d), "a"),
                        "x\xc2\x85y\xe2\x80\xa8\xe2\x80\xa9");
        assert_string_equal(json_get_string(yaml_document_root(d), "b"),
                        "x\xc2\x85\xe2\x80\xa8\xe2\x80\xa9");
        f = open_memstream(&printed, &size);
        assert_non_null(f);
        assert_int_equal(yaml_print(f, yaml_document_root(d), false), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(printed, "a: \"x\\Ny\\L\\P\"\nb: \"x\\N\\L\\P\"\n");
}

/* libyaml gives up keys of more than 1024 characters, and misses something else then. */
static void test_long_keys(void **state)
{
        static const struct {
                const char *before, *behind;
                size_t n;
                size_t line, column; /* 0: is read */
        } cases[] = {
                { "{\"a\":1,\"", "\":2}", 1022, 0, 0 },
                { "{\"a\":1,\"", "\":2}", 1023, 1, 8 },
                { "{\"", "\": {\"b\": 1}}", 1500, 1, 2 },
                { "a:\n  b: 1\n  ", ": 2\n", 1024, 0, 0 },
                { "a:\n  b: 1\n  ", ": 2\n", 1025, 3, 3 },
                { "", ":\n  c: 1\n", 1500, 1, 1 },
                { "- - '", "': x\n", 1023, 1, 5 },
                { "? ", "\n: 1\n", 1500, 0, 0 },
                { "{\"a\": \"", "\"}", 1500, 0, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char text[2048];

                (void) sprintf(text, "%s%0*d%s", cases[i].before, (int) cases[i].n, 0,
                                cases[i].behind);
                if (cases[i].line > 0) {
                        assert_refuses(text, cases[i].line, cases[i].column,
                                        "a key has at most 1024 characters");
                } else {
                        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
                        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                        YamlError e;

                        assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
                        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
                }
        }
        /* A long value before a ":" too many is no key. */
        {
                char text[2048];

                (void) sprintf(text, "a: %01500d: 1\n", 0);
                assert_refuses(text, 1, 1504, "a second \":\"");
                (void) sprintf(text, "{\"a\": \"%01500d\" : 1}", 0);
                assert_refuses(text, 1, 1510, "needs \",\"");
        }
}

static void test_size(void **state)
{
        size_t size = 10U * 1024 * 1024;
        CLEANUP_FREE char *text = malloc(size + 1);
        size_t n = 3;

        assert_non_null(text);
        memcpy(text, "a:\n", 3);
        while (n + 10 < size) {
                memcpy(text + n, "- abcdefg\n", 10);
                n += 10;
        }
        text[n] = '\0';
        assert_refuses(text, 131073, 3, "more than 1048576 bytes");
        /* Many documents may be larger together. */
        n = 0;
        for (unsigned i = 0; n + 600020 < size; i++) {
                n += (size_t) sprintf(text + n, "---\na: ");
                memset(text + n, 'x', 600000);
                n += 600000;
                text[n++] = '\n';
        }
        text[n] = '\0';
        {
                CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
                unsigned count = 0;
                YamlError e;
                int r;

                assert_int_equal(yaml_reader_new(text, n, &reader, &e), 0);
                for (;;) {
                        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;

                        r = yaml_reader_next(reader, &d, &e);
                        assert_true(r >= 0);
                        if (r == 0)
                                break;
                        count++;
                }
                assert_int_equal(count, 17);
        }
}

static void assert_position(
                const YamlDocument *d, const char *path, bool at_key, size_t line, size_t column)
{
        YamlPosition p = yaml_document_position(d, path, at_key);

        if (p.line != line || p.column != column)
                fail_msg("%s: at %zu:%zu, not %zu:%zu", path, p.line, p.column, line, column);
}

static void test_positions(void **state)
{
        const char *text = "# first\n"
                           "name: web\n"
                           "containers:\n"
                           "  - name: app\n"
                           "    limits: {memory: 1, cpu: 2}\n"
                           "  - name: b\n"
                           "    env:\n"
                           "      a.b: x\n"
                           "      a: y\n"
                           "base: &x {k: v}\n"
                           "copy: *x\n"
                           "name2: z\n";
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
        YamlError e;

        assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        assert_position(d, "", false, 2, 1);
        assert_position(d, "name", true, 2, 1);
        assert_position(d, "name", false, 2, 7);
        assert_position(d, "name2", false, 12, 8);
        assert_position(d, "containers[0].limits.memory", false, 5, 22);
        assert_position(d, "containers[0].limits.memory", true, 5, 14);
        assert_position(d, "containers[1]", false, 6, 5);
        assert_position(d, "containers[1].env.a.b", true, 8, 7);
        assert_position(d, "containers[1].env.a", true, 9, 7);
        assert_position(d, "copy.k", false, 11, 7);
        /* What is not there: the nearest thing that is. */
        assert_position(d, "containers[1].image", true, 6, 5);
        assert_position(d, "containers[12].image", false, 4, 3);
        assert_position(d, "nam", false, 2, 1);
}

/* What is printed reads back as the same value. */
static void test_round_trip(void **state)
{
        static const char *const values[] = {
                "{\"a\":\"yes\",\"b\":\"0755\",\"c\":\"12\",\"d\":\"true\",\"e\":\"null\",\"f\":"
                "\"\"}",
                "{\"a\":\"~\",\"b\":\"1e3\",\"c\":\".inf\",\"d\":\"0x10\",\"e\":\"12:30\"}",
                "{\"a\":[],\"b\":{},\"c\":[{}],\"d\":[[1,2],[3]],\"e\":null}",
                "{\"a\":\"x: y\",\"b\":\"# no\",\"c\":\"- "
                "z\",\"d\":\"'q'\",\"e\":\"a\\nb\\n\",\"f\":\" \"}",
                "{\"a\":\"\\u001b[31m\",\"b\":\"\u00fc\u2192\",\"c\":\"tab\\there\",\"d\":\"*x\","
                "\"e\":\"&x\"}",
                "{\"a\":0.5,\"b\":-3,\"c\":true,\"d\":false,\"yes\":1,\"1\":2}",
                "{\"a\":\"line\\n\\n  two\\n\",\"b\":\"\\nx\",\"c\":\"x\\n\\n\",\"d\":\"trail "
                "\\n\"}",
        };

        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                CLEANUP_JSON json_t *value = json_loads(values[i], 0, NULL);
                CLEANUP_FREE char *text = NULL;
                YamlError e = {};
                size_t size;
                FILE *f = open_memstream(&text, &size);

                assert_non_null(value);
                assert_non_null(f);
                assert_int_equal(yaml_print(f, value, i % 2), 0);
                assert_int_equal(fclose(f), 0);
                assert_int_equal(yaml_reader_new(text, size, &reader, &e), 0);
                if (yaml_reader_next(reader, &d, &e) != 1)
                        fail_msg("%s: %s", text, e.message);
                if (!json_equal(yaml_document_root(d), value)) {
                        CLEANUP_FREE char *got = canonical(yaml_document_root(d));

                        fail_msg("%s became %s through\n%s", values[i], got, text);
                }
        }
}

static void test_lists(void **state)
{
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[{a: 1}, {b: [1, {c: 2}]}]", "{\"a\":1} {\"b\":[1,{\"c\":2}]} " },
                { "- a: 1\n- b: []\n---\nc: 3\n---\n- d: 4\n",
                                "{\"a\":1} {\"b\":[]} {\"c\":3} {\"d\":4} " },
                { "[]", "" },
                { "[]\n---\n[]\n---\na: 1\n", "{\"a\":1} " },
                { "# nothing\n", "" },
                { "[null, 1, [2, [3]]]", "null 1 [2,[3]] " },
                { "- &x {a: &y 1, b: *y}\n- c\n", "{\"a\":1,\"b\":1} \"c\" " },
        };
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
        const char *text = "[\n{\"a\": 1},\n {\"b\": [1,\n 2]}]", *alias = "[&x 1, *x]";
        YamlPosition at;
        YamlError e;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_reads_as(cases[i].text, true, cases[i].expected);
        /* Each has places of its own, in the file that they are in, */
        assert_int_equal(yaml_reader_new(text, strlen(text), &reader, &e), 0);
        yaml_reader_split_lists(reader);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        d = yaml_document_free(d);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        at = yaml_document_position(d, "b[1]", false);
        assert_true(at.line == 4 && at.column == 2);
        d = yaml_document_free(d);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 0);
        reader = yaml_reader_free(reader);
        /* and anchors, too. */
        assert_int_equal(yaml_reader_new(alias, strlen(alias), &reader, &e), 0);
        yaml_reader_split_lists(reader);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 1);
        d = yaml_document_free(d);
        assert_int_equal(yaml_reader_next(reader, &d, &e), -EINVAL);
        assert_int_equal(yaml_reader_next(reader, &d, &e), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_scalars),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_documents),
                cmocka_unit_test(test_aliases),
                cmocka_unit_test(test_alias_bomb),
                cmocka_unit_test(test_alias_limits),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_foreign_breaks),
                cmocka_unit_test(test_long_keys),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_positions),
                cmocka_unit_test(test_round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
