/* SPDX-License-Identifier: Apache-2.0 */

/* Random calls: what they expect is sometimes what was heard last, sometimes wrong. */

#include <stdio.h>
#include <stdlib.h>

#include "bus-names.h"
#include "history-run.h"

typedef struct Call {
        Client *client;
        unsigned generation;
        size_t op;
} Call;

static void send_call(Client *c, size_t i, const char *token);

static uint32_t chance(Client *c, uint32_t percent)
{
        return draw(&c->random, 100) < percent;
}

static Key random_key(Client *c)
{
        if (chance(c, 2))
                return space_key(1 + (int) draw(&c->random, N_SPACES - 1));
        return (Key) draw(&c->random, N_OBJECTS);
}

static uint32_t random_revision(Client *c, Key key)
{
        return chance(c, 80) ? c->run->known[key].revision : draw(&c->random, 1000);
}

static Key random_pair(Client *c)
{
        return N_DOCUMENTS + (Key) draw(&c->random, N_KEYS - N_DOCUMENTS);
}

/* Each value is another: whether a key was set to what it had is not told. */
static Step random_pair_step(Client *c)
{
        Step s = { .key = random_pair(c), .verb = chance(c, 70) ? VERB_APPLY : VERB_DELETE };

        if (s.verb == VERB_APPLY)
                s.tag = ++c->run->tags;
        s.has_if = chance(c, 25);
        if (s.has_if)
                s.if_revision = random_revision(c, s.key);
        return s;
}

static Step random_step(Client *c, bool in_transaction)
{
        static const Verb verbs[] = { VERB_CREATE, VERB_CREATE, VERB_CREATE, VERB_APPLY, VERB_APPLY,
                VERB_APPLY, VERB_APPLY, VERB_UPDATE, VERB_UPDATE, VERB_DELETE, VERB_DELETE,
                VERB_DELETE, VERB_ROLLBACK, VERB_CHECK, VERB_CHECK };
        Step s = { .key = random_key(c) };

        s.verb = verbs[draw(&c->random, ARRAY_SIZE(verbs) - (in_transaction ? 0 : 2))];
        if (s.verb == VERB_ROLLBACK)
                s.revision = random_revision(c, s.key);
        if (s.verb == VERB_CREATE || s.verb == VERB_APPLY || s.verb == VERB_UPDATE)
                s.tag = chance(c, 10) && c->run->known[s.key].tag > 0 ? c->run->known[s.key].tag
                                                                      : ++c->run->tags;
        s.has_if = s.verb == VERB_CHECK || (s.verb != VERB_CREATE && chance(c, 30));
        if (s.has_if)
                s.if_revision = random_revision(c, s.key);
        return s;
}

/* ---- messages ---- */

static int append_u64(sd_bus_message *m, const char *name, uint64_t value)
{
        return sd_bus_message_append(m, "{sv}", name, "t", value);
}

