/* SPDX-License-Identifier: Apache-2.0 */

/* A run's channel: requests that are owed until they are sent, messages that tell its status.
 * docs/protocol.md section 2.5. */

#include <stdio.h>

#include "failpoint.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "shim-client.h"
#include "shim-private.h"
#include "strv.h"

/* ---- requests ---- */

static int shim_send(Shim *s, RecordWriter *w)
{
        int r = record_finish(w);

        if (r >= 0)
                r = packet_send(s->channel, w->data, w->size, NULL, 0);
        record_done(w);
        return r;
}

static int shim_send_stop(Shim *s)
{
        RecordWriter w;

        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "stop");
        if (s->stop_signal > 0)
                record_put_u64(&w, "signal", (uint64_t) s->stop_signal);
        if (s->stop_grace_usec != USEC_INFINITY)
                record_put_u64(&w, "grace_usec", s->stop_grace_usec);
        return shim_send(s, &w);
}

static int shim_send_update(Shim *s)
{
        RecordWriter w;

        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "update");
        limits_put(&w, &s->limits);
        record_put_strv(&w, "extra_host", s->hosts);
        return shim_send(s, &w);
}

static int shim_send_values(Shim *s)
{
        CLEANUP(record_done) RecordWriter w;
        int r;

        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "values");
        r = record_finish(&w);
        return r < 0 ? r : packet_send(s->channel, w.data, w.size, &s->values_fd, 1);
}

/* The shim escalates by itself; this is for one that is stuck. */
static void shim_arm_stop(Shim *s)
{
        uint64_t grace = s->stop_grace_usec;

        if (grace == USEC_INFINITY)
                grace = s->status.stop_grace_usec;
        shim_arm(s, MIN(grace, UINT64_MAX - STOP_SLACK_USEC) + STOP_SLACK_USEC);
}

/* Sends what is owed; what does not go out now goes out when the channel takes it. */
void shim_flush(Shim *s)
{
        uint32_t events = EPOLLIN;
        int r = 0;

        if (s->phase != SHIM_LIVE || !s->channel_source)
                return;
        if (s->update_wanted) {
                r = shim_send_update(s);
                if (r >= 0) {
                        s->update_wanted = false;
                        s->update_sent = true;
                }
        }
        if (r >= 0 && s->values_wanted) {
                r = shim_send_values(s);
                if (r >= 0) {
                        s->values_wanted = false;
                        s->values_sent++;
                }
        }
        if (r >= 0 && s->stop_wanted) {
                r = shim_send_stop(s);
                if (r >= 0) {
                        s->stop_wanted = false;
                        s->stop_sent = true;
                        shim_arm_stop(s);
                }
        }
        if (r == -EAGAIN)
                events |= EPOLLOUT;
        else if (r < 0) /* the channel is gone; end of file will say so */
                log_debug("run %s: cannot send a request: %s", s->run, errno_words(r));
        r = sd_event_source_set_io_events(s->channel_source, events);
        if (r < 0)
                log_error_errno(r, "run %s: cannot watch the channel", s->run);
}

void shim_stop(Shim *s, int signo, uint64_t grace_usec)
{
        s->told_to_go = s->stop_wanted = true;
        s->stop_signal = signo;
        s->stop_grace_usec = grace_usec;
        if (s->phase == SHIM_SPAWNED) {
                /* Not let go yet: end of file makes it remove what it made, and go. */
                s->phase = SHIM_ABORTED;
                s->channel_source = sd_event_source_disable_unref(s->channel_source);
                s->channel = safe_close(s->channel);
                shim_arm(s, HELLO_TIMEOUT_USEC);
                return;
        }
        shim_flush(s);
}

int shim_update(Shim *s, const Limits *limits, char *const *hosts)
{
        char **copy = NULL;
        int r;

        r = strv_copy(hosts, &copy);
        if (r < 0)
                return r;
        strv_free(s->hosts);
        s->hosts = copy;
        s->update_wanted = true;
        s->limits = *limits;
        shim_flush(s);
        return 0;
}

void shim_set_values(Shim *s, int consume_fd)
{
        (void) safe_close(s->values_fd);
        s->values_fd = consume_fd;
        (void) locked_file_take(&s->locked_values, consume_fd); /* as far as a limit allows */
        s->values_wanted = true;
        shim_flush(s);
}

int shim_kill(Shim *s, int signo)
{
        RecordWriter w;

        if (s->phase != SHIM_LIVE)
                return -ENOTCONN;
        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "kill");
        record_put_u64(&w, "signal", (uint64_t) signo);
        return shim_send(s, &w);
}

/* ---- the channel ---- */

void shim_close_channel(Shim *s)
{
        s->channel_source = sd_event_source_disable_unref(s->channel_source);
        s->channel = safe_close(s->channel);
}

static void shim_detach(Shim *s)
{
        shim_close_channel(s);
        if (s->update_sent) {
                s->update_sent = false;
                s->update_wanted = true;
        }
        s->values_wanted = s->values_fd >= 0;
        s->values_sent = 0;
        if (s->phase == SHIM_SPAWNED) {
                /* It is about to end; if it does not, it gets no second chance. */
                s->phase = SHIM_ABORTED;
                return;
        }
        if (s->phase == SHIM_ABORTED)
                return;
        s->phase = SHIM_DETACHED;
        /* Mostly the process is ending, and its pidfd is about to say so. */
        s->retry_usec = RECONNECT_MIN_USEC;
        shim_arm(s, s->retry_usec);
}

