/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1.KeyValue: what it consists of, and the methods that write. A call that waits is
 * kept in a reply until its write is durable, or its caller's patience is over; the write happens
 * all the same. The methods that read are in store-dbus-kv-read.c. No key or value is logged. */

#include "store-dbus-kv.h"

#include "bus-names.h"
#include "bus-options.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-dbus-operations.h"
#include "store-dbus-reply.h"

/* ---- answers ------------------------------------------------------------------------------- */

typedef int (*SendKv)(sd_bus_message *m, const KvOutcome *o);

typedef struct KvReply {
        Reply reply;
        sd_event_source *timer; /* NULL: the caller has all the time */
        SendKv send;
} KvReply;

static KvReply *kv_reply_new(StoreBus *b, sd_bus_message *m, SendKv send)
{
        KvReply *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        reply_init(&r->reply, b, m);
        r->reply.call = metrics_later(b->metrics);
        r->send = send;
        return r;
}

static void kv_reply_free(KvReply *r)
{
        sd_event_source_disable_unref(r->timer);
        reply_done(&r->reply);
        free(r);
}

/* Behind the sentence: whether the write is durable. Were it, there would be an answer. */
static int send_timed_out(sd_bus_message *m)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        (void) tank_error_set(&e, TANK_ERROR_TIMED_OUT,
                        "the write was accepted and is not durable yet: it may still count; read "
                        "it back");
        if ((r = sd_bus_message_new_method_error(m, &reply, &e)) < 0 ||
                        (r = sd_bus_message_append(reply, "b", false)) < 0)
                return r;
        return sd_bus_message_send(reply);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        KvReply *r = userdata;
        int e = r->reply.message ? send_timed_out(r->reply.message) : 0;

        r->reply.message = sd_bus_message_unref(r->reply.message);
        if (e < 0)
                (void) log_warning_errno(e, "cannot answer a write, ignoring");
        return 0;
}

/* The error of one operation that is a call of its own; a Conflict says where the key stands. */
static int send_error(sd_bus_message *m, const KvResult *result)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_error(m, &reply, &result->error);
        if (r >= 0 && streq(result->error.name, TANK_ERROR_CONFLICT))
                r = sd_bus_message_append(reply, "ut", 0, result->revision);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int send_set(sd_bus_message *m, const KvOutcome *o)
{
        const KvResult *x = o->results;

        return sd_bus_error_is_set(&x->error) ? send_error(m, x)
                                              : sd_bus_reply_method_return(m, "t", x->revision);
}

static int send_removed(sd_bus_message *m, const KvOutcome *o)
{
        const KvResult *x = o->results;

        return sd_bus_error_is_set(&x->error)
                               ? send_error(m, x)
                               : sd_bus_reply_method_return(m, "bt", x->existed, x->revision);
}

static int send_touched(sd_bus_message *m, const KvOutcome *o)
{
        const KvResult *x = o->results;

        return sd_bus_error_is_set(&x->error) ? send_error(m, x)
                                              : sd_bus_reply_method_return(m, "t", x->expires_usec);
}

static int send_cleared(sd_bus_message *m, const KvOutcome *o)
{
        return sd_bus_reply_method_return(m, "tt", (uint64_t) o->n_changed, o->revision);
}

