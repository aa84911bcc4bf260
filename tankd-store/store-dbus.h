/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store's face on the bus. */

#include "store.h"

typedef struct StoreBus StoreBus;

/* Serves @s on every connection that comes up. @named is called when the name is held. */
typedef void (*StoreBusNamed)(void *userdata);
int store_bus_new(sd_event *event, Store *s, StoreBusNamed named, void *userdata, StoreBus **ret);
StoreBus *store_bus_free(StoreBus *b); /* gives the name up; the store's writes must be done */
DEFINE_CLEANUP(StoreBus *, store_bus_freep, store_bus_free);

/* The vtable as XML on standard output. */
int store_bus_introspect(void);
