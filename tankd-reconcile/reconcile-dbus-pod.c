/* SPDX-License-Identifier: Apache-2.0 */

/* Pods and containers on the bus, at …/pod/NAMESPACE/POD and …/pod/NAMESPACE/POD/CONTAINER. */

#include <stdio.h>

#include "bus-names.h"
#include "log.h"
#include "reconcile-dbus.h"
#include "reconcile-entry.h"
#include "reconcile-pods.h"
#include "reconcile-status.h"
#include "strv.h"

/* ---- paths ---- */

/* The elements of @path beneath the pods' prefix: 2 for a pod, 3 for a container, else 0. */
static unsigned split_path(
                const char *path, char **ret_namespace, char **ret_pod, char **ret_container)
{
        CLEANUP_FREE char *namespace = NULL, *pod = NULL, *container = NULL;

        if (sd_bus_path_decode_many(path, TANK_RECONCILE_POD_PREFIX "/%/%/%", &namespace, &pod,
                            &container) > 0) {
                *ret_container = TAKE_PTR(container);
        } else if (sd_bus_path_decode_many(
                                   path, TANK_RECONCILE_POD_PREFIX "/%/%", &namespace, &pod) <= 0)
                return 0;
        *ret_namespace = TAKE_PTR(namespace);
        *ret_pod = TAKE_PTR(pod);
        return *ret_container ? 3 : 2;
}

static int pod_path(const PodEntry *p, const ContainerEntry *c, char **ret)
{
        if (c)
                return sd_bus_path_encode_many(ret, TANK_RECONCILE_POD_PREFIX "/%/%/%",
                                p->namespace, p->name, c->name);
        return sd_bus_path_encode_many(
                        ret, TANK_RECONCILE_POD_PREFIX "/%/%", p->namespace, p->name);
}

static int find_pod(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *reterr)
{
        CLEANUP_FREE char *namespace = NULL, *pod = NULL, *container = NULL;

        if (split_path(path, &namespace, &pod, &container) != 2)
                return 0;
        *ret_found = manager_find_pod(userdata, namespace, pod);
        return *ret_found ? 1 : 0;
}

static int find_container(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *reterr)
{
        CLEANUP_FREE char *namespace = NULL, *pod = NULL, *container = NULL;
        PodEntry *p;

        if (split_path(path, &namespace, &pod, &container) != 3)
                return 0;
        p = manager_find_pod(userdata, namespace, pod);
        *ret_found = p ? pod_container(p, container) : NULL;
        return *ret_found ? 1 : 0;
}

/* For introspection, which asks at each level for everything below: bounded, since a machine may
 * have more pods than a message holds. */
#define ENUMERATED_MAX 1000U

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                sd_bus_error *reterr)
{
        CLEANUP_STRV char **nodes = NULL;
        Manager *m = userdata;
        size_t n = 0;
        char *path;
        int r;

        for (size_t i = 0; i < m->n_pods && n < ENUMERATED_MAX; i++) {
                PodEntry *p = m->pods[i];

                if (manager_find_pod(m, p->namespace, p->name) != p)
                        continue;
                for (size_t j = 0; j <= p->n_containers; j++, n++) {
                        r = pod_path(p, j == 0 ? NULL : p->containers[j - 1], &path);
                        if (r >= 0)
                                r = strv_append_take(&nodes, path);
                        if (r < 0)
                                return r;
                }
        }
        *ret_nodes = TAKE_PTR(nodes);
        return 1;
}

/* ---- the pod's properties ---- */

static int get_pod_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "s", run_state_to_string(pod_state(userdata)));
}

static int get_pod_reason(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "s", reason_to_string(pod_reason(userdata)));
}

static int get_pod_message(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *message = NULL;
        int r = pod_message(userdata, &message);

        return r < 0 ? r : sd_bus_message_append(reply, "s", message);
}

static int get_pod_ready(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "b", (int) pod_sum(userdata).ready);
}

static int get_pod_uid(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const PodEntry *p = userdata;

        return sd_bus_message_append(reply, "s", p->uid);
}

/* Behind both Containers and InitContainers. */
static int get_pod_containers(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        bool init = streq(property, "InitContainers");
        const PodEntry *p = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < p->n_containers; i++)
                if (container_is_init(p->containers[i]) == init)
                        r = sd_bus_message_append(reply, "s", p->containers[i]->name);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_pod_status(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_FREE char *status = NULL;
        int r = pod_status_json(userdata, &status);

        return r < 0 ? r : sd_bus_message_append(reply, "s", status);
}

/* ---- the container's properties ---- */

static int get_container_state(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ContainerEntry *c = userdata;

        return sd_bus_message_append(reply, "s", run_state_to_string(c->state));
}

static int get_container_reason(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ContainerEntry *c = userdata;

        return sd_bus_message_append(reply, "s", reason_to_string(c->reason));
}

static int get_container_ready(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        return sd_bus_message_append(reply, "b", (int) container_is_ready(userdata));
}

static int get_container_pid(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimStatus *status = container_run_status(userdata);

        return sd_bus_message_append(reply, "u", status ? (uint32_t) status->pid : 0U);
}

static int get_container_run(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ContainerEntry *c = userdata;

        return sd_bus_message_append(reply, "s", container_run_status(c) ? c->run : "");
}

