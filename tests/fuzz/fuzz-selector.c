/* SPDX-License-Identifier: Apache-2.0 */

/* Selectors, which come from clients, against documents. The input: a selector up to a line feed,
 * then a document. */

#include "document.h"
#include "error.h"
#include "fuzz.h"
#include "limit.h"
#include "selector.h"

typedef int (*Parse)(const char *text, Selector **ret, sd_bus_error *reterr);

static void check_error(int r, sd_bus_error *e)
{
        bool large = sd_bus_error_has_name(e, TANK_ERROR_TOO_LARGE);

        CHECK(large || sd_bus_error_has_name(e, TANK_ERROR_INVALID_ARGUMENT));
        CHECK(r == tank_error_to_errno(e->name) && (large || strstr(e->message, "column")));
        sd_bus_error_free(e);
}

/* A selector is true of what it is true of, twice said or not; nothing is true of all without. */
static void check_selector(Parse parse, const char *text, const json_t *doc)
{
        CLEANUP(selector_freep) Selector *s = NULL, *twice = NULL;
        CLEANUP_FREE char *both = NULL;
        sd_bus_error e = SD_BUS_ERROR_NULL;
        int r = parse(text, &s, &e);

        if (r < 0) {
                CHECK(!s);
                check_error(r, &e);
                return;
        }
        CHECK(selector_matches(s, doc) || text[strspn(text, " \t\r\n")]);
        if (!text[strspn(text, " \t\r\n")])
                return;
        CHECK(asprintf(&both, "%s,%s", text, text) > 0);
        r = parse(both, &twice, &e);
        if (r < 0)
                check_error(r, &e);
        else
                CHECK(selector_matches(twice, doc) == selector_matches(s, doc));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP_FREE char *text = fuzz_text(&data, &size, '\n');
        CLEANUP_JSON json_t *doc = NULL;

        if (document_parse((const char *) data, size, &doc, NULL) < 0)
                doc = json_object();
        CHECK(doc);
        check_selector(selector_parse_labels, text, doc);
        check_selector(selector_parse_fields, text, doc);
        if (json_object_get(doc, "labels"))
                check_selector(selector_parse_labels, text, json_object_get(doc, "labels"));
        return 0;
}
