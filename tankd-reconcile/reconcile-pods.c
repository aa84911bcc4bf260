/* SPDX-License-Identifier: Apache-2.0 */

/* The pods as an array, sorted by namespace, name and age: lists and pages come out in order, and
 * the incarnations of one name stand next to each other, the newest last. */

#include "log.h"
#include "reconcile-entry.h"
#include "reconcile-launch.h"
#include "reconcile-pods.h"

static int compare_names(const PodEntry *p, const char *namespace, const char *name)
{
        int c = strcmp(p->namespace, namespace);

        return c != 0 ? c : strcmp(p->name, name);
}

size_t manager_first_after(Manager *m, const char *namespace, const char *name)
{
        size_t low = 0, high = m->n_pods;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare_names(m->pods[middle], namespace, name) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

PodEntry *manager_find_pod(Manager *m, const char *namespace, const char *name)
{
        size_t after = manager_first_after(m, namespace, name);

        if (after == 0 || compare_names(m->pods[after - 1], namespace, name) != 0)
                return NULL;
        return m->pods[after - 1];
}

PodEntry *manager_find_uid(Manager *m, const char *namespace, const char *name, const char *uid)
{
        for (size_t i = manager_first_after(m, namespace, name);
                        i > 0 && compare_names(m->pods[i - 1], namespace, name) == 0; i--)
                if (streq(m->pods[i - 1]->uid, uid))
                        return m->pods[i - 1];
        return NULL;
}

int manager_insert_pod(Manager *m, PodEntry *take)
{
        size_t at;

        if (m->n_pods == m->allocated_pods) {
                size_t n = MAX(m->allocated_pods * 2, (size_t) 64);
                PodEntry **grown = reallocarray(m->pods, n, sizeof(PodEntry *));

                if (!grown)
                        return -ENOMEM;
                m->pods = grown;
                m->allocated_pods = n;
        }
        at = manager_first_after(m, take->namespace, take->name);
        memmove(m->pods + at + 1, m->pods + at, (m->n_pods - at) * sizeof(PodEntry *));
        m->pods[at] = take;
        m->n_pods++;
        take->manager = m;
        id_range_note(take);
        return 0;
}

bool manager_has_predecessor(const PodEntry *p)
{
        Manager *m = p->manager;
        size_t at = manager_first_after(m, p->namespace, p->name);

        /* Down to the oldest of the name; @p waits unless that is itself. */
        while (at > 0 && compare_names(m->pods[at - 1], p->namespace, p->name) == 0)
                at--;
        return at < m->n_pods && m->pods[at] != p;
}

static void queue_remove(PodQueue *q, PodEntry *p, size_t link_offset)
{
        PodEntry **i = &q->first;

        while (*i) {
                PodEntry **link = (PodEntry **) ((char *) *i + link_offset);

                if (*i == p)
                        *i = *link;
                else
                        i = link;
        }
        q->last = i;
}

void manager_drop_pod(PodEntry *p)
{
        Manager *m = p->manager;
        PodEntry *next;

        for (size_t i = 0; i < m->n_pods; i++)
                if (m->pods[i] == p) {
                        memmove(m->pods + i, m->pods + i + 1,
                                        (m->n_pods - i - 1) * sizeof(PodEntry *));
                        m->n_pods--;
                        break;
                }
        queue_remove(&m->dirty, p, offsetof(PodEntry, next_dirty));
        queue_remove(&m->places, p, offsetof(PodEntry, next_place));
        queue_remove(&m->announced, p, offsetof(PodEntry, next_announced));
        next = manager_find_pod(m, p->namespace, p->name);
        if (next)
                manager_queue_pod(next); /* it waited for this */
        pod_entry_free(p);
}
