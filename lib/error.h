/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The closed list of errors that cross the bus, each with its errno and tankctl's exit code.
 * Inside a process errors are -errno; a sentence for people travels in an sd_bus_error. */

#include <systemd/sd-bus.h>

#include "macro.h"

#define TANK_ERROR_NOT_FOUND             "org.tankd.Error.NotFound"
#define TANK_ERROR_ALREADY_EXISTS        "org.tankd.Error.AlreadyExists"
#define TANK_ERROR_CONFLICT              "org.tankd.Error.Conflict"
#define TANK_ERROR_INVALID_ARGUMENT      "org.tankd.Error.InvalidArgument"
#define TANK_ERROR_NOT_SUPPORTED         "org.tankd.Error.NotSupported"
#define TANK_ERROR_FAILED_PRECONDITION   "org.tankd.Error.FailedPrecondition"
#define TANK_ERROR_TOO_LARGE             "org.tankd.Error.TooLarge"
#define TANK_ERROR_LIMIT_EXCEEDED        "org.tankd.Error.LimitExceeded"
#define TANK_ERROR_COMPACTED             "org.tankd.Error.Compacted"
#define TANK_ERROR_NOT_RUNNING           "org.tankd.Error.NotRunning"
#define TANK_ERROR_NOT_A_TTY             "org.tankd.Error.NotATty"
#define TANK_ERROR_BUSY                  "org.tankd.Error.Busy"
#define TANK_ERROR_ACCESS_DENIED         "org.tankd.Error.AccessDenied"
#define TANK_ERROR_AUTHENTICATION_FAILED "org.tankd.Error.AuthenticationFailed"
#define TANK_ERROR_UNAVAILABLE           "org.tankd.Error.Unavailable"
#define TANK_ERROR_DEGRADED              "org.tankd.Error.Degraded"
#define TANK_ERROR_TIMED_OUT             "org.tankd.Error.TimedOut"
#define TANK_ERROR_INTERNAL              "org.tankd.Error.Internal"

/* What a method handler returns when it failed: sets @error (name, formatted sentence) and returns
 * the mapped negative errno; sd-bus then sends the error. */
int tank_error_set(sd_bus_error *error, const char *name, const char *format, ...)
                PRINTF_LIKE(3, 4);
/* For failures without a better name: maps @r to a name (Internal by default) and appends the
 * errno in words. */
int tank_error_set_errno(sd_bus_error *error, int r, const char *format, ...) PRINTF_LIKE(3, 4);

int tank_error_to_errno(const char *name); /* negative; -EIO for unknown names */
const char *tank_error_from_errno(int r);  /* a name, Internal by default */

/* tankctl's exit codes. */
enum {
        EXIT_CODE_DONE = 0,
        EXIT_CODE_FAILED = 1,
        EXIT_CODE_USAGE = 2,
        EXIT_CODE_NOT_FOUND = 3,
        EXIT_CODE_CONFLICT = 4,
        EXIT_CODE_TIMED_OUT = 5,
        EXIT_CODE_REFUSED = 125, /* exec, attach: refused, not running, no such pod */
        EXIT_CODE_CANNOT_EXECUTE = 126,
        EXIT_CODE_NO_COMMAND = 127,
};
int tank_error_to_exit_code(const char *name);
