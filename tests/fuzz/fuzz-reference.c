/* SPDX-License-Identifier: Apache-2.0 */

/* References, as anybody types them: what is accepted consists of legal parts and is stable, what
 * is refused has one sentence that says where. */

#include "error.h"
#include "fuzz.h"
#include "names.h"
#include "reference.h"

static void check_parts(const Reference *r)
{
        CHECK(type_is_valid(r->type));
        CHECK(!r->namespace[0] || name_is_valid(r->namespace));
        CHECK(!r->name[0] != !r->id[0]);
        CHECK(name_is_valid(r->name[0] ? r->name : r->id));
        CHECK(!r->id[0] || r->namespace[0]);
        CHECK(!type_is_global(r->type) || !r->namespace[0]);
        CHECK(!r->key || (r->key[0] && strlen(r->key) <= LIMIT_REFERENCE_KEY &&
                                         utf8_is_valid(r->key, strlen(r->key))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *text = fuzz_text(&data, &size, 0), *canonical = NULL, *again = NULL;
        CLEANUP(reference_done) Reference r = {}, back = {};

        if (reference_parse(text, &r, &e) < 0) {
                CHECK(sd_bus_error_has_name(&e, TANK_ERROR_INVALID_ARGUMENT));
                CHECK(e.message && utf8_is_valid(e.message, strlen(e.message)));
                CHECK(!strchr(e.message, '\n') && !r.key && !r.type[0]);
                return 0;
        }
        check_parts(&r);
        CHECK(reference_is_meant(text));
        CHECK(reference_format(&r, &canonical) == 0 && strlen(canonical) <= LIMIT_REFERENCE);
        CHECK(reference_parse(canonical, &back, NULL) == 0);
        CHECK(streq(r.type, back.type) && streq(r.namespace, back.namespace));
        CHECK(streq(r.name, back.name) && streq(r.id, back.id) && streq_ptr(r.key, back.key));
        CHECK(reference_format(&back, &again) == 0 && streq(canonical, again));
        return 0;
}
