/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "ctl-follow.h"
#include "error.h"
#include "log.h"

#define RETRY_USEC (500 * USEC_PER_MSEC)

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        ((Follow *) userdata)->happened = true;
        return 0;
}

static int subscribe(Follow *f)
{
        for (size_t i = 0; i < f->n_matches; i++) {
                /* Nobody waits for the bus' answer: it handles one connection's messages in
                 * order, so that what is read next is read behind the subscription. */
                int r = sd_bus_add_match_async(f->bus, NULL, f->matches[i], on_signal, NULL, f);

                if (r < 0)
                        return r;
        }
        return 0;
}

int follow_start(Follow *f)
{
        *f = (Follow){};
        return ctl_bus_open(&f->bus);
}

void follow_done(Follow *f)
{
        f->bus = sd_bus_flush_close_unref(f->bus);
        while (f->n_matches > 0)
                free(f->matches[--f->n_matches]);
}

static int add_match(Follow *f, char *take)
{
        assert(f->n_matches < ARRAY_SIZE(f->matches));
        f->matches[f->n_matches++] = take;
        return sd_bus_add_match_async(f->bus, NULL, take, on_signal, NULL, f);
}

int follow_peer(Follow *f, const CtlPeer *peer, const char *rest)
{
        char *signals, *owner;
        int r;

        if (asprintf(&signals, "type='signal',sender='%s',path_namespace='%s'%s%s", peer->name,
                            peer->path, *rest ? "," : "", rest) < 0)
                return -ENOMEM;
        r = add_match(f, signals);
        if (r < 0)
                return r;
        if (asprintf(&owner,
                            "type='signal',sender='org.freedesktop.DBus',"
                            "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                            "member='NameOwnerChanged',arg0='%s'",
                            peer->name) < 0)
                return -ENOMEM;
        return add_match(f, owner);
}

/* The bus went away: everything may have happened meanwhile. */
static void reconnect(Follow *f)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;

        f->bus = sd_bus_flush_close_unref(f->bus);
        if (bus_open_client(&f->bus, &e) < 0)
                return;
        if (subscribe(f) < 0)
                f->bus = sd_bus_flush_close_unref(f->bus);
        else
                f->happened = true;
}

static void process(Follow *f)
{
        int r;

        do
                r = sd_bus_process(f->bus, NULL);
        while (r > 0);
        if (r >= 0)
                return;
        (void) follow_failed(f, r, NULL);
        reconnect(f);
}

/* 1: the bus has something, or the time is over; 0: nobody reads what we print. */
static int wait_for_input(Follow *f, uint64_t until)
{
        struct pollfd fds[2] = {
                { .fd = -1 }, { .fd = STDOUT_FILENO }, /* POLLERR: its reader left */
        };
        uint64_t now = now_boottime_usec(), bus_until;
        int timeout = -1, n;

        if (f->bus) {
                fds[0].fd = sd_bus_get_fd(f->bus);
                fds[0].events = (short) sd_bus_get_events(f->bus);
                if (sd_bus_get_timeout(f->bus, &bus_until) >= 0 && bus_until != UINT64_MAX)
                        until = MIN(until, now + RETRY_USEC);
        }
        if (until != USEC_INFINITY)
                timeout = until > now ? (int) ((until - now) / USEC_PER_MSEC) + 1 : 0;
        n = poll(fds, ARRAY_SIZE(fds), timeout);
        if (n < 0)
                return errno == EINTR ? 1 : -errno;
        return !(fds[1].revents & (POLLERR | POLLNVAL));
}

int follow_sleep(Follow *f, bool may_wait)
{
        uint64_t until = may_wait ? USEC_INFINITY : now_boottime_usec() + RETRY_USEC;
        int r;

        for (;;) {
                if (!f->bus)
                        reconnect(f);
                else
                        process(f);
                if (f->happened) {
                        f->happened = false;
                        return 1;
                }
                if (until != USEC_INFINITY && now_boottime_usec() >= until)
                        return 1;
                r = wait_for_input(f, f->bus ? until : now_boottime_usec() + RETRY_USEC);
                if (r <= 0)
                        return r;
        }
}

int follow_failed(Follow *f, int r, const sd_bus_error *e)
{
        bool lost = !f->bus || r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE;

        /* A daemon that is stopped may be let go on. */
        if (!lost && !sd_bus_error_has_name(e, TANK_ERROR_UNAVAILABLE) &&
                        !sd_bus_error_has_name(e, TANK_ERROR_TIMED_OUT))
                return 0;
        if (!f->told_away)
                ctl_error("%s (waiting until it is back)",
                                !lost && e && e->message ? e->message : "the bus is gone");
        f->told_away = true;
        return 1;
}

void follow_reached(Follow *f)
{
        f->told_away = false;
}
