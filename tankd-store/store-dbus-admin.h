/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Of store-dbus.c, which serves it. */

#include "store-dbus-internal.h"

extern const sd_bus_vtable store_admin_vtable[];
