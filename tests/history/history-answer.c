/* SPDX-License-Identifier: Apache-2.0 */

/* What came of a call, into the recording. */

#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "history-run.h"
#include "quantity.h"

static Change change_from(const char *s)
{
        for (Change c = 0; c < _CHANGE_MAX; c++)
                if (streq(s, change_names[c]))
                        return c;
        must(!"a word for a change");
        return _CHANGE_MAX;
}

static void know(Run *u, Key key, uint32_t revision, uint32_t tag)
{
        u->known[key].revision = revision;
        if (tag > 0)
                u->known[key].tag = tag;
}

/* Accepted alone, it may still be lost. */
static void read_pair_write(Op *op, sd_bus_message *m)
{
        uint64_t revision;
        int existed = true;

        if (op->steps->verb == VERB_DELETE)
                must(sd_bus_message_read(m, "b", &existed) >= 0);
        must(sd_bus_message_read(m, "t", &revision) >= 0);
        op->revision = (uint32_t) revision;
        *op->answers = (StepAnswer){ .change = op->steps->verb == VERB_APPLY ? CHANGE_UPDATED
                                               : existed                     ? CHANGE_DELETED
                                                                             : CHANGE_ABSENT,
                .revision = existed ? (uint32_t) revision : 0 };
        if (op->accepted)
                op->result = RESULT_UNKNOWN;
}

static void read_pair_get(Run *u, Op *op, sd_bus_message *m)
{
        uint64_t revision, expires, tag = 0;
        const void *value;
        char text[16] = "";
        size_t size;
        int found;

        must(sd_bus_message_read(m, "b", &found) >= 0);
        must(sd_bus_message_read_array(m, 'y', &value, &size) >= 0 && size < sizeof(text));
        must(sd_bus_message_read(m, "tt", &revision, &expires) >= 0);
        memcpy(text, value, size);
        must(!found || parse_u64(text, &tag) >= 0);
        op->items->revision = found ? (uint32_t) revision : 0;
        op->items->tag = (uint32_t) tag;
        know(u, op->items->key, op->items->revision, 0);
}

static void read_write(Op *op, sd_bus_message *m)
{
        const char *uid, *changed = "created";
        uint64_t generation = 0, revision;
        int existed;

        if (op->steps->verb == VERB_DELETE) {
                must(sd_bus_message_read(m, "bt", &existed, &revision) >= 0);
                changed = existed ? "deleted" : "absent";
        } else {
                must(sd_bus_message_read(m, "stt", &uid, &generation, &revision) >= 0);
                if (op->steps->verb != VERB_CREATE)
                        must(sd_bus_message_read(m, "s", &changed) >= 0);
        }
        op->revision = (uint32_t) revision;
        *op->answers = (StepAnswer){ change_from(changed), (uint32_t) revision,
                (uint32_t) generation };
        if (op->answers->change == CHANGE_ABSENT)
                op->answers->revision = 0; /* what is told is that of the database */
}

static void read_transaction(Op *op, sd_bus_message *m)
{
        uint64_t generation, revision;
        const char *uid, *changed;

        must(sd_bus_message_read(m, "t", &revision) >= 0);
        op->revision = (uint32_t) revision;
        must(sd_bus_message_enter_container(m, 'a', "(stts)") >= 0);
        for (unsigned i = 0; i < op->n; i++) {
                must(sd_bus_message_read(m, "(stts)", &uid, &generation, &revision, &changed) > 0);
                op->answers[i] = (StepAnswer){ change_from(changed), (uint32_t) revision,
                        (uint32_t) generation };
        }
}

static void read_get(Run *u, Op *op, sd_bus_message *m)
{
        Key key = op->items->key;
        const char *text;
        uint64_t uid;

        must(sd_bus_message_read(m, "s", &text) >= 0);
        must(document_read(text, op->items, &uid));
        must(op->items->key == key);
        know(u, key, op->items->revision, op->items->tag);
}

/* A page of it; the token of the next one. */
static const char *read_list(Op *op, sd_bus_message *m)
{
        const char *text, *next;
        uint64_t uid, revision;

        if (!op->items)
                must((op->items = calloc(N_KEYS, sizeof(Item))) != NULL);
        must(sd_bus_message_enter_container(m, 'a', "s") >= 0);
        while (sd_bus_message_read(m, "s", &text) > 0) {
                must(op->n_items < N_KEYS);
                must(document_read(text, &op->items[op->n_items++], &uid));
        }
        must(sd_bus_message_exit_container(m) >= 0);
        must(sd_bus_message_read(m, "st", &next, &revision) >= 0);
        must(op->revision == 0 || op->revision == revision);
        op->revision = (uint32_t) revision;
        return next;
}

