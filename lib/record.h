/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The record format: everything that passes between tank's processes beside the bus.
 *
 * A record is a sequence of NUL-terminated "key=value" strings; the first is "v=<version>". A key
 * may repeat (a list, in order). Values are any bytes but NUL, which argv, environment and paths
 * cannot hold anyway. Readable with `tr '\0' '\n'`; parsed without a library, so that a shim links
 * nothing but sd-bus. An unknown key is ignored (added by a later minor), a newer version is
 * refused. Used for: the launch record (memfd), channel and session messages (one SEQPACKET packet
 * each), the run's record file. */

#include <inttypes.h>

#include "macro.h"

typedef struct RecordWriter {
        char *data;
        size_t size, allocated;
        bool attached;
        int error; /* first failure sticks; checked once at the end */
} RecordWriter;

void record_start(RecordWriter *w, unsigned version); /* writes "v=" */
void record_put(RecordWriter *w, const char *key, const char *value);
void record_putf(RecordWriter *w, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
void record_put_u64(RecordWriter *w, const char *key, uint64_t value);
/* Bytes that a record tells about, behind it: one more NUL ends it then, and no record has two in a
 * row otherwise. */
void record_attach(RecordWriter *w, const void *data, size_t size);
void record_put_strv(RecordWriter *w, const char *key, char *const *values);
int record_finish(RecordWriter *w); /* the sticky error; data and size are then valid */
void record_done(RecordWriter *w);

typedef struct Record {
        const char *data; /* borrowed; must outlive the reader */
        size_t size;
        unsigned version;
} Record;

/* -EBADMSG when malformed (no NUL at the end, no '=', empty key, no version first),
 * -EPROTONOSUPPORT when the version is above @max_version or 0. */
int record_parse(const void *data, size_t size, unsigned max_version, Record *ret);
/* The same of one that may have bytes attached; *@ret_attached: NULL when there are none. */
int record_parse_attached(const void *data, size_t size, unsigned max_version, Record *ret,
                const char **ret_attached, size_t *ret_attached_size);
const char *record_get(const Record *r, const char *key);            /* first value or NULL */
int record_get_u64(const Record *r, const char *key, uint64_t *ret); /* -ENOENT, -EBADMSG */
int record_get_strv(const Record *r, const char *key, char ***ret);  /* all values, may be empty */
/* Walks all entries: start with *pos = 0; false at the end. */
bool record_next(const Record *r, size_t *pos, const char **ret_key, size_t *ret_key_len,
                const char **ret_value);
