/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store client: keeps the manager's picture of what is declared in step with the store.
 *
 * Asynchronous throughout, at most one call under way. Signals are hints: `Changed` leads to one
 * GetChanges since the known revision, with the documents, so that from a write to the start of
 * what it declares there is one round trip. What is missed is found by the same call, since it asks
 * for everything since the known revision: after a gap, a reconnect, or at the resync. A list is
 * read where there is nothing to continue from. */

#include "reconcile-model.h"

int watch_new(Manager *m, Watch **ret);
Watch *watch_free(Watch *w);
DEFINE_CLEANUP(Watch *, watch_freep, watch_free);

int watch_connected(Watch *w, sd_bus *bus);
void watch_disconnected(Watch *w);

/* Reads the store again soon; the number of the reading that is sure to have begun after this call:
 * manager_caught_up() will name it or a later one. -ENOTCONN without a store. */
int watch_read(Watch *w, uint64_t *ret_read);
void watch_restart(Watch *w); /* from the position on, as after a connect */
void watch_resync(Watch *w);  /* compares one revision; the position where the list was not whole */
