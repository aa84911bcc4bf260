/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Clients attached to the terminal of the container's first process (docs/protocol.md section
 * 3.2). */

#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct Shim Shim;
typedef struct ShimAttaches ShimAttaches;

typedef struct AttachRequest {
        bool viewer;         /* sees, and neither types nor resizes */
        bool scrollback;     /* what is held of the output comes first */
        bool sized;          /* rows and cols are given; never by a viewer */
        uint16_t rows, cols; /* any: also 0 */
} AttachRequest;

/* The client's ends, now the caller's. */
typedef struct AttachOpened {
        uint32_t number;
        int control, stream;
} AttachOpened;

#define ATTACH_OPENED_NULL ((AttachOpened){ .control = -EBADF, .stream = -EBADF })
void attach_opened_done(AttachOpened *o);

int shim_attaches_new(Shim *shim, ShimAttaches **ret);
ShimAttaches *shim_attaches_free(ShimAttaches *s); /* before the terminal */
DEFINE_CLEANUP(ShimAttaches *, shim_attaches_freep, shim_attaches_free);

unsigned shim_attaches_count(const ShimAttaches *s);

/* Errors: NotRunning, NotATty, Busy, LimitExceeded. */
int shim_attach_open(ShimAttaches *s, const AttachRequest *request, AttachOpened *ret,
                sd_bus_error *reterr);

typedef struct AttachInfo {
        uint32_t number;
        bool writer;
        bool leaving; /* gone, but what it typed is still under way */
        uint64_t started_usec;
} AttachInfo;

/* Oldest first. @each returns a negative errno to stop with it. */
int shim_attaches_list(const ShimAttaches *s, int (*each)(const AttachInfo *info, void *userdata),
                void *userdata);
/* Whether @number is that of an attached client. */
bool shim_attach_is(const ShimAttaches *s, uint32_t number);
/* Tells the client, and is rid of it. False: there is none of that number. */
bool shim_attach_detach(ShimAttaches *s, uint32_t number);

/* The container ended and its terminal's output with it, which is what ends attached clients; @done
 * is called from the loop, once, when there is none any more. A client whose socket cannot take its
 * tail is waited for, but not for long. New ones are refused. */
int shim_attaches_finish(ShimAttaches *s, void (*done)(void *userdata), void *userdata);
