/* SPDX-License-Identifier: Apache-2.0 */

/* The words in which documents are refused: the tables of tests/errors/, each document given to
 * `tankctl validate` and, what of it is readable, as JSON to a store on a real database. A field of
 * the table that no case refuses is a failure, too. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ctl-yaml.h"
#include "error-cases.h"
#include "spec-coverage.h"
#include "store-fixture.h"

#define MAX_DOCUMENTS 32U

/* What was said of one case. */
typedef struct Said {
        char *client; /* tankctl's lines */
        Outcome store[MAX_DOCUMENTS];
        size_t n_store;
} Said;

typedef struct Run {
        Fixture fixture;
        FILE *actual; /* NULL: nobody wants it */
        size_t n_cases, n_failed;
} Run;

static int memory_file(const char *text, size_t size)
{
        int fd = memfd_create("case", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, size), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

/* What tankctl prints, which is given @text on standard input, and no bus. */
static char *ask_tankctl(const char *text, size_t text_size, char *const *arguments)
{
        CLEANUP_CLOSE int in = memory_file(text, text_size), out = memory_file("", 0);
        const char *build = getenv("TANK_BUILD_DIR");
        CLEANUP_FREE char *program = NULL;
        char *said;
        int status;
        size_t size;
        pid_t pid;

        assert_true(asprintf(&program, "%s/tankctl/tankctl", build ? build : ".") > 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

                (void) setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", true);
                if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0 ||
                                dup2(null, STDOUT_FILENO) < 0)
                        _exit(126);
                execv(program, arguments);
                _exit(127);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status == 0)
                dprintf(out, "accepted\n");
        else if (status != W_EXITCODE(EXIT_CODE_FAILED, 0))
                dprintf(out, "tankctl ended with status 0x%x\n", (unsigned) status);
        assert_int_equal(lseek(out, 0, SEEK_SET), 0);
        assert_int_equal(read_fd_bounded(out, 65536, &said, &size), 0);
        return said;
}

static char *ask_validate(const char *text, size_t text_size)
{
        char *const arguments[] = { (char *) "tankctl", (char *) "validate", (char *) "-f",
                (char *) "-", NULL };

        return ask_tankctl(text, text_size, arguments);
}

/* What the store says about each document of @text. */
static void ask_store(Run *run, const char *text, Said *said)
{
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        YamlError e;

        if (yaml_reader_new(text, strlen(text), &reader, &e) < 0)
                return;
        yaml_reader_split_lists(reader);
        for (;;) {
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
                CLEANUP_FREE char *json = NULL;

                if (yaml_reader_next(reader, &d, &e) <= 0)
                        return;
                json = json_dumps(yaml_document_root(d), JSON_COMPACT | JSON_ENCODE_ANY);
                assert_non_null(json);
                assert_true(said->n_store < MAX_DOCUMENTS);
                said->store[said->n_store] = apply(&run->fixture, json);
                spec_coverage_note(yaml_document_root(d), said->store[said->n_store].message);
                said->n_store++;
        }
}

static const char *word_of(const char *name)
{
        if (streq(name, TANK_ERROR_INVALID_ARGUMENT))
                return "refused";
        if (streq(name, TANK_ERROR_NOT_SUPPORTED))
                return "unsupported";
        if (streq(name, TANK_ERROR_TOO_LARGE))
                return "large";
        return name;
}

/* "7:8: " is not the store's to know. */
static const char *without_place(const char *line)
{
        const char *p = line + strspn(line, "0123456789:");

        return p > line && *p == ' ' ? p + 1 : line;
}

