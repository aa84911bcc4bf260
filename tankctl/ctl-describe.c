/* SPDX-License-Identifier: Apache-2.0 */

/* describe: everything about one thing, for people. */

#include <stdarg.h>

#include "clock.h"
#include "ctl-json.h"
#include "ctl-quota.h"
#include "ctl-resource.h"
#include "ctl-text.h"
#include "ctl-verbs.h"
#include "ctl-why.h"
#include "ctl-yaml.h"
#include "document.h"
#include "error.h"
#include "quantity.h"
#include "state.h"

static void line(unsigned indent, const char *label, const char *format, ...) PRINTF_LIKE(3, 4);

static void line(unsigned indent, const char *label, const char *format, ...)
{
        CLEANUP_FREE char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        if (isempty(text))
                return;
        printf("%*s%-*s ", (int) indent, "", (int) (13 - indent), label);
        print_neutral(stdout, text);
        putchar('\n');
}

static void describe_labels(const json_t *doc, const char *field, const char *label)
{
        const char *key;
        json_t *value;

        json_object_foreach (json_object_get(doc, field), key, value) {
                line(0, label, "%s=%s", key, strempty(json_string_value(value)));
                label = "";
        }
}

static void describe_result(const json_t *result)
{
        const char *kind = strempty(json_get_string(result, "kind"));
        const char *at = strempty(json_get_string(result, "at"));
        CLEANUP_FREE char *text = NULL;
        RunResult r = { .kind = result_kind_from_string(kind),
                .code = (int) json_get_int(result, "code", 0) };
        char age[FORMAT_DURATION_SIZE];

        (void) snprintf(r.stage, sizeof(r.stage), "%s", strempty(json_get_string(result, "stage")));
        if (r.kind < 0 || run_result_describe(&r, &text) < 0)
                text = NULL;
        line(4, "", "%s  %s (%s ago)", at, text ? text : kind, age_since(at, age));
}

static void describe_container(const json_t *c)
{
        const json_t *results = json_object_get(c, "results");
        const char *reason = json_get_string(c, "reason"),
                   *started = json_get_string(c, "started_at");
        int64_t pid = json_get_int(c, "pid", 0);
        char age[FORMAT_DURATION_SIZE];

        printf("  ");
        print_neutral(stdout, strempty(json_get_string(c, "name")));
        puts(":");
        line(4, "State:", "%s%s%s%s%s", strempty(json_get_string(c, "state")),
                        json_get_bool(c, "ready", false) ? ", ready" : "",
                        isempty(reason) ? "" : " (", strempty(reason), isempty(reason) ? "" : ")");
        if (pid > 0)
                line(4, "Pid:", "%lld", (long long) pid);
        if (!isempty(started))
                line(4, "Started:", "%s (%s ago)", started, age_since(started, age));
        line(4, "Image:", "%s", strempty(json_get_string(c, "image")));
        line(4, "Restarts:", "%lld", (long long) json_get_int(c, "restarts", 0));
        if (json_array_size(results) == 0)
                return;
        puts("    Ended:");
        for (size_t i = json_array_size(results); i > 0; i--)
                describe_result(json_array_get(results, i - 1));
}

static void describe_containers(const char *title, const json_t *containers)
{
        json_t *c;
        size_t i;

        if (json_array_size(containers) > 0)
                puts(title);
        json_array_foreach (containers, i, c)
                describe_container(c);
}

/* The one line that says why a pod does not run. */
static void describe_why(const json_t *doc)
{
        CLEANUP_FREE char *why = NULL;

        if (pod_why(doc, now_realtime_usec(), &why) < 0)
                why = strdup("out of memory");
        line(0, "Why:", "%s", strempty(why));
}

static void describe_status(const json_t *doc)
{
        const json_t *status = json_object_get(doc, "status");
        const char *state = strempty(json_get_string(status, "state"));
        const char *reason = json_get_string(status, "reason");
        json_t *item;
        size_t i;

        line(0, "State:", "%s%s%s%s%s", state,
                        json_get_bool(status, "ready", false) ? ", ready" : "",
                        isempty(reason) ? "" : " (", strempty(reason), isempty(reason) ? "" : ")");
        describe_why(doc);
        json_array_foreach (json_object_get(status, "addresses"), i, item)
                line(0, i == 0 ? "Addresses:" : "", "%s", strempty(json_string_value(item)));
        describe_containers("Init containers:", json_object_get(status, "init_containers"));
        describe_containers("Containers:", json_object_get(status, "containers"));
}

static void describe_use(const json_t *doc)
{
        CLEANUP_JSON json_t *objects = namespace_objects(doc), *size = namespace_size(doc);

        if (objects)
                line(0, "Objects:", "%s", json_string_value(objects));
        if (size)
                line(0, "Size:", "%s", json_string_value(size));
}

/* The declaration, indented: its own words, control characters quoted by YAML. */
static int describe_declaration(const json_t *doc)
{
        CLEANUP_JSON json_t *declared = NULL;
        CLEANUP_FREE char *text = NULL;
        size_t size;
        FILE *f;
        int r;

        r = declaration_for_people(doc, &declared);
        if (r < 0)
                return r;
        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        r = yaml_print(f, declared, false);
        if (fclose(f) != 0 || r < 0)
                return -ENOMEM;
        puts("Declaration:");
        for (char *rest = text, *l; (l = strsep(&rest, "\n")) && rest;)
                printf("  %s\n", l);
        return 0;
}

int verb_describe(const Arguments *a)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error silence = SD_BUS_ERROR_NULL, e = SD_BUS_ERROR_NULL;
        CLEANUP(resource_done) Resource resource = {};
        CLEANUP_JSON json_t *doc = NULL;
        const json_t *meta;
        int r;

        r = resource_parse_named(a, "describe", &resource);
        if (r == 0)
                r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = resource_read(bus, &resource, true, &doc, &silence, &e);
        if (r < 0)
                return resource_failure(&resource, &e, r);
        if (sd_bus_error_is_set(&silence))
                ctl_error("states are not known: %s", strempty(silence.message));
        meta = json_object_get(doc, "meta");
        line(0, "Name:", "%s", resource.name);
        line(0, "Type:", "%s", resource.type);
        line(0, "Namespace:", "%s", resource.namespace);
        line(0, "Uid:", "%s", strempty(json_get_string(meta, "uid")));
        line(0, "Generation:", "%lld", (long long) json_get_int(meta, "generation", 0));
        line(0, "Revision:", "%lld", (long long) json_get_int(meta, "revision", 0));
        line(0, "Created:", "%s", strempty(json_get_string(meta, "created")));
        line(0, "Updated:", "%s", strempty(json_get_string(meta, "updated")));
        describe_labels(doc, "labels", "Labels:");
        describe_labels(doc, "annotations", "Annotations:");
        if (streq(resource.type, "namespace"))
                describe_use(doc);
        else if (json_object_get(doc, "status"))
                describe_status(doc);
        return describe_declaration(doc) < 0 ? ctl_oom() : 0;
}
