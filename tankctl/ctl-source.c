/* SPDX-License-Identifier: Apache-2.0 */

/* Files → text → YAML documents → declarations. Everything that can be wrong with a file is said
 * here, with its place in it. */

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conceal.h"
#include "ctl.h"
#include "ctl-source.h"
#include "ctl-text.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "spec.h"
#include "strv.h"

typedef struct Loader {
        const char *namespace;
        LoadFlags flags;
        Declarations declarations;
        json_t *seen; /* "type/namespace/name" → source, to notice the second one */
        int exit_code;
} Loader;

/* ---- saying what is wrong ------------------------------------------------------------------ */

static void complain(
                Loader *l, const char *file, YamlPosition at, const char *path, const char *message)
{
        CLEANUP_FREE char *line = NULL;

        if (asprintf(&line, "%s:%zu:%zu: %s%s%s", file, at.line, at.column, path, *path ? ": " : "",
                            message) < 0)
                line = NULL;
        print_neutral(stderr, line ? line : message);
        fputc('\n', stderr);
        l->exit_code = EXIT_CODE_FAILED;
}

static void complain_at(Loader *l, const char *file, const YamlDocument *d, const char *path,
                bool at_key, const char *message)
{
        complain(l, file, yaml_document_position(d, path, at_key), path, message);
}

/* ---- one document -------------------------------------------------------------------------- */

/* NULL: it may stand there. */
static const char *refuse_meta_field(const Loader *l, const char *key)
{
        static const char *const known[] = { "uid", "generation", "revision", "created", "updated",
                NULL };

        if (strv_contains((char *const *) known, key))
                return NULL;
        if (streq(key, "sealed"))
                return l->flags & LOAD_SEALED ? NULL
                                              : "the values of a secret as an export has them: "
                                                "bring them back with tankctl store import";
        if (streq(key, "unreadable"))
                return "what stood there could not be read when it was exported: remove the "
                       "document, or write one for it";
        return "unknown field: meta is made by tank, leave it out";
}

static int check_meta(Loader *l, const char *file, const YamlDocument *d, const json_t *meta)
{
        const char *key;
        json_t *value;

        if (!json_is_object(meta)) {
                complain_at(l, file, d, "meta", false,
                                "expected the map that tank made: leave it out");
                return -EINVAL;
        }
        json_object_foreach ((json_t *) meta, key, value) {
                const char *message = refuse_meta_field(l, key);
                CLEANUP_FREE char *path = NULL;

                if (!message)
                        continue;
                if (asprintf(&path, "meta.%s", key) < 0)
                        return -ENOMEM;
                complain_at(l, file, d, path, true, message);
                return -EINVAL;
        }
        return 0;
}

/* Takes meta and status out of @doc. */
static int strip_meta(
                Loader *l, const char *file, const YamlDocument *d, json_t *doc, Declaration *ret)
{
        json_t *meta = json_object_get(doc, "meta");
        const json_t *revision;
        int r;

        if (json_object_get(doc, "status")) {
                complain_at(l, file, d, "status", true,
                                "made by tank and never declared: leave it out, as -o yaml does");
                return -EINVAL;
        }
        if (!meta)
                return 0;
        r = check_meta(l, file, d, meta);
        if (r < 0)
                return r;
        ret->stored = json_object_get(meta, "uid");
        if (json_object_get(meta, "sealed"))
                ret->sealed = json_incref(meta);
        revision = json_object_get(meta, "revision");
        if (revision) {
                if (!json_is_integer(revision) || json_integer_value(revision) < 0) {
                        complain_at(l, file, d, "meta.revision", false,
                                        "expected a revision, a whole number from 0, or no meta at "
                                        "all");
                        return -EINVAL;
                }
                ret->has_if_revision = true;
                ret->if_revision = (uint64_t) json_integer_value(revision);
        }
        return json_object_del(doc, "meta") < 0 ? -ENOMEM : 0;
}

/* Fills in the namespace of the command line. */
static int set_namespace(Loader *l, const char *file, const YamlDocument *d, json_t *doc)
{
        const char *kind = json_get_string(doc, "kind"), *own = json_get_string(doc, "namespace");

        if (!l->namespace || (kind && type_is_global(kind)))
                return 0;
        if (own && !streq(own, l->namespace)) {
                CLEANUP_FREE char *message = NULL;

                if (asprintf(&message, "'%.70s', but --namespace is '%s': leave one of them out",
                                    own, l->namespace) < 0)
                        return -ENOMEM;
                complain_at(l, file, d, "namespace", false, message);
                return -EINVAL;
        }
        if (json_object_get(doc, "namespace"))
                return 0;
        return json_object_set_new(doc, "namespace", json_string(l->namespace)) < 0 ? -ENOMEM : 0;
}

