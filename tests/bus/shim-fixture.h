/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A container for tests of the shim: a private bus, a root of busybox, and the test itself
 * in the reconciler's place on the channel of a real tank-shim. All of it is gone after
 * shim_fixture_done(), however the test ended. */

#include <sys/types.h>

#include "macro.h"
#include "private-bus.h"

#define FIXTURE_TIMEOUT_USEC (60 * USEC_PER_SEC)

typedef struct ShimFixture {
        char dir[64]; /* temporary directory of everything */
        char bus_name[64];
        char run[192];   /* the run's directory */
        char cgroup[64]; /* beneath each hierarchy's mount */
        char log[128];   /* the container's log file */
        PrivateBus bus;
        pid_t shim;
        int channel;
        pid_t container; /* host's pid of the first process */
} ShimFixture;

typedef struct FixtureOptions {
        const char *const *argv;  /* default: sleeps */
        const char *const *extra; /* further "key=value" of the launch record */
        bool tty;
} FixtureOptions;

/* NULL: it works here; otherwise why a container cannot be made on this machine. */
const char *shim_fixture_missing(void);
/* Fails the test on any error. */
void shim_fixture_init(ShimFixture *f, const FixtureOptions *options);
void shim_fixture_done(ShimFixture *f);

void shim_fixture_wait_for_name(ShimFixture *f);
/* Reads the channel until a status with @state; the value of @key in it, allocated, or NULL. */
char *shim_fixture_wait_for_state(ShimFixture *f, const char *state, const char *key);
/* Sends one message of the channel, "key=value" strings; NULL ends them. */
void shim_fixture_send(ShimFixture *f, const char *first, ...) __attribute__((__sentinel__));
