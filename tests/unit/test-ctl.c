/* SPDX-License-Identifier: Apache-2.0 */

/* tankctl without daemons: the command line, help, tables, differences, declarations from files,
 * and the reading of log files under rotation. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "ctl-diff.h"
#include "clock.h"
#include "ctl-log-merge.h"
#include "ctl-source.h"
#include "ctl-table.h"
#include "ctl-text.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "strv.h"

/* ---- the command line ---------------------------------------------------------------------- */

#define MAX_WORDS 16

/* Parses a line of words; the exit code. */
static int parse(const char *line, Arguments *ret, const Verb **ret_verb)
{
        CLEANUP_FREE char *copy = strdup(line);
        char *argv[MAX_WORDS + 1] = { (char *) "tankctl" }, *rest = copy;
        int argc = 1;

        assert_non_null(copy);
        for (char *word; (word = strsep(&rest, " "));)
                argv[argc++] = word;
        assert_true(argc <= MAX_WORDS);
        *ret = (Arguments){};
        *ret_verb = NULL;
        return arguments_parse(argc, argv, ret, ret_verb);
}

static void assert_usage(const char *line, int code)
{
        CLEANUP(arguments_done) Arguments a = {};
        const Verb *v;

        if (parse(line, &a, &v) != code)
                fail_msg("%s: not refused with %d", line, code);
}

static void test_options_anywhere(void **state)
{
        static const char *const lines[] = {
                "get pod web -n prod -o json",
                "-n prod -o json get pod web",
                "-nprod get -ojson pod web",
                "get --namespace=prod pod --output json web",
                "get -n prod -o json -- pod web",
        };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                CLEANUP(arguments_done) Arguments a = {};
                const Verb *v;

                assert_int_equal(parse(lines[i], &a, &v), 0);
                assert_string_equal(v->name, "get");
                assert_string_equal(a.namespace, "prod");
                assert_int_equal(a.output, OUTPUT_JSON);
                assert_int_equal(strv_length(a.words), 2);
                assert_string_equal(a.words[1], "web");
        }
}

static void test_exec_stops(void **state)
{
        static const char *const lines[] = {
                "exec -it -e A=1 --env B=2 -u 1:2 web ls -l -n --help",
                "exec -ti -eA=1 --env=B=2 --user 1:2 web -- ls -l -n --help",
        };

        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                CLEANUP(arguments_done) Arguments a = {};
                const Verb *v;

                assert_int_equal(parse(lines[i], &a, &v), 0);
                assert_true(a.interactive && a.terminal && !a.help);
                assert_null(a.namespace);
                assert_string_equal(a.environment[1], "B=2");
                assert_string_equal(a.user, "1:2");
                assert_int_equal(strv_length(a.words), 5);
                assert_string_equal(a.words[0], "web");
                assert_string_equal(a.words[2], "-l");
                assert_string_equal(a.words[4], "--help");
        }
        {
                /* A second -- is the command's own. */
                CLEANUP(arguments_done) Arguments a = {};
                const Verb *v;

                assert_int_equal(parse("exec web -- -- x", &a, &v), 0);
                assert_string_equal(a.words[1], "--");
        }
}

static void test_usage_errors(void **state)
{
        assert_usage("", EXIT_CODE_USAGE);
        assert_usage("gte", EXIT_CODE_USAGE);
        assert_usage("stats", EXIT_CODE_USAGE);
        assert_usage("get --nope", EXIT_CODE_USAGE);
        assert_usage("get -z", EXIT_CODE_USAGE);
        assert_usage("get -n", EXIT_CODE_USAGE);
        assert_usage("get -n Bad_Name", EXIT_CODE_USAGE);
        assert_usage("get -o xml", EXIT_CODE_USAGE);
        assert_usage("get -A -n x", EXIT_CODE_USAGE);
        assert_usage("get a b c", EXIT_CODE_USAGE);
        assert_usage("seed --follow x", EXIT_CODE_USAGE);
        assert_usage("get --limit", EXIT_CODE_USAGE);
        assert_usage("get --all-namespaces=yes", EXIT_CODE_USAGE);
        assert_usage("apply -o json -f x", EXIT_CODE_USAGE);
        assert_usage("apply -A -f x", EXIT_CODE_USAGE);
        assert_usage("version -n x", EXIT_CODE_USAGE);
        assert_usage("describe", EXIT_CODE_USAGE);
        assert_usage("exec", EXIT_CODE_REFUSED);
        assert_usage("exec web", EXIT_CODE_REFUSED);
        assert_usage("-w get", EXIT_CODE_USAGE);
}

/* What tankctl says to a line of words, on standard error; its exit code. There is no bus. */
static int say(const char *line, char *buf, size_t size)
{
        CLEANUP_FREE char *copy = strdup(line);
        char *argv[MAX_WORDS + 1] = { (char *) "tankctl" }, *rest = copy;
        CLEANUP_CLOSE int kept = -EBADF, said = -EBADF;
        int argc = 1, code;
        ssize_t n;

        for (char *word; (word = strsep(&rest, " "));)
                argv[argc++] = word;
        assert_true(argc <= MAX_WORDS);
        assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
        said = memfd_create("said", MFD_CLOEXEC);
        kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(said >= 0 && kept >= 0);
        assert_true(dup2(said, STDERR_FILENO) >= 0);
        code = ctl_run(argc, argv);
        assert_true(dup2(kept, STDERR_FILENO) >= 0);
        n = pread(said, buf, size - 1, 0);
        assert_true(n >= 0);
        buf[n] = '\0';
        return code;
}

