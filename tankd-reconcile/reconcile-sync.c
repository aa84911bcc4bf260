/* SPDX-License-Identifier: Apache-2.0 */

#include "error.h"
#include "reconcile-sync.h"

int syncs_check(const Manager *m, sd_bus_error *reterr)
{
        if (m->n_syncs < ARRAY_SIZE(m->syncs))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                        "%zu calls of Sync wait already; try again", m->n_syncs);
}

void syncs_add(Manager *m, sd_bus_message *message, uint64_t read)
{
        assert(m->n_syncs < ARRAY_SIZE(m->syncs));
        m->syncs[m->n_syncs].message = sd_bus_message_ref(message);
        m->syncs[m->n_syncs++].read = read;
}

void syncs_answer(Manager *m)
{
        size_t left = 0;

        for (size_t i = 0; i < m->n_syncs; i++) {
                if (m->syncs[i].read > m->last_read) {
                        m->syncs[left++] = m->syncs[i];
                        continue;
                }
                /* The caller may have left. */
                (void) sd_bus_reply_method_return(m->syncs[i].message, "t", m->revision);
                sd_bus_message_unref(m->syncs[i].message);
        }
        m->n_syncs = left;
}

void syncs_fail(Manager *m)
{
        for (size_t i = 0; i < m->n_syncs; i++) {
                (void) sd_bus_reply_method_errorf(m->syncs[i].message, TANK_ERROR_UNAVAILABLE,
                                "the store went away: start tankd-store");
                sd_bus_message_unref(m->syncs[i].message);
        }
        m->n_syncs = 0;
}
