/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents from the store together with what the reconciler sees of them. */

#include "ctl-bus.h"
#include "ctl.h"
#include "limit.h"
#include "quantity.h"

/* One document; a pod's also with "status", if wanted. When the reconciler could not tell,
 * *ret_silence says why, and the status is waiting/Pending with the same words. A namespace's that
 * has a quota also with what stands in it, see ctl-quota.h. -errno, told in @reterr. */
int resource_read(sd_bus *bus, const Resource *resource, bool with_status, json_t **ret,
                sd_bus_error *ret_silence, sd_bus_error *reterr);
/* The same of all that @q asks for, which is of one type, as an array; see store_list(). A pod that
 * only the reconciler knows is in it when nothing was selected: it has nothing to select it by. */
int resources_read(sd_bus *bus, const ListQuery *q, bool with_status, json_t **ret,
                uint64_t *ret_more, sd_bus_error *ret_silence, sd_bus_error *reterr);

/* As ctl_bus_failure(), of a call about @x; where its type is a slip, that is said too. */
int resource_failure(const Resource *x, const sd_bus_error *e, int r);

/* Whether its type is a slip: tank does not know it, has one that is spelled nearly so, and there
 * is nothing of it; any other may be somebody's own. For verbs to which missing is no failure. 0,
 * or the exit code after a sentence. */
int resource_check_type(sd_bus *bus, const Resource *x, const char *verb);

/* "namespace/name" */
#define RESOURCE_PATH_SIZE (2 * (LIMIT_NAME_MAX + 1))
const char *resource_path(const json_t *doc, char buf[static RESOURCE_PATH_SIZE]);

/* "2d4h" since the RFC 3339 time @at, "" when that is none. */
const char *age_since(const char *at, char buf[static FORMAT_DURATION_SIZE]);
