/* SPDX-License-Identifier: Apache-2.0 */

/* The channel to the reconciler; see shim-channel.h. A peer that does not read is dropped: the run
 * goes on without, and its record tells the same. */

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus-util.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "quantity.h"
#include "record.h"
#include "shim-channel.h"
#include "shim-mount.h"
#include "shim-record.h"
#include "shim-values.h"
#include "shim.h"
#include "strv.h"

#define PEERS_MAX 4U
/* For those who are in a live volume's files of before. */
#define EARLIER_USEC (10 * USEC_PER_SEC)

typedef struct Peer {
        ShimChannel *channel;
        int fd; /* -EBADF: free */
        bool inherited;
        int passed; /* what came with the message that is looked at, -EBADF: nothing */
        sd_event_source *source;
} Peer;

struct ShimChannel {
        Shim *shim;
        int listener;
        sd_event_source *source, *earlier_source;
        Peer peers[PEERS_MAX];
};

static void peer_done(Peer *p)
{
        p->source = sd_event_source_disable_unref(p->source);
        p->fd = safe_close(p->fd);
        p->inherited = false;
}

static int peer_send(Peer *p, RecordWriter *w)
{
        int r;

        r = record_finish(w);
        return r < 0 ? r : packet_send(p->fd, w->data, w->size, NULL, 0);
}

static int peer_send_self(Peer *p, const char *type)
{
        CLEANUP(record_done) RecordWriter w;

        shim_record_fill(p->channel->shim, type, &w);
        return peer_send(p, &w);
}

static int peer_send_error(Peer *p, const char *request, int error, const char *message)
{
        CLEANUP(record_done) RecordWriter w;

        record_start(&w, RUN_RECORD_VERSION);
        record_put(&w, "type", "error");
        record_put(&w, "request", request);
        record_putf(&w, "errno", "%d", error < 0 ? -error : error);
        record_put(&w, "message", message);
        return peer_send(p, &w);
}

void shim_channel_send_status(ShimChannel *c)
{
        if (!c)
                return;
        for (size_t i = 0; i < PEERS_MAX; i++) {
                Peer *p = &c->peers[i];

                if (p->fd >= 0 && peer_send_self(p, "status") < 0)
                        peer_done(p); /* the inherited one's end counts only before the start */
        }
}

/* ---- requests ---- */

static int on_hello(Peer *p, const Record *m)
{
        uint64_t protocol = 0;

        if (record_get_u64(m, "protocol", &protocol) < 0 || protocol != 1) {
                (void) peer_send_error(
                                p, "hello", -EPROTONOSUPPORT, "this shim speaks protocol 1 only");
                return -EPROTONOSUPPORT;
        }
        return 0;
}

static int on_start(Peer *p, const Record *m)
{
        if (!p->inherited)
                return peer_send_error(p, "start", -EPERM,
                                "a run is started by the reconciler that spawned its shim");
        p->channel->shim->ask->start(p->channel->shim);
        return 0;
}

static int on_stop(Peer *p, const Record *m)
{
        Shim *s = p->channel->shim;
        uint64_t signo = 0, grace = s->launch->stop_grace_usec;

        if ((record_get_u64(m, "signal", &signo) == -EBADMSG) || signo > 64 ||
                        record_get_u64(m, "grace_usec", &grace) == -EBADMSG)
                return peer_send_error(p, "stop", -EINVAL, "stop: signal or grace_usec");
        s->ask->stop(s, (int) signo, grace);
        return 0;
}

static int on_kill(Peer *p, const Record *m)
{
        uint64_t signo;
        int r;

        if (record_get_u64(m, "signal", &signo) < 0 || signo < 1 || signo > 64)
                return peer_send_error(p, "kill", -EINVAL, "kill: signal is not 1-64");
        r = p->channel->shim->ask->kill(p->channel->shim, (int) signo);
        return r < 0 ? peer_send_error(p, "kill", r, "the container is not running") : 0;
}

/* All or none of them. */
static int set_limits(Shim *s, const LaunchLimits *limits, char message[static CGROUP_ERROR_MAX])
{
        char old[CGROUP_ERROR_MAX];
        int r = shim_cgroup_set_limits(s->cgroup, limits, message);

        if (r < 0) /* some may have been */
                (void) shim_cgroup_set_limits(s->cgroup, &s->launch->limits, old);
        return r;
}

