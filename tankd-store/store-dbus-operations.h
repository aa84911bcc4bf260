/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The operations of one call, "a(sa{sv})": each a verb and its parts by name. */

#include <systemd/sd-bus.h>

/* One of them, from inside its struct, into zeroed memory. */
typedef int (*ReadOperation)(sd_bus_message *m, void *ret, sd_bus_error *reterr);

/* *@ret: *@ret_n of them, @size bytes each, with room for one at least; the caller frees it. One
 * more than LIMIT_TRANSACTION_OPS is read, for the store to refuse; the rest is passed over.
 * *@reterr_index: the one at fault, when @read failed. */
int store_bus_read_operations(sd_bus_message *m, size_t size, ReadOperation read, void **ret,
                size_t *ret_n, size_t *reterr_index, sd_bus_error *reterr);