static void know_all(Run *u, const Op *op)
{
        for (unsigned i = 0; i < op->n; i++)
                know(u, op->steps[i].key,
                                op->answers[i].change == CHANGE_DELETED ? 0
                                                                        : op->answers[i].revision,
                                op->steps[i].tag);
}

/* ---- errors ---- */

bool never_arrived(const sd_bus_error *e)
{
        return sd_bus_error_has_names(
                        e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
}

bool nobody_answered(const sd_bus_error *e)
{
        return sd_bus_error_has_names(
                        e, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_DISCONNECTED, SD_BUS_ERROR_TIMEOUT);
}

/* The sentence has it for people, and here for a program: whether it can have happened. */
static bool leaves_it_open(const sd_bus_error *e)
{
        return sd_bus_error_has_name(e, TANK_ERROR_DEGRADED) &&
               strstr(e->message, "whether it counts");
}

static Refusal refusal_of(const sd_bus_error *e)
{
        static const struct {
                const char *name;
                Refusal refusal;
        } table[] = {
                { TANK_ERROR_NOT_FOUND, REFUSAL_NOT_FOUND },
                { TANK_ERROR_ALREADY_EXISTS, REFUSAL_ALREADY_EXISTS },
                { TANK_ERROR_CONFLICT, REFUSAL_CONFLICT },
                { TANK_ERROR_INVALID_ARGUMENT, REFUSAL_INVALID_ARGUMENT },
                { TANK_ERROR_FAILED_PRECONDITION, REFUSAL_FAILED_PRECONDITION },
                { TANK_ERROR_DEGRADED, REFUSAL_STATE },
                { TANK_ERROR_BUSY, REFUSAL_STATE },
                { TANK_ERROR_LIMIT_EXCEEDED, REFUSAL_STATE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (sd_bus_error_has_name(e, table[i].name))
                        return table[i].refusal;
        return REFUSAL_NONE;
}

static void read_refusal(Run *u, Op *op, sd_bus_message *m, const sd_bus_error *e)
{
        const char *sentence;
        uint64_t revision;
        uint32_t index = 0;

        op->result = RESULT_REFUSED;
        op->refusal = refusal_of(e);
        if (op->refusal == REFUSAL_NONE) {
                (void) fprintf(stderr, "history: unexpected error: %s: %s\n", e->name, e->message);
                u->unexpected++;
                op->result = RESULT_UNKNOWN;
                return;
        }
        if (op->kind == OP_GET && op->refusal == REFUSAL_NOT_FOUND) {
                op->result = RESULT_OK; /* it is not there */
                op->refusal = REFUSAL_NONE;
                know(u, op->items->key, 0, 0);
                return;
        }
        must(sd_bus_message_rewind(m, true) >= 0);
        must(sd_bus_message_read(m, "s", &sentence) >= 0);
        if (sd_bus_message_read(m, "u", &index) > 0)
                op->refused_step = (uint8_t) index;
        if (op->refusal != REFUSAL_CONFLICT && op->refusal != REFUSAL_ALREADY_EXISTS)
                return;
        must(sd_bus_message_read(m, "t", &revision) > 0);
        op->has_refused_revision = true;
        op->refused_revision = (uint32_t) revision;
}

static const char *read_answer(Run *u, Op *op, sd_bus_message *m)
{
        const char *next = "";

        if (op_is_of_pair(op)) {
                if (op->kind == OP_GET)
                        read_pair_get(u, op, m);
                else
                        read_pair_write(op, m);
                know_all(u, op);
                return "";
        }
        switch (op->kind) {
        case OP_WRITE: read_write(op, m); break;
        case OP_TRANSACTION: read_transaction(op, m); break;
        case OP_GET: read_get(u, op, m); break;
        case OP_LIST: next = read_list(op, m); break;
        case OP_CHANGES:
        case OP_SIGNAL: must(!"a call of a client"); break;
        }
        know_all(u, op);
        return next;
}

const char *answer_read(Run *u, Op *op, sd_bus_message *m)
{
        const sd_bus_error *e = sd_bus_message_get_error(m);
        const char *next = "";

        if (e && nobody_answered(e))
                return "";
        if (!e) {
                op->result = RESULT_OK;
                next = read_answer(u, op, m);
        } else if (never_arrived(e)) {
                op->result = RESULT_REFUSED;
                op->refusal = REFUSAL_STATE;
        } else if (leaves_it_open(e))
                op->result = RESULT_UNKNOWN;
        else
                read_refusal(u, op, m, e);
        if (!*next)
                op->answered = ++u->r->now;
        return next;
}
