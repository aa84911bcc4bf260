/* SPDX-License-Identifier: Apache-2.0 */

/* Prints the table of fields as people read it: `print-spec markdown` is docs/spec.md,
 * `print-spec mdoc` the list of fields in tank-pod(5). tools/checks/spec compares both with what is
 * in the tree. Types and notes of the table are markdown; mdoc is made from that. */

#include <stdio.h>

#include "limit.h"
#include "spec-table.h"

typedef struct Format {
        void (*begin)(FILE *out);
        void (*section)(FILE *out, const char *name, const char *about);
        void (*row)(FILE *out, const char *path, const SpecField *f);
        void (*end_section)(FILE *out);
} Format;

/* --- what is said about a field -------------------------------------------------------------- */

static void print_words(FILE *out, const char *words, const char *last)
{
        while (*words) {
                size_t n = strcspn(words, "|");

                fprintf(out, "`%.*s`", (int) n, words);
                words += n;
                if (!*words)
                        break;
                words++;
                fputs(strchr(words, '|') ? ", " : last, out);
        }
}

static const char *kind_text(const SpecField *f)
{
        switch (f->kind) {
        case SPEC_KIND: return "type";
        case SPEC_NAME: return f->list ? "names" : "name";
        case SPEC_HOSTNAME: return "name of a host";
        case SPEC_STRING: return f->list ? "texts" : "text";
        case SPEC_BOOL: return "`true` or `false`";
        case SPEC_COUNT: return "whole number";
        case SPEC_SIZE: return "size";
        case SPEC_DURATION: return "duration";
        case SPEC_CPU: return "number of CPUs, or map";
        case SPEC_PATH:
        case SPEC_MOUNT_POINT: return "absolute path";
        case SPEC_SIGNAL: return "signal, by name or number";
        case SPEC_USER: return "name, `uid` or `uid:gid`";
        case SPEC_GROUP: return f->list ? "names or numbers" : "name or number";
        case SPEC_CAPABILITY: return f->list ? "capabilities" : "capability";
        case SPEC_LABELS:
        case SPEC_ANNOTATIONS:
        case SPEC_ENVIRONMENT: return "map of texts";
        case SPEC_HOSTS: return "map of names to addresses";
        case SPEC_DATA: return "map of values";
        case SPEC_REFERENCE: return "`NAME/KEY`";
        case SPEC_VARIABLE_PREFIX: return "text";
        case SPEC_FILE_MODE: return "octal digits";
        case SPEC_ITEMS: return "map of keys to relative paths";
        case SPEC_OBJECT: return f->list ? "maps" : "map";
        case SPEC_WORD:
        case SPEC_OTHER: break;
        }
        return "";
}

static void print_type(FILE *out, const SpecField *f)
{
        if (f->list)
                fprintf(out, "list of ");
        if (f->type) {
                fprintf(out, "%s", f->type);
                return;
        }
        if (f->words)
                print_words(out, f->words, f->kind == SPEC_WORD ? " or " : ", ");
        if (f->kind == SPEC_OBJECT && f->words)
                fprintf(out, ", or map");
        else
                fprintf(out, "%s", kind_text(f));
}

static void print_notes(FILE *out, const SpecField *f)
{
        const char *separator = "";

        if (f->later) {
                fprintf(out, "*not supported yet*");
                separator = "; ";
        }
        if (f->note) {
                fprintf(out, "%s%s", separator, f->note);
                separator = "; ";
        }
        if (f->later_words && f->instead) {
                fprintf(out, "%s%s", separator, f->instead);
                separator = "; ";
        } else if (f->later_words) {
                fputs(separator, out);
                print_words(out, f->later_words, " and ");
                fprintf(out, ": not supported yet");
                separator = "; ";
        }
        if (f->privileged && streq(f->privileged, "*"))
                fprintf(out, "%sprivileged", separator);
        else if (f->privileged) {
                fputs(separator, out);
                print_words(out, f->privileged, " and ");
                fprintf(out, " is privileged");
        }
}

static const char *default_text(const SpecField *f)
{
        return f->required ? "required" : f->fallback ? f->fallback : "";
}

