/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of one container's log, oldest to newest, turned back into the bytes that the container
 * wrote. */

#include "log-format.h"
#include "macro.h"

typedef struct LogSelection {
        uint64_t tail;       /* the last so many lines; 0: all */
        uint64_t since_usec; /* lines that began then or later; 0: all */
        bool timestamps;     /* before each line */
} LogSelection;

typedef struct LogReader LogReader;

/* @directory is borrowed; @name is the file that is being written, the others are @name.1 and so
 * on. */
int log_reader_new(int directory, const char *name, const LogSelection *selection, LogReader **ret);
LogReader *log_reader_free(LogReader *r);
DEFINE_CLEANUP(LogReader *, log_reader_freep, log_reader_free);

/* Prints what is there: standard error's records to standard error, all others to standard
 * output. */
int log_reader_print(LogReader *r);

/* Prints what has come since, across rotations. */
int log_reader_follow(LogReader *r);
