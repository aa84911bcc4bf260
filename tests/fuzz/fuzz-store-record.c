/* SPDX-License-Identifier: Apache-2.0 */

/* The values of the database, which may be of a later program, or of a broken disk. */

#include "document.h"
#include "fuzz.h"
#include "store-record.h"

static void check_record(const void *data, size_t size)
{
        CLEANUP_FREE char *again = NULL, *text = NULL;
        CLEANUP_JSON json_t *doc = NULL;
        StoreRecord r, back;
        size_t n;
        int k;

        k = store_record_decode(data, size, &r);
        if (k < 0) {
                CHECK(k == -EBADMSG || k == -EPROTONOSUPPORT);
                return;
        }
        CHECK(r.operation >= 0 && r.operation < _OPERATION_MAX);
        CHECK(strnlen(r.uid, sizeof(r.uid)) < sizeof(r.uid));
        CHECK(r.document > (const char *) data || r.document_size == 0);
        CHECK(r.sealed == r.document + r.document_size);
        CHECK(r.sealed + r.sealed_size == (const char *) data + size);
        CHECK(store_record_encode(&r, &again, &n) == 0);
        CHECK(store_record_decode(again, n, &back) == 0);
        CHECK(back.generation == r.generation && back.revision == r.revision);
        CHECK(back.operation == r.operation && streq(back.uid, r.uid));
        CHECK(back.document_size == r.document_size && back.sealed_size == r.sealed_size);
        if (r.operation == OPERATION_DELETED)
                return;
        /* Whoever is shown it can read it. */
        CHECK(store_record_to_text(&r, &text) == 0);
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        CHECK(json_is_object(doc) && json_is_object(json_object_get(doc, "meta")));
}

static void check_change(const void *data, size_t size)
{
        CLEANUP_JSON json_t *labels = NULL, *previous = NULL;
        CLEANUP_FREE char *again = NULL;
        StoreChange c, back;
        size_t n;
        int k;

        k = store_change_decode(data, size, &c);
        if (k != 0) {
                CHECK(k == 1 || k == -EBADMSG || k == -EPROTONOSUPPORT);
                return;
        }
        k = store_change_labels(data, size, &labels, &previous);
        CHECK(k == 0 || k == -EBADMSG);
        if (k == 0) {
                CHECK(!labels || json_is_object(labels));
                CHECK(!previous || json_is_object(previous) || json_is_null(previous));
        }
        CHECK(c.operation >= 0 && c.operation < _OPERATION_MAX);
        CHECK(store_change_encode(&c, &again, &n) == 0);
        CHECK(store_change_decode(again, n, &back) == 0);
        CHECK(back.operation == c.operation && back.generation == c.generation && back.by == c.by);
        CHECK(streq(back.key.name, c.key.name) && streq(back.uid, c.uid));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        check_record(data, size);
        check_change(data, size);
        return 0;
}
