/* SPDX-License-Identifier: Apache-2.0 */

/* Two timers drive the same turn: one that is over at once, of idle priority, so that jobs run at
 * once where nobody else does and the commit queue (which gathers until the loop is idle) is not
 * held up; and one for a loop that is never idle. Both are off while no job can run. The first is
 * no defer source: those are always pending, and the one that was made first would go before all
 * others of its priority for as long as it is on. */

#include "store-job.h"

#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-internal.h"

#define SLICE_USEC (2 * USEC_PER_MSEC)
#define SHARE_USEC (10 * USEC_PER_MSEC) /* without an idle moment */

struct Jobs {
        Job *first, *last;
        size_t n; /* that others asked for */
        sd_event_source *idle, *timer;
};

static void append(Jobs *q, Job *j)
{
        j->next = NULL;
        j->previous = q->last;
        *(q->last ? &q->last->next : &q->first) = j;
        q->last = j;
        q->n += !j->type->always;
}

static void take_out(Jobs *q, Job *j)
{
        *(j->previous ? &j->previous->next : &q->first) = j->next;
        *(j->next ? &j->next->previous : &q->last) = j->previous;
        j->next = j->previous = NULL;
        q->n -= !j->type->always;
}

static Job *find_ready(const Jobs *q)
{
        Job *j = q->first;

        while (j && j->waits)
                j = j->next;
        return j;
}

bool jobs_idle(const Jobs *q)
{
        return !find_ready(q);
}

static void arm(Jobs *q)
{
        int on = find_ready(q) ? SD_EVENT_ONESHOT : SD_EVENT_OFF, r;

        if ((on && (r = sd_event_source_set_time(q->idle, 0)) < 0) ||
                        (r = sd_event_source_set_enabled(q->idle, on)) < 0 ||
                        (on && (r = sd_event_source_set_time_relative(q->timer, SHARE_USEC)) < 0) ||
                        (r = sd_event_source_set_enabled(q->timer, on)) < 0)
                (void) log_error_errno(r, "cannot arrange for the next slice of a job");
}

static void end(Jobs *q, Job *j, const sd_bus_error *error)
{
        take_out(q, j);
        j->type->end(j, error);
}

static void turn(Jobs *q)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Job *j = find_ready(q);
        int r;

        if (!j)
                return;
        r = j->type->turn(j, now_boottime_usec() + SLICE_USEC, &e);
        if (r == -EAGAIN) {
                j->waits = true;
                r = 1;
        }
        if (r < 0 && !sd_bus_error_is_set(&e))
                (void) tank_error_set_errno(&e, r, "it could not go on");
        if (r > 0) {
                take_out(q, j); /* the others first */
                append(q, j);
        } else
                end(q, j, r < 0 ? &e : NULL);
        arm(q);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        turn(userdata);
        return 0;
}

int job_add(Store *s, Job *j, sd_bus_error *reterr)
{
        Jobs *q = s->jobs;

        if (s->ending)
                return tank_error_set(reterr, TANK_ERROR_UNAVAILABLE, "tankd-store ends");
        if (!j->type->always && q->n >= LIMIT_JOBS)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "%u backups, verifications and the like are under way: wait for "
                                "one to end",
                                LIMIT_JOBS);
        j->store = s;
        j->waits = false;
        append(q, j);
        arm(q);
        return 0;
}

void job_wake(Job *j)
{
        j->waits = false;
        arm(j->store->jobs);
}

void job_fail(Job *j, const sd_bus_error *error)
{
        Jobs *q = j->store->jobs;

        end(q, j, error);
        arm(q);
}

void jobs_end(Jobs *q, bool all, const char *why)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) tank_error_set(&e, TANK_ERROR_UNAVAILABLE, "given up: %s; try again", why);
        for (Job *j = q->first, *next; j; j = next) {
                next = j->next;
                if (all || j->type->holds)
                        end(q, j, &e);
        }
        arm(q);
}

int jobs_new(sd_event *event, Jobs **ret)
{
        CLEANUP(jobs_freep) Jobs *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        if ((r = sd_event_add_time(event, &q->idle, CLOCK_MONOTONIC, 0, 1, on_timer, q)) < 0 ||
                        (r = sd_event_source_set_enabled(q->idle, SD_EVENT_OFF)) < 0 ||
                        (r = sd_event_source_set_priority(q->idle, SD_EVENT_PRIORITY_IDLE)) < 0 ||
                        (r = sd_event_add_time(event, &q->timer, CLOCK_MONOTONIC, 0, 0, on_timer,
                                         q)) < 0 ||
                        (r = sd_event_source_set_enabled(q->timer, SD_EVENT_OFF)) < 0 ||
                        /* As the end of a batch, which there may always be one of. */
                        (r = sd_event_source_set_priority(q->timer, SD_EVENT_PRIORITY_NORMAL - 1)) <
                                        0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

Jobs *jobs_free(Jobs *q)
{
        if (!q)
                return NULL;
        assert(!q->first);
        sd_event_source_disable_unref(q->idle);
        sd_event_source_disable_unref(q->timer);
        free(q);
        return NULL;
}
