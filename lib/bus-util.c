/* SPDX-License-Identifier: Apache-2.0 */

/* One connection to the system bus that comes back by itself.
 *
 * Never blocks: sd_bus_start() connects, authenticates and says Hello on the loop; "Connected" and
 * "Disconnected" are messages that sd-bus itself puts in front of the queue. A lost connection is
 * not freed inside its own dispatch but by the timer that opens the next one. */

#include <poll.h>
#include <stdio.h>

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "limit.h"
#include "log.h"

#define RECONNECT_MIN_USEC (50 * USEC_PER_MSEC)
#define RECONNECT_MAX_USEC (5 * USEC_PER_SEC)
#define FLUSH_MSEC         1000

struct BusLink {
        sd_event *event;
        sd_event_source *timer, *exit;
        sd_bus *bus;
        const char *description;
        BusLinkConnected connected;
        BusLinkDisconnected disconnected;
        void *userdata;
        uint64_t delay;
        bool up;
};

static int bus_link_open(BusLink *l);

static void bus_link_schedule(BusLink *l)
{
        int r;

        if (l->up) {
                l->up = false;
                l->disconnected(l->userdata);
        }
        r = sd_event_source_set_time_relative(l->timer, l->delay);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_warning_errno(r, "cannot arm the timer that reconnects to the bus");
        l->delay = MIN(l->delay * 2, RECONNECT_MAX_USEC);
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusLink *l = userdata;
        int r;

        l->up = true;
        r = l->connected(l->bus, l->userdata);
        if (r < 0) {
                log_warning_errno(r, "cannot set up the bus connection, trying again");
                bus_link_schedule(l);
                return 0;
        }
        l->delay = RECONNECT_MIN_USEC;
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusLink *l = userdata;

        log_info("the system bus is gone, reconnecting");
        bus_link_schedule(l);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        BusLink *l = userdata;

        l->bus = sd_bus_close_unref(l->bus);
        if (bus_link_open(l) < 0)
                bus_link_schedule(l);
        return 0;
}

/* What is queued goes out if the bus takes it. sd_bus_flush() alone would wait for one that stands
 * still, a minute and a half for one that took the connection and said nothing, and with it whoever
 * is about to end. */
static void bus_flush(sd_bus *bus)
{
        struct pollfd p = { .events = POLLOUT };
        uint64_t queued;

        if (!bus || sd_bus_is_ready(bus) <= 0 || sd_bus_get_n_queued_write(bus, &queued) < 0 ||
                        queued == 0)
                return;
        p.fd = sd_bus_get_fd(bus);
        if (poll(&p, 1, FLUSH_MSEC) > 0 && (p.revents & POLLOUT))
                (void) sd_bus_flush(bus); /* lost with the connection otherwise */
}

/* Ahead of sd-bus's own, which flushes for as long as it takes. */
static int on_loop_exit(sd_event_source *source, void *userdata)
{
        BusLink *l = userdata;

        if (l->bus) {
                bus_flush(l->bus);
                (void) sd_bus_detach_event(l->bus);
        }
        return 0;
}

static const char *system_bus_address(void)
{
        const char *e = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
        return isempty(e) ? "unix:path=/run/dbus/system_bus_socket" : e;
}

static int match_local(sd_bus *bus, const char *member, sd_bus_message_handler_t handler, void *p)
{
        return sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local",
                        "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", member,
                        handler, NULL, p);
}

static int bus_link_open(BusLink *l)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        if ((r = sd_bus_set_description(bus, l->description)) < 0 ||
                        (r = sd_bus_set_address(bus, system_bus_address())) < 0 ||
                        (r = sd_bus_set_bus_client(bus, true)) < 0 ||
                        (r = sd_bus_set_trusted(bus, true)) < 0 ||
                        (r = sd_bus_negotiate_fds(bus, true)) < 0 ||
                        (r = sd_bus_set_connected_signal(bus, true)) < 0 ||
                        (r = match_local(bus, "Connected", on_connected, l)) < 0 ||
                        (r = match_local(bus, "Disconnected", on_disconnected, l)) < 0 ||
                        (r = sd_bus_start(bus)) < 0 ||
                        (r = sd_bus_attach_event(bus, l->event, SD_EVENT_PRIORITY_NORMAL)) < 0)
                return r;
        l->bus = TAKE_PTR(bus);
        return 0;
}

int bus_link_new(sd_event *event, const char *description, BusLinkConnected connected,
                BusLinkDisconnected disconnected, void *userdata, BusLink **ret)
{
        CLEANUP(bus_link_freep) BusLink *l = calloc(1, sizeof(BusLink));
        int r;

        if (!l)
                return -ENOMEM;
        *l = (BusLink){
                .event = sd_event_ref(event),
                .description = description,
                .connected = connected,
                .disconnected = disconnected,
                .userdata = userdata,
                .delay = RECONNECT_MIN_USEC,
        };
        r = sd_event_add_time(event, &l->timer, CLOCK_BOOTTIME, 0, 0, on_timer, l);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_exit(event, &l->exit, on_loop_exit, l);
        if (r >= 0)
                r = sd_event_source_set_priority(l->exit, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;
        r = bus_link_open(l);
        if (r < 0) {
                log_debug("no system bus yet at %s, trying again: %s", system_bus_address(),
                                errno_words(r));
                bus_link_schedule(l);
        }
        *ret = TAKE_PTR(l);
        return 0;
}

BusLink *bus_link_free(BusLink *l)
{
        if (!l)
                return NULL;
        if (l->up) {
                l->up = false;
                l->disconnected(l->userdata);
        }
        sd_event_source_disable_unref(l->timer);
        sd_event_source_disable_unref(l->exit);
        bus_flush(l->bus);
        sd_bus_close_unref(l->bus);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}

sd_bus *bus_link_get(BusLink *l)
{
        return l->up ? l->bus : NULL;
}

bool bus_message_is_from_bus(sd_bus_message *m)
{
        return streq_ptr(sd_bus_message_get_sender(m), "org.freedesktop.DBus");
}

/* A bus that takes connections and then says nothing is waited for as long as an answer is, not for
 * sd-bus's own minute and a half. */
static int wait_until_ready(sd_bus *bus)
{
        uint64_t begin = now_boottime_usec(), timeout;
        int r;

        r = sd_bus_get_method_call_timeout(bus, &timeout);
        if (r < 0)
                return r;
        while ((r = sd_bus_is_ready(bus)) == 0) {
                uint64_t waited;

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                waited = now_boottime_usec() - begin;
                if (waited >= timeout)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, timeout - waited);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return r;
}

int bus_open_client(sd_bus **ret, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_close_unrefpp) sd_bus *bus = NULL;
        int r = sd_bus_open_system(&bus);

        if (r >= 0)
                r = wait_until_ready(bus);
        if (r == -ETIMEDOUT)
                return tank_error_set(reterr, TANK_ERROR_TIMED_OUT,
                                "the system bus at %s does not answer", system_bus_address());
        if (r < 0)
                return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE,
                                "cannot reach the system bus at %s: %s; is dbus running?",
                                system_bus_address(), errno_words(r));
        *ret = TAKE_PTR(bus);
        return 0;
}
