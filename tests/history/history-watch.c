/* SPDX-License-Identifier: Apache-2.0 */

/* Watchers: Changed wakes, GetChanges tells. Each remembers but a revision, and goes on from there
 * when the store was away, or its own connection. */

#include <stdio.h>
#include <stdlib.h>

#include "bus-names.h"
#include "clock.h"
#include "error.h"
#include "history-run.h"

static void watched(Stream *s, Watched w)
{
        if (s->n == s->allocated) {
                s->allocated = MAX(2 * s->allocated, (size_t) 1024);
                must((s->rows = reallocarray(s->rows, s->allocated, sizeof(Watched))) != NULL);
        }
        s->rows[s->n++] = w;
}

static Change change_of(const char *operation)
{
        return streq(operation, "created")   ? CHANGE_CREATED
               : streq(operation, "updated") ? CHANGE_UPDATED
                                             : CHANGE_DELETED;
}

/* Whether there is more. */
static bool read_page(Watcher *w, sd_bus_message *m)
{
        const char *operation, *type, *namespace, *name, *document;
        Op *op = &w->run->r->ops[w->op];
        size_t before = w->stream->n;
        uint64_t revision, uid;
        int more;
        Item item;

        must(sd_bus_message_enter_container(m, 'a', "(tsssss)") >= 0);
        while (sd_bus_message_read(m, "(tsssss)", &revision, &operation, &type, &namespace, &name,
                               &document) > 0) {
                must(document_read(document, &item, &uid));
                must(item.key == key_find(type, namespace, name));
                watched(w->stream, (Watched){ .revision = (uint32_t) revision,
                                                   .change = change_of(operation),
                                                   .key = item.key,
                                                   .tag = item.tag });
        }
        must(sd_bus_message_exit_container(m) >= 0);
        must(sd_bus_message_read(m, "bt", &more, &revision) >= 0);
        if (w->stream->n > before)
                w->stream->rows[w->stream->n - 1].ends_page = true;
        must(!more || revision > w->stream->to); /* or it would go on for ever */
        w->stream->to = (uint32_t) revision;
        if (!more) { /* otherwise it stood further on */
                op->answered = ++w->run->r->now;
                op->result = RESULT_OK;
                op->revision = (uint32_t) revision;
        }
        return more;
}

typedef struct Asked {
        Watcher *watcher;
        unsigned generation;
} Asked;

static int on_page(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        const Asked *a = userdata;
        Watcher *w = a->watcher;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (a->generation != w->generation)
                return 0;
        w->asking = false;
        if (e) {
                /* While the store is away. Anything else is a gap, which there is no reason for. */
                if (!nobody_answered(e) && !never_arrived(e)) {
                        (void) fprintf(stderr, "history: watcher %s since revision %u: %s: %s\n",
                                        w->stream->name, w->stream->to, e->name, e->message);
                        w->run->unexpected++;
                }
                must(w->run->unexpected == 0);
                w->again = true;
                return 0;
        }
        if (read_page(w, m) || w->again)
                watcher_look(w);
        return 0;
}

static void free_asked(void *userdata)
{
        free(userdata);
}

static void ask(Watcher *w)
{
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        static const char *const colors[N_COLORS] = { "color=c0", "color=c1", "color=c2" };
        Asked *a = malloc(sizeof(*a));
        sd_bus_slot *slot;

        must(a != NULL);
        *a = (Asked){ w, w->generation };
        w->op = recording_add(w->run->r, OP_CHANGES, w->index);
        must(sd_bus_message_new_method_call(w->bus, &m, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE, "GetChanges") >= 0);
        must(sd_bus_message_append(m, "st", w->run->database_id, (uint64_t) w->stream->to) >= 0);
        must(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        must(sd_bus_message_append(m, "{sv}{sv}", "documents", "b", true, "limit", "u",
                             1 + draw(&w->random, 300)) >= 0);
        if (w->stream->type >= 0)
                must(sd_bus_message_append(m, "{sv}", "type", "s", type_names[w->stream->type]) >=
                                0);
        if (w->stream->color >= 0)
                must(sd_bus_message_append(m, "{sv}", "labels", "s", colors[w->stream->color]) >=
                                0);
        must(sd_bus_message_close_container(m) >= 0);
        must(sd_bus_call_async(w->bus, &slot, m, on_page, a, 60 * USEC_PER_SEC) >= 0);
        must(sd_bus_slot_set_destroy_callback(slot, free_asked) >= 0);
        must(sd_bus_slot_set_floating(slot, true) >= 0);
        sd_bus_slot_unref(slot);
        w->asking = true;
        w->again = false;
}

void watcher_look(Watcher *w)
{
        if (!w->bus || w->asking || !w->run->served || !w->run->database_id) {
                w->again = true;
                return;
        }
        if (w->slow && !w->run->ending && now_boottime_usec() < w->look_usec) {
                w->again = true;
                return;
        }
        w->look_usec = now_boottime_usec() + 3 * USEC_PER_SEC;
        ask(w);
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        Watcher *w = userdata;
        uint64_t revision;
        const char *id;
        size_t op;

        must(sd_bus_message_read(m, "st", &id, &revision) >= 0);
        must(!w->run->database_id || streq(id, w->run->database_id));
        if (w->index == 0) {
                op = recording_add(w->run->r, OP_SIGNAL, w->index);
                w->run->r->ops[op].revision = (uint32_t) revision;
        }
        watcher_look(w);
        return 0;
}

void watcher_connect(Watcher *w)
{
        must(sd_bus_open_system(&w->bus) >= 0);
        must(sd_bus_attach_event(w->bus, w->run->event, SD_EVENT_PRIORITY_NORMAL) >= 0);
        must(sd_bus_match_signal_async(w->bus, NULL, TANK_STORE_NAME, TANK_STORE_PATH,
                             TANK_STORE_INTERFACE, "Changed", on_changed, NULL, w) >= 0);
        w->again = true;
}

void watcher_drop(Watcher *w)
{
        w->generation++;
        w->asking = false;
        w->bus = sd_bus_close_unref(w->bus);
}
