/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exec sessions (docs/protocol.md section 3). */

#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct Shim Shim;
typedef struct ShimSessions ShimSessions;

typedef struct SessionRequest {
        char **argv;
        char **env;        /* laid over the container's */
        char **groups;     /* supplementary, beside those of the user's own */
        char *user;        /* NULL: the container's */
        char *working_dir; /* NULL: the container's */
        bool tty;
        uint16_t rows, cols; /* 0: default */
} SessionRequest;

void session_request_done(SessionRequest *r);

/* What the client gets; valid during the callback only (the callee duplicates by sending). */
typedef struct SessionOpened {
        uint32_t number;
        int control;
        int stdio[3];
        size_t n_stdio; /* 3, or 1 with a terminal: its master */
} SessionOpened;

/* Exactly one call for each successful shim_session_open(), with @opened or with @error (<0 and a
 * sentence); possibly before shim_session_open() returns. */
typedef void (*SessionReady)(
                const SessionOpened *opened, const sd_bus_error *error, void *userdata);

int shim_sessions_new(Shim *shim, ShimSessions **ret);
ShimSessions *shim_sessions_free(ShimSessions *s);
DEFINE_CLEANUP(ShimSessions *, shim_sessions_freep, shim_sessions_free);

unsigned shim_sessions_count(const ShimSessions *s);
/* The numbers of a container's sessions and attached clients are one row. */
uint32_t shim_sessions_next_number(ShimSessions *s);
/* Whether @pid is a session's process that is not reaped yet. */
bool shim_sessions_own(const ShimSessions *s, pid_t pid);

/* Starts a session. The request stays the caller's. Errors: NotRunning, LimitExceeded. */
int shim_session_open(ShimSessions *s, const SessionRequest *request, SessionReady ready,
                void *userdata, sd_bus_error *reterr);

/* The container ended (its cgroup was killed): every session sends its `exit` as soon as its
 * process is reaped; @done is called from the loop, once, when the last one has. New ones are
 * refused. */
int shim_sessions_finish(ShimSessions *s, void (*done)(void *userdata), void *userdata);
