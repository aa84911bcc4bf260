/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of Sync wait for a reading of the store that began after them. */

#include "reconcile-model.h"

/* Whether another call may wait; LimitExceeded. */
int syncs_check(const Manager *m, sd_bus_error *reterr);
/* Keeps @message until the reading @read is complete. There must be room. */
void syncs_add(Manager *m, sd_bus_message *message, uint64_t read);
void syncs_answer(Manager *m); /* those whose reading is complete */
void syncs_fail(Manager *m);