/* A person who writes a bare number means seconds, or who knows what; in a document that came out
 * of the store, to be edited and applied again, it is the store's own. */
static int check_document(Loader *l, const char *file, const YamlDocument *d, const json_t *doc,
                bool stored, json_t **ret)
{
        SpecError e = {};
        int r;

        if (l->flags & LOAD_IDENTITY_ONLY)
                r = spec_normalize_identity(doc, ret, &e);
        else
                r = spec_normalize(doc, stored ? SPEC_DEFAULT : SPEC_STRICT_ENTRY, ret, &e);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                complain_at(l, file, d, e.path, e.at_key, e.message);
                return -EINVAL;
        }
        return 0;
}

static int check_twice(Loader *l, const char *file, const YamlDocument *d, const Declaration *x)
{
        CLEANUP_FREE char *key = NULL, *message = NULL;
        const char *first;

        if (asprintf(&key, "%s/%s/%s", x->type, x->namespace, x->name) < 0)
                return -ENOMEM;
        first = json_get_string(l->seen, key);
        if (!first)
                return json_object_set_new(l->seen, key, json_string(x->source)) < 0 ? -ENOMEM : 0;
        if (asprintf(&message, "%s is declared already at %s: remove one", key, first) < 0)
                return -ENOMEM;
        complain_at(l, file, d, "", false, message);
        return -EINVAL;
}

static int loader_add(Loader *l, const Declaration *x)
{
        Declarations *d = &l->declarations;
        Declaration *grown = reallocarray(d->items, d->n + 1, sizeof(Declaration));

        if (!grown)
                return -ENOMEM;
        d->items = grown;
        grown[d->n++] = *x;
        return 0;
}

static void declaration_done(Declaration *x)
{
        json_decref(x->document);
        json_decref(x->sealed);
        free(x->source);
        *x = (Declaration){};
}

/* -EINVAL: complained about. */
static int load_document(Loader *l, const char *file, const YamlDocument *d)
{
        CLEANUP(declaration_done) Declaration x = {};
        CLEANUP_JSON json_t *doc = json_copy(yaml_document_root(d));
        YamlPosition at = yaml_document_position(d, "", false);
        int r;

        if (!doc)
                return -ENOMEM;
        if (!json_is_object(doc)) {
                complain(l, file, at, "", "expected a map with kind and name");
                return -EINVAL;
        }
        r = l->flags & LOAD_IDENTITY_ONLY ? 0 : strip_meta(l, file, d, doc, &x);
        if (r >= 0)
                r = set_namespace(l, file, d, doc);
        if (r < 0)
                return r;
        r = check_document(l, file, d, doc, x.stored, &x.document);
        if (r < 0)
                return r;
        x.type = json_get_string(x.document, "kind");
        x.namespace = strempty(json_get_string(x.document, "namespace"));
        x.name = json_get_string(x.document, "name");
        if (asprintf(&x.source, "%s:%zu", file, at.line) < 0) {
                x.source = NULL;
                return -ENOMEM;
        }
        r = check_twice(l, file, d, &x);
        if (r >= 0)
                r = loader_add(l, &x);
        if (r >= 0)
                x = (Declaration){};
        return r;
}

/* ---- files --------------------------------------------------------------------------------- */

static int load_text(Loader *l, const char *file, const char *text, size_t size)
{
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        YamlError e;
        int r;

        r = yaml_reader_new(text, size, &reader, &e);
        if (r >= 0)
                yaml_reader_split_lists(reader);
        while (r >= 0) {
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;

                r = yaml_reader_next(reader, &d, &e);
                if (r <= 0)
                        break;
                r = load_document(l, file, d);
                if (r == -EINVAL)
                        r = 0; /* the other documents may have something to say, too */
        }
        if (r == -EINVAL) {
                complain(l, file, e.position, "", e.message);
                return 0;
        }
        return r;
}

