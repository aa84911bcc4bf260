/* SPDX-License-Identifier: Apache-2.0 */

/* The manager: its making, the pass, the timers. See reconcile.h for the house. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "names.h"
#include "reconcile-adopt.h"
#include "reconcile-dbus.h"
#include "reconcile-digest.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-launch.h"
#include "reconcile-logs.h"
#include "reconcile-pod.h"
#include "reconcile-record.h"
#include "reconcile-resolve.h"
#include "reconcile-run.h"
#include "reconcile-sync.h"
#include "reconcile-watch.h"
#include "reconcile.h"
#include "shim-client.h"
#include "shim-spawn.h"

#define RESYNC_USEC           (5 * USEC_PER_SEC)
#define ADOPTION_TIMEOUT_USEC (3 * USEC_PER_SEC)
/* Ready without a bus: whoever waits for us may be what starts the bus. */
#define BUS_PATIENCE_USEC (2 * USEC_PER_SEC)
/* A start that takes longer no longer keeps others from starting. */
#define PLACE_USEC          (5 * USEC_PER_SEC)
#define TIMER_ACCURACY_USEC USEC_PER_MSEC

static void queue_init(PodQueue *q)
{
        q->first = NULL;
        q->last = &q->first;
}

/* ---- the pass ---- */

static void manager_arm_timer(Manager *m)
{
        uint64_t wake = USEC_INFINITY;
        int r;

        for (size_t i = 0; i < m->n_pods; i++)
                wake = MIN(wake, m->pods[i]->wake_usec);
        r = wake == USEC_INFINITY ? 0 : sd_event_source_set_time(m->timer, wake);
        if (r >= 0)
                r = sd_event_source_set_enabled(
                                m->timer, wake == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "cannot arm the timer of restarts");
}

static int on_pass(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;

        if (!manager_may_act(m))
                return 0;
        while (m->dirty.first) {
                PodEntry *p = m->dirty.first;

                m->dirty.first = p->next_dirty;
                if (!m->dirty.first)
                        m->dirty.last = &m->dirty.first;
                p->dirty = false;
                pod_plan(p); /* may free @p, may queue others */
        }
        if (m->position_dirty)
                manager_queue_announcement(m);
        syncs_answer(m);
        manager_arm_timer(m);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;
        uint64_t now = now_boottime_usec();

        for (size_t i = 0; i < m->n_pods; i++)
                if (m->pods[i]->wake_usec <= now)
                        manager_queue_pod(m->pods[i]);
        if (!m->dirty.first)
                manager_arm_timer(m); /* a little early */
        return 0;
}

/* What waits until the work of this round is under way. */
static int on_announce(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;
        int r;

        manager_announce(m);
        if (m->position_dirty) {
                r = manager_position_save(m);
                if (r < 0 && !m->position_failed)
                        log_error_errno(r, "cannot write %s/store-position, trying again",
                                        m->paths.run_dir);
                m->position_failed = r < 0;
        }
        return 0;
}

static void container_resync(ContainerEntry *c, uint64_t now)
{
        Manager *m = c->pod->manager;

        if (c->shim)
                shim_retry(c->shim);
        for (size_t i = 0; i < c->n_leftovers; i++)
                shim_retry(c->leftovers[i]);
        if (c->holds_place && now - c->creating_since_usec >= PLACE_USEC) {
                log_warning("%s/%s/%s: is being created for more than %u s", c->pod->namespace,
                                c->pod->name, c->name, (unsigned) (PLACE_USEC / USEC_PER_SEC));
                c->holds_place = false;
                m->n_starting--;
                manager_place_freed(m);
        }
}

/* What could not be written, on a full disk mostly: no change may come that would do it. */
static void pod_write_again(PodEntry *p)
{
        if (p->record_failed)
                manager_queue_pod(p);
        if (p->results_failed && pod_results_save(p) >= 0)
                log_notice("pod %s/%s: its results are noted now", p->namespace, p->name);
}

