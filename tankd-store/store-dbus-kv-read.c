/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.tankd.Store1.KeyValue that read: answered at once, a page at most. */

#include "bus-options.h"
#include "error.h"
#include "store-dbus-kv.h"

static int append_bytes(sd_bus_message *m, KvBytes bytes)
{
        return sd_bus_message_append_array(m, 'y', bytes.size > 0 ? bytes.data : NULL, bytes.size);
}

static int kv_method_get_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *buffer = NULL;
        StoreBus *b = userdata;
        KvRecord record = {};
        const char *store;
        KvBytes key;
        int r, found;

        if ((r = sd_bus_message_read(m, "s", &store)) < 0 ||
                        (r = sd_bus_message_read_array(m, 'y', &key.data, &key.size)) < 0)
                return r;
        found = store_kv_get(b->store, store, key, &record, &buffer, reterr);
        if (found < 0)
                return found;
        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "b", found)) < 0 ||
                        (r = append_bytes(reply, record.value)) < 0 ||
                        (r = sd_bus_message_append(
                                         reply, "tt", record.revision, record.expires_usec)) < 0)
                return r;
        metrics_out(b->metrics, record.value.size);
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(kv_method_get, BUS_INSPECT, store_bus_access)

/* A page that is being filled. */
typedef struct Page {
        StoreBus *bus;
        sd_bus_message *reply;
        KvKey *unreadable; /* of a list: keys that are there, and told behind the others */
        size_t n_unreadable, allocated;
} Page;

static void page_done(Page *p)
{
        free(p->unreadable);
}

static int keep_unreadable(Page *p, KvBytes key)
{
        if (p->n_unreadable == p->allocated) {
                size_t n = MAX(2 * p->allocated, (size_t) 4);
                KvKey *grown = reallocarray(p->unreadable, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                p->unreadable = grown;
                p->allocated = n;
        }
        p->unreadable[p->n_unreadable].size = key.size;
        memcpy(p->unreadable[p->n_unreadable++].data, key.data, key.size);
        return 0;
}

static int append_unreadable(const Page *p)
{
        int r = sd_bus_message_open_container(p->reply, 'a', "ay");

        for (size_t i = 0; r >= 0 && i < p->n_unreadable; i++)
                r = append_bytes(p->reply,
                                (KvBytes){ p->unreadable[i].data, p->unreadable[i].size });
        return r < 0 ? r : sd_bus_message_close_container(p->reply);
}

static int append_entry(KvBytes key, const KvRecord *record, void *userdata)
{
        Page *p = userdata;
        sd_bus_message *m = p->reply;
        int r;

        if (!record)
                return keep_unreadable(p, key);
        metrics_out(p->bus->metrics, record->value.size);
        if ((r = sd_bus_message_open_container(m, 'r', "ayaytt")) < 0 ||
                        (r = append_bytes(m, key)) < 0 ||
                        (r = append_bytes(m, record->value)) < 0 ||
                        (r = sd_bus_message_append(
                                         m, "tt", record->revision, record->expires_usec)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int kv_method_list_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *next = NULL;
        KvListOptions o = { .values = true, .token = "" };
        bool limited = false;
        BusBytes prefix = {};
        const BusOption options[] = {
                { "prefix", 'y', &prefix, NULL },
                { "limit", 'u', &o.limit, &limited },
                { "continue", 's', &o.token, NULL },
                { "values", 'b', &o.values, NULL },
                { "durable", 'b', &o.durable, NULL },
        };
        CLEANUP(page_done) Page page = { .bus = userdata };
        const char *store;
        uint64_t revision;
        int r;

        if ((r = sd_bus_message_read(m, "s", &store)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0 ||
                        (r = store_bus_check_limit(limited, o.limit, reterr)) < 0)
                return r;
        o.prefix = (KvBytes){ prefix.data, prefix.size };
        r = sd_bus_message_new_method_return(m, &reply);
        page.reply = reply;
        if (r < 0 || (r = sd_bus_message_open_container(reply, 'a', "(ayaytt)")) < 0 ||
                        (r = store_kv_list(page.bus->store, store, &o, append_entry, &page, &next,
                                         &revision, reterr)) < 0 ||
                        (r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "st", strempty(next), revision)) < 0 ||
                        (r = append_unreadable(&page)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(kv_method_list, BUS_INSPECT, store_bus_access)

static int append_store(const char *store, const KvTotals *totals, void *userdata)
{
        return sd_bus_message_append(userdata, "(stt)", store, totals->keys, totals->bytes);
}

static int kv_method_stores_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        StoreBus *b = userdata;
        int r;

        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(stt)")) < 0 ||
                        (r = store_kv_stores(b->store, append_store, reply, reterr)) < 0 ||
                        (r = sd_bus_message_close_container(reply)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(kv_method_stores, BUS_INSPECT, store_bus_access)

static int append_change(uint64_t revision, const KvChange *c, void *userdata)
{
        const Page *p = userdata;
        sd_bus_message *m = p->reply;
        int r;

        metrics_out(p->bus->metrics, c->old.size + c->new.size);
        if ((r = sd_bus_message_open_container(m, 'r', "tsaybaybay")) < 0 ||
                        (r = sd_bus_message_append(
                                         m, "ts", revision, kv_effect_to_string(c->effect))) < 0 ||
                        (r = append_bytes(m, c->key)) < 0 ||
                        (r = sd_bus_message_append(m, "b", c->had_old)) < 0 ||
                        (r = append_bytes(m, c->old)) < 0 ||
                        (r = sd_bus_message_append(m, "b", c->has_new)) < 0 ||
                        (r = append_bytes(m, c->new)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int kv_method_get_changes_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        uint32_t limit = 0;
        bool limited = false, more;
        const BusOption options[] = { { "limit", 'u', &limit, &limited } };
        Page page = { .bus = userdata };
        const char *id, *store;
        uint64_t since, revision;
        int r;

        if ((r = sd_bus_message_read(m, "sst", &id, &store, &since)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0 ||
                        (r = store_bus_check_limit(limited, limit, reterr)) < 0 ||
                        (r = sd_bus_message_new_method_return(m, &reply)) < 0)
                return r;
        page.reply = reply;
        if ((r = sd_bus_message_open_container(reply, 'a', "(tsaybaybay)")) < 0 ||
                        (r = store_kv_changes(page.bus->store, id, store, since, limit,
                                         append_change, &page, &more, &revision, reterr)) < 0 ||
                        (r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "bt", more, revision)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(kv_method_get_changes, BUS_INSPECT, store_bus_access)
