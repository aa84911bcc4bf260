/* SPDX-License-Identifier: Apache-2.0 */

/* Checks between fields, after every field for itself is known to be right. */

#include <inttypes.h>

#include "limit.h"
#include "names.h"
#include "quantity.h"
#include "spec-check.h"
#include "spec-value.h"

/* Of the objects of @list, no two have the same @key. */
static int check_unique(
                SpecContext *c, const SpecPath *list_path, const json_t *list, const char *key)
{
        char quoted[SPEC_QUOTED_SIZE], where[256];

        for (size_t i = 1; i < json_array_size(list); i++) {
                const char *a = json_get_string(json_array_get(list, i), key);

                for (size_t j = 0; j < i; j++) {
                        SpecPath here = { list_path, NULL, i }, there = { list_path, NULL, j };
                        SpecPath p = { &here, key, 0 };

                        if (!streq_ptr(a, json_get_string(json_array_get(list, j), key)))
                                continue;
                        return spec_invalid(c, &p, "%s is there twice, first in %s: choose another",
                                        spec_quote(a, quoted), spec_path_format(&there, where));
                }
        }
        return 0;
}

static int check_backoff(SpecContext *c, const json_t *pod)
{
        const json_t *backoff = json_object_get(pod, "backoff");
        SpecPath path = { NULL, "backoff", 0 };
        uint64_t base, cap;
        char a[FORMAT_DURATION_SIZE], b[FORMAT_DURATION_SIZE];

        base = (uint64_t) json_get_int(backoff, "base", SPEC_BACKOFF_BASE_USEC);
        cap = (uint64_t) json_get_int(backoff, "cap", SPEC_BACKOFF_CAP_USEC);
        if (base > cap)
                return spec_invalid(c, &path, "base (%s) must not be longer than cap (%s%s)",
                                format_duration(base, a), format_duration(cap, b),
                                json_object_get(backoff, "cap") ? "" : " unless declared");
        return 0;
}

static int check_id(SpecContext *c, const SpecPath *path, const char *s, uint64_t max)
{
        char quoted[SPEC_QUOTED_SIZE];
        uint64_t uid = 0, gid = 0;

        if (s && spec_parse_user(s, &uid, &gid) > 0 && (uid > max || gid > max))
                return spec_invalid(c, path, "expected ids of at most %" PRIu64 "%s, found %s", max,
                                max == LIMIT_ID_MAX ? " in a user namespace" : "",
                                spec_quote(s, quoted));
        return 0;
}

