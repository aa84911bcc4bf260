/* SPDX-License-Identifier: Apache-2.0 */

/* attach: our terminal on the terminal of a container's first process. The shim is asked once, over
 * the bus; what it answers with are descriptors, and then no bus is needed any more.
 *
 * As with exec, what goes wrong on our side, usage included, is 125. */

#include "ctl.h"
#include "ctl-bus.h"
#include "ctl-session.h"
#include "ctl-shim.h"
#include "ctl-terminal.h"
#include "ctl-verbs.h"
#include "error.h"
#include "fd.h"

static int append_options(sd_bus_message *m, const void *userdata)
{
        const Arguments *a = userdata;
        uint16_t rows, columns;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "mode", "s",
                                a->viewer ? "viewer" : "writer", "scrollback", "b",
                                (int) !a->no_scrollback);
        /* A window of nothing is one that nobody told the size of. */
        if (r >= 0 && !a->viewer && terminal_size(&rows, &columns) && rows > 0 && columns > 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "rows", "u", (uint32_t) rows, "cols", "u",
                                (uint32_t) columns);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int attach(sd_bus *bus, const Arguments *a, const Target *t, ShimStreams *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        uint32_t number;
        int r;

        r = ctl_shim_call(bus, t, "Attach", append_options, a, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "u", &number);
        if (r >= 0)
                r = ctl_shim_take_fd(reply, &s.control);
        if (r >= 0)
                r = ctl_shim_take_fd(reply, &s.stdio[0]);
        if (r < 0)
                return r;
        s.n_stdio = 1;
        *ret = s;
        s = SHIM_STREAMS_NULL;
        return 0;
}

int verb_attach(const Arguments *a)
{
        CLEANUP_BUS_ERROR sd_bus_error e = SD_BUS_ERROR_NULL;
        CLEANUP(target_done) Target t = {};
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        SessionOptions options = {
                .mode = a->viewer ? SESSION_VIEWS : SESSION_WRITES,
                .interactive = !a->viewer,
        };
        SessionEnd end = {};
        sd_bus *bus = NULL;
        DetachKeys keys;
        int r;

        if (detach_keys_option(a->detach_keys, DETACH_KEYS_DEFAULT, &keys) != 0 ||
                        target_parse(a, a->words[0], &t) != 0 || ctl_bus_open(&bus) != 0)
                return EXIT_CODE_REFUSED;
        options.detach = &keys;
        r = attach(bus, a, &t, &s, &e);
        bus = sd_bus_flush_close_unref(bus);
        if (r >= 0) {
                s.n_stdio = 0;
                r = session_run(TAKE_FD(s.control), s.stdio, 1, &options, &end);
        }
        if (r < 0) {
                (void) ctl_bus_failure(a->words[0], &e, r);
                return EXIT_CODE_REFUSED;
        }
        return session_exit_code(&end, a->words[0]);
}
