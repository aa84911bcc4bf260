/* SPDX-License-Identifier: Apache-2.0 */

/*      READ -----> CHECK ----> TRY ---------> WRITE ---------> answered
 *      to the end  each line   all of it,     transactions, one under way at a time
 *                              without effect (not in a dry run)
 *
 * The last two go over the lines twice, for namespaces and for all else.
 *
 * An import that was given up (the store ends) waits for its transaction, which it lends its lines
 * to, before it is freed. */

#include "store-import.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "clock.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "spec.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-sealed.h"
#include "store-stream.h"

#define WRITE_LINES 500U
#define WRITE_BYTES (1024U * 1024U)

typedef enum Phase {
        PHASE_READ,
        PHASE_CHECK,
        PHASE_TRY_NAMESPACES,
        PHASE_TRY_REST,
        PHASE_NAMESPACES,
        PHASE_REST,
} Phase;

typedef struct Line {
        ImportLine parsed;
        size_t number;
} Line;

typedef struct Import {
        Job job;
        bool ended, writing;
        Phase phase;
        ImportOptions options;
        Stream stream;

        char *text;
        size_t size, allocated;
        size_t at, number; /* of the next line to check */

        Line *lines;
        size_t n_lines, lines_allocated;
        bool sets_quotas; /* some line does */
        json_t *seen;     /* identity: number of its line */

        size_t next;                   /* line to look at */
        size_t under_way[WRITE_LINES]; /* what each operation is of */
        sd_bus_error error;            /* of the transaction */
        ImportResult result;
        ImportDone done;
        void *userdata;
} Import;

void import_line_done(ImportLine *l)
{
        if (l->document) /* of a secret it may hold values */
                explicit_bzero(l->document, strlen(l->document));
        free(l->document);
        free(l->sealed);
        free(l->identity);
        free(l->namespace);
        *l = (ImportLine){};
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

/* @error said of a line. */
static int refuse_line(const sd_bus_error *error, size_t number, sd_bus_error *reterr)
{
        return tank_error_set(reterr, error->name, "line %zu: %s", number, error->message);
}

/* ---- one line ---- */

static int normalize(const json_t *doc, json_t **ret, sd_bus_error *reterr)
{
        SpecError e = {};
        int r = spec_normalize(doc, SPEC_DEFAULT, ret, &e);

        if (r == -ENOMEM)
                return oom(reterr);
        if (r < 0)
                return tank_error_set(reterr, e.name, "%s%s%s", e.path, isempty(e.path) ? "" : ": ",
                                e.message);
        return 0;
}

/* The values of a secret, which only the store where its key is can open. */
static int take_sealed(const json_t *meta, ImportLine *l, sd_bus_error *reterr)
{
        const char *sealed = json_get_string(meta, "sealed"), *uid = json_get_string(meta, "uid");
        int64_t revision = json_get_int(meta, "revision", 0);

        if (!sealed)
                return 0;
        if (!uid || !id_is_valid(uid) || revision <= 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "meta: sealed, uid and revision belong together: leave them as "
                                "they were exported");
        memcpy(l->sealed_uid, uid, sizeof(l->sealed_uid));
        l->sealed_revision = (uint64_t) revision;
        return free_and_strdup(&l->sealed, sealed) < 0 ? oom(reterr) : 0;
}

/* With nothing that stands for a value, the one that happens to be there would be kept, and the
 * import would say that all is as it was. */
static int check_values(
                const char *type, const json_t *doc, const ImportLine *l, sd_bus_error *reterr)
{
        if (!streq(type, "secret") || l->sealed || !sealed_keeps(doc))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "data: the values are redacted, and meta.sealed, which an export has, is "
                        "missing: export it again, with what is in meta, or with --reveal");
}

