/* SPDX-License-Identifier: Apache-2.0 */

/* A backup that somebody wants to be restored. It is read as it is; and, since nothing that was
 * made up has a right digest, its bytes are also what rows are made of, in a backup that is
 * written, read, cut and changed. */

#include "fuzz.h"
#include "store-dump.h"

typedef struct Input {
        const uint8_t *data;
        size_t size, at, step;
        size_t rows, bytes;
} Input;

static int source(void *buf, size_t size, void *userdata)
{
        Input *in = userdata;
        size_t n = MIN(MIN(size, in->step), in->size - in->at);

        memcpy(buf, in->data + in->at, n);
        in->at += n;
        return (int) n;
}

static int see_head(const DumpHead *h, void *userdata, sd_bus_error *reterr)
{
        CHECK(id_is_valid(h->database_id) && h->format > 0 && h->revision > 0);
        return 0;
}

static int see_row(const char *family, const void *key, size_t key_size, const void *value,
                size_t size, void *userdata, sd_bus_error *reterr)
{
        Input *in = userdata;

        CHECK(strlen(family) > 0 && key_size > 0);
        in->rows++;
        in->bytes += key_size + size;
        return 0;
}

static int read_back(const uint8_t *data, size_t size, size_t step, Input *ret)
{
        static const DumpSink sink = { see_head, see_row };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        *ret = (Input){ .data = data, .size = size, .step = step };
        r = dump_read(source, &sink, ret, &e);
        CHECK((r < 0) == sd_bus_error_is_set(&e));
        CHECK(r == 0 || e.message[0]);
        sd_bus_error_free(&e);
        return r;
}

/* Rows whose keys and values are pieces of the input. */
static size_t write_rows(DumpWriter *w, const uint8_t *data, size_t size)
{
        size_t n = 0;

        for (size_t at = 0; at + 2 < size && n < 100; n++) {
                size_t key = MIN((size_t) data[at] + 1, size - at - 1);
                size_t value = MIN((size_t) data[at + 1], size - at - 1 - key);

                CHECK(dump_put_row(w, data + at + 1, key, data + at + 1 + key, value) == 0);
                at += 1 + key + value;
        }
        return n;
}

static void check_written(const uint8_t *data, size_t size)
{
        CLEANUP(dump_writer_done) DumpWriter w = {};
        const DumpHead head = { "0123456789abcdef0123456789abcdef", 1, 2, 3 };
        size_t n, at;
        Input in;

        CHECK(dump_writer_init(&w) == 0 && dump_put_head(&w, &head) == 0 &&
                        dump_put_family(&w, "objects") == 0);
        n = write_rows(&w, data, size);
        CHECK(dump_put_end(&w) == 0);
        CHECK(read_back((const uint8_t *) w.data, w.size, 1 + size % 7, &in) == 0);
        CHECK(in.rows == n);
        /* Cut, and changed, anywhere. */
        at = size > 0 ? data[size - 1] * w.size / 256 : 0;
        CHECK(read_back((const uint8_t *) w.data, at, 1000, &in) < 0);
        w.data[at] = (char) (w.data[at] ^ 1);
        CHECK(read_back((const uint8_t *) w.data, w.size, 1000, &in) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Input in;

        (void) read_back(data, size, 4096, &in);
        check_written(data, size);
        return 0;
}
