/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many declarations as one transaction of the store: all of them or none. */

#include "ctl-bus.h"
#include "ctl-source.h"

typedef struct WriteResult {
        char changed[16]; /* "created", "updated", "unchanged", "deleted", "absent" */
        uint64_t generation;
} WriteResult;

typedef enum WriteVerb {
        WRITE_APPLY,
        WRITE_DELETE,
} WriteVerb;

typedef enum WriteFlags {
        WRITE_DRY_RUN = 1 << 0,           /* only asks what the store would say */
        WRITE_CREATE_NAMESPACES = 1 << 1, /* of what is applied */
        WRITE_CASCADE = 1 << 2,           /* namespaces go with what stands in them */
} WriteFlags;

/* Namespaces are made before what may stand in them, whatever the order
 * of the files, and go behind it. *ret has a result for each of @d. 0 or the exit code, when it is
 * said already what is wrong. */
int write_together(sd_bus *bus, WriteVerb verb, const Declarations *d, WriteFlags flags,
                WriteResult **ret);
