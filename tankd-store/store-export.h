/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Declarations as text: a line of JSON for each object, as Get shows it. The namespaces are first,
 * so that the lines can be applied in their order. Not in it: what was (history, changes) and the
 * key-value data; a backup has all.
 *
 * It is what is left to be done with a database that is damaged: what cannot be read is passed over
 * and told, and all else is written. */

#include "store.h"

typedef struct ExportOptions {
        const char *type, *namespace; /* NULL or "": every one */
        bool reveal;                  /* the values of secrets in the clear */
} ExportOptions;

typedef struct ExportResult {
        uint64_t count, revision;
        char *const *problems; /* a strv: what is missing, and why; borrowed */
} ExportResult;

typedef void (*ExportDone)(const ExportResult *result, const sd_bus_error *error, void *userdata);

/* @fd is duplicated. What stands at one moment; answered once. */
int store_export(Store *s, int fd, const ExportOptions *o, ExportDone done, void *userdata,
                sd_bus_error *reterr);
