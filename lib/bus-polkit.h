/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Asks polkit whether a caller may do something, when nothing else has decided. Every question is
 * an asynchronous call; what was answered is the asker's to remember, until polkit says that it may
 * answer otherwise now. A machine without polkit is one where it grants nothing. */

#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct BusPolkit BusPolkit; /* one for each connection */

/* What was answered before may not hold any more: its rules or sessions changed, or another polkit
 * runs. Also called when there is none any more. */
typedef void (*BusPolkitChanged)(void *userdata);

/* Nothing is asked of the bus before the first question. */
int bus_polkit_new(sd_bus *bus, BusPolkitChanged changed, void *userdata, BusPolkit **ret);
BusPolkit *bus_polkit_free(BusPolkit *p); /* no question must be under way */
DEFINE_CLEANUP(BusPolkit *, bus_polkit_freep, bus_polkit_free);

typedef struct BusPolkitAnswer {
        bool granted;
        bool for_once;       /* granted by somebody's password, for this one time */
        bool challenge;      /* not granted, and somebody's password might help */
        bool lasting;        /* holds until polkit says that something changed */
        const char *trouble; /* why it could not be asked; NULL */
} BusPolkitAnswer;

typedef void (*BusPolkitAnswered)(const BusPolkitAnswer *answer, void *userdata);

/* Whether the connection with the unique name @caller may do @action; @interactive: people may be
 * asked for a password, which takes its time. Calls @answered once, unless *ret_slot is dropped
 * before. */
int bus_polkit_ask(BusPolkit *p, const char *caller, const char *action, bool interactive,
                BusPolkitAnswered answered, void *userdata, sd_bus_slot **ret_slot);