static int load_fd(Loader *l, const char *file, int fd)
{
        CLEANUP_FREE char *text = NULL;
        size_t size;
        int r;

        r = read_fd_bounded(fd, LIMIT_YAML_FILE_MAX, &text, &size);
        if (r == -EFBIG) {
                ctl_error("%s: larger than %u MiB: split it", file, LIMIT_YAML_FILE_MAX >> 20);
                l->exit_code = EXIT_CODE_FAILED;
                return 0;
        }
        if (r < 0) {
                ctl_error("%s: cannot be read: %s", file, errno_words(r));
                l->exit_code = EXIT_CODE_FAILED;
                return r == -ENOMEM ? r : 0;
        }
        return load_text(l, file, text, size);
}

static int is_document_file(const struct dirent *e)
{
        static const char *const endings[] = { ".yaml", ".yml", ".json" };
        size_t n = strlen(e->d_name);

        if (e->d_name[0] == '.')
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
                size_t m = strlen(endings[i]);

                if (n > m && streq(e->d_name + n - m, endings[i]))
                        return 1;
        }
        return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name); /* by bytes, whatever the locale */
}

static int load_file(Loader *l, const char *file);

static int load_directory(Loader *l, const char *directory)
{
        struct dirent **entries = NULL;
        int n, r = 0;

        n = scandir(directory, &entries, is_document_file, by_name);
        if (n < 0) {
                ctl_error("%s: cannot be read: %s", directory, errno_words(errno));
                l->exit_code = EXIT_CODE_FAILED;
                return 0;
        }
        if (n == 0) {
                ctl_error("%s: no *.yaml, *.yml or *.json in this directory", directory);
                l->exit_code = EXIT_CODE_FAILED;
        }
        for (int i = 0; i < n; i++) {
                CLEANUP_FREE char *path = NULL;

                if (r >= 0) {
                        if (asprintf(&path, "%s/%s", directory, entries[i]->d_name) < 0) {
                                path = NULL;
                                r = -ENOMEM;
                        } else
                                r = load_file(l, path);
                }
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int load_file(Loader *l, const char *file)
{
        CLEANUP_CLOSE int fd = -EBADF;
        struct stat st;

        if (streq(file, "-"))
                return load_fd(l, "stdin", STDIN_FILENO);
        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0) {
                ctl_error("%s: %s", errno == ENAMETOOLONG ? WORD(file) : file, errno_words(errno));
                l->exit_code = EXIT_CODE_FAILED;
                return 0;
        }
        return S_ISDIR(st.st_mode) ? load_directory(l, file) : load_fd(l, file, fd);
}

int declarations_load(char *const *files, const char *namespace, LoadFlags flags, Declarations *ret)
{
        CLEANUP_JSON json_t *seen = json_object();
        Loader l = { .namespace = namespace, .flags = flags, .seen = seen };
        bool missing = false; /* what the caller named himself is no bad document to be skipped */
        int r = seen ? 0 : -ENOMEM;

        program_conceal(); /* they may declare secrets */
        STRV_FOREACH(file, files)
        {
                if (r >= 0)
                        r = load_file(&l, *file);
                if (!streq(*file, "-") && access(*file, R_OK) < 0)
                        missing = true;
        }
        if (r < 0)
                l.exit_code = ctl_oom();
        else if (l.exit_code == 0 && l.declarations.n == 0) {
                ctl_error("%s: no document in there", files[0]);
                l.exit_code = EXIT_CODE_FAILED;
        }
        if (l.exit_code != 0 && (r < 0 || missing || !(flags & LOAD_SKIP_BAD))) {
                declarations_done(&l.declarations);
                return l.exit_code;
        }
        *ret = l.declarations;
        return 0;
}

void declarations_done(Declarations *d)
{
        for (size_t i = 0; i < d->n; i++)
                declaration_done(&d->items[i]);
        free(d->items);
        *d = (Declarations){};
}

static const char *slash_behind_namespace(const Declaration *d)
{
        return *d->namespace ? "/" : "";
}

void declaration_print_identity(FILE *f, const Declaration *d)
{
        fprintf(f, "%s/%s%s%s", d->type, d->namespace, slash_behind_namespace(d), d->name);
}

char *declaration_identity(const Declaration *d)
{
        char *text;

        return asprintf(&text, "%s/%s%s%s", d->type, d->namespace, slash_behind_namespace(d),
                               d->name) < 0
                               ? NULL
                               : text;
}
