/* SPDX-License-Identifier: Apache-2.0 */

/* get: the store's documents, merged with the reconciler's status.
 *
 * The store says what exists, the reconciler how it is. A pod that is not declared any more but
 * still runs down is in the list, for it uses the machine; asked for by name it is not found. When
 * the reconciler is silent the documents are shown all the same, as waiting, and standard error
 * says why nothing better is known. */

#include "clock.h"
#include "ctl-get.h"
#include "ctl-json.h"
#include "ctl-table.h"
#include "ctl-verbs.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "names.h"
#include "quantity.h"

const char *age_since(const char *at, char buf[static FORMAT_DURATION_SIZE])
{
        uint64_t then, now = now_realtime_usec();

        if (!at || parse_rfc3339(at, &then) < 0)
                return "";
        return format_duration(now > then ? (now - then) / USEC_PER_SEC * USEC_PER_SEC : 0, buf);
}

/* ---- merging ------------------------------------------------------------------------------- */

static json_t *status_unknown(const char *message)
{
        return json_pack("{s:s,s:b,s:s,s:s,s:[],s:n,s:[],s:[]}", "state", "waiting", "ready", 0,
                        "reason", "Pending", "message", message, "addresses", "restart_at",
                        "init_containers", "containers");
}

/* @status may be NULL; an earlier incarnation's tells nothing about @doc. */
static int merge_status(json_t *doc, const char *uid, json_t *status, const char *why_unknown)
{
        const char *own = json_get_string(json_object_get(doc, "meta"), "uid");
        int r;

        if (status && streq_ptr(uid, own))
                r = json_object_set(doc, "status", status);
        else
                r = json_object_set_new(doc, "status",
                                status_unknown(status ? "an earlier pod of this name is still "
                                                        "stopping"
                                                      : why_unknown));
        return r < 0 ? -ENOMEM : 0;
}

static const char *const unseen = "not seen by tankd-reconcile yet";

/* Says once why states are not known; the answer lives as long as @e. */
static const char *explain_silence(const sd_bus_error *e)
{
        ctl_error("states are not known: %s", strempty(e->message));
        return strempty(e->message);
}

int resource_read(sd_bus *bus, const Resource *resource, bool with_status, json_t **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        CLEANUP_JSON json_t *doc = NULL;
        const char *why = unseen;
        int r;

        r = store_get(bus, resource->type, resource->namespace, resource->name, &doc, &e);
        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        if (streq(resource->type, "pod") && with_status) {
                r = reconcile_get_status(bus, resource->namespace, resource->name, &s, &e);
                if (r < 0 && !sd_bus_error_has_name(&e, TANK_ERROR_NOT_FOUND))
                        why = explain_silence(&e);
                if (merge_status(doc, s.uid, s.status, why) < 0)
                        return ctl_oom();
        }
        *ret = TAKE_PTR(doc);
        return 0;
}

#define PATH_SIZE (2 * (LIMIT_NAME_MAX + 1))

static const char *path_of(const json_t *o, char buf[static PATH_SIZE])
{
        (void) snprintf(buf, PATH_SIZE, "%s/%s", strempty(json_get_string(o, "namespace")),
                        strempty(json_get_string(o, "name")));
        return buf;
}

/* The list as an object, to look pods up in. */
static json_t *index_statuses(const json_t *list)
{
        json_t *index = json_object(), *s;
        char path[PATH_SIZE];
        size_t i;

        json_array_foreach (list, i, s)
                if (json_object_set(index, path_of(s, path), s) < 0) {
                        json_decref(index);
                        return NULL;
                }
        return index;
}

/* A pod that only the reconciler knows. */
static json_t *undeclared(const json_t *s)
{
        return json_pack("{s:s,s:s,s:s,s:{s:s,s:I},s:O}", "kind", "pod", "namespace",
                        strempty(json_get_string(s, "namespace")), "name",
                        strempty(json_get_string(s, "name")), "meta", "uid",
                        strempty(json_get_string(s, "uid")), "generation",
                        (json_int_t) json_get_int(s, "generation", 0), "status",
                        json_object_get(s, "status"));
}

