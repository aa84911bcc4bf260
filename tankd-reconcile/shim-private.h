/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the three files behind shim-client.h share: shim-client.c (life), shim-channel.c (requests
 * and messages), shim-spawn.c (executing tank-shim). */

#include <systemd/sd-event.h>

#include "bus-util.h"
#include "conceal.h"
#include "pidref.h"
#include "shim-status.h"

#define PROTOCOL_VERSION 1U

#define TEARDOWN_TIMEOUT_USEC (30 * USEC_PER_SEC) /* from `exited` to the end of the process */
#define STOP_SLACK_USEC       (15 * USEC_PER_SEC) /* on top of grace: the shim itself is stuck */
#define RECONNECT_MIN_USEC    (5 * USEC_PER_MSEC)
#define RECONNECT_MAX_USEC    (5 * USEC_PER_SEC)

struct ShimContext {
        sd_event *event;
        int pods_fd;
        const char *pods_path;
        const char *libexec_dir;
        int program_dir;    /* a read-only copy of the mount of tank-shim's directory … */
        char *program;      /* … and tank-shim in it; NULL before the first use */
        char **environment; /* ours without what systemd tells this process alone */
        const ShimOps *ops;
        char *buffer; /* one message of the channel */
};

#define HELLO_TIMEOUT_USEC (10 * USEC_PER_SEC) /* from spawn, or stop before start, to the end */

typedef enum ShimPhase {
        SHIM_SPAWNED,  /* hello is awaited on the inherited channel */
        SHIM_LIVE,     /* hello was exchanged; a channel is there */
        SHIM_DETACHED, /* the process lives and there is no channel, or no hello on it yet */
        SHIM_ABORTED,  /* told to go before it was let go */
        SHIM_CLEANING, /* the process is gone, a clean-up runs or is due again */
        SHIM_OVER,
} ShimPhase;

struct Shim {
        ShimContext *context;
        void *userdata;
        char run[ID128_SIZE];
        char *run_path;
        ShimPhase phase;
        ShimStatus status;
        bool adopting; /* `adopted` is owed */
        bool is_child;
        bool silent; /* killed by us because it did not answer */
        uint64_t adopt_until;
        uint64_t retry_usec;
        unsigned n_cleanups;
        int exit_status;

        int dir_fd;
        int channel;
        sd_event_source *channel_source, *process_source, *timer;
        sd_event_time_handler_t on_timer; /* shim-client.c's */
        PidRef process;
        ShimHelper *cleanup;

        bool told_to_go; /* by us, whatever became of it */
        bool stop_wanted, stop_sent;
        bool values_wanted;
        unsigned values_sent;                    /* how many answers are owed */
        int values_fd;                           /* -EBADF: all are answered */
        LockedFile locked_launch, locked_values; /* while they may not have been read */
        bool update_wanted, update_sent;         /* not sent yet; sent and not answered yet */
        int stop_signal;
        uint64_t stop_grace_usec;
        Limits limits;
        char **hosts; /* of the last update */
};

void shim_arm(Shim *s, uint64_t usec);
void shim_disarm(Shim *s);
void shim_adoption_done(Shim *s); /* tells it, once */

int shim_watch_channel(Shim *s);
void shim_close_channel(Shim *s);
int shim_send_hello(Shim *s);
void shim_flush(Shim *s); /* sends what is owed */