/* Of the verbs that look back and on: what cannot be meant is refused before anybody is asked, with
 * the code of usage errors and one line that tells what may be said. */
#define NO_BUS \
        "cannot reach the system bus at unix:path=/nonexistent/bus: No such file or directory; " \
        "is " \
        "dbus running?"

static const struct {
        const char *line, *expected;
        int code; /* 0: EXIT_CODE_USAGE */
} usage_lines[] = {
        { "history", "something is missing; usage: tankctl history TYPE NAME" },
        { "history pod", "history which pod? history pod NAME" },
        { "history web", "there is no type \"web\"; did you mean \"history pod web\"?" },
        { "history pood", "there is no type \"pood\"; did you mean \"pod\"?" },
        { "history namespaec", "there is no type \"namespaec\"; did you mean \"namespace\"?" },
        { "history pod a b", "\"b\" is one word too many" },
        { "history pod a b c", "too many words; usage: tankctl history TYPE NAME" },
        { "history pod a --diff", "option --diff needs a value: FROM [TO]" },
        { "history pod a --diff x", "\"x\" is no revision: \"tankctl history\" lists them" },
        { "history pod a --diff 0", "\"0\" is no revision: \"tankctl history\" lists them" },
        { "history pod a --diff 1 x", "\"x\" is no revision: \"tankctl history\" lists them" },
        { "history pod --diff 1", "history which pod? history pod NAME" },
        { "history pod/a --diff 1 2 3", "\"3\" is one word too many" },
        { "history pod a --diff 1 --revision 2", "--revision and --diff exclude each other" },
        { "history pod a --diff 1 -o json", "--diff has no other output format" },
        { "history pod a --dif 1", "unknown option --dif; did you mean --diff?" },
        { "history pod A", "\"A\" is no name: a-z, 0-9, and - between; at most 63" },
        { "history pod a -A", "history does not take --all-namespaces" },
        { "watch pod a", "watch takes a type and no name" },
        { "watch pod a b", "too many words; usage: tankctl watch [TYPE]" },
        { "watch pod b --since x -o yaml", "watch has no output format \"yaml\"" },
        { "watch pod --since x", "\"x\" is no revision: a number, as meta.revision has it" },
        { "watch P", "\"P\" is no type of resource" },
        { "watch --nofollow", "unknown option --nofollow; did you mean --no-follow?" },
        { "watch -A -n x", "--namespace and --all-namespaces exclude each other" },
        { "events a b", "too many words; usage: tankctl events [POD]" },
        { "events A", "\"A\" is no name of a pod" },
        { "events --since x", "\"x\" is no time: a duration like 10m, or 2026-01-31T12:00:00Z" },
        { "events --sinc 1m", "unknown option --sinc; did you mean --since?" },
        { "events -o yaml", "events has no output format \"yaml\"" },
        { "sessions lost", "sessions lost? There are list, kill and wait" },
        { "sessions list a b", "sessions list: too many words" },
        { "sessions list a/b/c", "\"a/b/c\" is neither POD nor POD/CONTAINER" },
        { "sessions list -s HUP", "sessions list takes no signal" },
        { "sessions list -i", "sessions list takes no input" },
        { "sessions list a -A", "\"a\" and --all-namespaces exclude each other" },
        { "sessions list -c x", "-c x: of which pod?" },
        { "sessions list a -c X", "-c X: that is no name of a container" },
        { "sessions kill a", "which? usage: tankctl sessions kill [-s SIGNAL] POD[/CONTAINER] "
                             "SESSION…" },
        { "sessions kill a x", "\"x\" is no session: a number of \"tankctl sessions list\"" },
        { "sessions kill a 1 0", "\"0\" is no session: a number of \"tankctl sessions list\"" },
        { "sessions kill -s SIGNIX a 1", "\"SIGNIX\" is no signal: a name like SIGHUP, or 1-64" },
        { "sessions kill a 1 -A", "sessions kill takes neither -o nor -A" },
        { "sessions kill a 1 --bogus",
                        "sessions has no option --bogus; \"tankctl help sessions\" lists "
                        "all" },
        /* these pass a command's exit code on, which must not be taken for one of ours */
        { "sessions wait a", "which one? usage: tankctl sessions wait POD[/CONTAINER] SESSION",
                        EXIT_CODE_REFUSED },
        { "sessions wait a x", "\"x\" is no session: a number of \"tankctl sessions list\"",
                        EXIT_CODE_REFUSED },
        { "sessions wait a 1 2", "sessions wait: too many words", EXIT_CODE_REFUSED },
        { "sessions wait a 1 -s HUP", "sessions wait takes no signal", EXIT_CODE_REFUSED },
        { "sessions wait a 1 -A", "sessions wait takes neither -o nor -A", EXIT_CODE_REFUSED },
        { "sessions wait a 1 -o yaml", "sessions has no output format \"yaml\"",
                        EXIT_CODE_REFUSED },
        { "sessions wait a 1 -n X", "\"X\" is no name of a namespace", EXIT_CODE_REFUSED },
        { "sessions wait a 1 --bogus",
                        "sessions has no option --bogus; \"tankctl help sessions\" lists "
                        "all",
                        EXIT_CODE_REFUSED },
        { "exec a",
                        "something is missing; usage: tankctl exec [OPTIONS] "
                        "POD[/CONTAINER] "
                        "[--] COMMAND…",
                        EXIT_CODE_REFUSED },
        { "attach a b", "too many words; usage: tankctl attach [OPTIONS] POD[/CONTAINER]",
                        EXIT_CODE_REFUSED },
        { "get ns -n x", "a namespace stands in no namespace: leave out -n x" },
        { "watch namespaces -n x", "a namespace stands in no namespace: leave out -n x" },
        { "delete ns a -n x", "a namespace stands in no namespace: leave out -n x" },
        { "describe namespace:a -n x", "a namespace stands in no namespace: leave out -n x" },
        { "get -l =", "label selector, column 1: the key of a label is missing" },
        { "kv get A k", "\"A\" is no name of a store: a-z, 0-9, and - between; at most 63" },
        { "kv list a/b", "\"a/b\" is no name of a store: a-z, 0-9, and - between; at most "
                         "63" },
        { "kv get a ", "\"\" is no key: it has 1 to 1024 bytes" },
        { "kv set a k v --ttl x", "\"x\" is no time to live: a duration like 1m30s" },
        { "kv set a k v --if-revision x",
                        "\"x\" is no revision: a number, 0 for a key that must not be there" },
        { "kv lst a", "kv lst? There are get, set, rm, list, clear, watch, stores and "
                      "import" },
        { "secret get A k --reveal", "\"A\" is no name: a-z, 0-9, and - between; at most 63" },
        { "secret set a", "nothing to store: give --from-file KEY=FILE or --from-literal "
                          "KEY=VALUE" },
        { "secret get a k", "a value is shown with --reveal only" },
        { "store retention A --versions 1", "\"A\" is no type of resource" },
        { "store retention pod --versions x", "--versions: a number, all, or default" },
        { "store retention --age x", "--age: a duration like 30d, forever, or default" },
        { "store retention --log-size x", "--log-size: a size like 64MiB, or all" },
        { "store export --type A", "\"A\" is no type of resource" },
        { "rollback pod a", "rollback to which version? --to REVISION; \"tankctl history\" "
                            "lists them" },
        { "rollback config a --to 1 --wait", "--wait is for pods" },
        { "wait a --for x", "cannot wait for \"x\": running, ready, exited or deleted" },
        /* what is wrong is not the line: nobody answers, or there is no such file */
        { "get pod a", NO_BUS, EXIT_CODE_FAILED },
        { "get nosuch a", NO_BUS, EXIT_CODE_FAILED },
        { "kv get a k", NO_BUS, EXIT_CODE_FAILED },
        { "secret get a k --reveal", NO_BUS, EXIT_CODE_FAILED },
        { "apply -f /nonexistent/file", "/nonexistent/file: No such file or directory",
                        EXIT_CODE_FAILED },
        { "secret set a --from-file k=/nonexistent/file",
                        "/nonexistent/file: No such file or directory", EXIT_CODE_FAILED },
        { "kv set a k --from-file /nonexistent/file",
                        "/nonexistent/file: No such file or directory", EXIT_CODE_FAILED },
        { "kv import --from-pepr /nonexistent/file --capability a",
                        "/nonexistent/file: No such file or directory", EXIT_CODE_FAILED },
        { "store import -f /nonexistent/file", "/nonexistent/file: No such file or directory",
                        EXIT_CODE_FAILED },
        { "seed /nonexistent/file", "/nonexistent/file: No such file or directory",
                        EXIT_CODE_FAILED },
        { "doctor now", "too many words; usage: tankctl doctor" },
};

