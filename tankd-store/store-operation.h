/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One operation of a transaction, taken apart and checked against what stands: the committed
 * objects, and the writes under way before it, its own transaction's included. Nothing of the store
 * is changed here. Included by the store-*.c files that write. */

#include <jansson.h>

#include "store-internal.h"
#include "store-seal.h"

typedef struct Step {
        const StoreOperation *operation;
        bool has_if_revision; /* of the operation, or else of the document's meta */
        uint64_t if_revision;

        ObjectKey key;
        json_t *document; /* what shall stand there, normalized; NULL: nothing new */
        char *text;       /* its stored form */

        StoreRecord previous; /* what the step builds upon */
        char *previous_buffer;
        bool exists;

        /* Of a secret: the document is redacted by step_check(), which puts its values here. */
        Plain values;
        StoreRecord version; /* rollback: where they come from */
        char *version_buffer;

        bool writes;
        Operation effect; /* when it writes */
} Step;

void step_done(Step *p);

/* First what is asked for, and of which object. */
int step_read(Step *p, Store *s, const StoreOperation *o, sd_bus_error *reterr);
/* FailedPrecondition for a namespace that always exists. */
int namespace_refuse_delete(const char *name, sd_bus_error *reterr);
/* Then whether the caller may, whether it can be, and what comes of it. */
int step_check(Step *p, Store *s, const StoreWrite *w, sd_bus_error *reterr);
/* store-step.c: then, when it writes, its op, for op_done(). Also on failure. */
int step_make_op(const Step *p, Store *s, uint64_t revision, uid_t by, Op *ret,
                sd_bus_error *reterr);
