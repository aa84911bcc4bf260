/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Reconcile1: the manager's methods and properties, events, and the connection itself.
 * Nothing here decides anything: methods read, or put a wish where the next pass finds it. */

#include <fcntl.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "bus-names.h"
#include "bus-options.h"
#include "error.h"
#include "fd.h"
#include "log-format.h"
#include "log.h"
#include "names.h"
#include "reconcile-dbus.h"
#include "reconcile-desired.h"
#include "reconcile-entry.h"
#include "reconcile-logs.h"
#include "reconcile-pods.h"
#include "reconcile-resolve.h"
#include "reconcile-status.h"
#include "reconcile-sync.h"
#include "reconcile-watch.h"
#include "shim-client.h"
#include "strv.h"

static BusAccess *get_access(void *userdata)
{
        return ((Manager *) userdata)->access;
}

/* ---- finding what is meant ---- */

static int find_pod(Manager *m, const char *namespace, const char *name, PodEntry **ret,
                sd_bus_error *reterr)
{
        PodEntry *p = manager_find_pod(m, namespace, name);

        if (!p)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no pod %.63s in namespace %.63s", name, namespace);
        *ret = p;
        return 0;
}

/* "" is the first one that is no init container. */
static int find_container(PodEntry *p, const char *name, ContainerEntry **ret, sd_bus_error *reterr)
{
        ContainerEntry *c = isempty(name) ? pod_first_container(p) : pod_container(p, name);

        if (!c)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "pod %s/%s has no container %.63s", p->namespace, p->name, name);
        *ret = c;
        return 0;
}

static bool container_runs(const ContainerEntry *c)
{
        const ShimStatus *status = container_run_status(c);

        return status && status->pid > 0 && (c->state == RUN_RUNNING || c->state == RUN_STOPPING);
}

static int not_running(const ContainerEntry *c, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING, "%s/%s/%s does not run: it is %s%s%s",
                        c->pod->namespace, c->pod->name, c->name, run_state_to_string(c->state),
                        c->reason ? ", " : "", reason_to_string(c->reason));
}

/* ---- reading ---- */

/* "NAMESPACE/POD" of the last pod of the page before. */
static int parse_token(const char *token, char ret_namespace[static LIMIT_NAME_MAX + 1],
                const char **ret_name)
{
        const char *slash = strchr(token, '/');

        if (!slash || (size_t) (slash - token) > LIMIT_NAME_MAX)
                return -EINVAL;
        memcpy(ret_namespace, token, (size_t) (slash - token));
        ret_namespace[slash - token] = '\0';
        *ret_name = slash + 1;
        return name_is_valid(ret_namespace) && name_is_valid(*ret_name) ? 0 : -EINVAL;
}

static int append_page(Manager *m, size_t from, const char *namespace, uint32_t limit,
                sd_bus_message *reply, const PodEntry **ret_last)
{
        const PodEntry *last = NULL;
        size_t bytes = 0;
        uint32_t n = 0;
        int r = 0;

        for (size_t i = from; i < m->n_pods && r >= 0; i++) {
                CLEANUP_FREE char *status = NULL;
                PodEntry *p = m->pods[i];

                if (*namespace && !streq(p->namespace, namespace)) {
                        if (strcmp(p->namespace, namespace) > 0)
                                break;
                        continue;
                }
                if (manager_find_pod(m, p->namespace, p->name) != p)
                        continue; /* an older incarnation on its way out */
                if (n == limit || bytes >= LIMIT_PAGE_BYTES) {
                        *ret_last = last;
                        return 0;
                }
                r = pod_status_json(p, &status);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(sssts)", p->namespace, p->name, p->uid,
                                        p->desired ? p->desired->generation : p->generation,
                                        status);
                if (r < 0)
                        return r;
                bytes += strlen(status) + 256;
                last = p;
                n++;
        }
        *ret_last = NULL;
        return r;
}

