/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a run tells about itself (docs/protocol.md section 2.4): in its file, and in `hello` and
 * `status` on the channel. */

#include "record.h"

typedef struct Shim Shim;

#define RUN_RECORD_VERSION 1U

/* @type: "hello", "status", or NULL for the file. */
void shim_record_fill(const Shim *s, const char *type, RecordWriter *w);
/* Replaces <run directory>/record. */
int shim_record_write(const Shim *s);
