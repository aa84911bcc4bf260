/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How much may stand in a namespace: the `quota` of its document, in objects and in bytes of what
 * is stored of them (documents, and of secrets the sealed values; the namespace itself does not
 * count). It is judged when a write is accepted, with all that is under way, a transaction by what
 * comes of it as a whole: what it deletes makes room for what it brings. What grows nothing passes,
 * however much stands there.
 *
 * The numbers are kept in memory, of namespaces that have a quota. Which ones have, and how much
 * stands in them, is read from the rows, a millisecond of each turn of an idle loop: behind the
 * start, and when a quota is set. A write that has to know sooner reads on itself, and is refused
 * with Busy when that takes long. Where no namespace has a quota, a write costs nothing here.
 *
 *      unknown --> which have one --> counted up to a row --> counted
 *         ^                                                      |
 *         +--- a batch failed, another database: forgotten ------+ */

#include "store.h"

typedef struct Quotas Quotas;

int quotas_new(Store *s, Quotas **ret);
Quotas *quotas_free(Quotas *q);
DEFINE_CLEANUP(Quotas *, quotas_freep, quotas_free);

/* What stands may be another: all is read anew. */
void quotas_forget(Quotas *q);

/* What a transaction comes to, whose ops are in the overlay. LimitExceeded, Busy. Whatever is
 * returned: when it does not come to be, it is given back, once its ops are in the overlay no
 * more. */
int quotas_take(Quotas *q, const Op *ops, size_t n, sd_bus_error *reterr);
void quotas_give_back(Quotas *q, const Op *ops, size_t n);

#define QUOTA_NONE INT64_MAX

typedef struct QuotaUse {
        int64_t objects, bytes;         /* with what is under way */
        int64_t max_objects, max_bytes; /* QUOTA_NONE: no end */
} QuotaUse;

/* Of the namespaces that are counted, by name. */
typedef int (*QuotaSeen)(const char *namespace, const QuotaUse *use, void *userdata);
int quotas_walk(const Quotas *q, QuotaSeen each, void *userdata);
