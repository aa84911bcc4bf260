/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run of one container, seen from the reconciler: the shim's channel, its life, and what is
 * left of it. Knows nothing of pods and plans.
 *
 * A Shim exists from spawn or adoption until `over` is reported: then its lock is free, nothing of
 * the run is alive any more, its cgroup is gone. In between `changed` is reported for each
 * transition. Whether a shim lives is told by its lock and, once that has been seen held, by its
 * pidfd (of a child and of an adopted process alike); its channel may come and go.
 *
 * A stop is never lost: while there is no channel, or its queue is full, it waits. */

#include <systemd/sd-event.h>

#include "clock.h"
#include "macro.h"
#include "record.h"
#include "spec.h"
#include "state.h"

typedef struct Shim Shim;
typedef struct ShimContext ShimContext;

/* The run's record as far as the reconciler needs it. */
typedef struct ShimStatus {
        bool started; /* it was let go: from here something may have run */
        RunState state;
        pid_t shim_pid, pid;
        uint64_t started_usec, started_boot_usec; /* when the workload ran, 0: it never did */
        uint64_t ended_boot_usec;
        RunResult result;         /* RESULT_NONE: not known (yet), or nothing ran */
        char result_message[256]; /* setup-failed: what failed, for people; may be cut */
        uint64_t generation;
        uint64_t stop_grace_usec;
        char pod_uid[ID128_SIZE], namespace[64], pod[64], container[64];
} ShimStatus;

typedef struct ShimOps {
        /* A status came in; at an adoption also when the first one is there. */
        void (*changed)(Shim *s, void *userdata);
        /* Nothing is left but the run directory. Free the shim in here. */
        void (*over)(Shim *s, void *userdata);
        /* A request was refused by the shim; nothing changed. */
        void (*refused)(Shim *s, const char *request, int error, const char *message,
                        void *userdata);
        /* An adoption is decided, one way or the other. Once, before anything else is reported. */
        void (*adopted)(Shim *s, void *userdata);
} ShimOps;

/* @pods_path stays the caller's. @libexec_dir: where tank-shim is. */
int shim_context_new(sd_event *event, int pods_fd, const char *pods_path, const char *libexec_dir,
                const ShimOps *ops, ShimContext **ret);
ShimContext *shim_context_free(ShimContext *c);
DEFINE_CLEANUP(ShimContext *, shim_context_freep, shim_context_free);

/* @run_path: "<pod uid>/<container>/<run>" beneath the pods' directory; made here. @launch: the
 * launch record. On failure nothing is left but perhaps the empty run directory. */
int shim_spawn(ShimContext *c, const char *run_path, const char *run, const void *launch,
                size_t launch_size, void *userdata, Shim **ret);
/* Takes over what is in @run_path, alive or not: everything else is reported through the ops, from
 * the loop. */
int shim_adopt(ShimContext *c, const char *run_path, const char *run, void *userdata, Shim **ret);
Shim *shim_free(Shim *s); /* the process stays */

const char *shim_run(const Shim *s);
const char *shim_run_path(const Shim *s);
const ShimStatus *shim_status(const Shim *s);
void *shim_userdata(const Shim *s);

/* @signo 0 and @grace_usec USEC_INFINITY: those of the launch record. */
void shim_stop(Shim *s, int signo, uint64_t grace_usec);
void shim_update(Shim *s, const Limits *limits);
int shim_kill(Shim *s, int signo); /* -ENOTCONN, -EAGAIN */
void shim_retry(Shim *s);          /* at each resync: reconnect, clean up again */

/* Runs tank-shim with @mode and @path and calls back with its wait status. */
typedef void (*ShimHelperDone)(int status, void *userdata);
typedef struct ShimHelper ShimHelper;
int shim_helper_spawn(ShimContext *c, const char *mode, const char *path, ShimHelperDone done,
                void *userdata, ShimHelper **ret);
ShimHelper *shim_helper_free(ShimHelper *h); /* the process stays, unheard */

/* Makes @ret from a run's record. -EBADMSG. */
int shim_status_parse(const Record *r, ShimStatus *ret);
/* Appends `limit.*`, for launch records, requests and pod records alike. */
void limits_put(RecordWriter *w, const Limits *l);
/* 1: held, 0: free, -ENOENT: there is none. */
int run_lock_test(int dir_fd);