static int get_container_bus_name(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        char name[sizeof(TANK_SHIM_NAME_PREFIX) + 16] = "";
        const ContainerEntry *c = userdata;

        if (container_run_status(c))
                (void) snprintf(name, sizeof(name), TANK_SHIM_NAME_PREFIX "%.16s", c->run);
        return sd_bus_message_append(reply, "s", name);
}

static int get_container_started(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ShimStatus *status = container_run_status(userdata);

        return sd_bus_message_append(reply, "t", status ? status->started_usec : UINT64_C(0));
}

static int get_container_results(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const ContainerEntry *c = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sit)");
        for (size_t i = 0; r >= 0 && i < c->n_results; i++)
                r = sd_bus_message_append(reply, "(sit)", result_kind_to_string(c->results[i].kind),
                                c->results[i].code, c->results[i].at_usec);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- announcements ---- */

static void emit(PodEntry *p, ContainerEntry *c, const char *interface, char **properties)
{
        CLEANUP_FREE char *path = NULL;
        int r;

        r = pod_path(p, c, &path);
        if (r >= 0)
                r = sd_bus_emit_properties_changed_strv(
                                p->manager->bus, path, interface, properties);
        if (r < 0)
                log_debug("cannot announce a change of %s/%s: %s", p->namespace, p->name,
                                errno_words(r));
}

static void container_announce(ContainerEntry *c)
{
        char *names[12];
        size_t n = 0;

        if (c->announce & ANNOUNCE_STATE) {
                names[n++] = (char *) "State";
                names[n++] = (char *) "Reason";
                names[n++] = (char *) "Ready";
                names[n++] = (char *) "Restarts";
                names[n++] = (char *) "RestartBootUSec";
        }
        if (c->announce & ANNOUNCE_RUN) {
                names[n++] = (char *) "Pid";
                names[n++] = (char *) "Run";
                names[n++] = (char *) "ShimBusName";
                names[n++] = (char *) "StartedUSec";
        }
        if (c->announce & ANNOUNCE_RESULTS)
                names[n++] = (char *) "Results";
        names[n] = NULL;
        if (n > 0)
                emit(c->pod, c, TANK_RECONCILE_CONTAINER_INTERFACE, names);
        c->announce = 0;
}

void pod_announce(PodEntry *p)
{
        bool newest = manager_find_pod(p->manager, p->namespace, p->name) == p;
        char *names[10];
        size_t n = 0;

        for (size_t i = 0; i < p->n_containers; i++) {
                p->announce |= p->containers[i]->announce;
                if (newest)
                        container_announce(p->containers[i]);
        }
        if (p->announce & ANNOUNCE_STATE) {
                names[n++] = (char *) "State";
                names[n++] = (char *) "Reason";
                names[n++] = (char *) "Message";
                names[n++] = (char *) "Ready";
        }
        if (p->announce & ANNOUNCE_SPEC) {
                names[n++] = (char *) "Generation";
                names[n++] = (char *) "Containers";
                names[n++] = (char *) "InitContainers";
        }
        if (p->announce)
                names[n++] = (char *) "Status";
        names[n] = NULL;
        if (n > 0 && newest)
                emit(p, NULL, TANK_RECONCILE_POD_INTERFACE, names);
        p->announce = 0;
}

/* ---- vtables ---- */

const sd_bus_vtable pod_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Namespace", "s", NULL, offsetof(PodEntry, namespace),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Name", "s", NULL, offsetof(PodEntry, name), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Uid", "s", get_pod_uid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Generation", "t", NULL, offsetof(PodEntry, generation),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("State", "s", get_pod_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Reason", "s", get_pod_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Message", "s", get_pod_message, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ready", "b", get_pod_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Containers", "as", get_pod_containers, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("InitContainers", "as", get_pod_containers, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Status", "s", get_pod_status, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_VTABLE_END,
};

const sd_bus_vtable container_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", NULL, offsetof(ContainerEntry, name),
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_container_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Reason", "s", get_container_reason, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ready", "b", get_container_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Pid", "u", get_container_pid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Run", "s", get_container_run, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ShimBusName", "s", get_container_bus_name, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Restarts", "u", NULL, offsetof(ContainerEntry, restarts),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StartedUSec", "t", get_container_started, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RestartBootUSec", "t", NULL, offsetof(ContainerEntry, restart_boot_usec),
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Results", "a(sit)", get_container_results, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
        SD_BUS_VTABLE_END,
};

int pod_objects_add(Manager *m, sd_bus *bus)
{
        int r;

        r = sd_bus_add_fallback_vtable(bus, &m->slots[m->n_slots], TANK_RECONCILE_POD_PREFIX,
                        TANK_RECONCILE_POD_INTERFACE, pod_vtable, find_pod, m);
        if (r < 0)
                return r;
        m->n_slots++;
        r = sd_bus_add_fallback_vtable(bus, &m->slots[m->n_slots], TANK_RECONCILE_POD_PREFIX,
                        TANK_RECONCILE_CONTAINER_INTERFACE, container_vtable, find_container, m);
        if (r < 0)
                return r;
        m->n_slots++;
        r = sd_bus_add_node_enumerator(
                        bus, &m->slots[m->n_slots], TANK_RECONCILE_POD_PREFIX, enumerate, m);
        if (r < 0)
                return r;
        m->n_slots++;
        return 0;
}
