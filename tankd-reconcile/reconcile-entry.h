/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pods and containers as entries; the one setter of a state. */

#include "reconcile-model.h"

void container_transition(ContainerEntry *c, ContainerEvent event, Reason reason);
ContainerEntry *pod_container(PodEntry *p, const char *name);
/* As it is declared; when it is not, as it was run. */
bool container_is_init(const ContainerEntry *c);
/* The one that is meant when a pod is named and no container. NULL: there is none. */
ContainerEntry *pod_first_container(const PodEntry *p);
int pod_add_container(PodEntry *p, const char *name, ContainerEntry **ret);
void pod_forget_container(ContainerEntry *c);
bool container_is_alive(const ContainerEntry *c);
/* Fixed for each run and different from those of its neighbours: what fails together does not come
 * back together. */
uint64_t container_seed(const ContainerEntry *c);
void container_add_result(ContainerEntry *c, const RunResult *result);
void container_show_end(ContainerEntry *c); /* exited or failed, as the last result says */
/* The same, but waiting when it will be started again: nobody shall see an end that is none. */
void container_show_outcome(ContainerEntry *c);
/* A place among the starts that may be under way at a time; freed when the start is through or
 * over. */
void container_take_place(ContainerEntry *c);
void container_free_place(ContainerEntry *c);
/* What was read for its next start, or is being read: forgotten, with the place that was held for
 * it. */
void container_drop_values(ContainerEntry *c);
/* What it uses may be another one by now. Not for what a comparison came to: it would follow itself
 * without end; that is for the next resync (check_again). */
void container_forget_checks(ContainerEntry *c);
int pod_entry_new(PodEntry **ret);
PodEntry *pod_entry_free(PodEntry *p);
DEFINE_CLEANUP(PodEntry *, pod_entry_freep, pod_entry_free);
void pod_set_desired(PodEntry *p, Desired *consume);
void pod_set_refused(PodEntry *p, Reason reason, const char *sentence);
/* All of it, or @only: of an init container that means what comes after it as well. */
void pod_restart(PodEntry *p, ContainerEntry *only);
/* What ran after the init container @c before counts no more: @c runs anew. */
void pod_forget_later_inits(PodEntry *p, const ContainerEntry *c);
const RunResult *container_last_result(const ContainerEntry *c);
/* How its last run ended: what failed and why, where more is known of it than the result. */
int container_describe_end(const ContainerEntry *c, char **ret);
/* Something of @c has changed that is told and written down, or only told. */
void container_changed(ContainerEntry *c, unsigned announce);
void container_announce_later(ContainerEntry *c, unsigned announce);
