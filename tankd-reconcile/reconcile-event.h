/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Events: logged first (reconcile-journal.h), then told on the bus as PodEvent, which is a hint and
 * lost while there is no bus. */

#include "reconcile-model.h"

void pod_emit(PodEntry *p, ContainerEntry *c, PodEvent event, const char *detail);

int events_open(Manager *m);
void events_close(Manager *m);
/* Tells how many events are missing in the log, once it takes something again. */
void events_retry(Manager *m);
/* After the adoption: learns from the log what was told before, so that an earlier life's events
 * are not told again. */
void events_recall(Manager *m);
/* After a complete list of what is declared: tells the end of pods that are gone, when whoever saw
 * them go could not say so any more. */
void events_settle(Manager *m);