static void test_usage_lines(void **state)
{
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(usage_lines); i++) {
                char said[1024], expected[512];
                int code = say(usage_lines[i].line, said, sizeof(said));

                (void) snprintf(expected, sizeof(expected), "tankctl: %s\n",
                                usage_lines[i].expected);
                if (code == (usage_lines[i].code ?: EXIT_CODE_USAGE) && streq(said, expected))
                        continue;
                print_error("%s: exits with %d and says %s", usage_lines[i].line, code, said);
                n++;
        }
        assert_int_equal(n, 0);
}

/* Nobody reads back a hundred thousand characters of his own. */
static void test_long_words(void **state)
{
        static const char *const lines[] = {
                "%s",
                "get pod %s",
                "get %s/a",
                "get pod/a/%s",
                "describe pod/x %s",
                "get -n %s",
                "get -o %s",
                "get --%s",
                "get --limit %s",
                "describe pod %s",
                "events %s",
                "events --since %s",
                "watch %s",
                "history pod a --diff %s",
                "logs %s",
                "logs a -c %s",
                "logs a --tail %s",
                "kill a -s %s",
                "wait a --for %s",
                "wait a --for ready --timeout %s",
                "exec -e %s a b",
                "attach --detach-keys %s a",
                "sessions %s",
                "sessions kill a %s",
                "apply -f %s",
                "help %s",
                "completion %s",
        };
        size_t size = 100000;
        CLEANUP_FREE char *word = malloc(size + 1), *line = malloc(size + 64);

        assert_true(word && line);
        memset(word, 'A', size);
        word[size] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                char said[1024];
                const char *place = strstr(lines[i], "%s");

                assert_non_null(place);
                (void) snprintf(line, size + 64, "%.*s%s%s", (int) (place - lines[i]), lines[i],
                                word, place + 2);
                assert_int_not_equal(say(line, said, sizeof(said)), 0);
                if (strlen(said) > 240 || !strstr(said, "AAAAAA…"))
                        fail_msg("%s: says %s", lines[i], said);
        }
        {
                char buf[TEXT_CUT_SIZE];

                /* Never half a character. */
                memset(word, 'a', 47);
                strcpy(word + 47, "\xe2\x82\xac\xe2\x82\xac");
                memset(buf, 0, sizeof(buf));
                assert_string_equal(text_cut(word, buf) + 47, "…");
                assert_ptr_equal(text_cut("short", buf), "short");
        }
}

