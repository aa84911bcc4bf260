/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "spec-util.h"

json_t *document_from(const char *text)
{
        CLEANUP_FREE char *json = strdup(text);
        json_error_t error;
        json_t *doc;

        assert_non_null(json);
        for (char *p = json; *p; p++)
                if (*p == '\'')
                        *p = '"';
        doc = json_loads(json, JSON_DECODE_ANY, &error);
        if (!doc)
                fail_msg("%s: %s", error.text, text);
        return doc;
}

char *normal_form(const char *text)
{
        CLEANUP_JSON json_t *doc = document_from(text), *normal = NULL;
        SpecError error = { 0 };
        char *s = NULL;

        if (spec_normalize(doc, SPEC_DEFAULT, &normal, &error) < 0)
                fail_msg("%s: %s: %s", text, error.path, error.message);
        assert_int_equal(document_format(normal, &s), 0);
        return s;
}

char *pod_text(const char *pod, const char *container)
{
        char *s;

        assert_true(asprintf(&s,
                                    "{'name': 'web'%s, 'containers': [{'name': 'app', "
                                    "'image': {'rootfs': '/srv/root'}, 'command': ['run']%s}]}",
                                    pod, container) > 0);
        return s;
}
