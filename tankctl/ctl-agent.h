/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is refused to somebody at a terminal may be granted for a password. The call is then made
 * once more, and says that people may be asked; for as long as it takes, polkit's agent for
 * terminals runs, where there is one: a desktop has its own. */

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct Agent {
        pid_t pid; /* 0: none; a child of ours, not yet waited for */
} Agent;

void agent_done(Agent *a);

/* Longer than polkit is given for it. */
#define AGENT_CALL_USEC (UINT64_C(150) * 1000000U)

/* The refused call @m, whose error is @e, as one that people may be asked about, in *ret; nothing
 * is in it when there is nobody to be asked. */
int agent_prepare(Agent *a, sd_bus *bus, sd_bus_message *m, const sd_bus_error *e,
                sd_bus_message **ret);

/* sd_bus_call(), and again with the agent when that may help. */
int agent_call(sd_bus *bus, sd_bus_message *m, sd_bus_message **ret, sd_bus_error *reterr);
