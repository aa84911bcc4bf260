/* SPDX-License-Identifier: Apache-2.0 */

/* The methods that write. Each is a transaction; its message is kept in a Reply until the store
 * answers. When the connection goes first, the Reply stays behind without a message and the write
 * happens all the same. */

#include <stdio.h>

#include "store-dbus-operations.h"
#include "store-dbus-reply.h"

#include "bus-options.h"
#include "clock.h"
#include "error.h"
#include "limit.h"
#include "log.h"

/* ---- answers ---- */

typedef int (*SendOutcome)(sd_bus_message *m, const StoreOutcome *o);

typedef struct WriteReply {
        Reply reply;
        SendOutcome send;
        bool many; /* a transaction: a refusal says which operation is at fault */
} WriteReply;

static WriteReply *write_reply_new(StoreBus *b, sd_bus_message *m, SendOutcome send)
{
        WriteReply *r = malloc(sizeof(*r));

        if (!r)
                return NULL;
        reply_init(&r->reply, b, m);
        r->reply.call = metrics_later(b->metrics);
        r->send = send;
        return r;
}

static void write_reply_free(WriteReply *r)
{
        reply_done(&r->reply);
        free(r);
}

static bool tells_revision(const sd_bus_error *e)
{
        return sd_bus_error_has_names(e, TANK_ERROR_CONFLICT, TANK_ERROR_ALREADY_EXISTS);
}

/* Which operation is at fault stands in the sentence for people, and behind it for programs; with
 * Conflict and AlreadyExists also the revision that they would have to know of, at which the object
 * @stands. */
static int send_refusal(
                sd_bus_message *m, bool many, size_t at, uint64_t stands, const sd_bus_error *e)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error placed = SD_BUS_ERROR_NULL;
        bool tells = tells_revision(e);
        int r;

        if (at == STORE_WHOLE || (!many && !tells))
                return sd_bus_reply_method_error(m, e);
        if (many) {
                (void) tank_error_set(&placed, e->name, "operations[%zu]: %s", at, e->message);
                e = &placed;
        }
        if ((r = sd_bus_message_new_method_error(m, &reply, e)) < 0 ||
                        (r = sd_bus_message_append(reply, "u", (uint32_t) at)) < 0 ||
                        (tells && (r = sd_bus_message_append(reply, "t", stands)) < 0))
                return r;
        return sd_bus_message_send(reply);
}

static void on_answered(const StoreOutcome *outcome, const sd_bus_error *error, void *userdata)
{
        WriteReply *r = userdata;
        sd_bus_message *m = r->reply.message;
        int e = 0;

        if (m)
                e = error ? send_refusal(m, r->many, outcome->at, outcome->stands, error)
                          : r->send(m, outcome);
        if (e < 0)
                (void) log_warning_errno(e, "cannot answer a write, ignoring");
        metrics_answered(&r->reply.call, 0, error != NULL);
        write_reply_free(r);
}

static int send_created(sd_bus_message *m, const StoreOutcome *o)
{
        const StoreAnswer *a = o->answers;

        return sd_bus_reply_method_return(m, "stt", a->uid, a->generation, a->revision);
}

static int send_applied(sd_bus_message *m, const StoreOutcome *o)
{
        const StoreAnswer *a = o->answers;

        return sd_bus_reply_method_return(
                        m, "stts", a->uid, a->generation, a->revision, a->changed);
}

static int send_deleted(sd_bus_message *m, const StoreOutcome *o)
{
        return sd_bus_reply_method_return(
                        m, "bt", streq(o->answers->changed, "deleted"), o->revision);
}

