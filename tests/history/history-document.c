/* SPDX-License-Identifier: Apache-2.0 */

/* Documents of which everything follows from one number. */

#include <inttypes.h>
#include <stdio.h>

#include "document.h"
#include "history-run.h"
#include "quantity.h"

char *document_of(Key key, uint32_t tag)
{
        char name[16], *text;
        int r;

        if (key_is_space(key))
                r = asprintf(&text,
                                "{\"kind\":\"namespace\",\"name\":\"%s\","
                                "\"labels\":{\"color\":\"c%d\"},\"annotations\":{\"op\":\"%u\"}}",
                                key_name(key, name), tag_color(tag), tag);
        else
                r = asprintf(&text,
                                "{\"kind\":\"%s\",\"name\":\"%s\",\"namespace\":\"%s\","
                                "\"labels\":{\"color\":\"c%d\"},\"op\":%u,\"fill\":\"%0*d\"}",
                                key_type(key), key_name(key, name), key_namespace(key),
                                tag_color(tag), tag, (int) (tag % 7 * 40 + 1), 0);
        must(r > 0);
        return text;
}

bool document_read(const char *text, Item *ret, uint64_t *ret_uid)
{
        CLEANUP_JSON json_t *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        const json_t *meta = json_object_get(doc, "meta");
        const char *uid = json_get_string(meta, "uid");
        const char *op = json_get_string(json_object_get(doc, "annotations"), "op");
        uint64_t tag = (uint64_t) json_get_int(doc, "op", 0);

        *ret = (Item){ .key = key_find(strempty(json_get_string(doc, "kind")),
                                       strempty(json_get_string(doc, "namespace")),
                                       strempty(json_get_string(doc, "name"))) };
        if (ret->key < 0 || !uid || (op && parse_u64(op, &tag) < 0) || tag > UINT32_MAX)
                return false;
        ret->tag = (uint32_t) tag;
        ret->revision = (uint32_t) json_get_int(meta, "revision", 0);
        ret->generation = (uint32_t) json_get_int(meta, "generation", 0);
        return sscanf(uid, "%16" SCNx64, ret_uid) == 1;
}
