/* SPDX-License-Identifier: Apache-2.0 */

/* See bus-options.h. */

#include "bus-options.h"
#include "error.h"

static int read_texts(sd_bus_message *m, const BusOptionTexts *o)
{
        const char *key, *value;
        int r;

        if ((r = sd_bus_message_enter_container(m, 'v', "a{ss}")) < 0 ||
                        (r = sd_bus_message_enter_container(m, 'a', "{ss}")) < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0) {
                r = o->each(key, value, o->userdata);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_bytes(sd_bus_message *m, BusBytes *ret)
{
        int r;

        if ((r = sd_bus_message_enter_container(m, 'v', "ay")) < 0 ||
                        (r = sd_bus_message_read_array(m, 'y', &ret->data, &ret->size)) < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int read_value(sd_bus_message *m, const BusOption *o, sd_bus_error *reterr)
{
        const char single[] = { o->type, '\0' }, *contents;
        const char *signature = o->type == 'm' ? "a{ss}" : o->type == 'y' ? "ay" : single;
        int r, b;

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!streq_ptr(contents, signature))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"%s\": must be of the type '%s', not '%s'", o->name,
                                signature, strempty(contents));
        if (o->type == 'b') {
                r = sd_bus_message_read(m, "v", "b", &b);
                if (r >= 0)
                        *(bool *) o->value = b;
        } else if (o->type == 'm')
                r = read_texts(m, o->value);
        else if (o->type == 'y')
                r = read_bytes(m, o->value);
        else
                r = sd_bus_message_read(m, "v", signature, o->value);
        if (r >= 0 && o->given)
                *o->given = true;
        return r;
}

int bus_read_options(sd_bus_message *m, const BusOption *options, size_t n, sd_bus_error *reterr)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const BusOption *found = NULL;
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < n && !found; i++)
                        if (streq(name, options[i].name))
                                found = &options[i];
                if (!found)
                        return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                        "there is no option \"%.64s\" here", name);
                r = read_value(m, found, reterr);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}
