/* SPDX-License-Identifier: Apache-2.0 */

/* The start of a container: namespaces, the hand-over of what only the host can make, and the
 * handshake with the container's first process. Everything that can block stands before the child
 * is cloned or is the child's.
 *
 *      shim                                        child (shim-child.c)
 *      ----                                        -----
 *      clone: user namespace first, the pod's
 *      others inside it, mount and PID
 *      uid_map, gid_map
 *      the pod's /dev/shm; detached,
 *      idmapped trees
 *      sync 1: trees ---------------------------->
 *      pins of the pod's namespaces                root of the user namespace, cgroup namespace,
 *                                                  root file system, pivot_root, terminal, user
 *                                     <----------- /etc/hosts [for writing]
 *                                     <----------- live volumes [for writing]
 *                                     <----------- sync 2: ready [PTY's master]
 *      sync 3: go -------------------------------> ids, capabilities
 *                                                  fork of the workload
 *                                     <----------- sync 4: workload [its pidfd]
 *                                                  filter, execve (both)
 *                                     <----------- end of file: running
 *
 * A SetupReport at any point means failure. The shim's end of file means abort: a shim that dies
 * half-way leaves no container. With sandbox=join the clone is made by a helper that entered the
 * pinned namespaces (shim-namespace.c). */

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus-util.h"
#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "shim-child.h"
#include "shim-mount.h"
#include "shim-namespace.h"
#include "shim-pins.h"
#include "shim-sandbox.h"
#include "shim-seccomp.h"
#include "shim.h"

struct Sandbox {
        Shim *shim;
        SandboxDone done;
        int sync;
        sd_event_source *source;
        bool failed;
        SetupReport report;
};

Sandbox *sandbox_free(Sandbox *s)
{
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->source);
        (void) safe_close(s->sync);
        free(s);
        return NULL;
}

/* ---- before the clone ---- */

typedef struct Ends { /* what the child gets and the shim closes afterwards */
        int sync, status, out, err;
} Ends;

static void ends_done(Ends *e)
{
        e->sync = safe_close(e->sync);
        e->status = safe_close(e->status);
        e->out = safe_close(e->out);
        e->err = safe_close(e->err);
}

/* A pipe of the host's root could not be opened anew in the container (/dev/stdout): it becomes the
 * container's root's, who gives it on to the user. */
static int make_log_pipe(Shim *shim, LogStream stream, int *ret_write)
{
        CLEANUP_CLOSE int write_end = -EBADF;
        const Launch *l = shim->launch;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        write_end = fds[1];
        if (!l->userns_host && fchown(write_end, l->id_base, l->id_base) < 0) {
                (void) safe_close(fds[0]);
                return -errno;
        }
        r = shim_log_add_pipe(shim->log, stream, fds[0]);
        if (r < 0) {
                (void) safe_close(fds[0]);
                return r;
        }
        *ret_write = TAKE_FD(write_end);
        return 0;
}

static int make_ends(Sandbox *s, Ends *ret)
{
        CLEANUP(ends_done) Ends e = { -EBADF, -EBADF, -EBADF, -EBADF };
        Shim *shim = s->shim;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        s->sync = fds[0];
        e.sync = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        shim->status_fd = fds[0];
        e.status = fds[1];
        r = fd_set_nonblock(shim->status_fd, true);
        if (r >= 0)
                r = fd_set_nonblock(s->sync, true);
        if (r >= 0 && !shim->launch->tty) {
                r = make_log_pipe(shim, LOG_STREAM_OUT, &e.out);
                if (r >= 0)
                        r = make_log_pipe(shim, LOG_STREAM_ERR, &e.err);
        }
        if (r < 0)
                return r;
        *ret = e;
        e = (Ends){ -EBADF, -EBADF, -EBADF, -EBADF };
        return 0;
}

/* ---- the clone ---- */

static int enter_pins(void *userdata)
{
        const MainChild *c = userdata;

        return pins_enter(c->pod_dir, c->launch);
}

static uint64_t clone_flags(const Launch *l)
{
        uint64_t flags = CLONE_NEWNS | CLONE_NEWPID;

        if (!l->sandbox_create)
                return flags;
        flags |= CLONE_NEWIPC | CLONE_NEWUTS;
        if (!l->network_host)
                flags |= CLONE_NEWNET;
        if (!l->userns_host)
                flags |= CLONE_NEWUSER; /* the kernel makes it first; it owns the others */
        return flags;
}

static int spawn(Sandbox *s, const Ends *e, const EtcFiles *etc, int init_filter, int pod_dir,
                SetupReport *reterr)
{
        CLEANUP(cgroup_place_done) CgroupPlace place = CGROUP_PLACE_NULL;
        Shim *shim = s->shim;
        MainChild child = {
                .launch = shim->launch,
                .policy = &shim->policy,
                .etc = etc,
                .init_filter = init_filter,
                .sync = e->sync,
                .parent_sync = s->sync,
                .status = e->status,
                .out = e->out,
                .err = e->err,
                .pod_dir = pod_dir,
        };
        const SpawnRequest request = {
                .enter = shim->launch->sandbox_create ? NULL : enter_pins,
                .clone_flags = clone_flags(shim->launch),
                .place = &place,
                .child = main_child,
                .userdata = &child,
                .report_fd = e->sync,
        };
        int r;

        r = shim_cgroup_place(shim->cgroup, "main", &place);
        if (r < 0)
                return setup_report_set(reterr, r, "cgroup", "place of the main process");
        r = shim_spawn(&request, &shim->main);
        if (r < 0)
                return setup_report_set(reterr, r, "namespaces", "%s",
                                shim->launch->sandbox_create ? "cloning" : "joining the pod's");
        return 0;
}