/* --- the walk -------------------------------------------------------------------------------- */

static void print_fields(const Format *format, const SpecField *fields, const char *prefix)
{
        for (const SpecField *f = fields; f->name; f++) {
                char path[256];

                (void) snprintf(path, sizeof(path), "%s%s", prefix, f->name);
                format->row(stdout, path, f);
                if (!f->fields || f->section)
                        continue;
                (void) snprintf(path, sizeof(path), "%s%s%s.", prefix, f->name,
                                f->list                       ? "[]"
                                : f->kind == SPEC_ENVIRONMENT ? ".NAME"
                                : f->kind == SPEC_DATA        ? ".KEY"
                                                              : "");
                print_fields(format, f->fields, path);
        }
}

/* The fields that one section of the reference describes, wherever they are used. */
static const SpecField *find_section(const SpecField *fields, const char *section)
{
        for (const SpecField *f = fields; f->name; f++) {
                const SpecField *found;

                if (f->section && streq(f->section, section))
                        return f->fields;
                found = f->fields ? find_section(f->fields, section) : NULL;
                if (found)
                        return found;
        }
        return NULL;
}

static void print_section(
                const Format *format, const char *name, const char *about, const SpecField *fields)
{
        format->section(stdout, name, about);
        print_fields(format, fields, "");
        format->end_section(stdout);
}

static void print_reference(const Format *format)
{
        const SpecField *pod = spec_find_type("pod")->fields;

        format->begin(stdout);
        print_section(format, "pod",
                        "What runs: containers that share namespaces and volumes, each with a life "
                        "of its own.",
                        pod);
        print_section(format, "container", "An entry of `containers` or `init_containers`.",
                        find_section(pod, "container"));
        print_section(format, "probe", "`health.startup`, `health.ready` and `health.live`.",
                        find_section(pod, "probe"));
        for (const SpecType *t = spec_types; t->name; t++)
                if (!streq(t->name, "pod"))
                        print_section(format, t->name,
                                        t->later ? "*Not supported yet*: no object of this type "
                                                   "can be made."
                                                 : t->about,
                                        t->fields);
        print_section(format, "other types",
                        "`service`, `instance`, `scaling_operation`, `deletion_operation` and any "
                        "other "
                        "name of a type: stored, versioned and watched, not run. Further fields "
                        "are kept "
                        "as they are.",
                        spec_find_type("")->fields);
}

/* --- markdown -------------------------------------------------------------------------------- */

static void markdown_begin(FILE *out)
{
        fputs("<!-- Printed by tools/print-spec; tools/checks/spec --update writes it. -->\n\n"
              "# The fields of documents\n\n"
              "A document is a map, written as YAML or JSON. tankctl reads YAML: the 1.2 core "
              "schema, in which only `true` and\n`false` are booleans (`yes`, `on`, `0755` and "
              "`12:30` are text); no tags, no `<<`; a key that is there twice is an\nerror. "
              "A field that is not in these tables is refused with its place and the nearest "
              "name that is; a field marked\n*not supported yet* is refused by name.\n\n"
              "- **Names** are 1 to 63 of `a-z`, `0-9` and `-`, beginning and ending with a letter "
              "or digit.\n"
              "- **Sizes** are bytes: `64MiB`, `5MB`, `1.5GiB`, or a plain number. Units: `B`, "
              "`kB`, `MB`, `GB`, `TB`, `KiB`, `MiB`,\n  `GiB`, `TiB`, and `K`, `M`, `G`, `T` for "
              "the binary ones.\n"
              "- **Durations** have units: `10s`, `1m30s`, `250ms`; `d`, `h`, `m`, `s`, `ms`, "
              "`us`, largest first.\n"
              "- **Paths** are absolute, at most 4095 bytes, without `..`.\n"
              "- **Texts** are quoted where YAML would read something else: `\"8080\"`, `\"true\"`."
              "\n"
              "- **Privileged** fields need the right `org.tankd.privileged`, both to declare them "
              "and to remove them,\nand to enter a pod that uses them or send it signals.\n\n"
              "The stored form of a document has quantities as whole numbers (sizes in bytes, "
              "durations and CPU time in µs), signals and\ncapabilities by their full names, "
              "paths without `//`, `kind` and `namespace` filled in, and nothing else added: "
              "defaults\nare applied at launch. On the bus a document may be in either form; "
              "tankctl takes a duration from people with its unit only.\n",
                        out);
        fprintf(out,
                        "A document has at most 1 MiB in its stored form; `command`, `args` and "
                        "`env` of a "
                        "container 2 MiB; a pod has at most\n%u containers and %u volumes, a "
                        "container %u "
                        "mounts, an object %u labels.\n",
                        LIMIT_CONTAINERS, LIMIT_VOLUMES, LIMIT_MOUNTS, LIMIT_LABELS);
}