static int on_resync(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;
        uint64_t now = now_boottime_usec();
        int r;

        watch_resync(m->watch);
        values_resync(m);
        events_retry(m);
        if (m->position_failed)
                manager_queue_announcement(m);
        for (size_t i = 0; i < m->n_pods; i++) {
                PodEntry *p = m->pods[i];

                for (size_t j = 0; j < p->n_containers; j++)
                        container_resync(p->containers[j], now);
                if (p->removal_failed) {
                        p->removal_failed = p->removing = false;
                        manager_queue_pod(p);
                }
                pod_write_again(p);
        }
        r = sd_event_source_set_time_relative(source, RESYNC_USEC);
        return r < 0 ? log_error_errno(r, "cannot arm the resync timer") : 0;
}

/* ---- making it ---- */

/* Only one reconciler may own a run directory; the lock goes with the process, however it ends, and
 * is no child's that has not executed a shim yet. */
static int manager_lock(Manager *m)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        m->lock_fd = openat(m->run_fd, "reconcile.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (m->lock_fd < 0)
                return log_error_errno(-errno, "cannot open %s/reconcile.lock", m->paths.run_dir);
        if (fcntl(m->lock_fd, F_SETLK, &lock) < 0)
                return log_error_errno(-errno,
                                "%s/reconcile.lock: another tankd-reconcile runs "
                                "here: stop it, or set TANK_RUN_DIR",
                                m->paths.run_dir);
        return 0;
}

static int open_directory(const char *path, mode_t mode, int *ret_fd)
{
        int r;

        if (!path_is_absolute_normal(path))
                return log_error_errno(-EINVAL,
                                "%s: the directory must be given without \"//\", "
                                "\".\", \"..\" and a slash at the end",
                                path);
        r = mkdir_p(path, mode);
        if (r < 0)
                return log_error_errno(r, "cannot make %s", path);
        *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? log_error_errno(-errno, "cannot open %s", path) : 0;
}

static int manager_open_directories(Manager *m)
{
        int r;

        r = paths_init(&m->paths);
        if (r < 0)
                return log_error_errno(r,
                                "TANK_STATE_DIR, TANK_RUN_DIR, TANK_LOG_DIR and "
                                "TANK_LIBEXEC_DIR must be absolute, TANK_INSTANCE up to 16 "
                                "of a-z and 0-9");
        r = paths_host_name(&m->paths, &m->host_name);
        if (r < 0)
                return log_oom();
        if (asprintf(&m->pods_path, "%s/pods", m->paths.run_dir) < 0) {
                m->pods_path = NULL;
                return log_oom();
        }
        r = open_directory(m->paths.run_dir, 0755, &m->run_fd);
        if (r >= 0)
                r = open_directory(m->pods_path, 0700, &m->pods_fd);
        if (r >= 0)
                r = open_directory(m->paths.state_dir, 0755, &m->state_fd);
        if (r >= 0)
                r = manager_prepare_logs(m);
        if (r >= 0)
                r = manager_lock(m);
        return r;
}

