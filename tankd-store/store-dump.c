/* SPDX-License-Identifier: Apache-2.0 */
#include "store-dump.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "quantity.h"

#define MAGIC     "tank-store-backup"
#define LINE_MAX_ 512U /* of the head */
#define NAME_MAX_ 32U  /* of a family */

/* ---- writing ---- */

int dump_writer_init(DumpWriter *w)
{
        *w = (DumpWriter){};
        return sha256_new(&w->sum);
}

void dump_writer_done(DumpWriter *w)
{
        sha256_free(w->sum);
        free(w->data);
        *w = (DumpWriter){};
}

static int append(DumpWriter *w, const void *data, size_t size)
{
        size_t wanted = w->size + size;

        if (wanted > w->allocated) {
                char *p = realloc(w->data, MAX(2 * w->allocated, wanted));

                if (!p)
                        return -ENOMEM;
                w->allocated = MAX(2 * w->allocated, wanted);
                w->data = p;
        }
        if (size > 0)
                memcpy(w->data + w->size, data, size);
        w->size = wanted;
        return 0;
}

/* Of what is summed up. */
static int put(DumpWriter *w, const void *data, size_t size)
{
        sha256_add(w->sum, data, size);
        return append(w, data, size);
}

int dump_put_head(DumpWriter *w, const DumpHead *h)
{
        char text[LINE_MAX_], created[RFC3339_SIZE], sum[SHA256_HEX_SIZE];
        int n;

        n = snprintf(text, sizeof(text),
                        MAGIC " %d\n{\"created\":\"%s\",\"database\":\"%s\",\"format\":%" PRIu64
                              ",\"revision\":%" PRIu64 "}\n",
                        DUMP_VERSION, format_rfc3339(h->created_usec, created), h->database_id,
                        h->format, h->revision);
        assert(n > 0 && (size_t) n < sizeof(text));
        sha256_hex(text, (size_t) n, sum);
        return append(w, text, (size_t) n) < 0 || append(w, sum, strlen(sum)) < 0 ||
                                               append(w, "\n", 1) < 0
                               ? -ENOMEM
                               : 0;
}

int dump_put_family(DumpWriter *w, const char *name)
{
        char head[2] = { 'F', (char) strlen(name) };

        return put(w, head, sizeof(head)) < 0 ? -ENOMEM : put(w, name, strlen(name));
}

int dump_put_row(DumpWriter *w, const void *key, size_t key_size, const void *value, size_t size)
{
        uint32_t k = htobe32((uint32_t) key_size), v = htobe32((uint32_t) size);
        char head[9] = { 'R' };

        memcpy(head + 1, &k, sizeof(k));
        memcpy(head + 5, &v, sizeof(v));
        w->rows++;
        return put(w, head, sizeof(head)) < 0 || put(w, key, key_size) < 0 ||
                                               put(w, value, size) < 0
                               ? -ENOMEM
                               : 0;
}

int dump_put_end(DumpWriter *w)
{
        unsigned char sum[SHA256_SIZE];
        uint64_t rows = htobe64(w->rows);

        sha256_end(w->sum, sum);
        return append(w, "E", 1) < 0 || append(w, &rows, sizeof(rows)) < 0 ||
                                               append(w, sum, sizeof(sum)) < 0
                               ? -ENOMEM
                               : 0;
}

/* ---- reading ---- */

typedef struct Reader {
        DumpSource source;
        const DumpSink *sink;
        void *userdata;
        Sha256 *sum; /* NULL: not summed up yet, or any more */
        uint64_t at; /* bytes read */
        uint64_t rows;
        char family[NAME_MAX_ + 1];
        char *data; /* of one row */
        size_t allocated;
} Reader;

static void reader_done(Reader *r)
{
        sha256_free(r->sum);
        free(r->data);
}

static int oom(sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
}

static int refuse(const Reader *r, const char *what, sd_bus_error *reterr)
{
        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                        "the backup is damaged: %s, at byte %" PRIu64 "; take another copy of it",
                        what, r->at);
}

/* 1: all of it was read, 0: there was nothing more. */
static int take(Reader *r, void *buf, size_t size, sd_bus_error *reterr)
{
        size_t n = 0;

        while (n < size) {
                int k = r->source((char *) buf + n, size - n, r->userdata);

                if (k < 0)
                        return tank_error_set_errno(reterr, k, "the backup cannot be read");
                if (k == 0 && n == 0)
                        return 0;
                if (k == 0)
                        return refuse(r, "it ends in the middle", reterr);
                n += (size_t) k;
                r->at += (size_t) k;
        }
        if (r->sum)
                sha256_add(r->sum, buf, size);
        return 1;
}

static int take_all(Reader *r, void *buf, size_t size, sd_bus_error *reterr)
{
        int k = take(r, buf, size, reterr);

        return k == 0 && size > 0 ? refuse(r, "it ends in the middle", reterr) : k;
}

/* With its LF. */
static int take_line(Reader *r, char line[static LINE_MAX_], sd_bus_error *reterr)
{
        for (size_t n = 0; n < LINE_MAX_ - 1; n++) {
                int k = take_all(r, line + n, 1, reterr);

                if (k < 0)
                        return k;
                if (line[n] == 0)
                        break;
                if (line[n] == '\n') {
                        line[n + 1] = 0;
                        return 0;
                }
        }
        return refuse(r, "no backup of a store begins like this", reterr);
}

