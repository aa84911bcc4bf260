/* SPDX-License-Identifier: Apache-2.0 */
#include "store-dbus-reply.h"

void reply_init(Reply *r, StoreBus *b, sd_bus_message *m)
{
        *r = (Reply){
                .bus = b,
                .next = b->replies,
                .link = &b->replies,
                .message = sd_bus_message_ref(m),
        };
        if (r->next)
                r->next->link = &r->next;
        b->replies = r;
}

void reply_done(Reply *r)
{
        *r->link = r->next;
        if (r->next)
                r->next->link = r->link;
        sd_bus_message_unref(r->message);
}

Reply *reply_new(StoreBus *b, sd_bus_message *m)
{
        Reply *r = malloc(sizeof(*r));

        if (r)
                reply_init(r, b, m);
        return r;
}

void reply_free(Reply *r)
{
        reply_done(r);
        free(r);
}

void store_bus_forget_callers(StoreBus *b)
{
        for (Reply *r = b->replies; r; r = r->next)
                r->message = sd_bus_message_unref(r->message);
}
