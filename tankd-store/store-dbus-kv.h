/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the store-dbus-kv*.c files, and store-dbus.c that serves them. */

#include "store-dbus-internal.h"
#include "store-kv.h"

/* store-dbus-kv.c */
extern const sd_bus_vtable store_kv_vtable[];
/* A batch is durable; NULL: something changed. */
void store_bus_kv_changed(StoreBus *b, sd_bus *bus, const CommitBatch *batch);

/* store-dbus-kv-read.c */
int kv_method_get(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int kv_method_list(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int kv_method_stores(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int kv_method_get_changes(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
