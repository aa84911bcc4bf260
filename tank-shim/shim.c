/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a run. The steps are those of docs/protocol.md section 2.2; here are 3, 5 and 6,
 * main.c has the first half of 3.
 *
 * Each state has an answer to each event, in one table at the end of this file. The end has an
 * order of its own: the container's first process is reaped → its cgroup is killed → the record
 * says how it ended → the cgroup is empty → what it wrote is in the log → the reconciler is told →
 * sessions, and pipes that something outside still holds, are drained → cgroup and writable layer
 * are removed. */

#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-util.h"
#include "failpoint.h"
#include "fd.h"
#include "log.h"
#include "shim-record.h"
#include "shim.h"

typedef enum ShimEvent {
        SHIM_START,        /* step 5: the reconciler's word */
        SHIM_CHANNEL_LOST, /* the reconciler that spawned us is gone */
        SHIM_EXECUTED,     /* the workload's execve() happened */
        SHIM_FAILED,       /* the start failed; s->failure tells */
        SHIM_STOP,         /* asked to stop; s->stop_* tell how */
        SHIM_GRACE_OVER,
        SHIM_MAIN_EXITED, /* reaped; s->result is filled in */
        SHIM_EMPTY,       /* no process is left in the cgroup */
        SHIM_FINISHED,    /* sessions and log are done */
        _SHIM_EVENT_MAX,
} ShimEvent;

static void shim_handle(Shim *s, ShimEvent event);

#define LOG_NAME(s) (s)->launch->namespace, (s)->launch->pod, (s)->launch->container

/* The one writer of the state: record first, so that whoever hears of it finds it there. */
static void shim_set_state(Shim *s, RunState state)
{
        int r;

        log_debug("%s/%s/%s: %s → %s", LOG_NAME(s), run_state_to_string(s->state),
                        run_state_to_string(state));
        *(RunState *) &s->state = state;
        r = shim_record_write(s);
        if (r < 0)
                log_error_errno(r, "%s/%s/%s: cannot write the run's record, ignoring",
                                LOG_NAME(s));
        shim_bus_changed(s->bus);
}

/* ---- the start ---- */

static void on_sandbox_done(Shim *s, const SetupReport *failure)
{
        if (failure)
                s->failure = *failure; /* it is the sandbox's */
        s->sandbox = sandbox_free(s->sandbox);
        shim_handle(s, s->failure.error > 0 ? SHIM_FAILED : SHIM_EXECUTED);
}

/* tank-init wrote it when the workload was reaped; without tank-init, or when that was killed
 * itself, the first process's own status is all there is. */
static void fill_result(Shim *s, int status)
{
        uint64_t kills = 0;
        int inner;

        s->result.at_usec = s->ended_usec = now_realtime_usec();
        s->ended_boot_usec = now_boottime_usec();
        if (s->failure.error > 0) {
                s->result.kind = RESULT_SETUP_FAILED;
                s->result.code = s->failure.error;
                (void) snprintf(s->result.stage, sizeof(s->result.stage), "%s", s->failure.stage);
                (void) snprintf(s->result_message, sizeof(s->result_message), "%s",
                                s->failure.message);
                return;
        }
        if (read(s->status_fd, &inner, sizeof(inner)) == sizeof(inner))
                status = inner;
        if (WIFEXITED(status)) {
                s->result.kind = RESULT_EXITED;
                s->result.code = WEXITSTATUS(status);
                return;
        }
        s->result.kind = RESULT_SIGNALED;
        s->result.code = WTERMSIG(status);
        if (s->result.code == SIGKILL && s->cgroup &&
                        shim_cgroup_oom_kills(s->cgroup, &kills) >= 0 && kills > 0)
                s->result.kind = RESULT_OOM_KILLED;
}

static int on_main_exited(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Shim *s = userdata;
        int status = 0, r;

        r = pidref_wait(&s->main, WNOHANG, &status);
        if (r == 0)
                return 0;
        if (r < 0)
                log_error_errno(r, "%s/%s/%s: cannot wait for the container's first process",
                                LOG_NAME(s));
        s->main_source = sd_event_source_disable_unref(s->main_source);
        /* A start whose child died without a word: what it had to say is in the socket already. */
        if (s->sandbox)
                sandbox_hurry(s->sandbox);
        fill_result(s, status);
        pidref_done(&s->main);
        s->workload_fd = safe_close(s->workload_fd);
        shim_handle(s, SHIM_MAIN_EXITED);
        return 0;
}

