/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The reconciler's core: what is declared, what runs, and the loop that makes the second match the
 * first.
 *
 * One thread, one sd-event loop, nothing that blocks. A Manager owns all; it has a PodEntry for
 * each incarnation of a pod that is declared or of which something is left, sorted by namespace,
 * name and age; a PodEntry has a ContainerEntry for each container that is declared or of which
 * something is left: init containers first, then the others, each in declared order, then what is
 * no longer declared.
 *
 * Who calls whom: the store client (reconcile-watch) and the shims (shim-client) report facts to
 * the manager; facts make a pod dirty; the pass, once per loop iteration, plans each dirty pod
 * (reconcile-plan) and carries the plan out (reconcile-pod). The bus objects (reconcile-dbus) read,
 * and ask for restarts. The pass is all that starts, stops and removes.
 *
 * Each file includes only files further down:
 *
 *   reconcile.c          the manager: making it, pass, timers
 *   reconcile-dbus*.c    bus objects
 *   reconcile-pods.c     the sorted array of pods
 *   reconcile-desired.c  what the store says, and when that is not believed (Held)
 *   reconcile-entry.c    pods and containers as entries; the one setter of a state
 *   reconcile-pod.c      one pod: planning, carrying out
 *   reconcile-resolve.c  what starts need of secrets and configs, asked of the store
 *   reconcile-run.c      what shims report
 *   reconcile-refresh.c  new values for live volumes
 *   reconcile-fetch.c    secrets and configs, read from the store
 *   reconcile-adopt.c    at start: what earlier lives of this program left in the run directory
 *   reconcile-plan.c     the decisions (pure)
 *   reconcile-state.c    the state table (pure)
 *   reconcile-launch.c   from the declaration to the launch record; hashes; id ranges
 *   reconcile-values.c   the same from what the store gave to the launch record (pure)
 *   reconcile-record.c   files: pod records, results, the position in the store
 *   reconcile-watch.c    the store client
 *   reconcile-status.c   what people are told
 *   reconcile-event.c    events: what was told before, what is told now
 *   reconcile-journal.c  the log of events
 *   reconcile-sync.c     calls of Sync that wait
 *   reconcile-model.c    the types, and the queues that tie them
 *   shim-client.c        one run: spawn, life, adoption, clean-up; shim-channel.c: what is said
 *   shim-spawn.c         executing tank-shim */

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bus-access.h"
#include "bus-util.h"
#include "clock.h"
#include "digest.h"
#include "limit.h"
#include "macro.h"
#include "paths.h"
#include "reconcile-plan.h"
#include "reconcile-state.h"
#include "spec.h"
#include "state.h"

typedef struct Manager Manager;
typedef struct PodEntry PodEntry;
typedef struct ContainerEntry ContainerEntry;
typedef struct Shim Shim;
typedef struct ShimContext ShimContext;
typedef struct Watch Watch;
typedef struct Journal Journal;
typedef struct Values Values;

/* Which properties of an object the bus has not been told of yet. */
typedef enum Announce {
        ANNOUNCE_STATE = 1 << 0,
        ANNOUNCE_RUN = 1 << 1,
        ANNOUNCE_RESULTS = 1 << 2,
        ANNOUNCE_SPEC = 1 << 3, /* generation, containers */
} Announce;

/* What is declared, made from one document. */
typedef struct Desired {
        uint64_t generation;
        char *document; /* stored form, without meta */
        Pod *pod;
        char (*launch_hashes)[SHA256_HEX_SIZE]; /* one for each container of @pod */
        char sandbox_hash[SHA256_HEX_SIZE];
        char hosts_hash[SHA256_HEX_SIZE]; /* of extra_hosts; "" when there are none */
        bool privileged;
} Desired;

/* Tells whether values are the same without having them: see reconcile-digest.h. */
#define VALUES_KEY_SIZE    32
#define VALUES_DIGEST_SIZE 33 /* hex digits and the end */

/* A secret or config that a run was started with. */
typedef struct UsedObject {
        ValueSource source;
        char *name;
        uint64_t revision;
        uint64_t live_revision; /* of what stands in its live volumes, 0: it is in none */
        bool unchecked;         /* there may be a later one that nobody told of */
        /* Of the values that the run had of it, under the key of this boot; "": not known. */
        char digest[VALUES_DIGEST_SIZE];
} UsedObject;

struct ContainerEntry {
        PodEntry *pod;
        char *name;
        const RunState state; /* written by container_transition() alone */
        const Reason reason;
        char *message;    /* what exactly failed in the last start, NULL mostly */
        char *dependency; /* with DependencyWait: for what */
        Values *values;   /* of the next start, NULL: not asked for */

        /* of the current or last run */
        char run[ID128_SIZE];              /* "" when there was none */
        char launch_hash[SHA256_HEX_SIZE]; /* "" when there was none */
        uint64_t generation;               /* the declared one it was last compared with */
        Limits limits;                     /* in force */
        char hosts_hash[SHA256_HEX_SIZE];  /* in force */
        struct {
                bool asked; /* the shim owes an answer for: */
                Limits limits;
                char hosts_hash[SHA256_HEX_SIZE];
                unsigned refusals;  /* in a row, of what is declared now */
                uint64_t boot_usec; /* not asked again before then */
                char *refusal;      /* the last one, a sentence; NULL: none */
        } update;                   /* see reconcile-update.c */
        Values *refresh;            /* of its live volumes: being read, or sent and not answered */
        char *refresh_trouble; /* why they could not be replaced the last time; NULL: they were */
        char *compare_trouble; /* the same of comparing */
        UsedObject *used;      /* by the current or last run */
        size_t n_used;
        bool compare_owed; /* a comparison came to nothing: a change of what it uses may help */
        bool check_again;  /* at the next resync: what came to nothing may be possible then */
        bool init;         /* that run is one of an init container */
        bool creates_sandbox;
        Shim *shim;       /* NULL: no current run */
        Shim **leftovers; /* runs that are accounted for but not gone yet */
        size_t n_leftovers;
        uint64_t creating_since_usec;

