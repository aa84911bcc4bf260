/* SPDX-License-Identifier: Apache-2.0 */

/* At each signal of the store or the reconciler all is read again and compared with what was shown:
 * in tables by what the row shows, otherwise by the whole document. So a row that does not come has
 * not changed, whatever was lost on the way. While a daemon is away nothing is shown, since half of
 * it would be guessed. */

#include <time.h>

#include "clock.h"
#include "ctl-columns.h"
#include "ctl-follow.h"
#include "ctl-get-watch.h"
#include "ctl-json.h"
#include "ctl-resource.h"
#include "ctl-select.h"
#include "document.h"
#include "error.h"
#include "names.h"

#define PAUSE_USEC (50 * USEC_PER_MSEC) /* between two readings at least */

typedef struct GetWatch {
        Follow follow;
        const Arguments *a;
        const Resource *resource;
        const Selection *selection;
        Columns *columns;
        Table *table;  /* NULL: none */
        json_t *shown; /* {"namespace/name": {"doc", "row"}} */
        uint64_t read_usec;
} GetWatch;

static void get_watch_done(GetWatch *w)
{
        follow_done(&w->follow);
        columns_free(w->columns);
        table_free(w->table);
        json_decref(w->shown);
}

/* ---- showing ------------------------------------------------------------------------------- */

static int show(GetWatch *w, const json_t *doc)
{
        if (w->table) {
                columns_add_row(w->columns, w->table, doc);
                return 0;
        }
        if (w->a->output == OUTPUT_JSON)
                return json_print_line(stdout, doc);
        printf("%s/%s%s%s\n", w->resource->type,
                        w->a->all_namespaces ? strempty(json_get_string(doc, "namespace")) : "",
                        w->a->all_namespaces && json_object_get(doc, "namespace") ? "/" : "",
                        strempty(json_get_string(doc, "name")));
        return 0;
}

static int show_deleted(GetWatch *w, const json_t *last)
{
        CLEANUP_JSON json_t *doc = json_pack("{ss ss so* so*}", "kind", w->resource->type, "name",
                        json_get_string(last, "name"), "namespace",
                        json_incref(json_object_get(last, "namespace")), "meta",
                        json_incref(json_object_get(last, "meta")));

        if (!doc)
                return -ENOMEM;
        if (w->table)
                (void) json_object_set_new(doc, "status", json_pack("{ss}", "state", "deleted"));
        else
                (void) json_object_set_new(doc, "deleted", json_true());
        return show(w, doc);
}