static int begin(Shim *s)
{
        char message[CGROUP_ERROR_MAX] = "";
        const Launch *l = s->launch;
        int r;

        r = capabilities_from_launch(l->cap_add, l->cap_drop, &s->policy.capabilities);
        if (r < 0)
                return setup_report_tell(&s->failure, r, "capabilities", "an unknown capability");
        s->policy.no_new_privileges = l->no_new_privileges;
        r = shim_log_new(s->event, l->log_dir, l->log_name, l->log_max_size, l->log_max_files,
                        &s->log);
        if (r < 0)
                return setup_report_set(
                                &s->failure, r, "log", "%.120s/%.60s", l->log_dir, l->log_name);
        r = shim_cgroup_new(l, &s->cgroup, message);
        if (r < 0)
                return setup_report_set(&s->failure, r, "cgroup", "%.200s", message);
        /* Where to clean up must be known before there is something to clean up. A path was in the
         * record from the start; a scope's is known only now. */
        r = l->cgroup_scope ? shim_record_write(s) : 0;
        if (r < 0)
                return setup_report_set(&s->failure, r, "record", "the run's record");
        FAILPOINT("shim.cgroup");
        r = sandbox_start(s, on_sandbox_done, &s->sandbox, &s->failure);
        if (r < 0)
                return r;
        r = sd_event_add_io(s->event, &s->main_source, s->main.fd, EPOLLIN, on_main_exited, s);
        if (r < 0)
                return setup_report_set(&s->failure, r, "namespaces", "event loop");
        return 0;
}

static void do_start(Shim *s)
{
        int r;

        if (s->started)
                return;
        s->started = true; /* step 5 */
        r = shim_record_write(s);
        if (r < 0) {
                /* Without this word on disk nobody could know later that it ran. */
                (void) setup_report_set(&s->failure, r, "record",
                                "the run's record in tank's run directory");
                shim_handle(s, SHIM_FAILED);
                return;
        }
        FAILPOINT("shim.started");
        if (begin(s) < 0)
                shim_handle(s, SHIM_FAILED);
}

/* ---- running ---- */

/* What the shim keeps: signalling, cleaning up after any uid, giving pipes to the container's root,
 * memory that is locked; into a user namespace that root made nothing more is needed. With the
 * host's user namespace its sessions get the container's capabilities from the shim, and entering
 * needs the host's. */
static void drop_privileges(Shim *s)
{
#define BIT(c) (UINT64_C(1) << (c))
        uint64_t keep = BIT(CAP_KILL) | BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) |
                        BIT(CAP_IPC_LOCK);
        int r;

        if (s->launch->userns_host)
                keep |= s->policy.capabilities | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_CHROOT) |
                        BIT(CAP_SYS_PTRACE) | BIT(CAP_SETPCAP) | BIT(CAP_SETUID) | BIT(CAP_SETGID);
#undef BIT
        r = capabilities_bound(keep);
        if (r >= 0)
                r = capabilities_keep(keep);
        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: cannot give up privileges, ignoring", LOG_NAME(s));
}

/* Sessions are the shim's children: they get back what the workload has. */
static int protect_from_oom(Shim *s)
{
        CLEANUP_FREE char *own = NULL;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/self/oom_score_adj", sizeof(s->oom_score_adj) - 1, &own,
                        NULL);
        if (r >= 0)
                r = write_kernel_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "-900");
        if (r >= 0)
                (void) snprintf(s->oom_score_adj, sizeof(s->oom_score_adj), "%s", own);
        return r;
}

/* Off the way of the start: nothing of this is needed to run, all of it to run for long. */
static int on_settle(sd_event_source *source, void *userdata)
{
        Shim *s = userdata;
        int r;

        s->settle_source = sd_event_source_disable_unref(s->settle_source);
        if (s->state == RUN_EXITED)
                return 0;
        r = protect_from_oom(s);
        if (r < 0)
                log_debug_errno(r, "%s/%s/%s: cannot lower oom_score_adj, ignoring", LOG_NAME(s));
        drop_privileges(s);
        r = s->launch->bus_name ? shim_bus_new(s, &s->bus) : 0;
        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: not on the bus, ignoring", LOG_NAME(s));
        FAILPOINT("shim.settled");
        return 0;
}

static void do_running(Shim *s)
{
        int r;

        s->started_usec = now_realtime_usec();
        s->started_boot_usec = now_boottime_usec();
        shim_set_state(s, RUN_RUNNING);
        shim_channel_send_status(s->channel); /* step 6 */
        FAILPOINT("shim.running");
        r = sd_event_add_defer(s->event, &s->settle_source, on_settle, s);
        if (r >= 0)
                r = sd_event_source_set_priority(s->settle_source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: cannot settle, ignoring", LOG_NAME(s));
}

/* ---- stopping ---- */

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        shim_handle(userdata, SHIM_GRACE_OVER);
        return 0;
}