static int write_map(int proc_dir, const char *file, const Launch *l)
{
        char map[64];

        (void) snprintf(map, sizeof(map), "0 %u %u\n", (unsigned) l->id_base, l->id_count);
        return write_kernel_file_at(proc_dir, file, map);
}

/* *@ret_userns: of the pod; -EBADF with the host's. */
static int prepare_userns(Shim *shim, int pod_dir, int *ret_userns, SetupReport *reterr)
{
        const Launch *l = shim->launch;
        CLEANUP_CLOSE int proc_dir = -EBADF;
        char path[32];
        int r;

        if (l->userns_host)
                return 0;
        if (!l->sandbox_create) {
                r = pins_open_user(pod_dir, ret_userns);
                return r < 0 ? setup_report_set(reterr, r, "namespaces", "the pod's pins") : 0;
        }
        (void) snprintf(path, sizeof(path), "/proc/%d", (int) shim->main.pid);
        proc_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (proc_dir < 0)
                return setup_report_set(reterr, -errno, "namespaces", "%s", path);
        r = write_map(proc_dir, "uid_map", l);
        if (r >= 0)
                r = write_map(proc_dir, "gid_map", l);
        if (r < 0)
                return setup_report_set(reterr, r, "namespaces", "ids %u to %u",
                                (unsigned) l->id_base, (unsigned) l->id_base + l->id_count - 1);
        *ret_userns = openat(proc_dir, "ns/user", O_RDONLY | O_CLOEXEC);
        return *ret_userns < 0 ? setup_report_set(reterr, -errno, "namespaces", "ns/user") : 0;
}

static int send_trees(Sandbox *s, int pod_dir, int userns, SetupReport *reterr)
{
        CLEANUP(trees_done) Trees trees;
        int *slots[TREES_FDS_MAX], fds[TREES_FDS_MAX], r;
        const char byte = SYNC_TREES;
        size_t n;

        trees_init(&trees);
        r = trees_make(s->shim->launch, pod_dir, userns, &trees, reterr);
        if (r < 0)
                return r;
        n = trees_list(&trees, s->shim->launch, slots);
        for (size_t i = 0; i < n; i++)
                fds[i] = *slots[i];
        r = packet_send(s->sync, &byte, 1, fds, n); /* sync 1 */
        return r < 0 ? setup_report_set(reterr, r, "rootfs", "hand-over of the mounts") : 0;
}

/* ---- the handshake ---- */

static void finish(Sandbox *s)
{
        s->source = sd_event_source_disable_unref(s->source);
        s->done(s->shim, s->failed ? &s->report : NULL); /* frees s */
}

static int on_ready(Sandbox *s, int master)
{
        const char go = SYNC_GO;
        int r;

        if (s->shim->launch->tty) {
                if (master < 0)
                        return -EPROTO;
                r = shim_pty_new(s->shim->event, master, s->shim->log, &s->shim->pty);
                if (r < 0)
                        return r;
        } else {
                (void) safe_close(master);
        }
        FAILPOINT("shim.ready");
        return packet_send(s->sync, &go, 1, NULL, 0); /* sync 3 */
}

/* They come in the order of the launch's mounts. */
static int take_live(Shim *shim, int fd)
{
        for (size_t i = 0; i < shim->launch->n_mounts; i++)
                if (shim->launch->mounts[i].live && shim->live_fds[i] < 0) {
                        shim->live_fds[i] = fd;
                        return 0;
                }
        (void) safe_close(fd);
        return -EPROTO;
}

static int on_message(Sandbox *s, const void *data, size_t size, int fd)
{
        const SetupReport *report = data;

        if (size == sizeof(SetupReport) && report->error > 0) {
                (void) safe_close(fd);
                if (!s->failed) { /* the first one is the cause */
                        s->report = *report;
                        s->report.stage[sizeof(s->report.stage) - 1] = 0;
                        s->report.message[sizeof(s->report.message) - 1] = 0;
                        s->failed = true;
                }
                return 0;
        }
        if (size == 1 && *(const char *) data == SYNC_HOSTS && fd >= 0) {
                (void) safe_close(s->shim->hosts_fd);
                s->shim->hosts_fd = fd;
                return 0;
        }
        if (size == 1 && *(const char *) data == SYNC_LIVE && fd >= 0)
                return take_live(s->shim, fd);
        if (size == 1 && *(const char *) data == SYNC_READY) /* sync 2 */
                return on_ready(s, fd);
        if (size == 1 && *(const char *) data == SYNC_WORKLOAD && fd >= 0) { /* sync 4 */
                (void) safe_close(s->shim->workload_fd);
                s->shim->workload_fd = fd;
                FAILPOINT("shim.workload");
                return 0;
        }
        (void) safe_close(fd);
        return -EPROTO;
}

