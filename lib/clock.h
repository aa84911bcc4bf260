/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Time in µs: real time for people, boot time (CLOCK_BOOTTIME) for deadlines and durations. */

#include <time.h>

#include "macro.h"

uint64_t now_realtime_usec(void);
uint64_t now_boottime_usec(void);

/* "2026-03-01T12:00:00.000000Z"; 27 characters and a NUL. */
#define RFC3339_SIZE 28
const char *format_rfc3339(uint64_t usec, char buf[static RFC3339_SIZE]);
int parse_rfc3339(const char *s, uint64_t *ret); /* UTC with 0-6 decimals; -EINVAL */

/* The kernel's boot id as 32 hex digits. */
#define ID128_SIZE 33
int boot_id(char ret[static ID128_SIZE]);
int random_id(char ret[static ID128_SIZE]); /* 128 random bits as 32 hex digits */
bool id_is_valid(const char *s);
