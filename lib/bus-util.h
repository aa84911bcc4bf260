/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Connections: opening, reconnecting. The bus is a public face, never a condition for work: a
 * daemon whose bus is gone goes on and comes back by itself. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unrefpp, sd_bus_flush_close_unref);
DEFINE_CLEANUP(sd_bus *, sd_bus_close_unrefpp, sd_bus_close_unref);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unrefpp, sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sd_bus_slot_unrefpp, sd_bus_slot_unref);
DEFINE_CLEANUP(sd_event_source *, sd_event_source_disable_unrefpp, sd_event_source_disable_unref);
DEFINE_CLEANUP(sd_event *, sd_event_unrefpp, sd_event_unref);

typedef struct BusLink BusLink;

/* Called with a fresh, started connection: add vtables and matches, request names (asynchronously).
 * A negative return drops the connection and tries again later. */
typedef int (*BusLinkConnected)(sd_bus *bus, void *userdata);
/* Called when it is gone, before it is dropped: forget every slot and message. */
typedef void (*BusLinkDisconnected)(void *userdata);

/* Keeps one asynchronous system-bus connection on @event: connects in the background, reconnects
 * with backoff 50 ms … 5 s. @description names it for debugging. */
int bus_link_new(sd_event *event, const char *description, BusLinkConnected connected,
                BusLinkDisconnected disconnected, void *userdata, BusLink **ret);
BusLink *bus_link_free(BusLink *l);
sd_bus *bus_link_get(BusLink *l); /* NULL while there is none */
DEFINE_CLEANUP(BusLink *, bus_link_freep, bus_link_free);

/* Whether @m was sent by the bus itself. A signal that somebody sends to our own name arrives
 * without a match of ours, and sd-bus takes a match with a well-known sender for true: who listens
 * to NameOwnerChanged asks this first. */
bool bus_message_is_from_bus(sd_bus_message *m);

/* A blocking connection to the system bus for a command line client. Unavailable or TimedOut in
 * @reterr. */
int bus_open_client(sd_bus **ret, sd_bus_error *reterr);

/* Prints the introspection XML of one object's vtables to standard output, for --introspect. */
typedef struct BusInterface {
        const char *name;
        const sd_bus_vtable *vtable;
} BusInterface;
int bus_print_introspection(const char *path, const BusInterface *interfaces, size_t n);
