/* SPDX-License-Identifier: Apache-2.0 */

#include "document.h"
#include "error.h"
#include "fuzz.h"
#include "fuzz-spec-check.h"
#include "names.h"

static void check_text(const char *s)
{
        CHECK(utf8_is_valid(s, strlen(s)));
        for (; *s; s++)
                CHECK((unsigned char) *s >= 0x20 && *s != 0x7f);
}

static void check_refused(int r, const SpecError *e)
{
        CHECK(e->name && r == tank_error_to_errno(e->name));
        CHECK(e->message[0]);
        check_text(e->path);
        check_text(e->message);
}

static void check_accepted(const json_t *normal)
{
        CLEANUP_JSON json_t *again = NULL, *shown = NULL, *back = NULL;
        CLEANUP(pod_freep) Pod *pod = NULL;
        char path[256];

        CHECK(spec_normalize(normal, SPEC_DEFAULT, &again, NULL) == 0);
        CHECK(json_equal(again, normal));
        CHECK(spec_present(normal, &shown) == 0);
        CHECK(spec_normalize(shown, SPEC_STRICT_ENTRY, &back, NULL) == 0);
        CHECK(json_equal(back, normal));
        (void) spec_privileged_field(normal, path);
        if (!streq(json_get_string(normal, "kind"), "pod"))
                return;
        CHECK(pod_from_document(normal, &pod) == 0);
        for (size_t i = 0; i < pod->n_containers; i++)
                for (size_t j = 0; j < pod->containers[i].n_mounts; j++)
                        CHECK(pod_find_volume(pod, pod->containers[i].mounts[j].volume));
}

json_t *fuzz_normalize(const json_t *doc, SpecFlags flags, SpecError *reterr)
{
        json_t *normal = NULL;
        int r;

        *reterr = (SpecError){ 0 };
        r = spec_normalize(doc, flags, &normal, reterr);
        if (r < 0) {
                CHECK(!normal);
                check_refused(r, reterr);
                return NULL;
        }
        check_accepted(normal);
        return normal;
}
