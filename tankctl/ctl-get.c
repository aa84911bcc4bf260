/* SPDX-License-Identifier: Apache-2.0 */

/* get: what is declared, and how it is, once or again at each change. */

#include <inttypes.h>

#include "ctl-columns.h"
#include "ctl-get-watch.h"
#include "ctl-json.h"
#include "ctl-resource.h"
#include "ctl-select.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "names.h"
#include "quantity.h"

/* ---- showing ------------------------------------------------------------------------------- */

static int print_table(const Arguments *a, const char *type, const json_t *docs)
{
        CLEANUP(columns_freep) Columns *columns = NULL;
        CLEANUP(table_freep) Table *t = NULL;
        json_t *doc;
        size_t i;
        int r;

        r = columns_new(a, type, &columns);
        if (r != 0)
                return r;
        if (table_new(columns_titles(columns), &t) < 0)
                return ctl_oom();
        json_array_foreach (docs, i, doc)
                columns_add_row(columns, t, doc);
        return table_print(t, stdout) < 0 ? ctl_oom() : 0;
}

static void print_names(const Arguments *a, const char *type, const json_t *docs)
{
        json_t *doc;
        size_t i;

        json_array_foreach (docs, i, doc) {
                const char *namespace = json_get_string(doc, "namespace");

                printf("%s/", type);
                if (a->all_namespaces && namespace)
                        printf("%s/", namespace);
                puts(strempty(json_get_string(doc, "name")));
        }
}

static int print_yaml(const json_t *docs)
{
        bool separator = false;
        json_t *doc;
        size_t i;

        json_array_foreach (docs, i, doc) {
                CLEANUP_JSON json_t *declared = NULL;
                int r;

                if (!json_object_get(json_object_get(doc, "meta"), "revision"))
                        continue; /* not declared any more: it still runs down */
                r = declaration_for_people(doc, &declared);
                if (r >= 0)
                        r = yaml_print(stdout, declared, separator);
                if (r < 0)
                        return r == -ENOMEM ? ctl_oom() : EXIT_CODE_FAILED;
                separator = true;
        }
        return 0;
}

static int print_documents(const Arguments *a, const Resource *resource, const json_t *docs)
{
        switch (a->output) {
        case OUTPUT_TABLE:
        case OUTPUT_WIDE:
                if (json_array_size(docs) > 0)
                        return print_table(a, resource->type, docs);
                if (a->all_namespaces || type_is_global(resource->type))
                        fprintf(stderr, "There is no %s.\n", resource->type);
                else
                        fprintf(stderr, "There is no %s in namespace %s.\n", resource->type,
                                        resource->namespace);
                return 0;
        case OUTPUT_JSON:
                if (json_print(stdout, resource->name ? json_array_get(docs, 0) : docs) == -ENOMEM)
                        return ctl_oom();
                return 0;
        case OUTPUT_YAML: return print_yaml(docs);
        case OUTPUT_NAME: print_names(a, resource->type, docs); return 0;
        case _OUTPUT_FORMAT_MAX: break;
        }
        return 0;
}

/* ---- the verb ------------------------------------------------------------------------------ */

/* What is asked for, and who does it: the store, as far as it can. */
typedef struct Get {
        const Arguments *arguments;
        Resource resource;
        Selection selection;
        ListQuery query;
        bool with_status;
        uint64_t limit; /* UINT64_MAX: none */
} Get;

static void get_done(Get *g)
{
        selection_done(&g->selection);
        resource_done(&g->resource);
}

static bool shows_table(const Arguments *a)
{
        return a->output == OUTPUT_TABLE || a->output == OUTPUT_WIDE;
}

/* Whether it takes the reconciler to show it. */
static bool shows_status(const Arguments *a)
{
        return (a->output != OUTPUT_YAML && a->output != OUTPUT_NAME) || a->sort_by;
}

static int check_options(const Arguments *a, const Resource *resource, uint64_t *ret_limit)
{
        bool table = shows_table(a);

        *ret_limit = UINT64_MAX;
        if (resource->name && (a->all_namespaces || a->selector || a->fields || a->limit ||
                                              a->sort_by || a->count))
                return ctl_usage_error("a name is looked up in one namespace: selectors, sorting, "
                                       "limit and count are for lists");
        if (a->columns && !table)
                return ctl_usage_error("columns are for tables: -o table or -o wide");
        if (a->columns && a->output == OUTPUT_WIDE)
                return ctl_usage_error("--columns says which ones; -o wide says it otherwise");
        if (a->limit && (parse_u64(a->limit, ret_limit) < 0 || *ret_limit == 0))
                return ctl_usage_error("\"%s\" is no limit: a number from 1", WORD(a->limit));
        if (a->watch && (a->limit || a->output == OUTPUT_YAML))
                return ctl_usage_error("get --watch has no --limit, and not the format yaml");
        if (a->count && (a->watch || a->limit || a->sort_by || a->columns ||
                                        a->output != OUTPUT_TABLE))
                return ctl_usage_error("--count prints a number: it goes with -l, --fields, -n and "
                                       "-A only");
        return 0;
}

/* A limit is for the store when it knows the order, and everything that is in the list: statuses
 * that are missing in it, and pods that only the reconciler has, come behind. */
