/* SPDX-License-Identifier: Apache-2.0 */

/* The planner, case by case: what is declared, what is there, what is to be done. And the state
 * table: each cell has an answer that makes sense. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "reconcile-plan.h"
#include "reconcile-state.h"

#define SEC  USEC_PER_SEC
#define NOW  (1000 * SEC)
#define NONE USEC_INFINITY

static const RunResult exited_0 = { .kind = RESULT_EXITED, .code = 0 };
static const RunResult exited_3 = { .kind = RESULT_EXITED, .code = 3 };
static const RunResult killed = { .kind = RESULT_SIGNALED, .code = 9 };
static const RunResult setup_failed = { .kind = RESULT_SETUP_FAILED, .code = 2 };

/* One case: a few containers on either side, "a" and "b", and as many init containers, "i" and "j".
 * The plan as text: "start a create reset; wait b". */
typedef struct Case {
        const char *what;
        bool undeclared, blocked;
        RestartPolicy restart;
        uint64_t generation;
        PlanWant want[4];
        size_t n_init; /* how many of @want are init containers */
        PlanHave have[5];
        const char *hosts; /* hash of the hosts that are wanted; "" unless given */
        SandboxState sandbox;
        const char *sandbox_hash; /* observed; "S" unless given */
        bool removing, no_place;
        const char *plan;
        uint64_t wake; /* 0: USEC_INFINITY is expected */
        bool wants_place;
} Case;

#define WANT_A \
        { \
                .name = "a", .launch_hash = "A" \
        }
#define WANT_B \
        { \
                .name = "b", .launch_hash = "B" \
        }
#define WANT_I \
        { \
                .name = "i", .launch_hash = "I" \
        }
#define WANT_A_VALUES \
        { \
                .name = "a", .launch_hash = "A", .needs_values = true \
        }
#define WANT_I_VALUES \
        { \
                .name = "i", .launch_hash = "I", .needs_values = true \
        }
#define WANT_J \
        { \
                .name = "j", .launch_hash = "J" \
        }
#define HAVE(n, h, s, ...) \
        { \
                .name = n, .launch_hash = h, .state = s, .generation = 1, .hosts_hash = "", \
                __VA_ARGS__ \
        }
#define DONE(n, h, ...) \
        { \
                .name = n, .launch_hash = h, .state = RUN_EXITED, .hosts_hash = "", .init = true, \
                .last = exited_0, .finished = true, __VA_ARGS__ \
        }
#define ALIVE(n, h, s, ...) HAVE(n, h, s, .alive = true, __VA_ARGS__)
/* Ended ten seconds ago, for the first time; the back-off of the cases is 10 s up to 60 s. */
#define ENDED(n, h, s, r, ...) \
        HAVE(n, h, s, .last = r, .failures = 1, .ended_boot_usec = NOW - 4 * SEC, __VA_ARGS__)

