/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The client's end of a session: bytes between our descriptors and the session's, and its control
 * socket. The bus has no part in it. */

#include "ctl-detach.h"
#include "macro.h"

/* What the program at the other end is to us. */
typedef enum SessionMode {
        SESSION_RUNS,   /* for us: signals to us are for it, the end of our input is its */
        SESSION_WRITES, /* anyway, we are attached to its terminal */
        SESSION_VIEWS,  /* the same, and only look on */
} SessionMode;

typedef struct SessionOptions {
        SessionMode mode;
        bool interactive; /* our standard input goes to it; else its own is closed at once */
        const DetachKeys *detach; /* NULL: none */
} SessionOptions;

typedef struct SessionEnd {
        bool known;    /* false: the session was lost with its shim */
        char kind[16]; /* exited, signaled, oom-killed, setup-failed */
        int code;
        char stage[32], message[256];
        int local_signal; /* a signal ended us, not the session */
        int write_error;  /* an errno: our own output could not be written */
        bool detached;    /* by the keys; nothing else is known then */
        bool cut;         /* detached by somebody else; the same */
        size_t unsent;    /* bytes typed before that, which the program did not take */
} SessionEnd;

/* @control and @stdio are consumed: [stdin (-EBADF: none), stdout, stderr], or the one stream of a
 * terminal.
 * Blocks to the end. 0 with *ret, or a negative errno when this end itself failed. */
int session_run(int control, int *stdio, size_t n_stdio, const SessionOptions *options,
                SessionEnd *ret);

/* 1: the program runs. 0: it does not, *ret tells why. */
int session_wait_started(int control, SessionEnd *ret);

/* tankctl's exit code, after a sentence about what went wrong on our side. @what names the
 * container. */
int session_exit_code(const SessionEnd *end, const char *what);
