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

/* One case: at most two containers on either side, "a" and "b". The plan as text:
 * "start a create reset; wait b". */
typedef struct Case {
        const char *what;
        bool undeclared, blocked;
        RestartPolicy restart;
        uint64_t generation;
        PlanWant want[2];
        PlanHave have[2];
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
#define HAVE(n, h, s, ...) \
        { \
                .name = n, .launch_hash = h, .state = s, .generation = 1, __VA_ARGS__ \
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
                .n_containers = (size_t) !!c->want[0].name + !!c->want[1].name,
                .blocked = c->blocked,
        };
        PlanHave have[2];
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

        for (size_t i = 0; i < 2; i++)
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
        PlanDesired desired = {
                .generation = 1, .sandbox_hash = "S", .containers = want, .n_containers = 3
        };
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
        PlanWant want = WANT_A;
        size_t n = 0;

        for (unsigned bits = 0; bits < 1U << 12; bits++)
                for (RunState s = 0; s < _RUN_STATE_MAX; s++)
                        for (RestartPolicy policy = 0; policy < _RESTART_POLICY_MAX; policy++) {
                                PlanHave have = {
                                        .name = "a",
                                        .state = s,
                                        .alive = bits & 1,
                                        .over = bits & 2048,
                                        .launch_hash = bits & 2 ? "A" : "A1",
                                        .generation = bits & 4 ? 1 : 2,
                                        .last = bits & 8 ? exited_3 : (RunResult){},
                                        .stopped = bits & 16,
                                        .finished = bits & 32,
                                        .restart_wanted = bits & 64,
                                };
                                PlanDesired desired = { .generation = 2,
                                        .restart = policy,
                                        .sandbox_hash = "S",
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

                                        if (v == PLAN_START)
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
        assert_int_equal(n, (1U << 12) * _RUN_STATE_MAX * _RESTART_POLICY_MAX);
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
                RunState states[3];
                size_t n;
                RunState sum;
                bool ready;
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
        };

        for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
                StateSum sum = pod_sum_states(sums[i].states, sums[i].n);

                assert_int_equal(sum.state, sums[i].sum);
                assert_int_equal(sum.ready, sums[i].ready);
                if (sums[i].n > 0)
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
                cmocka_unit_test(test_backoff),
                cmocka_unit_test(test_count),
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_sum),
                cmocka_unit_test(test_reasons),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
