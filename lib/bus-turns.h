/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Turns: calls of many senders that arrive on one connection, in a row, are served one sender at a
 * time, so that who sends a thousand at once waits for them himself.
 *
 * What has arrived is read first, as long as there is more of it, and waits in its sender's queue;
 * then each sender in turn has one call served. Whoever's queue is full is refused, which costs
 * less than to serve him. Nothing is served while answers wait for the bus to take them: they leave
 * in the order in which they were made. Below bus-access, which knows who the senders are. */

#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct BusTurns BusTurns; /* one for each connection */
typedef struct BusWaiting BusWaiting;

/* What has to be known to serve a call, beside its message. */
typedef struct BusCall {
        int right;
        void (*handler)(void); /* cast by who made it */
        void *userdata;
        uint64_t arrived_usec; /* for who measures */
} BusCall;

/* The calls of one sender that wait, in order. Embedded; all zero is empty. */
typedef struct BusQueue BusQueue;
struct BusQueue {
        BusQueue *next; /* in turn */
        bool in_turn, held;
        unsigned n;
        size_t bytes;
        BusWaiting *first, *last;
};

typedef void (*BusTurnServe)(BusQueue *q, sd_bus_message *m, const BusCall *call, void *userdata);

int bus_turns_new(sd_bus *bus, BusTurnServe serve, void *userdata, BusTurns **ret);
BusTurns *bus_turns_free(BusTurns *t); /* every queue must have been cleared */

/* Nobody waits for his turn and nothing more has arrived: a call can be served at once. */
bool bus_turns_idle(BusTurns *t);
/* -ENOBUFS: it is refused, as too much waits already. */
int bus_queue_add(BusTurns *t, BusQueue *q, sd_bus_message *m, const BusCall *call);
/* @m, which is being served, cannot be decided yet: it goes back to where it was, and nothing of
 * its sender is served before bus_queue_ready(). Who may do nothing so far can be held for long:
 * all that is held has room of its own, and takes none of the others'. -EBUSY: not even that. */
int bus_queue_hold(BusTurns *t, BusQueue *q, sd_bus_message *m, const BusCall *call);
/* It may be served: its sender is known. */
void bus_queue_ready(BusTurns *t, BusQueue *q);
/* Calls @func for each call that waits, and forgets them. */
void bus_queue_clear(BusTurns *t, BusQueue *q, void (*func)(sd_bus_message *m));
/* The bus does not take our answers: not even a refusal is worth one. */
bool bus_turns_choked(BusTurns *t);
