/* SPDX-License-Identifier: Apache-2.0 */

#include "ctl-select.h"

#include "ctl-bus.h"
#include "ctl-text.h"
#include "document.h"

static int parse(int (*selector_parse)(const char *, Selector **, sd_bus_error *), const char *text,
                Selector **ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

        return selector_parse(text, ret, &e) < 0 ? ctl_usage_error("%s", e.message) : 0;
}

int selection_init(Selection *s, const Arguments *a)
{
        CLEANUP(selector_freep) Selector *labels = NULL, *fields = NULL;
        int r = 0;

        *s = (Selection){ .labels = a->selector };
        if (a->selector)
                r = parse(selector_parse_labels, a->selector, &labels);
        if (r == 0 && a->fields)
                r = parse(selector_parse_fields, a->fields, &fields);
        if (r != 0)
                return r;
        if (selector_looks_at(fields, "status"))
                s->by_status = TAKE_PTR(fields);
        else
                s->fields = a->fields;
        return 0;
}

void selection_done(Selection *s)
{
        s->by_status = selector_free(s->by_status);
}

void documents_select(json_t *docs, const Selection *s)
{
        for (size_t i = 0; s->by_status && i < json_array_size(docs);) {
                const json_t *doc = json_array_get(docs, i);

                /* What cannot be read must not be taken for absent. */
                if (json_get_bool(json_object_get(doc, "meta"), "unreadable", false) ||
                                selector_matches(s->by_status, doc))
                        i++;
                else
                        (void) json_array_remove(docs, i); /* it is there */
        }
}