static void kill_all(Shim *s)
{
        int r = s->cgroup ? shim_cgroup_kill(s->cgroup, NULL) : 0;

        if (r < 0)
                log_error_errno(r, "%s/%s/%s: cannot kill the cgroup", LOG_NAME(s));
        /* Whatever holds against cgroupfs does not hold against the pidfd of PID 1. */
        if (r < 0)
                (void) pidref_kill(&s->main, SIGKILL);
}

static void do_kill_all(Shim *s)
{
        kill_all(s);
}

static void arm_grace(Shim *s)
{
        uint64_t now = now_boottime_usec(), deadline;
        int r;

        deadline = s->stop_grace_usec > USEC_INFINITY - now ? USEC_INFINITY
                                                            : now + s->stop_grace_usec;
        /* A second stop may come sooner, never later. */
        if (s->grace_source && deadline >= s->stop_deadline)
                return;
        s->stop_deadline = deadline;
        s->grace_source = sd_event_source_disable_unref(s->grace_source);
        if (s->stop_grace_usec == 0) {
                kill_all(s);
                return;
        }
        r = sd_event_add_time(s->event, &s->grace_source, CLOCK_BOOTTIME, deadline,
                        10 * USEC_PER_MSEC, on_grace_over, s);
        if (r < 0) { /* better too early than never */
                log_error_errno(r, "%s/%s/%s: no timer for the grace", LOG_NAME(s));
                kill_all(s);
        }
}

static int request_kill(Shim *s, int signo)
{
        PidRef workload = { .pid = s->main.pid, .fd = s->workload_fd };

        if ((s->state != RUN_RUNNING && s->state != RUN_STOPPING) || !pidref_is_set(&s->main))
                return -ESRCH;
        return pidref_kill(s->workload_fd >= 0 ? &workload : &s->main, signo);
}

static void do_stop(Shim *s)
{
        int r;

        shim_set_state(s, RUN_STOPPING);
        shim_channel_send_status(s->channel);
        FAILPOINT("shim.stopping");
        if (s->stop_grace_usec > 0) {
                r = request_kill(s, s->stop_signal);
                if (r < 0 && r != -ESRCH)
                        log_warning_errno(r, "%s/%s/%s: cannot send the stop signal", LOG_NAME(s));
        }
        FAILPOINT("shim.signalled");
        arm_grace(s);
}

static void do_stop_again(Shim *s)
{
        arm_grace(s);
}

/* Before it ran: there is nobody to be graceful to. */
static void do_stop_early(Shim *s)
{
        if (!s->started) {
                (void) sd_event_exit(s->event, 0);
                return;
        }
        kill_all(s);
        (void) pidref_kill(&s->main, SIGKILL);
}

static void do_abort(Shim *s)
{
        if (!s->started)
                (void) sd_event_exit(s->event, 0);
}

/* ---- the end ---- */

static void check_empty(Shim *s)
{
        int r = s->cgroup ? shim_cgroup_is_empty(s->cgroup, NULL) : 1;

        if (r < 0)
                log_error_errno(r, "%s/%s/%s: cannot read cgroup.events", LOG_NAME(s));
        if (r == 0)
                return;
        s->empty_source = sd_event_source_disable_unref(s->empty_source);
        shim_handle(s, SHIM_EMPTY);
}

static int on_cgroup_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Shim *s = userdata;

        shim_cgroup_events_clear(s->cgroup);
        check_empty(s);
        return 0;
}

static void do_over(Shim *s)
{
        int r = 0;

        s->grace_source = sd_event_source_disable_unref(s->grace_source);
        kill_all(s);
        shim_set_state(s, RUN_EXITED);
        FAILPOINT("shim.exited");
        if (s->cgroup)
                r = sd_event_add_io(s->event, &s->empty_source, shim_cgroup_events_fd(s->cgroup),
                                EPOLLPRI, on_cgroup_event, s);
        if (r < 0)
                log_error_errno(r, "%s/%s/%s: cannot watch cgroup.events", LOG_NAME(s));
        check_empty(s);
}