static int on_sync(sd_event_source *source, int sync, uint32_t revents, void *userdata)
{
        Sandbox *s = userdata;
        _Alignas(SetupReport) char buf[sizeof(SetupReport)];

        for (;;) {
                int fd = -EBADF, r;
                size_t n = 0;
                ssize_t size;

                size = packet_recv(sync, buf, sizeof(buf), &fd, 1, &n);
                if (size == -EAGAIN)
                        return 0;
                /* Told once, and before what the child said, when it ended without having read
                 * everything. */
                if (size == -ECONNRESET)
                        continue;
                if (size == 0) {
                        finish(s);
                        return 0;
                }
                r = size < 0 ? (int) size : on_message(s, buf, (size_t) size, n > 0 ? fd : -EBADF);
                if (r < 0) {
                        s->failed = true;
                        (void) setup_report_set(&s->report, r, "namespaces", "hand-over");
                        (void) pidref_kill(&s->shim->main, SIGKILL);
                        finish(s);
                        return 0;
                }
        }
}

void sandbox_hurry(Sandbox *s)
{
        (void) on_sync(NULL, s->sync, EPOLLIN, s);
}

/* ---- all of it ---- */

static int start(Sandbox *s, SetupReport *reterr)
{
        CLEANUP(ends_done) Ends ends = { -EBADF, -EBADF, -EBADF, -EBADF };
        CLEANUP_CLOSE int pod_dir = -EBADF, userns = -EBADF, init_filter = -EBADF;
        CLEANUP(etc_files_done) EtcFiles etc = { 0 };
        Shim *shim = s->shim;
        int r;

        pod_dir = openat(shim->run_dir, "../..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (pod_dir < 0)
                return setup_report_set(reterr, -errno, "namespaces", "the pod's run directory");
        r = seccomp_open(shim->launch, &shim->policy.seccomp_fd, &init_filter, reterr);
        if (r >= 0)
                r = etc_files_make(shim->launch, &etc, reterr);
        if (r >= 0)
                r = scratch_make(shim->launch, reterr);
        if (r < 0)
                return r;
        FAILPOINT("shim.scratch");
        r = make_ends(s, &ends);
        if (r < 0)
                return setup_report_set(reterr, r, "stdio", "pipes");
        r = spawn(s, &ends, &etc, init_filter, pod_dir, reterr);
        ends_done(&ends); /* else the container's ends would never be seen */
        if (r < 0)
                return r;
        FAILPOINT("shim.cloned");
        r = prepare_userns(shim, pod_dir, &userns, reterr);
        if (r >= 0 && shim->launch->sandbox_create)
                r = pins_make_shm(pod_dir, shim->launch, reterr);
        if (r >= 0)
                r = send_trees(s, pod_dir, userns, reterr);
        launch_forget_values(shim->launch);
        FAILPOINT("shim.trees");
        if (r >= 0 && shim->launch->sandbox_create)
                r = pins_make(pod_dir, shim->main.pid, shim->launch, reterr);
        if (r < 0)
                return r;
        FAILPOINT("shim.pins");
        r = sd_event_add_io(shim->event, &s->source, s->sync, EPOLLIN, on_sync, s);
        return r < 0 ? setup_report_set(reterr, r, "namespaces", "event loop") : 0;
}

/* The first failure is the cause: a step of ours that found the child gone is explained by what the
 * child said before it went. */
static void prefer_report_of_child(Sandbox *s, SetupReport *report)
{
        _Alignas(SetupReport) char buf[sizeof(SetupReport)];

        for (;;) {
                ssize_t size;
                size_t n = 0;
                int fd = -EBADF;

                size = packet_recv(s->sync, buf, sizeof(buf), &fd, 1, &n);
                if (size == -ECONNRESET)
                        continue;
                if (size <= 0)
                        return;
                if (n > 0)
                        (void) safe_close(fd);
                if (size == sizeof(SetupReport)) {
                        memcpy(report, buf, sizeof(*report));
                        return;
                }
        }
}

int sandbox_start(Shim *shim, SandboxDone done, Sandbox **ret, SetupReport *reterr)
{
        Sandbox *s = calloc(1, sizeof(Sandbox));
        int r;

        if (!s)
                return setup_report_set(reterr, -ENOMEM, "namespaces", "%s", "");
        s->shim = shim;
        s->done = done;
        s->sync = -EBADF;
        r = start(s, reterr);
        if (r < 0) {
                int status;

                if (pidref_is_set(&shim->main)) {
                        (void) pidref_kill(&shim->main, SIGKILL);
                        (void) pidref_wait(&shim->main, 0, &status);
                        prefer_report_of_child(s, reterr);
                        pidref_done(&shim->main);
                }
                sandbox_free(s);
                return r;
        }
        *ret = s;
        return 0;
}
