/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The shim: one run of one container. Owns the run's state machine (a total table in shim.c, with
 * one setter), the container's first process, its cgroup and the parts below; talks to the
 * reconciler while there is one, and does not need it.
 *
 *     creating → running → stopping → exited
 *
 * Everything is on one sd-event loop in one thread. Neighbours: shim-sandbox (start), shim-log,
 * shim-pty, shim-session, shim-dbus (parts), shim-channel (reconciler), shim-record (file). */

#include <systemd/sd-event.h>

#include "clock.h"
#include "macro.h"
#include "pidref.h"
#include "shim-cgroup.h"
#include "shim-confine.h"
#include "shim-dbus.h"
#include "shim-launch.h"
#include "shim-log.h"
#include "shim-pty.h"
#include "shim-session.h"
#include "state.h"

typedef struct Sandbox Sandbox;
typedef struct ShimChannel ShimChannel;

typedef struct Shim {
        sd_event *event;
        Launch *launch;
        int run_dir;          /* <run>/pods/<pod>/<container>/<run> */
        int lock_fd;          /* held for life: held = alive */

        const RunState state; /* creating, running, stopping, exited; only shim_set_state() writes */
        bool started;
        bool aborted;         /* stopped before it ran */
        RunResult result;
        char result_message[256];
        uint64_t started_usec, started_boot_usec, ended_usec, ended_boot_usec;

        PidRef main;          /* the container's first process: tank-init, or the workload itself */
        int workload_fd;      /* pidfd of the workload: what signals go to */
        ConfinePolicy policy;
        ShimCgroup *cgroup;
        Sandbox *sandbox;     /* the start in progress */
        uint64_t stop_grace_usec;

        ShimLog *log;
        ShimPty *pty;
        ShimSessions *sessions;
        ShimBus *bus;         /* may be NULL */
        ShimChannel *channel;

        sd_event_source *child_source, *status_source, *stop_timer, *cgroup_source, *grace_source;
        int status_fd;        /* where tank-init writes the workload's wait status */
        int workload_status;  /* valid with have_workload_status */
        bool have_workload_status, main_gone;
        unsigned teardown_waits;
} Shim;

/* To the workload. -ESRCH: not running. */
int shim_kill(Shim *s, int signo);
/* signal (0: that of the launch), then SIGKILL after @grace_usec; shortens a stop under way. */
int shim_stop(Shim *s, int signo, uint64_t grace_usec);
