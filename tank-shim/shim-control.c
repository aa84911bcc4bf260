/* SPDX-License-Identifier: Apache-2.0 */

/* See shim-control.h. */

#include <sys/socket.h>

#include "fd.h"
#include "log.h"
#include "record.h"
#include "shim-control.h"

#define CONTROL_VERSION     1U
#define CONTROL_REQUEST_MAX 4096U /* no request is longer */

int shim_control_new(int *ret_ours, int *ret_clients)
{
        int p[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        r = fd_set_nonblock(p[0], true);
        if (r < 0) {
                safe_close(p[0]);
                safe_close(p[1]);
                return r;
        }
        *ret_ours = p[0];
        *ret_clients = p[1];
        return 0;
}

/* ---- to the client ---- */

static void send_record(int fd, RecordWriter *w)
{
        int r;

        r = record_finish(w);
        if (r >= 0 && fd >= 0)
                r = packet_send(fd, w->data, w->size, NULL, 0);
        if (r < 0)
                log_debug_errno(r, "cannot tell the client of a session");
}

void shim_control_send_started(int fd, pid_t pid)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, CONTROL_VERSION);
        record_put(&w, "type", "started");
        record_put_u64(&w, "pid", (uint64_t) pid);
        send_record(fd, &w);
}

void shim_control_send_exit(int fd, const RunResult *result, const char *message)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, CONTROL_VERSION);
        record_put(&w, "type", "exit");
        record_put(&w, "kind", result_kind_to_string(result->kind));
        record_put_u64(&w, "code", (uint64_t) result->code);
        if (result->kind == RESULT_SETUP_FAILED) {
                record_put(&w, "stage", result->stage);
                record_put(&w, "message", strempty(message));
        }
        send_record(fd, &w);
}

void shim_control_send_detached(int fd)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, CONTROL_VERSION);
        record_put(&w, "type", "detached");
        send_record(fd, &w);
}

int shim_control_close(int fd)
{
        char buf[1];
        ssize_t n;

        if (shutdown(fd, SHUT_RD) >= 0)
                do
                        n = packet_recv(fd, buf, sizeof(buf), NULL, 0, NULL);
                while (n > 0 || n == -EMSGSIZE || n == -EINTR);
        return safe_close(fd);
}

/* ---- from the client ---- */

static int read_u16(const Record *r, const char *key, uint16_t *ret)
{
        uint64_t v;

        if (record_get_u64(r, key, &v) < 0 || v > UINT16_MAX)
                return -EBADMSG;
        *ret = (uint16_t) v;
        return 0;
}

static int parse_request(const Record *record, ControlRequest *ret)
{
        const char *type = record_get(record, "type");
        ControlRequest q = { .type = CONTROL_IGNORED };
        uint64_t signo;

        if (!type)
                return -EBADMSG;
        if (streq(type, "resize")) {
                q.type = CONTROL_RESIZE;
                if (read_u16(record, "rows", &q.rows) < 0 || read_u16(record, "cols", &q.cols) < 0)
                        return -EBADMSG;
        } else if (streq(type, "signal")) {
                q.type = CONTROL_SIGNAL;
                if (record_get_u64(record, "signal", &signo) < 0 || signo < 1 || signo > 64)
                        return -EBADMSG;
                q.signo = (int) signo;
        }
        *ret = q;
        return 1;
}

int shim_control_receive(int fd, ControlRequest *ret)
{
        char buf[CONTROL_REQUEST_MAX];
        Record record;
        ssize_t n;
        int r;

        n = packet_recv(fd, buf, sizeof(buf), NULL, 0, NULL);
        if (n == -EINTR)
                return -EAGAIN;
        if (n <= 0)
                return (int) n;
        r = record_parse(buf, (size_t) n, CONTROL_VERSION, &record);
        return r < 0 ? r : parse_request(&record, ret);
}