int import_parse_line(const char *text, size_t size, ImportLine *ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL;
        CLEANUP(import_line_done) ImportLine l = {};
        char words[OBJECT_KEY_TEXT_SIZE];
        const char *type, *namespace, *name;
        ObjectKey key;
        int r;

        /* With what is sealed in it a line may be larger than a document. */
        r = document_parse_bounded(text, size, LIMIT_DATA_DOCUMENT_MAX, &doc, reterr);
        if (r < 0)
                return r;
        if (json_get_bool(json_object_get(doc, "meta"), "unreadable", false))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "what stood there could not be read when it was exported: remove "
                                "the line, or write a document for it");
        r = take_sealed(json_object_get(doc, "meta"), &l, reterr);
        if (r < 0)
                return r;
        (void) json_object_del(doc, "meta");
        (void) json_object_del(doc, "status");
        r = normalize(doc, &normal, reterr);
        if (r < 0)
                return r;
        type = strempty(json_get_string(normal, "kind"));
        namespace = strempty(json_get_string(normal, "namespace"));
        name = strempty(json_get_string(normal, "name"));
        if (object_key_init(&key, type, namespace, name) < 0)
                return store_refuse_key(type, namespace, name, reterr);
        r = check_values(type, normal, &l, reterr);
        if (r < 0)
                return r;
        l.is_namespace = streq(type, "namespace");
        if (document_format(normal, &l.document) < 0 ||
                        free_and_strdup(&l.identity, object_key_format(&key, words)) < 0 ||
                        (!isempty(namespace) && free_and_strdup(&l.namespace, namespace) < 0))
                return oom(reterr);
        *ret = l;
        l = (ImportLine){};
        return 0;
}

/* ---- reading ---- */

/* Who dies while it writes ends its text as well. */
static int check_size(const Import *x, sd_bus_error *reterr)
{
        if (x->options.size == IMPORT_ANY_SIZE || x->options.size == x->size)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "%zu bytes came, option \"size\" says %" PRIu64
                        ": nothing was imported, import it again",
                        x->size, x->options.size);
}

/* 1: the slice is over; 0: that was all of it. */
static int read_text(Import *x, uint64_t deadline, sd_bus_error *reterr)
{
        do {
                ssize_t n;

                if (x->size + BUFSIZ > x->allocated) {
                        size_t wanted = MAX(2 * x->allocated, (size_t) 64 * 1024);
                        char *p = realloc(x->text, wanted);

                        if (!p)
                                return oom(reterr);
                        x->text = p;
                        x->allocated = wanted;
                }
                n = stream_read(&x->stream, x->text + x->size, x->allocated - x->size, reterr);
                if (n == 0)
                        return check_size(x, reterr);
                if (n < 0 && n != -EINTR)
                        return (int) n;
                n = MAX(n, (ssize_t) 0);
                x->size += (size_t) n;
                if (x->size > LIMIT_IMPORT_BYTES)
                        return tank_error_set(reterr, TANK_ERROR_TOO_LARGE,
                                        "an import has at most %u MiB: make several of it",
                                        LIMIT_IMPORT_BYTES >> 20);
        } while (now_boottime_usec() < deadline);
        return 1;
}

/* ---- checking ---- */

static bool is_blank(const char *text, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (!strchr(" \t\r", text[i]) || text[i] == 0)
                        return false;
        return true;
}

static int add_line(Import *x, const char *text, size_t size, sd_bus_error *reterr)
{
        CLEANUP(import_line_done) ImportLine l = {};
        const json_t *before;
        int r;

        r = import_parse_line(text, size, &l, reterr);
        if (r < 0)
                return r;
        before = json_object_get(x->seen, l.identity);
        if (before)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "%s is on line %" JSON_INTEGER_FORMAT " already", l.identity,
                                json_integer_value(before));
        if (json_object_set_new(x->seen, l.identity, json_integer((json_int_t) x->number)) < 0)
                return oom(reterr);
        if (x->n_lines == x->lines_allocated) {
                size_t n = MAX(2 * x->lines_allocated, (size_t) 64);
                Line *lines = reallocarray(x->lines, n, sizeof(*lines));

                if (!lines)
                        return oom(reterr);
                x->lines = lines;
                x->lines_allocated = n;
        }
        if (l.is_namespace && strstr(l.document, "\"quota\":"))
                x->sets_quotas = true;
        x->lines[x->n_lines++] = (Line){ .parsed = l, .number = x->number };
        l = (ImportLine){};
        return 0;
}