static int method_list_status_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP_FREE char *next = NULL;
        char token_namespace[LIMIT_NAME_MAX + 1];
        const char *namespace, *token = "", *token_name;
        const PodEntry *last = NULL;
        Manager *manager = userdata;
        uint32_t limit = LIMIT_PAGE_ENTRIES;
        size_t from = 0;
        int r;

        r = sd_bus_message_read(m, "s", &namespace);
        if (r >= 0)
                r = bus_read_options(m,
                                (const BusOption[]){
                                                { "limit", 'u', &limit, NULL },
                                                { "continue", 's', &token, NULL },
                                },
                                2, reterr);
        if (r < 0)
                return r;
        if (*token && parse_token(token, token_namespace, &token_name) < 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"continue\": not a token that a page ended with");
        if (limit == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"limit\": must be at least 1");
        if (*token)
                from = manager_first_after(manager, token_namespace, token_name);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssts)");
        if (r >= 0)
                r = append_page(manager, from, namespace, MIN(limit, LIMIT_PAGE_ENTRIES), reply,
                                &last);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0 && last && asprintf(&next, "%s/%s", last->namespace, last->name) < 0) {
                next = NULL;
                r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", strempty(next));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_get_status_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *status = NULL;
        const char *namespace, *name;
        PodEntry *p = NULL;
        int r;

        r = sd_bus_message_read(m, "ss", &namespace, &name);
        if (r >= 0)
                r = find_pod(userdata, namespace, name, &p, reterr);
        if (r >= 0)
                r = pod_status_json(p, &status);
        return r < 0 ? r : sd_bus_reply_method_return(m, "sts", p->uid, p->generation, status);
}

static int method_get_run_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        char bus_name[sizeof(TANK_SHIM_NAME_PREFIX) + 16];
        const char *namespace, *name, *container;
        ContainerEntry *c;
        PodEntry *p = NULL;
        int r;

        r = sd_bus_message_read(m, "sss", &namespace, &name, &container);
        if (r >= 0)
                r = find_pod(userdata, namespace, name, &p, reterr);
        if (r >= 0)
                r = find_container(p, container, &c, reterr);
        if (r < 0)
                return r;
        if (!container_runs(c))
                return not_running(c, reterr);
        (void) snprintf(bus_name, sizeof(bus_name), TANK_SHIM_NAME_PREFIX "%.16s", c->run);
        return sd_bus_reply_method_return(
                        m, "ssu", c->run, bus_name, (uint32_t) shim_status(c->shim)->pid);
}

/* ---- wishes ---- */

static int method_restart_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        const char *namespace, *name, *container;
        ContainerEntry *c = NULL;
        Manager *manager = userdata;
        PodEntry *p = NULL;
        int r;

        r = sd_bus_message_read(m, "sss", &namespace, &name, &container);
        if (r >= 0)
                r = find_pod(manager, namespace, name, &p, reterr);
        if (r >= 0 && *container)
                r = find_container(p, container, &c, reterr);
        if (r < 0)
                return r;
        if (manager->held_reason)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION, "held: %s",
                                manager->held_reason);
        if (!p->declared)
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "pod %s/%s is no longer declared", p->namespace, p->name);
        if (p->refused != REASON_NONE || !p->desired)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "pod %s/%s cannot be started: %s", p->namespace, p->name,
                                strempty(p->refusal));
        pod_restart(p, c);
        return sd_bus_reply_method_return(m, NULL);
}

/* The same that its shim asks of whoever comes to it directly. */
static int may_signal(const ContainerEntry *c, const BusCaller *caller, sd_bus_error *reterr)
{
        return bus_caller_check_privileged(
                        caller, container_run_status(c)->privileged, c->pod->name, reterr);
}

static int kill_container(ContainerEntry *c, int signo, sd_bus_error *reterr)
{
        int r;

        r = shim_kill(c->shim, signo);
        if (r == -EAGAIN)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "%s/%s/%s: its shim has not taken the last requests yet; try again",
                                c->pod->namespace, c->pod->name, c->name);
        if (r < 0)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "%s/%s/%s: its shim cannot be reached", c->pod->namespace,
                                c->pod->name, c->name);
        return 1;
}

