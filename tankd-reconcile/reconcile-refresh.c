/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a container that runs when a secret or config has another version: it is started
 * again, when its pod says `update_on` and what it has of that object is not what it had (labels,
 * or keys that it does not use, are no reason); else the files of live volumes follow.
 *
 * All that live volumes hold is read anew and sent to the shim as a sealed memory file; it answers
 * when the files stand there. The revisions are noted when it has, so that what was lost on the way
 * is found by the next comparison (reconcile-resolve.c), in this life or a later one. A change that
 * comes meanwhile begins it anew. What cannot be put there leaves the old files as they are, all
 * of them; that is told in the log and as an event, once for each cause. What the shim could not do
 * is tried again at each resync, what the values themselves do not allow at their next change.
 *
 * Whether to start again is asked of all that the container uses: a start for which something is
 * missing would end what runs. So a comparison can come to nothing for an object that is not to
 * be compared. It is owed then, until any object that the container uses changes; live files follow
 * meanwhile. */

#include <stdio.h>

#include "fd.h"
#include "log.h"
#include "names.h"
#include "reconcile-digest.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-fetch.h"
#include "reconcile-refresh.h"
#include "shim-client.h"

bool pod_updates_on(const PodEntry *p, ValueSource source)
{
        return p->declared && !p->held && p->desired && p->desired->pod->update_on[source];
}

/* Runs, or shall run again by itself: what is over for good stays so. */
static bool container_is_running(const ContainerEntry *c)
{
        return c->state == RUN_CREATING || c->state == RUN_RUNNING ||
               (c->state == RUN_WAITING && c->reason == REASON_BACKING_OFF);
}

static bool pod_is_running(const PodEntry *p)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (container_is_running(p->containers[i]))
                        return true;
        return false;
}

/* An init container made what the others stand on: all of the pod begins anew. */
static void container_is_outdated(ContainerEntry *c, const UsedObject *u)
{
        PodEntry *p = c->pod;
        bool init = container_is_init(c);

        if (c->restart_wanted || !(init ? pod_is_running(p) : container_is_running(c)))
                return;
        log_info("%s/%s/%s: %s %s has changed: %s", p->namespace, p->name, c->name,
                        value_source_to_string(u->source), u->name,
                        init ? "restarting its pod" : "restarting");
        pod_restart(p, init ? NULL : c);
}

bool container_may_compare(const ContainerEntry *c)
{
        const PodEntry *p = c->pod;

        return p->declared && !p->held && p->desired && c->generation == p->desired->generation &&
               !c->restart_wanted && pod_find_container(p->desired->pod, c->name);
}

bool container_may_refresh(const ContainerEntry *c)
{
        const PodEntry *p = c->pod;

        return p->declared && !p->held && p->desired && c->shim && c->state == RUN_RUNNING &&
               c->generation == p->desired->generation && !c->restart_wanted &&
               pod_find_container(p->desired->pod, c->name);
}

static bool is_comparing(const ContainerEntry *c)
{
        return c->refresh && c->refresh->state == VALUES_ASKED && !c->refresh->live;
}

bool container_owes_compare(const ContainerEntry *c)
{
        return c->compare_owed || is_comparing(c);
}

void container_stop_refresh(ContainerEntry *c)
{
        c->refresh = values_free(c->refresh);
}

/* @told: the last one; @so: what follows from it; @consume: why. */
static void tell_trouble(ContainerEntry *c, char **told, const char *so, char *consume)
{
        CLEANUP_FREE char *detail = NULL;

        if (consume)
                utf8_repair(consume); /* it is told on the bus */
        if (consume && streq_ptr(consume, *told)) {
                free(consume);
                return;
        }
        free(*told);
        *told = consume;
        log_warning("%s/%s/%s: %s: %s", c->pod->namespace, c->pod->name, c->name, so,
                        strempty(consume));
        if (asprintf(&detail, "%s: %s: %s", c->name, so, strempty(consume)) < 0)
                detail = NULL;
        pod_emit(c->pod, NULL, EVENT_REFUSED, strempty(detail));
}

static void compare_later(ContainerEntry *c, bool retry)
{
        c->compare_owed = true;
        c->check_again = c->check_again || retry;
}

static bool has_live_files(const ContainerEntry *c)
{
        for (size_t i = 0; i < c->n_used; i++)
                if (c->used[i].live_revision > 0)
                        return true;
        return false;
}

static void refresh_failed(Values *v, bool retry, const char *what)
{
        ContainerEntry *c = v->container;
        bool live = v->live;
        char *why;

        if (asprintf(&why, "the new version waits for %s", what) < 0)
                why = NULL;
        if (live)
                tell_trouble(c, &c->refresh_trouble, "its live files stay as they are", why);
        else
                tell_trouble(c, &c->compare_trouble, "it goes on with what it has", why);
        container_stop_refresh(c);
        if (live) {
                c->check_again = c->check_again || retry;
                return;
        }
        compare_later(c, retry);
        if (!has_live_files(c))
                return;
        if (container_may_refresh(c))
                container_refresh(c, false);
        else
                c->check_again = true;
}

static void refresh_refused(ContainerEntry *c, int error, const char *message)
{
        char *why;

        if (asprintf(&why, "they could not be replaced: %s%s%s", message, *message ? ": " : "",
                            errno_words(error)) < 0)
                why = NULL;
        tell_trouble(c, &c->refresh_trouble, "its live files stay as they are", why);
        container_stop_refresh(c);
}

