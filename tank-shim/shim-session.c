/* SPDX-License-Identifier: Apache-2.0 */

/* Exec sessions: further processes in a running container, each with stdio of its own and a control
 * socket to the client that asked for it (docs/protocol.md section 3).
 *
 * How a session's process comes to be a child of the shim although it lives in the container's pid
 * namespace: setns() into a pid namespace counts for children only, and the shim itself must never
 * enter one. So shim_spawn() forks a helper, the helper joins the namespaces through the pidfd of
 * the container's first process and clones with CLONE_PARENT, which makes the new process the
 * helper's sibling. The shim reaps it by pidfd and has its wait status at first hand; a double fork
 * with a status passed on would need a process of ours to live in the container for as long as the
 * session does. The child is in ctr/exec-N before it runs a single instruction of the container.
 *
 * The life of a session, and what each event does:
 *
 *     opened     cgroup, pipes, sockets made; child cloned; it sends on the setup socket
 *                  [PTY's master] once it has one, a SetupReport if it fails, and end of file
 *                  (close-on-exec) when execve() is done with it
 *     executed   `started` is sent, signals that came early are delivered
 *     exited     reaped: `exit` is sent, the control socket closed
 *     over       cgroup removed, freed; when processes were left in it, the cgroup stays behind
 *                  (`leftover`) and is removed at a later session or with the container
 *
 *     hung up    the client died (HUP on the control socket): SIGHUP, the container's grace, then
 *                  SIGKILL to everything in the session's cgroup; over when that is empty
 *
 * Invariants: `process` is set from the clone until it was reaped, so that neither its pid nor its
 * group's number can be anyone else's; each client gets at most one `exit`, and nothing behind it;
 * no byte of stdio passes the shim. */

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "error.h"
#include "fd.h"
#include "limit.h"
#include "log.h"
#include "record.h"
#include "shim.h"
#include "shim-namespace.h"
#include "shim-session.h"

#define SESSION_VERSION     1U
#define HANG_UP_ACCURACY    (10 * USEC_PER_MSEC)
#define LEAF_NAME_MAX       sizeof("exec-4294967295")

typedef struct Session Session;

struct Session {
        Session *next, *previous;
        ShimSessions *all;
        uint32_t number;
        char leaf[LEAF_NAME_MAX];
        bool tty;

        PidRef process;
        int setup, control, master; /* ours */
        int client_control, client_stdio[3]; /* the client's, until it has them */
        SessionReady ready;                  /* until it was called */
        void *userdata;

        SetupReport report; /* error 0: none */
        bool executed, failed, reaped, hung_up, leftover;
        int status;
        uint64_t early_signals; /* bit N - 1: signal N came before execve() */

        sd_event_source *setup_source, *control_source, *process_source, *grace_timer;
};

struct ShimSessions {
        Shim *shim;
        Session *first;
        unsigned count; /* without leftovers */
        uint32_t last_number;
        void (*done)(void *userdata);
        void *done_userdata;
        bool finishing;
        sd_event_source *done_source;
};

/* ---- what the client is told ---- */

static void tell(Session *s, RecordWriter *w)
{
        int r;

        r = record_finish(w);
        if (r >= 0 && s->control >= 0)
                r = packet_send(s->control, w->data, w->size, NULL, 0);
        /* A client that is gone, or reads nothing, does without. */
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": cannot tell the client", s->number);
}

static void tell_started(Session *s)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, SESSION_VERSION);
        record_put(&w, "type", "started");
        record_put_u64(&w, "pid", (uint64_t) s->process.pid);
        tell(s, &w);
}

static void tell_exit(Session *s)
{
        CLEANUP(record_done) RecordWriter w = {};

        record_start(&w, SESSION_VERSION);
        record_put(&w, "type", "exit");
        if (s->report.error != 0) {
                record_put(&w, "kind", result_kind_to_string(RESULT_SETUP_FAILED));
                record_put_u64(&w, "code", (uint64_t) s->report.error);
                record_put(&w, "stage", s->report.stage);
                record_put(&w, "message", s->report.message);
        } else if (WIFSIGNALED(s->status)) {
                record_put(&w, "kind", result_kind_to_string(RESULT_SIGNALED));
                record_put_u64(&w, "code", (uint64_t) WTERMSIG(s->status));
        } else {
                record_put(&w, "kind", result_kind_to_string(RESULT_EXITED));
                record_put_u64(&w, "code", (uint64_t) WEXITSTATUS(s->status));
        }
        tell(s, &w);
}

