/* SPDX-License-Identifier: Apache-2.0 */

/* One pod: from its entry to the planner's arguments, and the carrying out of the plan.
 *
 * Order of a start, each step safe to die behind: the pod record names the run; the run's directory
 * is made; the shim is spawned; it says hello and is let go. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "quantity.h"
#include "reconcile-digest.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-launch.h"
#include "reconcile-plan.h"
#include "reconcile-pod.h"
#include "reconcile-pods.h"
#include "reconcile-record.h"
#include "reconcile-refresh.h"
#include "reconcile-resolve.h"
#include "reconcile-run.h"
#include "reconcile-update.h"
#include "reconcile-values.h"
#include "shim-client.h"
#include "shim-spawn.h"

/* ---- starting ---- */

/* A run that could not even be tried: the same to the policy as one that failed. */
static void container_launch_failed(ContainerEntry *c, const RunResult *result, const char *message)
{
        PodEntry *p = c->pod;

        log_error("%s/%s/%s: cannot start: %s", p->namespace, p->name, c->name, message);
        if (free_and_strdup(&c->message, message) < 0)
                log_oom();
        container_sandbox_decided(c, false);
        container_free_place(c);
        c->run_over = true;
        c->ended = true;
        c->ended_boot_usec = now_boottime_usec();
        c->failures = plan_count_failure(c->failures, 0, c->ended_boot_usec, USEC_INFINITY);
        container_add_result(c, result);
        container_show_outcome(c);
        container_changed(c, ANNOUNCE_RUN | ANNOUNCE_RESULTS);
        manager_queue_pod(p);
}

static void container_launch_errno(ContainerEntry *c, const char *stage, int error)
{
        RunResult result = {
                .kind = RESULT_SETUP_FAILED, .code = -error, .at_usec = now_realtime_usec()
        };
        CLEANUP_FREE char *message = NULL;

        (void) snprintf(result.stage, sizeof(result.stage), "%s", stage);
        if (error == -ENOSPC) {
                if (asprintf(&message, "setup failed in %s: %s: make room in %s", stage,
                                    errno_words(error), c->pod->manager->paths.run_dir) < 0)
                        message = NULL;
        } else if (run_result_describe(&result, &message) < 0)
                message = NULL;
        container_launch_failed(c, &result, strempty(message));
}

static void container_begin(ContainerEntry *c, const char *run, bool create, bool reset)
{
        const Desired *d = c->pod->desired;
        PodEntry *p = c->pod;
        size_t at = (size_t) (pod_find_container(d->pod, c->name) - d->pod->containers);

        if (reset)
                c->restarts = c->failures = 0;
        c->restart_wanted = c->stopped = c->ended = c->run_over = false;
        c->restart_boot_usec = 0;
        c->message = (free(c->message), NULL);
        c->dependency = (free(c->dependency), NULL);
        container_stop_refresh(c);
        c->compare_owed = c->check_again = false;
        memcpy(c->run, run, sizeof(c->run));
        memcpy(c->launch_hash, d->launch_hashes[at], sizeof(c->launch_hash));
        c->generation = d->generation;
        c->limits = d->pod->containers[at].limits;
        memcpy(c->hosts_hash, d->hosts_hash, sizeof(c->hosts_hash));
        c->update.asked = false;
        container_forget_refusal(c);
        c->creates_sandbox = create;
        c->init = at < d->pod->n_init;
        if (c->init)
                pod_forget_later_inits(p, c);
        if (create) {
                p->sandbox = SANDBOX_CREATING;
                memcpy(p->sandbox_hash, d->sandbox_hash, sizeof(p->sandbox_hash));
        }
        if (c->finished) {
                int r;

                c->finished = false;
                r = pod_results_save(p);
                if (r < 0)
                        log_warning_errno(r,
                                        "pod %s/%s: cannot take back its noted result, "
                                        "ignoring",
                                        p->namespace, p->name);
        }
}

