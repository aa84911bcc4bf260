/* SPDX-License-Identifier: Apache-2.0 */

/* Values of secrets and configs. What is wrong with one is told without repeating it: sentences end
 * up on screens and in logs. */

#include "data.h"
#include "limit.h"
#include "names.h"
#include "spec-check.h"

int spec_unexpected_data(SpecContext *c, const SpecPath *path, const json_t *found)
{
        const char *what = json_is_array(found)     ? "a list"
                           : json_is_number(found)  ? "a number (put it in quotes)"
                           : json_is_boolean(found) ? "true or false (put it in quotes)"
                                                    : "nothing (write one, or leave the key out)";

        return spec_invalid(c, path, "expected text or {base64: …}, found %s", what);
}

int spec_check_data_value(SpecContext *c, const SpecPath *path, json_t **value, size_t *size)
{
        SpecPath base64_path = { path, "base64", 0 }, redacted_path = { path, "redacted", 0 };
        json_t *canonical = NULL;
        char *data;
        size_t n;
        int r;

        if (json_object_get(*value, "redacted"))
                return data_is_redacted(*value)
                                       ? 0
                                       : spec_invalid(c, &redacted_path,
                                                         "expected true, found false: leave the "
                                                         "key out to remove it");
        r = data_decode(*value, &data, &n);
        if (r == -EINVAL)
                return spec_invalid(c, &base64_path,
                                "is no base64: use A-Z, a-z, 0-9, '+' and '/', and '=' at the end "
                                "up to a multiple of 4");
        if (r < 0)
                return r;
        r = data_encode(data, n, &canonical);
        data_free(data, n);
        if (r < 0)
                return r;
        json_decref(*value);
        *value = canonical;
        *size += n;
        return 0;
}

int spec_check_data_size(SpecContext *c, const SpecPath *path, size_t size)
{
        if (size <= LIMIT_DATA_MAX)
                return 0;
        return spec_too_large(c, path,
                        "all values together have %zu bytes, and may have at most %u", size,
                        LIMIT_DATA_MAX);
}

int spec_check_secret(SpecContext *c, const json_t *secret)
{
        const char *type = json_get_string(secret, "type");
        SpecPath path = { NULL, "type", 0 };

        if (!type || label_value_is_valid(type))
                return 0;
        return spec_invalid(c, &path, "expected at most %u bytes of printable text",
                        LIMIT_LABEL_VALUE_MAX);
}
