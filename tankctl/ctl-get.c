/* SPDX-License-Identifier: Apache-2.0 */

/* get: what is declared, and how it is, once or again at each change. */

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
                if (a->all_namespaces || !type_has_namespace(resource->type))
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

/* Whether it takes the reconciler to show it. */
static bool shows_status(const Arguments *a)
{
        return (a->output != OUTPUT_YAML && a->output != OUTPUT_NAME) || a->sort_by;
}

static int check_options(const Arguments *a, const Resource *resource, uint64_t *ret_limit)
{
        bool table = a->output == OUTPUT_TABLE || a->output == OUTPUT_WIDE;

        *ret_limit = UINT64_MAX;
        if (resource->name && (a->all_namespaces || a->selector || a->limit || a->sort_by))
                return ctl_usage_error("a name is looked up in one namespace: selector, sorting "
                                       "and limit are for lists");
        if (a->columns && !table)
                return ctl_usage_error("columns are for tables: -o table or -o wide");
        if (a->columns && a->output == OUTPUT_WIDE)
                return ctl_usage_error("--columns says which ones; -o wide says it otherwise");
        if (a->limit && (parse_u64(a->limit, ret_limit) < 0 || *ret_limit == 0))
                return ctl_usage_error("\"%s\" is no limit: a number from 1", WORD(a->limit));
        if (a->watch && (a->limit || a->output == OUTPUT_YAML))
                return ctl_usage_error("get --watch has no --limit, and not the format yaml");
        return 0;
}

static int read_documents(sd_bus *bus, const Arguments *a, const Resource *resource, json_t **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error silence = SD_BUS_ERROR_NULL, e = SD_BUS_ERROR_NULL;
        json_t *doc = NULL;
        int r;

        if (resource->name) {
                r = resource_read(bus, resource, shows_status(a), &doc, &silence, &e);
                if (r >= 0) {
                        *ret = json_pack("[o]", doc);
                        r = *ret ? 0 : -ENOMEM;
                }
        } else {
                r = resources_read(bus, resource->type,
                                a->all_namespaces ? "" : resource->namespace, shows_status(a), ret,
                                &silence, &e);
                if (!resource->known && (r < 0 || json_array_size(*ret) == 0))
                        return resource_type_unknown(resource, "get");
        }
        if (r < 0)
                return resource_failure(resource, &e, r);
        if (sd_bus_error_is_set(&silence))
                ctl_error("states are not known: %s", strempty(silence.message));
        return 0;
}

static int arrange(json_t *docs, const Arguments *a, const char *type, uint64_t limit)
{
        size_t n;
        int r;

        r = documents_select(docs, a->selector);
        if (r == 0 && a->sort_by)
                r = documents_sort(docs, type, a->sort_by);
        n = json_array_size(docs);
        if (r != 0 || n <= limit)
                return r;
        fprintf(stderr, "%zu more are not shown.\n", n - (size_t) limit);
        while (json_array_size(docs) > limit)
                (void) json_array_remove(docs, json_array_size(docs) - 1); /* it is there */
        return 0;
}

int verb_get(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(resource_done)
        Resource resource = { .type = "pod", .known = true, .namespace = arguments_namespace(a) };
        CLEANUP_JSON json_t *docs = NULL;
        uint64_t limit;
        int r;

        r = a->words ? resource_parse(a, &resource) : 0;
        if (r == 0)
                r = check_options(a, &resource, &limit);
        if (r == 0 && a->watch)
                return get_watch(a, &resource);
        if (r != 0)
                return r;
        r = ctl_bus_open(&bus);
        if (r != 0)
                return resource.known || resource.name ? r
                                                       : resource_type_unknown(&resource, "get");
        r = read_documents(bus, a, &resource, &docs);
        if (r == 0)
                r = arrange(docs, a, resource.type, limit);
        return r != 0 ? r : print_documents(a, &resource, docs);
}