static void do_failed(Shim *s)
{
        int status;

        log_error("%s/%s/%s: cannot start: %s: %s", LOG_NAME(s), s->failure.stage,
                        s->failure.message[0] ? s->failure.message : errno_words(s->failure.error));
        if (pidref_is_set(&s->main)) {
                /* It is about to end by itself, its workload perhaps not. */
                kill_all(s);
                (void) pidref_kill(&s->main, SIGKILL);
                if (s->main_source)
                        return;
                (void) pidref_wait(&s->main, 0, &status);
        }
        fill_result(s, 0);
        do_over(s);
}

static void one_finished(void *userdata)
{
        Shim *s = userdata;

        if (--s->finishing == 0)
                shim_handle(s, SHIM_FINISHED);
}

static void do_finish(Shim *s)
{
        int r;

        if (s->finishing > 0)
                return;
        FAILPOINT("shim.empty");
        /* Whoever hears of the end finds the whole log. */
        if (s->pty)
                shim_pty_drain(s->pty);
        if (s->log)
                shim_log_drain(s->log);
        shim_channel_send_status(s->channel);
        FAILPOINT("shim.told");
        s->finishing = 1; /* ours, so that none of the others is the last too early */
        if (s->pty)
                shim_pty_end(s->pty);
        s->finishing++;
        r = shim_attaches_finish(s->attaches, one_finished, s);
        if (r < 0)
                one_finished(s);
        s->finishing++;
        r = shim_sessions_finish(s->sessions, one_finished, s);
        if (r < 0)
                one_finished(s);
        if (s->log) {
                s->finishing++;
                r = shim_log_finish(s->log, one_finished, s);
                if (r < 0)
                        one_finished(s);
        }
        one_finished(s);
}

static void do_leave(Shim *s)
{
        FAILPOINT("shim.finished");
        (void) sd_event_exit(s->event, 0);
}

static void do_nothing(Shim *s)
{
}

/* ---- the table ---- */

typedef void (*ShimHandler)(Shim *s);

static const ShimHandler shim_table[_RUN_STATE_MAX][_SHIM_EVENT_MAX] = {
        [RUN_CREATING] = {
                [SHIM_START] = do_start,
                [SHIM_CHANNEL_LOST] = do_abort,
                [SHIM_EXECUTED] = do_running,
                [SHIM_FAILED] = do_failed,
                [SHIM_STOP] = do_stop_early,
                [SHIM_GRACE_OVER] = do_nothing,
                [SHIM_MAIN_EXITED] = do_over,
                [SHIM_EMPTY] = do_nothing,
                [SHIM_FINISHED] = do_nothing,
        },
        [RUN_RUNNING] = {
                [SHIM_START] = do_nothing,
                [SHIM_CHANNEL_LOST] = do_nothing,
                [SHIM_EXECUTED] = do_nothing,
                [SHIM_FAILED] = do_nothing,
                [SHIM_STOP] = do_stop,
                [SHIM_GRACE_OVER] = do_nothing,
                [SHIM_MAIN_EXITED] = do_over,
                [SHIM_EMPTY] = do_nothing,
                [SHIM_FINISHED] = do_nothing,
        },
        [RUN_STOPPING] = {
                [SHIM_START] = do_nothing,
                [SHIM_CHANNEL_LOST] = do_nothing,
                [SHIM_EXECUTED] = do_nothing,
                [SHIM_FAILED] = do_nothing,
                [SHIM_STOP] = do_stop_again,
                [SHIM_GRACE_OVER] = do_kill_all,
                [SHIM_MAIN_EXITED] = do_over,
                [SHIM_EMPTY] = do_nothing,
                [SHIM_FINISHED] = do_nothing,
        },
        [RUN_EXITED] = {
                [SHIM_START] = do_nothing,
                [SHIM_CHANNEL_LOST] = do_nothing,
                [SHIM_EXECUTED] = do_nothing,
                [SHIM_FAILED] = do_nothing,
                [SHIM_STOP] = do_nothing,
                [SHIM_GRACE_OVER] = do_nothing,
                [SHIM_MAIN_EXITED] = do_nothing,
                [SHIM_EMPTY] = do_finish,
                [SHIM_FINISHED] = do_leave,
        },
        /* `waiting` and `failed` are the reconciler's: no run is in them. */
};

static void shim_handle(Shim *s, ShimEvent event)
{
        ShimHandler handler = shim_table[s->state][event];

        assert(handler);
        handler(s);
}

/* ---- from outside ---- */

static void request_start(Shim *s)
{
        shim_handle(s, SHIM_START);
}

static void request_channel_lost(Shim *s)
{
        shim_handle(s, SHIM_CHANNEL_LOST);
}

