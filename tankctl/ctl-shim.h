/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The shim of a running container, as tankctl calls it. The reconciler knows its name; what it
 * answers with are descriptors, and with them neither is needed any more. */

#include "clock.h"
#include "ctl.h"
#include "ctl-bus.h"

/* Appends the arguments of a call. */
typedef int (*ShimArguments)(sd_bus_message *m, const void *userdata);

/* Calls @method of the shim of @t. A container runs before its shim is on the bus: that is waited
 * for. @append may be NULL. */
int ctl_shim_call(sd_bus *bus, const Target *t, const char *method, ShimArguments append,
                const void *userdata, sd_bus_message **ret, sd_bus_error *reterr);

#define CTL_SHIM_NAME_USEC (2 * USEC_PER_SEC) /* how long that is waited for */

/* The same in parts, for who asks many: the name that a shim has or will have; a call without
 * arguments, of which @answer hears once; whether its error says that the name is not there, and
 * the words for that; *@changed whenever a shim comes onto the bus or leaves it. */
int ctl_shim_name(sd_bus *bus, const Target *t, char **ret_name, sd_bus_error *reterr);
int ctl_shim_call_async(sd_bus *bus, const char *name, const char *method, uint64_t usec,
                sd_bus_message_handler_t answer, void *userdata);
bool ctl_shim_is_absent(const sd_bus_error *e);
int ctl_shim_set_absent(sd_bus_error *reterr, const char *name);
int ctl_shim_watch_names(sd_bus *bus, bool *changed);

/* The next descriptor of an answer, as our own. 0: there is none; 1: *ret. */
int ctl_shim_take_fd(sd_bus_message *m, int *ret);

/* What opens a session answers with: control and stdio, in the words of the interface. */
typedef struct ShimStreams {
        int control;
        int stdio[3];
        size_t n_stdio;
} ShimStreams;

#define SHIM_STREAMS_NULL ((ShimStreams){ .control = -EBADF, .stdio = { -EBADF, -EBADF, -EBADF } })
void ctl_shim_streams_done(ShimStreams *s);
/* Reads "hah". */
int ctl_shim_take_streams(sd_bus_message *m, ShimStreams *ret);
