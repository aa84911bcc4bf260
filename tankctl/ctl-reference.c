/* SPDX-License-Identifier: Apache-2.0 */

/* References in the place of TYPE NAME. One that says a name is taken apart here; one by id is the
 * store's to resolve, for only it knows what has the id now. */

#include <stdio.h>

#include "ctl-bus.h"
#include "ctl-reference.h"
#include "ctl-text.h"
#include "error.h"
#include "names.h"

static int ask_store(sd_bus *bus, const char *text, Reference *ref, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL, *reply = NULL;
        const char *type, *namespace, *name, *key;
        int r;

        r = ctl_bus_new_call(bus, &ctl_store, "Resolve", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", text, "");
        if (r >= 0)
                r = ctl_bus_call(bus, m, &ctl_store, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "ssss", &type, &namespace, &name, &key);
        if (r >= 0 && !name_is_valid(name))
                r = -EBADMSG;
        if (r < 0)
                return ctl_bus_bad_answer(r, &ctl_store, reterr);
        (void) snprintf(ref->name, sizeof(ref->name), "%s", name);
        ref->id[0] = '\0';
        return 0;
}

static int resolve(Reference *ref)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP_FREE char *text = NULL;
        int r;

        if (reference_format(ref, &text) < 0)
                return ctl_oom();
        r = ctl_bus_open(&bus);
        if (r != 0)
                return r;
        r = ask_store(bus, text, ref, &e);
        return r < 0 ? ctl_bus_failure(NULL, &e, r) : 0;
}

int reference_argument(const Arguments *a, const char *word, Reference *ret)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(reference_done) Reference ref = {};
        int r;

        r = reference_parse(word, &ref, &e);
        if (r == -ENOMEM)
                return ctl_oom();
        if (r < 0)
                return ctl_usage_error("%s", strempty(e.message));
        if (ref.namespace[0] && a->namespace && !streq(ref.namespace, a->namespace))
                return ctl_usage_error(
                                "\"%s\" and -n %s name two namespaces", WORD(word), a->namespace);
        if (!ref.namespace[0] && !type_is_global(ref.type))
                (void) snprintf(ref.namespace, sizeof(ref.namespace), "%s", arguments_namespace(a));
        r = ref.id[0] ? resolve(&ref) : 0;
        if (r != 0)
                return r;
        *ret = ref;
        ref = (Reference){};
        return 0;
}

int resource_from_reference(const Arguments *a, const char *word, Resource *ret)
{
        CLEANUP(reference_done) Reference ref = {};
        Reference *kept;
        int r;

        r = reference_argument(a, word, &ref);
        if (r != 0)
                return r;
        if (ref.key)
                return ctl_usage_error("\"%s\" names a key of the %s %s, and here "
                                       "all of it is meant: leave out the key",
                                WORD(word), ref.type, ref.name);
        kept = malloc(sizeof(*kept));
        if (!kept)
                return ctl_oom();
        *kept = ref; /* without a key it owns nothing */
        *ret = (Resource){
                .type = kept->type,
                .namespace = kept->namespace,
                .name = kept->name,
                .known = streq_ptr(type_from_word(kept->type), kept->type),
                .owned = kept,
        };
        return 0;
}
