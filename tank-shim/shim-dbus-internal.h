/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the run's object on the bus: shim-dbus.c has the connection, the vtable and
 * the properties, and knows the others; each of those answers some of the methods. */

#include "bus-access.h"
#include "bus-util.h"
#include "shim-dbus.h"

typedef struct ExecCall ExecCall;

struct ShimBus {
        Shim *shim;
        BusLink *link;
        BusAccess *access; /* of the connection there is */
        sd_event_source *changed_source;
        ExecCall *calls; /* that wait for their terminal */
};

/* What acts inside a pod with privileged fields needs the right to them, too. */
int shim_bus_check_privileged(const ShimBus *b, const BusCaller *caller, sd_bus_error *reterr);

/* "hah": what a session is answered with. */
int shim_bus_append_streams(sd_bus_message *m, int control, const int *stdio, size_t n_stdio);

/* Methods, for the vtable. */
int shim_bus_method_exec(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int shim_bus_method_attach(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int shim_bus_method_list_sessions(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int shim_bus_method_open_session(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int shim_bus_method_kill_session(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

/* A signal that is none: InvalidArgument. */
int shim_bus_read_signal(sd_bus_message *m, int *ret, sd_bus_error *reterr);

/* The connection is gone: calls that wait are answered to nobody. */
void shim_bus_calls_disconnected(ShimBus *b);
/* @b is about to be freed. */
void shim_bus_calls_orphan(ShimBus *b);
