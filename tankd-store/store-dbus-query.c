/* SPDX-License-Identifier: Apache-2.0 */

/* List and Count. A page is put into its reply document by document while the store finds them. One
 * that is not complete at once is a Listing, which ends with its answer, or before that when the
 * caller leaves the bus: nobody would read it. */

#include "store-dbus-internal.h"

#include <stdio.h>

#include "bus-options.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-metrics.h"
#include "store-query.h"

struct Listing {
        StoreBus *bus;
        Listing *next, **link;
        sd_bus_message *message, *reply;
        sd_bus_slot *left,
                        *there; /* the bus says that the caller leaves; that he is there at all */
        Query *query;           /* NULL: not under way */
        MetricsCall call;
        size_t bytes; /* of documents */
        bool counts;
};

static Listing *listing_new(StoreBus *b, sd_bus_message *m, bool counts)
{
        Listing *l = malloc(sizeof(*l));

        if (!l)
                return NULL;
        *l = (Listing){
                .bus = b,
                .next = b->listings,
                .link = &b->listings,
                .message = sd_bus_message_ref(m),
                .counts = counts,
        };
        if (l->next)
                l->next->link = &l->next;
        b->listings = l;
        return l;
}

static void listing_free(Listing *l)
{
        *l->link = l->next;
        if (l->next)
                l->next->link = l->link;
        query_free(l->query);
        sd_bus_slot_unref(l->left);
        sd_bus_slot_unref(l->there);
        sd_bus_message_unref(l->reply);
        sd_bus_message_unref(l->message);
        free(l);
}

void store_bus_forget_listings(StoreBus *b)
{
        while (b->listings)
                listing_free(b->listings);
}

/* ---- answers ---- */

static int append_document(const char *text, void *userdata)
{
        Listing *l = userdata;

        l->bytes += strlen(text);
        return sd_bus_message_append(l->reply, "s", text);
}

static int send_page(Listing *l, const StoreResult *result)
{
        int r;

        if ((r = sd_bus_message_close_container(l->reply)) < 0 ||
                        (r = sd_bus_message_append(
                                         l->reply, "st", result->next, result->revision)) < 0)
                return r;
        return sd_bus_message_send(l->reply);
}

static void on_queried(const StoreResult *result, const sd_bus_error *error, void *userdata)
{
        Listing *l = userdata;
        int r;

        if (error)
                r = sd_bus_reply_method_error(l->message, error);
        else if (l->counts)
                r = sd_bus_reply_method_return(l->message, "tt", result->count, result->revision);
        else
                r = send_page(l, result);
        if (r < 0) /* what was begun cannot be sent: then at least that */
                r = sd_bus_reply_method_errno(l->message, r, NULL);
        if (r < 0)
                (void) log_warning_errno(r, "cannot answer a list, ignoring");
        if (l->query)
                metrics_answered(&l->call, l->bytes, error != NULL);
        else if (error)
                metrics_fail(l->bus->metrics);
        else
                metrics_out(l->bus->metrics, l->bytes);
        l->query = NULL; /* it is done, and frees itself */
        listing_free(l);
}

/* ---- callers who leave ---- */

static void caller_left(Listing *l)
{
        log_debug("%s left the bus: its list is given up", sd_bus_message_get_sender(l->message));
        metrics_answered(&l->call, 0, true);
        listing_free(l);
}

static int on_left(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const char *name, *old, *new;

        if (bus_message_is_from_bus(m) && sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 &&
                        !*new)
                caller_left(userdata);
        return 0;
}

static int on_there(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Listing *l = userdata;
        int there;

        l->there = sd_bus_slot_unref(l->there);
        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "b", &there) >= 0 &&
                        !there)
                caller_left(l);
        return 0;
}

/* The bus serves us in order: who left before the match was there is seen by the question. */
static int watch_caller(Listing *l)
{
        sd_bus *bus = sd_bus_message_get_bus(l->message);
        const char *sender = sd_bus_message_get_sender(l->message);
        char match[512];
        int n, r;

        n = snprintf(match, sizeof(match),
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
                        sender);
        if (n < 0 || (size_t) n >= sizeof(match))
                return -EINVAL;
        r = sd_bus_add_match_async(bus, &l->left, match, on_left, NULL, l);
        return r < 0 ? r
                     : sd_bus_call_method_async(bus, &l->there, "org.freedesktop.DBus",
                                       "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                       "NameHasOwner", on_there, l, "s", sender);
}

static int check_share(const Listing *l, sd_bus_error *reterr)
{
        const char *sender = sd_bus_message_get_sender(l->message);
        unsigned n = 0;

        for (const Listing *i = l->bus->listings; i; i = i->next)
                n += streq(sd_bus_message_get_sender(i->message), sender);
        if (n <= LIMIT_QUERIES_EACH)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                        "%u long lists of yours are under way already: wait for one of them",
                        LIMIT_QUERIES_EACH);
}

static int begin(Listing *l, const StoreQuery *q, sd_bus_error *reterr)
{
        int r;

        r = store_query(l->bus->store, q, l->counts ? NULL : append_document, on_queried, l,
                        &l->query, reterr);
        if (r == 0)
                return 1; /* answered, and gone */
        if (r > 0)
                r = check_share(l, reterr);
        if (r >= 0)
                r = watch_caller(l);
        if (r < 0)
                listing_free(l);
        else
                l->call = metrics_later(l->bus->metrics);
        return r < 0 ? r : 1;
}

/* ---- the methods ---- */

static int read_query(sd_bus_message *m, StoreQuery *q, bool counts, sd_bus_error *reterr)
{
        bool limited = false;
        const BusOption options[] = {
                { "labels", 's', &q->labels, NULL },
                { "fields", 's', &q->fields, NULL },
                { "revision", 't', &q->revision, &q->has_revision },
                { "deadline", 't', &q->deadline_usec, &q->has_deadline },
                { "limit", 'u', &q->limit, &limited },
                { "continue", 's', &q->token, NULL },
                { "sort", 's', &q->sort, NULL },
        };
        int r;

        if ((r = sd_bus_message_read(m, "ss", &q->type, &q->namespace)) < 0 ||
                        (r = bus_read_options(
                                         m, options, counts ? 4 : ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return store_bus_check_limit(limited, q->limit, reterr);
}

static int store_method_list_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreQuery q = {};
        Listing *l;
        int r;

        r = read_query(m, &q, false, reterr);
        if (r < 0)
                return r;
        l = listing_new(userdata, m, false);
        if (!l)
                return -ENOMEM;
        if ((r = sd_bus_message_new_method_return(m, &l->reply)) < 0 ||
                        (r = sd_bus_message_open_container(l->reply, 'a', "s")) < 0) {
                listing_free(l);
                return r;
        }
        return begin(l, &q, reterr);
}
BUS_METHOD_SHARED(store_method_list, BUS_INSPECT, store_bus_access)

static int store_method_count_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreQuery q = {};
        Listing *l;
        int r;

        r = read_query(m, &q, true, reterr);
        if (r < 0)
                return r;
        l = listing_new(userdata, m, true);
        return l ? begin(l, &q, reterr) : -ENOMEM;
}
BUS_METHOD_SHARED(store_method_count, BUS_INSPECT, store_bus_access)