static int send_outcome(sd_bus_message *m, const StoreOutcome *o)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "t", o->revision)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(stts)")) < 0)
                return r;
        for (size_t i = 0; i < o->n; i++) {
                const StoreAnswer *a = &o->answers[i];

                r = sd_bus_message_append(
                                reply, "(stts)", a->uid, a->generation, a->revision, a->changed);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

/* ---- one operation ---- */

/* The parts of an operation, by name. */
enum {
        PART_DOCUMENT,
        PART_IF_REVISION,
        PART_TYPE,
        PART_NAMESPACE,
        PART_NAME,
        PART_REVISION,
        PART_CASCADE,
        _PART_MAX,
};

#define OBJECT_PARTS \
        ((1U << PART_IF_REVISION) | (1U << PART_TYPE) | (1U << PART_NAMESPACE) | (1U << PART_NAME))

static const unsigned parts_of[_STORE_VERB_MAX] = {
        [STORE_CREATE] = 1U << PART_DOCUMENT,
        [STORE_APPLY] = (1U << PART_DOCUMENT) | (1U << PART_IF_REVISION),
        [STORE_UPDATE] = (1U << PART_DOCUMENT) | (1U << PART_IF_REVISION),
        [STORE_DELETE] = OBJECT_PARTS | (1U << PART_CASCADE),
        [STORE_ROLLBACK] = OBJECT_PARTS | (1U << PART_REVISION),
        [STORE_CHECK] = OBJECT_PARTS,
};

static int read_parts(sd_bus_message *m, StoreOperation *o, sd_bus_error *reterr)
{
        bool given[_PART_MAX] = {};
        const BusOption all[_PART_MAX] = {
                [PART_DOCUMENT] = { "document", 's', &o->document, &given[PART_DOCUMENT] },
                [PART_IF_REVISION] = { "if-revision", 't', &o->if_revision, &o->has_if_revision },
                [PART_TYPE] = { "type", 's', &o->type, &given[PART_TYPE] },
                [PART_NAMESPACE] = { "namespace", 's', &o->namespace, NULL },
                [PART_NAME] = { "name", 's', &o->name, &given[PART_NAME] },
                [PART_REVISION] = { "revision", 't', &o->revision, &given[PART_REVISION] },
                [PART_CASCADE] = { "cascade", 'b', &o->cascade, NULL },
        };
        BusOption parts[_PART_MAX];
        size_t n = 0;
        int r;

        for (unsigned i = 0; i < _PART_MAX; i++)
                if (parts_of[o->verb] & (1U << i))
                        parts[n++] = all[i];
        r = bus_read_options(m, parts, n, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                bool wanted = parts[i].given &&
                              (parts[i].given != &o->has_if_revision || o->verb == STORE_CHECK);

                if (wanted && !*parts[i].given)
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "\"%s\" is missing: %s needs it", parts[i].name,
                                        store_verb_to_string(o->verb));
        }
        if (o->document)
                o->document_size = strlen(o->document);
        return 0;
}

int store_bus_check_deadline(uint64_t deadline_usec, sd_bus_error *reterr)
{
        if (deadline_usec == UINT64_MAX || now_boottime_usec() < deadline_usec)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_TIMED_OUT,
                        "the deadline was over before this began: nothing happened");
}

/* What all of one call's operations have in common. */
typedef struct Request {
        StoreBus *bus;
        sd_bus_message *message;
        const BusCaller *caller;
        bool many;
        StoreWrite write;
        uint64_t deadline_usec; /* UINT64_MAX: none */
        size_t at;              /* the operation at fault */
        uint64_t revision;      /* at which its object stands, with Conflict and AlreadyExists */
} Request;

static void request_init(Request *q, StoreBus *b, sd_bus_message *m, const BusCaller *caller)
{
        *q = (Request){
                .bus = b,
                .message = m,
                .caller = caller,
                .write = {
                        .by = caller->uid,
                        .privileged = bus_caller_may(caller, BUS_PRIVILEGED),
                        .secrets = bus_caller_may(caller, BUS_SECRETS),
                        .answered = on_answered,
                        .reterr_revision = &q->revision,
                },
                .deadline_usec = UINT64_MAX,
                .at = STORE_WHOLE,
        };
}

