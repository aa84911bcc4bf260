/* SPDX-License-Identifier: Apache-2.0 */

/* The rows: what is encoded comes back, and every cut or foreign row is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "document.h"
#include "store-record.h"

static const char document[] = "{\"kind\":\"pod\",\"name\":\"w\",\"x\":\"\\n {\"}";

static StoreRecord sample(void)
{
        return (StoreRecord){
                .uid = "0123456789abcdef0123456789abcdef",
                .generation = 7,
                .revision = UINT64_C(1) << 60,
                .created_usec = UINT64_C(1767225600000000),
                .updated_usec = UINT64_C(1767225600000001),
                .operation = OPERATION_UPDATED,
                .document = document,
                .document_size = strlen(document),
        };
}

/* What is sealed stands behind the document, and is no part of what anybody is shown. */
static void test_sealed(void **state)
{
        static const char sealed[] = "}\0\n\xff{";
        CLEANUP_FREE char *value = NULL, *text = NULL;
        StoreRecord r = sample(), back;
        size_t size;

        r.sealed = sealed;
        r.sealed_size = sizeof(sealed);
        assert_int_equal(store_record_encode_into(&r, &value, &size), 0);
        assert_memory_equal(r.sealed, sealed, sizeof(sealed));
        assert_memory_equal(r.document, document, strlen(document));
        assert_int_equal(store_record_decode(value, size, &back), 0);
        assert_int_equal(back.document_size, strlen(document));
        assert_memory_equal(back.document, document, back.document_size);
        assert_int_equal(back.sealed_size, sizeof(sealed));
        assert_memory_equal(back.sealed, sealed, sizeof(sealed));
        assert_int_equal(store_record_to_text(&back, &text), 0);
        assert_null(strchr(text, '\xff'));
        assert_int_equal(store_record_decode(value, size - 1, &back), -EBADMSG);
}

static void test_record(void **state)
{
        CLEANUP_FREE char *value = NULL, *text = NULL;
        CLEANUP_JSON json_t *doc = NULL;
        StoreRecord r = sample(), back;
        const json_t *meta;
        size_t size;

        assert_int_equal(store_record_encode(&r, &value, &size), 0);
        assert_int_equal(value[0], 1);
        assert_int_equal(store_record_decode(value, size, &back), 0);
        assert_string_equal(back.uid, r.uid);
        assert_true(back.generation == r.generation && back.revision == r.revision);
        assert_true(back.created_usec == r.created_usec && back.updated_usec == r.updated_usec);
        assert_int_equal(back.operation, r.operation);
        assert_int_equal(back.document_size, r.document_size);
        assert_memory_equal(back.document, document, r.document_size);

        assert_int_equal(store_record_to_text(&back, &text), 0);
        doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(doc);
        assert_string_equal(json_get_string(doc, "x"), "\n {");
        meta = json_object_get(doc, "meta");
        assert_string_equal(json_get_string(meta, "uid"), r.uid);
        assert_string_equal(json_get_string(meta, "created"), "2026-01-01T00:00:00.000000Z");
        assert_string_equal(json_get_string(meta, "updated"), "2026-01-01T00:00:00.000001Z");
        assert_int_equal(json_get_int(meta, "generation", 0), 7);
        assert_true(json_get_int(meta, "revision", 0) == INT64_C(1) << 60);
        assert_int_equal(json_object_size(meta), 5);
}

static void test_tombstone(void **state)
{
        CLEANUP_FREE char *value = NULL;
        StoreRecord r = sample(), back;
        size_t size;

        r.operation = OPERATION_DELETED;
        r.document = NULL;
        r.document_size = 0;
        assert_int_equal(store_record_encode(&r, &value, &size), 0);
        assert_int_equal(store_record_decode(value, size, &back), 0);
        assert_int_equal(back.document_size, 0);
        assert_int_equal(back.operation, OPERATION_DELETED);
}

static void test_cut_and_foreign(void **state)
{
        CLEANUP_FREE char *value = NULL;
        StoreRecord r = sample(), back;
        size_t size;

        assert_int_equal(store_record_encode(&r, &value, &size), 0);
        for (size_t n = 0; n < size; n++)
                assert_int_equal(store_record_decode(value, n, &back), -EBADMSG);
        value[0] = 2;
        assert_int_equal(store_record_decode(value, size, &back), -EPROTONOSUPPORT);
        value[0] = 1;
        value[1] = '[';
        assert_int_equal(store_record_decode(value, size, &back), -EBADMSG);
}

/* A later program may add members. */
static void test_unknown_member(void **state)
{
        static const char value[] =
                        "\1{\"author\":{\"uid\":7},\"created\":1,\"generation\":2,\"operation\":"
                        "\"created\",\"revision\":3,\"uid\":\"0123456789abcdef0123456789abcdef\","
                        "\"updated\":4}\n{}";
        StoreRecord r;

        assert_int_equal(store_record_decode(value, sizeof(value) - 1, &r), 0);
        assert_true(r.generation == 2 && r.revision == 3);
}

static void test_change(void **state)
{
        CLEANUP_FREE char *value = NULL;
        CLEANUP_JSON json_t *o = NULL;
        StoreChange c = {
                .operation = OPERATION_DELETED,
                .uid = "0123456789abcdef0123456789abcdef",
                .generation = 3,
                .by = 4294967294U,
                .previous_labels = "{\"app\":\"web\"}",
        }, back;
        size_t size;

        assert_int_equal(object_key_init(&c.key, "pod", "prod-2", "web"), 0);
        assert_int_equal(store_change_encode(&c, &value, &size), 0);
        assert_int_equal(store_change_decode(value, size, &back), 0);
        assert_int_equal(back.operation, OPERATION_DELETED);
        assert_string_equal(back.key.type, "pod");
        assert_string_equal(back.key.namespace, "prod-2");
        assert_string_equal(back.key.name, "web");
        assert_string_equal(back.uid, c.uid);
        assert_true(back.by == c.by && back.generation == 3);
        o = json_loadb(value + 1, size - 1, JSON_REJECT_DUPLICATES, NULL);
        assert_string_equal(json_get_string(json_object_get(o, "previous_labels"), "app"), "web");
        assert_null(json_object_get(o, "labels"));
        for (size_t n = 0; n < size; n++)
                assert_int_equal(store_change_decode(value, n, &back), -EBADMSG);
}

static void test_words(void **state)
{
        for (Operation o = 0; o < _OPERATION_MAX; o++)
                assert_int_equal(operation_from_string(operation_to_string(o)), o);
        assert_int_equal(operation_from_string("gone"), -EINVAL);
        assert_int_equal(operation_from_string(NULL), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_record),
                cmocka_unit_test(test_sealed),
                cmocka_unit_test(test_tombstone),
                cmocka_unit_test(test_cut_and_foreign),
                cmocka_unit_test(test_unknown_member),
                cmocka_unit_test(test_change),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