static int merge_list(json_t *docs, const json_t *statuses, const char *why)
{
        CLEANUP_JSON json_t *index = index_statuses(statuses);
        json_t *doc, *s;
        const char *key;
        size_t i;

        if (!index)
                return -ENOMEM;
        json_array_foreach (docs, i, doc) {
                char path[PATH_SIZE];
                const json_t *found = json_object_get(index, path_of(doc, path));

                if (merge_status(doc, json_get_string(found, "uid"),
                                    json_object_get(found, "status"), why) < 0)
                        return -ENOMEM;
                (void) json_object_del(index, path);
        }
        json_object_foreach (index, key, s)
                if (json_array_append_new(docs, undeclared(s)) < 0)
                        return -ENOMEM;
        return 0;
}

/* ---- selecting ----------------------------------------------------------------------------- */

/* One of "key", "key=value", "key==value", "key!=value". */
static int select_one(const json_t *labels, const char *term, bool *ret)
{
        const char *op = term + strcspn(term, "=!");
        CLEANUP_FREE char *key = strndup(term, (size_t) (op - term));
        bool negative = *op == '!';
        const char *value, *actual;

        if (!key)
                return ctl_oom();
        if (!label_key_is_valid(key) || (negative && op[1] != '='))
                return ctl_usage_error("the selector \"%s\" is not supported yet: KEY, KEY=VALUE "
                                       "and KEY!=VALUE are, with commas between",
                                term);
        actual = json_get_string(labels, key);
        if (!*op) {
                *ret = actual;
                return 0;
        }
        value = op + 1 + (op[1] == '=');
        *ret = streq_ptr(actual, value) != negative;
        return 0;
}

static int select_document(const json_t *doc, const char *selector, bool *ret)
{
        CLEANUP_FREE char *copy = strdup(selector);
        char *rest = copy, *term;

        if (!copy)
                return ctl_oom();
        *ret = true;
        while ((term = strsep(&rest, ","))) {
                bool one = false;
                int r = select_one(json_object_get(doc, "labels"), term, &one);

                if (r != 0)
                        return r;
                *ret = *ret && one;
        }
        return 0;
}

static int select_all(json_t *docs, const char *selector)
{
        bool selected;
        int r;

        if (!selector)
                return 0;
        r = select_document(NULL, selector, &selected); /* for the grammar, in an empty list too */
        for (size_t i = 0; r == 0 && i < json_array_size(docs);) {
                r = select_document(json_array_get(docs, i), selector, &selected);
                if (selected)
                        i++;
                else
                        (void) json_array_remove(docs, i);
        }
        return r;
}

/* ---- showing ------------------------------------------------------------------------------- */

static void add_pod(Table *t, const json_t *doc, OutputFormat output)
{
        const json_t *status = json_object_get(doc, "status"), *meta = json_object_get(doc, "meta");
        const json_t *containers = json_object_get(status, "containers");
        const char *state = strempty(json_get_string(status, "state"));
        int64_t restarts = 0;
        size_t ready = 0, i;
        char age[FORMAT_DURATION_SIZE];
        json_t *c;

        json_array_foreach (containers, i, c) {
                restarts += json_get_int(c, "restarts", 0);
                ready += json_get_bool(c, "ready", false);
        }
        table_addf(t, "%zu/%zu", ready,
                        MAX(json_array_size(containers),
                                        json_array_size(json_object_get(doc, "containers"))));
        table_add(t, state, color_of_state(state));
        table_add(t, json_get_string(status, "reason"), COLOR_NONE);
        table_addf(t, "%lld", (long long) restarts);
        table_add(t, age_since(json_get_string(meta, "created"), age), COLOR_NONE);
        if (output != OUTPUT_WIDE)
                return;
        table_addf(t, "%lld", (long long) json_get_int(meta, "generation", 0));
        table_add(t, json_get_string(meta, "uid"), COLOR_NONE);
        table_add(t, json_get_string(status, "message"), COLOR_NONE);
}

