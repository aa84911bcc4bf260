/* SPDX-License-Identifier: Apache-2.0 */

#include "log.h"
#include "shim-private.h"

void shim_arm(Shim *s, uint64_t usec)
{
        int r;

        if (s->timer)
                r = sd_event_source_set_time_relative(s->timer, usec);
        else
                r = sd_event_add_time_relative(s->context->event, &s->timer, CLOCK_BOOTTIME, usec,
                                USEC_PER_MSEC, s->on_timer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "run %s: cannot arm a timer", s->run);
}

void shim_disarm(Shim *s)
{
        if (s->timer)
                (void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

void shim_adoption_done(Shim *s)
{
        if (!s->adopting)
                return;
        s->adopting = false;
        s->context->ops->adopted(s, s->userdata);
}
