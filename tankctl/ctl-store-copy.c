/* SPDX-License-Identifier: Apache-2.0 */

/* store backup, export and import: what goes between the store and files. The store is
 * given one end of a socketpair, and takes nothing else: it must not wait for a file of ours, and
 * what it wrote gets its name only when it says that this was all. */

#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "conceal.h"
#include "ctl-bus.h"
#include "ctl-json.h"
#include "ctl-source.h"
#include "ctl-store.h"
#include "ctl-text.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "strv.h"

/* ---- a file that is there whole or not at all ---------------------------------------------- */

typedef struct CopyTarget {
        char *dir, *name;  /* where it shall be; NULL: standard output */
        char *temporary;   /* within dir */
        bool name_follows; /* a directory was given: the name is made of what comes */
        int dir_fd, fd;
} CopyTarget;

#define COPY_TARGET_NULL \
        (CopyTarget) \
        { \
                .dir_fd = -EBADF, .fd = -EBADF \
        }

static void copy_target_done(CopyTarget *t)
{
        if (t->temporary && t->fd >= 0)
                (void) unlinkat(t->dir_fd, t->temporary, 0);
        if (t->dir)
                safe_close(t->fd);
        safe_close(t->dir_fd);
        free(t->dir);
        free(t->name);
        free(t->temporary);
}

/* Where @path shall be: a name in a directory. */
static int split_path(CopyTarget *t, const char *path)
{
        const char *slash = strrchr(path, '/');
        struct stat st;

        if (stat(path, &st) >= 0 && S_ISDIR(st.st_mode)) {
                t->name_follows = true;
                t->dir = strdup(path);
                return t->dir ? 0 : -ENOMEM;
        }
        t->name = strdup(slash ? slash + 1 : path);
        t->dir = !slash          ? strdup(".")
                 : slash == path ? strdup("/")
                                 : strndup(path, (size_t) (slash - path));
        if (!t->name || !t->dir)
                return -ENOMEM;
        return isempty(t->name) ? -EISDIR : 0;
}

/* @path "-": standard output. 0 or the exit code. */
static int copy_target_open(CopyTarget *t, const char *path)
{
        char id[ID128_SIZE];
        int r;

        if (streq(path, "-")) {
                t->fd = STDOUT_FILENO;
                return 0;
        }
        if ((r = split_path(t, path)) < 0 || (r = random_id(id)) < 0)
                return ctl_file_failure(path, r);
        t->dir_fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (t->dir_fd < 0)
                return ctl_file_failure(t->dir, -errno);
        if (asprintf(&t->temporary, ".#tank-store.%.16s", id) < 0)
                return ctl_oom();
        t->fd = openat(t->dir_fd, t->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return t->fd < 0 ? ctl_file_failure(path, -errno) : 0;
}

/* What came is all, and becomes a file. */
static int copy_target_finish(CopyTarget *t)
{
        int r = 0;

        if (!t->dir)
                return 0;
        if (fsync(t->fd) < 0 || renameat(t->dir_fd, t->temporary, t->dir_fd, t->name) < 0 ||
                        fsync(t->dir_fd) < 0)
                r = -errno;
        if (r < 0)
                return ctl_file_failure(t->name, r);
        free(t->temporary);
        t->temporary = NULL;
        return 0;
}

/* What of the declarations. */
typedef struct ExportOptions {
        const char *type, *namespace; /* NULL: every one */
        bool reveal;
} ExportOptions;

/* ---- a call whose bytes go through a socket ------------------------------------------------ */

typedef struct Answer {
        sd_bus_message *reply;
        bool here;
} Answer;

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Answer *a = userdata;

        a->reply = sd_bus_message_ref(m);
        a->here = true;
        return 0;
}

