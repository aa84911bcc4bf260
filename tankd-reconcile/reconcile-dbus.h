/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two files of bus objects: the manager's (reconcile-dbus.c) and those of pods and containers
 * (reconcile-dbus-pod.c), which are found from their path, never registered one by one. */

#include "reconcile-model.h"

extern const sd_bus_vtable pod_vtable[];
extern const sd_bus_vtable container_vtable[];

int pod_objects_add(Manager *m, sd_bus *bus);
void pod_announce(PodEntry *p);

int manager_bus_connected(sd_bus *bus, void *userdata);
void manager_bus_disconnected(void *userdata);
void manager_announce(Manager *m); /* sends PropertiesChanged for all that is queued */
void manager_ready_without_bus(Manager *m);
int manager_print_introspection(void);
