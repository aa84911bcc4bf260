/* SPDX-License-Identifier: Apache-2.0 */

/* At start: what earlier lives of this program left in the run directory.
 *
 * A pod's directory is taken over when its record is of this boot; then each of its runs is handed
 * to the shim client, which finds out whether it lives. What a record does not name as current is a
 * leftover: stopped if it lives, cleaned up, and nothing of its container starts before that. A
 * directory of an earlier boot holds nothing that lives, and goes. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "document.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "reconcile-adopt.h"
#include "reconcile-entry.h"
#include "reconcile-launch.h"
#include "reconcile-pods.h"
#include "reconcile-record.h"
#include "shim-client.h"
#include "strv.h"

/* ---- one run ---- */

static int container_add_leftover(ContainerEntry *c, Shim *take)
{
        Shim **grown = reallocarray(c->leftovers, c->n_leftovers + 1, sizeof(Shim *));

        if (!grown)
                return -ENOMEM;
        c->leftovers = grown;
        c->leftovers[c->n_leftovers++] = take;
        return 0;
}

static int adopt_run(ContainerEntry *c, const char *run)
{
        bool current = streq(c->run, run) && !c->run_over && !c->shim;
        char path[2 * ID128_SIZE + LIMIT_NAME_MAX + 3];
        Manager *m = c->pod->manager;
        Shim *s;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s/%s", c->pod->uid, c->name, run);
        r = shim_adopt(m->shims, path, run, c, &s);
        if (r < 0)
                return log_error_errno(r, "cannot take over %s/%s", m->pods_path, path);
        m->n_adopting++;
        if (current) {
                c->shim = s;
                container_transition(c, CONTAINER_EVENT_START, REASON_NONE);
                if (c->creates_sandbox && c->pod->sandbox != SANDBOX_READY)
                        c->pod->sandbox = SANDBOX_CREATING;
                return 0;
        }
        r = container_add_leftover(c, s);
        if (r < 0) {
                shim_free(s);
                return log_oom();
        }
        shim_stop(s, 0, 0);
        return 0;
}

