/* SPDX-License-Identifier: Apache-2.0 */

/* Making the process of an exec session.
 *
 * How a session's process comes to be a child of the shim although it lives in the container's pid
 * namespace: setns() into a pid namespace counts for children only, and the shim itself must never
 * enter one. So shim_spawn() forks a helper, the helper joins the namespaces through the pidfd of
 * the container's first process and clones with CLONE_PARENT, which makes the new process the
 * helper's sibling. The shim reaps it by pidfd and has its wait status at first hand; a double fork
 * with a status passed on would need a process of ours to live in the container for as long as the
 * session does. The child is in ctr/exec-N before it runs a single instruction of the container.
 *
 * What the child sends on the setup socket (SEQPACKET, close-on-exec), in this order:
 *
 *     one byte with a descriptor   the PTY's master, when a terminal was asked for
 *     a SetupReport                it failed, and why
 *     end of file                  after a report, or: execve() happened */

#include <sys/socket.h>
#include <unistd.h>

#include "conceal.h"
#include "fd.h"
#include "shim-control.h"
#include "shim-namespace.h"
#include "shim-session-start.h"
#include "shim.h"
#include "strv.h"

/* ---- the child ---- */

typedef struct ChildContext {
        const Shim *shim;
        const SessionRequest *request;
        ConfineProgram program;
        char **env;   /* the vector is owned, its strings are not */
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
        r = process_conceal();
        if (r < 0)
                return setup_report_set(reterr, r, "session", "cannot hide from ptrace");
        r = namespaces_enter_cgroup(c->shim->main.fd);
        if (r < 0)
                return setup_report_set(reterr, r, "cgroup", "cannot join the cgroup namespace");
        /* What is made from here on, a terminal above all, belongs to the container's root: the
         * host's has no name in there. */
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                return setup_report_set(
                                reterr, -errno, "user", "cannot become the container's root");
        (void) process_conceal(); /* once more, with other ids */
        if (setsid() < 0)
                return setup_report_set(reterr, -errno, "session", "cannot lead a session");
        if (c->request->tty)
                return child_terminal(c, reterr);

        for (int i = 0; i < 3; i++)
                if (dup2(c->stdio[i], i) < 0)
                        return setup_report_set(reterr, -errno, "stdio", "cannot redirect");
        return 0;
}

static void __attribute__((__noreturn__)) session_child(void *userdata)
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
        const char *oom = c->shim->oom_score_adj;
        int r;

        /* While /proc is the host's. What the session does is not protected like the shim. */
        r = *oom ? write_kernel_file_at(AT_FDCWD, "/proc/self/oom_score_adj", oom) : 0;
        if (r < 0)
                return r;
        return namespaces_enter(c->shim->main.fd, c->shim->launch);
}

/* ---- the shim's side ---- */

/* @given laid over @base, by key. The strings are borrowed. */
static int merge_environment(char *const *base, char *const *given, char ***ret)
{
        char **v;
        size_t n = 0;

        v = calloc(strv_length(base) + strv_length(given) + 1, sizeof(char *));
        if (!v)
                return -ENOMEM;

        for (int layer = 0; layer < 2; layer++)
                STRV_FOREACH(s, layer == 0 ? base : given)
                {
                        size_t key = strcspn(*s, "=") + 1, i = 0;

                        while (i < n && strncmp(v[i], *s, key) != 0)
                                i++;
                        v[i] = *s;
                        n = MAX(n, i + 1);
                }

        *ret = v;
        return 0;
}

void session_start_done(SessionStart *s)
{
        pidref_done(&s->process);
        s->setup = safe_close(s->setup);
        s->control = safe_close(s->control);
        s->client_control = safe_close(s->client_control);
        for (size_t i = 0; i < ARRAY_SIZE(s->client_stdio); i++)
                s->client_stdio[i] = safe_close(s->client_stdio[i]);
}

static void child_context_done(ChildContext *c)
{
        safe_close(c->setup);
        for (size_t i = 0; i < ARRAY_SIZE(c->stdio); i++)
                safe_close(c->stdio[i]);
        free(c->env);
}

static int make_pipes(const Launch *launch, ChildContext *c, SessionStart *s)
{
        for (int i = 0; i < 3; i++) {
                int p[2], child = i == 0 ? 0 : 1;

                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                c->stdio[i] = p[child];
                s->client_stdio[i] = p[!child];
                /* A pipe of the host's root cannot be opened anew inside (/dev/stdout): it becomes
                 * the container's root's, who gives it on to the session's user. */
                if (!launch->userns_host && fchown(p[child], launch->id_base, launch->id_base) < 0)
                        return -errno;
        }
        return 0;
}

static int make_sockets(ChildContext *c, SessionStart *s)
{
        int p[2], r;

        r = shim_control_new(&s->control, &s->client_control);
        if (r < 0)
                return r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        s->setup = p[0];
        c->setup = p[1];
        return fd_set_nonblock(s->setup, true);
}

static int spawn(ShimCgroup *cgroup, const char *leaf, ChildContext *c, PidRef *ret)
{
        CLEANUP(cgroup_place_done) CgroupPlace place = CGROUP_PLACE_NULL;
        SpawnRequest request = {
                .enter = session_enter,
                .place = &place,
                .child = session_child,
                .userdata = c,
                .report_fd = c->setup,
        };
        int r;

        r = shim_cgroup_place(cgroup, leaf, &place);
        if (r < 0)
                return r;
        r = shim_spawn(&request, ret);
        if (r < 0)
                (void) shim_cgroup_remove_leaf(cgroup, leaf); /* empty, or removed with ctr */
        return r;
}

int session_spawn(const Shim *shim, const char *leaf, const SessionRequest *request,
                SessionStart *ret)
{
        const Launch *launch = shim->launch;
        CLEANUP(session_start_done) SessionStart s = SESSION_START_NULL;
        CLEANUP(child_context_done)
        ChildContext c = {
                .shim = shim,
                .request = request,
                .setup = -EBADF,
                .stdio = { -EBADF, -EBADF, -EBADF },
        };
        int r;

        r = merge_environment(launch->env, request->env, &c.env);
        if (r < 0)
                return r;
        c.program = (ConfineProgram){
                .argv = request->argv,
                .env = c.env,
                .cwd = request->working_dir ? request->working_dir : launch->cwd,
                .user = request->user ? request->user : launch->user,
                .groups = request->user || request->groups ? request->groups : launch->groups,
                .tty = request->tty,
        };

        r = make_sockets(&c, &s);
        if (r >= 0 && !request->tty)
                r = make_pipes(launch, &c, &s);
        if (r >= 0)
                r = spawn(shim->cgroup, leaf, &c, &s.process);
        if (r < 0)
                return r;

        *ret = s;
        s = SESSION_START_NULL;
        return 0;
}
