/* SPDX-License-Identifier: Apache-2.0 */
#include "store-key.h"

#include <endian.h>
#include <stdio.h>

/* It is valid, so it fits. */
static void copy_component(char ret[static LIMIT_NAME_MAX + 1], const char *s)
{
        memcpy(ret, s, strlen(s) + 1);
}

int object_key_init(ObjectKey *k, const char *type, const char *namespace, const char *name)
{
        if (!type_is_valid(type) || strlen(type) > LIMIT_NAME_MAX || !name_is_valid(name))
                return -EINVAL;
        if (type_is_global(type) ? !isempty(namespace) : !name_is_valid(strempty(namespace)))
                return -EINVAL;

        copy_component(k->type, type);
        copy_component(k->namespace, strempty(namespace));
        copy_component(k->name, name);
        return 0;
}

const char *object_key_format(const ObjectKey *k, char buf[static OBJECT_KEY_TEXT_SIZE])
{
        (void) snprintf(buf, OBJECT_KEY_TEXT_SIZE, "%s %s%s%s", k->type, k->namespace,
                        isempty(k->namespace) ? "" : "/", k->name);
        return buf;
}

static void append(StoreKey *k, const void *data, size_t size)
{
        assert(k->size + size <= sizeof(k->data));
        memcpy(k->data + k->size, data, size);
        k->size += size;
}

/* With its terminating NUL, which is the separator. */
static void append_component(StoreKey *k, const char *s)
{
        append(k, s, strlen(s) + 1);
}

static void append_position(StoreKey *k, uint64_t revision, uint32_t index)
{
        uint64_t r = htobe64(revision);
        uint32_t i = htobe32(index);

        append(k, &r, sizeof(r));
        append(k, &i, sizeof(i));
}

StoreKey key_prefix_type(const char *type)
{
        StoreKey k = {};

        append_component(&k, type);
        return k;
}

StoreKey key_prefix_namespace(const char *type, const char *namespace)
{
        StoreKey k = key_prefix_type(type);

        append_component(&k, namespace);
        return k;
}

StoreKey key_prefix_history(const ObjectKey *o)
{
        StoreKey k = key_prefix_namespace(o->type, o->namespace);

        append_component(&k, o->name);
        return k;
}

StoreKey key_behind_type(const char *type)
{
        StoreKey k = key_prefix_type(type);

        k.data[k.size - 1] = 1; /* the separator is 0, a component's bytes are above 1 */
        return k;
}

StoreKey object_key_encode(const ObjectKey *o)
{
        StoreKey k = key_prefix_history(o);

        k.size--; /* a name is the last component: no separator behind it */
        return k;
}

StoreKey history_key_encode(const ObjectKey *o, uint64_t revision, uint32_t index)
{
        StoreKey k = key_prefix_history(o);

        append_position(&k, revision, index);
        return k;
}

StoreKey change_key_encode(uint64_t revision, uint32_t index)
{
        StoreKey k = {};

        append_position(&k, revision, index);
        return k;
}

bool key_has_prefix(const void *data, size_t size, const StoreKey *prefix)
{
        return size >= prefix->size && memcmp(data, prefix->data, prefix->size) == 0;
}

int key_compare(const void *data, size_t size, const StoreKey *k)
{
        int r = memcmp(data, k->data, MIN(size, k->size));

        return r != 0 ? r : (size > k->size) - (size < k->size);
}

/* Copies up to the separator at or before @end; NULL when there is none or it is too long. */
static const char *take_component(const char *p, const char *end, char ret[LIMIT_NAME_MAX + 1])
{
        const char *nul = memchr(p, 0, (size_t) (end - p));
        size_t n = (size_t) ((nul ? nul : end) - p);

        if (n > LIMIT_NAME_MAX)
                return NULL;
        memcpy(ret, p, n);
        ret[n] = 0;
        return nul ? nul + 1 : end;
}

int object_key_decode(const void *data, size_t size, ObjectKey *ret)
{
        const char *p = data, *end = p + size;
        char type[LIMIT_NAME_MAX + 1], namespace[LIMIT_NAME_MAX + 1], name[LIMIT_NAME_MAX + 1];

        p = take_component(p, end, type);
        if (p)
                p = take_component(p, end, namespace);
        if (p)
                p = take_component(p, end, name);
        if (!p || p != end)
                return -EBADMSG;
        if (object_key_init(ret, type, namespace, name) < 0)
                return -EBADMSG;
        /* Rejects a key that only looks alike: two NULs missing, one behind the name. */
        StoreKey again = object_key_encode(ret);
        return again.size == size && memcmp(again.data, data, size) == 0 ? 0 : -EBADMSG;
}

int change_key_decode(const void *data, size_t size, uint64_t *ret_revision, uint32_t *ret_index)
{
        uint64_t r;
        uint32_t i;

        if (size != sizeof(r) + sizeof(i))
                return -EBADMSG;
        memcpy(&r, data, sizeof(r));
        memcpy(&i, (const char *) data + sizeof(r), sizeof(i));
        *ret_revision = be64toh(r);
        *ret_index = be32toh(i);
        return 0;
}

int history_key_decode(const void *data, size_t size, const StoreKey *prefix,
                uint64_t *ret_revision, uint32_t *ret_index)
{
        if (!key_has_prefix(data, size, prefix))
                return -EBADMSG;
        return change_key_decode((const char *) data + prefix->size, size - prefix->size,
                        ret_revision, ret_index);
}

static int hex_value(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -EINVAL;
}

int id_key_encode(const char *uid, StoreKey *ret)
{
        StoreKey k = {};

        for (; uid[0] && uid[1]; uid += 2) {
                int high = hex_value(uid[0]), low = hex_value(uid[1]);
                char byte;

                if (high < 0 || low < 0 || k.size == 16)
                        return -EINVAL;
                byte = (char) (high << 4 | low);
                append(&k, &byte, 1);
        }
        if (uid[0] || k.size != 16)
                return -EINVAL;
        *ret = k;
        return 0;
}
