/* SPDX-License-Identifier: Apache-2.0 */

/* What tankctl shows: text made harmless, tables, columns, sorting, and why a pod does not run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctl-columns.h"
#include "ctl-json.h"
#include "ctl-select.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "ctl-why.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "state.h"

/* ---- text ---------------------------------------------------------------------------------- */

static void assert_neutral(const char *text, const char *expected, size_t width)
{
        CLEANUP_FREE char *harmless = NULL;
        size_t w;

        harmless = text_neutral(text, &w);
        assert_string_equal(harmless, expected);
        assert_int_equal(w, width);
        assert_int_equal(text_width(harmless), width);
        assert_true(text_is_harmless(harmless));
        assert_int_equal(text_is_harmless(text), streq(text, expected));
}

static void test_neutral(void **state)
{
        assert_neutral("", "", 0);
        assert_neutral("plain text ~", "plain text ~", 12);
        assert_neutral("\u00fc\u20ac", "\u00fc\u20ac", 2);
        assert_neutral("\033]52;c;cHdu\007", "\\x1b]52;c;cHdu\\x07", 18);
        assert_neutral("a\nb\rc\td\b", "a\\x0ab\\x0dc\\x09d\\x08", 20);
        assert_neutral("\x7f", "\\x7f", 4);
        /* C1, as a character and as a lone byte: CSI and DCS. */
        assert_neutral("\xc2\x9b"
                       "31m",
                        "\\u009b31m", 9);
        assert_neutral("\x9b\x90", "\\x9b\\x90", 8);
        /* Text in another order than its bytes, and nothing to see. */
        assert_neutral("a\u202egnp.exe", "a\\u202egnp.exe", 14);
        assert_neutral("\u2066\u2069\u061c", "\\u2066\\u2069\\u061c", 18);
        assert_neutral("\u200b\ufeff\u2028", "\\u200b\\ufeff\\u2028", 18);
        assert_neutral("\U000e0041", "\\U000e0041", 10);
        /* No UTF-8: cut short, overlong, a surrogate, too large. */
        assert_neutral("\xe2\x82", "\\xe2\\x82", 8);
        assert_neutral("\xc0\x80", "\\xc0\\x80", 8);
        assert_neutral("\xed\xa0\x80", "\\xed\\xa0\\x80", 12);
        assert_neutral("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", 16);
        /* Columns are not characters. */
        assert_neutral("\u4e2d\u6587", "\u4e2d\u6587", 4);
        assert_neutral("e\u0301", "e\u0301", 1);
        assert_neutral("\U0001f600", "\U0001f600", 2);
}

/* Every byte, and every pair of bytes, comes out harmless. */
static void test_neutral_all(void **state)
{
        for (unsigned a = 1; a < 256; a++)
                for (unsigned b = 1; b < 256; b++) {
                        const char text[] = { (char) a, (char) b, 'x', 0 };
                        CLEANUP_FREE char *harmless = text_neutral(text, NULL);

                        assert_true(text_is_harmless(harmless));
                        for (const char *c = harmless; *c; c++)
                                assert_true((unsigned char) *c >= 0x20 && *c != 0x7f);
                }
}

static void test_output(void **state)
{
        size_t size;
        CLEANUP_FREE char *text = output_neutral("one\n\ttwo\0\033[2J\r\n", 15, &size);

        assert_string_equal(text, "one\n\ttwo\\x00\\x1b[2J\\x0d\n");
        assert_int_equal(size, strlen(text));
}

