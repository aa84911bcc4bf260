/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of the database. The first byte says how the rest is written; 1 is
 *
 *   objects, history   01 {header as JSON} LF {document as compact JSON, keys sorted} {sealed}
 *   changes            01 {JSON}
 *
 * The header of an object's row: created, generation, operation, revision, uid, updated (times in
 * µs), and of a secret sealed: how many bytes of values stand encrypted behind the document, as
 * store-seal.h tells. A tombstone in the history has operation "deleted" and nothing behind the LF.
 * Unknown members are passed over: later programs may add some without a new format byte. */

#include <jansson.h>
#include <sys/types.h>

#include "clock.h"
#include "macro.h"
#include "state.h"
#include "store-key.h"

#define STORE_FORMAT_JSON 1

/* -EBADMSG: nothing is there; -EPROTONOSUPPORT: it is not written as above. */
int store_format_check(const void *data, size_t size);

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
        const char *sealed; /* borrowed; behind the document in the row */
        size_t sealed_size; /* 0: there is none */
} StoreRecord;

int store_record_encode(const StoreRecord *r, char **ret, size_t *ret_size);
/* The same, and @r borrows from it what it borrowed from elsewhere. */
int store_record_encode_into(StoreRecord *r, char **ret, size_t *ret_size);
/* Borrows document and sealed from @data. -EBADMSG, also when the document is no JSON, or has a
 * "meta", which is the store's to add; -EPROTONOSUPPORT for another format byte. */
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
        const char *previous_labels; /* lets a later reader see what stopped matching; "null": not
                                      * known, as nobody could read what stood there */
} StoreChange;

int store_change_encode(const StoreChange *c, char **ret, size_t *ret_size);
/* As above, without the labels. 1: it is a row of the key-value data, whose JSON has "store" and
 * ends with a LF, and *ret is untouched. */
int store_change_decode(const void *data, size_t size, StoreChange *ret);
/* The labels then and before, of a row that could be decoded: objects, or NULL for none;
 * *ret_previous is a null when they are not known. */
int store_change_labels(const void *data, size_t size, json_t **ret, json_t **ret_previous);