/* 1: the slice is over; 0: every line was taken in. */
static int parse_lines(Import *x, uint64_t deadline, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        while (x->at < x->size) {
                const char *line = x->text + x->at, *end;
                size_t n;

                end = memchr(line, '\n', x->size - x->at);
                n = end ? (size_t) (end - line) : x->size - x->at;
                x->number++;
                if (!is_blank(line, n) && add_line(x, line, n, &e) < 0)
                        return refuse_line(&e, x->number, reterr);
                x->at += n + (end != NULL);
                if (now_boottime_usec() >= deadline)
                        return 1;
        }
        return 0;
}

/* What a line stands in is there, or comes with another line. */
static int check_namespace(Import *x, const Line *l, sd_bus_error *reterr)
{
        char words[OBJECT_KEY_TEXT_SIZE];
        ObjectKey key;
        int r;

        if (!l->parsed.namespace)
                return 0;
        if (object_key_init(&key, "namespace", "", l->parsed.namespace) < 0)
                return store_refuse_key("namespace", "", l->parsed.namespace, reterr);
        if (json_object_get(x->seen, object_key_format(&key, words)))
                return 0;
        r = store_exists(x->job.store, &key);
        if (r > 0)
                return 0;
        if (r < 0)
                return store_read_failed(r, reterr);
        return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                        "line %zu: there is no namespace '%s': put a line for it into the file, "
                        "or declare it first",
                        l->number, l->parsed.namespace);
}

static int check_namespaces(Import *x, uint64_t deadline, sd_bus_error *reterr)
{
        while (x->next < x->n_lines) {
                int r = check_namespace(x, &x->lines[x->next], reterr);

                if (r < 0)
                        return r;
                x->next++;
                if (now_boottime_usec() >= deadline)
                        return 1;
        }
        return 0;
}

/* ---- writing ---- */

static void import_free(Import *x)
{
        stream_close(&x->stream);
        for (size_t i = 0; i < x->n_lines; i++)
                import_line_done(&x->lines[i].parsed);
        free(x->lines);
        if (x->text)
                explicit_bzero(x->text, x->size);
        free(x->text);
        json_decref(x->seen);
        sd_bus_error_free(&x->error);
        free(x);
}

static void on_written(const StoreOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        Import *x = userdata;

        x->writing = false;
        if (x->ended) {
                import_free(x);
                return;
        }
        for (size_t i = 0; !error && i < outcome->n; i++) {
                const char *changed = outcome->answers[i].changed;

                x->result.created += streq(changed, "created");
                x->result.updated += streq(changed, "updated");
                x->result.unchanged += streq(changed, "unchanged");
        }
        if (error && outcome->at != STORE_WHOLE)
                (void) refuse_line(error, x->under_way[outcome->at], &x->error);
        else if (error)
                (void) sd_bus_error_copy(&x->error, error);
        job_wake(&x->job);
}

/* The next lines of this phase: how many. */
static size_t gather(Import *x, StoreOperation *operations)
{
        size_t n = 0, bytes = 0;

        while (x->next < x->n_lines && n < WRITE_LINES && bytes < WRITE_BYTES) {
                const Line *l = &x->lines[x->next++];

                if (l->parsed.is_namespace !=
                                (x->phase == PHASE_NAMESPACES || x->phase == PHASE_TRY_NAMESPACES))
                        continue;
                x->under_way[n] = l->number;
                operations[n] = (StoreOperation){
                        .verb = STORE_APPLY,
                        .document = l->parsed.document,
                        .document_size = strlen(l->parsed.document),
                        .sealed = l->parsed.sealed,
                        .sealed_uid = l->parsed.sealed_uid,
                        .sealed_revision = l->parsed.sealed_revision,
                };
                bytes += operations[n++].document_size;
        }
        return n;
}