static void test_targets(void **state)
{
        CLEANUP(arguments_done) Arguments a = {};
        CLEANUP(target_done) Target t = {};
        CLEANUP(resource_done) Resource r = {};
        const Verb *v;

        assert_int_equal(parse("logs web/app -c app", &a, &v), 0);
        assert_int_equal(target_parse(&a, "web/app", &t), 0);
        assert_string_equal(t.pod, "web");
        assert_string_equal(t.container, "app");
        assert_string_equal(t.namespace, "default");
        assert_int_equal(target_parse(&a, "web/other", &t), EXIT_CODE_USAGE);
        assert_int_equal(target_parse(&a, "../web", &t), EXIT_CODE_USAGE);
        arguments_done(&a);

        assert_int_equal(parse("describe pods/prod/web", &a, &v), 0);
        assert_int_equal(resource_parse(&a, &r), 0);
        assert_string_equal(r.type, "pod");
        assert_string_equal(r.namespace, "prod");
        assert_string_equal(r.name, "web");
        assert_true(r.known);
        resource_done(&r);
        arguments_done(&a);

        assert_int_equal(parse("describe namespace prod", &a, &v), 0);
        assert_int_equal(resource_parse(&a, &r), 0);
        assert_string_equal(r.namespace, "");
        resource_done(&r);
        arguments_done(&a);

        assert_int_equal(parse("describe pod/web extra", &a, &v), 0);
        assert_int_equal(resource_parse(&a, &r), EXIT_CODE_USAGE);
}

static void test_references(void **state)
{
        static const char *const refused[] = {
                "describe tank://pod/prod/web -n test",
                "describe tank://pod/prod/web extra",
                "describe namespace:prod -n x",
                "describe tank://secret/prod/db/password",
                "describe secret:db/password",
                "describe tank://pod/prod",
                "describe pod:",
        };
        static const struct {
                const char *line, *type, *namespace, *name;
                bool known;
        } taken[] = {
                { "describe tank://pod/prod/web", "pod", "prod", "web", true },
                { "describe tank://pod/prod/web -n prod", "pod", "prod", "web", true },
                { "describe pod:web.prod.tank", "pod", "prod", "web", true },
                { "describe pod:web", "pod", "default", "web", true },
                { "describe pod:web -n prod", "pod", "prod", "web", true },
                { "describe namespace:prod", "namespace", "", "prod", true },
                { "describe rune://configmap/prod/app", "config", "prod", "app", true },
                { "describe widget:app", "widget", "default", "app", false },
                { "describe pods:app", "pods", "default", "app", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
                CLEANUP(arguments_done) Arguments a = {};
                CLEANUP(resource_done) Resource r = {};
                const Verb *v;

                assert_int_equal(parse(taken[i].line, &a, &v), 0);
                assert_int_equal(resource_parse(&a, &r), 0);
                assert_string_equal(r.type, taken[i].type);
                assert_string_equal(r.namespace, taken[i].namespace);
                assert_string_equal(r.name, taken[i].name);
                assert_int_equal(r.known, taken[i].known);
        }
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                CLEANUP(arguments_done) Arguments a = {};
                CLEANUP(resource_done) Resource r = {};
                const Verb *v;

                assert_int_equal(parse(refused[i], &a, &v), 0);
                assert_int_equal(resource_parse(&a, &r), EXIT_CODE_USAGE);
        }
}

static void test_help_fits(void **state)
{
        for (const Verb *v = ctl_verbs;; v++) {
                CLEANUP_FREE char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);
                char *rest;

                assert_non_null(f);
                if (v->name)
                        verb_print_help(f, v);
                else
                        ctl_print_help(f);
                assert_int_equal(fclose(f), 0);
                rest = text;
                for (char *line; (line = strsep(&rest, "\n"));) {
                        size_t width = 0;

                        for (const char *c = line; *c; c++)
                                width += ((unsigned char) *c & 0xc0) != 0x80;
                        if (width > 80)
                                fail_msg("%s: wider than 80 columns: %s", strempty(v->name), line);
                }
                if (!v->name)
                        break;
        }
}