static void add_other(Table *t, const json_t *doc, OutputFormat output)
{
        const json_t *meta = json_object_get(doc, "meta");
        char age[FORMAT_DURATION_SIZE];

        table_add(t, age_since(json_get_string(meta, "created"), age), COLOR_NONE);
        if (output != OUTPUT_WIDE)
                return;
        table_addf(t, "%lld", (long long) json_get_int(meta, "generation", 0));
        table_add(t, json_get_string(meta, "uid"), COLOR_NONE);
}

static int print_table(const Arguments *a, const char *type, const json_t *docs)
{
        static const char *const pod[] = { "READY", "STATE", "REASON", "RESTARTS", "AGE", NULL };
        static const char *const pod_wide[] = { "READY", "STATE", "REASON", "RESTARTS", "AGE",
                "GENERATION", "UID", "MESSAGE", NULL };
        static const char *const other[] = { "AGE", NULL };
        static const char *const other_wide[] = { "AGE", "GENERATION", "UID", NULL };
        bool is_pod = streq(type, "pod"), wide = a->output == OUTPUT_WIDE;
        const char *const *more = is_pod ? (wide ? pod_wide : pod) : (wide ? other_wide : other);
        const char *titles[16];
        CLEANUP(table_freep) Table *t = NULL;
        size_t n = 0, i;
        json_t *doc;

        if (a->all_namespaces && type_has_namespace(type))
                titles[n++] = "NAMESPACE";
        titles[n++] = "NAME";
        while (*more)
                titles[n++] = *more++;
        titles[n] = NULL;
        if (table_new(titles, &t) < 0)
                return ctl_oom();
        json_array_foreach (docs, i, doc) {
                if (streq(titles[0], "NAMESPACE"))
                        table_add(t, json_get_string(doc, "namespace"), COLOR_NONE);
                table_add(t, json_get_string(doc, "name"), COLOR_NONE);
                (is_pod ? add_pod : add_other)(t, doc, a->output);
        }
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

static int unknown_type(const char *word)
{
        return ctl_usage_error("there is no type \"%s\"; did you mean \"get pod %s\"?", word, word);
}

/* Whether it takes the reconciler to show it. */
static bool shows_status(OutputFormat output)
{
        return output != OUTPUT_YAML && output != OUTPUT_NAME;
}

static int read_list(sd_bus *bus, const Arguments *a, const Resource *resource, json_t **ret)
{
        const char *namespace = a->all_namespaces ? "" : resource->namespace, *why = unseen;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *docs = NULL, *statuses = NULL;
        int r;

        r = store_list(bus, resource->type, namespace, &docs, &e);
        if (!resource->known && (r < 0 || json_array_size(docs) == 0))
                return unknown_type(resource->type);
        if (r < 0)
                return ctl_bus_failure(NULL, &e, r);
        if (streq(resource->type, "pod") && shows_status(a->output)) {
                r = reconcile_list_status(bus, namespace, &statuses, &e);
                if (r < 0)
                        why = explain_silence(&e);
                if (merge_list(docs, statuses, why) < 0)
                        return ctl_oom();
        }
        *ret = TAKE_PTR(docs);
        return 0;
}

int verb_get(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP(resource_done)
        Resource resource = { .type = "pod", .known = true, .namespace = arguments_namespace(a) };
        CLEANUP_JSON json_t *docs = NULL;
        int r;

        r = a->words ? resource_parse(a, &resource) : 0;
        if (r != 0)
                return r;
        if (resource.name && (a->all_namespaces || a->selector))
                return ctl_usage_error(
                                "a name is looked up in one namespace and needs no selector");
        r = ctl_bus_open(&bus);
        if (r != 0)
                return resource.known || resource.name ? r : unknown_type(resource.type);
        if (resource.name) {
                json_t *doc = NULL;

                r = resource_read(bus, &resource, shows_status(a->output), &doc);
                if (r == 0) {
                        docs = json_pack("[o]", doc);
                        r = docs ? 0 : ctl_oom();
                }
        } else {
                r = read_list(bus, a, &resource, &docs);
                if (r == 0)
                        r = select_all(docs, a->selector);
        }
        return r != 0 ? r : print_documents(a, &resource, docs);
}
