/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the command line, and help. Options are tables: one that all verbs share, and one for
 * each verb; both name a field of Arguments by its offset. Nothing here talks to anybody. */

#include <stdarg.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "ctl-text.h"
#include "error.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "strv.h"

#define FIELD(f)   offsetof(Arguments, f)
#define HELP_WIDTH 80U

static const Option global_options[] = {
        { 'n', "namespace", OPTION_STRING, FIELD(namespace), "NAMESPACE",
                        "where names are looked up (default: default)" },
        { 'A', "all-namespaces", OPTION_FLAG, FIELD(all_namespaces), NULL,
                        "look in every namespace" },
        { 'o', "output", OPTION_OUTPUT, FIELD(output), "FORMAT",
                        "table, wide, json, yaml or name" },
        { 'h', "help", OPTION_FLAG, FIELD(help), NULL, "show help" },
        { 0, "version", OPTION_FLAG, FIELD(version), NULL, "show the version" },
        {},
};

static const char *const output_names[_OUTPUT_FORMAT_MAX + 1] = {
        [OUTPUT_TABLE] = "table",
        [OUTPUT_WIDE] = "wide",
        [OUTPUT_JSON] = "json",
        [OUTPUT_YAML] = "yaml",
        [OUTPUT_NAME] = "name",
};

/* ---- messages ------------------------------------------------------------------------------ */

static void error_va(const char *format, va_list ap)
{
        CLEANUP_FREE char *text = NULL;

        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                fputs("tankctl: out of memory\n", stderr);
                return;
        }
        (void) fflush(stdout); /* so that the order of what is said stays */
        fputs("tankctl: ", stderr);
        print_neutral(stderr, text);
        fputc('\n', stderr);
}

void ctl_error(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        error_va(format, ap);
        va_end(ap);
}

int ctl_usage_error(const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        error_va(format, ap);
        va_end(ap);
        return EXIT_CODE_USAGE;
}

int ctl_oom(void)
{
        ctl_error("out of memory");
        return EXIT_CODE_FAILED;
}

int ctl_file_failure(const char *path, int r)
{
        ctl_error("%s: %s", WORD(path), errno_words(r));
        return EXIT_CODE_FAILED;
}

/* ---- verbs --------------------------------------------------------------------------------- */

