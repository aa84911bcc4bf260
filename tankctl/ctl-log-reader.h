/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of one container's log, oldest to newest, as records, one after the other. */

#include "log-format.h"
#include "macro.h"

typedef struct LogReader LogReader;

/* @directory is borrowed; @name is the file that is being written, the others are @name.1 and so
 * on. */
int log_reader_new(int directory, const char *name, LogReader **ret);
LogReader *log_reader_free(LogReader *r);
DEFINE_CLEANUP(LogReader *, log_reader_freep, log_reader_free);

/* 1: *@ret is the next one, good until the next call; 0: that was all, for now. */
int log_reader_next(LogReader *r, LogRecord *ret);
/* After a 0: follows the name across rotations. 1: there may be more now. */
int log_reader_renew(LogReader *r);
int log_reader_rewind(LogReader *r);
/* Whether files went away unread before what comes next; false when asked again. */
bool log_reader_overtaken(LogReader *r);
