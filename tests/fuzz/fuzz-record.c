/* SPDX-License-Identifier: Apache-2.0 */

/* The record format: everything that passes between the processes beside the bus, and what the
 * reconciler makes of the record of a run. */

#include "fuzz.h"
#include "record.h"
#include "shim-status.h"
#include "strv.h"

#define LOOKUPS 16U

static void check_lookup(const Record *r, const char *name)
{
        CLEANUP_STRV char **values = NULL;
        uint64_t number;

        CHECK(record_get(r, name));
        CHECK(record_get_strv(r, name, &values) == 0 && strv_length(values) > 0);
        (void) record_get_u64(r, name, &number);
}

static void check_entries(const Record *r)
{
        CLEANUP(record_done) RecordWriter w = { 0 };
        const char *key, *value;
        size_t pos = 0, length, n = 0;
        bool first = true;

        while (record_next(r, &pos, &key, &length, &value)) {
                CLEANUP_FREE char *name = strndup(key, length);

                CHECK(name && length > 0 && value == key + length + 1);
                CHECK(value + strlen(value) < r->data + r->size);
                if (n++ < LOOKUPS) /* each of them walks over all entries */
                        check_lookup(r, name);
                /* The version is written by record_start() alone. */
                if (first)
                        record_start(&w, r->version);
                else
                        record_put(&w, name, value);
                first = false;
        }
        CHECK(!first && pos == r->size);
        CHECK(record_finish(&w) == 0);
        /* "v=01" is written as "v=1". */
        CHECK(w.size <= r->size);
        CHECK(memcmp(w.data + strlen(w.data), r->data + strlen(r->data), w.size - strlen(w.data)) ==
                        0);
}

static void check_status(const Record *r)
{
        ShimStatus s;

        if (shim_status_parse(r, &s) < 0)
                return;
        CHECK(s.state >= 0 && s.state < _RUN_STATE_MAX);
        CHECK(s.pid >= 0 && s.shim_pid >= 0);
        CHECK(s.result.kind >= 0 && s.result.kind < _RESULT_KIND_MAX);
        CHECK(strnlen(s.pod_uid, sizeof(s.pod_uid)) < sizeof(s.pod_uid));
        CHECK(strnlen(s.container, sizeof(s.container)) < sizeof(s.container));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *attached;
        size_t n;
        Record r;
        int k;

        k = record_parse_attached(data, size, 3, &r, &attached, &n);
        if (k >= 0) {
                CHECK(attached ? r.size + 1 + n == size : r.size == size && n == 0);
                CHECK(!attached || (const char *) data + size == attached + n);
        }
        k = record_parse(data, size, 3, &r);
        if (k < 0) {
                CHECK(k == -EBADMSG || k == -EPROTONOSUPPORT);
                return 0;
        }
        CHECK(r.version >= 1 && r.version <= 3 && r.size == size);
        check_entries(&r);
        check_status(&r);
        return 0;
}