static int check_ids(SpecContext *c, const SpecPath *path, const json_t *container, uint64_t max)
{
        SpecPath user = { path, "user", 0 }, groups = { path, "groups", 0 };
        const json_t *list = json_object_get(container, "groups");
        int r;

        r = check_id(c, &user, json_get_string(container, "user"), max);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(list); i++) {
                SpecPath p = { &groups, NULL, i };

                r = check_id(c, &p, json_string_value(json_array_get(list, i)), max);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_mounts(SpecContext *c, const SpecPath *path, const json_t *container,
                const json_t *volumes)
{
        const json_t *mounts = json_object_get(container, "mounts");
        const char *names[LIMIT_VOLUMES + 1];
        SpecPath list = { path, "mounts", 0 };
        size_t n = MIN(json_array_size(volumes), (size_t) LIMIT_VOLUMES);

        for (size_t i = 0; i < n; i++)
                names[i] = json_get_string(json_array_get(volumes, i), "name");
        names[n] = NULL;

        for (size_t i = 0; i < json_array_size(mounts); i++) {
                const char *volume = json_get_string(json_array_get(mounts, i), "volume"), *near;
                SpecPath element = { &list, NULL, i }, p = { &element, "volume", 0 };
                char quoted[SPEC_QUOTED_SIZE];
                bool found = false;

                for (size_t j = 0; j < n; j++)
                        found = found || streq(names[j], volume);
                if (found)
                        continue;
                near = nearest_word(volume, names);
                if (near)
                        return spec_invalid(c, &p,
                                        "no volume %s is declared under volumes, did you mean "
                                        "'%s'?",
                                        spec_quote(volume, quoted), near);
                return spec_invalid(c, &p, "no volume %s is declared under volumes: declare it",
                                spec_quote(volume, quoted));
        }
        return check_unique(c, &list, mounts, "path");
}

static size_t list_bytes(const json_t *list)
{
        size_t size = 0;

        for (size_t i = 0; i < json_array_size(list); i++)
                size += json_string_length(json_array_get(list, i)) + 1;
        return size;
}

static int check_command(SpecContext *c, const SpecPath *path, const json_t *container)
{
        const json_t *command = json_object_get(container, "command");
        const json_t *args = json_object_get(container, "args");
        json_t *env = json_object_get(container, "env"), *value;
        const json_t *program = json_array_get(json_array_size(command) > 0 ? command : args, 0);
        SpecPath p = { path, "command", 0 };
        const char *key;
        size_t size;

        if (!program)
                return spec_invalid(c, &p,
                                "command or args is required: a rootfs has no image "
                                "configuration that could say what to run");
        if (json_string_length(program) == 0)
                return spec_invalid(c, &p,
                                "the first word names the program and must not be "
                                "empty");
        size = list_bytes(command) + list_bytes(args);
        json_object_foreach (env, key, value)
                size += strlen(key) + 1 + json_string_length(value) + 1;
        if (size > LIMIT_ARGV_ENV_MAX)
                return spec_too_large(c, path,
                                "command, args and env have %zu bytes, and may have "
                                "at most %u",
                                size, LIMIT_ARGV_ENV_MAX);
        return 0;
}

static int check_capabilities(SpecContext *c, const SpecPath *path, const json_t *container)
{
        const json_t *security = json_object_get(container, "security");
        const json_t *capabilities = json_object_get(security, "capabilities");
        const json_t *add = json_object_get(capabilities, "add");
        const json_t *drop = json_object_get(capabilities, "drop");
        SpecPath s = { path, "security", 0 }, caps = { &s, "capabilities", 0 };
        SpecPath list = { &caps, "drop", 0 };

        for (size_t i = 0; i < json_array_size(drop); i++) {
                const char *name = json_string_value(json_array_get(drop, i));
                SpecPath p = { &list, NULL, i };

                /* "drop ALL, add X" is how one says "only X". */
                if (streq(name, "ALL"))
                        continue;
                for (size_t j = 0; j < json_array_size(add); j++)
                        if (streq(name, json_string_value(json_array_get(add, j))))
                                return spec_invalid(c, &p,
                                                "%s is both added and dropped: remove one", name);
        }
        return 0;
}

static int check_containers(SpecContext *c, const json_t *pod, const char *field)
{
        const json_t *containers = json_object_get(pod, field);
        const json_t *volumes = json_object_get(pod, "volumes");
        const char *userns = json_get_string(json_object_get(pod, "security"), "userns");
        uint64_t max_id = streq_ptr(userns, "host") ? LIMIT_HOST_ID_MAX : LIMIT_ID_MAX;
        SpecPath list = { NULL, field, 0 };
        int r;

        r = check_unique(c, &list, containers, "name");
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(containers); i++) {
                const json_t *container = json_array_get(containers, i);
                SpecPath p = { &list, NULL, i };

                r = check_command(c, &p, container);
                if (r < 0)
                        return r;
                r = check_ids(c, &p, container, max_id);
                if (r < 0)
                        return r;
                r = check_mounts(c, &p, container, volumes);
                if (r < 0)
                        return r;
                r = check_capabilities(c, &p, container);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Logs, records and commands go by a container's name, whichever list it stands in. */
static int check_names_of_both(SpecContext *c, const json_t *pod)
{
        const json_t *inits = json_object_get(pod, "init_containers");
        const json_t *containers = json_object_get(pod, "containers");
        SpecPath init_list = { NULL, "init_containers", 0 }, list = { NULL, "containers", 0 };
        char quoted[SPEC_QUOTED_SIZE], where[256];

        for (size_t i = 0; i < json_array_size(inits); i++)
                for (size_t j = 0; j < json_array_size(containers); j++) {
                        const char *name = json_get_string(json_array_get(containers, j), "name");
                        SpecPath there = { &init_list, NULL, i }, here = { &list, NULL, j };
                        SpecPath p = { &here, "name", 0 };

                        if (streq_ptr(name, json_get_string(json_array_get(inits, i), "name")))
                                return spec_invalid(c, &p,
                                                "%s is there twice, first in %s: choose another",
                                                spec_quote(name, quoted),
                                                spec_path_format(&there, where));
                }
        return 0;
}

typedef struct Item {
        const char *key, *path;
} Item;

static int compare_items(const void *a, const void *b)
{
        const Item *x = a, *y = b;

        return path_compare(x->path, y->path);
}

/* No path is another one, or a directory on the way to it. */
static int check_items(SpecContext *c, const SpecPath *path, json_t *map)
{
        CLEANUP_FREE Item *items = calloc(MAX(json_object_size(map), (size_t) 1), sizeof(Item));
        char quoted[SPEC_QUOTED_SIZE], other[SPEC_QUOTED_SIZE];
        const char *key;
        json_t *value;
        size_t n = 0;

        if (!items)
                return -ENOMEM;
        json_object_foreach (map, key, value)
                items[n++] = (Item){ key, json_string_value(value) };
        qsort(items, n, sizeof(Item), compare_items);
        for (size_t i = 1; i < n; i++) {
                SpecPath p = { path, items[i].key, 0 };

                if (path_is_in(items[i].path, items[i - 1].path))
                        return spec_invalid(c, &p,
                                        "%s and %s cannot both be there: choose another path",
                                        spec_quote(items[i].path, quoted),
                                        spec_quote(items[i - 1].path, other));
        }
        return 0;
}

static int check_volumes(SpecContext *c, const json_t *pod)
{
        const json_t *volumes = json_object_get(pod, "volumes");
        SpecPath list = { NULL, "volumes", 0 };
        int r;

        for (size_t i = 0; i < json_array_size(volumes); i++) {
                const json_t *v = json_array_get(volumes, i),
                             *source = json_object_get(v, "source");
                SpecPath element = { &list, NULL, i }, idmap = { &element, "idmap", 0 };
                SpecPath where = { &element, "source", 0 }, items = { &where, "items", 0 };
                bool made = json_object_get(source, "secret") || json_object_get(source, "config");

                if (made && json_object_get(v, "idmap"))
                        return spec_invalid_key(c, &idmap,
                                        "the files of a secret or config are made with the "
                                        "container's ids: leave it out");
                r = check_items(c, &items, json_object_get(source, "items"));
                if (r < 0)
                        return r;
        }
        return check_unique(c, &list, volumes, "name");
}

int spec_check_pod(SpecContext *c, const json_t *pod)
{
        int r;

        r = check_backoff(c, pod);
        if (r < 0)
                return r;
        r = check_volumes(c, pod);
        if (r < 0)
                return r;
        r = check_containers(c, pod, "init_containers");
        if (r < 0)
                return r;
        r = check_containers(c, pod, "containers");
        return r < 0 ? r : check_names_of_both(c, pod);
}