static void container_start(ContainerEntry *c, bool create, bool reset)
{
        CLEANUP(values_freep) Values *values = TAKE_PTR(c->values);
        CLEANUP_FREE char *run_path = NULL;
        LaunchFailure failure = { 0 };
        const char *stage = "record";
        PodEntry *p = c->pod;
        char run[ID128_SIZE];
        RecordWriter launch = { 0 };
        int r;

        r = random_id(run);
        if (r < 0)
                run[0] = '\0';
        container_begin(c, run, create, reset);
        if (r >= 0)
                r = values_note_used(p->manager, values, p->desired->pod, c);
        if (r >= 0)
                r = launch_format(c, values, run, create, &launch, &failure);
        if (r < 0) {
                if (failure.message)
                        container_launch_failed(c, &failure.result, failure.message);
                else
                        container_launch_errno(c, "launch", r);
                free(failure.message);
                return;
        }
        /* step 1 */
        FAILPOINT("reconcile.before-record");
        r = asprintf(&run_path, "%s/%s/%s", p->uid, c->name, run) < 0 ? -ENOMEM : 0;
        if (r < 0)
                run_path = NULL;
        else
                r = pod_record_save(p);
        FAILPOINT("reconcile.record-written");
        if (r >= 0) {
                stage = "spawn";
                r = shim_spawn(p->manager->shims, run_path, run, launch.data, launch.size, c,
                                &c->shim);
        }
        explicit_bzero(launch.data, launch.size); /* environment and files may hold secrets */
        record_done(&launch);
        if (r < 0) {
                if (run_path)
                        (void) remove_tree_at(p->manager->pods_fd, run_path);
                container_launch_errno(c, stage, r);
                return;
        }
        container_take_place(c);
        container_transition(c, CONTAINER_EVENT_START, REASON_NONE);
        container_announce_later(c, ANNOUNCE_RUN | ANNOUNCE_STATE);
        pod_emit(p, c, EVENT_STARTING, "");
}

/* ---- carrying out ---- */

static void container_stop(ContainerEntry *c)
{
        const Desired *d = c->pod->desired;
        const Container *spec = d ? pod_find_container(d->pod, c->name) : NULL;

        container_transition(c, CONTAINER_EVENT_STOP, REASON_NONE);
        /* What was declared last goes before what the run was started with, also when the
         * declaration is gone; of a container that was taken out of it only the latter is left. */
        if (spec)
                shim_stop(c->shim, spec->stop_signal, spec->stop_grace_usec);
        else
                shim_stop(c->shim, 0, USEC_INFINITY);
}

static void container_back_off(ContainerEntry *c, uint64_t at_usec)
{
        CLEANUP_FREE char *what = NULL, *detail = NULL;
        char wait[FORMAT_DURATION_SIZE];
        uint64_t now = now_boottime_usec();

        if (c->restart_boot_usec == 0)
                c->restarts++;
        c->restart_boot_usec = at_usec;
        c->finished = false;
        container_transition(c, CONTAINER_EVENT_BACK_OFF, REASON_BACKING_OFF);
        container_changed(c, ANNOUNCE_STATE);
        /* What is told at the end counts from the end: never less than what is declared. */
        if (now > c->ended_boot_usec && now - c->ended_boot_usec < USEC_PER_SEC)
                now = c->ended_boot_usec;
        (void) format_duration(at_usec > now ? at_usec - now : 0, wait);
        if (container_describe_end(c, &what) < 0)
                what = NULL;
        if (asprintf(&detail, "%s; restart %u in %s", strempty(what), c->restarts, wait) < 0)
                detail = NULL;
        log_info("%s/%s/%s: %s", c->pod->namespace, c->pod->name, c->name, strempty(detail));
        pod_emit(c->pod, c, EVENT_BACKING_OFF, strempty(detail));
}

static void container_finish(ContainerEntry *c)
{
        CLEANUP_FREE char *what = NULL;
        const RunResult *last = container_last_result(c);
        int r;

        c->finished = true;
        c->restart_boot_usec = 0;
        container_show_end(c);
        container_changed(c, ANNOUNCE_STATE);
        r = pod_results_save(c->pod);
        if (r < 0)
                log_error_errno(r,
                                "%s/%s/%s: cannot note its result in %s/results, trying again: "
                                "without, it will run again after a reboot",
                                c->pod->namespace, c->pod->name, c->name,
                                c->pod->manager->paths.state_dir);
        FAILPOINT("reconcile.result-noted");
        if (container_describe_end(c, &what) < 0)
                what = NULL;
        pod_emit(c->pod, c, run_result_is_success(last) ? EVENT_EXITED : EVENT_FAILED,
                        strempty(what));
}

/* Declared again, with the same uid, while its remains were removed: a store was exchanged. */
static void pod_begin_anew(PodEntry *p)
{
        p->removing = p->on_disk = p->document_saved = false;
        p->sandbox = SANDBOX_NONE;
        p->sandbox_hash[0] = '\0';
        for (size_t i = 0; i < p->n_containers; i++) {
                ContainerEntry *c = p->containers[i];

                c->run[0] = c->launch_hash[0] = '\0';
                c->ended = c->stopped = c->finished = c->restart_wanted = false;
        }
        manager_queue_pod(p);
}

