/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control socket of a session, the shim's end: what passes on it, and nothing of what it means
 * (docs/protocol.md section 3). */

#include <sys/types.h>

#include "macro.h"
#include "state.h"

typedef enum ControlRequestType {
        CONTROL_IGNORED, /* a well-formed request that this version does not know */
        CONTROL_RESIZE,
        CONTROL_SIGNAL,
} ControlRequestType;

typedef struct ControlRequest {
        ControlRequestType type;
        uint16_t rows, cols;
        int signo; /* 1 to 64 */
} ControlRequest;

/* A pair, ours non-blocking. */
int shim_control_new(int *ret_ours, int *ret_clients);

/* 1: *ret is filled in. 0: the client is gone. -EAGAIN: nothing there. -EBADMSG and others: it
 * sent what is no request. */
int shim_control_receive(int fd, ControlRequest *ret);

/* To a client that is gone, or reads nothing, nothing is told; that is no failure of ours. @fd may
 * be -EBADF. */
void shim_control_send_started(int fd, pid_t pid);
/* @message may be NULL; it goes with setup-failed alone. */
void shim_control_send_exit(int fd, const RunResult *result, const char *message);

/* Instead of `exit`: somebody else wanted it so. */
void shim_control_send_detached(int fd);

/* Behind the last of these: requests that nobody read would make the kernel reset the connection,
 * ahead of what is still under way in it. Returns -EBADF. */
int shim_control_close(int fd);