const Verb *verb_find(const char *name)
{
        for (const Verb *v = ctl_verbs; v->name; v++)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

int verb_unknown(const char *word)
{
        const char *names[64];
        const char *near;
        size_t n = 0;

        for (const char *const *w = ctl_verbs_not_yet; *w; w++)
                if (streq(*w, word))
                        return ctl_usage_error("%s is not supported yet", word);
        for (const Verb *v = ctl_verbs; v->name && n + 1 < ARRAY_SIZE(names); v++)
                names[n++] = v->name;
        names[n] = NULL;
        near = nearest_word(word, names);
        if (near)
                return ctl_usage_error(
                                "there is no verb \"%s\"; did you mean \"%s\"?", WORD(word), near);
        return ctl_usage_error("there is no verb \"%s\"; \"tankctl help\" lists all", WORD(word));
}

/* Of wrong usage: what passes a command's exit code on must not answer with one of its own. */
static int usage_exit_code(const Verb *v, const Arguments *a)
{
        if ((v->flags & VERB_WAIT_PASSES) && a->words && streq(a->words[0], "wait"))
                return EXIT_CODE_REFUSED;
        return v->usage_exit_code;
}

static int verb_usage_error(const Verb *v, const Arguments *a, const char *message)
{
        ctl_error("%s; usage: tankctl %s%s%s", message, v->name, *v->usage ? " " : "", v->usage);
        return usage_exit_code(v, a);
}

/* ---- option tables ------------------------------------------------------------------------- */

/* The verb's own come first: its -w is not another one's. */
static const Option *option_table(const Verb *v, unsigned which)
{
        static const Option none[] = { {} };

        if (which == 1)
                return global_options;
        return v && v->options ? v->options : none;
}

const Option *verb_option(const Verb *v, char letter, const char *name, size_t n)
{
        for (unsigned which = 0; which < 2; which++)
                for (const Option *o = option_table(v, which); o->name; o++)
                        if (name ? strlen(o->name) == n && memcmp(o->name, name, n) == 0
                                 : o->letter == letter)
                                return o;
        return NULL;
}

/* Whether a global option means something to @v. */
static bool global_is_for(const Option *o, const Verb *v)
{
        if (!v)
                return true;
        return !((o->letter == 'n' && !(v->flags & VERB_NAMESPACE)) ||
                        (o->letter == 'A' && !(v->flags & VERB_ALL_NAMESPACES)) ||
                        (o->letter == 'o' && v->outputs == OUTPUTS_NONE));
}

const Option *verb_option_at(const Verb *v, size_t i)
{
        for (unsigned which = 0; which < 2; which++)
                for (const Option *o = option_table(v, which); o->name; o++) {
                        if (o->kind == OPTION_NOT_YET || (which == 1 && !global_is_for(o, v)))
                                continue;
                        if (i-- == 0)
                                return o;
                }
        return NULL;
}

const char *output_to_string(OutputFormat o)
{
        return output_names[o];
}

/* ", or … (NAME)" at the end of @sentence: where it begins and where NAME does. */
static bool find_option(const char *sentence, const char **ret_begin, const char **ret_name)
{
        const char *name = strrchr(sentence, '('), *begin = NULL;

        if (!name || strspn(name + 1, "abcdefghijklmnopqrstuvwxyz-") + 2 != strlen(name) ||
                        name[strlen(name) - 1] != ')')
                return false;
        for (const char *p = sentence; (p = strstr(p, ", or ")) && p < name; p++)
                begin = p;
        *ret_begin = begin;
        *ret_name = name + 1;
        return begin;
}

char *verb_sentence(const Verb *v, const char *sentence)
{
        const char *begin, *name;
        char *text;

        if (!find_option(sentence, &begin, &name))
                return strdup(sentence);
        if (!verb_option(v, 0, name, strlen(name) - 1))
                return strndup(sentence, (size_t) (begin - sentence));
        return asprintf(&text, "%.*s--%s", (int) (name - sentence), sentence, name) < 0 ? NULL
                                                                                        : text;
}

static const Verb *running;

char *ctl_sentence(const char *sentence)
{
        return verb_sentence(running, sentence);
}

/* ---- help ---------------------------------------------------------------------------------- */

static void print_options(FILE *f, const Option *o)
{
        for (; o->name; o++) {
                char left[64];

                if (o->kind == OPTION_NOT_YET)
                        continue;
                (void) snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
                                o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                                o->argument ? " " : "", strempty(o->argument));
                fprintf(f, "  %-27s %s\n", left, o->help);
        }
}

/* On further lines where one would be wider than a terminal. */
static void print_usage(FILE *f, const Verb *v)
{
        size_t column = sizeof("Usage: tankctl ") - 1 + strlen(v->name), n;

        fprintf(f, "Usage: tankctl %s", v->name);
        for (const char *word = v->usage; *word; word += n + (word[n] == ' ')) {
                size_t width = 0;

                n = strcspn(word, " ");
                for (size_t i = 0; i < n; i++)
                        width += ((unsigned char) word[i] & 0xc0) != 0x80;
                if (column + 1 + width > HELP_WIDTH) {
                        fprintf(f, "\n        %.*s", (int) n, word);
                        column = 8 + width;
                } else {
                        fprintf(f, " %.*s", (int) n, word);
                        column += 1 + width;
                }
        }
        fputc('\n', f);
}

/* "table, json or name": the formats that @v knows. */
static void list_outputs(const Verb *v, char *buf, size_t size)
{
        FILE *f = fmemopen(buf, size, "w");
        unsigned left = v->outputs;

        buf[0] = '\0';
        if (!f)
                return;
        for (OutputFormat o = 0; o < _OUTPUT_FORMAT_MAX; o++) {
                if (!(left & OUTPUT_BIT(o)))
                        continue;
                left &= ~OUTPUT_BIT(o);
                fprintf(f, "%s%s", output_names[o],
                                !left                      ? ""
                                : (left & (left - 1)) == 0 ? " or "
                                                           : ", ");
        }
        fclose(f);
}

