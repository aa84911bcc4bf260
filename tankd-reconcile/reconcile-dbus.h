/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two files of bus objects: the manager's (reconcile-dbus.c) and those of pods and containers
 * (reconcile-dbus-pod.c), which are found from their path, never registered one by one. */

#include "reconcile.h"

extern const sd_bus_vtable pod_vtable[];
extern const sd_bus_vtable container_vtable[];

int pod_objects_add(Manager *m, sd_bus *bus);
void pod_announce(PodEntry *p);
