/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A private tank in one directory: a bus, the store, the reconciler, and the command that uses
 * them. See main.c for the model. */

#include <signal.h>
#include <sys/types.h>

#include "macro.h"

typedef enum ServiceId {
        SERVICE_BUS,
        SERVICE_STORE,
        SERVICE_RECONCILE,
        _SERVICE_MAX,
} ServiceId;

typedef struct Sandbox Sandbox;

typedef struct Service {
        const char *name;
        const char *argv[6];   /* borrowed; argv[0] is a path */
        pid_t pid;             /* 0: not running */
        bool ready;            /* said READY=1 since it was started */
        unsigned failures;     /* deaths before READY, in a row */
        uint64_t restart_usec; /* monotonic; 0: nothing scheduled */
} Service;

struct Sandbox {
        char *dir;     /* absolute, no symlinks */
        bool made_dir; /* ours to remove */
        bool owned;    /* locked by us: ours to empty */
        char *build;   /* top of the build directory */
        bool memory;   /* the store keeps nothing on disk */
        char instance[9];
        char *address; /* of the bus */
        int dir_fd;
        int signal_fd, notify_fd, hold_fd;
        Service services[_SERVICE_MAX];
        pid_t command; /* 0: not started or gone */
        int command_status;
        bool command_done;
        int stop_signal; /* the signal that asked us to end, 0: none */
};

static inline uint64_t usec_add(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
uint64_t now_monotonic(void);

/* service.c: processes that are kept up */
int service_start(Sandbox *s, Service *service);
void service_died(Sandbox *s, Service *service, int status);
/* Starts what is due; returns when the next one is (USEC_INFINITY: none). */
uint64_t services_run_due(Sandbox *s);
/* Someone removed a file from the hold directory: what waited for that is due. */
void services_hold_changed(Sandbox *s);
void service_notified(Sandbox *s);
void service_show_log(Sandbox *s, const Service *service);
int command_start(Sandbox *s, char *const *argv, const sigset_t *mask);

/* teardown.c: nothing stays */
void teardown(Sandbox *s);
