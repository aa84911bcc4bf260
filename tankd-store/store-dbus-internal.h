/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the store-dbus*.c files; nobody else includes it. */

#include <systemd/sd-bus.h>

#include "bus-access.h"
#include "bus-util.h"
#include "store-census.h"
#include "store-dbus.h"
#include "store-metrics.h"

#define STORE_BUS_INTERFACES 4U /* at most */

typedef struct Reply Reply;     /* a call that is answered later */
typedef struct Listing Listing; /* a list or a count that is not answered yet */

struct StoreBus {
        Store *store;
        BusLink *link;
        BusAccess *access;
        Metrics *metrics;
        Census *census;
        sd_bus_slot *vtable_slots[STORE_BUS_INTERFACES], *name_slot, *acquired_slot, *closed_slot;
        Reply *replies;
        Listing *listings;
        StoreBusNamed named;
        void *userdata;
};

typedef struct StoreBusApply {
        bool create_namespaces;
        uint64_t deadline_usec; /* UINT64_MAX: none */
} StoreBusApply;

static inline BusAccess *store_bus_access(void *userdata)
{
        return ((StoreBus *) userdata)->access;
}

/* store-dbus-reply.c */
/* The connection is gone: nobody waits for an answer any more. */
void store_bus_forget_callers(StoreBus *b);

/* store-dbus-write.c */
int store_method_create(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_apply(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_update(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_delete(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_rollback(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_transaction(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
/* TimedOut when @deadline_usec (CLOCK_BOOTTIME; UINT64_MAX: none) is over: asked before anything is
 * done, so that nothing has happened. */
int store_bus_check_deadline(uint64_t deadline_usec, sd_bus_error *reterr);
/* Applies one operation of the store's own making, answered as Apply is; @o is borrowed. Returns
 * what the handler returns. */
int store_bus_apply(StoreBus *b, sd_bus_message *m, const BusCaller *caller,
                const StoreOperation *o, const StoreBusApply *options, sd_bus_error *reterr);

/* store-dbus-query.c */
int store_method_list(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_count(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
/* The connection is gone: nobody waits for a list any more. */
void store_bus_forget_listings(StoreBus *b);

/* store-dbus-read.c */
/* InvalidArgument for an option "limit" of 0. */
int store_bus_check_limit(bool given, uint32_t limit, sd_bus_error *reterr);
int store_method_get(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_resolve(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_get_version(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_history(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_method_get_changes(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

/* store-dbus-secrets.c */
extern const sd_bus_vtable store_secrets_vtable[];
