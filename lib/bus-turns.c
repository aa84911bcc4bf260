/* SPDX-License-Identifier: Apache-2.0 */

/* See bus-turns.h.
 *
 * Reading has priority over serving by the priorities of the event loop: the connection's own
 * sources come first, ours when they have nothing to do. A sender that never stops would keep it
 * from ever coming, so every READS_PER_TURN calls that were read one is served. */

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bus-turns.h"
#include "bus-util.h"
#include "limit.h"

#define READS_PER_TURN  16U
#define TURNS_PER_WAKE  16U
#define OUTPUT_FULL     8U    /* answers that the bus has not taken */
#define OUTPUT_CHOKED   1024U /* the same, when its reader seems not to read */
#define OUTPUT_BUFFER   (32 * 1024)
#define WEIGHT_UNKNOWN  (32U * 1024U * 1024U) /* what a system bus lets through in one message */
#define WEIGHT_ELEMENTS 32768U                /* are looked at */
#define WEIGHT_SMALL    (16U * 1024U)         /* of which everybody may have one waiting */

struct BusWaiting {
        BusWaiting *next;
        sd_bus_message *message;
        size_t weight;
        BusCall call;
};

struct BusTurns {
        sd_bus *bus;
        BusTurnServe serve;
        void *userdata;
        sd_event_source *source, *output_source;
        sd_bus_slot *filter;
        BusQueue *first, *last; /* in the order of their turns */
        unsigned n_read;
        size_t n, n_held; /* the second is part of the first */
        size_t bytes, held_bytes;
};

/* ---- what a message weighs ---- */

/* sd-bus does not tell how large a message is. Adds up what it holds, until it is clear that it is
 * much. What is no valid message is somebody else's to refuse. */
static void weigh(sd_bus_message *m, size_t *weight, unsigned *elements)
{
        for (;;) {
                const char *contents;
                const void *value;
                size_t size;
                char type;

                if (sd_bus_message_peek_type(m, &type, &contents) <= 0)
                        return;
                if (++*elements > WEIGHT_ELEMENTS || *weight > LIMIT_BUS_WAITING_BYTES) {
                        *weight = WEIGHT_UNKNOWN;
                        return;
                }
                *weight += 16;
                if (type == 'a' && *contents && !contents[1] && strchr("ynqiuxtd", *contents)) {
                        if (sd_bus_message_read_array(m, *contents, &value, &size) < 0)
                                return;
                        *weight += size;
                } else if (strchr("av(r{e", type)) {
                        if (sd_bus_message_enter_container(m, type, contents) < 0)
                                return;
                        weigh(m, weight, elements);
                        if (*weight == WEIGHT_UNKNOWN || sd_bus_message_exit_container(m) < 0)
                                return;
                } else if (strchr("sog", type)) {
                        if (sd_bus_message_read_basic(m, type, &value) < 0)
                                return;
                        *weight += strlen(value);
                } else if (sd_bus_message_skip(m, (const char[]){ type, '\0' }) < 0)
                        return;
        }
}

static size_t message_weight(sd_bus_message *m)
{
        size_t weight = 512; /* header and bookkeeping */
        unsigned elements = 0;

        weigh(m, &weight, &elements);
        return sd_bus_message_rewind(m, true) < 0 ? WEIGHT_UNKNOWN : weight;
}

/* ---- the connection ---- */

static bool input_waits(BusTurns *t)
{
        int fd = sd_bus_get_fd(t->bus), bytes = 0;
        uint64_t n = 0;

        return (sd_bus_get_n_queued_read(t->bus, &n) >= 0 && n > 0) ||
               (fd >= 0 && ioctl(fd, FIONREAD, &bytes) >= 0 && bytes > 0);
}

static bool output_exceeds(BusTurns *t, uint64_t most)
{
        uint64_t n = 0;

        return sd_bus_get_n_queued_write(t->bus, &n) >= 0 && n > most;
}

bool bus_turns_choked(BusTurns *t)
{
        return output_exceeds(t, OUTPUT_CHOKED);
}

