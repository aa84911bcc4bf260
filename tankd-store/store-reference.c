/* SPDX-License-Identifier: Apache-2.0 */

/* See store-reference.h. The family "ids" has a row for each object that stands, written with the
 * object's. */

#include "store-reference.h"

#include <stdio.h>

#include "error.h"
#include "names.h"
#include "store-internal.h"

static int id_lookup(Store *s, const char *id, ObjectKey *ret)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k;
        size_t size;
        int r;

        if (id_key_encode(id, &k) < 0)
                return -ENOENT; /* nothing of ours looks like that */
        r = db_get(s->db, NULL, DB_IDS, DB_KEY(&k), &value, &size);
        return r < 0 ? r : object_key_decode(value, size, ret);
}

static int find_name(Store *s, Reference *ref, sd_bus_error *reterr)
{
        ObjectKey key;
        int r;

        r = id_lookup(s, ref->id, &key);
        if (r < 0 && r != -ENOENT)
                return store_read_failed(r, reterr);
        if (r < 0 || !streq(key.type, ref->type) || !streq(key.namespace, ref->namespace))
                return tank_error_set(reterr, TANK_ERROR_NOT_FOUND,
                                "there is no %s in namespace '%s' with the id %s", ref->type,
                                ref->namespace, ref->id);
        memcpy(ref->name, key.name, sizeof(ref->name));
        ref->id[0] = '\0';
        return 0;
}

int store_resolve(Store *s, const char *text, const char *namespace, Reference *ret,
                sd_bus_error *reterr)
{
        CLEANUP(reference_done) Reference ref = {};
        int r;

        if (namespace[0] && !name_is_valid(namespace))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "the namespace for references without one: names are 1 to %u of "
                                "a-z, 0-9, and - between",
                                LIMIT_NAME_MAX);
        r = reference_parse(text, &ref, reterr);
        if (r < 0)
                return r;
        if (!ref.namespace[0] && !type_is_global(ref.type))
                (void) snprintf(ref.namespace, sizeof(ref.namespace), "%s",
                                namespace[0] ? namespace : "default");
        r = ref.id[0] ? find_name(s, &ref, reterr) : 0;
        if (r < 0)
                return r;
        *ret = ref;
        ref = (Reference){};
        return 0;
}