/* 0: all of the phase is written; 1: go on; -EAGAIN: a transaction is under way. */
static int write_lines(Import *x, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE StoreOperation *operations = calloc(WRITE_LINES, sizeof(*operations));
        bool tries = x->phase < PHASE_NAMESPACES;
        const StoreWrite w = {
                .by = x->options.by,
                .privileged = x->options.privileged,
                .secrets = x->options.secrets,
                .dry_run = tries,
                /* Those that it sets itself are not in force before it is written. */
                .any_amount = tries && x->sets_quotas,
                /* Those that the lines name are there, or would be. */
                .create_namespaces = tries,
                .answered = on_written,
                .userdata = x,
        };
        size_t first = x->next, n, index;
        int r;

        if (!operations)
                return oom(reterr);
        n = gather(x, operations);
        if (n == 0)
                return 0;
        x->writing = true;
        r = store_write(x->job.store, operations, n, &w, &index, &e);
        if (r >= 0)
                return x->writing ? -EAGAIN : 1;
        x->writing = false;
        if (sd_bus_error_has_name(&e, TANK_ERROR_BUSY)) {
                x->next = first; /* once others are through */
                return 1;
        }
        if (index < n)
                return refuse_line(&e, x->under_way[index], reterr);
        return sd_bus_error_move(reterr, &e);
}

/* ---- the whole ---- */

static int next_phase(Import *x)
{
        x->next = 0;
        if (x->phase == (x->options.dry_run ? PHASE_TRY_REST : PHASE_REST))
                return 0;
        x->phase++;
        if (x->phase == PHASE_NAMESPACES)
                x->result = (ImportResult){}; /* what was tried did not happen */
        return 1;
}

static int run_phase(Import *x, uint64_t deadline, sd_bus_error *reterr)
{
        int r = 0;

        switch (x->phase) {
        case PHASE_READ: return read_text(x, deadline, reterr);
        case PHASE_CHECK:
                r = parse_lines(x, deadline, reterr);
                return r == 0 ? check_namespaces(x, deadline, reterr) : r;
        case PHASE_TRY_NAMESPACES:
        case PHASE_TRY_REST:
        case PHASE_NAMESPACES:
        case PHASE_REST:
                if (sd_bus_error_is_set(&x->error))
                        return sd_bus_error_move(reterr, &x->error);
                return write_lines(x, reterr);
        }
        return r;
}

static int turn(Job *j, uint64_t deadline, sd_bus_error *reterr)
{
        Import *x = container_of(j, Import, job);
        int r = run_phase(x, deadline, reterr);

        return r == 0 ? next_phase(x) : r;
}

static void end(Job *j, const sd_bus_error *error)
{
        Import *x = container_of(j, Import, job);

        if (x->phase < PHASE_NAMESPACES && error)
                x->result = (ImportResult){};
        x->done(&x->result, error, x->userdata);
        x->ended = true;
        if (!x->writing)
                import_free(x);
}

static const JobType import_job = { .turn = turn, .end = end };

int store_import(Store *s, int fd, const ImportOptions *o, ImportDone done, void *userdata,
                sd_bus_error *reterr)
{
        Import *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return oom(reterr);
        x->job = (Job){ .type = &import_job, .store = s };
        x->stream.fd = -EBADF;
        x->options = *o;
        x->done = done;
        x->userdata = userdata;
        x->seen = json_object();
        r = x->seen ? stream_open(&x->stream, &x->job, fd, EPOLLIN, reterr) : oom(reterr);
        if (r >= 0)
                r = job_add(s, &x->job, reterr);
        if (r < 0)
                import_free(x);
        return r;
}
