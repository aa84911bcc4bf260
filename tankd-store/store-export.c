/* SPDX-License-Identifier: Apache-2.0 */

/* Two passes over one moment: namespaces, then all else. */

#include "store-export.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "clock.h"
#include "error.h"
#include "log.h"
#include "names.h"
#include "store-internal.h"
#include "store-job.h"
#include "store-problems.h"
#include "store-scan.h"
#include "store-secret.h"
#include "store-stream.h"

#define BUFFER_SIZE (256U * 1024U)

typedef struct Export {
        Job job;
        Stream stream;
        Scan *scan;
        Problems problems;
        bool rest; /* the namespaces are out */
        bool ended;
        char type[LIMIT_NAME_MAX + 1], namespace[LIMIT_NAME_MAX + 1];
        bool reveal;

        char *data;
        size_t size, allocated, written;
        ExportResult result;
        ExportDone done;
        void *userdata;
} Export;

static void export_free(Export *x)
{
        stream_close(&x->stream);
        scan_free(x->scan);
        problems_done(&x->problems);
        free(x->data);
        free(x);
}

static int append_line(Export *x, const char *text)
{
        size_t n = strlen(text), wanted = x->size + n + 1;

        if (wanted > x->allocated) {
                char *p = realloc(x->data, MAX(2 * x->allocated, wanted));

                if (!p)
                        return -ENOMEM;
                x->allocated = MAX(2 * x->allocated, wanted);
                x->data = p;
        }
        memcpy(x->data + x->size, text, n);
        x->data[wanted - 1] = '\n';
        x->size = wanted;
        x->result.count++;
        return 0;
}

static bool is_wanted(const Export *x, const ObjectKey *key)
{
        bool is_namespace = streq(key->type, "namespace");

        if (is_namespace == x->rest || (*x->type && !streq(x->type, key->type)))
                return false;
        return !*x->namespace || streq(x->namespace, is_namespace ? key->name : key->namespace);
}

/* In a line that cannot be applied it would hold up all others: it is told instead. A namespace is
 * little more than its name, and what stands in it needs that. */
static int pass_over(Export *x, const ObjectKey *key, int error)
{
        char text[OBJECT_KEY_TEXT_SIZE], line[LIMIT_NAME_MAX + 64];
        bool is_namespace = streq(key->type, "namespace");
        int r;

        r = problems_add(&x->problems, "%s%s: its stored record cannot be decoded: %s",
                        object_key_format(key, text),
                        is_namespace ? ": only its name is in it" : " is not in it",
                        errno_words(error));
        if (r < 0 || !is_namespace)
                return r;
        (void) snprintf(line, sizeof(line), "{\"kind\":\"namespace\",\"name\":\"%s\"}", key->name);
        return append_line(x, line);
}

static int export_row(
                Export *x, const ObjectKey *key, const char *row, size_t size, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        StoreRecord record;
        int r;

        if (!is_wanted(x, key))
                return 0;
        r = store_record_decode(row, size, &record);
        if (r >= 0 && record.operation == OPERATION_DELETED)
                r = -EBADMSG; /* where there is an object */
        if (r < 0)
                r = pass_over(x, key, r);
        else {
                if (streq(key->type, "secret")) {
                        r = store_secret_export(x->job.store, scan_view(x->scan), key, &record,
                                        x->reveal, &text, reterr);
                        if (r < 0)
                                return r;
                } else
                        r = store_record_to_text(&record, &text);
                if (r >= 0)
                        r = append_line(x, text);
        }
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

/* What stands behind it in this pass is lost; what was read until now is not. */
static int break_off(Export *x, int error)
{
        return problems_add(&x->problems,
                        "%s cannot be read to the end: %s; what is missing of them is in a backup "
                        "at most",
                        x->rest ? "the objects" : "the namespaces", errno_words(error));
}

/* 1: there may be more. */
static int step(Export *x, sd_bus_error *reterr)
{
        char buf[KEY_WORDS_SIZE];
        const char *row;
        ObjectKey key;
        size_t size;
        int r;

        r = scan_next(x->scan, &key, &row, &size);
        if (r > 0) {
                r = export_row(x, &key, row, size, reterr);
                return r < 0 ? r : 1;
        }
        if (r == -EAGAIN)
                return 1;
        if (r == -EILSEQ) {
                r = problems_add(&x->problems,
                                "a row is not in it: its key, %s, is the name of nothing",
                                key_words(row, size, buf));
                return r < 0 ? store_read_failed(r, reterr) : 1;
        }
        if (r == -EBADMSG || r == -EIO)
                r = break_off(x, r);
        if (r >= 0 && x->rest) {
                r = problems_close(&x->problems);
                x->result.problems = x->problems.list;
        } else if (r >= 0) {
                x->rest = true;
                r = scan_restart(x->scan, &(const ScanRange){});
                if (r >= 0)
                        return 1;
        }
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

static int turn(Job *j, uint64_t deadline, sd_bus_error *reterr)
{
        Export *x = container_of(j, Export, job);
        int r;

        if (x->size > 0) {
                r = stream_write(&x->stream, x->data, x->size, &x->written, reterr);
                if (r < 0)
                        return r;
                x->written = x->size = 0;
        }
        if (x->ended)
                return 0;
        while (x->size < BUFFER_SIZE) {
                r = step(x, reterr);
                if (r < 0)
                        return r;
                if (r == 0) {
                        x->ended = true;
                        break;
                }
                if (now_boottime_usec() >= deadline)
                        break;
        }
        return 1;
}

static void end(Job *j, const sd_bus_error *error)
{
        Export *x = container_of(j, Export, job);

        x->done(error ? NULL : &x->result, error, x->userdata);
        export_free(x);
}

static const JobType export_job = { .turn = turn, .end = end, .holds = true };

static int choose(Export *x, const ExportOptions *o, sd_bus_error *reterr)
{
        if (!isempty(o->type) && !type_is_valid(o->type))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"type\": \"%.80s\" is none", o->type);
        if (!isempty(o->namespace) && !name_is_valid(o->namespace))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"namespace\": \"%.80s\" is no name", o->namespace);
        (void) snprintf(x->type, sizeof(x->type), "%s", strempty(o->type));
        (void) snprintf(x->namespace, sizeof(x->namespace), "%s", strempty(o->namespace));
        x->reveal = o->reveal;
        return 0;
}

static int begin(Export *x, Store *s, sd_bus_error *reterr)
{
        const ScanRange namespaces = { .type = "namespace" };
        int r = scan_new(s->db, SCAN_NEWEST, &namespaces, &x->scan);

        if (r < 0)
                return store_read_failed(r, reterr);
        x->result.revision = scan_revision(x->scan);
        return 0;
}

int store_export(Store *s, int fd, const ExportOptions *o, ExportDone done, void *userdata,
                sd_bus_error *reterr)
{
        Export *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        x->job = (Job){ .type = &export_job, .store = s };
        x->stream.fd = -EBADF;
        x->done = done;
        x->userdata = userdata;
        if ((r = choose(x, o, reterr)) < 0 ||
                        (r = stream_open(&x->stream, &x->job, fd, EPOLLOUT, reterr)) < 0 ||
                        (r = begin(x, s, reterr)) < 0 || (r = job_add(s, &x->job, reterr)) < 0) {
                export_free(x);
                return r;
        }
        return 0;
}