/* Shows what is another than before, or was not there, and then what is gone. */
static int show_changes(GetWatch *w, const json_t *docs)
{
        CLEANUP_JSON json_t *now = json_object();
        char path[RESOURCE_PATH_SIZE];
        const char *key;
        json_t *doc, *old;
        size_t i;
        int r = now ? 0 : -ENOMEM;

        json_array_foreach (docs, i, doc) {
                json_t *row = w->table ? columns_row(w->columns, doc) : json_incref(doc);
                bool same;

                (void) resource_path(doc, path);
                old = json_object_get(w->shown, path);
                same = old && row && json_equal(json_object_get(old, "row"), row);
                if (r >= 0)
                        r = json_object_set_new(now, path,
                                            json_pack("{sO so}", "doc", doc, "row", row)) < 0
                                            ? -ENOMEM
                                            : 0;
                if (r >= 0 && !same)
                        r = show(w, doc);
        }
        json_object_foreach (w->shown, key, old)
                if (r >= 0 && !json_object_get(now, key))
                        r = show_deleted(w, json_object_get(old, "doc"));
        if (r >= 0 && w->table)
                r = table_print(w->table, stdout);
        if (r < 0)
                return r;
        json_decref(w->shown);
        w->shown = TAKE_PTR(now);
        return fflush(stdout) != 0 ? -errno : 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static void pause_between(GetWatch *w)
{
        uint64_t now = now_boottime_usec(), next = w->read_usec + PAUSE_USEC;

        if (now < next)
                (void) nanosleep(&(struct timespec){ .tv_nsec = (long) ((next - now) *
                                                                        NSEC_PER_USEC) },
                                NULL); /* interrupted: a reading more */
        w->read_usec = now_boottime_usec();
}

/* An array. A name that is not there is an empty one, once there was one. */
static int read_all(GetWatch *w, json_t **ret, sd_bus_error *reterr)
{
        CLEANUP_BUS_ERROR sd_bus_error silence = SD_BUS_ERROR_NULL;
        const ListQuery q = {
                .type = w->resource->type,
                .namespace = w->a->all_namespaces ? "" : w->resource->namespace,
                .labels = w->selection->labels,
                .fields = w->selection->fields,
        };
        bool with_status = streq(w->resource->type, "namespace")
                                           ? w->table != NULL
                                           : w->a->output != OUTPUT_NAME || w->a->sort_by ||
                                                             w->selection->by_status;
        json_t *doc = NULL;
        int r;

        if (!w->resource->name) {
                r = resources_read(w->follow.bus, &q, with_status, ret, NULL, &silence, reterr);
        } else {
                r = resource_read(w->follow.bus, w->resource, with_status, &doc, &silence, reterr);
                if (r < 0 && w->shown && sd_bus_error_has_name(reterr, TANK_ERROR_NOT_FOUND)) {
                        sd_bus_error_free(reterr);
                        r = 0;
                }
                if (r >= 0) {
                        *ret = doc ? json_pack("[o]", doc) : json_array();
                        r = *ret ? 0 : -ENOMEM;
                }
        }
        if (r >= 0 && sd_bus_error_is_set(&silence)) {
                json_decref(*ret);
                *ret = NULL;
                (void) sd_bus_error_move(reterr, &silence); /* answers its own guess of an errno */
                r = tank_error_to_errno(reterr->name);
        }
        return r;
}

/* 0 or the exit code; -EAGAIN: what is needed is away. */
static int look(GetWatch *w)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *docs = NULL;
        int r;

        pause_between(w);
        r = w->follow.bus ? read_all(w, &docs, &e) : -ENOTCONN;
        if (r < 0)
                return w->shown && follow_failed(&w->follow, r, &e)
                                       ? -EAGAIN
                                       : resource_failure(w->resource, &e, r);
        follow_reached(&w->follow);
        documents_select(docs, w->selection);
        r = 0;
        if (w->a->sort_by)
                r = documents_sort(docs, w->resource->type, w->a->sort_by);
        if (r == 0 && !w->shown && !w->resource->known && !w->resource->name &&
                        !w->selection->labels && !w->selection->fields &&
                        json_array_size(docs) == 0 && type_near(w->resource->type))
                r = resource_type_unknown(w->resource, "get");
        if (r != 0)
                return r;
        r = show_changes(w, docs);
        return r == -ENOMEM ? ctl_oom() : r < 0 ? EXIT_CODE_FAILED : 0;
}

static int subscribe(GetWatch *w)
{
        int r;

        r = follow_start(&w->follow);
        if (r != 0)
                return r;
        r = follow_peer(&w->follow, &ctl_store, "member='Changed'");
        if (r >= 0 && streq(w->resource->type, "pod"))
                r = follow_peer(&w->follow, &ctl_reconcile, ""); /* pods are objects, too */
        return r < 0 ? ctl_bus_failure(NULL, NULL, r) : 0;
}

int get_watch(const Arguments *a, const Resource *resource, const Selection *selection)
{
        CLEANUP(get_watch_done)
        GetWatch w = { .a = a, .resource = resource, .selection = selection };
        int r = 0;

        if (a->output != OUTPUT_JSON && a->output != OUTPUT_NAME) {
                r = columns_new(a, resource->type, &w.columns);
                if (r == 0 && table_new(columns_titles(w.columns), &w.table) < 0)
                        r = ctl_oom();
        }
        if (r == 0)
                r = subscribe(&w);
        if (r == 0)
                r = look(&w);
        while (r == 0 || r == -EAGAIN) {
                r = follow_sleep(&w.follow, r == 0);
                if (r <= 0)
                        return r < 0 ? ctl_bus_failure(NULL, NULL, r) : 0;
                r = look(&w);
        }
        return r;
}
