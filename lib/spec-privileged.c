/* SPDX-License-Identifier: Apache-2.0 */

/* Which declarations reach beyond the container: the table marks them. */

#include "spec-error.h"
#include "spec-table.h"

static bool is_privileged(const SpecField *f, const json_t *v)
{
        if (!f->privileged)
                return false;
        if (json_is_array(v) && json_array_size(v) == 0)
                return false;
        if (streq(f->privileged, "*"))
                return true;
        if (json_is_boolean(v))
                return spec_word_in(f->privileged, json_is_true(v) ? "true" : "false");
        return json_is_string(v) && spec_word_in(f->privileged, json_string_value(v));
}

static const char *find_in_object(const SpecField *fields, const SpecPath *path, const json_t *o,
                char buf[static 256]);

static const char *find_in_value(const SpecField *f, bool list, const SpecPath *path,
                const json_t *v, char buf[static 256])
{
        if (is_privileged(f, v))
                return spec_path_format(path, buf);
        if (list) {
                for (size_t i = 0; i < json_array_size(v); i++) {
                        SpecPath p = { path, NULL, i };
                        const char *found;

                        found = find_in_value(f, false, &p, json_array_get(v, i), buf);
                        if (found)
                                return found;
                }
                return NULL;
        }
        return f->fields && json_is_object(v) ? find_in_object(f->fields, path, v, buf) : NULL;
}

static const char *find_in_object(const SpecField *fields, const SpecPath *path, const json_t *o,
                char buf[static 256])
{
        for (const SpecField *f = fields; f->name; f++) {
                const json_t *v = json_object_get(o, f->name);
                SpecPath p = { path, f->name, 0 };
                const char *found;

                if (!v)
                        continue;
                found = find_in_value(f, f->list, &p, v, buf);
                if (found)
                        return found;
        }
        return NULL;
}

const char *spec_privileged_field(const json_t *doc, char buf[static 256])
{
        const char *kind = json_get_string(doc, "kind");

        return find_in_object(spec_find_type(kind ? kind : "pod")->fields, NULL, doc, buf);
}
