/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "error-cases.h"

typedef struct Reader {
        FILE *file;
        const char *name;
        size_t line_number;
        char *line; /* the current one, with its newline */
        size_t allocated;
        char *template;
        FILE *copy; /* of the lines outside of cases, or NULL */
} Reader;

static bool next_line(Reader *r)
{
        ssize_t n = getline(&r->line, &r->allocated, r->file);

        if (n <= 0)
                return false;
        r->line_number++;
        if (r->line[n - 1] != '\n')
                fail_msg("%s:%zu: no newline at the end", r->name, r->line_number);
        return true;
}

static void append(char **text, const char *more)
{
        char *grown;

        assert_true(asprintf(&grown, "%s%s", *text ? *text : "", more) >= 0);
        free(*text);
        *text = grown;
}

static void copy_line(const Reader *r)
{
        if (r->copy)
                (void) fputs(r->line, r->copy);
}

static bool is_expectation(const char *line)
{
        return streq(line, "accepted\n") || startswith(line, "refused ") ||
               startswith(line, "unsupported ") || startswith(line, "large ") ||
               startswith(line, "store ");
}

static void read_template(Reader *r)
{
        free(TAKE_PTR(r->template));
        copy_line(r);
        while (next_line(r) && !streq(r->line, "@end\n")) {
                copy_line(r);
                append(&r->template, r->line);
        }
        copy_line(r);
}

/* @snippet in the place of the line that is '@' but for its indent. */
static char *in_template(const char *template, const char *snippet)
{
        CLEANUP_FREE char *lines = strdup(template);
        char *document = NULL, *state = NULL;

        assert_non_null(lines);
        for (char *line = strtok_r(lines, "\n", &state); line;
                        line = strtok_r(NULL, "\n", &state)) {
                size_t indent = strspn(line, " ");
                const char *rest = snippet;

                if (!streq(line + indent, "@")) {
                        append(&document, line);
                        append(&document, "\n");
                        continue;
                }
                line[indent] = '\0';
                while (*rest) {
                        size_t n = strcspn(rest, "\n") + 1;
                        CLEANUP_FREE char *one = strndup(rest, n);

                        append(&document, line);
                        append(&document, one);
                        rest += n;
                }
        }
        return document;
}

/* "@{3|ab}@" is "ababab": what is too long or too much to be written out. */
static char *repetitions_expanded(const char *text)
{
        CLEANUP_FREE char *result = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&result, &size);

        assert_non_null(f);
        while (*text) {
                size_t plain = strcspn(text, "@");
                char *end;
                unsigned long n;

                (void) fwrite(text, 1, plain, f);
                text += plain;
                if (!startswith(text, "@{")) {
                        if (*text)
                                (void) fputc(*text++, f);
                        continue;
                }
                n = strtoul(text + 2, &end, 10);
                text = end + 1;
                end = strstr(text, "}@");
                assert_true(text[-1] == '|' && end);
                for (; n > 0; n--)
                        (void) fwrite(text, 1, (size_t) (end - text), f);
                text = end + 2;
        }
        assert_int_equal(fclose(f), 0);
        return TAKE_PTR(result);
}

static void read_case(Reader *r, void (*each)(const ErrorCase *c, void *userdata), void *userdata)
{
        ErrorCase c = { .file = r->name, .line = r->line_number };
        char *whole;

        do {
                if (!is_expectation(r->line)) {
                        if (c.expected)
                                fail_msg("%s:%zu: an empty line ends a case", r->name,
                                                r->line_number);
                        append(&c.snippet, r->line);
                } else
                        append(&c.expected, r->line);
        } while (next_line(r) && *r->line != '\n');

        if (!c.snippet)
                fail_msg("%s:%zu: a case without a document", r->name, c.line);
        if (!r->template)
                fail_msg("%s:%zu: a case without a template", r->name, c.line);
        whole = in_template(r->template, c.snippet);
        c.document = repetitions_expanded(whole);
        each(&c, userdata);
        free(whole);
        free(c.snippet);
        free(c.document);
        free(c.expected);
}

void error_cases_each(const char *path, FILE *copy,
                void (*each)(const ErrorCase *c, void *userdata), void *userdata)
{
        const char *slash = strrchr(path, '/');
        Reader r = {
                .file = fopen(path, "re"),
                .name = slash ? slash + 1 : path,
                .copy = copy,
        };

        if (!r.file)
                fail_msg("%s: %s", path, strerror(errno));
        while (next_line(&r)) {
                if (*r.line == '#' || *r.line == '\n') {
                        copy_line(&r);
                        continue;
                }
                if (streq(r.line, "@template\n"))
                        read_template(&r);
                else
                        read_case(&r, each, userdata);
        }
        free(r.line);
        free(r.template);
        (void) fclose(r.file);
}
