/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* PTYs of the container's own devpts: making one (in the child), and the main process's one: its
 * master is read by the shim into the log and to whoever is attached. */

#include <systemd/sd-event.h>

#include "macro.h"
#include "shim-fanout.h"
#include "shim-log.h"

#define SHIM_PTY_ROWS 24
#define SHIM_PTY_COLS 80

/* In the child, inside the container's mount namespace, with its devpts at /dev/pts: opens a new
 * PTY there, refuses anything that is not devpts, sets the window size (0, 0 = default), so that
 * the program never sees another one. Both ends are close-on-exec. */
int shim_pty_open(uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave);
/* In the child: a new session (if it leads none yet) with @slave as controlling terminal and as
 * descriptors 0, 1, 2. @slave is consumed. */
int shim_pty_take_terminal(int slave);

int shim_pty_set_window_size(int master, uint16_t rows, uint16_t cols);

/* The main process's terminal: takes @master and feeds what comes out of it to @log (borrowed, must
 * outlive it) as LOG_STREAM_TTY, and to its readers. */
typedef struct ShimPty ShimPty;
int shim_pty_new(sd_event *event, int master, ShimLog *log, ShimPty **ret);
ShimPty *shim_pty_free(ShimPty *pty);
DEFINE_CLEANUP(ShimPty *, shim_pty_freep, shim_pty_free);
/* Borrowed: what comes out of the terminal, and the newest of it that is held. Readers must be
 * freed before it. */
Fanout *shim_pty_output(ShimPty *pty);
int shim_pty_master(const ShimPty *pty);
/* The container is over: reads what is left (all writers are dead, so it is there already) and ends
 * the stream of the log. To be called before shim_log_finish(). */
void shim_pty_drain(ShimPty *pty);
/* Behind that: for the readers, too. */
void shim_pty_end(ShimPty *pty);