bool bus_turns_idle(BusTurns *t)
{
        return !t->first && !input_waits(t);
}

/* ---- turns ---- */

static void turns_append(BusTurns *t, BusQueue *q)
{
        q->in_turn = true;
        q->next = NULL;
        if (t->first)
                t->last->next = q;
        else
                t->first = q;
        t->last = q;
}

static void turns_remove(BusTurns *t, BusQueue *q)
{
        BusQueue **i = &t->first, *before = NULL;

        if (!q->in_turn)
                return;
        while (*i != q) {
                before = *i;
                i = &before->next;
        }
        *i = q->next;
        if (t->last == q)
                t->last = before;
        q->in_turn = false;
}

static BusWaiting *queue_take(BusTurns *t, BusQueue *q)
{
        BusWaiting *w = q->first;

        q->first = w->next;
        if (!q->first)
                q->last = NULL;
        q->n--;
        q->bytes -= w->weight;
        t->n--;
        t->bytes -= w->weight;
        if (q->held) {
                t->n_held--;
                t->held_bytes -= w->weight;
        }
        return w;
}

static void serve_one(BusTurns *t)
{
        BusQueue *q = t->first;
        BusWaiting *w;

        t->first = q->next;
        q->in_turn = false;
        w = queue_take(t, q);
        if (q->first)
                turns_append(t, q);
        t->serve(q, w->message, &w->call, t->userdata);
        sd_bus_message_unref(w->message);
        free(w);
}