/* *@hosts: in, the new ones; out, those that are in force no more. */
static int set_hosts(Shim *s, char ***hosts)
{
        char **old = s->launch->extra_hosts;
        int r;

        if (strv_equal(old, *hosts))
                return 0;
        s->launch->extra_hosts = *hosts;
        *hosts = old;
        r = s->hosts_fd < 0 ? -ESRCH : etc_hosts_rewrite(s->launch, s->hosts_fd);
        if (r >= 0)
                return 0;
        *hosts = s->launch->extra_hosts;
        s->launch->extra_hosts = old;
        if (s->hosts_fd >= 0)
                (void) etc_hosts_rewrite(s->launch, s->hosts_fd); /* as well as it can be done */
        return r;
}

/* @limits, @hosts: what became of each. */
static int peer_send_refusal(Peer *p, int limits, const char *limits_message, int hosts)
{
        char message[2 * CGROUP_ERROR_MAX] = "/etc/hosts could not be written";
        CLEANUP(record_done) RecordWriter w;

        if (limits < 0)
                (void) snprintf(message, sizeof(message), "limits: %s%s%s%s", limits_message,
                                hosts < 0 ? ": " : "", hosts < 0 ? errno_words(limits) : "",
                                hosts < 0 ? "; /etc/hosts could not be written" : "");
        record_start(&w, RUN_RECORD_VERSION);
        record_put(&w, "type", "error");
        record_put(&w, "request", "update");
        record_putf(&w, "errno", "%d", hosts < 0 ? -hosts : -limits);
        record_put(&w, "message", message);
        if (limits >= 0)
                record_put(&w, "applied", "limits");
        if (hosts >= 0)
                record_put(&w, "applied", "hosts");
        return peer_send(p, &w);
}

static int on_update(Peer *p, const Record *m)
{
        char message[LAUNCH_ERROR_MAX > CGROUP_ERROR_MAX ? LAUNCH_ERROR_MAX : CGROUP_ERROR_MAX];
        CLEANUP_STRV char **hosts = NULL;
        Shim *s = p->channel->shim;
        LaunchLimits limits;
        int r, q;

        r = launch_parse_limits(m, &limits, message);
        if (r >= 0)
                r = launch_parse_hosts(m, &hosts, message);
        if (r < 0)
                return peer_send_error(p, "update", r, message);
        if (!s->cgroup || s->state == RUN_EXITED)
                return peer_send_error(p, "update", -ESRCH, "the container is not running");
        /* Each for itself: what a container can do to its own /etc/hosts is no reason to leave its
         * limits as they are. */
        r = set_limits(s, &limits, message);
        if (r >= 0)
                s->launch->limits = limits;
        q = set_hosts(s, &hosts);
        return r < 0 || q < 0 ? peer_send_refusal(p, r, message, q) : peer_send_self(p, "status");
}

static int on_earlier(sd_event_source *source, uint64_t usec, void *userdata)
{
        const ShimChannel *c = userdata;

        values_forget_earlier(c->shim->launch, c->shim->live_fds);
        return 0;
}

/* Without a timer they go at the next change. */
static void forget_earlier_later(ShimChannel *c)
{
        int r;

        c->earlier_source = sd_event_source_disable_unref(c->earlier_source);
        r = sd_event_add_time_relative(c->shim->event, &c->earlier_source, CLOCK_BOOTTIME,
                        EARLIER_USEC, USEC_PER_SEC, on_earlier, c);
        if (r < 0)
                (void) log_warning_errno(r, "cannot wait for the end of replaced files, ignoring");
}

/* New files for live volumes, in a memory file like the launch's. */
static int on_values(Peer *p, const Record *m)
{
        CLEANUP(launch_freep) Launch *files = NULL;
        CLEANUP(record_done) RecordWriter w = { 0 };
        char message[LAUNCH_ERROR_MAX];
        SetupReport report = { 0 };
        Shim *s = p->channel->shim;
        int r;

        if (p->passed < 0)
                return peer_send_error(p, "values", -EBADMSG, "values: no descriptor");
        r = launch_read_values(p->passed, &files, message);
        if (r < 0)
                return peer_send_error(p, "values", r, message);
        if (s->state != RUN_RUNNING)
                return peer_send_error(p, "values", -ESRCH, "the container is not running");
        r = values_replace(s->launch, s->live_fds, files, &report);
        if (r < 0)
                return peer_send_error(p, "values", r, report.message);
        forget_earlier_later(p->channel);
        record_start(&w, RUN_RECORD_VERSION);
        record_put(&w, "type", "values");
        return peer_send(p, &w);
}

typedef struct Request {
        const char *type;
        int (*handle)(Peer *p, const Record *m);
} Request;

