/* SPDX-License-Identifier: Apache-2.0 */

/* What shims report, turned into the state of containers and pods.
 *
 * Order of an end: the result is written into the pod record; the run's directory is removed. A run
 * whose directory is there and whose record says that it is accounted for (run_over) is only
 * swept. */

#include <stdio.h>

#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-plan.h"
#include "reconcile-record.h"
#include "reconcile-refresh.h"
#include "reconcile-run.h"
#include "reconcile-status.h"
#include "reconcile-update.h"

void container_sandbox_decided(ContainerEntry *c, bool made)
{
        PodEntry *p = c->pod;

        if (!c->creates_sandbox || p->sandbox != SANDBOX_CREATING)
                return;
        p->sandbox = made ? SANDBOX_READY : SANDBOX_NONE;
        p->record_dirty = true;
}

static bool container_owns(const ContainerEntry *c, const Shim *s)
{
        return c->shim == s;
}

/* Whether all that is declared is ready, in the generation that is declared, limits and hosts
 * included. */
static bool pod_is_ready(const PodEntry *p)
{
        if (!p->desired || !pod_sum(p).ready)
                return false;
        for (size_t i = 0; i < p->n_containers; i++) {
                const ContainerEntry *c = p->containers[i];

                if (!container_is_init(c) && pod_find_container(p->desired->pod, c->name) &&
                                (c->generation != p->desired->generation ||
                                                container_update_is_due(c)))
                        return false;
        }
        return true;
}

void pod_tell_ready(PodEntry *p)
{
        bool ready = pod_is_ready(p);

        if (ready && !p->ready_told)
                pod_emit(p, NULL, EVENT_READY, "");
        p->ready_told = ready;
}

static void container_running(ContainerEntry *c)
{
        bool news = c->state == RUN_CREATING;

        container_sandbox_decided(c, true);
        container_free_place(c);
        if (!news)
                return;
        container_transition(c, CONTAINER_EVENT_RUNNING, REASON_NONE);
        container_announce_later(c, ANNOUNCE_RUN | ANNOUNCE_STATE);
        pod_emit(c->pod, c, EVENT_RUNNING, "");
        pod_tell_ready(c->pod);
        FAILPOINT("reconcile.running");
}

/* What exactly failed, and why, is known to the shim only: kept to be shown, until the next
 * start. */
static void container_keep_message(ContainerEntry *c, const ShimStatus *status)
{
        if (status->result.kind != RESULT_SETUP_FAILED || !*status->result_message)
                return;
        free(c->message);
        if (asprintf(&c->message, "setup failed in %s: %s", status->result.stage,
                            status->result_message) < 0)
                c->message = NULL;
}

/* The run is over and its result is known: account for it, once. Its remains may still be there. */
static void container_ended(ContainerEntry *c, const ShimStatus *status)
{
        PodEntry *p = c->pod;
        bool asked = c->state == RUN_STOPPING;
        uint64_t reset = p->desired ? p->desired->pod->backoff_reset_usec : USEC_INFINITY;

        if (c->run_over)
                return;
        c->run_over = true;
        c->stopped = asked;
        container_stop_refresh(c);
        c->ended_boot_usec =
                        status->ended_boot_usec > 0 ? status->ended_boot_usec : now_boottime_usec();
        container_sandbox_decided(c, status->started_boot_usec > 0);
        container_free_place(c);
        if (status->result.kind != RESULT_NONE) {
                if (!asked)
                        c->failures = plan_count_failure(c->failures, status->started_boot_usec,
                                        c->ended_boot_usec, reset);
                c->ended = true;
                container_add_result(c, &status->result);
                container_keep_message(c, status);
        }
        container_show_outcome(c);
        container_changed(c, ANNOUNCE_RUN | ANNOUNCE_RESULTS | ANNOUNCE_STATE);
        p->ready_told = false;
        if (asked)
                pod_emit(p, c, EVENT_EXITED, "stopped");
}

static void on_shim_changed(Shim *s, void *userdata)
{
        const ShimStatus *status = shim_status(s);
        ContainerEntry *c = userdata;

        if (!container_owns(c, s))
                return;
        switch (status->state) {
        case RUN_RUNNING: container_running(c); break;
        case RUN_STOPPING: container_transition(c, CONTAINER_EVENT_STOP, REASON_NONE); break;
        case RUN_EXITED:
                if (status->result.kind != RESULT_NONE)
                        container_ended(c, status);
                break;
        case RUN_WAITING:
        case RUN_CREATING:
        case RUN_FAILED:
        case _RUN_STATE_MAX:
        case _RUN_STATE_INVALID: break;
        }
        manager_queue_pod(c->pod);
}

static void container_drop_run_directory(ContainerEntry *c, const char *run_path)
{
        int r = remove_tree_at(c->pod->manager->pods_fd, run_path);

        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: cannot remove %s/%s, ignoring", c->pod->namespace,
                                c->pod->name, c->name, c->pod->manager->pods_path, run_path);
}

static void container_drop_leftover(ContainerEntry *c, Shim *s)
{
        for (size_t i = 0; i < c->n_leftovers; i++)
                if (c->leftovers[i] == s) {
                        c->leftovers[i] = c->leftovers[--c->n_leftovers];
                        break;
                }
}

static void on_shim_over(Shim *s, void *userdata)
{
        ContainerEntry *c = userdata;
        PodEntry *p = c->pod;
        int r;

        if (container_owns(c, s)) {
                container_ended(c, shim_status(s));
                FAILPOINT("reconcile.before-result");
                if (p->on_disk) {
                        r = pod_record_save(p);
                        /* Of a full disk: without the run's directory there is room. */
                        if (r < 0 && r != -ENOSPC)
                                log_error_errno(r, "pod %s/%s: cannot note a result", p->namespace,
                                                p->name);
                }
                FAILPOINT("reconcile.result-recorded");
                c->shim = NULL;
        } else
                container_drop_leftover(c, s);
        container_drop_run_directory(c, shim_run_path(s));
        FAILPOINT("reconcile.run-removed");
        shim_free(s);
        manager_queue_pod(p);
}

static void on_shim_updated(Shim *s, unsigned parts, void *userdata)
{
        ContainerEntry *c = userdata;

        if (container_owns(c, s))
                container_updated(c, parts);
}

static void on_shim_values_set(Shim *s, void *userdata)
{
        ContainerEntry *c = userdata;

        if (container_owns(c, s))
                container_refreshed(c);
}

static void on_shim_refused(
                Shim *s, const char *request, int error, const char *message, void *userdata)
{
        ContainerEntry *c = userdata;

        if (!container_owns(c, s))
                return;
        if (streq(request, "update")) {
                container_update_refused(c, error, message);
                return;
        }
        if (streq(request, "values")) {
                container_refresh_refused(c, error, message);
                return;
        }
        log_error("%s/%s/%s: its shim refused the request \"%s\": %s%s%s", c->pod->namespace,
                        c->pod->name, c->name, request, message, *message ? ": " : "",
                        errno_words(error));
}

static void on_shim_adopted(Shim *s, void *userdata)
{
        ContainerEntry *c = userdata;

        manager_adoption_step(c->pod->manager);
}

const ShimOps pod_shim_ops = {
        .changed = on_shim_changed,
        .over = on_shim_over,
        .updated = on_shim_updated,
        .values_set = on_shim_values_set,
        .refused = on_shim_refused,
        .adopted = on_shim_adopted,
};
