/* SPDX-License-Identifier: Apache-2.0 */

/* See store-dbus-operations.h. */

#include "store-dbus-operations.h"

#include "limit.h"
#include "macro.h"

#define PARTS "sa{sv}"

static int make_room(char **operations, size_t n, size_t *allocated, size_t size)
{
        size_t wanted = MAX(2 * *allocated, (size_t) 16);
        char *grown;

        if (n < *allocated)
                return 0;
        grown = reallocarray(*operations, wanted, size);
        if (!grown)
                return -ENOMEM;
        *operations = grown;
        *allocated = wanted;
        return 0;
}

int store_bus_read_operations(sd_bus_message *m, size_t size, ReadOperation read, void **ret,
                size_t *ret_n, size_t *reterr_index, sd_bus_error *reterr)
{
        CLEANUP_FREE char *operations = NULL;
        size_t n = 0, allocated = 0;
        int r;

        r = make_room(&operations, 0, &allocated, size);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(" PARTS ")");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', PARTS)) > 0) {
                if (n > LIMIT_TRANSACTION_OPS)
                        r = sd_bus_message_skip(m, PARTS);
                else if ((r = make_room(&operations, n, &allocated, size)) >= 0) {
                        memset(operations + n * size, 0, size);
                        *reterr_index = n;
                        r = read(m, operations + n * size, reterr);
                        n++;
                }
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(operations);
        *ret_n = n;
        *reterr_index = SIZE_MAX;
        return 0;
}
