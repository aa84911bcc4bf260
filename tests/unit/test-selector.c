/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors: what they say yes to, and the words for what is none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "selector.h"

static const char document_text[] =
                "{\"kind\":\"pod\",\"name\":\"web\",\"flag\":true,\"none\":null,\"real\":0.5,"
                "\"labels\":{\"app\":\"web\",\"tier\":\"\",\"example.org/owner\":\"A b,c\","
                "\"n\":\"-1\",\"in\":\"x\"},"
                "\"containers\":[{\"name\":\"a\",\"image\":\"one\",\"ports\":[80,443]},"
                "{\"name\":\"b\",\"image\":\"two\",\"ports\":[]}],"
                "\"7\":{\"x\":\"seven\"},\"a.b\":{\"\":-9223372036854775807},"
                "\"meta\":{\"generation\":3}}";

typedef int (*Parse)(const char *text, Selector **ret, sd_bus_error *reterr);

static void expect(Parse parse, bool wanted, const char *text)
{
        CLEANUP(selector_freep) Selector *s = NULL;
        CLEANUP_JSON json_t *doc = json_loads(document_text, 0, NULL);
        sd_bus_error e = SD_BUS_ERROR_NULL;

        assert_non_null(doc);
        if (parse(text, &s, &e) < 0)
                fail_msg("'%s' is refused: %s", text, e.message);
        if (selector_matches(s, doc) != wanted)
                fail_msg("'%s' is taken as %s", text, wanted ? "false" : "true");
        if (parse == selector_parse_labels)
                assert_int_equal(
                                selector_matches_labels(s, json_object_get(doc, "labels")), wanted);
}

static void expect_all(Parse parse, bool wanted, const char *const *texts, size_t n)
{
        for (size_t i = 0; i < n; i++)
                expect(parse, wanted, texts[i]);
}
#define EXPECT(parse, wanted, ...) \
        do { \
                static const char *const _texts[] = { __VA_ARGS__ }; \
                expect_all(parse, wanted, _texts, ARRAY_SIZE(_texts)); \
        } while (false)

static void test_labels(void **state)
{
        EXPECT(selector_parse_labels, true, "", "  ", "app", "app=web", "app==web", "app = web",
                        " app\t==\nweb ", "app!=db", "gone!=web", "!gone", "! gone",
                        "tier=", "tier", "tier==", "app=web,tier=", "tier=,app", "app in (db,web)",
                        "app in(web)", "app notin (db, cache)", "gone notin (web)",
                        "app in ( web )", "example.org/owner=\"A b,c\"",
                        "example.org/owner in (\"x\", \"A b,c\")", "n=-1", "tier in (\"\")",
                        "in in (x)", "in=x", "in", "app=\"w\\u0065b\"", "notin!=x", "n in (-1)");
        EXPECT(selector_parse_labels, false, "app=db", "app==Web", "app!=web", "gone",
                        "gone=", "!app", "app=", "tier!=", "app=web,gone", "gone,app=web",
                        "app in (db,cache)", "app notin (db,web)", "gone in (web)", "app=we",
                        "app=webb", "n=1", "owner", "example.org/owner=A");
}

static void test_fields(void **state)
{
        EXPECT(selector_parse_fields, true, "", "name=web", ".name=web", "kind in (pod,config)",
                        "flag=true", "flag", "none", "none=null", "real=0.5", "real=5e-1",
                        "meta.generation=3", "meta.generation!=1", "meta.generation in (1,2,3)",
                        "containers[0].image=one", "containers.0.image=one",
                        ".containers[1].name=b", "containers[*].image=two",
                        "containers[*].image in (x,two)", "containers[*].ports[*]=443",
                        "containers[0].ports[1]=443", "containers[*].image!=three",
                        "containers[2].image!=one", "!containers[2]", "!name.x", "!name[0]",
                        "labels[\"example.org/owner\"]=\"A b,c\"", "labels.app=web", "7.x=seven",
                        "[\"a.b\"][\"\"]=-9223372036854775807", "[\"7\"].x", "labels", "containers",
                        "!containers[1].ports[*]", "labels!=x", "labels.tier=");
        EXPECT(selector_parse_fields, false, "name=we", "flag=false", "flag=1", "none=", "real=1",
                        "real=", "real=0.5x", "meta.generation=03", "meta.generation=3.0",
                        "meta.generation!=3", "containers[*].image=three",
                        "containers[*].image!=two", "containers[2].image=one",
                        "containers[18446744073709551]", "labels=web", "containers=one", "[0]",
                        "[*]", "labels[*]=web", "7[0]", "!containers[*].name",
                        "labels.example.org/owner", "name.x", "meta.generation=");
}

static void test_nothing_there(void **state)
{
        CLEANUP(selector_freep) Selector *positive = NULL, *negative = NULL;
        CLEANUP_JSON json_t *empty = json_object();

        assert_true(selector_matches(NULL, empty) && selector_matches_labels(NULL, NULL));
        assert_int_equal(selector_parse_labels("app=web", &positive, NULL), 0);
        assert_int_equal(selector_parse_labels("app!=web,!gone", &negative, NULL), 0);
        assert_false(selector_matches(positive, empty) || selector_matches_labels(positive, NULL));
        assert_true(selector_matches(negative, empty) && selector_matches_labels(negative, NULL));
}

