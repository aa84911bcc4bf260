/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The client's end of an exec session: bytes between our descriptors and the session's, and its
 * control socket. The bus has no part in it. */

#include "macro.h"

typedef struct SessionEnd {
        bool known;    /* false: the session was lost with its shim */
        char kind[16]; /* exited, signaled, setup-failed */
        int code;
        char stage[32], message[256];
        int local_signal; /* a signal ended us, not the session */
        int write_error;  /* an errno: our own output could not be written */
} SessionEnd;

/* @control and @stdio are consumed: [stdin, stdout, stderr], or [master] with a terminal.
 * @interactive: our standard input goes to the program; else its own is closed at once. Blocks to
 * the end. 0 with *ret, or a negative errno when this end itself failed. */
int session_run(int control, int *stdio, size_t n_stdio, bool interactive, SessionEnd *ret);