/* Help names the formats that a verb takes, and no other. */
static void test_help_outputs(void **state)
{
        for (const Verb *v = ctl_verbs; v->name; v++) {
                CLEANUP_FREE char *text = NULL;
                size_t size;
                FILE *f = open_memstream(&text, &size);
                const char *line;

                assert_non_null(f);
                verb_print_help(f, v);
                assert_int_equal(fclose(f), 0);
                line = strstr(text, "--output FORMAT");
                assert_int_equal(!line, v->outputs == OUTPUTS_NONE);
                for (OutputFormat o = 0; line && o < _OUTPUT_FORMAT_MAX; o++)
                        if (!strstr(line, output_to_string(o)) == !!(v->outputs & OUTPUT_BIT(o)))
                                fail_msg("%s: %s: %s", v->name, output_to_string(o), line);
        }
}

/* What the store offers is said in the words of the verb, or not at all. */
static void test_remedies(void **state)
{
        static const struct {
                const char *verb, *sentence, *expected;
        } cases[] = {
                { "apply", "no x: make it, or let it be made (create-namespace)",
                                "no x: make it, or let it be made (--create-namespace)" },
                { "rollback", "no x: make it, or let it be made (create-namespace)",
                                "no x: make it" },
                { "delete", "x, or y: empty it, or with it (cascade)",
                                "x, or y: empty it, or with it (--cascade)" },
                { "seed", "x, or y: empty it, or with it (cascade)", "x, or y: empty it" },
                { "seed", "remove it, or see tank-pod(5)", "remove it, or see tank-pod(5)" },
                { "seed", "there is no x (y)", "there is no x (y)" },
                { "seed", "(", "(" },
                { "seed", "", "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                CLEANUP_FREE char *said =
                                verb_sentence(verb_find(cases[i].verb), cases[i].sentence);

                assert_string_equal(said, cases[i].expected);
        }
}

/* ---- tables, differences ------------------------------------------------------------------- */

static void test_table(void **state)
{
        static const char *const titles[] = { "NAME", "STATE", "MESSAGE", NULL };
        CLEANUP(table_freep) Table *t = NULL;
        CLEANUP_FREE char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        assert_int_equal(table_new(titles, &t), 0);
        table_add(t, "web", COLOR_NONE);
        table_add(t, "running", COLOR_GOOD);
        table_add(t, "", COLOR_NONE);
        table_add(t, "\u00fc\033[2J\xc2\x9b", COLOR_NONE);
        table_addf(t, "%d", 7);
        table_add(t, "a\nb\xff", COLOR_NONE);
        assert_int_equal(table_print(t, f), 0);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, "NAME             STATE     MESSAGE\n"
                                  "web              running   -\n"
                                  "\u00fc\\x1b[2J\\u009b   7         a\\x0ab\\xff\n");
}

static void assert_diff(const char *old, const char *new, const char *expected, int n)
{
        CLEANUP_JSON json_t *a = json_loads(old, 0, NULL), *b = json_loads(new, 0, NULL);
        CLEANUP_FREE char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        assert_int_equal(diff_print(f, a, b), n);
        assert_int_equal(fclose(f), 0);
        assert_string_equal(text, expected);
}

static void test_diff(void **state)
{
        assert_diff("{\"a\":1,\"b\":{\"c\":2}}", "{\"a\":1,\"b\":{\"c\":2}}", "", 0);
        assert_diff("{\"a\":1,\"b\":{\"c\":2}}", "{\"b\":{\"c\":3},\"d\":[]}",
                        "  - a: 1\n  ~ b.c: 2 -> 3\n  + d: []\n", 3);
        assert_diff("{\"l\":[{\"name\":\"x\",\"v\":1},{\"name\":\"y\"}]}",
                        "{\"l\":[{\"name\":\"z\"},{\"name\":\"x\",\"v\":2}]}",
                        "  ~ l[x].v: 1 -> 2\n  - l[y]: {\"name\":\"y\"}\n"
                        "  + l[z]: {\"name\":\"z\"}\n",
                        3);
        assert_diff("{\"l\":[1,2]}", "{\"l\":[1,3,4]}", "  ~ l[1]: 2 -> 3\n  + l[2]: 4\n", 2);
        assert_diff("{\"l\":[{\"name\":\"x\"},{\"name\":\"y\"}]}",
                        "{\"l\":[{\"name\":\"y\"},{\"name\":\"x\"}]}",
                        "  ~ l: [{\"name\":\"x\"},{\"name\":\"y\"}] -> "
                        "[{\"name\":\"y\"},{\"name\":\"x\"}]\n",
                        1);
        assert_diff("{}", "{\"a\":\"\\u001b[0m\"}", "  + a: \"\\u001B[0m\"\n", 1);
}

/* ---- files --------------------------------------------------------------------------------- */

typedef struct Scratch {
        char path[64];
        int fd;
} Scratch;