static int plan(Get *g)
{
        const Arguments *a = g->arguments;
        const Selection *s = &g->selection;
        const char *order = "name";
        int r;

        g->query = (ListQuery){
                .type = g->resource.type,
                .namespace = a->all_namespaces ? "" : g->resource.namespace,
                .labels = s->labels,
                .fields = s->fields,
        };
        g->with_status = (streq(g->resource.type, "namespace") && shows_table(a)) ||
                         (streq(g->resource.type, "pod") && (shows_status(a) || s->by_status));
        if (a->sort_by) {
                r = documents_store_order(g->resource.type, a->sort_by, !a->all_namespaces, &order);
                if (r != 0)
                        return r;
        }
        if (g->limit == UINT64_MAX || !order || s->by_status ||
                        (streq(g->resource.type, "pod") && g->with_status && !s->labels &&
                                        !s->fields))
                return 0;
        g->query.order = order;
        g->query.limit = g->limit;
        return 0;
}

static int get_begin(Get *g)
{
        const Arguments *a = g->arguments;
        int r;

        r = a->words ? resource_parse(a, &g->resource) : 0;
        if (r == 0)
                r = check_options(a, &g->resource, &g->limit);
        if (r == 0)
                r = selection_init(&g->selection, a);
        return r != 0 ? r : plan(g);
}

static int read_one(sd_bus *bus, const Get *g, json_t **ret, sd_bus_error *ret_silence,
                sd_bus_error *reterr)
{
        json_t *doc = NULL;
        int r;

        r = resource_read(bus, &g->resource, g->with_status, &doc, ret_silence, reterr);
        if (r < 0)
                return r;
        *ret = json_pack("[o]", doc);
        return *ret ? 0 : -ENOMEM;
}

static int read_documents(sd_bus *bus, const Get *g, json_t **ret, uint64_t *ret_more)
{
        CLEANUP_BUS_ERROR sd_bus_error silence = SD_BUS_ERROR_NULL, e = SD_BUS_ERROR_NULL;
        int r;

        r = g->resource.name ? read_one(bus, g, ret, &silence, &e)
                             : resources_read(bus, &g->query, g->with_status, ret, ret_more,
                                               &silence, &e);
        if (r < 0 && !g->resource.known && !g->resource.name)
                return resource_type_unknown(&g->resource, "get");
        if (r < 0)
                return resource_failure(&g->resource, &e, r);
        if (sd_bus_error_is_set(&silence))
                ctl_error("states are not known: %s", strempty(silence.message));
        return 0;
}

static int arrange(json_t *docs, const Get *g, uint64_t more)
{
        const Arguments *a = g->arguments;
        int r = 0;

        documents_select(docs, &g->selection);
        if (a->sort_by && g->query.limit == 0)
                r = documents_sort(docs, g->resource.type, a->sort_by);
        for (; json_array_size(docs) > g->limit; more++)
                (void) json_array_remove(docs, json_array_size(docs) - 1); /* it is there */
        if (r == 0 && more > 0)
                fprintf(stderr, "%" PRIu64 " more are not shown.\n", more);
        return r;
}

/* Nothing was found of a type that tank does not know: is there anything of it? */
static int check_type(sd_bus *bus, const Get *g)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const ListQuery q = { .type = g->resource.type, .namespace = g->query.namespace };
        uint64_t n;
        int r;

        if (g->resource.known || g->resource.name)
                return 0;
        r = store_count(bus, &q, &n, &e);
        return r < 0 || n == 0 ? resource_type_unknown(&g->resource, "get") : 0;
}

static int show_list(sd_bus *bus, const Get *g)
{
        CLEANUP_JSON json_t *docs = NULL;
        uint64_t more = 0;
        int r;

        r = read_documents(bus, g, &docs, &more);
        if (r == 0 && json_array_size(docs) == 0)
                r = check_type(bus, g);
        if (r == 0)
                r = arrange(docs, g, more);
        return r != 0 ? r : print_documents(g->arguments, &g->resource, docs);
}

static int show_count(sd_bus *bus, const Get *g)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *docs = NULL;
        uint64_t n = 0;
        int r;

        if (g->selection.by_status) {
                r = read_documents(bus, g, &docs, NULL);
                if (r != 0)
                        return r;
                documents_select(docs, &g->selection);
                n = json_array_size(docs);
        } else {
                r = store_count(bus, &g->query, &n, &e);
                if (r < 0)
                        return resource_failure(&g->resource, &e, r);
        }
        r = n == 0 ? check_type(bus, g) : 0;
        if (r == 0)
                printf("%" PRIu64 "\n", n);
        return r;
}

int verb_get(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(get_done)
        Get g = {
                .arguments = a,
                .resource = { .type = "pod", .known = true, .namespace = arguments_namespace(a) },
        };
        int r;

        r = get_begin(&g);
        if (r != 0)
                return r;
        if (a->watch)
                return get_watch(a, &g.resource, &g.selection);
        r = ctl_bus_open(&bus);
        if (r != 0)
                return g.resource.known || g.resource.name
                                       ? r
                                       : resource_type_unknown(&g.resource, "get");
        return a->count ? show_count(bus, &g) : show_list(bus, &g);
}