static void test_looks_at(void **state)
{
        CLEANUP(selector_freep) Selector *fields = NULL, *labels = NULL;

        assert_int_equal(selector_parse_fields("a.b=c,[*].x,status.state=running", &fields, NULL),
                        0);
        assert_int_equal(selector_parse_labels("status=x", &labels, NULL), 0);
        assert_true(selector_looks_at(fields, "status") && selector_looks_at(fields, "a"));
        assert_false(selector_looks_at(fields, "state") || selector_looks_at(fields, "b"));
        assert_false(selector_looks_at(labels, "status") || selector_looks_at(NULL, "status"));
}

static void refuse(Parse parse, const char *text, const char *error, const char *words)
{
        Selector *s = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;

        if (parse(text, &s, &e) >= 0)
                fail_msg("'%s' is not refused", text);
        assert_null(s);
        assert_string_equal(e.name, error);
        if (!strstr(e.message, words))
                fail_msg("'%s' is refused with '%s', not with '%s'", text, e.message, words);
        sd_bus_error_free(&e);
}

static void test_errors(void **state)
{
        static const char *const labels[][2] = {
                { ",", "label selector, column 1: a term is missing" },
                { "a,", "column 3: a term is missing" },
                { "a,,b", "column 3: a term is missing" },
                { "a=b c=d", "column 5: expected a comma between terms" },
                { "a=b(c", "column 4: expected a comma" },
                { "!a=b", "column 1: a term that begins with '!'" },
                { "a ~ b", "column 3: expected =, ==, !=, in, notin, or a comma" },
                { "a===b", "column 4: no value begins with '='" },
                { "a=!b", "column 3: no value begins with '!'" },
                { "a in b", "column 6: expected values in parentheses" },
                { "a in", "column 5: expected values in parentheses" },
                { "a in ()", "column 7: a value is missing" },
                { "a in (b,)", "column 9: a value is missing" },
                { "a in (b", "column 8: expected ',' or ')'" },
                { "a in (b c)", "column 9: expected ',' or ')'" },
                { "a=\"b", "column 3: the text in quotes does not end" },
                { "a=\"\\x\"", "column 3: not a JSON string" },
                { "a=\"\\u0000\"", "column 3: not a JSON string" },
                { "=b", "column 1: the key of a label is missing" },
                { "a.b.=c", "column 1: \"a.b.\" is no key of a label" },
                { "x/y/z", "column 1: \"x/y/z\" is no key" },
                { "ä=b", "column 1: \"ä\" is no key" },
                { "a=ä ö", "column 5: expected a comma" },
                { "a[0]", "column 2: expected =, ==, !=, in, notin, or a comma" },
                { "a=b)", "column 4: expected a comma" },
                { "a\x01=b", "column 1:" },
                { "a=\xff", "column 1: the text is not valid UTF-8" },
        };
        static const char *const fields[][2] = {
                { "a.", "field selector, column 3: the name of a field is missing" },
                { "a..b", "column 3: the name of a field is missing" },
                { "a[", "column 3: between brackets stands a number" },
                { "a[]", "column 3: between brackets" },
                { "a[-1]", "column 3: between brackets" },
                { "a[b]", "column 3: between brackets" },
                { "a[0", "column 3: the bracket is not closed" },
                { "a[\"b\"", "column 3: the bracket is not closed" },
                { "a[99999999999999999999]", "column 3: between brackets" },
                { "a]", "column 2: expected =" },
                { "(a)", "column 1: the name of a field is missing" },
                { "a > b", "column 3: expected =" },
                { "a>3", "column 2: expected =" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
                refuse(selector_parse_labels, labels[i][0], TANK_ERROR_INVALID_ARGUMENT,
                                labels[i][1]);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                refuse(selector_parse_fields, fields[i][0], TANK_ERROR_INVALID_ARGUMENT,
                                fields[i][1]);
}

/* The greatest is taken, one more is not. */
static void expect_bound(const char *first, const char *more, const char *last, size_t n)
{
        char text[LIMIT_SELECTOR_BYTES + 16];
        Selector *s = NULL;
        size_t used = (size_t) snprintf(text, sizeof(text), "%s", first), before;

        for (size_t i = 1; i < n; i++)
                used += (size_t) snprintf(text + used, sizeof(text) - used, "%s", more);
        assert_true(used < LIMIT_SELECTOR_BYTES - 8);
        before = used;
        (void) snprintf(text + used, sizeof(text) - used, "%s", last);
        assert_int_equal(selector_parse_fields(text, &s, NULL), 0);
        s = selector_free(s);
        (void) snprintf(text + before, sizeof(text) - before, "%s%s", more, last);
        refuse(selector_parse_fields, text, TANK_ERROR_TOO_LARGE, "");
}

static void test_bounds(void **state)
{
        char text[LIMIT_SELECTOR_BYTES + 2];
        Selector *s = NULL;

        expect_bound("a", ",a", "", LIMIT_SELECTOR_TERMS);
        expect_bound("a in (b", ",b", ")", LIMIT_SELECTOR_VALUES);
        expect_bound("a", ".a", "=b", LIMIT_DOCUMENT_DEPTH);
        memset(text, 'a', sizeof(text));
        text[LIMIT_SELECTOR_BYTES] = 0;
        assert_int_equal(selector_parse_fields(text, &s, NULL), 0);
        s = selector_free(s);
        text[LIMIT_SELECTOR_BYTES] = 'a';
        text[LIMIT_SELECTOR_BYTES + 1] = 0;
        refuse(selector_parse_fields, text, TANK_ERROR_TOO_LARGE, "more than 4096 bytes");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_labels),
                cmocka_unit_test(test_fields),
                cmocka_unit_test(test_nothing_there),
                cmocka_unit_test(test_looks_at),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
