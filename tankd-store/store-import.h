/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Declarations from text, as store-export.h writes it: a document on each line, created or
 * replaced; what a line says about revisions and the like (meta) is passed over, but for the sealed
 * values of a secret. All lines are read
 * and checked before anything is written, so that a bad file changes nothing. Written is in
 * transactions of bounded size, namespaces first: where one of them fails, those before it stay;
 * what is there already is not written again, so the same import can be made once more. */

#include "store.h"

typedef struct ImportResult {
        uint64_t created, updated, unchanged;
} ImportResult;

/* With an error too: what was written before it. */
typedef void (*ImportDone)(const ImportResult *result, const sd_bus_error *error, void *userdata);

typedef struct ImportOptions {
        uid_t by;
        bool privileged; /* the caller may use privileged fields */
        bool secrets;    /* the caller may write secrets */
        bool dry_run;
        uint64_t size; /* what must have come when the text ends, or IMPORT_ANY_SIZE */
} ImportOptions;
#define IMPORT_ANY_SIZE UINT64_MAX

/* @fd is duplicated, and read to its end. Answered once. */
int store_import(Store *s, int fd, const ImportOptions *o, ImportDone done, void *userdata,
                sd_bus_error *reterr);

/* One line, for whoever else reads them. */
typedef struct ImportLine {
        char *document;  /* normalized, without meta */
        char *identity;  /* "pod default/web" */
        char *namespace; /* that must be there; NULL: none must */
        bool is_namespace;
        char *sealed; /* the values of a secret, as they were exported; NULL: in the document */
        char sealed_uid[ID128_SIZE];
        uint64_t sealed_revision;
} ImportLine;
int import_parse_line(const char *text, size_t size, ImportLine *ret, sd_bus_error *reterr);
void import_line_done(ImportLine *l);
