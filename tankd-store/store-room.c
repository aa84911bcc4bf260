/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a write may begin. On a disk that was full, or was read-only, it is looked at before
 * whether there is room again, and once: it can be that the database is exchanged for it, with
 * writes in it that were told as failed, so nothing may have been looked up yet. What the states
 * are stands in store-state.c, how the database is exchanged in store-open.c. */

#include "error.h"
#include "log.h"
#include "store-internal.h"

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

static void try_leave_read_only(Store *s)
{
        if (!db_is_stuck(s->db)) {
                (void) store_reopen(s);
                return;
        }
        log_notice("the file system of %s can be written to again, and the database cannot be "
                   "opened "
                   "anew in this process: ending, to be started again",
                        s->dir);
        (void) sd_event_exit(s->event, STORE_EXIT_AGAIN);
}

void store_try_writable(Store *s)
{
        store_look_for_damage(s);
        /* Nothing is under way in these states, so that the database can be exchanged. */
        if (s->state == STORE_CRAMMED && guard_has_room_to_open(s->guard))
                (void) store_reopen(s);
        if (s->state == STORE_READ_ONLY && guard_may_write(s->guard))
                try_leave_read_only(s);
        if (s->state == STORE_FULL)
                try_leave_full(s);
}

int store_check_writable(Store *s, bool is_delete, sd_bus_error *reterr)
{
        store_look_for_damage(s);
        if (s->state == STORE_OK || (s->state == STORE_FULL && is_delete))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_DEGRADED, "the store takes no %s: %s",
                        s->state == STORE_FULL ? "new content" : "writes", strempty(s->reason));
}
