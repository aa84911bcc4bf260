/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sessions whose output the shim holds, from the side of a client that comes and goes. */

#include "ctl-session.h"
#include "ctl-shim.h"

/* Errors: as of OpenSession. *ret: always [stdin, stdout, stderr], without stdin as -EBADF, or [the
 * terminal's stream]. */
int held_open_session(sd_bus *bus, const Target *t, uint32_t number, bool input, ShimStreams *ret,
                sd_bus_error *reterr);
/* To its end: the exit code. @s is consumed. */
int held_run(ShimStreams *s, const SessionOptions *options, const char *what);