static const Case cases[] = {
        /* nothing there */
        { .what = "new pod", .want = { WANT_A }, .plan = "start a create reset" },
        { .what = "new pod, known and waiting",
                        .want = { WANT_A },
                        .have = { HAVE("a", "", RUN_WAITING) },
                        .plan = "start a create reset" },
        { .what = "new pod of two: the second waits for the sandbox",
                        .want = { WANT_A, WANT_B },
                        .plan = "start a create reset; wait b" },
        { .what = "new pod of two, the second shown as waiting already",
                        .want = { WANT_A, WANT_B },
                        .have = { {}, HAVE("b", "", RUN_WAITING) },
                        .plan = "start a create reset" },
        { .what = "no place free",
                        .want = { WANT_A },
                        .no_place = true,
                        .plan = "wait a",
                        .wants_place = true },
        { .what = "blocked", .want = { WANT_A }, .blocked = true, .plan = "" },
        { .what = "blocked with something alive",
                        .want = { WANT_A },
                        .blocked = true,
                        .have = { ALIVE("b", "B", RUN_RUNNING) },
                        .plan = "" },

        /* values of secrets and configs */
        { .what = "values are read before a start, and hold its place",
                        .want = { WANT_A_VALUES, WANT_B },
                        .plan = "resolve a; start b create reset" },
        { .what = "values on their way: waits",
                        .want = { WANT_A_VALUES },
                        .have = { HAVE("a", "", RUN_WAITING, .values = VALUES_ASKED) },
                        .plan = "" },
        { .what = "a value that is missing: waits, and nothing wakes it",
                        .want = { WANT_A_VALUES },
                        .have = { HAVE("a", "", RUN_WAITING, .values = VALUES_MISSING) },
                        .plan = "" },
        { .what = "a value is missing since it ran: shown as waiting",
                        .want = { WANT_A_VALUES },
                        .have = { HAVE("a", "A", RUN_EXITED, .last = killed, .stopped = true,
                                        .values = VALUES_MISSING) },
                        .plan = "wait a" },
        { .what = "values are there: started, in the place that they hold",
                        .want = { WANT_A_VALUES },
                        .have = { HAVE("a", "", RUN_WAITING, .values = VALUES_READY,
                                        .holds_place = true) },
                        .no_place = true,
                        .plan = "start a create reset" },
        { .what = "values are there, and the place is lost",
                        .want = { WANT_A_VALUES },
                        .have = { HAVE("a", "", RUN_WAITING, .values = VALUES_READY) },
                        .no_place = true,
                        .plan = "",
                        .wants_place = true },
        { .what = "no place to read values in",
                        .want = { WANT_A_VALUES },
                        .no_place = true,
                        .plan = "wait a",
                        .wants_place = true },
        { .what = "no values are read for a start that must wait for the sandbox",
                        .want = { WANT_A_VALUES, WANT_B },
                        .have = { HAVE("a", "", RUN_WAITING), ALIVE("b", "B", RUN_CREATING) },
                        .sandbox = SANDBOX_CREATING,
                        .plan = "" },
        { .what = "values for a start that cannot be after all: not started",
                        .want = { WANT_A_VALUES, WANT_B },
                        .have = { HAVE("a", "", RUN_WAITING, .values = VALUES_READY,
                                                  .holds_place = true),
                                        ALIVE("b", "B", RUN_CREATING) },
                        .sandbox = SANDBOX_CREATING,
                        .plan = "" },
        { .what = "no values are read before the back-off is over",
                        .want = { WANT_A_VALUES },
                        .have = { ENDED("a", "A", RUN_WAITING, exited_3,
                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .sandbox = SANDBOX_READY,
                        .plan = "",
                        .wake = NOW + 6 * SEC },
        { .what = "an init container waits for a value, and the others for it",
                        .want = { WANT_I_VALUES, WANT_A },
                        .n_init = 1,
                        .plan = "resolve i; wait a" },

        /* sandbox */
        { .what = "sandbox being made: wait",
                        .want = { WANT_A, WANT_B },
                        .have = { ALIVE("a", "A", RUN_CREATING), HAVE("b", "", RUN_WAITING) },
                        .sandbox = SANDBOX_CREATING,
                        .plan = "" },
        { .what = "sandbox there: join",
                        .want = { WANT_A, WANT_B },
                        .have = { ALIVE("a", "A", RUN_RUNNING), HAVE("b", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start b reset" },
        { .what = "its maker is over before it was made: the next one makes it",
                        .want = { WANT_A, WANT_B },
                        .have = { ENDED("a", "A", RUN_FAILED, setup_failed,
                                                  .restart_boot_usec = NOW + 6 * SEC),
                                        HAVE("b", "", RUN_WAITING) },
                        .plan = "start b create reset",
                        .wake = NOW + 6 * SEC },
        { .what = "another sandbox is wanted: not while something lives in the old one",
                        .want = { WANT_A, WANT_B },
                        .generation = 2,
                        .have = { HAVE("a", "A1", RUN_EXITED, .last = killed, .stopped = true),
                                        ALIVE("b", "B1", RUN_STOPPING) },
                        .sandbox = SANDBOX_READY,
                        .sandbox_hash = "S1",
                        .plan = "wait a" },
        { .what = "another sandbox is wanted and nothing lives: made anew",
                        .want = { WANT_A, WANT_B },
                        .generation = 2,
                        .have = { HAVE("a", "A1", RUN_WAITING, .last = killed, .stopped = true),
                                        HAVE("b", "B1", RUN_EXITED, .last = killed,
                                                        .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .sandbox_hash = "S1",
                        .plan = "start a create reset; wait b" },
        { .what = "a restart joins what is pinned",
                        .want = { WANT_A },
                        .have = { HAVE("a", "A", RUN_WAITING, .last = killed,
                                        .restart_wanted = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },

        /* alive */
        { .what = "running and equal",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "creating and equal",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_CREATING) },
                        .sandbox = SANDBOX_CREATING,
                        .plan = "" },
        { .what = "another generation, equal launch",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .plan = "confirm a" },
        { .what = "another generation, another launch: stop first",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ALIVE("a", "A1", RUN_RUNNING) },
                        .plan = "stop a" },
        { .what = "changed while creating",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ALIVE("a", "A1", RUN_CREATING) },
                        .plan = "stop a" },
        { .what = "changed while stopping: once is enough",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ALIVE("a", "A1", RUN_STOPPING) },
                        .plan = "" },
        { .what = "changed, over, and not cleaned up yet",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ALIVE("a", "A1", RUN_EXITED, .over = true) },
                        .plan = "wait a" },
        { .what = "crashed and not cleaned up yet: backs off already",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3, .alive = true,
                                        .over = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "back-off is over, the remains are not gone",
                        .want = { WANT_A },
                        .have = { HAVE("a", "A", RUN_WAITING, .last = killed, .failures = 1,
                                        .alive = true, .over = true,
                                        .ended_boot_usec = NOW - 10 * SEC,
                                        .restart_boot_usec = NOW) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "finished and not cleaned up yet",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3, .alive = true,
                                        .over = true) },
                        .plan = "finish a" },
        { .what = "same generation, another hash: an upgrade restarts nothing",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "older", RUN_RUNNING) },
                        .plan = "" },
        { .what = "restart wanted",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_RUNNING, .restart_wanted = true) },
                        .plan = "stop a" },
        { .what = "restart wanted, stopping",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_STOPPING, .restart_wanted = true) },
                        .plan = "" },
        { .what = "limits differ",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 2 } } },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 }) },
                        .plan = "confirm a; update a" },
        { .what = "limits differ, and were asked for: not again before the answer",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 2 } } },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 },
                                        .updating = true) },
                        .plan = "confirm a" },
        { .what = "limits differ and were refused: not before their time",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 2 } } },
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 },
                                        .update_boot_usec = NOW + 3 * SEC) },
                        .plan = "",
                        .wake = NOW + 3 * SEC },
        { .what = "limits were refused, and it is time",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 2 } } },
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 },
                                        .update_boot_usec = NOW) },
                        .plan = "update a" },
        { .what = "limits were refused, and something else is declared: at once",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 3 } } },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 },
                                        .update_boot_usec = NOW + 3 * SEC) },
                        .plan = "confirm a; update a" },
        { .what = "limits were refused, and are those in force again",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .memory = 1 } } },
                        .have = { ALIVE("a", "A", RUN_RUNNING, .limits = { .memory = 1 },
                                        .update_boot_usec = NOW + 3 * SEC) },
                        .plan = "" },
        { .what = "limits differ while creating: later",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .pids = 2 } } },
                        .have = { ALIVE("a", "A", RUN_CREATING) },
                        .plan = "" },
        { .what = "limits differ while stopping: no more",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .pids = 2 } } },
                        .have = { ALIVE("a", "A", RUN_STOPPING) },
                        .plan = "" },
        { .what = "limits and launch differ: only the restart",
                        .want = { { .name = "a", .launch_hash = "A", .limits = { .pids = 2 } } },
                        .generation = 2,
                        .have = { ALIVE("a", "A1", RUN_RUNNING) },
                        .plan = "stop a" },
        { .what = "the period of no quota does not count",
                        .want = { { .name = "a",
                                        .launch_hash = "A",
                                        .limits = { .cpu_period = 100000 } } },
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .plan = "" },

        /* over, policy always */
        { .what = "crashed: back off",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3) },
                        .sandbox = SANDBOX_READY,
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "exited cleanly: always means always",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_EXITED, exited_0) },
                        .sandbox = SANDBOX_READY,
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "backing off",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .sandbox = SANDBOX_READY,
                        .plan = "",
                        .wake = NOW + 6 * SEC },
        { .what = "back-off is over",
                        .want = { WANT_A },
                        .have = { HAVE("a", "A", RUN_WAITING, .last = killed, .failures = 1,
                                        .ended_boot_usec = NOW - 10 * SEC,
                                        .restart_boot_usec = NOW) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a" },
        { .what = "back-off is over, no place",
                        .want = { WANT_A },
                        .no_place = true,
                        .have = { HAVE("a", "A", RUN_WAITING, .last = killed, .failures = 1,
                                        .ended_boot_usec = NOW - 10 * SEC,
                                        .restart_boot_usec = NOW) },
                        .sandbox = SANDBOX_READY,
                        .plan = "",
                        .wants_place = true },
        { .what = "another back-off was declared meanwhile",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ENDED("a", "A", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 99 * SEC) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm a; back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "restart during back-off",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 6 * SEC,
                                        .restart_wanted = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },
        { .what = "changed during back-off",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ENDED("a", "A1", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },
        { .what = "stopped by us, and wanted again as it was",
                        .want = { WANT_A },
                        .have = { ENDED("a", "A", RUN_EXITED, killed, .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a" },
        { .what = "a start that died before anything ran",
                        .want = { WANT_A },
                        .have = { HAVE("a", "A", RUN_WAITING, .failures = 2) },
                        .plan = "start a create" },

        /* over, other policies */
        { .what = "on-failure, failed",
                        .want = { WANT_A },
                        .restart = RESTART_ON_FAILURE,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3) },
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "on-failure, set-up failed",
                        .want = { WANT_A },
                        .restart = RESTART_ON_FAILURE,
                        .have = { ENDED("a", "A", RUN_FAILED, setup_failed) },
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "on-failure, clean",
                        .want = { WANT_A },
                        .restart = RESTART_ON_FAILURE,
                        .have = { ENDED("a", "A", RUN_EXITED, exited_0) },
                        .plan = "finish a" },
        { .what = "never, failed",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3) },
                        .plan = "finish a" },
        { .what = "never, noted",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3, .finished = true) },
                        .plan = "" },
        { .what = "never while backing off: the policy was changed",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .generation = 2,
                        .have = { ENDED("a", "A", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .plan = "confirm a; finish a" },
        { .what = "finished, then always",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3, .finished = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm a; back-off a 6",
                        .wake = NOW + 6 * SEC },
        { .what = "finished, and a person asks",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3, .finished = true,
                                        .restart_wanted = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },
        { .what = "finished, and changed",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .generation = 2,
                        .have = { ENDED("a", "A1", RUN_FAILED, exited_3, .finished = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },
        { .what = "finished, and only labels changed",
                        .want = { WANT_A },
                        .restart = RESTART_NEVER,
                        .generation = 2,
                        .have = { ENDED("a", "A", RUN_EXITED, exited_0, .finished = true) },
                        .plan = "confirm a" },

        /* no longer declared */
        { .what = "container taken out",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_RUNNING), ALIVE("b", "B", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop b" },
        { .what = "container taken out, stopping",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_RUNNING), ALIVE("b", "B", RUN_STOPPING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "container taken out, gone",
                        .want = { WANT_A },
                        .have = { ALIVE("a", "A", RUN_RUNNING), HAVE("b", "B", RUN_EXITED) },
                        .sandbox = SANDBOX_READY,
                        .plan = "forget b" },
        { .what = "deleted while running",
                        .undeclared = true,
                        .have = { ALIVE("a", "A", RUN_RUNNING),
                                        ENDED("b", "B", RUN_WAITING, killed) },
                        .plan = "stop a" },
        { .what = "deleted while creating",
                        .undeclared = true,
                        .have = { ALIVE("a", "A", RUN_CREATING) },
                        .plan = "stop a" },
        { .what = "deleted while stopping",
                        .undeclared = true,
                        .have = { ALIVE("a", "A", RUN_STOPPING) },
                        .plan = "" },
        { .what = "deleted, over and not cleaned up",
                        .undeclared = true,
                        .have = { ALIVE("a", "A", RUN_FAILED) },
                        .plan = "" },
        { .what = "deleted during back-off",
                        .undeclared = true,
                        .have = { ENDED("a", "A", RUN_WAITING, killed,
                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .plan = "remove" },
        { .what = "deleted, nothing was ever there", .undeclared = true, .plan = "remove" },
        { .what = "extra hosts differ: in place",
                        .want = { WANT_A },
                        .generation = 2,
                        .hosts = "H",
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm a; update a" },

        /* several: one does not concern the others */
        { .what = "one is added: the others are left",
                        .want = { WANT_A, WANT_B },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm a; start b reset" },
        { .what = "one is added before the one that made the sandbox",
                        .want = { WANT_A, WANT_B },
                        .generation = 2,
                        .have = { ALIVE("b", "B", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset; confirm b" },
        { .what = "the one that made the sandbox is taken out, another added",
                        .want = { WANT_B, { .name = "c", .launch_hash = "C" } },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING), ALIVE("b", "B", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop a; confirm b; start c reset" },
        { .what = "taken out while it makes the sandbox: the next makes it when that is over",
                        .want = { WANT_B },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_CREATING), HAVE("b", "", RUN_WAITING) },
                        .sandbox = SANDBOX_CREATING,
                        .plan = "stop a" },
        { .what = "one has failed for good, the other runs",
                        .want = { WANT_A, WANT_B },
                        .restart = RESTART_NEVER,
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3),
                                        ALIVE("b", "B", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "finish a" },
        { .what = "one backs off, the other runs",
                        .want = { WANT_A, WANT_B },
                        .have = { ENDED("a", "A", RUN_FAILED, exited_3),
                                        ALIVE("b", "B", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "back-off a 6",
                        .wake = NOW + 6 * SEC },

        /* init containers */
        { .what = "new pod: the first init container makes the sandbox, all else waits",
                        .want = { WANT_I, WANT_J, WANT_A, WANT_B },
                        .n_init = 2,
                        .plan = "start i create reset; wait a; wait b" },
        { .what = "init, no place free",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .no_place = true,
                        .plan = "wait i; wait a",
                        .wants_place = true },
        { .what = "init blocked",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .blocked = true,
                        .plan = "" },
        { .what = "init runs: the others wait, however long",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .have = { ALIVE("i", "I", RUN_RUNNING, .init = true),
                                        HAVE("j", "", RUN_WAITING), HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "the first is done: noted, and the second starts",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .have = { ENDED("i", "I", RUN_EXITED, exited_0, .init = true),
                                        HAVE("j", "", RUN_WAITING), HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "finish i; start j reset" },
        { .what = "done, and not cleaned up yet: that is nobody else's matter",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { ENDED("i", "I", RUN_EXITED, exited_0, .init = true, .alive = true,
                                                  .over = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "finish i; start a reset" },
        { .what = "all are done: the others start",
                        .want = { WANT_I, WANT_J, WANT_A, WANT_B },
                        .n_init = 2,
                        .have = { DONE("i", "I", .generation = 1),
                                        ENDED("j", "J", RUN_EXITED, exited_0, .init = true),
                                        HAVE("a", "", RUN_WAITING), HAVE("b", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "finish j; start a reset; start b reset" },
        { .what = "init failed: backs off by the policy",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .have = { ENDED("i", "I", RUN_FAILED, exited_3, .init = true),
                                        HAVE("j", "", RUN_WAITING), HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "back-off i 6",
                        .wake = NOW + 6 * SEC },
        { .what = "init failed at set-up, on-failure: backs off",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .restart = RESTART_ON_FAILURE,
                        .have = { ENDED("i", "I", RUN_FAILED, setup_failed, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .plan = "back-off i 6",
                        .wake = NOW + 6 * SEC },
        { .what = "the back-off of an init container is over: it starts again, alone",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .have = { DONE("i", "I", .generation = 1),
                                        HAVE("j", "J", RUN_WAITING, .init = true, .last = killed,
                                                        .failures = 1,
                                                        .ended_boot_usec = NOW - 10 * SEC,
                                                        .restart_boot_usec = NOW),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start j" },
        { .what = "init failed under never: that is the end of it",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .restart = RESTART_NEVER,
                        .have = { ENDED("i", "I", RUN_FAILED, exited_3, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "finish i" },
        { .what = "and nothing more is done",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .restart = RESTART_NEVER,
                        .have = { ENDED("i", "I", RUN_FAILED, exited_3, .init = true,
                                                  .finished = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "a main container starts alone: nothing of the init containers",
                        .want = { WANT_I, WANT_A, WANT_B },
                        .n_init = 1,
                        .have = { DONE("i", "I", .generation = 1), ALIVE("a", "A", RUN_RUNNING),
                                        HAVE("b", "B", RUN_WAITING, .last = killed, .failures = 1,
                                                        .ended_boot_usec = NOW - 10 * SEC,
                                                        .restart_boot_usec = NOW) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start b" },
        { .what = "a changed init container: the others stop first",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .generation = 2,
                        .have = { DONE("i", "I", .generation = 1), DONE("j", "J1", .generation = 1),
                                        ALIVE("a", "A", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm i; stop a" },
        { .what = "a changed init container: all have stopped, it begins there",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .generation = 2,
                        .have = { DONE("i", "I", .generation = 2), DONE("j", "J1", .generation = 1),
                                        HAVE("a", "A", RUN_WAITING, .last = killed,
                                                        .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start j reset; confirm a" },
        { .what = "a changed init container: one is left, and holds it up",
                        .want = { WANT_I, WANT_A, WANT_B },
                        .n_init = 1,
                        .generation = 2,
                        .have = { DONE("i", "I1", .generation = 1), ALIVE("a", "A", RUN_STOPPING),
                                        HAVE("b", "B", RUN_WAITING, .last = killed,
                                                        .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm b" },
        { .what = "an init container is added",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop a" },
        { .what = "an init container that is done is taken out: nothing to be done again",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { DONE("i", "I", .generation = 1), ALIVE("a", "A", RUN_RUNNING),
                                        DONE("j", "J", .generation = 1) },
                        .sandbox = SANDBOX_READY,
                        .plan = "forget j; confirm i; confirm a" },
        { .what = "an init container that runs is taken out: gone before the others start",
                        .want = { WANT_A },
                        .generation = 2,
                        .have = { HAVE("a", "", RUN_WAITING),
                                        ALIVE("i", "I", RUN_RUNNING, .init = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop i" },
        { .what = "taken out, and stopping: nor before the next init container",
                        .want = { WANT_J, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { HAVE("j", "", RUN_WAITING), HAVE("a", "", RUN_WAITING),
                                        ALIVE("i", "I", RUN_STOPPING, .init = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "" },
        { .what = "a change of what is not the init containers' leaves them done",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { DONE("i", "I", .generation = 1), ALIVE("a", "A1", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm i; stop a" },
        { .what = "and then it starts alone",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { DONE("i", "I", .generation = 2),
                                        HAVE("a", "A1", RUN_WAITING, .last = killed,
                                                        .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start a reset" },
        { .what = "changed while it runs: stopped, then run anew",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { ALIVE("i", "I1", RUN_RUNNING, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop i" },
        { .what = "stopped by us, it is not done, whatever it exited with",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { ENDED("i", "I", RUN_WAITING, exited_0, .init = true,
                                                  .stopped = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start i" },
        { .what = "an earlier one changed: the one that runs is stopped",
                        .want = { WANT_I, WANT_J, WANT_A },
                        .n_init = 2,
                        .generation = 2,
                        .have = { DONE("i", "I1", .generation = 1),
                                        ALIVE("j", "J", RUN_RUNNING, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop j" },
        { .what = "labels changed while it runs: left alone",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { ALIVE("i", "I", RUN_RUNNING, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm i" },
        { .what = "restart of all",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { DONE("i", "I", .generation = 1, .restart_wanted = true),
                                        ALIVE("a", "A", RUN_RUNNING, .restart_wanted = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop a" },
        { .what = "restart of all, stopped",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { DONE("i", "I", .generation = 1, .restart_wanted = true),
                                        HAVE("a", "A", RUN_WAITING, .last = killed, .stopped = true,
                                                        .restart_wanted = true) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start i reset" },
        { .what = "another sandbox: all of it begins again",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .generation = 2,
                        .have = { DONE("i", "I1", .generation = 1),
                                        HAVE("a", "A1", RUN_WAITING, .last = killed,
                                                        .stopped = true) },
                        .sandbox = SANDBOX_READY,
                        .sandbox_hash = "S1",
                        .plan = "start i create reset" },
        { .what = "the sandbox is gone (a reboot), some are over for good, one is not",
                        .want = { WANT_I, WANT_A, WANT_B },
                        .n_init = 1,
                        .restart = RESTART_NEVER,
                        .have = { DONE("i", "I", .generation = 1),
                                        ENDED("a", "A", RUN_EXITED, exited_0, .finished = true) },
                        .plan = "start i create reset; wait b" },
        { .what = "the sandbox is gone, and everything is over for good",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .restart = RESTART_NEVER,
                        .have = { DONE("i", "I", .generation = 1),
                                        ENDED("a", "A", RUN_FAILED, exited_3, .finished = true) },
                        .plan = "" },
        { .what = "the sandbox is gone, and its init container had failed for good",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .restart = RESTART_NEVER,
                        .have = { ENDED("i", "I", RUN_FAILED, exited_3, .init = true,
                                                  .finished = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .plan = "" },
        { .what = "what ran is known, the init containers are not: a damaged record",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { HAVE("i", "", RUN_WAITING), ALIVE("a", "", RUN_RUNNING) },
                        .sandbox = SANDBOX_READY,
                        .sandbox_hash = "",
                        .plan = "" },
        { .what = "and what starts beside it joins",
                        .want = { WANT_I, WANT_A, WANT_B },
                        .n_init = 1,
                        .have = { HAVE("i", "", RUN_WAITING), ALIVE("a", "", RUN_RUNNING),
                                        HAVE("b", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "start b reset" },
        { .what = "the sandbox is gone, and nothing is due yet: nor is an init container",
                        .want = { WANT_I, WANT_A },
                        .n_init = 1,
                        .have = { DONE("i", "I", .generation = 1),
                                        ENDED("a", "A", RUN_WAITING, killed,
                                                        .restart_boot_usec = NOW + 6 * SEC) },
                        .plan = "",
                        .wake = NOW + 6 * SEC },
        { .what = "deleted while an init container runs",
                        .undeclared = true,
                        .have = { ALIVE("i", "I", RUN_RUNNING, .init = true),
                                        HAVE("a", "", RUN_WAITING) },
                        .sandbox = SANDBOX_READY,
                        .plan = "stop i" },
        { .what = "an init container becomes one of the others",
                        .want = { WANT_A, WANT_I },
                        .generation = 2,
                        .have = { ALIVE("a", "A", RUN_RUNNING),
                                        DONE("i", "I as init", .generation = 1) },
                        .sandbox = SANDBOX_READY,
                        .plan = "confirm a; start i reset" },
        { .what = "deleted, being removed", .undeclared = true, .removing = true, .plan = "" },
};

static void plan_to_text(const Plan *plan, char *text, size_t size)
{
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < plan->n_actions; i++) {
                const PlanAction *a = &plan->actions[i];

                n += (size_t) snprintf(text + n, size - n, "%s%s%s%s%s%s", i > 0 ? "; " : "",
                                plan_verb_to_string(a->verb), a->name ? " " : "",
                                a->name ? a->name : "", a->create ? " create" : "",
                                a->reset ? " reset" : "");
                if (a->verb == PLAN_BACK_OFF)
                        n += (size_t) snprintf(text + n, size - n, " %d",
                                        (int) ((a->at_usec - NOW) / SEC));
        }
}

static void run_case(const Case *c)
{
        PlanDesired desired = {
                .generation = c->generation > 0 ? c->generation : 1,
                .restart = c->restart,
                .backoff_base_usec = 10 * SEC,
                .backoff_cap_usec = 60 * SEC,
                .sandbox_hash = "S",
                .containers = c->want,
                .n_init = c->n_init,
                .hosts_hash = c->hosts ? c->hosts : "",
                .blocked = c->blocked,
        };
        PlanHave have[ARRAY_SIZE(c->have)];
        PlanObserved observed = {
                .sandbox = c->sandbox,
                .sandbox_hash = c->sandbox_hash              ? c->sandbox_hash
                                : c->sandbox == SANDBOX_NONE ? ""
                                                             : "S",
                .containers = have,
                .removing = c->removing,
                .free_starts = c->no_place ? 0 : 16,
        };
        char text[256];
        Plan plan;

        for (size_t i = 0; i < ARRAY_SIZE(c->want); i++)
                desired.n_containers += !!c->want[i].name;
        for (size_t i = 0; i < ARRAY_SIZE(c->have); i++)
                if (c->have[i].name)
                        have[observed.n_containers++] = c->have[i];
        assert_int_equal(plan_pod(c->undeclared ? NULL : &desired, &observed, NOW, &plan), 0);
        plan_to_text(&plan, text, sizeof(text));
        if (!streq(text, c->plan))
                fail_msg("%s: \"%s\" instead of \"%s\"", c->what, text, c->plan);
        if (plan.wake_usec != (c->wake > 0 ? c->wake : NONE))
                fail_msg("%s: wakes at %llu", c->what, (unsigned long long) plan.wake_usec);
        if (plan.wants_place != c->wants_place)
                fail_msg("%s: wants_place is %d", c->what, plan.wants_place);
        plan_done(&plan);
}

static void test_cases(void **state)
{
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                run_case(&cases[i]);
}

/* Places are given out within one plan too. */
static void test_places(void **state)
{
        PlanWant want[3] = { WANT_A, WANT_B, { .name = "c", .launch_hash = "C" } };
        PlanDesired desired = { .generation = 1,
                .sandbox_hash = "S",
                .hosts_hash = "",
                .containers = want,
                .n_containers = 3 };
        PlanObserved observed = { .sandbox = SANDBOX_READY, .sandbox_hash = "S", .free_starts = 2 };
        char text[256];
        Plan plan;

        assert_int_equal(plan_pod(&desired, &observed, NOW, &plan), 0);
        plan_to_text(&plan, text, sizeof(text));
        assert_string_equal(text, "start a reset; start b reset; wait c");
        assert_true(plan.wants_place);
        plan_done(&plan);
}

/* Whatever is observed: an answer, and never a start of what is alive or of what is not
 * declared. */
static void test_total(void **state)
{
        size_t n = 0;

        for (unsigned bits = 0; bits < 1U << 15; bits++)
                for (RunState s = 0; s < _RUN_STATE_MAX; s++)
                        for (RestartPolicy policy = 0; policy < _RESTART_POLICY_MAX; policy++) {
                                PlanWant want = {
                                        .name = "a", .launch_hash = "A", .needs_values = bits & 4096
                                };
                                PlanHave have = {
                                        .name = "a",
                                        .state = s,
                                        .values = (ValuesState) (bits >> 13),
                                        .alive = bits & 1,
                                        .over = bits & 2048,
                                        .launch_hash = bits & 2 ? "A" : "A1",
                                        .hosts_hash = "",
                                        .generation = bits & 4 ? 1 : 2,
                                        .last = bits & 8 ? exited_3 : (RunResult){},
                                        .stopped = bits & 16,
                                        .finished = bits & 32,
                                        .restart_wanted = bits & 64,
                                };
                                PlanDesired desired = { .generation = 2,
                                        .restart = policy,
                                        .sandbox_hash = "S",
                                        .hosts_hash = "",
                                        .containers = &want,
                                        .n_containers = 1,
                                        .blocked = bits & 128 };
                                PlanObserved observed = {
                                        .sandbox = bits & 256 ? SANDBOX_READY : SANDBOX_NONE,
                                        .sandbox_hash = "S",
                                        .containers = &have,
                                        .n_containers = 1,
                                        .free_starts = bits & 512 ? 1 : 0,
                                };
                                bool declared = bits & 1024;
                                Plan plan;

                                assert_int_equal(plan_pod(declared ? &desired : NULL, &observed,
                                                                 NOW, &plan),
                                                0);
                                for (size_t i = 0; i < plan.n_actions; i++) {
                                        PlanVerb v = plan.actions[i].verb;

                                        if (v == PLAN_RESOLVE)
                                                assert_true(want.needs_values &&
                                                                have.values == VALUES_NONE);
                                        if (v == PLAN_START)
                                                assert_true(!want.needs_values ||
                                                                have.values == VALUES_READY);
                                        if (v == PLAN_START || v == PLAN_RESOLVE)
                                                assert_true(declared && !have.alive &&
                                                                !desired.blocked &&
                                                                observed.free_starts > 0);
                                        if (v == PLAN_STOP || v == PLAN_UPDATE)
                                                assert_true(have.alive);
                                        if (v == PLAN_REMOVE || v == PLAN_FORGET)
                                                assert_true(!declared && !have.alive);
                                }
                                plan_done(&plan);
                                n++;
                        }
        assert_int_equal(n, (1U << 15) * _RUN_STATE_MAX * _RESTART_POLICY_MAX);
}

/* What test_total_inits() looks at, apart from the cases: nothing of the others starts beside an
 * init container that is not over, nor before it has ended well; and of a pod that has nothing to
 * do no init container starts. */
static void check_inits(const PlanHave have[3], const Plan *plan)
{
        bool starts_init = false, starts_main = false;

        for (size_t i = 0; i < plan->n_actions; i++) {
                if (plan->actions[i].verb != PLAN_START)
                        continue;
                if (streq(plan->actions[i].name, "a"))
                        starts_main = true;
                else
                        starts_init = true;
        }
        assert_false(starts_init && starts_main);
        for (size_t i = 0; i < 2; i++)
                if (starts_main)
                        assert_true((!have[i].alive || have[i].over) && !have[i].stopped &&
                                        run_result_is_success(&have[i].last) &&
                                        !have[i].restart_wanted);
        if (starts_init)
                assert_false(have[2].alive);
        if (starts_init && have[2].finished && !have[2].restart_wanted && !have[2].stopped &&
                        have[2].last.kind != RESULT_NONE)
                fail_msg("an init container of a pod that is over was started");
}

static void test_total_inits(void **state)
{
        static const RunResult none = { 0 };
        static const RunResult *const results[] = { &none, &exited_0, &exited_3 };
        static const char *const names[] = { "i", "j", "a" };
        PlanWant want[] = { WANT_I, WANT_J, WANT_A };
        size_t n = 0;

        /* For each of the three: alive, over, stopped or wanted, result. */
        for (unsigned bits = 0; bits < 24 * 24 * 24; bits++)
                for (SandboxState sandbox = 0; sandbox < _SANDBOX_STATE_MAX; sandbox++) {
                        PlanDesired desired = { .generation = 1,
                                .restart = RESTART_NEVER,
                                .sandbox_hash = "S",
                                .hosts_hash = "",
                                .containers = want,
                                .n_containers = 3,
                                .n_init = 2 };
                        PlanHave have[3];
                        PlanObserved observed = { .sandbox = sandbox,
                                .sandbox_hash = "S",
                                .containers = have,
                                .n_containers = 3,
                                .free_starts = 16 };
                        unsigned rest = bits;
                        Plan plan;

                        for (size_t i = 0; i < 3; i++, rest /= 24)
                                have[i] = (PlanHave){
                                        .name = names[i],
                                        .state = rest & 1 ? RUN_RUNNING : RUN_WAITING,
                                        .alive = rest & 1,
                                        .over = rest & 2,
                                        .launch_hash = want[i].launch_hash,
                                        .generation = 1,
                                        .init = i<2, .hosts_hash = "", .stopped = rest & 4,
                                                        .finished = rest % 24 / 8> 0,
                                        .last = *results[rest % 24 / 8],
                                };
                        /* A main container runs only when the others are done. */
                        if (!have[2].alive || have[2].over) {
                                assert_int_equal(plan_pod(&desired, &observed, NOW, &plan), 0);
                                check_inits(have, &plan);
                                plan_done(&plan);
                        }
                        n++;
                }
        assert_int_equal(n, 24 * 24 * 24 * _SANDBOX_STATE_MAX);
}

static void test_backoff(void **state)
{
        static const unsigned expected[] = { 10, 20, 40, 80, 160, 300, 300, 300 };

        for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
                for (uint64_t seed = 0; seed < 5000; seed += 7) {
                        uint64_t d = plan_backoff_delay(10 * SEC, 300 * SEC, i + 1, seed);

                        assert_true(d >= expected[i] * SEC);
                        assert_true(d <= expected[i] * SEC + expected[i] * SEC / 10);
                        assert_true(d <= 300 * SEC);
                }
        /* The jitter does move. */
        assert_int_equal(plan_backoff_delay(10 * SEC, 300 * SEC, 1, 0), 10 * SEC);
        assert_int_equal(plan_backoff_delay(10 * SEC, 300 * SEC, 1, 1000), 11 * SEC);
        /* Ends of the range. */
        assert_int_equal(plan_backoff_delay(0, 300 * SEC, 9, 3), 0);
        assert_int_equal(plan_backoff_delay(10 * SEC, 5 * SEC, 1, 1000), 5 * SEC);
        assert_int_equal(plan_backoff_delay(10 * SEC, 300 * SEC, UINT32_MAX, 1000), 300 * SEC);
        assert_int_equal(plan_backoff_delay(UINT64_MAX - 5, UINT64_MAX, 2, 1000), UINT64_MAX);
}

static void test_count(void **state)
{
        /* Counted from when it ran: a long set-up is not a stable run. */
        assert_int_equal(plan_count_failure(0, 0, 5000 * SEC, 600 * SEC), 1);
        assert_int_equal(plan_count_failure(3, 0, 5000 * SEC, 600 * SEC), 4);
        assert_int_equal(plan_count_failure(3, 100 * SEC, 200 * SEC, 600 * SEC), 4);
        assert_int_equal(plan_count_failure(3, 100 * SEC, 700 * SEC, 600 * SEC), 1);
        assert_int_equal(plan_count_failure(3, 100 * SEC, 699 * SEC, 600 * SEC), 4);
        assert_int_equal(plan_count_failure(3, 100 * SEC, 50 * SEC, 600 * SEC), 4);
        assert_int_equal(plan_count_failure(UINT32_MAX, 0, 0, SEC), UINT32_MAX);
}

/* ---- the state table ---- */

static void test_table(void **state)
{
        for (RunState s = 0; s < _RUN_STATE_MAX; s++)
                for (ContainerEvent e = 0; e < _CONTAINER_EVENT_MAX; e++) {
                        RunState next = container_next_state(s, e);
                        bool alive = s == RUN_CREATING || s == RUN_RUNNING || s == RUN_STOPPING;

                        assert_in_range(next, 0, _RUN_STATE_MAX - 1);
                        /* From an end only a start or a wait leads away. */
                        if ((s == RUN_EXITED || s == RUN_FAILED) && next != s)
                                assert_true(e == CONTAINER_EVENT_START ||
                                                e == CONTAINER_EVENT_BACK_OFF ||
                                                e == CONTAINER_EVENT_WAIT);
                        /* What is alive ends before it waits. */
                        if (alive)
                                assert_int_not_equal(next, RUN_WAITING);
                        /* Nothing runs that was not created. */
                        if (next == RUN_RUNNING)
                                assert_true(s == RUN_CREATING || s == RUN_RUNNING);
                        /* An end is an end in each state that is none. */
                        if (e == CONTAINER_EVENT_SUCCEEDED && s != RUN_FAILED)
                                assert_int_equal(next, RUN_EXITED);
                        if (e == CONTAINER_EVENT_FAILED && s != RUN_EXITED)
                                assert_int_equal(next, RUN_FAILED);
                }
        assert_int_equal(container_next_state(RUN_WAITING, CONTAINER_EVENT_START), RUN_CREATING);
        assert_int_equal(container_next_state(RUN_CREATING, CONTAINER_EVENT_RUNNING), RUN_RUNNING);
        assert_int_equal(container_next_state(RUN_RUNNING, CONTAINER_EVENT_STOP), RUN_STOPPING);
        assert_int_equal(container_next_state(RUN_STOPPING, CONTAINER_EVENT_RUNNING), RUN_STOPPING);
}

static void test_sum(void **state)
{
        static const struct {
                RunState states[4];
                size_t n;
                RunState sum;
                bool ready;
                size_t n_init;
                size_t decider; /* looked at with init containers */
        } sums[] = {
                { { 0 }, 0, RUN_WAITING, false },
                { { RUN_RUNNING }, 1, RUN_RUNNING, true },
                { { RUN_RUNNING, RUN_RUNNING, RUN_RUNNING }, 3, RUN_RUNNING, true },
                { { RUN_RUNNING, RUN_CREATING }, 2, RUN_CREATING, false },
                { { RUN_RUNNING, RUN_WAITING }, 2, RUN_WAITING, false },
                { { RUN_RUNNING, RUN_STOPPING, RUN_WAITING }, 3, RUN_STOPPING, false },
                { { RUN_RUNNING, RUN_FAILED }, 2, RUN_RUNNING, false },
                { { RUN_RUNNING, RUN_EXITED }, 2, RUN_RUNNING, false },
                { { RUN_EXITED, RUN_FAILED }, 2, RUN_FAILED, false },
                { { RUN_EXITED, RUN_EXITED }, 2, RUN_EXITED, false },

                { { RUN_WAITING, RUN_WAITING }, 2, RUN_WAITING, false, 1, 0 },
                { { RUN_CREATING, RUN_WAITING }, 2, RUN_CREATING, false, 1, 0 },
                { { RUN_RUNNING, RUN_WAITING }, 2, RUN_CREATING, false, 1, 0 },
                { { RUN_STOPPING, RUN_WAITING }, 2, RUN_STOPPING, false, 1, 0 },
                { { RUN_FAILED, RUN_WAITING }, 2, RUN_FAILED, false, 1, 0 },
                { { RUN_EXITED, RUN_WAITING }, 2, RUN_WAITING, false, 1, 1 },
                { { RUN_EXITED, RUN_CREATING }, 2, RUN_CREATING, false, 1, 1 },
                { { RUN_EXITED, RUN_RUNNING }, 2, RUN_RUNNING, true, 1, 1 },
                { { RUN_EXITED, RUN_EXITED }, 2, RUN_EXITED, false, 1, 1 },
                { { RUN_EXITED, RUN_RUNNING, RUN_WAITING }, 3, RUN_CREATING, false, 2, 1 },
                { { RUN_EXITED, RUN_FAILED, RUN_EXITED, RUN_WAITING }, 4, RUN_FAILED, false, 2, 1 },
                /* Nobody waits for them: then they are nobody's matter. */
                { { RUN_WAITING, RUN_RUNNING }, 2, RUN_RUNNING, true, 1, 1 },
                { { RUN_FAILED, RUN_STOPPING }, 2, RUN_STOPPING, false, 1, 1 },
                { { RUN_EXITED, RUN_WAITING, RUN_EXITED, RUN_FAILED }, 4, RUN_FAILED, false, 2, 3 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
                StateSum sum = pod_sum_states(sums[i].states, sums[i].n_init, sums[i].n);

                assert_int_equal(sum.state, sums[i].sum);
                assert_int_equal(sum.ready, sums[i].ready);
                if (sums[i].n_init > 0)
                        assert_int_equal(sum.decider, sums[i].decider);
                else if (sums[i].n > 0)
                        assert_int_equal(sums[i].states[sum.decider], sum.state);
        }
}

static void test_reasons(void **state)
{
        assert_int_equal(reason_from_result(&exited_0), REASON_COMPLETED);
        assert_int_equal(reason_from_result(&exited_3), REASON_ERROR);
        assert_int_equal(reason_from_result(&killed), REASON_SIGNALED);
        assert_int_equal(reason_from_result(&setup_failed), REASON_SETUP_FAILED);
        assert_int_equal(reason_from_result(&(RunResult){ .kind = RESULT_OOM_KILLED }),
                        REASON_OOM_KILLED);
        assert_int_equal(reason_from_result(&(RunResult){ .kind = RESULT_SHIM_LOST }),
                        REASON_SHIM_LOST);
        assert_int_equal(reason_from_result(&(RunResult){ .kind = RESULT_NONE }), REASON_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cases),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_total),
                cmocka_unit_test(test_total_inits),
                cmocka_unit_test(test_backoff),
                cmocka_unit_test(test_count),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_sum),
                cmocka_unit_test(test_reasons),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
