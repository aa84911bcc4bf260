/* SPDX-License-Identifier: Apache-2.0 */

/* The values that a start needs are read from the store right before it, one object after the
 * other, without waiting for any of it: the container holds a place among the starts meanwhile.
 *
 *   none ── resolve ──> asked ── all there ──> ready ── the next plan ──> started, or dropped
 *                         |
 *                         +── not there, no store ──> missing ── a change, a store ──> none
 *
 * Of what is missing the store's changes tell, or that a store is there: nothing is asked for twice
 * without a reason, but for errors whose end nobody tells of; those are tried again at each resync.
 * A change of an object forgets what was read of it for a start that is not through yet.
 *
 * Each run remembers the revisions of what it was started with. Of pods that say `update_on` the
 * values are read again when there is a later one (reconcile-refresh.c): when those that the
 * container uses are others, it is restarted. Changes tell of that; what changes could not tell of,
 * because the reconciler was away or the store had compacted them, is asked for, one object after
 * the other. An object that is gone, or a key of it, restarts nothing: what runs has its values.
 *
 * While the store is not accepted (Held) nothing is taken from it, values neither. */

#include <stdio.h>

#include "bus-names.h"
#include "bus-util.h"
#include "document.h"
#include "error.h"
#include "failpoint.h"
#include "log.h"
#include "reconcile-entry.h"
#include "reconcile-fetch.h"
#include "reconcile-refresh.h"
#include "reconcile-resolve.h"
#include "reconcile-values.h"

/* ---- reading ---- */

/* Waits for what is not there. */
static void resolve_failed(Values *v, bool retry, const char *what)
{
        ContainerEntry *c = v->container;
        char *message;

        v->state = VALUES_MISSING;
        v->retry = retry;
        container_free_place(c);
        if (asprintf(&message, "waits for %s", what) < 0)
                message = NULL;
        if (!streq_ptr(c->dependency, message)) {
                log_notice("%s/%s/%s: %s", c->pod->namespace, c->pod->name, c->name,
                                strempty(message));
                free(c->dependency);
                c->dependency = TAKE_PTR(message);
                container_announce_later(c, ANNOUNCE_STATE);
        }
        free(message);
        container_transition(c, CONTAINER_EVENT_WAIT, REASON_DEPENDENCY_WAIT);
}

static void resolve_complete(Values *v)
{
        FAILPOINT("reconcile.values-read");
        v->state = VALUES_READY;
        manager_queue_pod(v->container->pod);
}

static const ValuesOps resolve_ops = { .complete = resolve_complete, .failed = resolve_failed };

void container_resolve(ContainerEntry *c)
{
        const Pod *pod = c->pod->desired->pod;
        const Container *spec = pod_find_container(pod, c->name);
        int r;

        container_drop_values(c);
        r = values_new(pod, spec, false, &c->values);
        if (r < 0) {
                log_oom();
                c->pod->wake_usec = now_boottime_usec() + USEC_PER_SEC;
                return;
        }
        c->values->container = c;
        c->values->ops = &resolve_ops;
        container_take_place(c);
        values_fetch(c->values);
}

/* ---- changes ---- */

static UsedObject *container_used(ContainerEntry *c, ValueSource source, const char *name)
{
        for (size_t i = 0; i < c->n_used; i++)
                if (c->used[i].source == source && streq(c->used[i].name, name))
                        return &c->used[i];
        return NULL;
}

/* @exact: @revision is that of the object as it stands, else it is one of its changes. */
static void container_compare(ContainerEntry *c, ValueSource source, const char *name,
                uint64_t revision, bool exact)
{
        UsedObject *u = container_used(c, source, name);
        uint64_t known;
        bool restarts;

        if (!u)
                return;
        if (exact)
                u->unchecked = false;
        restarts = pod_updates_on(c->pod, source);
        known = restarts ? u->revision : u->live_revision;
        if (!exact && container_owes_compare(c))
                restarts = true; /* it may be what that waits for */
        else if (known == 0 || (exact ? revision == known : revision <= known))
                return;
        else if (exact && restarts && c->compare_owed)
                return; /* it would come to nothing again */
        if (restarts ? container_may_compare(c) : container_may_refresh(c))
                container_refresh(c, restarts);
        else
                c->check_again = true; /* when it runs, or is what is declared */
}

void values_object_changed(Manager *m, uint64_t revision, ValueSource source, const char *namespace,
                const char *name, bool deleted)
{
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                if (!streq(p->namespace, namespace))
                        continue;
                for (size_t j = 0; j < p->n_containers; j++) {
                        ContainerEntry *c = p->containers[j];

                        if (c->values && values_use(c->values, source, name)) {
                                container_drop_values(c);
                                manager_queue_pod(p);
                        }
                        if (!deleted && !m->held_reason)
                                container_compare(c, source, name, revision, false);
                }
        }
}

