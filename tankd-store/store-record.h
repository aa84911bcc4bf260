/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of the database. The first byte says how the rest is written; 1 is
 *
 *   objects, history   01 {header as JSON} LF {document as compact JSON, keys sorted}
 *   changes            01 {JSON}
 *
 * The header of an object's row: created, generation, operation, revision, uid, updated (times in
 * µs). A tombstone in the history has operation "deleted" and nothing behind the LF. Unknown
 * members are passed over: later programs may add some without a new format byte. */

#include <sys/types.h>

#include "clock.h"
#include "macro.h"
#include "state.h"
#include "store-key.h"

typedef enum Operation {
        OPERATION_CREATED,
        OPERATION_UPDATED,
        OPERATION_DELETED,
        _OPERATION_MAX,
        _OPERATION_INVALID = -EINVAL,
} Operation;
DECLARE_STRING_TABLE(Operation, operation);

typedef struct StoreRecord {
        char uid[ID128_SIZE];
        uint64_t generation, revision;
        uint64_t created_usec, updated_usec;
        Operation operation;
        const char *document; /* borrowed, not terminated; size 0: a tombstone */
        size_t document_size;
} StoreRecord;

int store_record_encode(const StoreRecord *r, char **ret, size_t *ret_size);
/* Borrows the document from @data. -EBADMSG; -EPROTONOSUPPORT for another format byte. */
int store_record_decode(const void *data, size_t size, StoreRecord *ret);
/* The document with its "meta", as it goes over the bus. */
int store_record_to_text(const StoreRecord *r, char **ret);

typedef struct StoreChange {
        Operation operation;
        ObjectKey key;
        char uid[ID128_SIZE];
        uint64_t generation;
        uid_t by;                    /* who asked for it */
        const char *labels;          /* JSON object, or NULL; only for encoding: */
        const char *previous_labels; /* lets a later reader see what stopped matching */
} StoreChange;

int store_change_encode(const StoreChange *c, char **ret, size_t *ret_size);
int store_change_decode(const void *data, size_t size, StoreChange *ret); /* as above; no labels */
