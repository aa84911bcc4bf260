/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents from the store together with what the reconciler sees of them. */

#include "ctl.h"
#include "ctl-bus.h"
#include "quantity.h"

/* One document; a pod's also with "status", if wanted. 0 or the exit code. */
int resource_read(sd_bus *bus, const Resource *r, bool with_status, json_t **ret);

/* "2d4h" since the RFC 3339 time @at, "" when that is none. */
const char *age_since(const char *at, char buf[static FORMAT_DURATION_SIZE]);
