/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line: global options anywhere before `--`, one verb, its options and words. */

#include <stdio.h>

#include "macro.h"

typedef enum OutputFormat {
        OUTPUT_TABLE, /* for people; the default of every verb */
        OUTPUT_WIDE,
        OUTPUT_JSON,
        OUTPUT_YAML,
        OUTPUT_NAME,
        _OUTPUT_FORMAT_MAX,
} OutputFormat;

typedef struct Arguments {
        OutputFormat output;
        char *namespace; /* NULL: not given */
        bool all_namespaces, help, version;

        char **words; /* behind the verb, options taken out */

        char **files;
        bool dry_run, wait, create_namespace, cascade;
        char *timeout;
        char *selector, *fields;
        char *name_prefix;
        bool count;
        char *condition;
        char *signal;
        bool interactive, terminal, detach, keep;
        char **environment;
        char *working_dir, *user, *container;
        bool follow, timestamps, prefix;
        char *tail, *since;
        bool accept_store;
        bool viewer, no_scrollback;
        char *detach_keys; /* NULL: not given */
        bool watch, no_follow, raw;
        char *sort_by, *columns, *limit;
        char *revision, *diff, *to, *if_revision;
        char *output_file;
        char **from_files, **from_literals, *type;
        bool reveal;
        bool no_wait;
        char *ttl, *key_prefix, *from_file, *from_pepr;
        char **capabilities;
        char *versions, *age, *log_rows, *log_size;
} Arguments;

typedef enum OptionKind {
        OPTION_FLAG,
        OPTION_STRING,
        OPTION_LIST,
        OPTION_SECRETS, /* a list of KEY=VALUE, of which the values are nobody else's */
        OPTION_TERMS,   /* a string; given again, both hold */
        OPTION_OUTPUT,
        OPTION_NOT_YET, /* known, refused */
} OptionKind;

typedef struct Option {
        char letter; /* 0: none */
        const char *name;
        OptionKind kind;
        size_t offset;        /* into Arguments */
        const char *argument; /* its placeholder, NULL: takes none */
        const char *help;
} Option;

typedef enum VerbFlags {
        VERB_NAMESPACE = 1 << 0,      /* takes -n */
        VERB_ALL_NAMESPACES = 1 << 1, /* takes -A */
        VERB_STOPS_AT_WORD = 1 << 2,  /* reads no options behind its first word */
        VERB_WAIT_PASSES = 1 << 3,    /* with the word "wait" its exit codes are as exec's */
} VerbFlags;

#define OUTPUT_BIT(o) (1U << (o))
#define OUTPUTS_NONE  OUTPUT_BIT(OUTPUT_TABLE)
#define OUTPUTS_NAME  (OUTPUTS_NONE | OUTPUT_BIT(OUTPUT_NAME))
#define OUTPUTS_ALL   (OUTPUT_BIT(_OUTPUT_FORMAT_MAX) - 1)

typedef struct Verb {
        const char *name;
        const char *usage;   /* the words it takes */
        const char *summary; /* one line, in the list of verbs */
        const char *details; /* paragraphs of its help, lines of at most 80 columns */
        const Option *options;
        VerbFlags flags;
        unsigned outputs;
        size_t min_words, max_words;
        int usage_exit_code;
        int (*run)(const Arguments *a); /* the exit code */
} Verb;

extern const Verb ctl_verbs[]; /* ended by an empty one */

/* Words of the design that have no code yet: refused by name, not as unknown. */
extern const char *const ctl_verbs_not_yet[];

const Verb *verb_find(const char *name);
int verb_unknown(const char *word); /* says so; EXIT_CODE_USAGE */
/* By letter, or by the first @n characters of @name: the verb's, or one of all verbs. */
const Option *verb_option(const Verb *v, char letter, const char *name, size_t n);
/* The @i-th that works with @v (NULL: before the verb), or NULL. */
const Option *verb_option_at(const Verb *v, size_t i);
const char *output_to_string(OutputFormat o);
void verb_print_help(FILE *f, const Verb *v);
void ctl_print_help(FILE *f);

/* 0, or the exit code when it is said already what is wrong. */
int arguments_parse(int argc, char **argv, Arguments *ret, const Verb **ret_verb);
void arguments_done(Arguments *a);

/* The namespace that names without one mean. */
const char *arguments_namespace(const Arguments *a);
/* --timeout in µs: seconds or a duration; @fallback when not given. 0 or the exit code. */
int arguments_timeout(const Arguments *a, uint64_t fallback, uint64_t *ret);

/* --since as a time: a duration before now, or RFC 3339. 0 when not given. 0 or the exit code. */
int arguments_since(const Arguments *a, uint64_t *ret);

int ctl_run(int argc, char **argv);

/* "tankctl: …" on standard error, control characters neutralised.
 *
 * Exit codes have one rule. Usage (2) is what the command line alone shows to be wrong: it is found
 * before anybody is asked. What a daemon answers has the code of its error's name (lib/error.c): so
 * 3 is that a thing of tank's is not there, 4 that it is there or stands elsewhere. Everything else
 * that fails is 1, files of the command line that are missing among it. */
void ctl_error(const char *format, ...) PRINTF_LIKE(1, 2);
int ctl_usage_error(const char *format, ...) PRINTF_LIKE(1, 2); /* the same; EXIT_CODE_USAGE */
int ctl_oom(void);                                              /* EXIT_CODE_FAILED */
/* Of a file that the command line names: "tankctl: PATH: why"; EXIT_CODE_FAILED. */
int ctl_file_failure(const char *path, int r);

/* What the bus has as an option of a call ("…, or let it be made (create-namespace)") as @v has it
 * ("(--create-namespace)"); taken off when @v has none. NULL: out of memory. */
char *verb_sentence(const Verb *v, const char *sentence);
char *ctl_sentence(const char *sentence); /* of the verb that runs */

/* TYPE, TYPE NAME, TYPE/NAME, TYPE/NAMESPACE/NAME or a reference. */
typedef struct Resource {
        const char *type;
        const char *namespace; /* "" for types without */
        const char *name;      /* NULL: only a type is there */
        bool known;            /* the type is one that tank itself knows */
        void *owned;           /* what the others may point into */
} Resource;

/* From the words of @a, of which there must be one; a word too many is an error. 0 or the exit
 * code. */
int resource_parse(const Arguments *a, Resource *ret);
/* The same, and a name is needed: "which pod? VERB pod NAME". */
int resource_parse_named(const Arguments *a, const char *verb, Resource *ret);
/* There is nothing of its type, which tank does not know: says what may have been meant. */
int resource_type_unknown(const Resource *r, const char *verb);
void resource_done(Resource *r);

/* POD or POD/CONTAINER, with -c as another way to say the container. */
typedef struct Target {
        const char *namespace;
        char *pod;
        char *container; /* "" for none said */
} Target;

int target_parse(const Arguments *a, const char *word, Target *ret); /* 0 or EXIT_CODE_USAGE */
void target_done(Target *t);
