/* SPDX-License-Identifier: Apache-2.0 */

/* A line of an import: whatever it holds, it is a document in its stored form, or an error with
 * words. What was taken in is taken in again, as the same; but for values that only what is sealed
 * beside the document has. */

#include "document.h"
#include "fuzz.h"
#include "store-import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        sd_bus_error e = SD_BUS_ERROR_NULL;
        ImportLine l = {}, again = {};
        json_t *doc;

        if (import_parse_line((const char *) data, size, &l, &e) < 0) {
                CHECK(sd_bus_error_is_set(&e) && e.message[0]);
                sd_bus_error_free(&e);
                return 0;
        }
        CHECK(!sd_bus_error_is_set(&e));
        CHECK(l.document && l.identity && !(l.is_namespace && l.namespace));
        doc = json_loads(l.document, JSON_REJECT_DUPLICATES, NULL);
        CHECK(json_is_object(doc) && !json_object_get(doc, "meta"));
        json_decref(doc);
        if (import_parse_line(l.document, strlen(l.document), &again, &e) == 0) {
                CHECK(streq(again.document, l.document) && streq(again.identity, l.identity));
                import_line_done(&again);
        } else
                CHECK(l.sealed && sd_bus_error_is_set(&e));
        sd_bus_error_free(&e);
        import_line_done(&l);
        return 0;
}
