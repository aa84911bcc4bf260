/* SPDX-License-Identifier: Apache-2.0 */

/* One table: name, errno, exit code. */

#include <stdarg.h>
#include <stdio.h>

#include "error.h"
#include "log.h"
#include "names.h"

static const struct {
        const char *name;
        int error; /* positive; the first row with it answers tank_error_from_errno() */
        int exit_code;
} errors[] = {
        { TANK_ERROR_NOT_FOUND, ENOENT, EXIT_CODE_NOT_FOUND },
        { TANK_ERROR_ALREADY_EXISTS, EEXIST, EXIT_CODE_CONFLICT },
        { TANK_ERROR_CONFLICT, ESTALE, EXIT_CODE_CONFLICT },
        { TANK_ERROR_INVALID_ARGUMENT, EINVAL, EXIT_CODE_FAILED },
        { TANK_ERROR_NOT_SUPPORTED, EOPNOTSUPP, EXIT_CODE_FAILED },
        { TANK_ERROR_FAILED_PRECONDITION, ENOTEMPTY, EXIT_CODE_FAILED },
        { TANK_ERROR_TOO_LARGE, EFBIG, EXIT_CODE_FAILED },
        { TANK_ERROR_LIMIT_EXCEEDED, EDQUOT, EXIT_CODE_FAILED },
        { TANK_ERROR_COMPACTED, EIDRM, EXIT_CODE_FAILED },
        { TANK_ERROR_NOT_RUNNING, ESRCH, EXIT_CODE_FAILED },
        { TANK_ERROR_NOT_A_TTY, ENOTTY, EXIT_CODE_FAILED },
        { TANK_ERROR_BUSY, EBUSY, EXIT_CODE_FAILED },
        { TANK_ERROR_ACCESS_DENIED, EACCES, EXIT_CODE_FAILED },
        { TANK_ERROR_AUTHENTICATION_FAILED, EKEYREJECTED, EXIT_CODE_FAILED },
        { TANK_ERROR_UNAVAILABLE, EHOSTDOWN, EXIT_CODE_FAILED },
        { TANK_ERROR_DEGRADED, EROFS, EXIT_CODE_FAILED },
        { TANK_ERROR_TIMED_OUT, ETIMEDOUT, EXIT_CODE_TIMED_OUT },
        { TANK_ERROR_INTERNAL, EIO, EXIT_CODE_FAILED },
};

int tank_error_to_errno(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
                if (streq_ptr(name, errors[i].name))
                        return -errors[i].error;
        return -EIO;
}

const char *tank_error_from_errno(int r)
{
        if (r < 0)
                r = -r;
        for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
                if (r == errors[i].error)
                        return errors[i].name;
        return TANK_ERROR_INTERNAL;
}

int tank_error_to_exit_code(const char *name)
{
        for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
                if (streq_ptr(name, errors[i].name))
                        return errors[i].exit_code;
        return EXIT_CODE_FAILED;
}

int tank_error_set(sd_bus_error *error, const char *name, const char *format, ...)
{
        CLEANUP_FREE char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        /* A sentence may quote, and cut short, what a caller sent, and the bus carries UTF-8 only:
         * an error that it refuses would leave the caller without an answer. */
        utf8_repair(text);
        (void) sd_bus_error_set(error, name, text); /* returns its own guess of an errno */
        return tank_error_to_errno(name);
}

int tank_error_set_errno(sd_bus_error *error, int r, const char *format, ...)
{
        CLEANUP_FREE char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        return tank_error_set(error, tank_error_from_errno(r), "%s: %s", text, errno_words(r));
}
