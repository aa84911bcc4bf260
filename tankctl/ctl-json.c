/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl-json.h"

#include "clock.h"
#include "ctl-text.h"
#include "document.h"
#include "spec.h"

static int print(FILE *f, const json_t *value, size_t flags)
{
        CLEANUP_FREE char *text = json_dumps(value, flags | JSON_REAL_PRECISION(15));
        CLEANUP_FREE char *harmless = text ? json_neutral(text) : NULL;

        if (!harmless)
                return -ENOMEM;
        return fputs(harmless, f) == EOF || fputc('\n', f) == EOF ? -EIO : 0;
}

int json_print(FILE *f, const json_t *value)
{
        return print(f, value, JSON_INDENT(2));
}

int json_print_line(FILE *f, const json_t *value)
{
        return print(f, value, JSON_COMPACT);
}

json_t *ctl_json_time(uint64_t usec)
{
        char text[RFC3339_SIZE];

        return usec > 0 ? json_string(format_rfc3339(usec, text)) : json_null();
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
