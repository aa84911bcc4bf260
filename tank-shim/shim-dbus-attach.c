/* SPDX-License-Identifier: Apache-2.0 */

/* Attach, as it is called over the bus: options in, descriptors out. What an attached client is:
 * shim-attach.c. */

#include <inttypes.h>

#include "bus-options.h"
#include "error.h"
#include "shim-dbus-internal.h"
#include "shim.h"

static int read_size(uint32_t rows, uint32_t cols, AttachRequest *q, sd_bus_error *reterr)
{
        if (rows > UINT16_MAX || cols > UINT16_MAX)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "a window of %" PRIu32 " rows and %" PRIu32
                                " columns: neither is more than %d",
                                rows, cols, UINT16_MAX);
        q->sized = true;
        q->rows = (uint16_t) rows;
        q->cols = (uint16_t) cols;
        return 0;
}

static int read_request(sd_bus_message *m, AttachRequest *ret, sd_bus_error *reterr)
{
        AttachRequest q = { .scrollback = true };
        const char *mode = "writer";
        uint32_t rows = 0, cols = 0;
        bool has_rows = false, has_cols = false;
        const BusOption options[] = {
                { "mode", 's', &mode, NULL },
                { "rows", 'u', &rows, &has_rows },
                { "cols", 'u', &cols, &has_cols },
                { "scrollback", 'b', &q.scrollback, NULL },
        };
        int r;

        r = bus_read_options(m, options, ARRAY_SIZE(options), reterr);
        if (r < 0)
                return r;
        if (!streq(mode, "writer") && !streq(mode, "viewer"))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "mode \"%.64s\": must be writer or viewer", mode);
        q.viewer = streq(mode, "viewer");
        if (has_rows != has_cols)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "rows and cols go together: give both, or none");
        if (has_rows && q.viewer)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "rows and cols: the window is the writer's, not a viewer's");
        r = has_rows ? read_size(rows, cols, &q, reterr) : 0;
        if (r < 0)
                return r;
        *ret = q;
        return 0;
}

static int method_attach_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(attach_opened_done) AttachOpened opened = ATTACH_OPENED_NULL;
        ShimBus *b = userdata;
        AttachRequest q;
        int r;

        r = shim_bus_check_privileged(b, caller, reterr);
        if (r < 0)
                return r;
        r = read_request(m, &q, reterr);
        if (r < 0)
                return r;
        r = shim_attach_open(b->shim->attaches, &q, &opened, reterr);
        if (r < 0)
                return r;
        /* Ours are closed when the answer has its own; without one, that is a client gone. */
        return sd_bus_reply_method_return(m, "uhh", opened.number, opened.control, opened.stream);
}

int shim_bus_method_attach(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ShimBus *b = userdata;

        return bus_access_dispatch(b->access, m, BUS_ATTACH, method_attach_authorized, b, reterr);
}
