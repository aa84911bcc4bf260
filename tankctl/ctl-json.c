/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl-json.h"
#include "document.h"
#include "spec.h"

int json_print(FILE *f, const json_t *value)
{
        if (json_dumpf(value, f, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) < 0)
                return ferror(f) ? -EIO : -ENOMEM;
        return fputc('\n', f) == EOF ? -EIO : 0;
}

int declaration_for_people(const json_t *doc, json_t **ret)
{
        CLEANUP_JSON json_t *declared = json_copy((json_t *) doc);

        if (!declared)
                return -ENOMEM;
        (void) json_object_del(declared, "meta");
        (void) json_object_del(declared, "status");
        return spec_present(declared, ret);
}