static int scratch_up(void **state)
{
        Scratch *s = calloc(1, sizeof(Scratch));

        assert_non_null(s);
        strcpy(s->path, "/tmp/test-ctl-XXXXXX");
        assert_non_null(mkdtemp(s->path));
        s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->fd >= 0);
        *state = s;
        return 0;
}

static int scratch_down(void **state)
{
        Scratch *s = *state;

        close(s->fd);
        assert_int_equal(remove_tree_at(AT_FDCWD, s->path), 0);
        free(s);
        return 0;
}

static void put_file(const Scratch *s, const char *name, const char *text)
{
        assert_int_equal(write_file_atomic_at(s->fd, name, text, strlen(text), 0600, false), 0);
}

static const char pod_text[] = "containers: [{name: a, image: {rootfs: /x}, command: [b]}]\n";

static void test_directory(void **state)
{
        Scratch *s = *state;
        char *files[] = { s->path, NULL }, text[512];
        CLEANUP(declarations_done) Declarations d = {};

        (void) snprintf(text, sizeof(text), "name: second\n%s---\nname: third\n%s", pod_text,
                        pod_text);
        put_file(s, "b.yml", text);
        put_file(s, "a.yaml", "kind: namespace\nname: prod\n");
        put_file(s, "c.json",
                        "{\"name\": \"fourth\", \"namespace\": \"prod\", \"meta\": {\"revision\": "
                        "7},\n"
                        " \"containers\": [{\"name\": \"a\", \"image\": {\"rootfs\": \"/x\"},"
                        " \"command\": [\"b\"]}]}");
        put_file(s, ".hidden.yaml", "junk");
        put_file(s, "README", "junk");
        assert_int_equal(declarations_load(files, NULL, 0, &d), 0);
        assert_int_equal(d.n, 4);
        assert_string_equal(d.items[0].type, "namespace");
        assert_string_equal(d.items[0].namespace, "");
        assert_string_equal(d.items[1].name, "second");
        assert_string_equal(d.items[1].namespace, "default");
        assert_string_equal(d.items[3].namespace, "prod");
        assert_false(d.items[2].has_if_revision);
        assert_true(d.items[3].has_if_revision);
        assert_int_equal(d.items[3].if_revision, 7);
        assert_null(json_object_get(d.items[3].document, "meta"));
}

static void assert_load(const Scratch *s, const char *text, const char *namespace, LoadFlags flags,
                int code, size_t n)
{
        char path[128], *files[] = { path, NULL };
        CLEANUP(declarations_done) Declarations d = {};

        (void) snprintf(path, sizeof(path), "%s/one.yaml", s->path);
        put_file(s, "one.yaml", text);
        if (declarations_load(files, namespace, flags, &d) != code)
                fail_msg("not %d: %s", code, text);
        assert_int_equal(d.n, n);
}

static void test_declarations(void **state)
{
        char text[1024];

        (void) snprintf(text, sizeof(text), "name: a\n%s---\nname: a\n%s", pod_text, pod_text);
        assert_load(*state, text, NULL, 0, EXIT_CODE_FAILED, 0); /* twice */
        assert_load(*state, text, NULL, LOAD_SKIP_BAD, 0, 1);
        (void) snprintf(text, sizeof(text), "name: a\nnamespace: x\n%s", pod_text);
        assert_load(*state, text, "x", 0, 0, 1);
        assert_load(*state, text, "y", 0, EXIT_CODE_FAILED, 0);
        (void) snprintf(text, sizeof(text), "name: a\nstatus: {}\n%s", pod_text);
        assert_load(*state, text, NULL, 0, EXIT_CODE_FAILED, 0);
        (void) snprintf(text, sizeof(text), "name: a\nmeta: {revison: 1}\n%s", pod_text);
        assert_load(*state, text, NULL, 0, EXIT_CODE_FAILED, 0);
        (void) snprintf(text, sizeof(text), "name: a\ngrace: 10\n%s", pod_text);
        assert_load(*state, text, NULL, 0, EXIT_CODE_FAILED, 0); /* a bare number is no duration */
        assert_load(*state, "name: a\nnonsense: 1\n", NULL, 0, EXIT_CODE_FAILED, 0);
        assert_load(*state, "name: a\nnonsense: 1\n", "x", LOAD_IDENTITY_ONLY, 0, 1);
        assert_load(*state, "name: ../a\n", NULL, LOAD_IDENTITY_ONLY, EXIT_CODE_FAILED, 0);
        assert_load(*state, "# nothing\n", NULL, 0, EXIT_CODE_FAILED, 0);
}

