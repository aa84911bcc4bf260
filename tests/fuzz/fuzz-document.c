/* SPDX-License-Identifier: Apache-2.0 */

/* A document as it comes over the bus: JSON text, validated and brought to its stored form. */

#include "document.h"
#include "fuzz.h"
#include "fuzz-spec-check.h"

/* A member is found in the stored form where it is, and in anything else nothing breaks. */
static void check_members(json_t *doc, const char *text)
{
        const char *key;
        json_t *member;

        json_object_foreach (doc, key, member) {
                CLEANUP_JSON json_t *name = json_string(key);
                CLEANUP_FREE char *wanted =
                                json_dumps(member, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
                CLEANUP_FREE char *quoted = json_dumps(name, JSON_ENCODE_ANY);
                const char *found;
                size_t n;

                CHECK(wanted && quoted);
                if (strchr(quoted, '\\'))
                        continue; /* a key that is written otherwise: nobody looks for one */
                CHECK(document_find(text, strlen(text), key, &found, &n) == 0);
                CHECK(n == strlen(wanted) && memcmp(found, wanted, n) == 0);
        }
}

/* What is told without a parser is what the parser says. */
static void check_readable(const char *text, size_t size)
{
        CLEANUP_JSON json_t *doc = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);

        CHECK(document_is_readable(text, size, "meta") ==
                        (json_is_object(doc) && !json_object_get(doc, "meta")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL, *again = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *text = NULL;
        SpecError error;
        const char *found;
        size_t n;

        if (document_find((const char *) data, size, "labels", &found, &n) >= 0)
                CHECK(found > (const char *) data && found + n < (const char *) data + size);
        check_readable((const char *) data, size);
        if (document_parse((const char *) data, size, &doc, &e) < 0) {
                CHECK(sd_bus_error_is_set(&e) && e.message);
                return 0;
        }
        normal = fuzz_normalize(doc, SPEC_DEFAULT, &error);
        if (!normal)
                return 0;
        /* What is stored can be read again, and is the same. */
        CHECK(document_format(normal, &text) == 0);
        CHECK(document_parse(text, strlen(text), &again, NULL) == 0);
        CHECK(json_equal(again, normal));
        check_readable(text, strlen(text));
        check_members(normal, text);
        return 0;
}
