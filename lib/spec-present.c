/* SPDX-License-Identifier: Apache-2.0 */

/* The stored form as a person would have written it: the same document, with units. */

#include "quantity.h"
#include "spec-error.h"
#include "spec-table.h"

static int present_object(const SpecField *fields, const json_t *o, json_t **ret);

static int present_value(const SpecField *f, bool list, const json_t *v, json_t **ret)
{
        char text[FORMAT_EXACT_SIZE];
        json_t *j = NULL;

        if (list && json_is_array(v)) {
                CLEANUP_JSON json_t *array = json_array();

                if (!array)
                        return -ENOMEM;
                for (size_t i = 0; i < json_array_size(v); i++) {
                        int r;

                        r = present_value(f, false, json_array_get(v, i), &j);
                        if (r < 0)
                                return r;
                        if (json_array_append_new(array, j) < 0)
                                return -ENOMEM;
                }
                *ret = TAKE_PTR(array);
                return 0;
        }
        /* The values of `env` and the like are named by people, not by the table. */
        if (f->fields && json_is_object(v) && f->kind != SPEC_ENVIRONMENT && f->kind != SPEC_DATA)
                return present_object(f->fields, v, ret);

        if (f->kind == SPEC_DURATION && json_is_integer(v))
                j = json_string(format_duration_exact((uint64_t) json_integer_value(v), text));
        else if (f->kind == SPEC_SIZE && json_integer_value(v) >= 1000)
                j = json_string(format_size_exact((uint64_t) json_integer_value(v), text));
        else
                j = json_deep_copy(v);
        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

static int present_object(const SpecField *fields, const json_t *o, json_t **ret)
{
        CLEANUP_JSON json_t *object = json_object();
        const char *key;
        json_t *value;

        if (!object)
                return -ENOMEM;
        json_object_foreach ((json_t *) o, key, value) {
                const SpecField *f = spec_find_field(fields, key);
                json_t *j;
                int r = 0;

                if (f)
                        r = present_value(f, f->list, value, &j);
                else {
                        j = json_deep_copy(value);
                        r = j ? 0 : -ENOMEM;
                }
                if (r < 0)
                        return r;
                if (json_object_set_new_nocheck(object, key, j) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(object);
        return 0;
}

int spec_present(const json_t *doc, json_t **ret)
{
        const char *kind = json_get_string(doc, "kind");

        return present_object(spec_find_type(kind ? kind : "pod")->fields, doc, ret);
}
