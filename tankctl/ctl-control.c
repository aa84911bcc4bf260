/* SPDX-License-Identifier: Apache-2.0 */

/* See ctl-control.h, and docs/protocol.md section 3. */

#include <stdio.h>

#include "ctl-control.h"
#include "fd.h"
#include "limit.h"
#include "record.h"

static int send_record(int fd, RecordWriter *w)
{
        int r = record_finish(w);

        if (r >= 0 && fd >= 0)
                r = packet_send(fd, w->data, w->size, NULL, 0);
        return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

int control_send_size(int fd, uint16_t rows, uint16_t columns)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", "resize");
        record_put_u64(&w, "rows", rows);
        record_put_u64(&w, "cols", columns);
        return send_record(fd, &w);
}

int control_send_signal(int fd, int signo)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, 1);
        record_put(&w, "type", "signal");
        record_put_u64(&w, "signal", (uint64_t) signo);
        return send_record(fd, &w);
}

static int read_end(const Record *record, SessionEnd *ret)
{
        uint64_t code;

        if (record_get_u64(record, "code", &code) < 0)
                return -EBADMSG;
        ret->known = true;
        ret->code = (int) code;
        (void) snprintf(ret->kind, sizeof(ret->kind), "%s", strempty(record_get(record, "kind")));
        (void) snprintf(ret->stage, sizeof(ret->stage), "%s",
                        strempty(record_get(record, "stage")));
        (void) snprintf(ret->message, sizeof(ret->message), "%s",
                        strempty(record_get(record, "message")));
        return 0;
}

int control_receive(int fd, ControlMessage *ret, SessionEnd *ret_end)
{
        static char buffer[LIMIT_CHANNEL_MESSAGE];
        const char *type;
        size_t n_fds;
        Record record;
        ssize_t n;

        *ret = CONTROL_NOTHING;
        n = packet_recv(fd, buffer, sizeof(buffer), NULL, 0, &n_fds);
        /* A shim that leaves something of ours unread resets the connection as it closes it;
         * what it sent before is still in the queue behind that error. */
        if (n == -EAGAIN || n == -EINTR || n == -ECONNRESET)
                return 0;
        if (n <= 0) {
                *ret = CONTROL_GONE;
                return 0;
        }
        if (record_parse(buffer, (size_t) n, 1, &record) < 0)
                return -EBADMSG;
        type = strempty(record_get(&record, "type"));
        if (streq(type, "started"))
                *ret = CONTROL_STARTED;
        if (streq(type, "detached"))
                *ret = CONTROL_CUT;
        if (!streq(type, "exit"))
                return 0; /* also what a later version may add */
        *ret = CONTROL_EXIT;
        return read_end(&record, ret_end);
}
