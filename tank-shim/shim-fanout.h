/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One stream of bytes for any number of readers: keeps the newest bytes in a ring, and gives each
 * reader what is held and what comes. The source never waits for a reader: one that falls behind by
 * more than the ring jumps forward, and finds a line in its place that says how much it missed. */

#include <systemd/sd-event.h>

#include "macro.h"

typedef struct Fanout Fanout;
typedef struct FanoutReader FanoutReader;

/* Where a reader begins. */
typedef enum FanoutFrom {
        FANOUT_FROM_NOW,   /* what comes */
        FANOUT_FROM_HELD,  /* what is held, then what comes; nothing is said of what is not held */
        FANOUT_FROM_START, /* the same, but what is not held any more counts as missed */
} FanoutFrom;

/* The reader is over: @error 0 when it got everything up to the end of the stream, negative when
 * its descriptor took no more. Called once, from fanout_feed(), fanout_end() or the loop; it may
 * free this reader, and no other one. */
typedef void (*FanoutOver)(FanoutReader *reader, int error, void *userdata);

/* Holds the newest @size bytes. @newline ("\n", or "\r\n" for a terminal; static) goes before and
 * behind the line about missed bytes. */
int fanout_new(sd_event *event, size_t size, const char *newline, Fanout **ret);
Fanout *fanout_free(Fanout *f); /* with its readers; FanoutOver is not called */
DEFINE_CLEANUP(Fanout *, fanout_freep, fanout_free);

/* What came from the source: it is copied, each reader gets what it takes at once, and the rest as
 * it takes it. */
void fanout_feed(Fanout *f, const void *data, size_t size);
/* Nothing more comes. Each reader gets what is left (at once, as far as the system lets a socket's
 * buffer grow), then the end of file. What is held stays, also for new readers. Idempotent. */
void fanout_end(Fanout *f);
bool fanout_ended(const Fanout *f);

uint64_t fanout_total(const Fanout *f); /* bytes that came, in all */
size_t fanout_held(const Fanout *f);    /* of which so many can be read again, the newest */

/* @fd, a stream socket, is taken on success; it is made non-blocking, written to, never read from.
 * Whoever reads from it needs a duplicate. What is held already is sent before this returns, as far
 * as it goes, but FanoutOver comes from the loop. */
int fanout_add_reader(Fanout *f, int fd, FanoutFrom from, FanoutOver over, void *userdata,
                FanoutReader **ret);
/* Closes its descriptor. */
FanoutReader *fanout_reader_free(FanoutReader *r);
uint64_t fanout_reader_missed(const FanoutReader *r); /* bytes that it was told it missed */