/* As get -o json prints many. */
static void test_declared_lists(void **state)
{
        CLEANUP_FREE char *big = malloc(3 << 20);
        char filler[100001];
        size_t n = 0;

        assert_load(*state, "[1]\n", NULL, 0, EXIT_CODE_FAILED, 0);
        assert_load(*state, "[null]\n", NULL, 0, EXIT_CODE_FAILED, 0);
        assert_load(*state, "[[]]\n", NULL, 0, EXIT_CODE_FAILED, 0);
        assert_load(*state, "[]\n", NULL, 0, EXIT_CODE_FAILED, 0);
        assert_load(*state, "- {kind: a, name: a}\n- {kind: a, name: b}\n", NULL, 0, 0, 2);
        assert_load(*state, "[{kind: a, name: a}, {kind: a, name: a}]", NULL, 0, EXIT_CODE_FAILED,
                        0);
        assert_load(*state, "[{kind: a, name: a}]\n---\nkind: a\nname: b\n", NULL, 0, 0, 2);
        assert_load(*state, "- kind: a\n  name: a\n- kind: a\n  status: {}\n  name: b\n", NULL, 0,
                        EXIT_CODE_FAILED, 0);
        /* What is only to be deleted may be what was printed. */
        assert_load(*state, "[{kind: a, name: a, meta: {x: 1}, status: {}}]", NULL,
                        LOAD_IDENTITY_ONLY, 0, 1);
        /* Each may be as large as a document may be. */
        assert_non_null(big);
        memset(filler, 'x', sizeof(filler) - 1);
        filler[sizeof(filler) - 1] = '\0';
        for (int i = 0; i < 20; i++)
                n += (size_t) sprintf(big + n, "%c{kind: a, name: n%d, x: %s}\n", i ? ',' : '[', i,
                                filler);
        strcpy(big + n, "]\n");
        assert_load(*state, big, NULL, 0, 0, 20);
}

/* ---- log files ----------------------------------------------------------------------------- */

