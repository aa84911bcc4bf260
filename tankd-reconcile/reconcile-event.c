/* SPDX-License-Identifier: Apache-2.0 */

#include "bus-names.h"
#include "clock.h"
#include "log.h"
#include "reconcile-event.h"

void pod_emit(PodEntry *p, ContainerEntry *c, PodEvent event, const char *detail)
{
        Manager *m = p->manager;
        int r;

        log_debug("%s/%s%s%s: event %s", p->namespace, p->name, c ? "/" : "", c ? c->name : "",
                        pod_event_to_string(event));
        if (!m->bus)
                return;
        r = sd_bus_emit_signal(m->bus, TANK_RECONCILE_PATH, TANK_RECONCILE_INTERFACE, "PodEvent",
                        "ssssstst", p->namespace, p->name, p->uid, c ? c->name : "",
                        pod_event_to_string(event), c ? c->generation : p->generation, detail,
                        now_realtime_usec());
        if (r < 0)
                log_debug("cannot send an event: %s", errno_words(r));
}