static int manager_add_sources(Manager *m)
{
        int r;

        r = sd_event_add_defer(m->event, &m->pass_source, on_pass, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->pass_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(m->event, &m->announce_source, on_announce, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->announce_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(m->announce_source, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r >= 0)
                r = sd_event_add_time(m->event, &m->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY_USEC,
                                on_timer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(m->event, &m->resync, CLOCK_MONOTONIC, RESYNC_USEC,
                                0, on_resync, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->resync, SD_EVENT_ON);
        return r < 0 ? log_error_errno(r, "cannot set up the event loop") : 0;
}

int manager_new(sd_event *event, Manager **ret)
{
        CLEANUP(manager_freep) Manager *m = calloc(1, sizeof(Manager));
        int r;

        if (!m)
                return log_oom();
        m->run_fd = m->pods_fd = m->state_fd = m->lock_fd = -EBADF;
        m->event = sd_event_ref(event);
        queue_init(&m->dirty);
        queue_init(&m->places);
        queue_init(&m->announced);
        r = manager_open_directories(m);
        if (r < 0)
                return r;
        r = boot_id(m->boot_id);
        if (r < 0)
                return log_error_errno(r, "cannot read the boot id");
        manager_read_values_key(m);
        r = events_open(m);
        if (r < 0)
                return log_error_errno(r, "cannot open %s/events", m->paths.run_dir);
        m->use_scopes = sd_booted() > 0;
        r = id_ranges_init(m);
        if (r >= 0)
                r = shim_context_new(event, m->pods_fd, m->pods_path, m->paths.libexec_dir,
                                &pod_shim_ops, &m->shims);
        if (r >= 0)
                r = watch_new(m, &m->watch);
        if (r < 0)
                return log_error_errno(r, "cannot set up the reconciler");
        r = manager_add_sources(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m)
{
        if (!m)
                return NULL;
        syncs_fail(m);
        m->link = bus_link_free(m->link);
        manager_bus_disconnected(m);
        m->watch = watch_free(m->watch);
        while (m->n_pods > 0)
                pod_entry_free(m->pods[--m->n_pods]);
        free(m->pods);
        free(m->comparing.namespace);
        free(m->comparing.name);
        free(m->id_ranges);
        shim_context_free(m->shims);
        events_close(m);
        sd_event_source_disable_unref(m->pass_source);
        sd_event_source_disable_unref(m->announce_source);
        sd_event_source_disable_unref(m->timer);
        sd_event_source_disable_unref(m->resync);
        sd_event_source_disable_unref(m->adoption_timer);
        safe_close(m->run_fd);
        safe_close(m->pods_fd);
        safe_close(m->state_fd);
        safe_close(m->lock_fd);
        free(m->pods_path);
        free(m->host_name);
        free(m->held_reason);
        paths_done(&m->paths);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

/* ---- starting ---- */

static int on_bus_patience(sd_event_source *source, uint64_t usec, void *userdata)
{
        manager_ready_without_bus(userdata);
        return 0;
}

static int manager_adoption_complete(Manager *m)
{
        int r;

        m->adopted = true;
        m->adoption_timer = sd_event_source_disable_unref(m->adoption_timer);
        r = bus_link_new(m->event, "tankd-reconcile", manager_bus_connected,
                        manager_bus_disconnected, m, &m->link);
        if (r < 0)
                return log_error_errno(r, "cannot set up the connection to the bus");
        r = sd_event_add_time_relative(m->event, &m->adoption_timer, CLOCK_MONOTONIC,
                        BUS_PATIENCE_USEC, 0, on_bus_patience, m);
        if (r < 0)
                return log_error_errno(r, "cannot arm the timer of the bus");
        manager_queue_all(m);
        return 0;
}

static int on_adoption_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Manager *m = userdata;

        if (m->adopted)
                return 0;
        if (m->n_adopting > 0)
                log_warning("%u shims have not answered yet, going on", m->n_adopting);
        return manager_adoption_complete(m);
}

int manager_start(Manager *m)
{
        int r;

        r = manager_position_load(m);
        if (r < 0)
                return log_error_errno(r,
                                "cannot read %s/store-position: remove it to take what "
                                "the store says",
                                m->paths.run_dir);
        r = manager_adopt(m);
        if (r < 0)
                return r;
        events_recall(m);
        if (m->n_adopting == 0)
                return manager_adoption_complete(m);
        r = sd_event_add_time_relative(m->event, &m->adoption_timer, CLOCK_MONOTONIC,
                        ADOPTION_TIMEOUT_USEC, 0, on_adoption_timeout, m);
        return r < 0 ? log_error_errno(r, "cannot arm the timer of the adoption") : 0;
}
