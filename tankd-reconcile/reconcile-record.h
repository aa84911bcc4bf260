/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the reconciler writes down: docs/protocol.md section 6 is made of this file.
 *
 *   <run>/pods/<uid>/pod.record    counters, results, the current runs, the sandbox, the id range
 *   <run>/pods/<uid>/pod.document  the declaration last acted on
 *   <run>/store-position           which database, up to which revision
 *   <state>/results/<uid>          what is over and shall not run again, across a reboot
 *
 * All in the record format, replaced atomically. What is under the run directory is not synced: it
 * does not outlive the machine. */

#include "record.h"
#include "reconcile-model.h"

#define POD_RECORD_VERSION 1U

/* Formats and parses; parse fills in a fresh PodEntry. -EBADMSG, -EPROTONOSUPPORT (newer). */
int pod_record_format(const PodEntry *p, const char *boot, RecordWriter *ret);
int pod_record_parse(const void *data, size_t size, PodEntry *p, char ret_boot[static ID128_SIZE]);

/* Makes the pod's directory when it is not there, saves what is due. */
int pod_record_save(PodEntry *p);
int pod_document_load(PodEntry *p, char **ret, uint64_t *ret_generation);

/* Results of containers that are over for good. Saved with sync; a pod without any has no file. */
int pod_results_save(PodEntry *p);
int pod_results_load(PodEntry *p); /* 1: there were some */
void pod_results_remove(PodEntry *p);
/* Removes the results of pods that this database has no more. */
void manager_sweep_results(Manager *m);

int manager_position_save(Manager *m);
int manager_position_load(Manager *m); /* 0 also when there is none */
