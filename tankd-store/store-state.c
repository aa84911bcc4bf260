/* SPDX-License-Identifier: Apache-2.0 */

/* What the store can do now, with one setter.
 *
 *   ok      everything
 *   full    the disk is full. RocksDB's handle never heals, so the database was closed, the
 *           ballast given up and the database opened anew: deletes are taken. Every write that
 *           asks looks whether there is room again; nothing polls.
 *   crammed the room that the ballast left was taken by others, too: the database could be opened
 *           for reading only. Every write that asks looks whether there is room to open it.
 *   broken  reads only, until the daemon is started anew.
 *
 * All but the first are "degraded" on the bus. */

#include "store.h"

#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "log.h"
#include "store-internal.h"

bool store_is_degraded(const Store *s)
{
        return s->state != STORE_OK;
}

const char *store_degraded_reason(const Store *s)
{
        return s->reason;
}

void store_set_state(Store *s, StoreState state, const char *format, ...)
{
        bool was = store_is_degraded(s);
        va_list ap;

        free(s->reason);
        s->reason = NULL;
        va_start(ap, format);
        /* Without memory for the reason the state alone has to say it. */
        if (vasprintf(&s->reason, format, ap) < 0)
                s->reason = NULL;
        va_end(ap);

        s->state = state;
        if (state == STORE_OK) {
                log_notice("writes are taken again: %s", strempty(s->reason));
                free(s->reason);
                s->reason = NULL;
        } else
                log_error("degraded: %s", strempty(s->reason));
        if (was != store_is_degraded(s) && s->hooks.state_changed)
                s->hooks.state_changed(s->hooks.userdata);
}

/* With room again the ballast comes first: what is written next may fill the disk. */
static void try_leave_full(Store *s)
{
        int r;

        if (!guard_has_room(s->guard) || guard_take_ballast(s->guard) < 0)
                return;
        /* Of a start on the full disk it may be missing. */
        r = guard_has_witness(s->guard)
                            ? 0
                            : guard_start_witness(s->guard, s->database_id, s->revision);
        if (r < 0)
                (void) log_warning_errno(r, "cannot write %s/witness, going on without", s->dir);
        store_set_state(s, STORE_OK, "the disk has room again");
}

int store_check_writable(Store *s, bool is_delete, sd_bus_error *reterr)
{
        /* Nothing is under way in this state, so that the database can be exchanged. */
        if (s->state == STORE_CRAMMED && guard_has_room_to_open(s->guard))
                (void) store_reopen(s);
        if (s->state == STORE_FULL)
                try_leave_full(s);
        if (s->state == STORE_OK || (s->state == STORE_FULL && is_delete))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_DEGRADED, "the store takes no %s: %s",
                        s->state == STORE_FULL ? "new content" : "writes", strempty(s->reason));
}