static void pod_removed(PodEntry *p)
{
        Manager *m = p->manager;
        int r;

        if (p->on_disk) {
                r = remove_tree_at(m->pods_fd, p->uid);
                if (r < 0) {
                        log_error_errno(r, "pod %s/%s: cannot remove %s/%s, trying again",
                                        p->namespace, p->name, m->pods_path, p->uid);
                        p->removal_failed = true;
                        return;
                }
        }
        FAILPOINT("reconcile.pod-removed");
        pod_results_remove(p);
        id_range_release(p);
        if (p->declared) {
                pod_begin_anew(p);
                return;
        }
        pod_emit(p, NULL, EVENT_DELETED, "");
        manager_drop_pod(p);
}

static void pod_pins_removed(int status, void *userdata)
{
        PodEntry *p = userdata;

        p->removal = shim_helper_free(p->removal);
        if (status == 0) {
                pod_removed(p);
                return;
        }
        log_error("pod %s/%s: removing its pinned namespaces failed (see the lines of tank-shim "
                  "above), trying again",
                        p->namespace, p->name);
        p->removal_failed = true;
}

static void pod_remove(PodEntry *p)
{
        CLEANUP_FREE char *path = NULL;
        char ns[ID128_SIZE + sizeof("/ns")];
        struct stat st;
        int r;

        p->removing = true;
        (void) snprintf(ns, sizeof(ns), "%s/ns", p->uid);
        if (!p->on_disk || fstatat(p->manager->pods_fd, ns, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                pod_removed(p);
                return;
        }
        r = asprintf(&path, "%s/%s", p->manager->pods_path, p->uid) < 0 ? -ENOMEM : 0;
        if (r >= 0)
                r = shim_helper_spawn(p->manager->shims, "--cleanup-pod", path, pod_pins_removed, p,
                                &p->removal);
        else
                path = NULL;
        if (r < 0) {
                log_error_errno(r, "pod %s/%s: cannot remove its pinned namespaces, trying again",
                                p->namespace, p->name);
                p->removal_failed = true;
        }
}

static void container_wait(ContainerEntry *c)
{
        bool missing = c->values && c->values->state == VALUES_MISSING;

        container_transition(
                        c, CONTAINER_EVENT_WAIT, missing ? REASON_DEPENDENCY_WAIT : REASON_PENDING);
}

static bool pod_carry_out(PodEntry *p, const PlanAction *a)
{
        ContainerEntry *c = a->name ? pod_container(p, a->name) : NULL;

        switch (a->verb) {
        case PLAN_RESOLVE: container_resolve(c); break;
        case PLAN_START: container_start(c, a->create, a->reset); break;
        case PLAN_STOP: container_stop(c); break;
        case PLAN_UPDATE: container_update(c); break;
        case PLAN_CONFIRM:
                c->generation = p->desired->generation;
                container_forget_refusal(c);
                p->record_dirty = true;
                break;
        case PLAN_BACK_OFF: container_back_off(c, a->at_usec); break;
        case PLAN_FINISH: container_finish(c); break;
        case PLAN_WAIT: container_wait(c); break;
        case PLAN_FORGET: pod_forget_container(c); break;
        case PLAN_REMOVE: pod_remove(p); return false; /* @p may be gone */
        case _PLAN_VERB_MAX:
        case _PLAN_VERB_INVALID: break;
        }
        return true;
}

/* ---- planning ---- */

static PlanHave container_observe(const ContainerEntry *c)
{
        const RunResult *last = container_last_result(c);

        return (PlanHave){
                .name = c->name,
                .state = c->state,
                .alive = container_is_alive(c),
                .over = c->run_over || !c->shim,
                .launch_hash = c->launch_hash,
                .generation = c->generation,
                .init = c->init,
                .limits = c->limits,
                .hosts_hash = c->hosts_hash,
                .values = c->values ? c->values->state : VALUES_NONE,
                .holds_place = c->holds_place,
                .updating = c->update.asked,
                .update_boot_usec = c->update.boot_usec,
                .last = last ? *last : (RunResult){ 0 },
                .stopped = c->stopped,
                .finished = c->finished,
                .restart_wanted = c->restart_wanted,
                .failures = c->failures,
                .ended_boot_usec = c->ended_boot_usec,
                .restart_boot_usec = c->restart_boot_usec,
                .seed = container_seed(c),
        };
}

static bool pod_is_blocked(const PodEntry *p)
{
        return p->held || p->removing || p->refused != REASON_NONE || !p->desired ||
               manager_has_predecessor(p);
}

static int pod_make_desired(const PodEntry *p, PlanWant **ret_wants, PlanDesired *ret)
{
        const Desired *d = p->desired;
        PlanWant *wants;

        *ret = (PlanDesired){ .blocked = pod_is_blocked(p), .sandbox_hash = "", .hosts_hash = "" };
        *ret_wants = NULL;
        if (!d)
                return 0;
        wants = calloc(MAX(d->pod->n_containers, (size_t) 1), sizeof(PlanWant));
        if (!wants)
                return -ENOMEM;
        for (size_t i = 0; i < d->pod->n_containers; i++)
                wants[i] = (PlanWant){
                        .name = d->pod->containers[i].name,
                        .needs_values = values_are_needed(d->pod, &d->pod->containers[i]),
                        .launch_hash = d->launch_hashes[i],
                        .limits = d->pod->containers[i].limits,
                };
        ret->generation = d->generation;
        ret->restart = d->pod->restart;
        ret->backoff_base_usec = d->pod->backoff_base_usec;
        ret->backoff_cap_usec = d->pod->backoff_cap_usec;
        ret->sandbox_hash = d->sandbox_hash;
        ret->hosts_hash = d->hosts_hash;
        ret->containers = wants;
        ret->n_containers = d->pod->n_containers;
        ret->n_init = d->pod->n_init;
        *ret_wants = wants;
        return 0;
}

static int pod_make_plan(PodEntry *p, Plan *ret)
{
        CLEANUP_FREE PlanWant *wants = NULL;
        CLEANUP_FREE PlanHave *haves = NULL;
        PlanObserved observed = {
                .sandbox = p->sandbox,
                .sandbox_hash = p->sandbox_hash,
                .n_containers = p->n_containers,
                .removing = p->removing,
        };
        PlanDesired desired;
        Manager *m = p->manager;
        int r;

        r = pod_make_desired(p, &wants, &desired);
        if (r < 0)
                return r;
        haves = calloc(MAX(p->n_containers, (size_t) 1), sizeof(PlanHave));
        if (!haves)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_containers; i++)
                haves[i] = container_observe(p->containers[i]);
        observed.containers = haves;
        if (m->n_starting < LIMIT_PARALLEL_STARTS)
                observed.free_starts = LIMIT_PARALLEL_STARTS - m->n_starting;
        /* The names in the plan are those of the entries and of the declaration. */
        return plan_pod(p->declared ? &desired : NULL, &observed, now_boottime_usec(), ret);
}

