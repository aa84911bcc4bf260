/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of a run, and what is reported of it. */

#include "clock.h"
#include "macro.h"
#include "record.h"
#include "spec.h"
#include "state.h"

typedef struct Shim Shim;
typedef struct ShimContext ShimContext;
typedef struct ShimHelper ShimHelper;

/* The run's record as far as the reconciler needs it. */
typedef struct ShimStatus {
        bool started;    /* it was let go: from here something may have run */
        bool privileged; /* its document used privileged fields; also when that is not told */
        RunState state;
        pid_t shim_pid, pid;
        uint64_t started_usec, started_boot_usec; /* when the workload ran, 0: it never did */
        uint64_t ended_boot_usec;
        RunResult result;         /* RESULT_NONE: not known (yet), or nothing ran */
        char result_message[256]; /* setup-failed: what failed and why, for people; may be cut */
        uint64_t generation;
        uint64_t stop_grace_usec;
        char pod_uid[ID128_SIZE], namespace[64], pod[64], container[64];
} ShimStatus;

/* What an update consists of, and can be in force without the other. */
typedef enum UpdatePart {
        UPDATE_LIMITS = 1 << 0,
        UPDATE_HOSTS = 1 << 1,
} UpdatePart;

typedef struct ShimOps {
        /* A status came in; at an adoption also when the first one is there. */
        void (*changed)(Shim *s, void *userdata);
        /* Nothing is left but the run directory. Free the shim in here. */
        void (*over)(Shim *s, void *userdata);
        /* The shim has answered the last update: @parts (of UpdatePart) of it are in force now.
         * When that is not all, `refused` follows and says why. */
        void (*updated)(Shim *s, unsigned parts, void *userdata);
        /* The values that were sent last stand in its live volumes. */
        void (*values_set)(Shim *s, void *userdata);
        /* A request was refused by the shim; nothing changed but what `updated` told. */
        void (*refused)(Shim *s, const char *request, int error, const char *message,
                        void *userdata);
        /* An adoption is decided, one way or the other. Once, before anything else is reported. */
        void (*adopted)(Shim *s, void *userdata);
} ShimOps;

/* Makes @ret from a run's record. -EBADMSG. */
int shim_status_parse(const Record *r, ShimStatus *ret);
/* Appends `limit.*`, for launch records, requests and pod records alike. */
void limits_put(RecordWriter *w, const Limits *l);
