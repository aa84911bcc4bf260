/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From what is declared to what a shim is given: docs/protocol.md section 2.3. */

#include "record.h"
#include "reconcile-model.h"

/* Why a run could not even be tried. */
typedef struct LaunchFailure {
        RunResult result; /* setup-failed */
        char *message;
} LaunchFailure;

/* Makes what a run needs outside of its run directory (managed volumes, an id range for the pod)
 * and the launch record of @c's next run @run. @values: NULL when it needs none. On failure @reterr
 * tells why (-ENOMEM: nothing). */
int launch_format(ContainerEntry *c, const Values *values, const char *run, bool create_sandbox,
                RecordWriter *ret, LaunchFailure *reterr);

/* "default-web-app", with each '-' of a name doubled, so that no two containers get the same;
 * "x<32 hex digits>" when that is too long for a file name. */
int launch_node_name(const char *namespace, const char *pod, const char *container, char **ret);

/* Ranges of ids, one for each pod with a user namespace of its own. */
int id_ranges_init(Manager *m);
int id_range_allot(PodEntry *p);
void id_range_note(PodEntry *p); /* adopted: it is taken */
void id_range_release(PodEntry *p);

/* The state of a container's launch as a hash: equal as long as nothing changes that a running
 * container cannot be given. Not in it: limits, extra_hosts, the stop parameters, labels,
 * annotations, restart and backoff. A declared default is the same as nothing declared. */
int launch_hash(const json_t *document, const json_t *container, bool init,
                char ret[static SHA256_HEX_SIZE]);
int sandbox_hash(const json_t *document, char ret[static SHA256_HEX_SIZE]);

/* @document: with or without meta, which is taken off. -EINVAL with a reason and a sentence. */
int desired_new(json_t *document, uint64_t generation, Desired **ret, Reason *reterr_reason,
                char **reterr_sentence);
Desired *desired_free(Desired *d);
DEFINE_CLEANUP(Desired *, desired_freep, desired_free);
