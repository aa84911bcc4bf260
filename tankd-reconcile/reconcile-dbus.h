/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of bus objects: the manager's (reconcile-dbus.c, with its pages of events in
 * reconcile-dbus-event.c) and those of pods and containers (reconcile-dbus-pod.c), which are found
 * from their path, never registered one by one. */

#include "reconcile-model.h"

extern const sd_bus_vtable pod_vtable[];
extern const sd_bus_vtable container_vtable[];

int method_list_events_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr);
int get_event_sequence(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr);

int pod_objects_add(Manager *m, sd_bus *bus);
void pod_announce(PodEntry *p);

int manager_bus_connected(sd_bus *bus, void *userdata);
void manager_bus_disconnected(void *userdata);
void manager_announce(Manager *m); /* sends PropertiesChanged for all that is queued */
void manager_ready_without_bus(Manager *m);
int manager_print_introspection(void);
