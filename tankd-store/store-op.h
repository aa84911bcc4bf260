/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One object's change: what it puts into each family of the database. */

#include "store-db.h"
#include "store-record.h"

typedef struct Op {
        ObjectKey key;
        StoreRecord record; /* its document points into value */
        char *value;        /* the row of the object and of the history */
        size_t value_size;
        char *change; /* the row of the change log */
        size_t change_size;
        int more_objects; /* by which its namespace grows */
        int64_t more_bytes;
} Op;

void op_done(Op *op);

/* From key and record, whose document and sealed are borrowed only until then. @labels,
 * @previous_labels: JSON text or NULL. -ENOMEM. */
int op_encode(Op *op, uid_t by, const char *labels, const char *previous_labels);
size_t op_bytes(const Op *op); /* of its rows */
void op_put(const Op *op, uint32_t index, DbBatch *b, const Db *db);
