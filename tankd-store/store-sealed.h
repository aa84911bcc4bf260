/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of secrets as records have them. What anybody reads of a secret is its document, in
 * which each value is {"redacted": true}; the values themselves stand sealed behind it, all of one
 * version together. Included by the store-*.c files that write or open secrets.
 *
 * In the open they are a Plain: for each key, in the order of their bytes, the length of the key
 * (4 bytes, little endian), the key, the length of the value, the value. */

#include <jansson.h>

#include "store-internal.h"
#include "store-seal.h"

/* One after the other, beginning with *at 0. False at the end. */
bool sealed_next(const Plain *values, size_t *at, SealedValue *ret);

/* The values of a version that stood or stands at @revision: of the row's key, where it has one.
 * AuthenticationFailed in @reterr: no key of ours opens it, or it was sealed for another place. */
int sealed_open(Store *s, const ObjectKey *key, uint64_t revision, const StoreRecord *record,
                Plain *ret, sd_bus_error *reterr);
/* The same of the record that stands, in @view or (NULL) now: refuses an earlier or another one
 * that was put in its place. */
int sealed_open_current(Store *s, const DbView *view, const ObjectKey *key,
                const StoreRecord *record, Plain *ret, sd_bus_error *reterr);

/* 1 when the record that stands at @key is of the object that is known to stand there; 0 when it
 * was put there: its uid is another one's. */
int sealed_is_at_home(
                Store *s, const DbView *view, const ObjectKey *key, const StoreRecord *record);

/* Takes the values out of a normalized document and leaves it redacted. A value that is redacted
 * already is that of @base, of which NULL says that there is none. */
int sealed_take(json_t *document, const Plain *base, Plain *ret, sd_bus_error *reterr);

/* Whether a document has redacted values. */
bool sealed_keeps(const json_t *document);

/* Under the active key, for where @op will stand; the blob is op->record.sealed and the caller's to
 * free(). */
int sealed_close(Store *s, Op *op, const Plain *values, char **ret, sd_bus_error *reterr);
