/* SPDX-License-Identifier: Apache-2.0 */

/* The methods that read: answered at once, a page at most. */

#include "store-dbus-internal.h"

#include "bus-options.h"
#include "error.h"
#include "store-changes.h"
#include "store-history.h"
#include "store-reference.h"

static int store_method_get_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        const char *type, *namespace, *name;
        StoreBus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", &type, &namespace, &name);
        if (r < 0)
                return r;
        r = store_get(b->store, type, namespace, name, &text, reterr);
        if (r < 0)
                return r;
        metrics_out(b->metrics, strlen(text));
        return sd_bus_reply_method_return(m, "s", text);
}
BUS_METHOD_SHARED(store_method_get, BUS_INSPECT, store_bus_access)

static int store_method_resolve_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(reference_done) Reference ref = {};
        const char *reference, *namespace;
        StoreBus *b = userdata;
        int r;

        r = sd_bus_message_read(m, "ss", &reference, &namespace);
        if (r < 0)
                return r;
        r = store_resolve(b->store, reference, namespace, &ref, reterr);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(
                        m, "ssss", ref.type, ref.namespace, ref.name, strempty(ref.key));
}
BUS_METHOD_SHARED(store_method_resolve, BUS_INSPECT, store_bus_access)

int store_bus_check_limit(bool given, uint32_t limit, sd_bus_error *reterr)
{
        if (!given || limit > 0)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "option \"limit\": must be greater than 0");
}

typedef struct Page {
        uint32_t limit;
        const char *token;
} Page;

static int read_page_options(sd_bus_message *m, Page *p, sd_bus_error *reterr)
{
        bool limited = false;
        const BusOption options[] = {
                { "limit", 'u', &p->limit, &limited },
                { "continue", 's', &p->token, NULL },
        };
        int r = bus_read_options(m, options, ARRAY_SIZE(options), reterr);

        return r < 0 ? r : store_bus_check_limit(limited, p->limit, reterr);
}

typedef struct ChangesReply {
        Metrics *metrics;
        sd_bus_message *message;
} ChangesReply;

static int append_change(
                uint64_t revision, const StoreChange *c, const char *document, void *userdata)
{
        const ChangesReply *reply = userdata;

        metrics_out(reply->metrics, strlen(document));
        return sd_bus_message_append(reply->message, "(tsssss)", revision,
                        operation_to_string(c->operation), c->key.type, c->key.namespace,
                        c->key.name, document);
}

static int read_changes_query(sd_bus_message *m, StoreChangesQuery *q, sd_bus_error *reterr)
{
        bool limited = false;
        const BusOption options[] = {
                { "documents", 'b', &q->documents, NULL },
                { "limit", 'u', &q->limit, &limited },
                { "type", 's', &q->type, NULL },
                { "namespace", 's', &q->namespace, NULL },
                { "prefix", 's', &q->prefix, NULL },
                { "labels", 's', &q->labels, NULL },
        };
        int r;

        if ((r = sd_bus_message_read(m, "st", &q->database_id, &q->since)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return store_bus_check_limit(limited, q->limit, reterr);
}

static int store_method_get_changes_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        StoreBus *b = userdata;
        StoreChangesQuery query = {};
        uint64_t revision;
        bool more;
        int r;

        if ((r = read_changes_query(m, &query, reterr)) < 0 ||
                        (r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(tsssss)")) < 0)
                return r;
        r = store_changes(b->store, &query, append_change, &(ChangesReply){ b->metrics, reply },
                        &more, &revision, reterr);
        if (r < 0)
                return r;
        if ((r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "bt", more, revision)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(store_method_get_changes, BUS_INSPECT, store_bus_access)

/* ---- versions ---- */

static int store_method_get_version_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *text = NULL;
        const char *type, *namespace, *name;
        StoreBus *b = userdata;
        uint64_t revision;
        int r;

        r = sd_bus_message_read(m, "ssst", &type, &namespace, &name, &revision);
        if (r < 0)
                return r;
        r = store_get_version(b->store, type, namespace, name, revision, &text, reterr);
        if (r < 0)
                return r;
        metrics_out(b->metrics, strlen(text));
        return sd_bus_reply_method_return(m, "s", text);
}
BUS_METHOD_SHARED(store_method_get_version, BUS_INSPECT, store_bus_access)

static int append_version(const StoreVersion *v, void *userdata)
{
        return sd_bus_message_append(userdata, "(tssttu)", v->revision, v->operation, v->uid,
                        v->generation, v->at_usec, (uint32_t) v->by);
}

static int store_method_history_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *next = NULL;
        const char *type, *namespace, *name;
        StoreBus *b = userdata;
        Page page = { .token = "" };
        int r;

        if ((r = sd_bus_message_read(m, "sss", &type, &namespace, &name)) < 0 ||
                        (r = read_page_options(m, &page, reterr)) < 0 ||
                        (r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(tssttu)")) < 0)
                return r;
        r = store_history(b->store, type, namespace, name, page.limit, page.token, append_version,
                        reply, &next, reterr);
        if (r < 0)
                return r;
        if ((r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "s", strempty(next))) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(store_method_history, BUS_INSPECT, store_bus_access)
