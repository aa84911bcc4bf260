/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The log format (docs/protocol.md section 4): the shim writes records with it, tankctl reads them.
 *
 *     <RFC 3339 UTC with µs>Z <out|err|tty> <F|P> <seq> <bytes>\n
 *
 * The payload is any bytes but '\n' (NUL included), so a newline in the file always ends a record
 * and a reader can start at any newline. A record that does not parse is torn (a crash, a full
 * disk): readers skip it. */

#include "clock.h"
#include "limit.h"
#include "macro.h"

typedef enum LogStream {
        LOG_STREAM_OUT,
        LOG_STREAM_ERR,
        LOG_STREAM_TTY,
        _LOG_STREAM_MAX,
        _LOG_STREAM_INVALID = -EINVAL,
} LogStream;

const char *log_stream_to_string(LogStream s);
LogStream log_stream_from_string(const char *s);

/* Stamp, stream, mark, a seq of up to 20 digits, and a space behind each. */
#define LOG_HEADER_MAX ((RFC3339_SIZE - 1) + 1 + 3 + 1 + 1 + 1 + 20 + 1)
/* The longest record with its newline. */
#define LOG_RECORD_SIZE_MAX (LOG_HEADER_MAX + LIMIT_LOG_RECORD_MAX + 1)

/* Writes the header, without a NUL, and returns its length. @stamp is from format_rfc3339(): one
 * serves all records of a batch. */
size_t log_format_header(char buf[static LOG_HEADER_MAX], const char stamp[static RFC3339_SIZE],
                LogStream stream, bool partial, uint64_t seq);

typedef struct LogRecord {
        uint64_t usec; /* real time */
        LogStream stream;
        bool partial; /* P: continued in the next record of this stream; F: a newline follows */
        uint64_t seq;
        const char *data; /* the payload, points into the line */
        size_t size;
} LogRecord;

/* @line: one record without its newline. -EBADMSG when it is none; then *@ret is untouched. */
int log_parse_record(const char *line, size_t size, LogRecord *ret);

/* Finds the last record that parses in @data (the tail of a file, may begin in the middle of a
 * record); *@ret_end is the offset just behind its newline. -ENOENT when there is none. What lies
 * behind *@ret_end is torn. */
int log_find_last_record(const char *data, size_t size, LogRecord *ret, size_t *ret_end);
