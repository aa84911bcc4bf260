/* SPDX-License-Identifier: Apache-2.0 */

/* Words that name something: TYPE NAME and its other spellings, POD and POD/CONTAINER. */

#include "ctl.h"
#include "ctl-reference.h"
#include "ctl-text.h"
#include "error.h"
#include "names.h"

/* Cuts "TYPE/NAME" or "TYPE/NAMESPACE/NAME" in @text. */
static void resource_split(char *text, const char **ret_namespace, const char **ret_name)
{
        char *slash = strchr(text, '/'), *second;

        if (!slash)
                return;
        *slash = '\0';
        *ret_name = slash + 1;
        second = strchr(slash + 1, '/');
        if (!second)
                return;
        *second = '\0';
        *ret_namespace = slash + 1;
        *ret_name = second + 1;
}

static int check_namespace(const Arguments *a, const char *type)
{
        if (!a->namespace || !type_is_global(type))
                return 0;
        return ctl_usage_error("a %s stands in no namespace: leave out -n %s", type, a->namespace);
}

int resource_parse(const Arguments *a, Resource *ret)
{
        CLEANUP_FREE char *owned = NULL;
        const char *name = NULL, *namespace = NULL, *type;
        size_t used = 1;
        int r;

        if (reference_is_meant(a->words[0])) {
                if (a->words[1])
                        return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[1]));
                r = resource_from_reference(a, a->words[0], ret);
                return r != 0 ? r : check_namespace(a, ret->type);
        }
        owned = strdup(a->words[0]);
        if (!owned)
                return ctl_oom();
        resource_split(owned, &namespace, &name);
        if (!name && a->words[1])
                name = a->words[used++];
        if (a->words[used])
                return ctl_usage_error("\"%s\" is one word too many", WORD(a->words[used]));
        type = type_from_word(owned);
        if (!type && !type_is_valid(owned))
                return ctl_usage_error("\"%s\" is no type of resource", WORD(owned));
        if (!type)
                type = owned;
        if (name && !name_is_valid(name))
                return ctl_usage_error("\"%s\" is no name: a-z, 0-9, and - between; at most 63",
                                WORD(name));
        if (namespace && (!name_is_valid(namespace) || type_is_global(type)))
                return ctl_usage_error("\"%s\" is not TYPE/NAMESPACE/NAME", WORD(a->words[0]));
        r = check_namespace(a, type);
        if (r != 0)
                return r;
        if (namespace && a->namespace && !streq(namespace, a->namespace))
                return ctl_usage_error("\"%s\" and -n %s name two namespaces", WORD(a->words[0]),
                                a->namespace);
        *ret = (Resource){
                .type = type,
                .namespace = type_is_global(type) ? ""
                             : namespace          ? namespace
                                                  : arguments_namespace(a),
                .name = name,
                .known = type != owned,
        };
        ret->owned = TAKE_PTR(owned);
        return 0;
}

int resource_type_unknown(const Resource *r, const char *verb)
{
        const char *near = type_near(r->type);

        if (near)
                return ctl_usage_error(
                                "there is no type \"%s\"; did you mean \"%s\"?", r->type, near);
        return ctl_usage_error("there is no type \"%s\"; did you mean \"%s pod %s\"?", r->type,
                        verb, r->type);
}

int resource_parse_named(const Arguments *a, const char *verb, Resource *ret)
{
        int r = resource_parse(a, ret);

        if (r != 0 || ret->name)
                return r;
        if (ret->known)
                return ctl_usage_error("%s which %s? %s %s NAME", verb, ret->type, verb, ret->type);
        return resource_type_unknown(ret, verb);
}

void resource_done(Resource *r)
{
        free(r->owned);
        *r = (Resource){};
}

int target_parse(const Arguments *a, const char *word, Target *ret)
{
        CLEANUP_FREE char *pod = strdup(word), *container = NULL;
        char *slash;

        if (!pod)
                return ctl_oom();
        slash = strchr(pod, '/');
        if (slash)
                *slash = '\0';
        if (slash && a->container && !streq(slash + 1, a->container))
                return ctl_usage_error("\"%s\" and -c %s name two containers", WORD(word),
                                WORD(a->container));
        container = strdup(slash ? slash + 1 : strempty(a->container));
        if (!container)
                return ctl_oom();
        if (!slash && a->container && !name_is_valid(container))
                return ctl_usage_error("-c %s: that is no name of a container", WORD(container));
        if (!name_is_valid(pod) || ((slash || a->container) && !name_is_valid(container)))
                return ctl_usage_error("\"%s\" is neither POD nor POD/CONTAINER", WORD(word));
        *ret = (Target){
                .namespace = arguments_namespace(a),
                .pod = TAKE_PTR(pod),
                .container = TAKE_PTR(container),
        };
        return 0;
}

void target_done(Target *t)
{
        free(t->pod);
        free(t->container);
        *t = (Target){};
}
