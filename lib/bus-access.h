/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may do what: our own check on credentials of the caller, fetched asynchronously once for each
 * unique name (GetConnectionCredentials). sd-bus' default check makes a synchronous call for each
 * message, so every method is SD_BUS_VTABLE_UNPRIVILEGED and decided here. Fails closed: no
 * credentials, no access.
 *
 * Root may everything, and so may the daemon's own user, whose files and memory they are; group
 * `tank` everything but PRIVILEGED, SECRETS and ADMIN. For all else polkit is asked, for the action
 * org.tankd.RIGHT, and its answer remembered until it says that something changed: without polkit
 * nobody else may anything. Meanwhile the calls of this caller wait, and nobody else's. Only a call
 * that allows it makes polkit ask people for a password.
 *
 * Handler order: read → authorise → validate → mutate → reply. A handler may need another right
 * besides the one of its method, and asks with bus_caller_may(). When it answers AccessDenied, with
 * a sentence that names the right in quotes, and polkit may grant that one, it is called once more,
 * with the answer; so nothing may have happened before. */

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "macro.h"

typedef enum BusRight {
        BUS_INSPECT,
        BUS_MANAGE,
        BUS_ATTACH,
        BUS_SECRETS,
        BUS_ADMIN,
        BUS_PRIVILEGED,
        _BUS_RIGHT_MAX,
} BusRight;

typedef struct BusCaller {
        uid_t uid;
        bool root, group_tank;
        unsigned granted; /* rights, as bits, that polkit gives beyond these */
        unsigned open;    /* rights that it can still be asked for, for this call */
} BusCaller;

bool bus_caller_may(const BusCaller *c, BusRight right);
/* Whether an AccessDenied is not the last word: who answers by itself must not, but return it. */
bool bus_caller_is_open(const BusCaller *c, const sd_bus_error *e);

/* What acts inside a run of @pod whose document used privileged fields (@privileged) needs the
 * right to them besides its own: exec, attach, sessions, signals. AccessDenied in @reterr. */
int bus_caller_check_privileged(
                const BusCaller *c, bool privileged, const char *pod, sd_bus_error *reterr);

/* The group whose members have these rights. -ENOENT when the machine has none. Loads the name
 * service, so it is asked when somebody needs it. */
int tank_group(gid_t *ret);

typedef struct BusAccess BusAccess; /* one for each connection */

int bus_access_new(sd_bus *bus, BusAccess **ret);
BusAccess *bus_access_free(BusAccess *a); /* pending calls are answered with Unavailable */
DEFINE_CLEANUP(BusAccess *, bus_access_freep, bus_access_free);

/* Looks on while calls are served, to measure them: @begin before the handler, with the time at
 * which the call arrived (CLOCK_BOOTTIME), @end behind it. A call for which the caller has not the
 * right has both, too; one that waits for polkit begins again. */
typedef struct BusObserver {
        void (*begin)(sd_bus_message *m, uint64_t arrived_usec, void *userdata);
        void (*end)(bool failed, void *userdata);
        void *userdata;
} BusObserver;
void bus_access_observe(BusAccess *a, const BusObserver *o); /* copied */
/* Nobody's call waits, read or not. Asks the kernel. */
bool bus_access_idle(BusAccess *a);

/* For vtables: wrap a handler. BUS_METHOD's handler for sd-bus is bus_access_dispatch(); it finds
 * the credentials (at once when cached, else it parks the message and calls back), checks @right
 * and then calls @handler with the caller. The handler behaves like any sd-bus handler: it may
 * reply later by keeping a reference of the message. */
typedef int (*BusMethodHandler)(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr);
int bus_access_dispatch(BusAccess *a, sd_bus_message *m, BusRight right, BusMethodHandler handler,
                void *userdata, sd_bus_error *reterr);

/* Defines the sd-bus handler `name` that dispatches to `name##_authorized`; @get_access gives the
 * BusAccess* of the userdata. The first is for a vtable in another file: a header declares it. */
#define BUS_METHOD_SHARED(name, right, get_access) \
        int name(sd_bus_message *m, void *userdata, sd_bus_error *reterr) \
        { \
                return bus_access_dispatch(get_access(userdata), m, (right), name##_authorized, \
                                userdata, reterr); \
        }
#define BUS_METHOD(name, right, get_access) static BUS_METHOD_SHARED(name, right, get_access)