/* As the table has it. Sentences of both are written once. */
static char *format_said(const Said *said)
{
        CLEANUP_FREE char *lines = strdup(said->client);
        char *result = NULL, *state = NULL;
        bool told[MAX_DOCUMENTS] = {}, accepted = false;
        size_t n_accepted = 0, size;
        FILE *f = open_memstream(&result, &size);

        assert_non_null(lines);
        assert_non_null(f);
        for (char *line = strtok_r(lines, "\n", &state); line;
                        line = strtok_r(NULL, "\n", &state)) {
                const char *sentence = startswith(line, "stdin:"), *word = "refused";
                bool found = false;

                sentence = sentence ? sentence : line;
                if (streq(line, "accepted")) {
                        accepted = true;
                        fprintf(f, "accepted\n");
                        continue;
                }
                for (size_t i = 0; i < said->n_store && !found; i++) {
                        found = !told[i] && streq(without_place(sentence), said->store[i].message);
                        if (found) {
                                told[i] = true;
                                word = word_of(said->store[i].error);
                        }
                }
                fprintf(f, "%s %s\n", word, sentence);
        }
        for (size_t i = 0; i < said->n_store; i++) {
                n_accepted += !*said->store[i].error;
                if (*said->store[i].error && !told[i])
                        fprintf(f, "store %s %s\n", word_of(said->store[i].error),
                                        said->store[i].message);
        }
        if (n_accepted > 0 && !accepted)
                fputs("store accepts\n", f);
        assert_int_equal(fclose(f), 0);
        return result;
}

static void on_case(const ErrorCase *c, void *userdata)
{
        CLEANUP_FREE char *actual = NULL;
        Said *said = calloc(1, sizeof(Said));
        Run *run = userdata;

        assert_non_null(said);
        said->client = ask_validate(c->document, strlen(c->document));
        ask_store(run, c->document, said);
        actual = format_said(said);
        if (run->actual)
                fprintf(run->actual, "%s%s\n", c->snippet, actual);
        if (!streq(actual, strempty(c->expected))) {
                print_error("%s:%zu:\n%s--- says\n%s--- instead of\n%s\n", c->file, c->line,
                                c->snippet, actual, strempty(c->expected));
                run->n_failed++;
        }
        run->n_cases++;
        free(said->client);
        free(said);
}

static int is_table(const struct dirent *e)
{
        const char *dot = strrchr(e->d_name, '.');

        return dot && streq(dot, ".cases");
}

static void read_table(Run *run, const char *directory, const char *name)
{
        const char *actual = getenv("TANK_ERRORS_ACTUAL");
        CLEANUP_FREE char *path = NULL, *out = NULL;
        size_t before = run->n_cases;

        assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
        if (actual) {
                assert_true(asprintf(&out, "%s/%s", actual, name) > 0);
                run->actual = fopen(out, "we");
                assert_non_null(run->actual);
        }
        error_cases_each(path, run->actual, on_case, run);
        if (actual)
                assert_int_equal(fclose(TAKE_PTR(run->actual)), 0);
        assert_true(run->n_cases > before);
}