/* Asks for a turn of the loop: now, or when the bus has taken answers. */
static void schedule(BusTurns *t)
{
        bool full = t->first && output_exceeds(t, OUTPUT_FULL);

        (void) sd_event_source_set_enabled(
                        t->source, t->first && !full ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(t->output_source, full ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_turn(sd_event_source *source, void *userdata)
{
        BusTurns *t = userdata;

        t->n_read = 0;
        for (unsigned i = 0; i < TURNS_PER_WAKE && t->first; i++) {
                if (output_exceeds(t, OUTPUT_FULL))
                        break;
                serve_one(t);
                if (input_waits(t))
                        break;
        }
        schedule(t);
        return 0;
}

/* Something happened in the loop: it may have been the bus that took answers. */
static int on_output(sd_event_source *source, void *userdata)
{
        schedule(userdata);
        return 0;
}

/* A sender that never stops would keep the loop from coming to the turns. */
static void count_read(BusTurns *t)
{
        if (++t->n_read < READS_PER_TURN)
                return;
        t->n_read = 0;
        if (t->first && !output_exceeds(t, OUTPUT_FULL))
                serve_one(t);
        schedule(t);
}

static bool held_takes(const BusTurns *t, size_t n, size_t weight)
{
        return t->n_held + n <= LIMIT_BUS_HELD && t->held_bytes + weight <= LIMIT_BUS_HELD_BYTES;
}

/* One small call of everybody is always taken, however much others have waiting: connections are
 * bounded by the bus. */
static bool queue_takes(const BusTurns *t, const BusQueue *q, size_t weight)
{
        if (q->n == 0 && weight <= WEIGHT_SMALL)
                return true;
        if (q->n >= LIMIT_BUS_WAITING_EACH ||
                        (q->n > 0 && q->bytes + weight > LIMIT_BUS_EACH_BYTES))
                return false;
        if (q->held)
                return held_takes(t, 1, weight);
        return t->n - t->n_held < LIMIT_BUS_WAITING &&
               t->bytes - t->held_bytes + weight <= LIMIT_BUS_WAITING_BYTES;
}

int bus_queue_add(BusTurns *t, BusQueue *q, sd_bus_message *m, const BusCall *call)
{
        BusWaiting *w = NULL;
        size_t weight;

        if (queue_takes(t, q, 0) && queue_takes(t, q, weight = message_weight(m))) {
                w = malloc(sizeof(*w));
                if (!w)
                        return -ENOMEM;
                *w = (BusWaiting){
                        .message = sd_bus_message_ref(m),
                        .weight = weight,
                        .call = *call,
                };
                if (q->last)
                        q->last->next = w;
                else
                        q->first = w;
                q->last = w;
                q->n++;
                q->bytes += weight;
                t->n++;
                t->bytes += weight;
                if (q->held) {
                        t->n_held++;
                        t->held_bytes += weight;
                }
        }
        count_read(t);
        return w ? 0 : -ENOBUFS;
}

int bus_queue_hold(BusTurns *t, BusQueue *q, sd_bus_message *m, const BusCall *call)
{
        size_t weight = message_weight(m);
        BusWaiting *w;
        int r;

        if (!held_takes(t, q->n + 1, q->bytes + weight))
                return -EBUSY;
        /* It is read from its beginning again. */
        r = sd_bus_message_rewind(m, true);
        if (r < 0)
                return r;
        w = malloc(sizeof(*w));
        if (!w)
                return -ENOMEM;
        *w = (BusWaiting){
                .next = q->first,
                .message = sd_bus_message_ref(m),
                .weight = weight,
                .call = *call,
        };
        q->first = w;
        if (!q->last)
                q->last = w;
        q->n++;
        q->bytes += weight;
        t->n++;
        t->bytes += weight;
        t->n_held += q->n;
        t->held_bytes += q->bytes;
        turns_remove(t, q);
        q->held = true;
        return 0;
}

void bus_queue_ready(BusTurns *t, BusQueue *q)
{
        if (q->held) {
                t->n_held -= q->n;
                t->held_bytes -= q->bytes;
        }
        q->held = false;
        if (!q->first || q->in_turn)
                return;
        turns_append(t, q);
        schedule(t);
}

void bus_queue_clear(BusTurns *t, BusQueue *q, void (*func)(sd_bus_message *m))
{
        turns_remove(t, q);
        while (q->first) {
                BusWaiting *w = queue_take(t, q);

                func(w->message);
                sd_bus_message_unref(w->message);
                free(w);
        }
}

/* What sd-bus answers by itself (properties, introspection) is not queued: reading it without end
 * must not keep others from their turns, nor pile up answers. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusTurns *t = userdata;
        const char *interface = sd_bus_message_get_interface(m);

        if (!sd_bus_message_is_method_call(m, NULL, NULL) || !interface ||
                        !startswith(interface, "org.freedesktop.DBus."))
                return 0;
        count_read(t);
        return bus_turns_choked(t);
}

/* ---- life ---- */

/* sd-bus asks for 8 MiB, in which thousands of answers would wait for the bus before the one that
 * is written next. What does not fit stays with sd-bus, where it is counted. */
static void bound_output(sd_bus *bus)
{
        static const int size = OUTPUT_BUFFER;
        int fd = sd_bus_get_fd(bus);

        if (fd >= 0) /* fails for what is no socket: then there is no such buffer */
                (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int bus_turns_new(sd_bus *bus, BusTurnServe serve, void *userdata, BusTurns **ret)
{
        sd_event *event = sd_bus_get_event(bus);
        BusTurns *t = calloc(1, sizeof(BusTurns));
        int r;

        if (!t)
                return -ENOMEM;
        t->bus = bus;
        t->serve = serve;
        t->userdata = userdata;
        bound_output(bus);
        r = sd_event_add_defer(event, &t->source, on_turn, t);
        /* Equal ones alternate: what else the program does when the loop is idle is not put off by
         * calls that never end. */
        if (r >= 0)
                r = sd_event_source_set_priority(t->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_bus_add_filter(bus, &t->filter, on_message, t);
        if (r >= 0)
                r = sd_event_add_post(event, &t->output_source, on_output, t);
        if (r < 0) {
                bus_turns_free(t);
                return r;
        }
        schedule(t);
        *ret = t;
        return 0;
}

BusTurns *bus_turns_free(BusTurns *t)
{
        if (!t)
                return NULL;
        assert(t->n == 0);
        sd_event_source_disable_unref(t->source);
        sd_event_source_disable_unref(t->output_source);
        sd_bus_slot_unref(t->filter);
        free(t);
        return NULL;
}
