/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lines on standard error: "<3>text" with sd-daemon prefixes when standard error is the journal,
 * "program: text" otherwise. lib/ itself logs nothing above debug; a program logs an error once,
 * where it stops propagating. */

#include <syslog.h>

#include "macro.h"

void log_setup(const char *program);          /* reads $TANK_LOG_LEVEL */
int log_set_level_from_string(const char *s); /* emerg … debug, or 0-7; -EINVAL */
void log_full(int level, int error, const char *format, ...) PRINTF_LIKE(3, 4);

/* @error is a negative errno or 0; it is returned, so that `return log_error_errno(r, …)` works.
 * With an error, ": <errno in words>" is appended. */
#define log_debug(...)   log_full(LOG_DEBUG, 0, __VA_ARGS__)
#define log_info(...)    log_full(LOG_INFO, 0, __VA_ARGS__)
#define log_notice(...)  log_full(LOG_NOTICE, 0, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, 0, __VA_ARGS__)
#define log_error(...)   log_full(LOG_ERR, 0, __VA_ARGS__)
#define log_full_errno(l, e, ...) \
        ({ \
                int _e = (e); \
                log_full((l), _e, __VA_ARGS__); \
                _e; \
        })
#define log_debug_errno(e, ...)   log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...)   log_full_errno(LOG_ERR, e, __VA_ARGS__)
#define log_oom()                 log_error_errno(-ENOMEM, "out of memory")

/* "No such file or directory", thread safe, sign ignored. */
const char *errno_words(int error);