int shim_send_hello(Shim *s)
{
        RecordWriter w;

        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "hello");
        record_put_u64(&w, "protocol", PROTOCOL_VERSION);
        return shim_send(s, &w);
}

static int shim_send_start(Shim *s)
{
        RecordWriter w;

        record_start(&w, PROTOCOL_VERSION);
        record_put(&w, "type", "start");
        return shim_send(s, &w);
}

static int shim_on_hello(Shim *s, const Record *record)
{
        uint64_t protocol;
        int r;

        r = record_get_u64(record, "protocol", &protocol);
        if (r < 0)
                return -EBADMSG;
        if (protocol == 0 || protocol > PROTOCOL_VERSION)
                return log_error_errno(-EPROTONOSUPPORT,
                                "run %s: its shim speaks protocol %" PRIu64
                                ", this program understands up to %u: use a newer tankd-reconcile",
                                s->run, protocol, PROTOCOL_VERSION);
        locked_file_done(&s->locked_launch); /* read before anything is said */
        FAILPOINT("reconcile.hello");
        if (s->phase == SHIM_SPAWNED) {
                /* step 4 */
                r = shim_send_hello(s);
                if (r >= 0)
                        r = shim_send_start(s);
                if (r < 0)
                        return r;
                FAILPOINT("reconcile.start-sent");
        }
        s->phase = SHIM_LIVE;
        shim_disarm(s);
        if (s->stop_sent)
                shim_arm_stop(s);
        s->retry_usec = RECONNECT_MIN_USEC;
        shim_adoption_done(s);
        shim_flush(s);
        return 0;
}

static void shim_update_answered(Shim *s, unsigned parts)
{
        if (!s->update_sent)
                return;
        s->update_sent = false;
        s->context->ops->updated(s, parts, s->userdata);
}

/* Whether it was the answer to what was sent last. */
static bool shim_values_answered(Shim *s)
{
        if (s->values_sent == 0 || --s->values_sent > 0 || s->values_wanted)
                return false;
        s->values_fd = safe_close(s->values_fd);
        locked_file_done(&s->locked_values);
        return true;
}

static int shim_on_error(Shim *s, const Record *record)
{
        const char *request = strempty(record_get(record, "request"));
        CLEANUP_STRV char **applied = NULL;
        unsigned parts = 0;
        uint64_t error;
        int r;

        if (record_get_u64(record, "errno", &error) < 0 || error > INT32_MAX)
                error = EIO;
        if (streq(request, "update")) {
                r = record_get_strv(record, "applied", &applied);
                if (r < 0)
                        return r;
                STRV_FOREACH(i, applied)
                {
                        parts |= streq(*i, "limits")  ? UPDATE_LIMITS
                                 : streq(*i, "hosts") ? UPDATE_HOSTS
                                                      : 0U;
                }
                shim_update_answered(s, parts);
        }
        if (streq(request, "values") && !shim_values_answered(s))
                return 0;
        s->context->ops->refused(s, request, -(int) error, strempty(record_get(record, "message")),
                        s->userdata);
        return 0;
}

static int shim_on_message(Shim *s, const Record *record)
{
        const char *type = record_get(record, "type");
        ShimStatus status;
        int r;

        if (!type)
                return -EBADMSG;
        if (streq(type, "error"))
                return shim_on_error(s, record);
        if (streq(type, "values")) {
                if (shim_values_answered(s))
                        s->context->ops->values_set(s, s->userdata);
                return 0;
        }
        if (!streq(type, "hello") && !streq(type, "status"))
                return 0; /* something a later minor version says */
        r = shim_status_parse(record, &status);
        if (r < 0)
                return r;
        if (s->phase != SHIM_LIVE && !streq(type, "hello"))
                return -EPROTO;
        s->status = status;
        if (streq(type, "hello")) {
                r = shim_on_hello(s, record);
                if (r < 0)
                        return r;
        }
        if (status.state == RUN_EXITED)
                shim_arm(s, TEARDOWN_TIMEOUT_USEC);
        /* What runs and is asked to be updated tells `running` for no other reason. */
        if (status.state == RUN_RUNNING && streq(type, "status"))
                shim_update_answered(s, UPDATE_LIMITS | UPDATE_HOSTS);
        s->context->ops->changed(s, s->userdata);
        return 0;
}

static int shim_on_channel(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Shim *s = userdata;
        Record record;
        ssize_t n;
        int r;

        if (revents & EPOLLOUT)
                shim_flush(s);
        if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return 0;
        n = packet_recv(fd, s->context->buffer, LIMIT_CHANNEL_MESSAGE, NULL, 0, NULL);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n <= 0) {
                shim_detach(s);
                return 0;
        }
        r = record_parse(s->context->buffer, (size_t) n, PROTOCOL_VERSION, &record);
        if (r >= 0)
                r = shim_on_message(s, &record);
        if (r < 0) {
                log_error_errno(r, "run %s: bad message from its shim, closing the channel",
                                s->run);
                shim_detach(s);
        }
        return 0;
}

int shim_watch_channel(Shim *s)
{
        return sd_event_add_io(s->context->event, &s->channel_source, s->channel, EPOLLIN,
                        shim_on_channel, s);
}
