/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control socket of a session, the client's end: what passes on it. */

#include "ctl-session.h"

typedef enum ControlMessage {
        CONTROL_NOTHING, /* that would matter */
        CONTROL_STARTED, /* the program runs */
        CONTROL_EXIT,    /* *ret_end is filled in */
        CONTROL_CUT,     /* somebody has detached us */
        CONTROL_GONE,    /* and never told an end */
} ControlMessage;

/* -EBADMSG: what came makes no sense. */
int control_receive(int fd, ControlMessage *ret, SessionEnd *ret_end);

/* -EAGAIN: the shim is behind. A shim that is gone needs nothing any more; then, and with @fd
 * -EBADF, 0. */
int control_send_size(int fd, uint16_t rows, uint16_t columns);
int control_send_signal(int fd, int signo);
