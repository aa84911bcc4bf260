/* SPDX-License-Identifier: Apache-2.0 */

/* Introspection XML of vtables without a bus: a connected pair of private peers, one of which has
 * the object and the other asks. */

#include <stdio.h>
#include <sys/socket.h>

#include "bus-util.h"
#include "fd.h"

static int peer_new(int fd, bool server, sd_bus **ret)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *bus = NULL;
        sd_id128_t id = SD_ID128_NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, fd, fd); /* takes the descriptor when started */
        if (r >= 0 && server)
                r = sd_bus_set_server(bus, true, id);
        if (r >= 0)
                r = sd_bus_set_anonymous(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int print_reply(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        bool *done = userdata;
        const char *xml;

        *done = true;
        if (sd_bus_message_is_method_error(m, NULL))
                return -EIO;
        if (sd_bus_message_read(m, "s", &xml) < 0)
                return -EBADMSG;
        return fputs(xml, stdout) < 0 || fflush(stdout) < 0 ? -EIO : 0;
}

int bus_print_introspection(const char *path, const BusInterface *interfaces, size_t n)
{
        CLEANUP(sd_bus_flush_close_unrefpp) sd_bus *server = NULL, *client = NULL;
        bool done = false;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        r = peer_new(pair[0], true, &server);
        if (r < 0) {
                (void) safe_close(pair[0]);
                (void) safe_close(pair[1]);
                return r;
        }
        r = peer_new(pair[1], false, &client);
        if (r < 0) {
                (void) safe_close(pair[1]);
                return r;
        }
        for (size_t i = 0; i < n; i++) {
                r = sd_bus_add_object_vtable(
                                server, NULL, path, interfaces[i].name, interfaces[i].vtable, NULL);
                if (r < 0)
                        return r;
        }
        r = sd_bus_call_method_async(client, NULL, NULL, path,
                        "org.freedesktop.DBus.Introspectable", "Introspect", print_reply, &done,
                        NULL);
        if (r < 0)
                return r;
        /* Both ends in turn; neither ever waits for anything but the other. */
        for (unsigned i = 0; !done && i < 10000; i++) {
                r = sd_bus_process(client, NULL);
                if (r < 0)
                        return r;
                r = sd_bus_process(server, NULL);
                if (r < 0)
                        return r;
        }
        return done ? 0 : -ETIMEDOUT;
}
