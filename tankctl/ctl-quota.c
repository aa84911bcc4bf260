/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-quota.h. The numbers are among the store's statistics: "namespace_objects.NAME" and
 * "namespace_bytes.NAME", of namespaces with a quota. */

#include "ctl-quota.h"

#include "ctl-bus.h"
#include "document.h"
#include "limit.h"
#include "quantity.h"

/* What of @statistics is about namespaces, as {name: number}. */
static int read_numbers(sd_bus_message *statistics, json_t *numbers)
{
        const char *name;
        uint64_t value;
        int r;

        r = sd_bus_message_enter_container(statistics, 'a', "{st}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(statistics, "{st}", &name, &value)) > 0)
                if (startswith(name, "namespace_") &&
                                json_object_set_new(numbers, name,
                                                json_integer((json_int_t) value)) < 0)
                        return -ENOMEM;
        return r < 0 ? r : sd_bus_message_exit_container(statistics);
}

static const json_t *number_of(const json_t *numbers, const char *what, const json_t *doc)
{
        char name[sizeof("namespace_objects.") + LIMIT_NAME_MAX];

        (void) snprintf(name, sizeof(name), "namespace_%s.%s", what,
                        strempty(json_get_string(doc, "name")));
        return json_object_get(numbers, name);
}

static bool any_has_quota(const json_t *docs)
{
        json_t *doc;
        size_t i;

        json_array_foreach (docs, i, doc)
                if (json_object_get(doc, "quota"))
                        return true;
        return false;
}

int namespaces_read_use(sd_bus *bus, json_t *docs, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_JSON json_t *numbers = NULL;
        json_t *doc;
        size_t i;
        int r;

        if (!any_has_quota(docs))
                return 0;
        r = sd_bus_get_property(bus, ctl_store_admin.name, ctl_store_admin.path,
                        ctl_store_admin.interface, "Statistics", reterr, &reply, "a{st}");
        if (r < 0) {
                ctl_bus_translate(reterr, ctl_store_admin.name);
                return r;
        }
        numbers = json_object();
        if (!numbers)
                return -ENOMEM;
        r = read_numbers(reply, numbers);
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_store_admin, reterr);
        json_array_foreach (docs, i, doc) {
                const json_t *objects = number_of(numbers, "objects", doc);
                const json_t *bytes = number_of(numbers, "bytes", doc);

                if (objects && bytes &&
                                json_object_set_new(doc, "status",
                                                json_pack("{s:O,s:O}", "objects", objects, "size",
                                                                bytes)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static const char *size_text(json_int_t n, char buf[static FORMAT_EXACT_SIZE])
{
        return format_size_exact((uint64_t) n, buf);
}

static const char *count_text(json_int_t n, char buf[static FORMAT_EXACT_SIZE])
{
        (void) snprintf(buf, FORMAT_EXACT_SIZE, "%lld", (long long) n);
        return buf;
}

static json_t *used_of(const json_t *doc, const char *field,
                const char *(*text)(json_int_t n, char buf[static FORMAT_EXACT_SIZE]))
{
        const json_t *quota = json_object_get(doc, "quota");
        const json_t *used = json_object_get(json_object_get(doc, "status"), field);
        const json_t *bound = json_object_get(quota, field);
        char a[FORMAT_EXACT_SIZE], b[FORMAT_EXACT_SIZE];

        if (json_object_size(quota) == 0)
                return NULL;
        return json_sprintf("%s%s%s", used ? text(json_integer_value(used), a) : "?",
                        bound ? "/" : "", bound ? text(json_integer_value(bound), b) : "");
}

json_t *namespace_objects(const json_t *doc)
{
        return used_of(doc, "objects", count_text);
}

json_t *namespace_size(const json_t *doc)
{
        return used_of(doc, "size", size_text);
}
