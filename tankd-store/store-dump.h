/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A backup as bytes (docs/protocol.md 5.6): a head for people and programs, then every row of every
 * family as the database holds it, then how many there were and their digest. What was cut or
 * changed anywhere is noticed, and told with its place, before any of it counts.
 *
 *   tank-store-backup 1 LF
 *   {"created", "database", "format", "revision"} LF
 *   SHA-256 of these two lines, 64 hex digits LF
 *   F, 1 byte size, name           the rows of this family follow, in the order of their keys
 *   R, 4 bytes key size, 4 bytes value size, key, value
 *   E, 8 bytes number of rows, SHA-256 of everything from the first F to here
 *
 * The row of the database's id is left out: it stands in the head. Two backups of equal content
 * differ in their heads at most. */

#include <systemd/sd-bus.h>

#include "clock.h"
#include "digest.h"
#include "macro.h"

#define DUMP_VERSION 1

typedef struct DumpHead {
        char database_id[ID128_SIZE];
        uint64_t created_usec, format, revision;
} DumpHead;

/* ---- writing ---- */

typedef struct DumpWriter {
        char *data; /* what is not taken yet */
        size_t size, allocated;
        Sha256 *sum;
        uint64_t rows;
} DumpWriter;

int dump_writer_init(DumpWriter *w);
void dump_writer_done(DumpWriter *w);
/* Each once, in this order; -ENOMEM. */
int dump_put_head(DumpWriter *w, const DumpHead *h);
int dump_put_family(DumpWriter *w, const char *name);
int dump_put_row(DumpWriter *w, const void *key, size_t key_size, const void *value, size_t size);
int dump_put_end(DumpWriter *w);

/* ---- reading ---- */

/* Up to @size bytes; 0 at the end, or a negative errno. */
typedef int (*DumpSource)(void *buf, size_t size, void *userdata);

/* What was read. Nothing of it counts before dump_read() returns 0. */
typedef struct DumpSink {
        int (*head)(const DumpHead *h, void *userdata, sd_bus_error *reterr);
        int (*row)(const char *family, const void *key, size_t key_size, const void *value,
                        size_t size, void *userdata, sd_bus_error *reterr);
} DumpSink;

/* To the end. InvalidArgument with the place of what is wrong; NotSupported of a newer tank. */
int dump_read(DumpSource source, const DumpSink *sink, void *userdata, sd_bus_error *reterr);