void verb_print_help(FILE *f, const Verb *v)
{
        char outputs[sizeof("table, wide, json, yaml or name")];

        print_usage(f, v);
        fprintf(f, "\n%s\n", v->details);
        if (v->options && v->options->name) {
                fputs("\nOptions:\n", f);
                print_options(f, v->options);
        }
        fputs("\nEverywhere:\n", f);
        for (const Option *o = global_options; o->name; o++) {
                Option one[2] = { *o };

                if (!global_is_for(o, v))
                        continue;
                if (o->kind == OPTION_OUTPUT) {
                        list_outputs(v, outputs, sizeof(outputs));
                        one[0].help = outputs;
                }
                print_options(f, one);
        }
}

void ctl_print_help(FILE *f)
{
        fputs("Usage: tankctl [OPTIONS] VERB [WORDS]\n\n"
              "Says which pods shall run on this machine, and looks at them.\n\nVerbs:\n",
                        f);
        for (const Verb *v = ctl_verbs; v->name; v++)
                fprintf(f, "  %-10s %s\n", v->name, v->summary);
        fputs("\nOptions, anywhere before \"--\":\n", f);
        print_options(f, global_options);
        fputs("\n\"tankctl help VERB\" tells the rest.\n", f);
}

/* ---- options ------------------------------------------------------------------------------- */

typedef struct Parser {
        int argc, next;
        char **argv;
        Arguments *a;
        const Verb *verb;
} Parser;

static int parser_exit_code(const Parser *p)
{
        return p->verb ? usage_exit_code(p->verb, p->a) : EXIT_CODE_USAGE;
}

static int option_unknown(const Parser *p, const char *text)
{
        const char *names[32];
        const char *near = NULL;
        size_t n = 0;

        for (unsigned which = 0; which < 2; which++)
                for (const Option *o = option_table(p->verb, which); o->name; o++)
                        if (n + 1 < ARRAY_SIZE(names))
                                names[n++] = o->name;
        names[n] = NULL;
        if (startswith(text, "--"))
                near = nearest_word(text + 2, names);
        if (near)
                ctl_error("unknown option %s; did you mean --%s?", WORD(text), near);
        else if (p->verb)
                ctl_error("%s has no option %s; \"tankctl help %s\" lists all", p->verb->name,
                                WORD(text), p->verb->name);
        else
                ctl_error("unknown option %s before the verb", WORD(text));
        return parser_exit_code(p);
}

static int output_parse(const Parser *p, const char *value, OutputFormat *ret)
{
        for (OutputFormat o = 0; o < _OUTPUT_FORMAT_MAX; o++)
                if (streq(output_names[o], value)) {
                        *ret = o;
                        return 0;
                }
        ctl_error("there is no output format \"%s\": table, wide, json, yaml or name", WORD(value));
        return parser_exit_code(p);
}

static int append_term(char **field, const char *value)
{
        char *both;

        if (!*field)
                return free_and_strdup(field, value);
        if (asprintf(&both, "%s,%s", *field, value) < 0)
                return -ENOMEM;
        free(*field);
        *field = both;
        return 0;
}

/* Takes the value away from where whoever lists processes looks; without a key all of it may be
 * one. @word: of argv. */
static void hide_value(const char *word)
{
        char *value = (char *) strchr(word, '=');

        value = value ? value + 1 : (char *) word;
        explicit_bzero(value, strlen(value));
}

static int append_secret(char ***list, const char *word)
{
        int r = strv_append(list, word);

        hide_value(word);
        return r;
}