static void append_write(sd_bus_message *m, const Step *s)
{
        char name[16];

        if (s->verb == VERB_CREATE || s->verb == VERB_APPLY || s->verb == VERB_UPDATE) {
                CLEANUP_FREE char *text = document_of(s->key, s->tag);

                must(sd_bus_message_append(m, "s", text) >= 0);
        } else
                must(sd_bus_message_append(m, "sss", key_type(s->key), key_namespace(s->key),
                                     key_name(s->key, name)) >= 0);
        if (s->verb == VERB_ROLLBACK)
                must(sd_bus_message_append(m, "t", (uint64_t) s->revision) >= 0);
        must(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (s->has_if)
                must(append_u64(m, "if-revision", s->if_revision) >= 0);
        must(sd_bus_message_close_container(m) >= 0);
}

static void append_step(sd_bus_message *m, const Step *s)
{
        char name[16];

        must(sd_bus_message_open_container(m, 'r', "sa{sv}") >= 0);
        must(sd_bus_message_append(m, "s", verb_names[s->verb]) >= 0);
        must(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (s->verb == VERB_CREATE || s->verb == VERB_APPLY || s->verb == VERB_UPDATE) {
                CLEANUP_FREE char *text = document_of(s->key, s->tag);

                must(sd_bus_message_append(m, "{sv}", "document", "s", text) >= 0);
        } else
                must(sd_bus_message_append(m, "{sv}{sv}{sv}", "type", "s", key_type(s->key),
                                     "namespace", "s", key_namespace(s->key), "name", "s",
                                     key_name(s->key, name)) >= 0);
        if (s->verb == VERB_ROLLBACK)
                must(append_u64(m, "revision", s->revision) >= 0);
        if (s->has_if)
                must(append_u64(m, "if-revision", s->if_revision) >= 0);
        must(sd_bus_message_close_container(m) >= 0);
        must(sd_bus_message_close_container(m) >= 0);
}

static void append_list(sd_bus_message *m, const Op *op, const char *token)
{
        char labels[16];

        must(sd_bus_message_append(m, "ss", type_names[op->list_type],
                             op->list_space < 0 ? "" : space_names[op->list_space]) >= 0);
        must(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        must(sd_bus_message_append(m, "{sv}", "limit", "u", 3 + op->invoked % 30) >= 0);
        if (op->list_color >= 0) {
                (void) snprintf(labels, sizeof(labels), "color=c%d", op->list_color);
                must(sd_bus_message_append(m, "{sv}", "labels", "s", labels) >= 0);
        }
        if (*token)
                must(sd_bus_message_append(m, "{sv}", "continue", "s", token) >= 0);
        else if (op->list_at > 0)
                must(append_u64(m, "revision", op->list_at) >= 0);
        must(sd_bus_message_close_container(m) >= 0);
}

static sd_bus_message *message_of_pair(Client *c, const Op *op)
{
        const Step *s = op->kind == OP_WRITE ? op->steps : NULL;
        const char *method = !s ? "Get" : s->verb == VERB_APPLY ? "Set" : "Remove";
        Key key = s ? s->key : op->items->key;
        char name[16], value[16];
        sd_bus_message *m;

        must(sd_bus_message_new_method_call(c->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE ".KeyValue", method) >= 0);
        must(sd_bus_message_append(m, "s", PAIRS_STORE) >= 0);
        must(sd_bus_message_append_array(
                             m, 'y', key_name(key, name), strlen(key_name(key, name))) >= 0);
        if (!s)
                return m;
        (void) snprintf(value, sizeof(value), "%u", s->tag);
        if (s->verb == VERB_APPLY)
                must(sd_bus_message_append_array(m, 'y', value, strlen(value)) >= 0);
        must(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (s->has_if)
                must(append_u64(m, "if-revision", s->if_revision) >= 0);
        if (op->accepted)
                must(sd_bus_message_append(m, "{sv}", "wait", "b", false) >= 0);
        must(sd_bus_message_close_container(m) >= 0);
        return m;
}

static sd_bus_message *message_of(Client *c, const Op *op, const char *token)
{
        static const char *const methods[] = { "Create", "Apply", "Update", "Delete", "Rollback" };
        const char *method = op->kind == OP_WRITE         ? methods[op->steps->verb]
                             : op->kind == OP_TRANSACTION ? "Transaction"
                             : op->kind == OP_GET         ? "Get"
                                                          : "List";
        sd_bus_message *m;
        char name[16];

        must(sd_bus_message_new_method_call(c->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE, method) >= 0);
        if (op->kind == OP_WRITE)
                append_write(m, op->steps);
        else if (op->kind == OP_TRANSACTION) {
                must(sd_bus_message_open_container(m, 'a', "(sa{sv})") >= 0);
                for (unsigned i = 0; i < op->n; i++)
                        append_step(m, &op->steps[i]);
                must(sd_bus_message_close_container(m) >= 0);
                must(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        } else if (op->kind == OP_GET)
                must(sd_bus_message_append(m, "sss", key_type(op->items->key),
                                     key_namespace(op->items->key),
                                     key_name(op->items->key, name)) >= 0);
        else
                append_list(m, op, token);
        return m;
}

/* ---- calls ---- */

static void free_call(void *userdata)
{
        free(userdata);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Call *call = userdata;
        Client *c = call->client;

        if (call->generation == c->generation) {
                const char *next = answer_read(c->run, &c->run->r->ops[call->op], m);

                if (*next) {
                        send_call(c, call->op, next);
                        return 0;
                }
                c->run->done++;
                c->in_flight--;
                client_go_on(c);
        }
        return 0;
}

static void fill(Client *c, Op *op)
{
        op->n = op->kind == OP_TRANSACTION ? (uint8_t) (2 + draw(&c->random, STEPS_MAX - 1))
                : op->kind == OP_WRITE     ? 1
                                           : 0;
        if (op->n > 0) {
                must((op->steps = calloc(op->n, sizeof(Step))) != NULL);
                must((op->answers = calloc(op->n, sizeof(StepAnswer))) != NULL);
        }
        for (unsigned i = 0; i < op->n; i++)
                op->steps[i] = random_step(c, op->kind == OP_TRANSACTION);
        if (op->kind == OP_WRITE && chance(c, 20)) {
                *op->steps = random_pair_step(c);
                op->accepted = chance(c, 30);
        }
        if (op->kind == OP_GET) {
                must((op->items = calloc(1, sizeof(Item))) != NULL);
                op->accepted = chance(c, 20);
                op->items->key = op->accepted ? random_pair(c) : random_key(c);
                op->n_items = 1;
        }
        op->list_type = (int) draw(&c->random, N_TYPES);
        op->list_space = (int) draw(&c->random, N_SPACES + 1) - 1;
        op->list_color = (int) draw(&c->random, 2 * N_COLORS) - N_COLORS;
        op->list_color = MAX(op->list_color, -1);
        if (op->kind == OP_LIST && chance(c, 15))
                op->list_at = c->run->known[random_key(c)].revision;
}

static void send_call(Client *c, size_t i, const char *token)
{
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Call *call = malloc(sizeof(*call));
        sd_bus_slot *slot;

        must(call != NULL);
        *call = (Call){ c, c->generation, i };
        m = op_is_of_pair(&c->run->r->ops[i]) ? message_of_pair(c, &c->run->r->ops[i])
                                              : message_of(c, &c->run->r->ops[i], token);
        must(sd_bus_call_async(c->bus, &slot, m, on_answer, call, 60 * USEC_PER_SEC) >= 0);
        must(sd_bus_slot_set_destroy_callback(slot, free_call) >= 0);
        must(sd_bus_slot_set_floating(slot, true) >= 0);
        sd_bus_slot_unref(slot);
}

static void make_call(Client *c)
{
        uint32_t dice = draw(&c->random, 100);
        OpKind kind = dice < 58   ? OP_WRITE
                      : dice < 72 ? OP_TRANSACTION
                      : dice < 94 ? OP_GET
                                  : OP_LIST;
        size_t i = recording_add(c->run->r, kind, c->index);

        fill(c, &c->run->r->ops[i]);
        send_call(c, i, "");
        c->in_flight++;
        c->run->made++;
}

void client_go_on(Client *c)
{
        while (c->bus && c->run->served && c->in_flight < IN_FLIGHT &&
                        c->run->made < c->run->target)
                make_call(c);
}

void client_connect(Client *c)
{
        must(sd_bus_open_system(&c->bus) >= 0);
        must(sd_bus_attach_event(c->bus, c->run->event, SD_EVENT_PRIORITY_NORMAL) >= 0);
}

void client_drop(Client *c)
{
        c->run->done += c->in_flight;
        c->in_flight = 0;
        c->generation++;
        c->bus = sd_bus_close_unref(c->bus);
}
