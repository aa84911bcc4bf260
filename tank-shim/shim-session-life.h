/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One session, from its start to its end: between shim-session.c, which has all of them,
 * shim-session-life.c, which has what happens to one, and shim-session-end.c, which ends it. */

#include <systemd/sd-event.h>

#include "pidref.h"
#include "setup-report.h"
#include "shim-held.h"
#include "shim-launch.h"
#include "shim-session.h"

typedef struct Session Session;

struct Session {
        Session *next, *previous; /* newest first */
        ShimSessions *all;
        uint32_t number;
        char leaf[sizeof("exec-4294967295")];
        bool tty;
        SessionStdio stdio;
        SessionDisconnect disconnect;
        char **argv;
        char *user;
        uint64_t started_usec;

        PidRef process;
        pid_t pid;                           /* what it was, also when it is reaped */
        int setup, control, master;          /* ours */
        int client_control, client_stdio[3]; /* the client's, until it has them */
        bool input;
        Held *held;         /* of a session with a terminal: once that is there */
        SessionReady ready; /* until it was called */
        void *userdata;

        SetupReport report; /* error 0: none */
        bool executed, failed, reaped;
        bool hung_up; /* its processes are being ended */
        bool exited;  /* `result` is there: reaped, and how the setup went is known */
        bool settled; /* the end is told to its client; what is awaited is the last process */
        bool told;    /* and nobody needs to be told once more */
        bool over;    /* no process is left: only kept */
        RunResult result;
        int status;
        uint64_t early_signals; /* bit N - 1: signal N came before execve() */

        int events; /* cgroup.events of its leaf, when that is waited for */
        sd_event_source *setup_source, *control_source, *process_source, *grace_timer,
                        *empty_source;
};

struct ShimSessions {
        Shim *shim;
        Session *first;
        unsigned count; /* that are not over */
        unsigned ended; /* that are */
        uint32_t last_number;
        void (*done)(void *userdata);
        void *done_userdata;
        bool finishing;
        sd_event_source *done_source;
};

Session *session_new(ShimSessions *all, uint32_t number, const SessionRequest *request);
/* Not for one whose client was not answered. */
void session_free(Session *s);

/* Clones its process. On failure nothing is left of it but @s. */
int session_begin(Session *s, const SessionRequest *request);
/* Its client's answer comes when there is everything to answer with. */
void session_answer(Session *s, SessionReady ready, void *userdata);

void session_signal(Session *s, int signo); /* to its command; to its group with a terminal */
int session_signal_all(Session *s, int signo);
SessionPhase session_phase(const Session *s);
unsigned session_processes(const Session *s);

/* Of the end. Those that tell or end may free it when no process is left. */
void session_tell_end(Session *s);
void session_end_processes(Session *s); /* by its policy, which is not `keep` */
void session_check_forget(Session *s);
void session_kill_leaf(const Session *s);
int session_signal_leaf(const Session *s, int signo);
void session_close_control(Session *s);
void session_close_clients_ends(Session *s);

/* The container is over. */
void session_finish(Session *s);
/* Calls `done` of @all from the loop when it is time. */
int session_check_done(ShimSessions *all);
