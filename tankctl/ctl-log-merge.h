/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The logs of the containers of a pod, turned back into the bytes that they wrote, in the order of
 * time. A terminal gets them made harmless (ctl-text.h), unless it is to have them raw: whoever may
 * write a log could otherwise write to the clipboard, or be what he likes, of whoever reads it. */

#include "macro.h"

typedef struct LogSelection {
        uint64_t tail;       /* the last so many lines; 0: all */
        uint64_t since_usec; /* lines that began then or later; 0: all */
        bool timestamps;     /* before each line */
        bool prefix;         /* "[CONTAINER] " before each line */
        bool raw;            /* byte by byte on a terminal, too */
} LogSelection;

typedef struct LogMerge LogMerge;

/* @directory is borrowed; @containers: whose logs, NAME.log and so on. */
int log_merge_new(int directory, char *const *containers, const LogSelection *selection,
                LogMerge **ret);
LogMerge *log_merge_free(LogMerge *m);
DEFINE_CLEANUP(LogMerge *, log_merge_freep, log_merge_free);

/* One that the pod did not have before: what it wrote at @since_usec or later. A container that is
 * among them already stays as it is. */
int log_merge_add(LogMerge *m, const char *container, uint64_t since_usec);

/* Prints what is there: standard error's records to standard error, all others to standard
 * output. */
int log_merge_print(LogMerge *m);

/* Prints what has come since, across rotations. */
int log_merge_follow(LogMerge *m);
