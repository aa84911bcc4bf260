/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Exec sessions (docs/protocol.md section 3). */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "state.h"

typedef struct Shim Shim;
typedef struct ShimSessions ShimSessions;

/* What the death of the client that called Exec does. */
typedef enum SessionDisconnect {
        SESSION_HUP,  /* SIGHUP, the container's grace, SIGKILL */
        SESSION_KILL, /* SIGKILL */
        SESSION_KEEP, /* nothing */
        _SESSION_DISCONNECT_MAX,
        _SESSION_DISCONNECT_INVALID = -EINVAL,
} SessionDisconnect;
DECLARE_STRING_TABLE(SessionDisconnect, session_disconnect);

/* "pipes" also stands for the master of a terminal: it is the client's own. */
typedef enum SessionStdio {
        SESSION_PIPES,
        SESSION_HELD, /* by the shim, for whoever opens the session */
        _SESSION_STDIO_MAX,
        _SESSION_STDIO_INVALID = -EINVAL,
} SessionStdio;
DECLARE_STRING_TABLE(SessionStdio, session_stdio);

typedef enum SessionPhase {
        SESSION_STARTING,
        SESSION_RUNNING,
        SESSION_ENDING,     /* its command has ended, or was hung up; its client still reads, or its
                               processes have their grace */
        SESSION_BACKGROUND, /* kept: its command has ended, processes of it have not */
        SESSION_ENDED,      /* kept: result and output are still to be asked for */
        _SESSION_PHASE_MAX,
        _SESSION_PHASE_INVALID = -EINVAL,
} SessionPhase;
DECLARE_STRING_TABLE(SessionPhase, session_phase);

typedef struct SessionRequest {
        char **argv;
        char **env;        /* laid over the container's */
        char **groups;     /* supplementary, beside those of the user's own */
        char *user;        /* NULL: the container's */
        char *working_dir; /* NULL: the container's */
        bool tty;
        uint16_t rows, cols; /* 0: default */
        SessionDisconnect disconnect;
        SessionStdio stdio;
        bool input; /* held, without a terminal: whether there will be one who writes */
} SessionRequest;

void session_request_done(SessionRequest *r);

/* What the client gets; valid during the callback only (the callee duplicates by sending). */
typedef struct SessionOpened {
        uint32_t number;
        int control;
        int stdio[3];
        size_t n_stdio; /* 3, or 1 with a terminal: its master; 0 when held */
} SessionOpened;

/* Exactly one call for each successful shim_session_start(), with @opened or with @error (<0 and a
 * sentence); possibly before shim_session_start() returns. */
typedef void (*SessionReady)(
                const SessionOpened *opened, const sd_bus_error *error, void *userdata);

int shim_sessions_new(Shim *shim, ShimSessions **ret);
ShimSessions *shim_sessions_free(ShimSessions *s);
DEFINE_CLEANUP(ShimSessions *, shim_sessions_freep, shim_sessions_free);

unsigned shim_sessions_count(const ShimSessions *s); /* without those that have ended */
/* The numbers of a container's sessions and attached clients are one row. */
uint32_t shim_sessions_next_number(ShimSessions *s);
/* Whether @pid is a session's process that is not reaped yet. */
bool shim_sessions_own(const ShimSessions *s, pid_t pid);

/* Starts a session. The request stays the caller's. Errors: NotRunning, LimitExceeded. */
int shim_session_start(ShimSessions *s, const SessionRequest *request, SessionReady ready,
                void *userdata, sd_bus_error *reterr);

/* A client of a session whose output is held. The descriptors are the caller's to send and close.
 * Errors: NotFound, FailedPrecondition, Busy, LimitExceeded. */
typedef struct HeldOpened HeldOpened;
int shim_session_open(ShimSessions *s, uint32_t number, bool input, HeldOpened *ret,
                sd_bus_error *reterr);
/* To every process of the session. Errors: NotFound, NotRunning. */
int shim_session_kill(ShimSessions *s, uint32_t number, int signo, sd_bus_error *reterr);

typedef struct SessionInfo {
        uint32_t number;
        SessionPhase phase;
        pid_t pid; /* the host's, of the command; 0 when it has ended */
        unsigned processes, clients;
        bool tty;
        SessionStdio stdio;
        SessionDisconnect disconnect;
        uint64_t started_usec;
        char *const *argv;       /* its first LIMIT_SESSION_COMMAND bytes */
        const char *user;        /* as asked for; NULL: the container's */
        const RunResult *result; /* of the command; NULL: none yet */
} SessionInfo;

/* Oldest first. @each returns a negative errno to stop with it. */
int shim_sessions_list(const ShimSessions *s, int (*each)(const SessionInfo *info, void *userdata),
                void *userdata);

/* The container ended (its cgroup was killed): every session sends its `exit` as soon as its
 * process is reaped; @done is called from the loop, once, when the last one has. New ones are
 * refused, what was kept is gone. */
int shim_sessions_finish(ShimSessions *s, void (*done)(void *userdata), void *userdata);