static void test_documents(void **state)
{
        CLEANUP_JSON json_t *doc = json_pack(
                        "{ss ss}", "a", "\033[1m\xc2\x9b\u202e\u00fc\n\x7f", "b", "\U000e0041");
        CLEANUP_JSON json_t *plain = json_pack("{ss}", "a", "\u00fc");
        CLEANUP_JSON json_t *back = NULL;
        CLEANUP_FREE char *text = NULL;
        size_t size;
        FILE *f;

        /* JSON means the same. */
        f = open_memstream(&text, &size);
        assert_int_equal(json_print_line(f, doc), 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(text[strlen(text) - 1], '\n');
        text[strlen(text) - 1] = '\0';
        assert_true(text_is_harmless(text));
        assert_non_null(strstr(text, "\u00fc"));
        back = json_loads(text, 0, NULL);
        assert_true(json_equal(doc, back));
        free(text);

        /* YAML has nothing in it that is obeyed. */
        f = open_memstream(&text, &size);
        assert_int_equal(yaml_print(f, doc, false), 0);
        assert_int_equal(fclose(f), 0);
        for (char *c = text; *c; c++)
                if (*c == '\n')
                        *c = ' ';
        assert_true(text_is_harmless(text));
        free(text);
        f = open_memstream(&text, &size);
        assert_int_equal(yaml_print(f, plain, false), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, "a: \u00fc\n");
}

/* ---- tables -------------------------------------------------------------------------------- */

static void test_table_goes_on(void **state)
{
        static const char *const titles[] = { "A", "B", NULL };
        CLEANUP(table_freep) Table *t = NULL;
        CLEANUP_FREE char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_int_equal(table_new(titles, &t), 0);
        table_reserve(t, 0, 3);
        table_add(t, "1", COLOR_NONE);
        table_add(t, "\u4e2d", COLOR_NONE);
        assert_int_equal(table_print(t, f), 0);
        assert_int_equal(table_print(t, f), 0); /* nothing new */
        table_add(t, "12345", COLOR_NONE);
        table_add(t, "", COLOR_NONE);
        assert_int_equal(table_print(t, f), 0);
        table_add(t, "2", COLOR_NONE);
        table_add(t, "x", COLOR_NONE);
        assert_int_equal(table_print(t, f), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, "A     B\n"
                                  "1     \u4e2d\n"
                                  "12345   -\n"
                                  "2       x\n");
}

/* ---- columns and sorting ------------------------------------------------------------------- */

static json_t *pods(void)
{
        json_t *docs = json_loads(
                        "[{\"kind\": \"pod\", \"name\": \"b\", \"namespace\": \"n\","
                        "  \"labels\": {\"app\": \"x\", \"example.org/tier\": \"1\"},"
                        "  \"containers\": [{}, {}],"
                        "  \"meta\": {\"revision\": 10, \"created\": \"2026-01-01T00:00:00Z\"},"
                        "  \"status\": {\"state\": \"running\", \"reason\": \"\","
                        "   \"init_containers\": [{\"restarts\": 30, \"pid\": 5, \"image\": "
                        "\"/i\"}],"
                        "   \"containers\":"
                        "    [{\"ready\": true, \"restarts\": 2, \"pid\": 7, \"image\": \"/a\"},"
                        "     {\"ready\": false, \"restarts\": 9, \"pid\": 0, \"image\": "
                        "\"/b\"}]}},"
                        " {\"kind\": \"pod\", \"name\": \"a\", \"namespace\": \"n\","
                        "  \"meta\": {\"revision\": 9, \"created\": \"2026-01-02T00:00:00Z\"},"
                        "  \"status\": {\"state\": \"failed\", \"reason\": \"Error\"}},"
                        " {\"kind\": \"pod\", \"name\": \"c\", \"namespace\": \"n\"}]",
                        0, NULL);

        assert_non_null(docs);
        return docs;
}

static void assert_table(Arguments *a, const char *expected)
{
        CLEANUP(columns_freep) Columns *columns = NULL;
        CLEANUP(table_freep) Table *t = NULL;
        CLEANUP_JSON json_t *docs = pods();
        CLEANUP_FREE char *text = NULL;
        size_t size, i;
        FILE *f = open_memstream(&text, &size);
        json_t *doc;

        assert_int_equal(columns_new(a, "pod", &columns), 0);
        assert_int_equal(table_new(columns_titles(columns), &t), 0);
        json_array_foreach (docs, i, doc)
                columns_add_row(columns, t, doc);
        assert_int_equal(table_print(t, f), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, expected);
}

static void test_columns(void **state)
{
        assert_table(&(Arguments){ .columns = (char *) "name,READY,Restarts,pid,image" },
                        "NAME   READY   RESTARTS   PID   IMAGE\n"
                        "b      1/2     41         5,7   /a,/b\n"
                        "a      0/0     0          -     -\n"
                        "c      0/0     0          -     -\n");
        assert_table(&(Arguments){ .columns = (char *) ".name,.labels.example.org/tier,"
                                                       ".status.containers.1.restarts,.labels" },
                        ".name   .labels.example.org/tier   .status.containers.1.restarts   "
                        ".labels\n"
                        "b       1                          9                               "
                        "{\"app\":\"x\",\"example.org/tier\":\"1\"}\n"
                        "a       -                          -                               -\n"
                        "c       -                          -                               -\n");
}

static void test_columns_refused(void **state)
{
        static const char *const wrong[] = { "colour", "name,,state", "", ".", "..name", ".name." };

        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                CLEANUP(columns_freep) Columns *columns = NULL;
                Arguments a = { .columns = (char *) wrong[i] };

                assert_int_equal(columns_new(&a, "pod", &columns), EXIT_CODE_USAGE);
        }
        {
                /* A widget has no state. */
                CLEANUP(columns_freep) Columns *columns = NULL;
                Arguments a = { .columns = (char *) "state" };

                assert_int_equal(columns_new(&a, "widget", &columns), EXIT_CODE_USAGE);
        }
}

