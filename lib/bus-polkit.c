/* SPDX-License-Identifier: Apache-2.0 */

/* See bus-polkit.h. Whatever is not a clear yes is a no. */

#include "bus-polkit.h"

#include <stdio.h>
#include <stdlib.h>

#include "bus-util.h"
#include "limit.h"
#include "log.h"

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_USER_INTERACTION 1U

struct BusPolkit {
        sd_bus *bus;
        BusPolkitChanged changed;
        void *userdata;
        sd_bus_slot *changed_slot, *owner_slot;
};

/* One for each question; goes with its slot. */
typedef struct Question {
        BusPolkitAnswered answered;
        void *userdata;
} Question;

int bus_polkit_new(sd_bus *bus, BusPolkitChanged changed, void *userdata, BusPolkit **ret)
{
        BusPolkit *p = malloc(sizeof(*p));

        if (!p)
                return -ENOMEM;
        *p = (BusPolkit){ .bus = sd_bus_ref(bus), .changed = changed, .userdata = userdata };
        *ret = p;
        return 0;
}

BusPolkit *bus_polkit_free(BusPolkit *p)
{
        if (!p)
                return NULL;
        sd_bus_slot_unref(p->changed_slot);
        sd_bus_slot_unref(p->owner_slot);
        sd_bus_unref(p->bus);
        free(p);
        return NULL;
}

/* ---- what it says by itself ---- */

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusPolkit *p = userdata;

        p->changed(p->userdata);
        return 0;
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return bus_message_is_from_bus(m) ? on_changed(m, userdata, reterr) : 0;
}

/* Before the first question, so that no change behind its answer is missed. */
static int listen_to_changes(BusPolkit *p)
{
        int r;

        if (p->changed_slot && p->owner_slot)
                return 0;
        p->changed_slot = sd_bus_slot_unref(p->changed_slot);
        r = sd_bus_match_signal_async(p->bus, &p->changed_slot, POLKIT_NAME, POLKIT_PATH,
                        POLKIT_INTERFACE, "Changed", on_changed, NULL, p);
        if (r < 0)
                return r;
        return sd_bus_add_match_async(p->bus, &p->owner_slot,
                        "type='signal',sender='org.freedesktop.DBus',"
                        "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                        "member='NameOwnerChanged',arg0='" POLKIT_NAME "'",
                        on_owner_changed, NULL, p);
}

/* ---- questions ---- */

static int read_answer(sd_bus_message *m, BusPolkitAnswer *ret)
{
        const char *key, *value;
        int granted, challenge, r;
        bool retained = false;

        r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(m, "bb", &granted, &challenge);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &key, &value)) > 0)
                if (streq(key, "polkit.temporary_authorization_id"))
                        retained = true;
        if (r < 0)
                return r;
        ret->granted = granted;
        ret->challenge = !granted && challenge;
        /* Of what was granted while people could be asked it is not told whether they were. */
        ret->lasting = !ret->for_once || retained;
        ret->for_once = granted && !ret->lasting;
        return 0;
}

/* The name's owner would be told of when there comes one. */
static bool is_absence(const sd_bus_error *e)
{
        return sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
               sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED); /* the bus, which knows none */
}

static void answer(Question *q, sd_bus_message *m, bool interactive)
{
        BusPolkitAnswer a = { .for_once = interactive };
        const sd_bus_error *e = sd_bus_message_get_error(m);
        int r = 0;

        if (!e)
                r = read_answer(m, &a);
        if (e || r < 0)
                a = (BusPolkitAnswer){
                        .lasting = e && is_absence(e),
                        .trouble = e && is_absence(e) ? NULL
                                   : e                ? strempty(e->message)
                                                      : errno_words(r),
                };
        q->answered(&a, q->userdata);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        answer(userdata, m, false);
        return 0;
}

static int on_interactive_answer(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        answer(userdata, m, true);
        return 0;
}

int bus_polkit_ask(BusPolkit *p, const char *caller, const char *action, bool interactive,
                BusPolkitAnswered answered, void *userdata, sd_bus_slot **ret_slot)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_slot_unrefpp) sd_bus_slot *slot = NULL;
        Question *q;
        int r;

        if ((r = listen_to_changes(p)) < 0 ||
                        (r = sd_bus_message_new_method_call(p->bus, &m, POLKIT_NAME, POLKIT_PATH,
                                         POLKIT_INTERFACE, "CheckAuthorization")) < 0 ||
                        (r = sd_bus_message_append(m, "(sa{sv})sa{ss}us", "system-bus-name", 1,
                                         "name", "s", caller, action, 0,
                                         interactive ? ALLOW_USER_INTERACTION : 0U, "")) < 0)
                return r;
        q = malloc(sizeof(*q));
        if (!q)
                return -ENOMEM;
        *q = (Question){ .answered = answered, .userdata = userdata };
        r = sd_bus_call_async(p->bus, &slot, m, interactive ? on_interactive_answer : on_answer, q,
                        interactive ? LIMIT_POLKIT_PEOPLE_USEC : LIMIT_POLKIT_USEC);
        if (r >= 0)
                r = sd_bus_slot_set_destroy_callback(slot, free);
        if (r < 0) {
                slot = sd_bus_slot_unref(slot);
                free(q);
                return r;
        }
        *ret_slot = TAKE_PTR(slot);
        return 0;
}
