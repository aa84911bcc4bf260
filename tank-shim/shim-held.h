/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a session writes, held by the shim: the newest of each stream stays, for clients that come
 * and go. A client gets a control socket and one stream, or two: first what is held, then what
 * comes, and at the end, when it has all of it, `exit`. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "shim-control.h"
#include "state.h"

typedef struct Held Held;

typedef struct HeldEvents {
        /* A client asks for it; a new size only comes from the one that has the input. */
        void (*request)(const ControlRequest *request, void *userdata);
        /* Drained, or a client left, or was told the end. From the loop: may free. */
        void (*changed)(void *userdata);
} HeldEvents;

/* One stream: a terminal's master; two: the pipes of output and error. @input: the other end of
 * standard input, -EBADF for none and with a terminal. All are taken on success. */
int held_new(sd_event *event, const int *streams, size_t n_streams, int input,
                const HeldEvents *events, void *userdata, Held **ret);
Held *held_free(Held *h); /* its clients find the end of file everywhere, and no `exit` */
DEFINE_CLEANUP(Held *, held_freep, held_free);

/* The client's ends; the caller sends and closes them. */
typedef struct HeldOpened {
        int control, stdio[3];
        size_t n_stdio; /* [stream], or [input,] output, error */
} HeldOpened;
void held_opened_done(HeldOpened *o);

/* @input: with the session's input, which one client can have. Errors: Busy, LimitExceeded,
 * FailedPrecondition (there is no input). */
int held_open(Held *h, bool input, HeldOpened *ret, sd_bus_error *reterr);

void held_started(Held *h, pid_t pid);
/* The program has ended so. What it wrote is read; what it left behind may write on until it was
 * silent for 100 ms, or for ten seconds. @message is borrowed. */
void held_finish(Held *h, const RunResult *result, const char *message);
/* Hangs up the terminal, ends the input. */
void held_hang_up(Held *h);

bool held_drained(const Held *h);
bool held_told(const Held *h); /* some client was told the end, with all of the output before it */
unsigned held_clients(const Held *h);
int held_terminal(const Held *h); /* its master, -EBADF: none */