static int method_kill_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        const char *namespace, *name, *container;
        ContainerEntry *c = NULL;
        bool killed = false;
        PodEntry *p = NULL;
        int r, signo;

        r = sd_bus_message_read(m, "sssi", &namespace, &name, &container, &signo);
        if (r >= 0)
                r = find_pod(userdata, namespace, name, &p, reterr);
        if (r >= 0)
                r = find_container(p, container, &c, reterr);
        if (r < 0)
                return r;
        if (signo < 1 || signo > 64)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "signal %d: must be 1-64", signo);
        if (*container) {
                if (!container_runs(c))
                        return not_running(c, reterr);
                r = may_signal(c, caller, reterr);
                if (r >= 0)
                        r = kill_container(c, signo, reterr);
                return r < 0 ? r : sd_bus_reply_method_return(m, NULL);
        }
        /* All or none of them is refused. */
        for (size_t i = 0; i < p->n_containers; i++)
                if (container_runs(p->containers[i])) {
                        r = may_signal(p->containers[i], caller, reterr);
                        if (r < 0)
                                return r;
                }
        for (size_t i = 0; i < p->n_containers; i++)
                if (container_runs(p->containers[i])) {
                        r = kill_container(p->containers[i], signo, reterr);
                        if (r < 0)
                                return r;
                        killed = true;
                }
        return killed ? sd_bus_reply_method_return(m, NULL) : not_running(c, reterr);
}

static int method_open_logs_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        const char *namespace, *name, *container;
        CLEANUP_STRV char **names = NULL;
        CLEANUP_CLOSE int dir = -EBADF;
        int r;

        r = sd_bus_message_read(m, "sss", &namespace, &name, &container);
        if (r >= 0)
                r = manager_open_logs(userdata, namespace, name, container, &dir, &names, reterr);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "h", dir);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, names);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_sync_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Manager *manager = userdata;
        uint64_t read;
        int r;

        r = syncs_check(manager, reterr);
        if (r < 0)
                return r;
        if (watch_read(manager->watch, &read) < 0)
                return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                                "the store is not there: start tankd-store");
        syncs_add(manager, m, read);
        return 1;
}

static int method_accept_store_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        Manager *manager = userdata;
        int r;

        r = manager_accept_store(manager, reterr);
        if (r < 0)
                return r;
        watch_restart(manager->watch);
        return sd_bus_reply_method_return(m, NULL);
}

BUS_METHOD(method_list_status, BUS_INSPECT, get_access)
BUS_METHOD(method_get_status, BUS_INSPECT, get_access)
BUS_METHOD(method_get_run, BUS_INSPECT, get_access)
BUS_METHOD(method_restart, BUS_MANAGE, get_access)
BUS_METHOD(method_kill, BUS_MANAGE, get_access)
BUS_METHOD(method_open_logs, BUS_ATTACH, get_access) /* logs may hold secrets */
BUS_METHOD(method_list_events, BUS_INSPECT, get_access)
BUS_METHOD(method_sync, BUS_MANAGE, get_access)
BUS_METHOD(method_accept_store, BUS_ADMIN, get_access)

/* ---- properties ---- */

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "s",
                        m->held_reason ? "held"
                        : m->store_up  ? "ok"
                                       : "no-store");
}

static int get_held_reason(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "s", strempty(m->held_reason));
}