static bool pod_has_history(const PodEntry *p)
{
        for (size_t i = 0; i < p->n_containers; i++)
                if (*p->containers[i]->run)
                        return true;
        return false;
}

/* Read for a start that was not to be after all. */
static void pod_drop_values(PodEntry *p)
{
        for (size_t i = 0; i < p->n_containers; i++) {
                ContainerEntry *c = p->containers[i];

                if (c->values && c->values->state == VALUES_READY)
                        container_drop_values(c);
        }
}

void pod_plan(PodEntry *p)
{
        Manager *m = p->manager;
        Plan plan;
        int r;

        r = pod_make_plan(p, &plan);
        if (r < 0) {
                log_error_errno(r, "pod %s/%s: cannot plan, trying again", p->namespace, p->name);
                p->wake_usec = now_boottime_usec() + USEC_PER_SEC;
                return;
        }
        p->wake_usec = plan.wake_usec;
        if (plan.wants_place)
                manager_queue_place(p);
        for (size_t i = 0; i < plan.n_actions; i++) {
                log_debug("%s/%s/%s: plan: %s", p->namespace, p->name,
                                strempty(plan.actions[i].name),
                                plan_verb_to_string(plan.actions[i].verb));
                if (!pod_carry_out(p, &plan.actions[i])) {
                        plan_done(&plan);
                        return;
                }
        }
        plan_done(&plan);
        pod_drop_values(p);
        pod_tell_ready(p);
        if (p->record_dirty && !p->removing && (p->on_disk || pod_has_history(p))) {
                bool told = p->record_failed;

                r = pod_record_save(p);
                p->record_failed = r < 0;
                if (r < 0 && !told)
                        log_error_errno(r, "pod %s/%s: cannot write %s/%s/pod.record, trying again",
                                        p->namespace, p->name, m->pods_path, p->uid);
        }
}
