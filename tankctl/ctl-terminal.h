/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The caller's terminal: raw while a session has it, as it was on every way out. */

#include <stdint.h>

#include "macro.h"

/* The size of the first of stdin, stdout and stderr that is a terminal; false: none is. */
bool terminal_size(uint16_t *ret_rows, uint16_t *ret_columns);

/* Puts the terminal @fd into raw mode, and arranges that it is put back at exit and when the
 * process crashes or is ended by any signal but SIGKILL. @signals: Ctrl-C and its like make signals
 * all the same. Once in a process' life. */
int terminal_make_raw(int fd, bool signals);

/* As it was, and raw again: around a time in which somebody else has it. */
void terminal_suspend(void);
void terminal_resume(void);

/* The bell of the raw one. Never waits. */
void terminal_ring(void);

/* Idempotent, safe in a signal handler. */
void terminal_restore(void);
