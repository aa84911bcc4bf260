/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl-select.h"
#include "ctl.h"
#include "ctl-text.h"
#include "document.h"
#include "names.h"

/* One of "key", "key=value", "key==value", "key!=value". */
static int select_one(const json_t *labels, const char *term, bool *ret)
{
        const char *op = term + strcspn(term, "=!");
        CLEANUP_FREE char *key = strndup(term, (size_t) (op - term));
        bool negative = *op == '!';
        const char *value, *actual;

        if (!key)
                return ctl_oom();
        if (!label_key_is_valid(key) || (negative && op[1] != '='))
                return ctl_usage_error("the selector \"%s\" is not supported yet: KEY, KEY=VALUE "
                                       "and KEY!=VALUE are, with commas between",
                                WORD(term));
        actual = json_get_string(labels, key);
        if (!*op) {
                *ret = actual;
                return 0;
        }
        value = op + 1 + (op[1] == '=');
        *ret = streq_ptr(actual, value) != negative;
        return 0;
}

static int select_document(const json_t *doc, const char *selector, bool *ret)
{
        CLEANUP_FREE char *copy = strdup(selector);
        char *rest = copy, *term;

        if (!copy)
                return ctl_oom();
        *ret = true;
        while ((term = strsep(&rest, ","))) {
                bool one = false;
                int r = select_one(json_object_get(doc, "labels"), term, &one);

                if (r != 0)
                        return r;
                *ret = *ret && one;
        }
        return 0;
}

int documents_select(json_t *docs, const char *selector)
{
        bool selected;
        int r;

        if (!selector)
                return 0;
        r = select_document(NULL, selector, &selected); /* for the grammar, in an empty list too */
        for (size_t i = 0; r == 0 && i < json_array_size(docs);) {
                r = select_document(json_array_get(docs, i), selector, &selected);
                if (selected)
                        i++;
                else
                        (void) json_array_remove(docs, i);
        }
        return r;
}
