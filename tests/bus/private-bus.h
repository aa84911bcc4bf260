/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A private system bus for one test program: a real dbus-daemon with the configuration and policy
 * of a sandbox, in a directory of its own. The address is put into DBUS_SYSTEM_BUS_ADDRESS. */

#include <sys/types.h>

typedef struct PrivateBus {
        char *dir;     /* 0755, removed by private_bus_done() */
        char *address; /* the same after a restart */
        pid_t pid;
} PrivateBus;

int private_bus_init(PrivateBus *b);
int private_bus_start(PrivateBus *b); /* returns when it listens */
void private_bus_kill(PrivateBus *b); /* SIGKILL, reaped */
void private_bus_done(PrivateBus *b);