static void markdown_section(FILE *out, const char *name, const char *about)
{
        fprintf(out, "\n## %s\n\n%s\n\n| field | type | default | notes |\n|---|---|---|---|\n",
                        name, about);
}

static void markdown_row(FILE *out, const char *path, const SpecField *f)
{
        fprintf(out, "| `%s` | ", path);
        print_type(out, f);
        fprintf(out, " | %s | ", default_text(f));
        print_notes(out, f);
        fprintf(out, " |\n");
}

static void markdown_end_section(FILE *out)
{
}

/* --- mdoc: the same text with its marks turned into fonts ------------------------------------ */

static void mdoc_text(FILE *out, const char *text)
{
        bool code = false, italic = false;

        for (const char *p = text; *p; p++) {
                if (*p == '`') {
                        code = !code;
                        fputs(code ? "\\fB" : "\\fR", out);
                } else if (*p == '*') {
                        italic = !italic;
                        fputs(italic ? "\\fI" : "\\fR", out);
                } else if (*p == '\\')
                        fputs("\\e", out);
                else if (*p == '-')
                        fputs("\\-", out);
                else
                        putc(*p, out);
        }
}

static char *markdown_of(void (*print)(FILE *out, const SpecField *f), const SpecField *f)
{
        char *text = NULL;
        size_t size = 0;
        FILE *memory = open_memstream(&text, &size);

        if (!memory)
                abort();
        print(memory, f);
        if (fclose(memory) != 0)
                abort();
        return text;
}

static void mdoc_begin(FILE *out)
{
}

static void mdoc_section(FILE *out, const char *name, const char *about)
{
        fprintf(out, ".Ss %c%s\n", name[0] - 'a' + 'A', name + 1);
        mdoc_text(out, about);
        fprintf(out, "\n.Bl -tag -width 4n\n");
}

static void mdoc_row(FILE *out, const char *path, const SpecField *f)
{
        CLEANUP_FREE char *type = markdown_of(print_type, f), *notes = markdown_of(print_notes, f);

        fprintf(out, ".It Cm %s No \\(em ", path);
        mdoc_text(out, type);
        if (*default_text(f)) {
                fputs(f->required ? " (" : " (default ", out);
                mdoc_text(out, default_text(f));
                putc(')', out);
        }
        putc('\n', out);
        if (!*notes)
                return;
        /* Sentences of their own, behind the type. */
        if (notes[0] >= 'a' && notes[0] <= 'z')
                notes[0] = (char) (notes[0] - 'a' + 'A');
        else if (startswith(notes, "*n"))
                notes[1] = 'N';
        mdoc_text(out, notes);
        fprintf(out, ".\n");
}

static void mdoc_end_section(FILE *out)
{
        fprintf(out, ".El\n");
}

int main(int argc, char **argv)
{
        static const Format markdown = { markdown_begin, markdown_section, markdown_row,
                markdown_end_section };
        static const Format mdoc = { mdoc_begin, mdoc_section, mdoc_row, mdoc_end_section };

        if (argc != 2 || (!streq(argv[1], "markdown") && !streq(argv[1], "mdoc"))) {
                fprintf(stderr, "usage: print-spec markdown|mdoc\n");
                return 2;
        }
        print_reference(streq(argv[1], "markdown") ? &markdown : &mdoc);
        return fflush(stdout) == 0 ? 0 : 1;
}
