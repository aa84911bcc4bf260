/* SPDX-License-Identifier: Apache-2.0 */

/* Encoding and decoding of log records, without allocation and without printf: a container that
 * floods its log costs the shim a header for each line, so that a header has to be cheap. */

#include "log-format.h"

static const char *const stream_table[_LOG_STREAM_MAX] = {
        [LOG_STREAM_OUT] = "out",
        [LOG_STREAM_ERR] = "err",
        [LOG_STREAM_TTY] = "tty",
};

const char *log_stream_to_string(LogStream s)
{
        return s >= 0 && s < _LOG_STREAM_MAX ? stream_table[s] : NULL;
}

LogStream log_stream_from_string(const char *s)
{
        for (LogStream i = 0; i < _LOG_STREAM_MAX; i++)
                if (streq(s, stream_table[i]))
                        return i;
        return _LOG_STREAM_INVALID;
}

size_t log_format_header(char buf[static LOG_HEADER_MAX], const char stamp[static RFC3339_SIZE],
                LogStream stream, bool partial, uint64_t seq)
{
        char *p = buf;

        assert(stream >= 0 && stream < _LOG_STREAM_MAX);

        memcpy(p, stamp, RFC3339_SIZE - 1);
        p += RFC3339_SIZE - 1;
        *p++ = ' ';
        memcpy(p, stream_table[stream], 3);
        p += 3;
        *p++ = ' ';
        *p++ = partial ? 'P' : 'F';
        *p++ = ' ';

        char digits[20];
        size_t n = 0;
        do
                digits[n++] = (char) ('0' + seq % 10);
        while ((seq /= 10) > 0);
        while (n > 0)
                *p++ = digits[--n];

        *p++ = ' ';
        return (size_t) (p - buf);
}

/* The decimal number up to the space at or behind *@p; no sign, no leading zero. */
static int parse_seq(const char **p, const char *end, uint64_t *ret)
{
        const char *start = *p;
        uint64_t v = 0;

        for (; *p < end && **p != ' '; (*p)++) {
                if (**p < '0' || **p > '9')
                        return -EBADMSG;
                if (__builtin_mul_overflow(v, 10, &v) ||
                                __builtin_add_overflow(v, (uint64_t) (**p - '0'), &v))
                        return -EBADMSG;
        }

        if (*p == start || *p == end || *start == '0')
                return -EBADMSG;
        *ret = v;
        return 0;
}

int log_parse_record(const char *line, size_t size, LogRecord *ret)
{
        enum {
                STAMP = RFC3339_SIZE - 1,
                STREAM = STAMP + 1,
                MARK = STREAM + 4,
                SEQ = MARK + 2,
        };
        char stamp[RFC3339_SIZE], word[4];
        const char *p = line + SEQ, *end = line + size;
        LogRecord r = {};

        if (size < SEQ + 2 || line[STAMP] != ' ' || line[STREAM + 3] != ' ' ||
                        line[MARK + 1] != ' ')
                return -EBADMSG;
        if (line[MARK] != 'F' && line[MARK] != 'P')
                return -EBADMSG;
        r.partial = line[MARK] == 'P';

        memcpy(stamp, line, STAMP);
        stamp[STAMP] = '\0';
        if (strlen(stamp) != STAMP || stamp[STAMP - 1] != 'Z' || parse_rfc3339(stamp, &r.usec) < 0)
                return -EBADMSG;

        memcpy(word, line + STREAM, 3);
        word[3] = '\0';
        r.stream = log_stream_from_string(word);
        if (r.stream < 0)
                return -EBADMSG;

        if (parse_seq(&p, end, &r.seq) < 0)
                return -EBADMSG;

        r.data = p + 1;
        r.size = (size_t) (end - r.data);
        if (r.size > LIMIT_LOG_RECORD_MAX)
                return -EBADMSG;

        *ret = r;
        return 0;
}

int log_find_last_record(const char *data, size_t size, LogRecord *ret, size_t *ret_end)
{
        const char *end = memrchr(data, '\n', size);

        while (end) {
                const char *before = memrchr(data, '\n', (size_t) (end - data));
                const char *start = before ? before + 1 : data;

                if (log_parse_record(start, (size_t) (end - start), ret) >= 0) {
                        *ret_end = (size_t) (end - data) + 1;
                        return 0;
                }
                end = before;
        }

        return -ENOENT;
}
