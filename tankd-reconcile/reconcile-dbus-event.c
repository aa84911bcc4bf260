/* SPDX-License-Identifier: Apache-2.0 */

/* ListEvents: pages of the log. A page looks at a bounded number of bytes of it, whatever was asked
 * for; so it may be short, or empty, and not be the last one. Its token is the number of the last
 * event that was looked at. */

#include <stdio.h>

#include "bus-options.h"
#include "error.h"
#include "quantity.h"
#include "reconcile-dbus.h"
#include "reconcile-journal.h"

typedef struct EventPage {
        sd_bus_message *reply;
        const char *namespace, *pod;
        uint64_t since;
        uint32_t limit, n;
} EventPage;

static int page_add(const JournalEvent *e, void *userdata)
{
        EventPage *page = userdata;
        int r;

        bool of_all = isempty(e->pod); /* what is missing may have been of any pod */

        if (!of_all && *page->namespace && !streq(page->namespace, e->namespace))
                return 0;
        if ((!of_all && *page->pod && !streq(page->pod, e->pod)) || e->at_usec < page->since)
                return 0;
        r = sd_bus_message_append(page->reply, "(ssssststt)", e->namespace, e->pod, e->uid,
                        e->container, e->event, e->generation, e->detail, e->at_usec, e->sequence);
        if (r < 0)
                return r;
        return ++page->n == page->limit;
}

/* Behind which event a page begins. */
static int page_start(const Journal *j, const char *token, bool after_given, uint64_t *after,
                sd_bus_error *reterr)
{
        uint64_t first = journal_first(j), last = journal_last(j);

        if (*token && parse_u64(token, after) < 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"continue\": not a token that a page ended with");
        if (!*token && !after_given) {
                *after = first - 1;
                return 0;
        }
        if (*after > last)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "there is no event %" PRIu64 ", the newest is %" PRIu64
                                ": the log was begun anew; list all of it",
                                *after, last);
        if (*after < first - 1)
                return tank_error_set(reterr, TANK_ERROR_COMPACTED,
                                "the events behind %" PRIu64 " are gone, the oldest one is %" PRIu64
                                ": list all of the log",
                                *after, first);
        return 0;
}

static int page_fill(EventPage *page, Journal *j, uint64_t after, sd_bus_message *reply)
{
        uint64_t last = after;
        char next[24] = "";
        int r;

        page->reply = reply;
        r = sd_bus_message_open_container(reply, 'a', "(ssssststt)");
        if (r >= 0)
                r = journal_read(j, after, page_add, page, &last);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (last < journal_last(j))
                (void) snprintf(next, sizeof(next), "%" PRIu64, last);
        return r < 0 ? r : sd_bus_message_append(reply, "st", next, journal_last(j));
}

int method_list_events_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        EventPage page = { .pod = "", .limit = LIMIT_PAGE_ENTRIES };
        const Manager *manager = userdata;
        bool after_given = false;
        const char *token = "";
        uint64_t after = 0;
        int r;

        r = sd_bus_message_read(m, "s", &page.namespace);
        if (r >= 0)
                r = bus_read_options(m,
                                (const BusOption[]){
                                                { "since", 't', &page.since, NULL },
                                                { "after", 't', &after, &after_given },
                                                { "limit", 'u', &page.limit, NULL },
                                                { "continue", 's', &token, NULL },
                                                { "pod", 's', &page.pod, NULL },
                                },
                                5, reterr);
        if (r < 0)
                return r;
        if (page.limit == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"limit\": must be at least 1");
        page.limit = MIN(page.limit, LIMIT_PAGE_ENTRIES);
        r = page_start(manager->journal, token, after_given, &after, reterr);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = page_fill(&page, manager->journal, after, reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int get_event_sequence(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Manager *m = userdata;

        return sd_bus_message_append(reply, "t", journal_last(m->journal));
}
