/* SPDX-License-Identifier: Apache-2.0 */

/* What the store is and says of itself; and what it can do now, with one setter.
 *
 *   ok      everything
 *   full    the disk is full. RocksDB's handle never heals, so the database was closed, the
 *           ballast given up and the database opened anew: deletes are taken. Every write
 *           looks first whether there is room again; nothing polls.
 *   crammed the room that the ballast left was taken by others, too: the database could be opened
 *           for reading only. Every write looks first whether there is room to open it.
 *   read-only  its file system takes no writes. Every write looks first whether it does again, and
 *           then the database is opened anew.
 *   broken  reads only, until the daemon is started anew; or, closed, not even those.
 *
 * All but the first are "degraded" on the bus. */

#include "store.h"

#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "log.h"
#include "store-internal.h"

const char *store_database_id(const Store *s)
{
        return s->closed ? "" : s->database_id;
}

uint64_t store_revision(const Store *s)
{
        return s->closed ? 0 : s->revision;
}

uint64_t store_compacted_revision(const Store *s)
{
        return s->compacted;
}

int store_write_failed(const Store *s, int error, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "the write could not be made durable in %s: %s; whether it counts will be "
                        "known when the store is well again: read it back then",
                        store_place(s),
                        error == -ENOSPC ? "the disk is full: make room" : errno_words(error));
}

int store_refuse_after_failure(int error, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_DEGRADED,
                        "an earlier write failed (%s): try again in a moment", errno_words(error));
}

const char *store_place(const Store *s)
{
        return s->dir ? s->dir : "memory";
}

bool store_is_closed(const Store *s)
{
        return s->closed;
}

bool store_is_in_memory(const Store *s)
{
        return !s->dir;
}

/* Whoever reads finds the damage; whoever asks next is told of it. */
void store_look_for_damage(Store *s)
{
        if (s->state != STORE_BROKEN && s->db && db_is_damaged(s->db))
                store_set_damaged(s);
}

void store_set_damaged(Store *s)
{
        store_set_state(s, STORE_BROKEN,
                        "the database in %s is damaged: what can be read is served; \"tankctl "
                        "store "
                        "verify\" tells what cannot; restore a copy of it, then restart "
                        "tankd-store",
                        store_place(s));
}

bool store_is_degraded(Store *s)
{
        store_look_for_damage(s);
        return s->state != STORE_OK;
}

const char *store_degraded_reason(Store *s)
{
        store_look_for_damage(s);
        return s->reason;
}

void store_set_state(Store *s, StoreState state, const char *format, ...)
{
        bool was = s->state != STORE_OK;
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
        if (was != (state != STORE_OK) && s->hooks.state_changed)
                s->hooks.state_changed(s->hooks.userdata);
}

void store_set_read_only(Store *s)
{
        store_set_state(s, STORE_READ_ONLY,
                        "the file system of %s is read-only: mount it for writing (mount -o "
                        "remount,rw); writes are taken again once it is",
                        s->dir);
}