static int parse_head(const Reader *r, const char *line, DumpHead *ret, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        const char *id = json_get_string(o, "database"), *created = json_get_string(o, "created");
        int64_t format = json_get_int(o, "format", -1), revision = json_get_int(o, "revision", -1);

        if (!id || !id_is_valid(id) || !created || parse_rfc3339(created, &ret->created_usec) < 0 ||
                        format < 1 || revision < 1)
                return refuse(r, "its head says not what it must", reterr);
        memcpy(ret->database_id, id, ID128_SIZE);
        ret->format = (uint64_t) format;
        ret->revision = (uint64_t) revision;
        return 0;
}

static int read_head(Reader *r, sd_bus_error *reterr)
{
        char first[LINE_MAX_], second[LINE_MAX_], third[LINE_MAX_], text[2 * LINE_MAX_];
        char sum[SHA256_HEX_SIZE];
        unsigned version;
        DumpHead head;
        int k, end = -1;

        k = take_line(r, first, reterr);
        if (k < 0)
                return k;
        if (sscanf(first, MAGIC " %4u%n", &version, &end) != 1 || end < 0 ||
                        !streq(first + end, "\n"))
                return refuse(r, "no backup of a store begins like this", reterr);
        if (version > DUMP_VERSION)
                return tank_error_set(reterr, TANK_ERROR_NOT_SUPPORTED,
                                "the backup was made by a newer tank: install that");
        if ((k = take_line(r, second, reterr)) < 0 || (k = take_line(r, third, reterr)) < 0)
                return k;
        (void) snprintf(text, sizeof(text), "%s%s", first, second);
        sha256_hex(text, strlen(text), sum);
        if (strlen(third) != SHA256_HEX_SIZE || memcmp(third, sum, SHA256_HEX_SIZE - 1) != 0)
                return refuse(r, "the digest of its head is wrong", reterr);
        k = parse_head(r, second, &head, reterr);
        return k < 0 ? k : r->sink->head(&head, r->userdata, reterr);
}

static int read_family(Reader *r, sd_bus_error *reterr)
{
        unsigned char size;
        int k = take_all(r, &size, 1, reterr);

        if (k < 0)
                return k;
        if (size == 0 || size > NAME_MAX_)
                return refuse(r, "that is no name of a family", reterr);
        k = take_all(r, r->family, size, reterr);
        if (k < 0)
                return k;
        r->family[size] = 0;
        return strlen(r->family) == size ? 0 : refuse(r, "that is no name of a family", reterr);
}

/* A size that lies does not cost memory: it grows with what is really there. */
static int take_bytes(Reader *r, size_t from, size_t size, sd_bus_error *reterr)
{
        const size_t piece = 1024U * 1024U;

        for (size_t n = 0; n < size;) {
                size_t part = MIN(size - n, piece);
                int k;

                if (from + n + part > r->allocated) {
                        size_t wanted = MAX(from + n + part, MIN(2 * r->allocated, from + size));
                        char *p = realloc(r->data, wanted);

                        if (!p)
                                return oom(reterr);
                        r->data = p;
                        r->allocated = wanted;
                }
                k = take_all(r, r->data + from + n, part, reterr);
                if (k < 0)
                        return k;
                n += part;
        }
        return 0;
}

static int read_row(Reader *r, sd_bus_error *reterr)
{
        uint32_t sizes[2];
        size_t key_size, size;
        int k;

        k = take_all(r, sizes, sizeof(sizes), reterr);
        if (k < 0)
                return k;
        key_size = be32toh(sizes[0]);
        size = be32toh(sizes[1]);
        if (isempty(r->family) || key_size == 0 || key_size > LIMIT_DUMP_KEY ||
                        size > LIMIT_DUMP_VALUE)
                return refuse(r, "no row of a database is like this", reterr);
        if ((k = take_bytes(r, 0, key_size, reterr)) < 0 ||
                        (k = take_bytes(r, key_size, size, reterr)) < 0)
                return k;
        r->rows++;
        return r->sink->row(r->family, r->data, key_size, r->data + key_size, size, r->userdata,
                        reterr);
}

/* The digest is of all before the E, which was read already. */
static int read_end(Reader *r, const unsigned char sum[static SHA256_SIZE], sd_bus_error *reterr)
{
        unsigned char told[SHA256_SIZE], more;
        uint64_t rows;
        int k;

        if ((k = take_all(r, &rows, sizeof(rows), reterr)) < 0 ||
                        (k = take_all(r, told, sizeof(told), reterr)) < 0)
                return k;
        if (be64toh(rows) != r->rows || memcmp(sum, told, SHA256_SIZE) != 0)
                return refuse(r, "its digest is wrong", reterr);
        k = take(r, &more, 1, reterr);
        return k > 0 ? refuse(r, "there is something behind its end", reterr) : k;
}

static int read_body(Reader *r, sd_bus_error *reterr)
{
        int k = sha256_new(&r->sum);

        if (k < 0)
                return oom(reterr);
        for (;;) {
                Sha256 *sum = TAKE_PTR(r->sum); /* the letter is not of it before it is known */
                unsigned char digest[SHA256_SIZE];
                char letter;

                k = take_all(r, &letter, 1, reterr);
                r->sum = sum;
                if (k < 0)
                        return k;
                if (letter == 'E') {
                        sha256_end(r->sum, digest);
                        r->sum = sha256_free(r->sum);
                        return read_end(r, digest, reterr);
                }
                sha256_add(r->sum, &letter, 1);
                if (letter == 'F')
                        k = read_family(r, reterr);
                else if (letter == 'R')
                        k = read_row(r, reterr);
                else
                        k = refuse(r, "neither a row nor the end", reterr);
                if (k < 0)
                        return k;
        }
}

int dump_read(DumpSource source, const DumpSink *sink, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(reader_done) Reader r = { .source = source, .sink = sink, .userdata = userdata };
        int k = read_head(&r, reterr);

        return k < 0 ? k : read_body(&r, reterr);
}
