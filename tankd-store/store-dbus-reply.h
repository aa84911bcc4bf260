/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A call that is answered behind its handler. Its message is kept until then, or until the
 * connection goes: then the Reply stays without one, and what was begun comes to its end all the
 * same. Embedded by whoever has more to remember. */

#include "store-dbus-internal.h"

struct Reply {
        StoreBus *bus;
        Reply *next, **link;
        sd_bus_message *message; /* NULL: nobody waits any more */
        MetricsCall call;        /* the owner's to begin and to end */
};

void reply_init(Reply *r, StoreBus *b, sd_bus_message *m);
void reply_done(Reply *r);
/* Alone, on the heap. NULL without memory. */
Reply *reply_new(StoreBus *b, sd_bus_message *m);
void reply_free(Reply *r);