/* What the store writes goes on to @to; -EPIPE and the like of that end are ours. */
static int pump(int from, int to)
{
        for (;;) {
                char buffer[64 * 1024];
                ssize_t n = read(from, buffer, sizeof(buffer));
                int r;

                if (n == 0)
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = write_full(to, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
}

static int wait_for_answer(sd_bus *bus, Answer *a)
{
        while (!a->here) {
                int r = sd_bus_process(bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

typedef int (*OptionsAppender)(sd_bus_message *m, const void *options);

/* Begins @method, which gets a socket and what @append adds; *ret_fd is the other end of it. */
static int begin_call(sd_bus *bus, const char *method, OptionsAppender append, const void *options,
                Answer *a, int *ret_fd)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP_CLOSE int ours = -EBADF, its = -EBADF;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        ours = fds[0];
        its = fds[1];
        if ((r = ctl_bus_new_call(bus, &ctl_store_admin, method, &m)) < 0 ||
                        (r = sd_bus_message_append(m, "h", its)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (append && (r = append(m, options)) < 0) ||
                        (r = sd_bus_message_close_container(m)) < 0 ||
                        (r = sd_bus_call_async(bus, NULL, m, on_answer, a, UINT64_MAX)) < 0 ||
                        (r = sd_bus_flush(bus)) < 0)
                return r;
        *ret_fd = TAKE_FD(ours);
        return 0;
}

/* Waits for the answer, and reads its numbers, of @signature, and the strings behind them, unless
 * there are none: NULL. */
static int end_call(sd_bus *bus, Answer *a, const char *signature, uint64_t *ret,
                char ***ret_strings, sd_bus_error *reterr)
{
        int r = wait_for_answer(bus, a);

        if (r >= 0 && sd_bus_message_is_method_error(a->reply, NULL)) {
                (void) sd_bus_error_copy(reterr, sd_bus_message_get_error(a->reply));
                ctl_bus_translate(reterr, ctl_store_admin.name);
                r = -EIO;
        }
        for (; r >= 0 && *signature; signature++)
                r = sd_bus_message_read_basic(a->reply, *signature, ret++);
        if (r >= 0 && ret_strings)
                r = sd_bus_message_read_strv(a->reply, ret_strings);
        sd_bus_message_unref(a->reply);
        return r;
}

static int append_export_options(sd_bus_message *m, const void *options)
{
        const ExportOptions *o = options;
        int r = 0;

        if ((o->reveal && (r = sd_bus_message_append(m, "{sv}", "reveal", "b", true)) < 0) ||
                        (o->type && (r = sd_bus_message_append(m, "{sv}", "type", "s", o->type)) <
                                                        0) ||
                        (o->namespace && (r = sd_bus_message_append(m, "{sv}", "namespace", "s",
                                                          o->namespace)) < 0))
                return r;
        return 0;
}

/* What it answers. */
typedef struct Told {
        uint64_t numbers[2];
        char **problems; /* of an export: what is missing in it */
} Told;

static void told_done(Told *t)
{
        strv_free(t->problems);
}

/* All that @method answers, when all that it wrote is in @to. 0 or the exit code. */
static int copy_out(sd_bus *bus, const char *method, const ExportOptions *o, int to, Told *ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_CLOSE int from = -EBADF;
        Answer a = {};
        int r, copied;

        r = begin_call(bus, method, o ? append_export_options : NULL, o, &a, &from);
        if (r < 0)
                return ctl_bus_failure(NULL, NULL, r);
        copied = pump(from, to);
        from = safe_close(from); /* or the store would wait for us */
        r = end_call(bus, &a, "tt", ret->numbers, o ? &ret->problems : NULL, &e);
        if (copied < 0) {
                ctl_error("cannot write: %s", errno_words(copied));
                return EXIT_CODE_FAILED;
        }
        return r < 0 ? ctl_bus_failure(NULL, &e, r) : 0;
}

/* ---- backup -------------------------------------------------------------------------------- */

/* "store-20260301T120000Z-r42.backup" */
static int name_backup(CopyTarget *t, uint64_t revision)
{
        char at[RFC3339_SIZE];

        (void) format_rfc3339(now_realtime_usec(), at);
        return asprintf(&t->name, "store-%.4s%.2s%.5s%.2s%.2sZ-r%llu.backup", at, at + 5, at + 8,
                               at + 14, at + 17, (unsigned long long) revision) < 0
                               ? -ENOMEM
                               : 0;
}

int store_backup(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(copy_target_done) CopyTarget t = COPY_TARGET_NULL;
        CLEANUP(told_done) Told told = {};
        const char *path = a->words[1];
        int r;

        if (!path)
                return ctl_usage_error("store backup to where? FILE, DIRECTORY, or - for standard "
                                       "output");
        if (streq(path, "-") && isatty(STDOUT_FILENO))
                return ctl_usage_error("a backup is nothing for a terminal: name a file");
        r = ctl_bus_open(&bus);
        if (r == 0)
                r = copy_target_open(&t, path);
        if (r == 0)
                r = copy_out(bus, "Backup", NULL, t.fd, &told);
        if (r != 0)
                return r;
        if (t.name_follows && name_backup(&t, told.numbers[0]) < 0)
                return ctl_oom();
        r = copy_target_finish(&t);
        if (r == 0 && t.dir) {
                printf("%s%s%s: ", t.name_follows ? t.dir : "", t.name_follows ? "/" : "",
                                t.name_follows ? t.name : path);
                printf("revision %llu, %llu bytes\n", (unsigned long long) told.numbers[0],
                                (unsigned long long) told.numbers[1]);
        }
        return r;
}

/* ---- export -------------------------------------------------------------------------------- */

/* Of what stands beside a declaration, that without which it cannot be brought back: the values of
 * a secret, which only their place opens; and that there was nothing to be read. */
static int keep_meta(const json_t *doc, json_t *declared)
{
        const json_t *meta = json_object_get(doc, "meta");
        json_t *kept = NULL;

        if (json_object_get(meta, "sealed"))
                kept = json_pack("{s:O, s:O, s:O}", "uid", json_object_get(meta, "uid"), "revision",
                                json_object_get(meta, "revision"), "sealed",
                                json_object_get(meta, "sealed"));
        else if (json_object_get(meta, "unreadable"))
                kept = json_pack("{s:O}", "unreadable", json_object_get(meta, "unreadable"));
        else
                return 0;
        return json_object_set_new(declared, "meta", kept) < 0 ? -ENOMEM : 0;
}

/* Declarations, as people write them. */
static int print_as_yaml(FILE *in, FILE *out)
{
        CLEANUP_FREE char *line = NULL;
        size_t allocated = 0;
        bool separator = false;
        ssize_t n;

        while ((n = getline(&line, &allocated, in)) > 0) {
                CLEANUP_JSON json_t *doc =
                                json_loadb(line, (size_t) n, JSON_REJECT_DUPLICATES, NULL);
                CLEANUP_JSON json_t *declared = NULL;
                int r;

                if (!doc)
                        return -EBADMSG;
                if ((r = declaration_for_people(doc, &declared)) >= 0 &&
                                (r = keep_meta(doc, declared)) >= 0)
                        r = yaml_print(out, declared, separator);
                if (r < 0)
                        return r;
                separator = true;
        }
        return ferror(in) ? -EIO : 0;
}

static int export_as_yaml(sd_bus *bus, const ExportOptions *o, int to, Told *told)
{
        CLEANUP(fclosep) FILE *in = NULL, *out = NULL;
        CLEANUP_CLOSE int spool = memfd_create("export", MFD_CLOEXEC), copy = -EBADF;
        int r;

        if (spool < 0)
                return ctl_file_failure("the export", -errno);
        r = copy_out(bus, "Export", o, spool, told);
        if (r != 0)
                return r;
        copy = fcntl(to, F_DUPFD_CLOEXEC, 3);
        if (lseek(spool, 0, SEEK_SET) < 0 || copy < 0)
                return ctl_file_failure("the export", -errno);
        in = fdopen(spool, "r");
        out = fdopen(copy, "w");
        if (!in || !out)
                return ctl_oom();
        (void) TAKE_FD(spool);
        (void) TAKE_FD(copy);
        r = print_as_yaml(in, out);
        if (r >= 0 && fflush(out) == EOF)
                r = -errno;
        return r < 0 ? ctl_file_failure("the export", r) : 0;
}

/* What was written is of use, and not all: it counts as failed for whoever looks no further. */
static int tell_missing(const Told *told)
{
        STRV_FOREACH(problem, told->problems)
        ctl_error("%s", *problem);
        return strv_length(told->problems) == 0 ? 0 : EXIT_CODE_FAILED;
}

int store_export(const Arguments *a)
{
        CLEANUP(told_done) Told told = {};
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(copy_target_done) CopyTarget t = COPY_TARGET_NULL;
        const char *type = a->type ? type_from_word(a->type) : NULL;
        const ExportOptions o = {
                .type = type ? type : a->type,
                .namespace = a->namespace,
                .reveal = a->reveal,
        };
        int r;

        if (a->type && !type_is_valid(a->type))
                return ctl_usage_error("\"%s\" is no type of resource", WORD(a->type));
        if (a->reveal)
                program_conceal();
        r = ctl_bus_open(&bus);
        if (r == 0)
                r = copy_target_open(&t, a->words[1] ? a->words[1] : "-");
        if (r == 0 && t.name_follows)
                return ctl_usage_error("%s is a directory: name a file in it", WORD(a->words[1]));
        if (r == 0)
                r = a->output == OUTPUT_YAML ? export_as_yaml(bus, &o, t.fd, &told)
                                             : copy_out(bus, "Export", &o, t.fd, &told);
        if (r == 0)
                r = copy_target_finish(&t);
        if (r == 0 && t.dir)
                printf("%s: %llu documents at revision %llu\n", a->words[1],
                                (unsigned long long) told.numbers[0],
                                (unsigned long long) told.numbers[1]);
        return r == 0 ? tell_missing(&told) : r;
}

/* ---- import -------------------------------------------------------------------------------- */

/* Whether @text is lines of JSON, as an export has them: the store reads those itself. */
static bool is_json_lines(const char *text, size_t size)
{
        for (size_t at = 0; at < size;) {
                const char *end = memchr(text + at, '\n', size - at);
                size_t n = end ? (size_t) (end - text) - at : size - at;
                CLEANUP_JSON json_t *doc = NULL;

                if (strspn(text + at, " \t\r") < n) {
                        doc = json_loadb(text + at, n, 0, NULL);
                        if (!json_is_object(doc))
                                return false;
                }
                at += n + 1;
        }
        return true;
}

static int read_input(const char *path, char **ret, size_t *ret_size)
{
        CLEANUP_CLOSE int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                                : open(path, O_RDONLY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return -errno;
        r = read_fd_bounded(fd, LIMIT_IMPORT_BYTES, ret, ret_size);
        return r;
}

/* One document as a line; what is sealed goes along. */
static int put_line(FILE *f, const Declaration *d)
{
        CLEANUP_FREE char *line = NULL;

        if (d->sealed && json_object_set(d->document, "meta", d->sealed) < 0)
                return -ENOMEM;
        if (document_format(d->document, &line) < 0)
                return -ENOMEM;
        return fputs(line, f) == EOF || fputc('\n', f) == EOF ? -ENOMEM : 0;
}

/* YAML by its own rules, with its places, as apply reads it; lines of JSON out of it. */
static int read_yaml(char *path, const char *text, size_t size, char **ret, size_t *ret_size)
{
        CLEANUP(declarations_done) Declarations d = {};
        CLEANUP_FREE char *lines = NULL;
        char *files[] = { path, NULL };
        size_t n = 0;
        FILE *f;
        int r;

        if (streq(path, "-")) {
                /* It was read already: let it be read again. */
                CLEANUP_CLOSE int fd = memfd_create("import", MFD_CLOEXEC);

                if (fd < 0 || write_full(fd, text, size) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
                                dup2(fd, STDIN_FILENO) < 0)
                        return ctl_file_failure("-", -errno);
        }
        r = declarations_load(files, NULL, LOAD_SEALED, &d);
        if (r != 0)
                return r;
        f = open_memstream(&lines, &n);
        if (!f)
                return ctl_oom();
        for (size_t i = 0; r >= 0 && i < d.n; i++)
                r = put_line(f, &d.items[i]);
        if (fclose(f) == EOF || r < 0)
                return ctl_oom();
        *ret = TAKE_PTR(lines);
        *ret_size = n;
        return 0;
}

/* What is to be imported, as lines. */
static int read_lines(char *path, char **ret, size_t *ret_size)
{
        CLEANUP_FREE char *text = NULL;
        size_t size;
        int r = read_input(path, &text, &size);

        if (r < 0)
                return ctl_file_failure(path, r);
        if (!is_json_lines(text, size))
                return read_yaml(path, text, size, ret, ret_size);
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

typedef struct ImportOptions {
        bool dry_run;
        uint64_t size;
} ImportOptions;

static int append_import_options(sd_bus_message *m, const void *options)
{
        const ImportOptions *o = options;

        return sd_bus_message_append(
                        m, "{sv}{sv}", "dry-run", "b", (int) o->dry_run, "size", "t", o->size);
}

/* Until all is out, or the store wants no more of it: then its answer says why. */
static void push(int to, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = send(to, data, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return;
                data += n;
                size -= (size_t) n;
        }
}

static int call_import(const Arguments *a, sd_bus *bus, const char *text, size_t size,
                uint64_t ret[static 3])
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const ImportOptions o = { .dry_run = a->dry_run, .size = size };
        CLEANUP_CLOSE int to = -EBADF;
        Answer answer = {};
        int r;

        r = begin_call(bus, "Import", append_import_options, &o, &answer, &to);
        if (r < 0)
                return ctl_bus_failure(NULL, NULL, r);
        push(to, text, size);
        to = safe_close(to); /* the end of it */
        r = end_call(bus, &answer, "ttt", ret, NULL, &e);
        return r < 0 ? ctl_bus_failure(a->files[0], &e, r) : 0;
}

int store_import(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_FREE char *text = NULL;
        uint64_t n[3];
        size_t size = 0;
        int r;

        if (strv_length(a->files) != 1)
                return ctl_usage_error("store import from which file? -f FILE, or -f - for "
                                       "standard input; one at a time");
        r = read_lines(a->files[0], &text, &size);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r == 0)
                r = call_import(a, bus, text, size, n);
        if (r == 0)
                printf("%s%llu created, %llu updated, %llu unchanged\n",
                                a->dry_run ? "would be: " : "", (unsigned long long) n[0],
                                (unsigned long long) n[1], (unsigned long long) n[2]);
        return r;
}