/* ---- comparing ---- */

static int on_compared(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *document = NULL;
        CLEANUP_FREE char *namespace = NULL, *name = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        Manager *m = userdata;
        uint64_t revision = 0;
        const char *text;

        m->comparing.call = sd_bus_slot_unref(m->comparing.call);
        namespace = TAKE_PTR(m->comparing.namespace);
        name = TAKE_PTR(m->comparing.name);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                if (!sd_bus_message_is_method_error(reply, TANK_ERROR_NOT_FOUND))
                        return 0; /* the next resync goes on */
        } else if (sd_bus_message_read(reply, "s", &text) < 0 ||
                        document_parse(text, strlen(text), &document, &error) < 0) {
                sd_bus_error_free(&error);
                return 0; /* the same */
        } else
                revision = (uint64_t) json_get_int(
                                json_object_get(document, "meta"), "revision", 0);
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers && streq(p->namespace, namespace); j++) {
                        ContainerEntry *c = p->containers[j];
                        UsedObject *u = container_used(c, m->comparing.source, name);

                        if (revision > 0)
                                container_compare(c, m->comparing.source, name, revision, true);
                        else if (u)
                                u->unchecked = false; /* gone: what runs has its values */
                }
        }
        values_compare(m);
        return 0;
}

/* One of which another version would mean something now. *@ret_later: there is one of which it
 * will, when its container runs. */
static const UsedObject *find_unchecked(const Manager *m, const PodEntry **ret, bool *ret_later)
{
        *ret_later = false;
        for (size_t i = 0; i < m->n_pods; i++) {
                const PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers; j++) {
                        const ContainerEntry *c = p->containers[j];

                        for (size_t k = 0; k < c->n_used; k++) {
                                const UsedObject *u = &c->used[k];
                                bool restarts;

                                if (!u->unchecked)
                                        continue;
                                *ret = p;
                                restarts = pod_updates_on(p, u->source);
                                if (restarts ? container_may_compare(c)
                                             : u->live_revision > 0 && container_may_refresh(c))
                                        return u;
                                *ret_later = *ret_later || restarts || u->live_revision > 0;
                        }
                }
        }
        return NULL;
}

void values_compare(Manager *m)
{
        const UsedObject *u;
        const PodEntry *p;
        bool later;
        int r;

        if (!m->comparing.wanted || m->comparing.call || !m->bus || !m->store_up || m->held_reason)
                return;
        u = find_unchecked(m, &p, &later);
        if (!u) {
                m->comparing.wanted = later; /* each resync looks again */
                return;
        }
        m->comparing.source = u->source;
        r = free_and_strdup(&m->comparing.namespace, p->namespace);
        if (r >= 0)
                r = free_and_strdup(&m->comparing.name, u->name);
        if (r >= 0)
                r = call_store(m, TANK_STORE_INTERFACE, "Get", value_source_to_string(u->source),
                                p->namespace, u->name, on_compared, m, &m->comparing.call);
        if (r < 0)
                log_warning_errno(r, "cannot ask the store for %s %s of namespace %s, trying again",
                                value_source_to_string(u->source), u->name, p->namespace);
}

/* ---- a store that comes and goes ---- */

static void values_again(Manager *m, bool all)
{
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers; j++) {
                        ContainerEntry *c = p->containers[j];

                        if (!c->values || c->values->state != VALUES_MISSING ||
                                        (!all && !c->values->retry))
                                continue;
                        container_drop_values(c);
                        manager_queue_pod(p);
                }
        }
}

void values_store_appeared(Manager *m)
{
        values_again(m, false);
}

void values_changes_missed(Manager *m)
{
        values_again(m, true);
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++)
                        container_forget_checks(m->pods[i]->containers[j]);
        values_compare(m);
}

void values_resync(Manager *m)
{
        if (m->store_up && !m->held_reason)
                values_again(m, false);
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++)
                        if (m->pods[i]->containers[j]->check_again)
                                container_forget_checks(m->pods[i]->containers[j]);
        values_compare(m);
}

void values_disconnected(Manager *m)
{
        m->comparing.call = sd_bus_slot_unref(m->comparing.call);
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++) {
                        ContainerEntry *c = m->pods[i]->containers[j];

                        if (c->refresh)
                                container_forget_checks(c);
                        container_stop_refresh(c);
                        if (!c->values || c->values->state != VALUES_ASKED)
                                continue;
                        c->values->call = sd_bus_slot_unref(c->values->call);
                        resolve_failed(c->values, true, "its secrets and configs: there is no bus");
                }
}