static int get_database_id(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "s", m->database_id);
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("HeldReason", "s", get_held_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("DatabaseId", "s", get_database_id, 0, 0),
        SD_BUS_PROPERTY("StoreRevision", "t", NULL, offsetof(Manager, revision), 0),
        SD_BUS_PROPERTY("EventSequence", "t", get_event_sequence, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("ListStatus", SD_BUS_ARGS("s", namespace, "a{sv}", options),
                        SD_BUS_RESULT("a(sssts)", pods, "s", next), method_list_status,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetStatus", SD_BUS_ARGS("s", namespace, "s", pod),
                        SD_BUS_RESULT("s", uid, "t", generation, "s", status), method_get_status,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetRun", SD_BUS_ARGS("s", namespace, "s", pod, "s", container),
                        SD_BUS_RESULT("s", run, "s", bus_name, "u", pid), method_get_run,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Restart", SD_BUS_ARGS("s", namespace, "s", pod, "s", container),
                        SD_BUS_NO_RESULT, method_restart, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Kill",
                        SD_BUS_ARGS("s", namespace, "s", pod, "s", container, "i", signal),
                        SD_BUS_NO_RESULT, method_kill, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("OpenLogs", SD_BUS_ARGS("s", namespace, "s", pod, "s", container),
                        SD_BUS_RESULT("h", directory, "as", names), method_open_logs,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListEvents", SD_BUS_ARGS("s", namespace, "a{sv}", options),
                        SD_BUS_RESULT("a(ssssststt)", events, "s", next, "t", sequence),
                        method_list_events, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Sync", SD_BUS_NO_ARGS, SD_BUS_RESULT("t", revision), method_sync,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("AcceptStore", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                        method_accept_store, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("PodEvent",
                        SD_BUS_ARGS("s", namespace, "s", pod, "s", uid, "s", container, "s", event,
                                        "t", generation, "s", detail, "t", at_usec),
                        0),
        SD_BUS_VTABLE_END,
};

/* ---- telling ---- */

void manager_announce(Manager *m)
{
        if (!m->bus)
                return;
        if (m->announce_manager)
                (void) sd_bus_emit_properties_changed(m->bus, TANK_RECONCILE_PATH,
                                TANK_RECONCILE_INTERFACE, "State", "HeldReason", NULL);
        m->announce_manager = false;
        while (m->announced.first) {
                PodEntry *p = m->announced.first;

                m->announced.first = p->next_announced;
                if (!m->announced.first)
                        m->announced.last = &m->announced.first;
                p->announce_queued = false;
                pod_announce(p);
        }
}

/* ---- the connection ---- */

static void manager_tell_ready(Manager *m)
{
        if (!m->ready_told)
                (void) sd_notify(false, "READY=1\nSTATUS=Reconciling"); /* nobody may listen */
        m->ready_told = true;
}

void manager_ready_without_bus(Manager *m)
{
        if (!m->ready_told)
                log_warning("no system bus yet: going on without it");
        manager_tell_ready(m);
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        Manager *m = userdata;
        uint32_t result;

        if (e) {
                log_error("cannot have the name %s on the bus: %s", TANK_RECONCILE_NAME,
                                strempty(e->message));
                return 0;
        }
        if (sd_bus_message_read(reply, "u", &result) < 0)
                return 0;
        if (result == 1)
                manager_tell_ready(m);
        else /* often a predecessor that is leaving; NameAcquired needs no answer */
                log_warning("another process holds %s: waiting for it to go", TANK_RECONCILE_NAME);
        return 0;
}

int manager_bus_connected(sd_bus *bus, void *userdata)
{
        Manager *m = userdata;
        int r;

        r = bus_access_new(bus, &m->access);
        if (r < 0)
                return r;
        m->n_slots = 0;
        r = sd_bus_add_object_vtable(bus, &m->slots[m->n_slots], TANK_RECONCILE_PATH,
                        TANK_RECONCILE_INTERFACE, manager_vtable, m);
        if (r < 0)
                return r;
        m->n_slots++;
        r = pod_objects_add(m, bus);
        if (r < 0)
                return r;
        r = sd_bus_request_name_async(bus, &m->slots[m->n_slots], TANK_RECONCILE_NAME,
                        SD_BUS_NAME_QUEUE, on_name, m);
        if (r < 0)
                return r;
        m->n_slots++;
        m->bus = bus;
        manager_queue_announcement(m);
        return watch_connected(m->watch, bus);
}

void manager_bus_disconnected(void *userdata)
{
        Manager *m = userdata;

        if (m->watch && m->bus)
                watch_disconnected(m->watch);
        values_disconnected(m);
        for (size_t i = 0; i < m->n_syncs; i++)
                sd_bus_message_unref(m->syncs[i].message);
        m->n_syncs = 0;
        while (m->n_slots > 0) {
                m->n_slots--;
                m->slots[m->n_slots] = sd_bus_slot_unref(m->slots[m->n_slots]);
        }
        m->access = bus_access_free(m->access);
        m->bus = NULL;
}

int manager_print_introspection(void)
{
        int r;

        r = bus_print_introspection(TANK_RECONCILE_PATH,
                        (const BusInterface[]){ { TANK_RECONCILE_INTERFACE, manager_vtable } }, 1);
        if (r >= 0)
                r = bus_print_introspection(TANK_RECONCILE_POD_PREFIX "/NAMESPACE/POD",
                                (const BusInterface[]){
                                                { TANK_RECONCILE_POD_INTERFACE, pod_vtable } },
                                1);
        if (r >= 0)
                r = bus_print_introspection(TANK_RECONCILE_POD_PREFIX "/NAMESPACE/POD/CONTAINER",
                                (const BusInterface[]){ { TANK_RECONCILE_CONTAINER_INTERFACE,
                                                container_vtable } },
                                1);
        return r;
}