static void close_clients_ends(Session *s)
{
        s->client_control = safe_close(s->client_control);
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = safe_close(s->client_stdio[i]);
}

static void call_ready(Session *s, const sd_bus_error *error)
{
        SessionReady ready = TAKE_PTR(s->ready);
        SessionOpened opened = {
                .number = s->number,
                .control = s->client_control,
                .n_stdio = s->tty ? 1 : ARRAY_SIZE(s->client_stdio),
        };

        if (!ready)
                return;

        opened.stdio[0] = s->tty ? s->master : s->client_stdio[0];
        opened.stdio[1] = s->client_stdio[1];
        opened.stdio[2] = s->client_stdio[2];
        ready(error ? NULL : &opened, error, s->userdata);
        close_clients_ends(s);
}

/* ---- life ---- */

static void session_unlink(Session *s)
{
        if (s->previous)
                s->previous->next = s->next;
        else
                s->all->first = s->next;
        if (s->next)
                s->next->previous = s->previous;
}

static void session_close(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->process_source = sd_event_source_disable_unref(s->process_source);
        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        s->setup = safe_close(s->setup);
        s->control = safe_close(s->control);
        s->master = safe_close(s->master);
        close_clients_ends(s);
        pidref_done(&s->process);
}

static void session_free(Session *s)
{
        session_close(s);
        session_unlink(s);
        free(s);
}

static int on_done(sd_event_source *source, void *userdata)
{
        ShimSessions *all = userdata;

        all->done_source = sd_event_source_disable_unref(all->done_source);
        all->done(all->done_userdata); /* may free all: last */
        return 0;
}

static int check_done(ShimSessions *all)
{
        if (!all->finishing || all->count > 0 || all->done_source)
                return 0;
        return sd_event_add_defer(all->shim->event, &all->done_source, on_done, all);
}

/* Cgroups in which background processes stayed when their session was over. */
static void remove_leftovers(ShimSessions *all)
{
        for (Session *s = all->first, *next; s; s = next) {
                next = s->next;
                if (s->leftover && shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf) != -EBUSY)
                        session_free(s);
        }
}

/* The process is reaped and nothing is awaited: the end. */
static void session_over(Session *s)
{
        ShimSessions *all = s->all;
        int r;

        session_close(s);
        s->leftover = true;
        all->count--;
        if (shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf) != -EBUSY)
                session_free(s);

        r = check_done(all);
        if (r < 0)
                (void) log_error_errno(r, "cannot finish the sessions");
}

static void to_process(Session *s, int signo)
{
        int r;

        if (!pidref_is_set(&s->process))
                return;
        /* Its group's number is its own pid, which is ours until it is reaped. */
        if (s->tty && s->executed)
                r = kill(-s->process.pid, signo) < 0 ? -errno : 0;
        else
                r = pidref_kill(&s->process, signo);
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": cannot send signal %d", s->number, signo);
}

static void check_exit(Session *s)
{
        bool populated;

        /* Both, in any order: how the setup went, and how the process ended. */
        if (!s->reaped || (!s->executed && !s->failed))
                return;

        if (s->control >= 0) {
                tell_exit(s);
                s->control_source = sd_event_source_disable_unref(s->control_source);
                s->control = safe_close(s->control);
        }

        populated = shim_cgroup_is_empty(s->all->shim->cgroup, s->leaf) == 0;
        if (s->hung_up && populated && s->grace_timer && !s->all->finishing)
                return; /* until the grace is over */
        session_over(s);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Session *s = userdata;
        int r;

        s->grace_timer = sd_event_source_disable_unref(s->grace_timer);
        r = shim_cgroup_kill(s->all->shim->cgroup, s->leaf);
        if (r < 0)
                (void) log_warning_errno(r, "session %" PRIu32 ": cannot kill its processes",
                                s->number);
        check_exit(s); /* the process may be reaped already; else its end is still to come */
        return 0;
}

static void hang_up(Session *s)
{
        int r;

        if (s->hung_up)
                return;
        s->hung_up = true;

        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->control = safe_close(s->control);
        /* The last descriptor of the terminal's master: the kernel hangs up what reads it. */
        s->master = safe_close(s->master);

        if (s->executed && pidref_is_set(&s->process)) {
                /* The group also without a terminal: a pipeline is one thing. */
                (void) kill(-s->process.pid, SIGHUP);
                (void) kill(-s->process.pid, SIGCONT); /* a stopped one would never see it */
                r = sd_event_add_time_relative(s->all->shim->event, &s->grace_timer, CLOCK_BOOTTIME,
                                s->all->shim->launch->stop_grace_usec, HANG_UP_ACCURACY,
                                on_grace_over, s);
        } else
                r = -ECANCELED; /* nothing of the container runs yet: no grace */

        if (r < 0)
                (void) shim_cgroup_kill(s->all->shim->cgroup, s->leaf);
}

