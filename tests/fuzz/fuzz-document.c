/* SPDX-License-Identifier: Apache-2.0 */

/* A document as it comes over the bus: JSON text, validated and brought to its stored form. */

#include "document.h"
#include "fuzz.h"
#include "fuzz-spec-check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP_JSON json_t *doc = NULL, *normal = NULL, *again = NULL;
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *text = NULL;
        SpecError error;

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
        return 0;
}