static void assert_sorted(const char *by, const char *expected)
{
        CLEANUP_JSON json_t *docs = pods();
        char names[8] = "";
        json_t *doc;
        size_t i;

        assert_int_equal(documents_sort(docs, "pod", by), 0);
        json_array_foreach (docs, i, doc)
                strcat(names, json_get_string(doc, "name"));
        assert_string_equal(names, expected);
}

static void test_sort(void **state)
{
        CLEANUP_JSON json_t *docs = pods();

        assert_sorted("name", "abc");
        assert_sorted("-NAME", "cba");
        assert_sorted("restarts", "acb"); /* equals stay */
        assert_sorted("-restarts", "bac");
        assert_sorted(".meta.revision", "abc"); /* 9 before 10; what has none is last */
        assert_sorted("-.meta.revision", "bac");
        assert_sorted("state", "abc");
        assert_sorted("age", "abc"); /* the youngest first */
        assert_sorted("-age", "bac");
        assert_sorted(".no.such.field", "bac");
        assert_int_equal(documents_sort(docs, "pod", "size"), EXIT_CODE_USAGE);
        assert_int_equal(documents_sort(docs, "pod", "-"), EXIT_CODE_USAGE);
}

static void assert_store_order(const char *by, bool one_namespace, const char *expected)
{
        const char *order = "?";

        assert_int_equal(documents_store_order("pod", by, one_namespace, &order), 0);
        assert_true(streq_ptr(order, expected));
}

static void test_store_order(void **state)
{
        const char *order;

        assert_store_order("name", true, "name");
        assert_store_order("-NAME", true, "-name");
        assert_store_order("name", false, NULL);      /* not across namespaces */
        assert_store_order("age", false, "-created"); /* the youngest first */
        assert_store_order("-age", false, "created");
        assert_store_order("created", false, "created");
        assert_store_order("-.meta.updated", false, "-updated");
        assert_store_order("-revision", false, "-revision");
        assert_store_order("state", true, NULL);
        assert_store_order("restarts", true, NULL);
        assert_store_order(".labels.app", true, NULL);
        assert_int_equal(documents_store_order("pod", "size", true, &order), EXIT_CODE_USAGE);
}

/* What the store knows is for the store; what it does not know is decided here. */
static void test_select(void **state)
{
        CLEANUP_JSON json_t *docs = pods();
        CLEANUP(selection_done) Selection s = {};
        Arguments a = { .selector = (char *) "app in (x)", .fields = (char *) "meta.revision!=9" };

        assert_int_equal(selection_init(&s, &a), 0);
        assert_string_equal(s.labels, "app in (x)");
        assert_string_equal(s.fields, "meta.revision!=9");
        documents_select(docs, &s);
        assert_int_equal(json_array_size(docs), 3);
        a.fields = (char *) "status.state=running,name!=b";
        assert_int_equal(selection_init(&s, &a), 0);
        assert_null(s.fields);
        (void) json_object_set_new(
                        json_array_get(docs, 0), "meta", json_pack("{sb}", "unreadable", 1));
        (void) json_object_del(json_array_get(docs, 0), "status");
        (void) json_object_set_new(
                        json_array_get(docs, 1), "status", json_pack("{ss}", "state", "running"));
        (void) json_object_set_new(
                        json_array_get(docs, 2), "status", json_pack("{ss}", "state", "exited"));
        documents_select(docs, &s);
        assert_int_equal(json_array_size(docs), 2);
        selection_done(&s);
        a.selector = (char *) "app=";
        a.fields = (char *) "status[";
        assert_int_equal(selection_init(&s, &a), EXIT_CODE_USAGE);
        a.selector = (char *) "app = x y";
        assert_int_equal(selection_init(&s, &a), EXIT_CODE_USAGE);
}

