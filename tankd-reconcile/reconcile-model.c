/* SPDX-License-Identifier: Apache-2.0 */

/* Queues of pods: dirty ones for the pass, starts that wait for their turn, what the bus has not
 * been told yet. */

#include "limit.h"
#include "log.h"
#include "reconcile-model.h"

bool manager_may_act(const Manager *m)
{
        return m->adopted && (m->desired_known || m->held_reason);
}

void manager_queue_pass(Manager *m)
{
        int r;

        if (!manager_may_act(m))
                return;
        r = sd_event_source_set_enabled(m->pass_source, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "cannot queue a pass");
}

void manager_queue_pod(PodEntry *p)
{
        Manager *m = p->manager;

        if (!p->dirty) {
                p->dirty = true;
                p->next_dirty = NULL;
                *m->dirty.last = p;
                m->dirty.last = &p->next_dirty;
        }
        manager_queue_pass(m);
}

void manager_queue_all(Manager *m)
{
        for (size_t i = 0; i < m->n_pods; i++)
                manager_queue_pod(m->pods[i]);
        manager_queue_pass(m);
}

void manager_queue_place(PodEntry *p)
{
        Manager *m = p->manager;

        if (p->wants_place)
                return;
        p->wants_place = true;
        p->next_place = NULL;
        *m->places.last = p;
        m->places.last = &p->next_place;
}

/* In the order in which they asked. */
void manager_place_freed(Manager *m)
{
        for (unsigned n = m->n_starting; n < LIMIT_PARALLEL_STARTS && m->places.first; n++) {
                PodEntry *p = m->places.first;

                m->places.first = p->next_place;
                if (!m->places.first)
                        m->places.last = &m->places.first;
                p->wants_place = false;
                manager_queue_pod(p);
        }
}

void manager_queue_announcement(Manager *m)
{
        int r;

        r = sd_event_source_set_enabled(m->announce_source, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "cannot queue an announcement");
}

void manager_queue_pod_announcement(PodEntry *p)
{
        Manager *m = p->manager;

        if (!p->announce_queued) {
                p->announce_queued = true;
                p->next_announced = NULL;
                *m->announced.last = p;
                m->announced.last = &p->next_announced;
        }
        manager_queue_announcement(m);
}

void manager_adoption_step(Manager *m)
{
        int r = 0;

        if (m->n_adopting == 0 || --m->n_adopting > 0 || m->adopted)
                return;
        /* Whoever waits for the slowest one need not wait any longer. Before there is a timer
         * nobody waits yet. */
        if (m->adoption_timer)
                r = sd_event_source_set_time_relative(m->adoption_timer, 0);
        if (r < 0)
                log_error_errno(r, "cannot end the adoption early");
}
