/* SPDX-License-Identifier: Apache-2.0 */

/* The reconciler's requests, on the real channel of a shim whose run asks for nothing: a packet for
 * each part of the input, which two bytes 0xff separate. Whatever comes, each answer is a
 * record. */

#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "fuzz.h"
#include "limit.h"
#include "shim.h"
#include "shim-record.h"

static void on_start(Shim *s)
{
        s->started = true;
}

static void on_channel_lost(Shim *s)
{
        s->finishing++;
}

static int on_kill(Shim *s, int signo)
{
        CHECK(signo >= 1 && signo <= 64);
        return -ESRCH;
}

static void on_stop(Shim *s, int signo, uint64_t grace_usec)
{
        CHECK(signo >= 0 && signo <= 64);
}

static const ShimRequests requests = {
        .start = on_start,
        .channel_lost = on_channel_lost,
        .kill = on_kill,
        .stop = on_stop,
};

/* What the shim says is what it says of itself, and of what it refuses. */
static void read_answers(int fd)
{
        static char buf[LIMIT_CHANNEL_MESSAGE];
        size_t n_fds = 0;
        ssize_t n;

        while ((n = packet_recv(fd, buf, sizeof(buf), NULL, 0, &n_fds)) > 0) {
                const char *type;
                Record r;

                CHECK(record_parse(buf, (size_t) n, RUN_RECORD_VERSION, &r) == 0);
                type = record_get(&r, "type");
                CHECK(type && (streq(type, "hello") || streq(type, "status") ||
                                              streq(type, "error")));
                if (streq(type, "error"))
                        CHECK(record_get(&r, "message") && record_get(&r, "errno"));
        }
}

static void drive(Shim *s, int fd, const uint8_t *data, size_t size)
{
        while (size > 0) {
                const uint8_t *end = memmem(data, size, "\xff\xff", 2);
                size_t n = end ? (size_t) (end - data) : size;

                if (n > 0 && send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) n)
                        while (sd_event_run(s->event, 0) > 0)
                                ;
                read_answers(fd);
                data += n + (end ? 2 : 0);
                size -= n + (end ? 2 : 0);
        }
}

static void remove_directory(char **path)
{
        (void) remove_tree_at(AT_FDCWD, *path);
}

static Launch *a_launch(void)
{
        Launch *l = calloc(1, sizeof(Launch));

        CHECK(l);
        l->pod_uid = strdup("0123456789abcdef0123456789abcdef");
        l->run = strdup("0123456789abcdef0123456789abcdef");
        l->namespace = strdup("default");
        l->pod = strdup("web");
        l->container = strdup("app");
        l->scratch = strdup("/scratch");
        l->seccomp = strdup("default");
        CHECK(l->pod_uid && l->run && l->namespace && l->pod && l->container && l->scratch &&
                        l->seccomp);
        return l;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char name[] = "/dev/shm/fuzz-channel-XXXXXX";
        CLEANUP(remove_directory) char *path = mkdtemp(name);
        CLEANUP(launch_freep) Launch *launch = a_launch();
        CLEANUP_CLOSE int reconciler = -EBADF;
        Shim s = { .ask = &requests, .launch = launch, .hosts_fd = -EBADF };
        int p[2];

        CHECK(path);
        s.run_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(s.run_dir >= 0 && sd_event_new(&s.event) >= 0);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p) == 0);
        reconciler = p[1];
        CHECK(shim_channel_new(&s, p[0], &s.channel) == 0);
        drive(&s, reconciler, data, size);

        s.channel = shim_channel_free(s.channel);
        s.event = sd_event_unref(s.event);
        s.run_dir = safe_close(s.run_dir);
        return 0;
}