/* ---- why ----------------------------------------------------------------------------------- */

static void assert_why(
                const char *state, const char *reason, const char *message, const char *expected)
{
        CLEANUP_JSON json_t *doc = json_pack(
                        "{ss ss s[{ss s{si}}] s{ss ss ss sb ss s[{ss ss si}]}}", "name", "web",
                        "restart", "never", "containers", "name", "main", "limits", "memory",
                        67108864, "status", "state", state, "reason", reason, "message", message,
                        "ready", 0, "restart_at", "2026-01-01T00:00:09.460000Z", "containers",
                        "name", "main", "reason", reason, "restarts", 4);
        CLEANUP_FREE char *why = NULL;

        assert_non_null(doc);
        assert_int_equal(pod_why(doc, UINT64_C(1767225600000000), &why), 0);
        if (expected)
                assert_string_equal(why, expected);
        else
                assert_true(why && *why && !strchr(why, '\n'));
}

static void test_why(void **state)
{
#define ONLY "; restart is never, so that only \"tankctl restart web\" starts it again"
        assert_why("waiting", "BackingOff", "main: exited with 3",
                        "main: exited with 3; next start in 9s, restart 4");
        assert_why("waiting", "Pending", "", "waits for its turn to be started");
        assert_why("waiting", "Pending", "waits until the old one is gone",
                        "waits until the old one is gone");
        assert_why("waiting", "Held", "the store is another one",
                        "tankd-reconcile holds: the store is another one");
        assert_why("failed", "Error", "main: exited with 3", "main: exited with 3" ONLY);
        assert_why("failed", "OOMKilled", "main: killed for lack of memory",
                        "main: killed for lack of memory, of which it may have 64MiB" ONLY);
        assert_why("failed", "SetupFailed", "main: setup failed in rootfs: No such file",
                        "main: setup failed in rootfs: No such file" ONLY);
        assert_why("exited", "Completed", "", "it is done" ONLY);
        assert_why("failed", "Invalid", "containers: is missing",
                        "what is stored is no valid declaration; apply a correct one: containers: "
                        "is missing");
        assert_why("creating", "", "", "is being set up");
        assert_why("stopping", "", "", "is being stopped");
        assert_why("running", "", "", "it runs, and is not ready yet");
        /* Every state with every reason has a line, also those of another version. */
        for (RunState s = 0; s < _RUN_STATE_MAX; s++)
                for (Reason r = 0; r < _REASON_MAX; r++) {
                        assert_why(run_state_to_string(s), reason_to_string(r), "", NULL);
                        assert_why(run_state_to_string(s), reason_to_string(r), "words", NULL);
                }
        assert_why("dancing", "Mood", "", NULL);
}

static void test_why_not(void **state)
{
        CLEANUP_JSON json_t *doc = json_pack("{ss s{ss ss ss sb}}", "name", "web", "status",
                        "state", "running", "reason", "", "message", "", "ready", 1);
        CLEANUP_FREE char *why = NULL;

        assert_int_equal(pod_why(doc, 0, &why), 0);
        assert_null(why);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_neutral),
                cmocka_unit_test(test_neutral_all),
                cmocka_unit_test(test_output),
                cmocka_unit_test(test_documents),
                cmocka_unit_test(test_table_goes_on),
                cmocka_unit_test(test_columns),
                cmocka_unit_test(test_columns_refused),
                cmocka_unit_test(test_sort),
                cmocka_unit_test(test_store_order),
                cmocka_unit_test(test_select),
                cmocka_unit_test(test_why),
                cmocka_unit_test(test_why_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
