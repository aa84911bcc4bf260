/* SPDX-License-Identifier: Apache-2.0 */

/* What the store says, and when that is not believed.
 *
 * Known is a position: a database's id and the revision up to which it was followed. A store at
 * another position than that or a later one is not the store that declared what runs here. Then the
 * reconciler holds: what it knows stays wanted, pods that it learns of are shown as waiting/Held,
 * and nothing is stopped or changed because of what that store says. A crashed container is started
 * again, from the declaration last acted on. It ends when the known database is back, or when a
 * person says that this one counts (AcceptStore). The position does not survive a reboot, as
 * nothing does that it protects. Where nothing at all is known, what the store says is taken.
 *
 * A list of a store that is degraded may lack what stands in what it cannot read: what it tells of
 * is taken, what it does not tell of stays, until a list of the store that is well. */

#include <stdio.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "reconcile-desired.h"
#include "reconcile-entry.h"
#include "reconcile-event.h"
#include "reconcile-launch.h"
#include "reconcile-pods.h"
#include "reconcile-record.h"
#include "reconcile-resolve.h"
#include "reconcile-sync.h"

static void pod_announce_state(PodEntry *p)
{
        p->announce |= ANNOUNCE_STATE;
        manager_queue_pod_announcement(p);
}

static void manager_changed(Manager *m)
{
        m->announce_manager = true;
        manager_queue_announcement(m);
}

static void PRINTF_LIKE(2, 3) manager_hold(Manager *m, const char *format, ...);
static void manager_hold(Manager *m, const char *format, ...)
{
        char *reason;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&reason, format, ap);
        va_end(ap);
        if (n < 0)
                reason = strdup("the store is not the known one");
        if (!m->held_reason || !streq_ptr(m->held_reason, reason))
                log_error("held: %s", strempty(reason));
        free(m->held_reason);
        m->held_reason = reason;
        for (size_t i = 0; i < m->n_pods; i++)
                pod_announce_state(m->pods[i]);
        manager_changed(m);
        manager_queue_all(m);
}

static void manager_unhold(Manager *m)
{
        log_notice("no longer held");
        m->held_reason = (free(m->held_reason), NULL);
        for (size_t i = 0; i < m->n_pods; i++)
                pod_announce_state(m->pods[i]);
        manager_changed(m);
}

/* ---- the store's position ---- */

static bool manager_knows_pods(const Manager *m)
{
        for (size_t i = 0; i < m->n_pods; i++)
                if (!m->pods[i]->held)
                        return true;
        return false;
}

StoreVerdict manager_store_appeared(Manager *m, const char *database_id, uint64_t revision)
{
        bool same = streq(m->database_id, database_id);

        if (!m->store_up)
                log_info("the store is there: database %s, revision %" PRIu64, database_id,
                                revision);
        m->store_up = true;
        manager_changed(m);
        if (same && revision >= m->revision) {
                if (!m->held_reason) {
                        values_store_appeared(m);
                        return m->desired_known ? STORE_CONTINUE : STORE_LIST;
                }
                manager_unhold(m);
                return STORE_LIST;
        }
        if (!*m->database_id || !manager_knows_pods(m)) {
                if (m->held_reason)
                        manager_unhold(m);
                (void) snprintf(m->database_id, sizeof(m->database_id), "%s", database_id);
                m->revision = 0;
                m->desired_known = false;
                return STORE_LIST;
        }
        if (!same)
                manager_hold(m,
                                "the store's database is %s, what runs here was declared in %s; "
                                "nothing is stopped or changed: bring the old database back, or "
                                "run "
                                "`tankctl doctor --accept-store` to take this one",
                                database_id, m->database_id);
        else
                manager_hold(m,
                                "the store stands at revision %" PRIu64 ", and %" PRIu64
                                " was known "
                                "of it: it is an older copy; nothing is stopped or changed: bring "
                                "the newer one back, or run `tankctl doctor --accept-store` to "
                                "take "
                                "this one",
                                revision, m->revision);
        return STORE_LIST;
}

void manager_store_gone(Manager *m)
{
        if (!m->store_up)
                return;
        m->store_up = false;
        log_warning("the store is gone: going on with what it said last");
        manager_changed(m);
        syncs_fail(m);
}

int manager_accept_store(Manager *m, sd_bus_error *reterr)
{
        if (!m->held_reason)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "nothing is held: the store is the known one");
        if (!m->store_up)
                return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                                "the store is not there: start tankd-store first");
        log_notice("the store was accepted as it is");
        manager_unhold(m);
        m->database_id[0] = '\0';
        m->revision = 0;
        m->desired_known = false;
        m->tolerate_unreadable = true;
        return 0;
}

