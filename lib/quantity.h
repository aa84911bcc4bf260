/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The quantities of documents. All: -EINVAL not of the form, -ERANGE beyond what fits. */

#include "macro.h"

/* Bytes: "64MiB", "5MB", "1024"; units B, kB/KB, MB, GB, TB, KiB, MiB, GiB, TiB, and K, M, G, T as
 * binary. A fraction only where it gives whole bytes ("1.5GiB"). */
int parse_size(const char *s, uint64_t *ret);
/* µs: "10s", "1m30s", "250ms", "10us", "2h", "1d"; a bare number is -EINVAL. */
int parse_duration(const char *s, uint64_t *ret);
/* CPUs as µs of quota for each @period µs: "0.5", "2". */
int parse_cpus(const char *s, uint64_t period, uint64_t *ret_quota);
/* Decimal digits only, no sign, no space. */
int parse_u64(const char *s, uint64_t *ret);
/* A signal by name ("SIGTERM", "TERM", "RTMIN+3", "SIGRTMIN+3") or number 1-64. */
int parse_signal(const char *s);
const char *signal_name(int signo, char buf[static 16]); /* "SIGTERM", "SIGRTMIN+3" */

/* "5s", "3m20s", "2d4h": at most two units, for people. */
#define FORMAT_DURATION_SIZE 48
const char *format_duration(uint64_t usec, char buf[static FORMAT_DURATION_SIZE]);

/* Exactly, as parse_duration() and parse_size() read it back: "1m30s", "1s500ms"; "64MiB", "5MB",
 * "1000" where no unit fits. */
#define FORMAT_EXACT_SIZE 64
const char *format_duration_exact(uint64_t usec, char buf[static FORMAT_EXACT_SIZE]);
const char *format_size_exact(uint64_t bytes, char buf[static FORMAT_EXACT_SIZE]);