/* ---- events ---- */

static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        int r;

        r = pidref_wait(&s->process, WNOHANG, &s->status);
        if (r == 0)
                return 0;
        if (r < 0) {
                (void) log_error_errno(r, "session %" PRIu32 ": cannot reap its process", s->number);
                s->status = W_EXITCODE(255, 0);
        }

        s->process_source = sd_event_source_disable_unref(s->process_source);
        pidref_done(&s->process);
        s->reaped = true;
        check_exit(s);
        return 0;
}

static void setup_over(Session *s)
{
        s->setup_source = sd_event_source_disable_unref(s->setup_source);
        s->setup = safe_close(s->setup);

        if (s->report.error != 0 || s->ready) {
                CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

                /* A client that waits for its terminal learns here that there will be none. */
                s->failed = true;
                (void) tank_error_set_errno(&error, s->report.error != 0 ? -s->report.error : -EIO,
                                "the session's terminal cannot be made (%s)",
                                s->report.error != 0 ? s->report.stage : "killed");
                call_ready(s, &error);
        } else {
                s->executed = true;
                if (pidref_is_set(&s->process))
                        tell_started(s);
                for (int i = 1; i <= 64; i++)
                        if (s->early_signals & (UINT64_C(1) << (i - 1)))
                                to_process(s, i);
        }
        check_exit(s);
}

static int on_setup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        SetupReport report;
        size_t n_fds = 0;
        int master = -EBADF;
        ssize_t n;

        n = packet_recv(fd, &report, sizeof(report), &master, 1, &n_fds);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n > 0 && n_fds == 1) {
                s->master = master;
                call_ready(s, NULL);
                return 0;
        }
        if (n == sizeof(report)) {
                s->report = report;
                s->report.stage[sizeof(s->report.stage) - 1] = '\0';
                s->report.message[sizeof(s->report.message) - 1] = '\0';
                return 0;
        }
        if (n != 0)
                s->report = (SetupReport) { .error = EPROTO, .stage = "setup" };
        setup_over(s);
        return 0;
}

static int read_u16(const Record *r, const char *key, uint16_t *ret)
{
        uint64_t v;
        int q;

        q = record_get_u64(r, key, &v);
        if (q < 0)
                return q;
        if (v > UINT16_MAX)
                return -ERANGE;
        *ret = (uint16_t) v;
        return 0;
}

/* -EBADMSG for what is no request at all; what is unknown is ignored. */
static int handle_request(Session *s, const void *data, size_t size)
{
        const char *type;
        uint64_t signo;
        uint16_t rows, cols;
        Record r;
        int q;

        q = record_parse(data, size, SESSION_VERSION, &r);
        if (q < 0)
                return q;
        type = record_get(&r, "type");
        if (!type)
                return -EBADMSG;

        if (streq(type, "resize")) {
                if (read_u16(&r, "rows", &rows) < 0 || read_u16(&r, "cols", &cols) < 0)
                        return -EBADMSG;
                if (s->master >= 0)
                        (void) shim_pty_set_window_size(s->master, rows, cols);
        } else if (streq(type, "signal")) {
                if (record_get_u64(&r, "signal", &signo) < 0 || signo < 1 || signo > 64)
                        return -EBADMSG;
                if (s->executed || signo == SIGKILL)
                        to_process(s, (int) signo);
                else /* would hit our own code instead of the program */
                        s->early_signals |= UINT64_C(1) << (signo - 1);
        }
        return 0;
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Session *s = userdata;
        char buf[4096]; /* no request is longer */
        ssize_t n;
        int r = 0;

        n = packet_recv(fd, buf, sizeof(buf), NULL, 0, NULL);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n > 0)
                r = handle_request(s, buf, (size_t) n);
        if (r < 0)
                log_debug_errno(r, "session %" PRIu32 ": not a request", s->number);
        if (n <= 0 || r < 0)
                hang_up(s);
        return 0;
}

/* ---- the child ---- */

typedef struct ChildContext {
        const Shim *shim;
        const SessionRequest *request;
        ConfineProgram program;
        int setup;    /* its end */
        int stdio[3]; /* its ends, without a terminal */
} ChildContext;

