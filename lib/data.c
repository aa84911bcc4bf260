/* SPDX-License-Identifier: Apache-2.0 */

#include "data.h"

#include "base64.h"
#include "document.h"
#include "names.h"

int data_decode(const json_t *value, char **ret, size_t *ret_size)
{
        const json_t *encoded = json_object_get(value, "base64");
        size_t n;
        char *copy;

        if (json_is_string(encoded) && json_object_size(value) == 1)
                return base64_decode(json_string_value(encoded), json_string_length(encoded), ret,
                                ret_size);
        if (!json_is_string(value))
                return -EINVAL;
        n = json_string_length(value);
        copy = malloc(n + 1);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, json_string_value(value), n + 1);
        *ret = copy;
        *ret_size = n;
        return 0;
}

/* Text is what an editor shows as such: no control characters but those of lines and columns. */
static bool is_text(const char *s, size_t n)
{
        if (!utf8_is_valid(s, n))
                return false;
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) s[i];

                if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f)
                        return false;
        }
        return true;
}

int data_encode(const void *data, size_t size, json_t **ret)
{
        CLEANUP_JSON json_t *object = NULL, *text = NULL;
        char *encoded;
        int r;

        if (is_text(data, size)) {
                *ret = json_stringn_nocheck(data, size);
                return *ret ? 0 : -ENOMEM;
        }
        r = base64_encode(data, size, &encoded);
        if (r < 0)
                return r;
        text = json_string_nocheck(encoded);
        data_free(encoded, strlen(encoded));
        object = json_object();
        if (!text || !object || json_object_set(object, "base64", text) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(object);
        return 0;
}

void data_free(char *data, size_t size)
{
        if (data)
                explicit_bzero(data, size);
        free(data);
}

bool data_is_redacted(const json_t *value)
{
        return json_is_true(json_object_get(value, "redacted"));
}

json_t *data_redacted(void)
{
        return json_pack("{s:b}", "redacted", 1);
}