/* Writes what was read of the message, and leaves the answer to the store. */
static int begin(Request *q, const StoreOperation *operations, size_t n, SendOutcome send,
                sd_bus_error *reterr)
{
        WriteReply *reply;
        int r;

        r = store_bus_check_deadline(q->deadline_usec, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                metrics_in(q->bus->metrics, operations[i].document_size);
        reply = write_reply_new(q->bus, q->message, send);
        if (!reply)
                return -ENOMEM;
        reply->many = q->many;
        q->write.userdata = reply;
        r = store_write(q->bus->store, operations, n, &q->write, &q->at, reterr);
        if (r < 0) {
                metrics_now(q->bus->metrics, &reply->reply.call);
                write_reply_free(reply);
        }
        return r < 0 ? r : 1;
}

/* Of what the store did not take. What the caller may not can become a question. */
static int refuse(const Request *q, sd_bus_error *e, sd_bus_error *reterr)
{
        int r;

        if (q->at == STORE_WHOLE || (!q->many && !tells_revision(e)) ||
                        bus_caller_is_open(q->caller, e)) {
                r = tank_error_to_errno(e->name);
                *reterr = *e;
                *e = SD_BUS_ERROR_NULL;
                return r;
        }
        r = send_refusal(q->message, q->many, q->at, q->revision, e);
        if (r < 0)
                return r;
        metrics_fail(q->bus->metrics);
        return 1;
}

/* The options are next in the message. */
static int write_one(StoreBus *b, sd_bus_message *m, const BusCaller *caller, StoreOperation *o,
                SendOutcome send, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Request q;
        BusOption options[4];
        size_t n = 0;
        int r;

        request_init(&q, b, m, caller);
        options[n++] = (BusOption){ "deadline", 't', &q.deadline_usec, NULL };
        if (o->verb != STORE_CREATE)
                options[n++] = (BusOption){ "if-revision", 't', &o->if_revision,
                        &o->has_if_revision };
        if (o->verb == STORE_DELETE)
                options[n++] = (BusOption){ "cascade", 'b', &o->cascade, NULL };
        else if (o->verb != STORE_UPDATE)
                options[n++] = (BusOption){ "create-namespace", 'b', &q.write.create_namespaces,
                        NULL };
        r = bus_read_options(m, options, n, &e);
        if (r >= 0)
                r = begin(&q, o, 1, send, &e);
        return sd_bus_error_is_set(&e) ? refuse(&q, &e, reterr) : r;
}

int store_bus_apply(StoreBus *b, sd_bus_message *m, const BusCaller *caller,
                const StoreOperation *o, const StoreBusApply *options, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Request q;
        int r;

        request_init(&q, b, m, caller);
        q.write.create_namespaces = options->create_namespaces;
        q.deadline_usec = options->deadline_usec;
        r = begin(&q, o, 1, send_applied, &e);
        return sd_bus_error_is_set(&e) ? refuse(&q, &e, reterr) : r;
}

static int write_document(StoreVerb verb, sd_bus_message *m, const BusCaller *caller, StoreBus *b,
                SendOutcome send, sd_bus_error *reterr)
{
        StoreOperation o = { .verb = verb };
        int r;

        r = sd_bus_message_read(m, "s", &o.document);
        if (r < 0)
                return r;
        o.document_size = strlen(o.document);
        return write_one(b, m, caller, &o, send, reterr);
}

static int store_method_create_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        return write_document(STORE_CREATE, m, caller, userdata, send_created, reterr);
}
BUS_METHOD_SHARED(store_method_create, BUS_MANAGE, store_bus_access)

static int store_method_apply_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        return write_document(STORE_APPLY, m, caller, userdata, send_applied, reterr);
}
BUS_METHOD_SHARED(store_method_apply, BUS_MANAGE, store_bus_access)

static int store_method_update_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        return write_document(STORE_UPDATE, m, caller, userdata, send_applied, reterr);
}
BUS_METHOD_SHARED(store_method_update, BUS_MANAGE, store_bus_access)

static int store_method_delete_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreOperation o = { .verb = STORE_DELETE };
        int r;

        r = sd_bus_message_read(m, "sss", &o.type, &o.namespace, &o.name);
        return r < 0 ? r : write_one(userdata, m, caller, &o, send_deleted, reterr);
}
BUS_METHOD_SHARED(store_method_delete, BUS_MANAGE, store_bus_access)

static int store_method_rollback_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreOperation o = { .verb = STORE_ROLLBACK };
        int r;

        r = sd_bus_message_read(m, "ssst", &o.type, &o.namespace, &o.name, &o.revision);
        return r < 0 ? r : write_one(userdata, m, caller, &o, send_applied, reterr);
}
BUS_METHOD_SHARED(store_method_rollback, BUS_MANAGE, store_bus_access)

/* ---- many operations ---- */

static int read_operation(sd_bus_message *m, void *ret, sd_bus_error *reterr)
{
        StoreOperation o = {};
        const char *verb;
        int r;

        r = sd_bus_message_read(m, "s", &verb);
        if (r < 0)
                return r;
        o.verb = store_verb_from_string(verb);
        if (o.verb < 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "there is no operation \"%.64s\": create, apply, update, delete, "
                                "rollback or check",
                                verb);
        r = read_parts(m, &o, reterr);
        if (r >= 0)
                *(StoreOperation *) ret = o;
        return r;
}

static int transaction(Request *q, sd_bus_error *reterr)
{
        CLEANUP_FREE void *operations = NULL;
        const BusOption options[] = {
                { "dry-run", 'b', &q->write.dry_run, NULL },
                { "create-namespace", 'b', &q->write.create_namespaces, NULL },
                { "deadline", 't', &q->deadline_usec, NULL },
        };
        size_t n = 0;
        int r;

        r = store_bus_read_operations(q->message, sizeof(StoreOperation), read_operation,
                        &operations, &n, &q->at, reterr);
        if (r < 0)
                return r;
        r = bus_read_options(q->message, options, ARRAY_SIZE(options), reterr);
        return r < 0 ? r : begin(q, operations, n, send_outcome, reterr);
}

static int store_method_transaction_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Request q;
        int r;

        request_init(&q, userdata, m, caller);
        q.many = true;
        r = transaction(&q, &e);
        return sd_bus_error_is_set(&e) ? refuse(&q, &e, reterr) : r;
}
BUS_METHOD_SHARED(store_method_transaction, BUS_MANAGE, store_bus_access)