static int adopt_runs(PodEntry *p, const char *container)
{
        char path[ID128_SIZE + LIMIT_NAME_MAX + 2];
        CLEANUP(closedirp) DIR *d = NULL;
        ContainerEntry *c = pod_container(p, container);
        struct dirent *e;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s", p->uid, container);
        r = opendir_beneath(p->manager->pods_fd, path, &d);
        if (r == -ENOTDIR)
                return 0;
        if (r < 0)
                return log_error_errno(r, "cannot read %s/%s", p->manager->pods_path, path);
        while ((e = readdir(d))) {
                if (!id_is_valid(e->d_name))
                        continue;
                if (!c) {
                        r = pod_add_container(p, container, &c);
                        if (r < 0)
                                return log_oom();
                }
                r = adopt_run(c, e->d_name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- one pod ---- */

/* What a container without a current run is, as the record has it. */
static void container_settle(ContainerEntry *c)
{
        if (c->shim)
                return;
        if (*c->run && !c->run_over) {
                /* Named in the record, and never made: nothing ran. */
                c->run_over = true;
                c->ended = false;
                if (c->creates_sandbox && c->pod->sandbox == SANDBOX_CREATING)
                        c->pod->sandbox = SANDBOX_NONE;
        }
        if (c->run_over)
                container_show_outcome(c);
}

static int pod_load_desired(PodEntry *p)
{
        CLEANUP_FREE char *text = NULL, *sentence = NULL;
        CLEANUP_JSON json_t *document = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        Desired *desired;
        Reason reason;
        uint64_t generation;
        int r;

        r = pod_document_load(p, &text, &generation);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = document_parse(text, strlen(text), &document, &error);
        sd_bus_error_free(&error);
        if (r >= 0)
                r = desired_new(document, generation, &desired, &reason, &sentence);
        if (r < 0) {
                log_error_errno(r,
                                "pod %s/%s: its noted declaration cannot be used, waiting for "
                                "the store's: %s",
                                p->namespace, p->name, strempty(sentence));
                return 0;
        }
        pod_set_desired(p, desired);
        p->document_saved = true;
        return 0;
}

/* Of the run in @path, when its record says that it belongs there. */
static int read_run_status(Manager *m, const char *path, const char *uid, const char *container,
                ShimStatus *ret)
{
        CLEANUP_FREE char *data = NULL;
        ShimStatus status;
        Record record;
        size_t size;
        int r;

        r = read_file_at(m->pods_fd, path, LIMIT_RECORD_MAX, &data, &size);
        if (r >= 0)
                r = record_parse(data, size, 1, &record);
        if (r >= 0)
                r = shim_status_parse(&record, &status);
        if (r < 0)
                return r;
        if (!streq(status.pod_uid, uid) || !streq(status.container, container) ||
                        !name_is_valid(status.namespace) || !name_is_valid(status.pod))
                return -EBADMSG;
        *ret = status;
        return 0;
}

static int rebuild_container(Manager *m, const char *uid, const char *container, PodEntry *p)
{
        char path[2 * ID128_SIZE + LIMIT_NAME_MAX + sizeof("///record")];
        CLEANUP(closedirp) DIR *d = NULL;
        ShimStatus status;
        ContainerEntry *c;
        struct dirent *e;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%.63s", uid, container);
        if (opendir_beneath(m->pods_fd, path, &d) < 0)
                return 0; /* no directory: nothing of a container */
        while ((e = readdir(d))) {
                (void) snprintf(path, sizeof(path), "%s/%.63s/%.32s/record", uid, container,
                                e->d_name);
                if (!id_is_valid(e->d_name) || pod_container(p, container) ||
                                read_run_status(m, path, uid, container, &status) < 0)
                        continue;
                r = pod_add_container(p, container, &c);
                if (r >= 0)
                        r = free_and_strdup(&p->namespace, status.namespace);
                if (r >= 0)
                        r = free_and_strdup(&p->name, status.pod);
                if (r < 0)
                        return r;
                memcpy(c->run, e->d_name, ID128_SIZE);
                c->generation = status.generation;
                p->generation = MAX(p->generation, status.generation);
                p->sandbox = SANDBOX_READY;
        }
        return 0;
}

/* From the records of its runs, when the pod's own cannot be read. */
static int pod_rebuild(Manager *m, const char *uid, PodEntry *p)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(m->pods_fd, uid, &d);
        if (r < 0)
                return r;
        while ((e = readdir(d)))
                if (name_is_valid(e->d_name)) {
                        r = rebuild_container(m, uid, e->d_name, p);
                        if (r < 0)
                                return r;
                }
        (void) snprintf(p->uid, sizeof(p->uid), "%s", uid);
        p->declared = true;
        return p->namespace ? 0 : -ENOENT;
}

/* 0: @p is filled in; 1: there is nothing worth keeping. */
static int pod_read(Manager *m, const char *uid, PodEntry *p)
{
        char path[ID128_SIZE + sizeof("/pod.record")], boot[ID128_SIZE] = "";
        CLEANUP_FREE char *data = NULL;
        size_t size;
        int r;

        (void) snprintf(path, sizeof(path), "%s/pod.record", uid);
        r = read_file_at(m->pods_fd, path, LIMIT_RECORD_MAX, &data, &size);
        if (r == -ENOENT)
                return 1; /* its first record was not written, so that nothing was started */
        if (r >= 0)
                r = pod_record_parse(data, size, p, boot);
        if (r == -EPROTONOSUPPORT)
                return log_error_errno(r,
                                "%s/%s: written by a newer tankd-reconcile, and its pod "
                                "may run: install that version again",
                                m->pods_path, path);
        if (r >= 0)
                return streq(boot, m->boot_id) && streq(p->uid, uid) ? 0 : 1;
        if (r != -EBADMSG)
                return log_error_errno(r, "cannot read %s/%s", m->pods_path, path);
        log_error("%s/%s: damaged: taking over what runs, without counts", m->pods_path, path);
        return -EBADMSG;
}

static int adopt_pod(Manager *m, const char *uid)
{
        CLEANUP(pod_entry_freep) PodEntry *owned = NULL;
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        PodEntry *p;
        int r;

        r = pod_entry_new(&owned);
        if (r < 0)
                return log_oom();
        r = pod_read(m, uid, owned);
        if (r == -EBADMSG) {
                owned = pod_entry_free(owned);
                r = pod_entry_new(&owned);
                if (r >= 0)
                        r = pod_rebuild(m, uid, owned);
                if (r == -ENOENT)
                        r = 1;
        }
        if (r < 0)
                return r;
        if (r > 0) {
                r = remove_tree_at(m->pods_fd, uid);
                if (r < 0)
                        log_warning_errno(r, "cannot remove %s/%s, ignoring", m->pods_path, uid);
                return 0;
        }
        r = manager_insert_pod(m, owned);
        if (r < 0)
                return log_oom();
        p = TAKE_PTR(owned);
        p->on_disk = true;
        r = pod_load_desired(p);
        if (r < 0)
                return r;
        /* Of a damaged record: what was acted on last is what the sandbox was made from. Without it
         * nothing could join what is there. */
        if (p->desired && p->sandbox == SANDBOX_READY && !*p->sandbox_hash)
                memcpy(p->sandbox_hash, p->desired->sandbox_hash, sizeof(p->sandbox_hash));
        r = opendir_beneath(m->pods_fd, uid, &d);
        if (r < 0)
                return log_error_errno(r, "cannot read %s/%s", m->pods_path, uid);
        while ((e = readdir(d)))
                if (name_is_valid(e->d_name)) {
                        r = adopt_runs(p, e->d_name);
                        if (r < 0)
                                return r;
                }
        for (size_t i = 0; i < p->n_containers; i++) {
                container_settle(p->containers[i]);
                /* What is over for good was noted there by an earlier life: it goes with the pod,
                 * and is taken back at a start. */
                p->has_results_file = p->has_results_file || p->containers[i]->finished;
        }
        return 0;
}

/* ---- writable layers that nobody owns any more ---- */

static bool run_is_known(const Manager *m, const char *run)
{
        for (size_t i = 0; i < m->n_pods; i++)
                for (size_t j = 0; j < m->pods[i]->n_containers; j++) {
                        const ContainerEntry *c = m->pods[i]->containers[j];

                        if (c->shim && streq(shim_run(c->shim), run))
                                return true;
                        for (size_t k = 0; k < c->n_leftovers; k++)
                                if (streq(shim_run(c->leftovers[k]), run))
                                        return true;
                }
        return false;
}

/* They may be large: a process of its own removes them, and nobody waits for it. */
static void sweep_in_child(Manager *m, int dir_fd, char **runs)
{
        pid_t pid = fork();

        if (pid < 0) {
                log_warning_errno(-errno, "cannot sweep old writable layers, ignoring");
                return;
        }
        if (pid == 0) {
                safe_close(m->lock_fd); /* ours only while this program lives */
                if (fork() == 0)
                        STRV_FOREACH(i, runs)
                        {
                                (void) remove_tree_at(dir_fd, *i); /* the next start tries again */
                        }
                _exit(0);
        }
        (void) waitpid(pid, NULL, 0);
}

static void sweep_scratch(Manager *m)
{
        CLEANUP_STRV char **runs = NULL;
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;

        if (opendir_beneath(m->state_fd, "containers", &d) < 0)
                return;
        while ((e = readdir(d)))
                if (id_is_valid(e->d_name) && !run_is_known(m, e->d_name) &&
                                strv_append(&runs, e->d_name) < 0)
                        break;
        if (runs)
                sweep_in_child(m, dirfd(d), runs);
}

int manager_adopt(Manager *m)
{
        CLEANUP(closedirp) DIR *d = NULL;
        struct dirent *e;
        int r;

        r = opendir_beneath(m->pods_fd, ".", &d);
        if (r < 0)
                return log_error_errno(r, "cannot read %s", m->pods_path);
        while ((e = readdir(d)))
                if (id_is_valid(e->d_name)) {
                        r = adopt_pod(m, e->d_name);
                        if (r < 0)
                                return r;
                }
        sweep_scratch(m);
        if (m->n_adopting > 0)
                log_info("taking over %u runs", m->n_adopting);
        return 0;
}
