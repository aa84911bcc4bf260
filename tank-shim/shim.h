/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The shim: one run of one container. Owns the run's state machine (a total table in shim.c, with
 * one setter), the container's first process, its cgroup and the parts below; talks to the
 * reconciler while there is one, and does not need it.
 *
 *     creating → running → stopping → exited
 *
 * Everything is on one sd-event loop in one thread. Neighbours: shim-sandbox (start), shim-log,
 * shim-pty, shim-session, shim-attach, shim-dbus (parts), shim-channel (reconciler), shim-record
 * (file). */

#include <systemd/sd-event.h>

#include "clock.h"
#include "macro.h"
#include "pidref.h"
#include "shim-attach.h"
#include "shim-cgroup.h"
#include "shim-channel.h"
#include "shim-confine.h"
#include "shim-dbus.h"
#include "shim-launch.h"
#include "shim-log.h"
#include "shim-pty.h"
#include "shim-sandbox.h"
#include "shim-reap.h"
#include "shim-session.h"
#include "state.h"

typedef struct Shim Shim;

/* What the parts may ask of the run. They know these, never shim.c. */
typedef struct ShimRequests {
        void (*start)(Shim *s);
        /* The spawning reconciler is gone: the end of everything before the start, nothing after
         * it. */
        void (*channel_lost)(Shim *s);
        /* To the workload. -ESRCH: not running. */
        int (*kill)(Shim *s, int signo);
        /* @signo (0: that of the launch), then SIGKILL after @grace_usec; shortens a stop under
         * way. */
        void (*stop)(Shim *s, int signo, uint64_t grace_usec);
} ShimRequests;

struct Shim {
        const ShimRequests *ask;
        sd_event *event;
        Launch *launch;
        int run_dir; /* <run>/pods/<pod>/<container>/<run> */
        int lock_fd; /* held for life: held = alive */
        char boot_id[ID128_SIZE];

        const RunState state; /* creating, running, stopping, exited; one setter, in shim.c */
        bool started;         /* told to start: from here on nobody is needed */
        RunResult result;
        char result_message[256]; /* for people: what failed, and why */
        uint64_t started_usec, started_boot_usec, ended_usec, ended_boot_usec;

        PidRef main;     /* the container's first process: tank-init, or the workload itself */
        int workload_fd; /* pidfd of the workload beneath tank-init, -EBADF: it is main */
        int status_fd;   /* where tank-init writes the workload's wait status */
        int hosts_fd;    /* the container's /etc/hosts, for writing */
        int live_fds[LIMIT_MOUNTS]; /* the same of its live volumes, as in the launch's mounts */
        ConfinePolicy policy;
        char oom_score_adj[8]; /* of the workload; empty: the shim's is the same */
        ShimCgroup *cgroup;
        Sandbox *sandbox; /* the start in progress */

        int stop_signal; /* of the stop that is asked for */
        uint64_t stop_grace_usec, stop_deadline;
        SetupReport failure; /* of the start that failed */

        ShimLog *log;
        ShimPty *pty;
        ShimSessions *sessions;
        ShimAttaches *attaches;
        ShimReaper *reaper;
        ShimBus *bus; /* may be NULL */
        ShimChannel *channel;

        sd_event_source *main_source, *grace_source, *empty_source, *settle_source;
        unsigned finishing; /* parts that are not done yet at the end */
};

/* @run_dir, @lock_fd are borrowed, @launch is taken. Writes the first record; @channel is taken. */
int shim_new(Launch *launch, int run_dir, int lock_fd, int channel, Shim **ret);
/* Runs until the container is over and everything of it is removed. */
int shim_run(Shim *s);
Shim *shim_free(Shim *s);
DEFINE_CLEANUP(Shim *, shim_freep, shim_free);
