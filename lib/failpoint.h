/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Places where a test lets a program die as by SIGKILL. FAILPOINT("reconcile.spawned") kills the
 * caller when $TANK_FAILPOINT is that name. When $TANK_FAILPOINT_ONCE names a file as well, the
 * file is made at that moment and nothing happens while it is there, so that a program that is
 * started again with the same environment gets past the place. Nothing of it is in a program that
 * was configured without --enable-failpoints. */

#include "macro.h"

#if ENABLE_FAILPOINTS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static inline void failpoint_hit(const char *name)
{
        const char *wanted = secure_getenv("TANK_FAILPOINT"), *once;
        int fd;

        if (!wanted || !streq(wanted, name))
                return;
        once = secure_getenv("TANK_FAILPOINT_ONCE");
        if (once) {
                fd = open(once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fd < 0)
                        return;
                (void) close(fd);
        }
        (void) kill(getpid(), SIGKILL);
}

#define FAILPOINT(name) failpoint_hit(name)

#else

#define FAILPOINT(name) ((void) 0)

#endif
