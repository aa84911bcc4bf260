/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the store-dbus-*.c files that make up org.tankd.Store1.Admin, and store-dbus.c, which
 * serves it. */

#include "store-dbus-internal.h"

/* store-dbus-admin.c */
extern const sd_bus_vtable store_admin_vtable[];

/* store-dbus-keep.c */
int store_admin_method_backup(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_export(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_import(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_verify(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_compact(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_set_retention(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_get_retention(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_set_log_retention(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_get_log_retention(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int store_admin_method_reset(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