static void test_tables(void **state)
{
        const char *top = getenv("TANK_SOURCE_DIR");
        CLEANUP_FREE char *directory = NULL;
        struct dirent **entries;
        Run run = {};
        int n;

        assert_true(asprintf(&directory, "%s/tests/errors", top ? top : ".") > 0);
        fixture_init(&run.fixture, NULL);
        assert_int_equal(fixture_open(&run.fixture), 0);
        n = scandir(directory, &entries, is_table, alphasort);
        assert_true(n > 0);
        for (int i = 0; i < n; i++) {
                read_table(&run, directory, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        fixture_done(&run.fixture);
        if (run.n_failed > 0)
                fail_msg("%zu of %zu cases", run.n_failed, run.n_cases);
        print_message("%zu cases\n", run.n_cases);
}

static void write_text(const char *path, const char *text)
{
        CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

/* ---- what is no text, or too long for a table ---------------------------------------------- */

static void check_client(const char *text, size_t size, const char *expected)
{
        CLEANUP_FREE char *said = ask_validate(text, size);

        if (!streq(said, expected))
                fail_msg("%.60s…: says %s, not %s", text, said, expected);
}

static void test_bytes(void **state)
{
#define BYTES(s) s, sizeof(s) - 1
        check_client(BYTES("\xff\xfe"
                           "a\0:\0 \0b\0"),
                        "stdin:1:1: UTF-16 text; save it as UTF-8\n");
        check_client(BYTES("\xfe\xff"
                           "\0a\0:\0 \0b"),
                        "stdin:1:1: UTF-16 text; save it as UTF-8\n");
        check_client(BYTES("a\0:\0 \0b\0"), "stdin:1:2: a NUL byte; save it as UTF-8 text\n");
        check_client(BYTES("\0a\0:\0 \0b"), "stdin:1:1: a NUL byte; save it as UTF-8 text\n");
        check_client(BYTES("\xef\xbb\xbf"
                           "kind: thing\n"),
                        "stdin:1:1: starts with a byte order mark; save it as UTF-8 without one\n");
        check_client(BYTES("kind: thing\nname: \xc3\x28\n"),
                        "stdin:2:8: no UTF-8 text; save it as UTF-8\n");
        check_client(BYTES("kind: thing\nname: \xed\xa0\xbd\n"), /* a surrogate */
                        "stdin:2:7: no UTF-8 text; save it as UTF-8\n");
        check_client(BYTES("kind: thing\nname: \xc0\xaf\n"), /* a long form */
                        "stdin:2:7: no UTF-8 text; save it as UTF-8\n");
        check_client(BYTES("kind: thing\nname: \xf4\x90\x80\x80\n"), /* beyond U+10FFFF */
                        "stdin:2:7: no UTF-8 text; save it as UTF-8\n");
        check_client(BYTES("kind: thing\nname: \xe2\x82"), /* cut */
                        "stdin:2:7: no UTF-8 text; save it as UTF-8\n");
        check_client(BYTES("kind: thing\nname: \x01\n"),
                        "stdin:2:7: a control character; write it as an escape in double "
                        "quotes\n");
        check_client(BYTES("\x7f"
                           "ELF\x02\x01\x01"),
                        "stdin:1:1: a control character; write it as an escape in double "
                        "quotes\n");
        check_client(BYTES("\x7f"
                           "ELF\x02\x01\x01\0\0"),
                        "stdin:1:8: a NUL byte; save it as UTF-8 text\n");
        check_client(BYTES("\x1f\x8b\x08"), /* gzip */
                        "stdin:1:1: a control character; write it as an escape in double "
                        "quotes\n");
        check_client(BYTES(""), "tankctl: -: no document in there\n");
        check_client(BYTES("# nothing\n---\n"), "tankctl: -: no document in there\n");
#undef BYTES
}

/* A file may have 16 MiB, a document in it 1 MiB. */
static void test_sizes(void **state)
{
        size_t size = LIMIT_YAML_FILE_MAX + 1, n = 0;
        CLEANUP_FREE char *text = malloc(size + 1);

        assert_non_null(text);
        for (unsigned i = 0; n + 100 < size; i++) {
                size_t k = (size_t) sprintf(text + n, "---\nkind: thing\nname: n%u\ndata: ", i);
                size_t fill = MIN((size_t) 1000000, size - n - k - 1);

                memset(text + n + k, 'x', fill);
                n += k + fill;
                text[n++] = '\n';
        }
        memset(text + n, '\n', size - n);
        check_client(text, size - 1, "accepted\n");
        check_client(text, size, "tankctl: stdin: larger than 16 MiB: split it\n");

        n = (size_t) sprintf(text, "kind: thing\nname: a\ndata:\n");
        while (n + 10 < 10U * 1024 * 1024)
                n += (size_t) sprintf(text + n, "- abcdefg\n");
        check_client(text, n,
                        "stdin:131072:3: the document has more than 1048576 bytes up to here: "
                        "shorten it\n");
}

typedef struct Directory {
        char path[32];
        int before;
} Directory;

static int enter_directory(void **state)
{
        Directory *d = calloc(1, sizeof(*d));

        assert_non_null(d);
        *state = d;
        strcpy(d->path, "/tmp/test-errors-XXXXXX");
        d->before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(d->before >= 0);
        assert_non_null(mkdtemp(d->path));
        assert_int_equal(chdir(d->path), 0);
        return 0;
}

static int leave_directory(void **state)
{
        Directory *d = *state;

        assert_int_equal(fchdir(d->before), 0);
        (void) safe_close(d->before);
        assert_int_equal(remove_tree_at(AT_FDCWD, d->path), 0);
        free(d);
        return 0;
}

/* What is wrong with a file, with several, and with what it takes to delete. */
static void test_files(void **state)
{
#define NAME_RULE \
        " is no valid name: use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter " \
        "or " \
        "digit\n"
        static const struct {
                const char *text, *arguments[8], *expected;
        } cases[] = {
                { "name: A", { "delete", "-f", "-" }, "stdin:1:7: name: 'A'" NAME_RULE },
                { "{}", { "delete", "-f", "-" }, "stdin:1:1: name: is required: give a name\n" },
                { "{kind: 5, name: a}", { "delete", "-f", "-" },
                                "stdin:1:8: kind: expected the name of a type, as text, found the "
                                "number 5 (put it in quotes)\n" },
                { "{kind: pods, name: a}", { "delete", "-f", "-" },
                                "stdin:1:8: kind: 'pods' means 'pod' on a command line, and no "
                                "type can be "
                                "called that: write 'pod'\n" },
                { "{name: a, namespace: [x]}", { "delete", "-f", "-" },
                                "stdin:1:22: namespace: expected a name, as text, found a list\n" },
                { "- a", { "delete", "-f", "-" },
                                "stdin:1:3: expected a map with kind and name\n" },
                { "kind: thing\nname: a\nnamespace: b", { "validate", "-n", "c", "-f", "-" },
                                "stdin:3:12: namespace: 'b', but --namespace is 'c': leave one of "
                                "them out\n" },
                { "", { "validate", "-f", "missing" },
                                "tankctl: missing: No such file or directory\n" },
                { "", { "validate", "-f", "empty" },
                                "tankctl: empty: no *.yaml, *.yml or *.json in this directory\n" },
                { "", { "validate", "-f", "/dev/null" },
                                "tankctl: /dev/null: no document in there\n" },
                { "", { "validate", "-f", "both" },
                                "both/b.yml:2:1: thing/default/a is declared already at "
                                "both/a.yaml:1: remove one\nboth/c.json:1:2: nmae: unknown field "
                                "'nmae', did you mean 'name'?\n" },
        };

        assert_int_equal(mkdir("empty", 0700), 0);
        assert_int_equal(mkdir("both", 0700), 0);
        write_text("empty/.hidden.yaml", "{");
        write_text("empty/notes.txt", "{");
        write_text("both/a.yaml", "kind: thing\nname: a\n");
        write_text("both/b.yml", "# again\nkind: thing\nname: a\n");
        write_text("both/c.json", "{\"nmae\": \"b\"}\n");
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char *arguments[10] = { (char *) "tankctl" };
                CLEANUP_FREE char *said = NULL;

                for (size_t k = 0; k < ARRAY_SIZE(cases[i].arguments); k++)
                        arguments[k + 1] = (char *) cases[i].arguments[k];
                said = ask_tankctl(cases[i].text, strlen(cases[i].text), arguments);
                assert_string_equal(said, cases[i].expected);
        }
#undef NAME_RULE
}

/* What comes over the bus as JSON without having been YAML. */
static void test_json(void **state)
{
        static const struct {
                const char *text, *sentence;
        } cases[] = {
                { "", "line 1 column 0: not valid JSON: '[' or '{' expected near end of file" },
                { "[]", "expected a map with kind and name" },
                { "{\"kind\":\"thing\",\"kind\":\"pod\"}",
                                "line 1 column 22: not valid JSON: duplicate object key near "
                                "'\"kind\"'" },
                { "{\"a\":1,}", "line 1 column 8: not valid JSON: string or '}' expected near "
                                "'}'" },
                { "{\"a\":1}}", "line 1 column 8: not valid JSON: end of file expected near '}'" },
                { "{\"a\":1", "line 1 column 6: not valid JSON: '}' expected near end of file" },
                { "{a: 1}", "line 1 column 2: not valid JSON: string or '}' expected near 'a'" },
                { "{\"a\":\"\xff\"}",
                                "line 1 column 6: not valid JSON: unable to decode byte 0xff near "
                                "'\"'" },
                { "{\"a\":\"\\u0000\"}",
                                "line 1 column 13: text cannot hold a NUL character: remove it" },
                { "{\"a\":\"\\ud83d\"}",
                                "line 1 column 13: not valid JSON: invalid Unicode '\\uD83D' near "
                                "'\"\\ud83d\"'" },
                { "{\"a\":\"\\ude00\"}",
                                "line 1 column 13: not valid JSON: invalid Unicode '\\uDE00' near "
                                "'\"\\ude00\"'" },
                { "{\"a\":9223372036854775808}",
                                "line 1 column 24: not valid JSON: too big integer near "
                                "'9223372036854775808'" },
                { "{\"a\":1e999}", "line 1 column 10: not valid JSON: real number overflow near "
                                   "'1e999'" },
                { "{\"a\":NaN}", "line 1 column 8: not valid JSON: invalid token near 'NaN'" },
                { "\xef\xbb\xbf{}", "line 1 column 1: not valid JSON: '[' or '{' expected near "
                                    "'\xef\xbb\xbf'" },
                { "{\"kind\":\"thing\",\"name\":\"\\ud83d\\ude00\"}",
                                "name: '\U0001F600' is no valid name: use 1 to 63 of a-z, 0-9 and "
                                "'-', beginning and ending with a letter or digit" },
        };
        Fixture f;

        fixture_init(&f, NULL);
        assert_int_equal(fixture_open(&f), 0);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                Outcome o = apply(&f, cases[i].text);

                assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
                assert_string_equal(o.message, cases[i].sentence);
        }
        fixture_done(&f);
}

/* Depth and size of JSON are bounded before it is parsed. */
static void test_json_bounds(void **state)
{
        size_t size = LIMIT_DOCUMENT_MAX + 2;
        CLEANUP_FREE char *text = malloc(size);
        Outcome o;
        Fixture f;

        assert_non_null(text);
        fixture_init(&f, NULL);
        assert_int_equal(fixture_open(&f), 0);

        /* Blanks count, too. */
        memset(text, ' ', size);
        memcpy(text, "{\"kind\":\"thing\",\"name\":\"a\"}", 27);
        text[LIMIT_DOCUMENT_MAX] = '\0';
        o = apply(&f, text);
        assert_string_equal(o.error, "");
        text[LIMIT_DOCUMENT_MAX] = ' ';
        text[LIMIT_DOCUMENT_MAX + 1] = '\0';
        o = apply(&f, text);
        assert_string_equal(o.error, TANK_ERROR_TOO_LARGE);
        assert_string_equal(
                        o.message, "the document has 1048577 bytes, and may have at most 1048576");

        memcpy(text, "{\"a\":", 5);
        memset(text + 5, '[', 100000);
        text[100005] = '\0';
        o = apply(&f, text);
        assert_string_equal(o.error, TANK_ERROR_INVALID_ARGUMENT);
        assert_string_equal(o.message, "nested deeper than 64 levels: flatten it");
        fixture_done(&f);
}

static void test_every_field(void **state)
{
        CLEANUP_FREE char *missing = spec_coverage_missing();

        if (!*missing)
                return;
        print_error("%s", missing);
        fail_msg("no case of tests/errors/ shows that these are refused");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tables),
                cmocka_unit_test(test_every_field),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test_setup_teardown(test_files, enter_directory, leave_directory),
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_json_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