/* @value: NULL for a flag. */
static int option_store(Parser *p, const Option *o, const char *value)
{
        void *field = (char *) p->a + o->offset;
        int r = 0;

        switch (o->kind) {
        case OPTION_FLAG: *(bool *) field = true; return 0;
        case OPTION_STRING: r = free_and_strdup(field, value); break;
        case OPTION_LIST: r = strv_append(field, value); break;
        case OPTION_SECRETS: r = append_secret(field, value); break;
        case OPTION_TERMS: r = append_term(field, value); break;
        case OPTION_OUTPUT: return output_parse(p, value, field);
        case OPTION_NOT_YET:
                ctl_error("%s --%s is not supported yet", p->verb->name, o->name);
                return parser_exit_code(p);
        }
        return r < 0 ? ctl_oom() : 0;
}

static int option_missing_value(const Parser *p, const char *text, const Option *o)
{
        ctl_error("option %s needs a value: %s", text, o->argument);
        return parser_exit_code(p);
}

static int parse_long(Parser *p, const char *text)
{
        const char *name = text + 2, *equals = strchrnul(name, '='), *value = NULL;
        const Option *o = verb_option(p->verb, 0, name, (size_t) (equals - name));

        if (!o)
                return option_unknown(p, text);
        if (*equals)
                value = equals + 1;
        if (o->argument && !value && o->kind != OPTION_NOT_YET) {
                if (p->next == p->argc)
                        return option_missing_value(p, text, o);
                value = p->argv[p->next++];
        } else if (!o->argument && value) {
                ctl_error("option --%s takes no value", o->name);
                return parser_exit_code(p);
        }
        return option_store(p, o, value);
}

static int parse_letters(Parser *p, const char *text)
{
        for (const char *c = text + 1; *c; c++) {
                const char letter[3] = { '-', *c, 0 };
                const Option *o = verb_option(p->verb, *c, NULL, 0);
                const char *value = NULL;
                int r;

                if (!o)
                        return option_unknown(p, letter);
                if (o->argument && o->kind != OPTION_NOT_YET) {
                        if (c[1])
                                value = c + 1;
                        else if (p->next < p->argc)
                                value = p->argv[p->next++];
                        else
                                return option_missing_value(p, letter, o);
                }
                r = option_store(p, o, value);
                if (r != 0 || value)
                        return r;
        }
        return 0;
}

static int take_rest(Parser *p)
{
        for (; p->next < p->argc; p->next++)
                if (strv_append(&p->a->words, p->argv[p->next]) < 0)
                        return ctl_oom();
        return 0;
}

static int parse_word(Parser *p, const char *text)
{
        if (!p->verb) {
                p->verb = verb_find(text);
                return p->verb ? 0 : verb_unknown(text);
        }
        if (strv_append(&p->a->words, text) < 0)
                return ctl_oom();
        if (!(p->verb->flags & VERB_STOPS_AT_WORD))
                return 0;
        if (p->next < p->argc && streq(p->argv[p->next], "--"))
                p->next++;
        return take_rest(p);
}

static int check_verb(const Parser *p)
{
        const Arguments *a = p->a;
        const Verb *v = p->verb;
        size_t n = strv_length(a->words);

        if (a->help || a->version)
                return 0;
        if (!(v->outputs & OUTPUT_BIT(a->output))) {
                ctl_error("%s has no output format \"%s\"", v->name, output_names[a->output]);
                return usage_exit_code(v, a);
        }
        if (a->namespace && !(v->flags & VERB_NAMESPACE)) {
                ctl_error("%s takes no namespace", v->name);
                return usage_exit_code(v, a);
        }
        if (a->namespace && !name_is_valid(a->namespace)) {
                ctl_error("\"%s\" is no name of a namespace", WORD(a->namespace));
                return usage_exit_code(v, a);
        }
        if (a->all_namespaces && !(v->flags & VERB_ALL_NAMESPACES)) {
                ctl_error("%s does not take --all-namespaces", v->name);
                return usage_exit_code(v, a);
        }
        if (a->all_namespaces && a->namespace) {
                ctl_error("--namespace and --all-namespaces exclude each other");
                return usage_exit_code(v, a);
        }
        if (n < v->min_words)
                return verb_usage_error(v, a, "something is missing");
        if (n > v->max_words)
                return verb_usage_error(v, a, "too many words");
        return 0;
}

