/* SPDX-License-Identifier: Apache-2.0 */

/* What changes while a container runs. In force, and so in the pod record, is what a run was
 * started with or what its shim has confirmed; never what it was merely asked for. So the planner
 * goes on seeing the difference, in this life and in a later one, until the shim has made the
 * change. One request at a time is on its way. A refusal is noted with the time of the next
 * attempt, after the back-off of the pod; another declaration forgets it and is tried at once. */

#include <stdio.h>

#include "log.h"
#include "names.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-plan.h"
#include "reconcile-update.h"
#include "shim-client.h"

#define RETRY_MIN_USEC USEC_PER_SEC /* a back-off may be declared that is next to none */

static const Container *declared(const ContainerEntry *c)
{
        const PodEntry *p = c->pod;

        return p->declared && p->desired ? pod_find_container(p->desired->pod, c->name) : NULL;
}

bool container_update_is_due(const ContainerEntry *c)
{
        const Container *spec = declared(c);

        return spec && c->state == RUN_RUNNING &&
               (!limits_equal(&spec->limits, &c->limits) ||
                               !streq(c->hosts_hash, c->pod->desired->hosts_hash));
}

const char *container_refusal(const ContainerEntry *c)
{
        return container_update_is_due(c) && c->generation == c->pod->desired->generation
                               ? c->update.refusal
                               : NULL;
}

void container_forget_refusal(ContainerEntry *c)
{
        c->update.refusals = 0;
        c->update.boot_usec = 0;
        c->update.refusal = (free(c->update.refusal), NULL);
}

void container_update(ContainerEntry *c)
{
        const Desired *d = c->pod->desired;
        const Container *spec = pod_find_container(d->pod, c->name);
        int r;

        log_debug("%s/%s/%s: new limits or hosts", c->pod->namespace, c->pod->name, c->name);
        c->update.limits = spec->limits;
        memcpy(c->update.hosts_hash, d->hosts_hash, sizeof(c->update.hosts_hash));
        r = shim_update(c->shim, &spec->limits, d->pod->extra_hosts);
        c->update.asked = r >= 0;
        if (r < 0)
                container_update_refused(c, r, "asking the shim");
}

void container_updated(ContainerEntry *c, unsigned parts)
{
        if (!c->update.asked)
                return;
        c->update.asked = false;
        if (parts & UPDATE_LIMITS)
                c->limits = c->update.limits;
        if (parts & UPDATE_HOSTS)
                memcpy(c->hosts_hash, c->update.hosts_hash, sizeof(c->hosts_hash));
        if (parts == (UPDATE_LIMITS | UPDATE_HOSTS))
                container_forget_refusal(c);
        container_changed(c, ANNOUNCE_STATE);
        manager_queue_pod(c->pod);
}

/* Whether the last request was for something else than is declared now: its refusal says nothing.
 */
static bool is_outdated(const ContainerEntry *c, const Container *spec)
{
        return !limits_equal(&spec->limits, &c->update.limits) ||
               !streq(c->pod->desired->hosts_hash, c->update.hosts_hash);
}

void container_update_refused(ContainerEntry *c, int error, const char *message)
{
        const Container *spec = declared(c);
        const PodEntry *p = c->pod;
        bool first = !c->update.refusal;
        CLEANUP_FREE char *detail = NULL;
        uint64_t delay;

        manager_queue_pod(c->pod);
        if (!spec || is_outdated(c, spec))
                return;
        c->update.refusals += c->update.refusals < UINT32_MAX;
        delay = plan_backoff_delay(p->desired->pod->backoff_base_usec,
                        p->desired->pod->backoff_cap_usec, c->update.refusals, container_seed(c));
        c->update.boot_usec = now_boottime_usec() + MAX(delay, RETRY_MIN_USEC);
        free(c->update.refusal);
        if (asprintf(&c->update.refusal,
                            "runs, but not as declared: %.512s%s%s; what was in force stays, and "
                            "it is tried again",
                            message, *message ? ": " : "", errno_words(error)) < 0)
                c->update.refusal = NULL;
        else
                utf8_repair(c->update.refusal); /* it is told on the bus */
        container_changed(c, ANNOUNCE_STATE);
        if (!first || !c->update.refusal)
                return;
        log_error("%s/%s/%s: %s", p->namespace, p->name, c->name, c->update.refusal);
        if (asprintf(&detail, "%s: %s", c->name, c->update.refusal) < 0)
                detail = NULL;
        pod_emit(c->pod, NULL, EVENT_REFUSED, strempty(detail));
}