/* ---- documents ---- */

static void manager_undeclare(PodEntry *p)
{
        if (p->held) {
                manager_drop_pod(p);
                return;
        }
        if (!p->declared)
                return;
        log_info("pod %s/%s: no longer declared", p->namespace, p->name);
        p->declared = false;
        p->record_dirty = true;
        for (size_t i = 0; i < p->n_containers; i++)
                container_drop_values(p->containers[i]);
        pod_announce_state(p);
        manager_queue_pod(p);
}

/* Another incarnation took the name of these. */
static void manager_undeclare_others(
                Manager *m, const char *namespace, const char *name, const char *uid)
{
        for (size_t i = manager_first_after(m, namespace, name); i > 0; i--) {
                PodEntry *p = m->pods[i - 1];

                if (!streq(p->namespace, namespace) || !streq(p->name, name))
                        break;
                if (!streq(p->uid, uid))
                        manager_undeclare(p);
        }
}

static int manager_add_pod(Manager *m, const char *uid, const char *namespace, const char *name,
                PodEntry **ret)
{
        CLEANUP(pod_entry_freep) PodEntry *p = NULL;
        int r;

        if (m->n_pods >= LIMIT_PODS)
                return -ENOSPC;
        r = pod_entry_new(&p);
        if (r >= 0)
                r = free_and_strdup(&p->namespace, namespace);
        if (r >= 0)
                r = free_and_strdup(&p->name, name);
        if (r < 0)
                return r;
        (void) snprintf(p->uid, sizeof(p->uid), "%s", uid);
        r = manager_insert_pod(m, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

static int pod_take_document(PodEntry *p, json_t *document, uint64_t generation, bool fresh)
{
        CLEANUP_FREE char *sentence = NULL;
        bool news = generation > p->generation;
        Desired *desired;
        Reason reason;
        int r;

        p->generation = MAX(p->generation, generation);
        r = desired_new(document, generation, &desired, &reason, &sentence);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                pod_set_refused(p, reason, sentence);
        else
                pod_set_desired(p, desired);
        if (fresh && p->desired) {
                r = pod_results_load(p);
                if (r < 0)
                        log_error_errno(r,
                                        "pod %s/%s: cannot read %s/results/%s, its containers "
                                        "may run again",
                                        p->namespace, p->name, p->manager->paths.state_dir, p->uid);
        }
        if (news && !p->held)
                pod_emit(p, NULL, EVENT_APPLIED, "");
        manager_queue_pod(p);
        values_compare(p->manager);
        return 0;
}

/* The parts of a document that say what it is. */
typedef struct DocumentKey {
        const char *uid, *namespace, *name;
        uint64_t generation, revision;
} DocumentKey;

static int document_key(json_t *document, DocumentKey *ret)
{
        const json_t *meta = json_object_get(document, "meta");
        DocumentKey k = {
                .uid = json_get_string(meta, "uid"),
                .namespace = json_get_string(document, "namespace"),
                .name = json_get_string(document, "name"),
                .generation = (uint64_t) MAX(json_get_int(meta, "generation", 0), INT64_C(0)),
                .revision = (uint64_t) MAX(json_get_int(meta, "revision", 0), INT64_C(0)),
        };

        if (!k.namespace)
                k.namespace = "default";
        /* Namespace and name become paths. */
        if (!k.uid || !id_is_valid(k.uid) || !k.name || !name_is_valid(k.name) ||
                        !name_is_valid(k.namespace) || k.generation == 0)
                return -EBADMSG;
        *ret = k;
        return 0;
}

static int manager_take_document(Manager *m, const char *text)
{
        CLEANUP_JSON json_t *document = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        bool held = m->held_reason, fresh = false;
        DocumentKey key;
        PodEntry *p;
        int r;

        r = document_parse(text, strlen(text), &document, &error);
        sd_bus_error_free(&error);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        r = document_key(document, &key);
        if (r < 0)
                return r;
        p = manager_find_uid(m, key.namespace, key.name, key.uid);
        if (!p) {
                if (!held)
                        manager_undeclare_others(m, key.namespace, key.name, key.uid);
                r = manager_add_pod(m, key.uid, key.namespace, key.name, &p);
                if (r < 0)
                        return r;
                p->held = held;
                fresh = true;
        }
        p->seen = true;
        if (held && !p->held)
                return 0; /* what is known of it stays */
        if (!held) {
                if (p->held || !p->declared)
                        manager_queue_pod(p);
                if (p->held)
                        manager_undeclare_others(m, key.namespace, key.name, key.uid);
                p->held = false;
        }
        if (!p->declared)
                pod_announce_state(p);
        p->declared = true;
        p->revision = MAX(p->revision, key.revision);
        if (key.generation < p->generation ||
                        (p->desired && p->desired->generation == key.generation))
                return 0; /* nothing new in it */
        return pod_take_document(p, document, key.generation, fresh);
}

/* ---- lists and changes ---- */

void manager_list_begin(Manager *m)
{
        m->skipped = 0;
        for (size_t i = 0; i < m->n_pods; i++)
                m->pods[i]->seen = false;
}

void manager_list_document(Manager *m, const char *document)
{
        int r = manager_take_document(m, document);

        if (r >= 0)
                return;
        if (r == -ENOSPC) {
                log_error("more than %u pods are declared: not taken: %.200s", LIMIT_PODS,
                                document);
                return;
        }
        log_error_errno(r, "the store sent a pod that cannot be taken: %.200s", document);
        m->skipped++;
}

/* What was not told of goes: pods that were never acted on at once. */
static void manager_remove_unseen(Manager *m)
{
        bool held = m->held_reason;

        for (size_t i = m->n_pods; i > 0; i--) { /* they may go from the array */
                PodEntry *p = m->pods[i - 1];

                if (!p->seen && (!held || p->held))
                        manager_undeclare(p);
        }
}

/* What a degraded store does not tell of may stand in what it cannot read: it stays as it is. */
static void manager_keep_unseen(Manager *m)
{
        unsigned n = 0;

        for (size_t i = 0; i < m->n_pods; i++)
                n += !m->pods[i]->seen && m->pods[i]->declared;
        if (n > 0)
                log_warning("the store is degraded and does not list %u pods that are known: they "
                            "stay until it is well and says so again",
                                n);
}

void manager_list_end(Manager *m, uint64_t revision, bool whole)
{
        bool held = m->held_reason;

        m->list_is_partial = false; /* what is held is listed anew when it ends */
        if (!held && m->skipped > 0 && !m->tolerate_unreadable && manager_knows_pods(m)) {
                manager_hold(m,
                                "%u documents of the store cannot be read, so that it is not known "
                                "what is declared; nothing is stopped: see the log, or run "
                                "`tankctl "
                                "doctor --accept-store` to go on without them",
                                m->skipped);
                return;
        }
        if (whole)
                manager_remove_unseen(m);
        else
                manager_keep_unseen(m);
        if (!held) {
                m->list_is_partial = !whole;
                m->revision = revision;
                m->position_dirty = true;
                m->desired_known = true;
                if (whole) {
                        m->tolerate_unreadable = false;
                        manager_sweep_results(m);
                        events_settle(m);
                }
                values_changes_missed(m);
        }
        manager_changed(m);
        manager_queue_all(m);
}

static void manager_remove_named(
                Manager *m, uint64_t revision, const char *namespace, const char *name)
{
        for (size_t i = manager_first_after(m, namespace, name); i > 0; i--) {
                PodEntry *p = m->pods[i - 1];

                if (!streq(p->namespace, namespace) || !streq(p->name, name))
                        break;
                /* A list may have told of what came after this removal. */
                if (p->revision < revision && (p->held || !m->held_reason))
                        manager_undeclare(p);
        }
}

void manager_change(Manager *m, uint64_t revision, const char *operation, const char *type,
                const char *namespace, const char *name, const char *document)
{
        bool deleted = streq(operation, "deleted");
        int r;

        if (!streq(type, "pod")) {
                ValueSource source = value_source_from_string(type);

                if ((int) source >= 0)
                        values_object_changed(m, revision, source, namespace, name, deleted);
                return;
        }
        if (deleted) {
                manager_remove_named(m, revision, namespace, name);
                return;
        }
        r = manager_take_document(m, document);
        if (r < 0)
                log_error_errno(r,
                                "the store sent pod %s/%s, which cannot be taken; what runs of it "
                                "is left alone: %.200s",
                                namespace, name, document);
}

void manager_caught_up(Manager *m, uint64_t revision, uint64_t read)
{
        m->last_read = read;
        if (!m->held_reason && revision != m->revision) {
                m->revision = revision;
                m->position_dirty = true;
        }
        manager_queue_pass(m);
}
