/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Waking when something may have happened, for verbs that go on.
 *
 * Signals only wake. Whoever follows reads again from where he stands, so that a lost signal, a
 * daemon that was restarted or a bus that was away cost time at most: the first sleep after any of
 * them returns at once. */

#include "ctl-bus.h"

typedef struct Follow {
        sd_bus *bus;      /* NULL while the bus is away */
        char *matches[4]; /* kept, to subscribe again */
        size_t n_matches;
        bool happened;
        bool told_away; /* that something cannot be reached was said */
} Follow;

/* 0, or the exit code when it is said already that there is no bus. @f must stay where it is. */
int follow_start(Follow *f);
void follow_done(Follow *f);

/* All signals of @peer, at @path or beneath it, and its coming and going. -errno. */
int follow_peer(Follow *f, const CtlPeer *peer, const char *rest);

/* 1: read again; 0: nobody reads what we print; -errno. @may_wait: false after a failure, to try
 * again in a moment although nothing happened. */
int follow_sleep(Follow *f, bool may_wait);

/* After a call that failed. 1: the daemon, or the bus, is away and may come back: sleep and try
 * again; that is told once, until follow_reached(). Otherwise 0: it is an error like any other. */
int follow_failed(Follow *f, int r, const sd_bus_error *e);
void follow_reached(Follow *f);
