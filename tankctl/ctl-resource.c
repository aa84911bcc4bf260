/* SPDX-License-Identifier: Apache-2.0 */

/* The store says what exists, the reconciler how it is. A pod that is not declared any more but
 * still runs down is in the list, for it uses the machine; asked for by name it is not found. When
 * the reconciler is silent the documents are there all the same, as waiting. */

#include "clock.h"
#include "ctl-quota.h"
#include "ctl-resource.h"
#include "document.h"
#include "error.h"
#include "names.h"

const char *age_since(const char *at, char buf[static FORMAT_DURATION_SIZE])
{
        uint64_t then, now = now_realtime_usec();

        if (!at || parse_rfc3339(at, &then) < 0)
                return "";
        return format_duration(now > then ? (now - then) / USEC_PER_SEC * USEC_PER_SEC : 0, buf);
}

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

/* Why the reconciler did not answer, as the message of what it did not tell. */
static const char *silence(sd_bus_error *e, sd_bus_error *ret_silence)
{
        (void) sd_bus_error_copy(ret_silence, e); /* answers its own guess of an errno */
        return strempty(e->message);
}

/* Of namespaces: what stands in those with a quota. */
static void merge_use(sd_bus *bus, json_t *namespaces, sd_bus_error *ret_silence)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

        /* Whoever may read documents may not read the numbers of the store by that. */
        if (namespaces_read_use(bus, namespaces, &e) < 0 &&
                        !sd_bus_error_has_name(&e, TANK_ERROR_ACCESS_DENIED))
                (void) silence(&e, ret_silence);
}

int resource_read(sd_bus *bus, const Resource *resource, bool with_status, json_t **ret,
                sd_bus_error *ret_silence, sd_bus_error *reterr)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(pod_status_done) PodStatus s = {};
        CLEANUP_JSON json_t *doc = NULL;
        const char *why = unseen;
        int r;

        r = store_get(bus, resource->type, resource->namespace, resource->name, &doc, reterr);
        if (r < 0)
                return r;
        if (streq(resource->type, "pod") && with_status) {
                r = reconcile_get_status(bus, resource->namespace, resource->name, &s, &e);
                if (r < 0 && !sd_bus_error_has_name(&e, TANK_ERROR_NOT_FOUND))
                        why = silence(&e, ret_silence);
                if (merge_status(doc, s.uid, s.status, why) < 0)
                        return -ENOMEM;
        }
        if (streq(resource->type, "namespace") && with_status) {
                CLEANUP_JSON json_t *alone = json_pack("[O]", doc);

                if (!alone)
                        return -ENOMEM;
                merge_use(bus, alone, ret_silence);
        }
        *ret = TAKE_PTR(doc);
        return 0;
}

int resource_failure(const Resource *x, const sd_bus_error *e, int r)
{
        const char *near = x->known ? NULL : type_near(x->type);

        if (!near || !sd_bus_error_has_name(e, TANK_ERROR_NOT_FOUND))
                return ctl_bus_failure(NULL, e, r);
        ctl_error("%s; did you mean the type \"%s\"?", strempty(e->message), near);
        return EXIT_CODE_NOT_FOUND;
}

int resource_check_type(sd_bus *bus, const Resource *x, const char *verb)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        const ListQuery q = { .type = x->type, .limit = 1 };
        CLEANUP_JSON json_t *docs = NULL;
        int r;

        if (x->known || !type_near(x->type))
                return 0;
        r = store_list(bus, &q, &docs, NULL, &e);
        if (r < 0)
                return ctl_bus_failure(verb, &e, r);
        return json_array_size(docs) > 0 ? 0 : resource_type_unknown(x, verb);
}

const char *resource_path(const json_t *o, char buf[static RESOURCE_PATH_SIZE])
{
        (void) snprintf(buf, RESOURCE_PATH_SIZE, "%s/%s", strempty(json_get_string(o, "namespace")),
                        strempty(json_get_string(o, "name")));
        return buf;
}

/* The list as an object, to look pods up in. */
static json_t *index_statuses(const json_t *list)
{
        json_t *index = json_object(), *s;
        char path[RESOURCE_PATH_SIZE];
        size_t i;

        json_array_foreach (list, i, s)
                if (json_object_set(index, resource_path(s, path), s) < 0) {
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

static int merge_list(json_t *docs, const json_t *statuses, bool all, const char *why)
{
        CLEANUP_JSON json_t *index = index_statuses(statuses);
        json_t *doc, *s;
        const char *key;
        size_t i;

        if (!index)
                return -ENOMEM;
        json_array_foreach (docs, i, doc) {
                char path[RESOURCE_PATH_SIZE];
                const json_t *found = json_object_get(index, resource_path(doc, path));

                if (merge_status(doc, json_get_string(found, "uid"),
                                    json_object_get(found, "status"), why) < 0)
                        return -ENOMEM;
                (void) json_object_del(index, path);
        }
        if (!all)
                return 0;
        json_object_foreach (index, key, s)
                if (json_array_append_new(docs, undeclared(s)) < 0)
                        return -ENOMEM;
        return 0;
}

int resources_read(sd_bus *bus, const ListQuery *q, bool with_status, json_t **ret,
                uint64_t *ret_more, sd_bus_error *ret_silence, sd_bus_error *reterr)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_JSON json_t *docs = NULL, *statuses = NULL;
        const char *why = unseen;
        int r;

        r = store_list(bus, q, &docs, ret_more, reterr);
        if (r < 0)
                return r;
        if (streq(q->type, "pod") && with_status) {
                r = reconcile_list_status(bus, q->namespace, &statuses, &e);
                if (r < 0)
                        why = silence(&e, ret_silence);
                if (merge_list(docs, statuses, !q->labels && !q->fields && q->limit == 0, why) < 0)
                        return -ENOMEM;
        }
        if (streq(q->type, "namespace") && with_status)
                merge_use(bus, docs, ret_silence);
        *ret = TAKE_PTR(docs);
        return 0;
}
