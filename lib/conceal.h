/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What keeps the values of secrets from leaving a process by the back door: by a core dump, by
 * another process that looks into it, by the swap. */

#include "macro.h"

/* No core dumps, not even to a handler that is a pipe, and nobody who has no right over the whole
 * machine looks into it. Forgotten by the kernel whenever ids change, where fs.suid_dumpable is not
 * 0, and at execve(): then it has to be said again. */
int process_conceal(void);
/* The same for a whole program, whose search for leaks, in a build that has one, traces it when it
 * exits and may not be kept from it. */
void program_conceal(void);

/* All of its memory stays out of the swap, what it gets later too; pages count as they are touched,
 * so that it takes no more than before. Children do not inherit it. -EPERM: there is a limit, which
 * would one day make an allocation fail; nothing is locked then. */
int process_lock_memory(void);

/* A file in memory is swapped like everything else, whoever has it open; but for the pages that a
 * process has locked. */
typedef struct LockedFile {
        void *address;
        size_t size;
} LockedFile;

/* What @fd consists of now; in place of what @f is. */
int locked_file_take(LockedFile *f, int fd);
void locked_file_done(LockedFile *f); /* empty behind it, and may be so before */