        RunResult results[LIMIT_RESULTS]; /* newest last */
        size_t n_results;
        unsigned restarts, failures;
        uint64_t ended_boot_usec, restart_boot_usec;
        bool run_over; /* @run has been accounted for: its directory is a leftover */
        bool ended;    /* the last run has a result that the policy looks at */
        bool stopped, finished, restart_wanted, holds_place;
        unsigned announce;
};

struct PodEntry {
        Manager *manager;
        char uid[ID128_SIZE];
        char *namespace, *name;
        uint64_t serial;     /* order of incarnations */
        uint64_t generation; /* the newest seen */
        uint64_t revision;   /* of the newest document seen */
        Desired *desired;    /* the newest that can be acted on; stays while refused */
        bool declared;       /* the store has it */
        bool held;           /* from a store that is not accepted yet: not acted on */
        bool seen;           /* in the list that is being read */
        Reason refused;      /* Invalid or Unsupported: the newest document cannot be acted on */
        char *refusal;       /* why, one sentence */

        ContainerEntry **containers;
        size_t n_containers;

        SandboxState sandbox;
        char sandbox_hash[SHA256_HEX_SIZE]; /* of the one that is there or being made */
        uid_t id_base;
        uint32_t id_count; /* 0: none allotted */

        bool on_disk;        /* its directory is there */
        bool document_saved; /* the newest desired document is in it */
        bool record_dirty;
        bool record_failed; /* it could not be written: every resync tries again */
        bool has_results_file;
        bool results_failed; /* the same of its results */
        bool removing, removal_failed;
        struct ShimHelper *removal; /* unmounts the pins */
        bool ready_told;
        uint64_t wake_usec;
        bool dirty, wants_place;
        PodEntry *next_dirty, *next_place, *next_announced;
        bool announce_queued;
        unsigned announce;
};

typedef struct PodQueue {
        PodEntry *first, **last;
} PodQueue;

struct Manager {
        sd_event *event;
        Paths paths;
        char *host_name; /* "tank" or "tank-<instance>" */
        char boot_id[ID128_SIZE];
        unsigned char values_key[VALUES_KEY_SIZE];
        bool has_values_key;
        bool use_scopes; /* systemd makes the cgroups */
        int run_fd, pods_fd, state_fd, lock_fd;
        char *pods_path;

        BusLink *link;
        sd_bus *bus; /* NULL while there is none */
        BusAccess *access;
        sd_bus_slot *slots[8];
        size_t n_slots;
        Watch *watch;
        Journal *journal;
        json_t *recalled; /* see reconcile-event.c */
        struct {
                uint64_t n, since_usec; /* of those that the log has not got; real time */
                int error;
        } lost_events;
        ShimContext *shims;

        PodEntry **pods;
        size_t n_pods, allocated_pods;
        uint64_t next_serial;
        uint8_t *id_ranges; /* one for each range of the pool: taken */
        uint32_t n_id_ranges, next_id_range;
        uid_t id_pool_base;

        PodQueue dirty, places, announced;
        sd_event_source *pass_source, *announce_source, *timer, *resync;
        unsigned n_starting;

        bool adopted; /* the scan is complete */
        unsigned n_adopting;
        sd_event_source *adoption_timer;
        bool desired_known;   /* a list of a store that is accepted has been read to its end */
        bool list_is_partial; /* the newest one was a degraded store's: it may lack something */
        bool store_up;
        char *held_reason;            /* NULL: not held */
        char database_id[ID128_SIZE]; /* as last accepted, "" before the first */
        uint64_t revision;
        bool position_dirty, position_failed;
        bool announce_manager, ready_told;
        struct {
                sd_bus_message *message;
                uint64_t read; /* the reading of the store that it waits for */
        } syncs[64];           /* calls of Sync */
        size_t n_syncs;
        struct {
                bool wanted; /* something is unchecked */
                sd_bus_slot *call;
                ValueSource source;
                char *namespace, *name;
        } comparing;              /* see reconcile-resolve.c */
        uint64_t last_read;       /* the newest reading that is complete */
        bool tolerate_unreadable; /* a person accepted the store as it is */
        unsigned skipped;         /* documents of the list being read that were unreadable */
};

/* Whether what is wanted is known well enough to act on it. */
bool manager_may_act(const Manager *m);

void manager_queue_pod(PodEntry *p);
void manager_queue_all(Manager *m);
void manager_queue_pass(Manager *m);
void manager_queue_place(PodEntry *p); /* waits until another start is through */
void manager_place_freed(Manager *m);
void manager_queue_announcement(Manager *m);
void manager_queue_pod_announcement(PodEntry *p);
void manager_adoption_step(Manager *m); /* one fewer to wait for */
