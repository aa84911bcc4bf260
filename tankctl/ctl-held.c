/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-held.h. */

#include "ctl.h"
#include "ctl-held.h"
#include "error.h"
#include "fd.h"

typedef struct OpenRequest {
        uint32_t number;
        bool input;
} OpenRequest;

static int append_open(sd_bus_message *m, const void *userdata)
{
        const OpenRequest *q = userdata;

        return sd_bus_message_append(m, "ua{sv}", q->number, 1, "input", "b", (int) q->input);
}

int held_open_session(sd_bus *bus, const Target *t, uint32_t number, bool input, ShimStreams *ret,
                sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        CLEANUP(ctl_shim_streams_done) ShimStreams s = SHIM_STREAMS_NULL;
        const OpenRequest q = { .number = number, .input = input };
        int r;

        r = ctl_shim_call(bus, t, "OpenSession", append_open, &q, &reply, reterr);
        if (r >= 0)
                r = ctl_shim_take_streams(reply, &s);
        if (r < 0)
                return r;
        if (s.n_stdio == 2) {
                memmove(s.stdio + 1, s.stdio, 2 * sizeof(s.stdio[0]));
                s.stdio[0] = -EBADF;
                s.n_stdio = 3;
        } else if (s.n_stdio != 1 && s.n_stdio != 3)
                return -EBADMSG;
        *ret = s;
        s = SHIM_STREAMS_NULL;
        return 0;
}

int held_run(ShimStreams *s, const SessionOptions *options, const char *what)
{
        SessionEnd end = {};
        size_t n = s->n_stdio;
        int r;

        s->n_stdio = 0;
        r = session_run(TAKE_FD(s->control), s->stdio, n, options, &end);
        if (r < 0) {
                (void) ctl_bus_failure(what, NULL, r);
                return EXIT_CODE_REFUSED;
        }
        return session_exit_code(&end, what);
}