static int child_terminal(const ChildContext *c, SetupReport *reterr)
{
        CLEANUP_CLOSE int master = -EBADF;
        int slave, r;

        r = shim_pty_open(c->request->rows, c->request->cols, &master, &slave);
        if (r < 0)
                return setup_report_set(reterr, r, "pty", "cannot open a terminal of /dev/pts");
        r = packet_send(c->setup, "", 1, &master, 1);
        if (r < 0) {
                safe_close(slave);
                return setup_report_set(reterr, r, "pty", "cannot hand over the terminal");
        }
        r = shim_pty_take_terminal(slave);
        if (r < 0)
                return setup_report_set(reterr, r, "pty", "cannot take the terminal");
        return 0;
}

static int child_prepare(const ChildContext *c, SetupReport *reterr)
{
        int r;

        /* Until execve() this is still our program: nobody in the container may look into it. */
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return setup_report_set(reterr, -errno, "session", "cannot hide from ptrace");
        r = namespaces_enter_cgroup(c->shim->main.fd);
        if (r < 0)
                return setup_report_set(reterr, r, "cgroup", "cannot join the cgroup namespace");
        /* What is made from here on, a terminal above all, belongs to the container's root: the
         * host's has no name in there. */
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                return setup_report_set(
                        reterr, -errno, "user", "cannot become the container's root");
        if (setsid() < 0)
                return setup_report_set(reterr, -errno, "session", "cannot lead a session");
        if (c->request->tty)
                return child_terminal(c, reterr);

        for (int i = 0; i < 3; i++)
                if (dup2(c->stdio[i], i) < 0)
                        return setup_report_set(reterr, -errno, "stdio", "cannot redirect");
        return 0;
}

static _Noreturn void session_child(void *userdata)
{
        ChildContext *c = userdata;
        SetupReport report = {};

        if (child_prepare(c, &report) < 0)
                setup_report_send_and_exit(c->setup, &report);
        confine_exec(&c->shim->policy, &c->program, c->setup);
}

static int session_enter(void *userdata)
{
        const ChildContext *c = userdata;

        return namespaces_enter(c->shim->main.fd, c->shim->launch->userns_host);
}

/* ---- opening ---- */

/* @given laid over @base, by key. The strings are borrowed. */
static int merge_environment(char *const *base, char *const *given, char ***ret)
{
        char **v;
        size_t n = 0;

        v = calloc(strv_length(base) + strv_length(given) + 1, sizeof(char *));
        if (!v)
                return -ENOMEM;

        for (int layer = 0; layer < 2; layer++)
                STRV_FOREACH (s, layer == 0 ? base : given) {
                        size_t key = strcspn(*s, "=") + 1, i = 0;

                        while (i < n && strncmp(v[i], *s, key) != 0)
                                i++;
                        v[i] = *s;
                        n = MAX(n, i + 1);
                }

        *ret = v;
        return 0;
}

static int make_pipes(Session *s, ChildContext *c)
{
        const Launch *launch = s->all->shim->launch;

        for (int i = 0; i < 3; i++) {
                int p[2], child = i == 0 ? 0 : 1;

                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                c->stdio[i] = p[child];
                s->client_stdio[i] = p[!child];
                /* A pipe of the host's root cannot be reopened inside (/dev/stdout): it becomes
                 * the container's root's, who may give it on to the session's user. */
                if (!launch->userns_host && fchown(p[child], launch->id_base, launch->id_base) < 0)
                        return -errno;
        }
        return 0;
}

static int make_sockets(Session *s, ChildContext *c)
{
        int p[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        s->control = p[0];
        s->client_control = p[1];
        r = fd_set_nonblock(s->control, true);
        if (r < 0)
                return r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        s->setup = p[0];
        c->setup = p[1];
        return fd_set_nonblock(s->setup, true);
}

static int spawn(Session *s, ChildContext *c)
{
        Shim *shim = s->all->shim;
        CLEANUP(cgroup_place_done) CgroupPlace place = CGROUP_PLACE_NULL;
        SpawnRequest spawn = {
                .enter = session_enter,
                .place = &place,
                .child = session_child,
                .userdata = c,
        };
        int r;

        r = shim_cgroup_place(shim->cgroup, s->leaf, &place);
        if (r < 0)
                return r;
        return shim_spawn(&spawn, &s->process);
}

static int watch(Session *s)
{
        sd_event *event = s->all->shim->event;
        int r;

        r = sd_event_add_io(event, &s->setup_source, s->setup, EPOLLIN, on_setup, s);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &s->control_source, s->control, EPOLLIN, on_control, s);
        if (r < 0)
                return r;
        return sd_event_add_io(event, &s->process_source, s->process.fd, EPOLLIN, on_process, s);
}

