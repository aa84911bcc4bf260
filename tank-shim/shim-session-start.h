/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One process in a running container, with stdio and sockets of its own: the part of a session that
 * is over when execve() happened. */

#include "macro.h"
#include "pidref.h"
#include "shim-session.h"

typedef struct SessionStart {
        PidRef process;
        int setup;   /* non-blocking: [the PTY's master], [a SetupReport], end of file */
        int control; /* non-blocking; the other end is client_control */
        int client_control, client_stdio[3]; /* stdio: none with a terminal */
} SessionStart;

#define SESSION_START_NULL \
        ((SessionStart){ .process = PIDREF_NULL, \
                        .setup = -EBADF, \
                        .control = -EBADF, \
                        .client_control = -EBADF, \
                        .client_stdio = { -EBADF, -EBADF, -EBADF } })
void session_start_done(SessionStart *s);

/* Clones the process into ctr/@leaf, which is made. -ESRCH: the container is over. */
int session_spawn(const Shim *shim, const char *leaf, const SessionRequest *request,
                SessionStart *ret);