static void append_records(const Scratch *s, const char *name, const char *text)
{
        CLEANUP_CLOSE int fd = openat(s->fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

/* Cuts the last @size bytes off. */
static void take_back(const Scratch *s, const char *name, size_t size)
{
        CLEANUP_CLOSE int fd = openat(s->fd, name, O_WRONLY | O_CLOEXEC);
        off_t end = lseek(fd, 0, SEEK_END);

        assert_true(end >= (off_t) size);
        assert_int_equal(ftruncate(fd, end - (off_t) size), 0);
}

/* Runs @step with standard output and error in files; what they got, joined by '|'. */
static char *capture(const Scratch *s, LogMerge *r, int (*step)(LogMerge *r))
{
        int saved[2] = { dup(1), dup(2) };
        CLEANUP_FREE char *out = NULL, *err = NULL;
        char *both;
        size_t size;
        int k;

        for (int i = 0; i < 2; i++) {
                CLEANUP_CLOSE int fd = openat(s->fd, i == 0 ? "out" : "err",
                                O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
                assert_int_equal(dup2(fd, i + 1), i + 1);
        }
        k = step(r);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(dup2(saved[i], i + 1), i + 1);
                close(saved[i]);
        }
        assert_int_equal(k, 0);
        assert_int_equal(read_file_at(s->fd, "out", 65536, &out, &size), 0);
        assert_int_equal(read_file_at(s->fd, "err", 65536, &err, &size), 0);
        assert_true(asprintf(&both, "%s|%s", out, err) >= 0);
        return both;
}

static char *const app[] = { (char *) "app", NULL };

static void assert_prints(const Scratch *s, const LogSelection *selection, const char *expected)
{
        CLEANUP(log_merge_freep) LogMerge *r = NULL;
        CLEANUP_FREE char *got = NULL;

        assert_int_equal(log_merge_new(s->fd, app, selection, &r), 0);
        got = capture(s, r, log_merge_print);
        assert_string_equal(got, expected);
}

#define AT(second) "2026-01-01T00:00:0" #second ".000000Z "

static void test_logs(void **state)
{
        uint64_t since;

        append_records(*state, "app.log.1",
                        AT(1) "out F 1 one\n" AT(2) "err P 2 two-\n" AT(2) "out F 3 three\n");
        append_records(*state, "app.log",
                        AT(3) "err F 4 end\n"
                              "torn rec"
                              "\n" AT(4) "out F 5 \n" AT(5) "out P 6 last\n" AT(
                                              6) "out F 7 of a torn");
        assert_prints(*state, &(LogSelection){}, "one\nthree\n\nlast|two-end\n");
        assert_prints(*state, &(LogSelection){ .tail = 1 }, "last|");
        assert_prints(*state, &(LogSelection){ .tail = 3 }, "three\n\nlast|");
        /* A line that began earlier is wanted as a whole, or not at all. */
        assert_prints(*state, &(LogSelection){ .tail = 4 }, "three\n\nlast|two-end\n");
        assert_prints(*state, &(LogSelection){ .tail = 100 }, "one\nthree\n\nlast|two-end\n");
        assert_int_equal(parse_rfc3339("2026-01-01T00:00:03Z", &since), 0);
        assert_prints(*state, &(LogSelection){ .since_usec = since }, "\nlast|");
        assert_prints(*state, &(LogSelection){ .tail = 1, .timestamps = true }, AT(5) "last|");
}

static void rotate(const Scratch *s)
{
        (void) renameat(s->fd, "app.log.1", s->fd, "app.log.2");
        assert_int_equal(renameat(s->fd, "app.log", s->fd, "app.log.1"), 0);
}

static void assert_follows(const Scratch *s, LogMerge *r, const char *expected)
{
        CLEANUP_FREE char *got = capture(s, r, log_merge_follow);

        assert_string_equal(got, expected);
}

/* Several containers: by time, and no line within another's. */
static void test_logs_merged(void **state)
{
        static char *const both[] = { (char *) "app", (char *) "side", NULL };
        CLEANUP(log_merge_freep) LogMerge *all = NULL, *tail = NULL, *prefixed = NULL;
        CLEANUP_FREE char *got_all = NULL, *got_tail = NULL, *got_prefixed = NULL, *got_more = NULL;
        Scratch *s = *state;

        append_records(s, "app.log", AT(1) "out F 1 one\n" AT(3) "out P 2 th\n");
        append_records(s, "app.log", AT(5) "out F 3 ree\n" AT(6) "err F 4 six\n");
        append_records(s, "side.log", AT(2) "out F 1 two\n" AT(4) "out F 2 four\n");
        assert_int_equal(log_merge_new(s->fd, both, &(LogSelection){}, &all), 0);
        got_all = capture(s, all, log_merge_print);
        assert_string_equal(got_all, "one\ntwo\nthree\nfour\n|six\n");
        assert_int_equal(log_merge_new(s->fd, both, &(LogSelection){ .tail = 2 }, &tail), 0);
        got_tail = capture(s, tail, log_merge_print);
        assert_string_equal(got_tail, "four\n|six\n");
        assert_int_equal(log_merge_new(s->fd, both, &(LogSelection){ .prefix = true }, &prefixed),
                        0);
        got_prefixed = capture(s, prefixed, log_merge_print);
        assert_string_equal(got_prefixed,
                        "[app] one\n[side] two\n[app] three\n[side] four\n|[app] six\n");
        /* What comes later, of both. */
        append_records(s, "side.log", AT(8) "out F 3 eight\n");
        append_records(s, "app.log", AT(7) "out F 5 seven\n");
        got_more = capture(s, all, log_merge_follow);
        assert_string_equal(got_more, "seven\neight\n|");
}

static void test_logs_follow(void **state)
{
        Scratch *s = *state;
        CLEANUP(log_merge_freep) LogMerge *r = NULL;
        CLEANUP_FREE char *got = NULL;

        append_records(s, "app.log", AT(1) "out F 1 one\n" AT(1) "out F 2 tw");
        assert_int_equal(log_merge_new(s->fd, app, &(LogSelection){}, &r), 0);
        got = capture(s, r, log_merge_print);
        assert_string_equal(got, "one\n|");
        assert_follows(s, r, "|");
        append_records(s, "app.log", "o\n");
        assert_follows(s, r, "two\n|");

        /* Written to the old file after it was read last, then two rotations at once. */
        append_records(s, "app.log", AT(2) "out F 3 three\n");
        rotate(s);
        append_records(s, "app.log", AT(2) "out F 4 four\n");
        rotate(s);
        append_records(s, "app.log", AT(2) "out F 5 five\n");
        assert_follows(s, r, "three\nfour\nfive\n|");

        /* In the middle of a rotation there is no file of that name. */
        rotate(s);
        assert_follows(s, r, "|");
        append_records(s, "app.log", AT(3) "out F 6 six\n");
        assert_follows(s, r, "six\n|");

        /* Overtaken: the file that was read is gone, and what was lost is counted. */
        assert_int_equal(unlinkat(s->fd, "app.log.1", 0), 0);
        assert_int_equal(unlinkat(s->fd, "app.log.2", 0), 0);
        assert_int_equal(unlinkat(s->fd, "app.log", 0), 0);
        append_records(s, "app.log", AT(4) "out F 9 nine\n");
        assert_follows(s, r,
                        "nine\n|tankctl: 2 records were rotated away before they could be read\n");

        /* A record that there was no room for is taken back when half of it has been read. */
        append_records(s, "app.log", AT(4) "out F 10 much longer than what comes in its pla");
        assert_follows(s, r, "|");
        take_back(s, "app.log", strlen(AT(4) "out F 10 much longer than what comes in its pla"));
        append_records(s, "app.log", AT(5) "out F 10 ten\n");
        assert_follows(s, r, "ten\n|");

        /* In the midst of a file nothing was rotated away: it was never written. */
        append_records(s, "app.log", AT(5) "out F 13 thirteen\n");
        assert_follows(s, r,
                        "thirteen\n|tankctl: 2 records are missing here: there was no room on the "
                        "disk when they came\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_anywhere),
                cmocka_unit_test(test_exec_stops),
                cmocka_unit_test(test_usage_errors),
                cmocka_unit_test(test_usage_lines),
                cmocka_unit_test(test_long_words),
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_references),
                cmocka_unit_test(test_help_fits),
                cmocka_unit_test(test_help_outputs),
                cmocka_unit_test(test_remedies),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_diff),
                cmocka_unit_test_setup_teardown(test_directory, scratch_up, scratch_down),
                cmocka_unit_test_setup_teardown(test_declarations, scratch_up, scratch_down),
                cmocka_unit_test_setup_teardown(test_declared_lists, scratch_up, scratch_down),
                cmocka_unit_test_setup_teardown(test_logs, scratch_up, scratch_down),
                cmocka_unit_test_setup_teardown(test_logs_merged, scratch_up, scratch_down),
                cmocka_unit_test_setup_teardown(test_logs_follow, scratch_up, scratch_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