static int session_start(Session *s, const SessionRequest *request)
{
        const Shim *shim = s->all->shim;
        const Launch *launch = shim->launch;
        ChildContext c = {
                .shim = shim,
                .request = request,
                .setup = -EBADF,
                .stdio = { -EBADF, -EBADF, -EBADF },
        };
        CLEANUP_FREE char **env = NULL;
        int r;

        r = merge_environment(launch->env, request->env, &env);
        if (r < 0)
                return r;
        c.program = (ConfineProgram) {
                .argv = request->argv,
                .env = env,
                .cwd = request->working_dir ? request->working_dir : launch->cwd,
                .user = request->user ? request->user : launch->user,
                .groups = request->user || request->groups ? request->groups : launch->groups,
                .tty = request->tty,
        };

        r = make_sockets(s, &c);
        if (r >= 0 && !s->tty)
                r = make_pipes(s, &c);
        if (r >= 0)
                r = spawn(s, &c);
        safe_close(c.setup);
        for (int i = 0; i < 3; i++)
                safe_close(c.stdio[i]);
        if (r < 0)
                return r;

        return watch(s);
}

static Session *session_new(ShimSessions *all, bool tty)
{
        Session *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;

        s->all = all;
        s->tty = tty;
        s->number = ++all->last_number;
        (void) snprintf(s->leaf, sizeof(s->leaf), "exec-%" PRIu32, s->number);
        s->process = PIDREF_NULL;
        s->setup = s->control = s->master = s->client_control = -EBADF;
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = -EBADF;

        s->next = all->first;
        if (s->next)
                s->next->previous = s;
        all->first = s;
        return s;
}

int shim_session_open(ShimSessions *all, const SessionRequest *request, SessionReady ready,
                void *userdata, sd_bus_error *reterr)
{
        Session *s;
        int r;

        if (all->finishing || all->shim->state != RUN_RUNNING)
                return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                "the container is %s: a session needs a running one",
                                run_state_to_string(all->shim->state));
        if (all->count >= LIMIT_SESSIONS)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "%u sessions are open in this container; end one first",
                                all->count);

        remove_leftovers(all);
        s = session_new(all, request->tty);
        if (!s)
                return -ENOMEM;

        r = session_start(s, request);
        if (r < 0) {
                /* What was cloned dies by its place in the cgroup, and is reaped here. */
                if (pidref_is_set(&s->process)) {
                        (void) pidref_kill(&s->process, SIGKILL);
                        (void) pidref_wait(&s->process, 0, NULL);
                }
                (void) shim_cgroup_remove_leaf(all->shim->cgroup, s->leaf);
                session_free(s);
                if (r == -ESRCH)
                        return tank_error_set(reterr, TANK_ERROR_NOT_RUNNING,
                                        "the container has just ended");
                return tank_error_set_errno(reterr, r, "cannot start a session");
        }

        all->count++;
        s->ready = ready;
        s->userdata = userdata;
        if (!s->tty)
                call_ready(s, NULL);
        return 0;
}

void session_request_done(SessionRequest *r)
{
        strv_free(r->argv);
        strv_free(r->env);
        strv_free(r->groups);
        free(r->user);
        free(r->working_dir);
}

int shim_sessions_new(Shim *shim, ShimSessions **ret)
{
        ShimSessions *all = calloc(1, sizeof(*all));

        if (!all)
                return -ENOMEM;
        all->shim = shim;
        *ret = all;
        return 0;
}

ShimSessions *shim_sessions_free(ShimSessions *all)
{
        if (!all)
                return NULL;

        while (all->first)
                session_free(all->first);
        sd_event_source_disable_unref(all->done_source);
        free(all);
        return NULL;
}

unsigned shim_sessions_count(const ShimSessions *all)
{
        return all->count;
}

int shim_sessions_finish(ShimSessions *all, void (*done)(void *userdata), void *userdata)
{
        all->finishing = true;
        all->done = done;
        all->done_userdata = userdata;

        for (Session *s = all->first, *next; s; s = next) {
                next = s->next;
                if (!s->leftover)
                        check_exit(s); /* those that only wait for a grace */
        }
        return check_done(all);
}