static const Request requests[] = {
        { "hello", on_hello },
        { "start", on_start },
        { "stop", on_stop },
        { "kill", on_kill },
        { "update", on_update },
        { "values", on_values },
};

static int dispatch(Peer *p, const void *data, size_t size)
{
        const char *type;
        Record m;
        int r;

        r = record_parse(data, size, RUN_RECORD_VERSION, &m);
        if (r < 0)
                return peer_send_error(p, "", r, "not a record of version 1");
        type = record_get(&m, "type");
        for (size_t i = 0; type && i < ARRAY_SIZE(requests); i++) {
                if (streq(type, requests[i].type))
                        return requests[i].handle(p, &m);
        }
        return peer_send_error(p, strempty(type), -EOPNOTSUPP, "no such request");
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        static char buf[LIMIT_CHANNEL_MESSAGE]; /* one thread; too much for the stack */
        Peer *p = userdata;
        Shim *s = p->channel->shim;
        bool inherited = p->inherited;
        int passed = -EBADF, r;
        size_t n_fds = 0;
        ssize_t n;

        n = packet_recv(fd, buf, sizeof(buf), &passed, 1, &n_fds);
        if (n == -EAGAIN)
                return 0;
        p->passed = n > 0 && n_fds > 0 ? passed : -EBADF;
        r = n > 0 ? dispatch(p, buf, (size_t) n) : n < 0 ? (int) n : -ECONNRESET;
        p->passed = safe_close(p->passed);
        if (r < 0) {
                peer_done(p);
                if (inherited)
                        s->ask->channel_lost(s);
        }
        return 0;
}

static int add_peer(ShimChannel *c, int fd, bool inherited)
{
        Peer *p = NULL;
        int r;

        for (size_t i = 0; i < PEERS_MAX && !p; i++) {
                if (c->peers[i].fd < 0)
                        p = &c->peers[i];
        }
        if (!p)
                return -EBUSY;
        r = sd_event_add_io(c->shim->event, &p->source, fd, EPOLLIN, on_peer, p);
        if (r < 0)
                return r;
        p->fd = fd;
        p->inherited = inherited;
        if (peer_send_self(p, "hello") < 0) {
                p->fd = -EBADF; /* still the caller's */
                peer_done(p);
                return -ECONNRESET;
        }
        return 0;
}

static int on_connect(sd_event_source *source, int listener, uint32_t revents, void *userdata)
{
        CLEANUP_CLOSE int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct ucred peer;
        socklen_t size = sizeof(peer);
        int r;

        if (fd < 0)
                return 0; /* gone again */
        /* The socket is 0600 in a 0700 directory; this is the second lock on the same door. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
                return 0;
        r = add_peer(userdata, fd, false);
        if (r < 0)
                log_debug_errno(r, "channel: connection refused");
        else
                (void) TAKE_FD(fd);
        return 0;
}

/* Bound through /proc: the path is longer than sun_path takes. */
static int listen_in(int dir_fd, int *ret_fd)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP_CLOSE int fd = -EBADF;
        char dir[FD_PATH_MAX];
        mode_t mask;
        int r;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/control",
                        fd_path(dir_fd, dir));
        (void) unlinkat(dir_fd, "control", 0);
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(mask);
        if (r < 0)
                return r;
        if (listen(fd, 16) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int shim_channel_new(Shim *shim, int inherited, ShimChannel **ret)
{
        CLEANUP(shim_channel_freep) ShimChannel *c = calloc(1, sizeof(ShimChannel));
        int r;

        if (!c)
                return -ENOMEM;
        c->shim = shim;
        c->listener = -EBADF;
        for (size_t i = 0; i < PEERS_MAX; i++)
                c->peers[i] = (Peer){ .channel = c, .fd = -EBADF };
        r = listen_in(shim->run_dir, &c->listener);
        if (r >= 0)
                r = sd_event_add_io(shim->event, &c->source, c->listener, EPOLLIN, on_connect, c);
        if (r >= 0)
                r = add_peer(c, inherited, true);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

ShimChannel *shim_channel_free(ShimChannel *c)
{
        if (!c)
                return NULL;
        for (size_t i = 0; i < PEERS_MAX; i++)
                peer_done(&c->peers[i]);
        c->source = sd_event_source_disable_unref(c->source);
        c->earlier_source = sd_event_source_disable_unref(c->earlier_source);
        if (c->listener >= 0)
                (void) unlinkat(c->shim->run_dir, "control", 0);
        c->listener = safe_close(c->listener);
        free(c);
        return NULL;
}