static int send_results(sd_bus_message *m, const KvOutcome *o)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(sst)")) < 0)
                return r;
        for (size_t i = 0; i < o->n; i++) {
                const KvResult *x = &o->results[i];

                r = sd_bus_message_append(reply, "(sst)", strempty(x->error.name),
                                strempty(x->error.message), x->revision);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

/* A call of one operation fails with it. */
static bool is_failure(const KvReply *r, const KvOutcome *o)
{
        return !o ||
               (r->send != send_results && o->n == 1 && sd_bus_error_is_set(&o->results->error));
}

static void on_answered(const KvOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        KvReply *r = userdata;
        int e = 0;

        if (r->reply.message)
                e = error ? sd_bus_reply_method_error(r->reply.message, error)
                          : r->send(r->reply.message, outcome);
        if (e < 0)
                (void) log_warning_errno(e, "cannot answer a write, ignoring");
        metrics_answered(&r->reply.call, 0, is_failure(r, outcome));
        kv_reply_free(r);
}

/* ---- calls --------------------------------------------------------------------------------- */

typedef struct Call {
        const char *store;
        bool wait, atomic, has_timeout;
        uint64_t timeout, deadline;
        KvOperation operation; /* of those that have one */
} Call;

#define CALL_NULL \
        { \
                .wait = true, .deadline = UINT64_MAX \
        }

#define OPTION_TTL(o) \
        { \
                "ttl", 't', &(o)->ttl_usec, &(o)->has_ttl \
        }
#define OPTION_IF_REVISION(o) \
        { \
                "if-revision", 't', &(o)->if_revision, &(o)->has_if_revision \
        }
#define OPTION_WAIT(c) \
        { \
                "wait", 'b', &(c)->wait, NULL \
        }
#define OPTION_TIMEOUT(c) \
        { \
                "timeout", 't', &(c)->timeout, &(c)->has_timeout \
        }
#define OPTION_DEADLINE(c) \
        { \
                "deadline", 't', &(c)->deadline, NULL \
        }

static int read_bytes(sd_bus_message *m, KvBytes *ret)
{
        return sd_bus_message_read_array(m, 'y', &ret->data, &ret->size);
}

/* Goes before what became durable in the same turn: with no time at all nothing is waited for. */
static int add_timeout(KvReply *reply, sd_event *event, uint64_t timeout)
{
        int r = sd_event_add_time_relative(
                        event, &reply->timer, CLOCK_BOOTTIME, timeout, 1, on_timeout, reply);

        return r < 0 ? r : sd_event_source_set_priority(reply->timer, SD_EVENT_PRIORITY_IMPORTANT);
}

/* With @n operations; NULL: all keys go. */
static int begin(StoreBus *b, sd_bus_message *m, const BusCaller *caller, const Call *c,
                const KvOperation *operations, size_t n, SendKv send, sd_bus_error *reterr)
{
        KvReply *reply;
        KvCall call = {
                .by = caller->uid,
                .wait = c->wait,
                .atomic = c->atomic,
                .answered = on_answered,
        };
        int r = store_bus_check_deadline(c->deadline, reterr);

        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                metrics_in(b->metrics, operations[i].value.size);
        call.userdata = reply = kv_reply_new(b, m, send);
        if (!reply)
                return -ENOMEM;
        /* What is no time that will ever come is none. */
        if (c->wait && c->has_timeout && c->timeout <= (uint64_t) INT64_MAX)
                r = add_timeout(reply, sd_bus_get_event(sd_bus_message_get_bus(m)), c->timeout);
        if (r >= 0)
                r = operations ? store_kv_write(b->store, c->store, operations, n, &call, reterr)
                               : store_kv_clear(b->store, c->store, &call, reterr);
        if (r < 0) {
                metrics_answered(&reply->reply.call, 0, true);
                kv_reply_free(reply);
        }
        return r < 0 ? r : 1;
}

static int kv_method_set_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Call c = CALL_NULL;
        KvOperation *o = &c.operation;
        const BusOption options[] = {
                OPTION_TTL(o),
                OPTION_IF_REVISION(o),
                OPTION_WAIT(&c),
                OPTION_TIMEOUT(&c),
                OPTION_DEADLINE(&c),
        };
        int r;

        o->verb = KV_SET;
        if ((r = sd_bus_message_read(m, "s", &c.store)) < 0 || (r = read_bytes(m, &o->key)) < 0 ||
                        (r = read_bytes(m, &o->value)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return begin(userdata, m, caller, &c, o, 1, send_set, reterr);
}
BUS_METHOD(kv_method_set, BUS_MANAGE, store_bus_access)

static int kv_method_remove_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Call c = CALL_NULL;
        KvOperation *o = &c.operation;
        const BusOption options[] = {
                OPTION_IF_REVISION(o),
                OPTION_WAIT(&c),
                OPTION_TIMEOUT(&c),
                OPTION_DEADLINE(&c),
        };
        int r;

        o->verb = KV_REMOVE;
        if ((r = sd_bus_message_read(m, "s", &c.store)) < 0 || (r = read_bytes(m, &o->key)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return begin(userdata, m, caller, &c, o, 1, send_removed, reterr);
}
BUS_METHOD(kv_method_remove, BUS_MANAGE, store_bus_access)

static int kv_method_touch_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Call c = CALL_NULL;
        KvOperation *o = &c.operation;
        int r;

        o->verb = KV_TOUCH;
        o->has_ttl = true;
        if ((r = sd_bus_message_read(m, "s", &c.store)) < 0 || (r = read_bytes(m, &o->key)) < 0 ||
                        (r = sd_bus_message_read(m, "t", &o->ttl_usec)) < 0)
                return r;
        return begin(userdata, m, caller, &c, o, 1, send_touched, reterr);
}
BUS_METHOD(kv_method_touch, BUS_MANAGE, store_bus_access)

static int kv_method_clear_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Call c = CALL_NULL;
        const BusOption options[] = {
                OPTION_WAIT(&c),
                OPTION_TIMEOUT(&c),
                OPTION_DEADLINE(&c),
        };
        int r;

        if ((r = sd_bus_message_read(m, "s", &c.store)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return begin(userdata, m, caller, &c, NULL, 0, send_cleared, reterr);
}
BUS_METHOD(kv_method_clear, BUS_MANAGE, store_bus_access)

/* ---- many operations ----------------------------------------------------------------------- */

/* What cannot be understood makes the whole call fail: nothing happened then. */
static int read_operation(sd_bus_message *m, void *ret, sd_bus_error *reterr)
{
        KvOperation o = {};
        BusBytes key = {}, value = {};
        bool has_key = false, has_value = false;
        const BusOption parts[] = {
                { "key", 'y', &key, &has_key },
                OPTION_IF_REVISION(&o),
                { "value", 'y', &value, &has_value },
                OPTION_TTL(&o),
        };
        const char *verb;
        int r;

        r = sd_bus_message_read(m, "s", &verb);
        if (r < 0)
                return r;
        o.verb = kv_verb_from_string(verb);
        if (o.verb != KV_SET && o.verb != KV_REMOVE)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "there is no operation \"%.64s\": set or remove", verb);
        r = bus_read_options(m, parts, o.verb == KV_SET ? ARRAY_SIZE(parts) : 2, reterr);
        if (r < 0)
                return r;
        if (!has_key || (o.verb == KV_SET && !has_value))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "\"%s\" is missing: %s needs it", has_key ? "value" : "key", verb);
        o.key = (KvBytes){ key.data, key.size };
        o.value = (KvBytes){ value.data, value.size };
        *(KvOperation *) ret = o;
        return 0;
}

static int write_many(StoreBus *b, sd_bus_message *m, const BusCaller *caller, size_t *reterr_index,
                sd_bus_error *reterr)
{
        CLEANUP_FREE void *operations = NULL; /* none is not the same as all keys: never NULL */
        Call c = CALL_NULL;
        const BusOption options[] = {
                OPTION_WAIT(&c),
                OPTION_TIMEOUT(&c),
                OPTION_DEADLINE(&c),
                { "atomic", 'b', &c.atomic, NULL },
        };
        size_t n = 0;
        int r;

        if ((r = sd_bus_message_read(m, "s", &c.store)) < 0 ||
                        (r = store_bus_read_operations(m, sizeof(KvOperation), read_operation,
                                         &operations, &n, reterr_index, reterr)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        return begin(b, m, caller, &c, operations, n, send_results, reterr);
}

static int kv_method_write_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        size_t at = SIZE_MAX;
        int r;

        r = write_many(userdata, m, caller, &at, &e);
        if (r >= 0 || !sd_bus_error_is_set(&e))
                return r;
        return at == SIZE_MAX ? tank_error_set(reterr, e.name, "%s", e.message)
                              : tank_error_set(reterr, e.name, "operations[%zu]: %s", at,
                                                e.message);
}
BUS_METHOD(kv_method_write, BUS_MANAGE, store_bus_access)

/* ---- the interface ------------------------------------------------------------------------- */

const sd_bus_vtable store_kv_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Get", SD_BUS_ARGS("s", store, "ay", key),
                        SD_BUS_RESULT("b", found, "ay", value, "t", revision, "t", expires_usec),
                        kv_method_get, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Set",
                        SD_BUS_ARGS("s", store, "ay", key, "ay", value, "a{sv}", options),
                        SD_BUS_RESULT("t", revision), kv_method_set, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_ARGS("s", store, "ay", key, "a{sv}", options),
                        SD_BUS_RESULT("b", existed, "t", revision), kv_method_remove,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Touch", SD_BUS_ARGS("s", store, "ay", key, "t", ttl),
                        SD_BUS_RESULT("t", expires_usec), kv_method_touch,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Write",
                        SD_BUS_ARGS("s", store, "a(sa{sv})", operations, "a{sv}", options),
                        SD_BUS_RESULT("a(sst)", results), kv_method_write,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Clear", SD_BUS_ARGS("s", store, "a{sv}", options),
                        SD_BUS_RESULT("t", removed, "t", revision), kv_method_clear,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_ARGS("s", store, "a{sv}", options),
                        SD_BUS_RESULT("a(ayaytt)", entries, "s", next, "t", revision, "aay",
                                        unreadable),
                        kv_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stores", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(stt)", stores),
                        kv_method_stores, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetChanges",
                        SD_BUS_ARGS("s", database_id, "s", store, "t", since, "a{sv}", options),
                        SD_BUS_RESULT("a(tsaybaybay)", changes, "b", more, "t", revision),
                        kv_method_get_changes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS(
                        "Changed", SD_BUS_ARGS("s", database_id, "t", revision, "as", stores), 0),
        SD_BUS_VTABLE_END,
};

/* No more than LIMIT_CHANGED_KEYS; the list is empty when there were more, or nobody knows. */
static int append_stores(sd_bus_message *m, const CommitBatch *batch)
{
        const char *stores[LIMIT_CHANGED_KEYS];
        size_t n = batch ? kv_changed_stores(batch, stores, ARRAY_SIZE(stores)) : 0;
        int r;

        r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; r >= 0 && n <= ARRAY_SIZE(stores) && i < n; i++)
                r = sd_bus_message_append(m, "s", stores[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

void store_bus_kv_changed(StoreBus *b, sd_bus *bus, const CommitBatch *batch)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        const char *first[1];
        int r;

        if (batch && kv_changed_stores(batch, first, 1) == 0)
                return;
        r = sd_bus_message_new_signal(
                        bus, &m, TANK_STORE_PATH, TANK_STORE_KEY_VALUE_INTERFACE, "Changed");
        if (r < 0 ||
                        (r = sd_bus_message_append(m, "st", store_database_id(b->store),
                                         store_revision(b->store))) < 0 ||
                        (r = append_stores(m, batch)) < 0 || (r = sd_bus_send(bus, m, NULL)) < 0)
                (void) log_warning_errno(r, "cannot send Changed, ignoring");
}