static int refresh_send(Values *v, char **reterr)
{
        const PodEntry *p = v->container->pod;
        const Container *spec = pod_find_container(p->desired->pod, v->container->name);
        CLEANUP_CLOSE int fd = -EBADF;
        RecordWriter w;
        int r;

        record_start(&w, 1);
        r = values_put_files(v, p->desired->pod, spec, &w, reterr);
        if (r >= 0)
                r = record_finish(&w);
        if (r >= 0)
                r = memfd_sealed("tank-values", w.data, w.size, &fd);
        if (w.data)
                explicit_bzero(w.data, w.size);
        record_done(&w);
        if (r >= 0)
                shim_set_values(v->container->shim, TAKE_FD(fd));
        return r;
}

/* 1: it is started again. What is the same is noted, so that nobody asks again. */
static int compare_used(ContainerEntry *c, const Values *v)
{
        const Pod *pod = c->pod->desired->pod;
        const Container *spec = pod_find_container(pod, c->name);
        char digest[VALUES_DIGEST_SIZE];

        for (size_t i = 0; i < c->n_used; i++) {
                UsedObject *u = &c->used[i];
                const ValueObject *o = values_find(v, u->source, u->name);
                int r;

                if (!o || !pod_updates_on(c->pod, u->source) || o->revision == u->revision)
                        continue;
                r = values_digest(c->pod->manager, pod, spec, o, digest);
                if (r < 0)
                        return r;
                if (!*digest || !streq(digest, u->digest)) {
                        container_is_outdated(c, u);
                        return 1;
                }
                log_debug("%s/%s/%s: %s %s has changed, but nothing that it uses",
                                c->pod->namespace, c->pod->name, c->name,
                                value_source_to_string(u->source), u->name);
                u->revision = o->revision;
                if (u->live_revision > 0)
                        u->live_revision = o->revision;
                container_changed(c, 0);
        }
        return 0;
}

/* Whether the live volumes hold an older version. */
static bool is_behind(const ContainerEntry *c, const Values *v)
{
        for (size_t i = 0; i < c->n_used; i++) {
                const UsedObject *u = &c->used[i];
                const ValueObject *o = values_find(v, u->source, u->name);

                if (o && u->live_revision > 0 && u->live_revision != o->revision)
                        return true;
        }
        return false;
}

/* 0: go on with live files. */
static int refresh_compare(ContainerEntry *c, const Values *v)
{
        int r;

        if (!container_may_compare(c)) { /* another declaration came between, or a restart */
                compare_later(c, true);
                return 1;
        }
        r = compare_used(c, v);
        if (r < 0) {
                log_oom();
                compare_later(c, true);
        } else
                c->compare_trouble = (free(c->compare_trouble), NULL);
        return r;
}

static void refresh_complete(Values *v)
{
        CLEANUP_FREE char *sentence = NULL;
        ContainerEntry *c = v->container;
        bool behind;
        int r;

        r = v->live ? 0 : refresh_compare(c, v);
        v->live = true; /* from here on it is about them */
        behind = r == 0 && is_behind(c, v);
        if (!behind || !container_may_refresh(c)) {
                if (behind)
                        c->check_again = true; /* unless it starts anew, with what there is now */
                if (r == 0)
                        c->refresh_trouble = (free(c->refresh_trouble), NULL);
                container_stop_refresh(c);
                manager_queue_pod(c->pod);
                return;
        }
        r = refresh_send(v, &sentence);
        if (r < 0) {
                refresh_refused(c, r, strempty(sentence));
                c->check_again = c->check_again || !sentence; /* else the values are to blame */
                return;
        }
        v->state = VALUES_READY;
        for (size_t i = 0; i < v->n_objects; i++)
                value_object_clear(&v->objects[i]); /* their revisions are all that is needed */
}

void container_refresh(ContainerEntry *c, bool all)
{
        static const ValuesOps ops = { .complete = refresh_complete, .failed = refresh_failed };
        const Pod *pod = c->pod->desired->pod;
        int r;

        if (all && !(container_is_init(c) ? pod_is_running(c->pod) : container_is_running(c)))
                return; /* if it starts again, it has them */
        all = all || is_comparing(c);
        container_stop_refresh(c);
        if (all)
                c->compare_owed = false;
        r = values_new(pod, pod_find_container(pod, c->name), !all, &c->refresh);
        if (r < 0) {
                log_oom();
                c->compare_owed = c->compare_owed || all;
                c->check_again = true;
                return;
        }
        c->refresh->container = c;
        c->refresh->ops = &ops;
        values_fetch(c->refresh);
}

void container_refreshed(ContainerEntry *c)
{
        const Values *v = c->refresh;

        if (!v || v->state != VALUES_READY)
                return;
        for (size_t i = 0; i < v->n_objects; i++)
                for (size_t j = 0; j < c->n_used; j++)
                        if (c->used[j].live_revision > 0 &&
                                        c->used[j].source == v->objects[i].source &&
                                        streq(c->used[j].name, v->objects[i].name))
                                c->used[j].live_revision = v->objects[i].revision;
        log_info("%s/%s/%s: its live files are those of the new version", c->pod->namespace,
                        c->pod->name, c->name);
        c->refresh_trouble = (free(c->refresh_trouble), NULL);
        container_stop_refresh(c);
        container_changed(c, 0);
        manager_queue_pod(c->pod);
}

void container_refresh_refused(ContainerEntry *c, int error, const char *message)
{
        refresh_refused(c, error, message);
        c->check_again = true;
}