static void request_stop(Shim *s, int signo, uint64_t grace_usec)
{
        s->stop_signal = signo > 0 ? signo : s->launch->stop_signal;
        s->stop_grace_usec = grace_usec;
        shim_handle(s, SHIM_STOP);
}

static const ShimRequests shim_requests = {
        .start = request_start,
        .channel_lost = request_channel_lost,
        .kill = request_kill,
        .stop = request_stop,
};

/* The machine is going down, or somebody means the container. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
        Shim *s = userdata;

        request_stop(s, 0, s->launch->stop_grace_usec);
        return 0;
}

int shim_new(Launch *launch, int run_dir, int lock_fd, int channel, Shim **ret)
{
        CLEANUP(shim_freep) Shim *s = calloc(1, sizeof(Shim));
        int r;

        if (!s) {
                launch_free(launch);
                (void) safe_close(channel);
                return -ENOMEM;
        }
        s->ask = &shim_requests;
        s->launch = launch;
        s->run_dir = run_dir;
        s->lock_fd = lock_fd;
        s->main = PIDREF_NULL;
        s->workload_fd = s->status_fd = s->hosts_fd = s->policy.seccomp_fd = -EBADF;
        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                s->live_fds[i] = -EBADF;
        *(RunState *) &s->state = RUN_CREATING;

        r = boot_id(s->boot_id);
        if (r >= 0)
                r = sd_event_new(&s->event);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGTERM, on_signal, s);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGINT, on_signal, s);
        if (r >= 0)
                r = shim_sessions_new(s, &s->sessions);
        if (r >= 0)
                r = shim_attaches_new(s, &s->attaches);
        if (r >= 0)
                r = shim_reaper_new(s, &s->reaper);
        if (r >= 0)
                r = shim_record_write(s); /* step 3 */
        /* That there is no room is told as the end of the run, when it is to begin. */
        if (r == -ENOSPC)
                r = 0;
        if (r < 0) {
                (void) safe_close(channel);
                return r;
        }
        FAILPOINT("shim.record");
        r = shim_channel_new(s, channel, &s->channel); /* hello */
        if (r < 0)
                return r;
        FAILPOINT("shim.hello");
        *ret = TAKE_PTR(s);
        return 0;
}

/* Everything that the run made, but its directory: that is the reconciler's to read and remove. */
static void remove_everything(Shim *s)
{
        int r = 0;

        if (!s->started)
                return;
        if (s->cgroup)
                r = shim_cgroup_remove(s->cgroup);
        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: cannot remove the cgroup %s, ignoring", LOG_NAME(s),
                                shim_cgroup_path(s->cgroup));
        FAILPOINT("shim.cgroup-removed");
        r = remove_tree_at(AT_FDCWD, s->launch->scratch);
        if (r < 0)
                log_warning_errno(r, "%s/%s/%s: cannot remove %s, ignoring", LOG_NAME(s),
                                s->launch->scratch);
}

int shim_run(Shim *s)
{
        int r;

        r = sd_event_loop(s->event);
        s->reaper = shim_reaper_free(s->reaper);
        s->sessions = shim_sessions_free(s->sessions);
        s->bus = shim_bus_free(s->bus);
        s->attaches = shim_attaches_free(s->attaches);
        s->pty = shim_pty_free(s->pty);
        s->log = shim_log_free(s->log);
        remove_everything(s);
        FAILPOINT("shim.removed");
        return r;
}

Shim *shim_free(Shim *s)
{
        if (!s)
                return NULL;
        sandbox_free(s->sandbox);
        shim_reaper_free(s->reaper);
        shim_sessions_free(s->sessions);
        shim_bus_free(s->bus);
        shim_attaches_free(s->attaches);
        shim_pty_free(s->pty);
        shim_log_free(s->log);
        shim_channel_free(s->channel);
        sd_event_source_disable_unref(s->main_source);
        sd_event_source_disable_unref(s->grace_source);
        sd_event_source_disable_unref(s->empty_source);
        sd_event_source_disable_unref(s->settle_source);
        sd_event_unref(s->event);
        pidref_done(&s->main);
        (void) safe_close(s->workload_fd);
        (void) safe_close(s->status_fd);
        (void) safe_close(s->hosts_fd);
        for (size_t i = 0; i < LIMIT_MOUNTS; i++)
                (void) safe_close(s->live_fds[i]);
        (void) safe_close(s->policy.seccomp_fd);
        shim_cgroup_free(s->cgroup);
        launch_free(s->launch);
        free(s);
        return NULL;
}