int arguments_parse(int argc, char **argv, Arguments *ret, const Verb **ret_verb)
{
        Parser p = { .argc = argc, .next = 1, .argv = argv, .a = ret };
        int r = 0;

        while (r == 0 && p.next < argc) {
                const char *text = argv[p.next++];

                if (streq(text, "--"))
                        r = take_rest(&p);
                else if (startswith(text, "--"))
                        r = parse_long(&p, text);
                else if (text[0] == '-' && text[1])
                        r = parse_letters(&p, text);
                else
                        r = parse_word(&p, text);
        }
        if (r != 0)
                return r;
        *ret_verb = p.verb;
        if (p.verb)
                return check_verb(&p);
        if (ret->help || ret->version)
                return 0;
        return ctl_usage_error("which verb? \"tankctl help\" lists all");
}

void arguments_done(Arguments *a)
{
        STRV_FOREACH(s, a->from_literals)
        {
                explicit_bzero(*s, strlen(*s));
        }
        free(a->namespace);
        strv_free(a->words);
        strv_free(a->files);
        free(a->timeout);
        free(a->selector);
        free(a->name_prefix);
        free(a->fields);
        free(a->condition);
        free(a->signal);
        strv_free(a->environment);
        strv_free(a->from_files);
        strv_free(a->from_literals);
        free(a->type);
        free(a->working_dir);
        free(a->user);
        free(a->container);
        free(a->tail);
        free(a->since);
        free(a->detach_keys);
        free(a->sort_by);
        free(a->columns);
        free(a->limit);
        free(a->revision);
        free(a->diff);
        free(a->to);
        free(a->if_revision);
        free(a->output_file);
        free(a->ttl);
        free(a->key_prefix);
        free(a->from_file);
        free(a->from_pepr);
        strv_free(a->capabilities);
        free(a->versions);
        free(a->age);
        free(a->log_rows);
        free(a->log_size);
        *a = (Arguments){};
}

const char *arguments_namespace(const Arguments *a)
{
        return a->namespace ? a->namespace : "default";
}

int arguments_timeout(const Arguments *a, uint64_t fallback, uint64_t *ret)
{
        uint64_t seconds;

        if (!a->timeout) {
                *ret = fallback;
                return 0;
        }
        if (parse_u64(a->timeout, &seconds) >= 0 && seconds <= UINT32_MAX) {
                *ret = seconds * USEC_PER_SEC;
                return 0;
        }
        if (parse_duration(a->timeout, ret) >= 0)
                return 0;
        return ctl_usage_error("\"%s\" is no timeout: seconds, or a duration like 1m30s",
                        WORD(a->timeout));
}

int arguments_since(const Arguments *a, uint64_t *ret)
{
        uint64_t duration, now = now_realtime_usec();

        *ret = 0;
        if (!a->since || parse_rfc3339(a->since, ret) >= 0)
                return 0;
        if (parse_duration(a->since, &duration) < 0)
                return ctl_usage_error(
                                "\"%s\" is no time: a duration like 10m, or 2026-01-31T12:00:00Z",
                                WORD(a->since));
        *ret = duration < now ? now - duration : 0;
        return 0;
}

/* ---- the whole ----------------------------------------------------------------------------- */

int ctl_run(int argc, char **argv)
{
        CLEANUP(arguments_done) Arguments a = {};
        const Verb *v = NULL;
        int r;

        r = arguments_parse(argc, argv, &a, &v);
        if (r != 0)
                return r;
        if (a.version) {
                puts("tankctl " PACKAGE_VERSION);
        } else if (a.help) {
                if (v)
                        verb_print_help(stdout, v);
                else
                        ctl_print_help(stdout);
        } else {
                running = v;
                r = v->run(&a);
        }
        /* Whoever reads the output shall not take half of it for the whole. */
        if (fflush(stdout) != 0 || ferror(stdout)) {
                if (errno != EPIPE)
                        ctl_error("standard output cannot be written: %s", strerror(errno));
                return r != 0 ? r : EXIT_CODE_FAILED;
        }
        return r;
}
