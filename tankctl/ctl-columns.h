/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tables of documents: which columns there are, what stands in them, and what sorting by them
 * means. A column is one that is known for the type, by its title, or any field of the document, by
 * its path: ".meta.revision", ".labels.app", ".status.containers.0.pid". */

#include <jansson.h>

#include "ctl-table.h"
#include "ctl.h"

typedef struct Columns Columns;

/* Those that -o and --columns ask for. 0 or the exit code. */
int columns_new(const Arguments *a, const char *type, Columns **ret);
Columns *columns_free(Columns *c);
DEFINE_CLEANUP(Columns *, columns_freep, columns_free);

const char *const *columns_titles(const Columns *c); /* for table_new() */
void columns_add_row(const Columns *c, Table *t, const json_t *doc);
/* What a row shows, but for what changes with the time alone; to tell whether it has changed. */
json_t *columns_row(const Columns *c, const json_t *doc);

/* The titles that are known for @type. */
void columns_list(
                const char *type, void (*each)(const char *title, void *userdata), void *userdata);

/* Sorts the array @docs as --sort-by says: by a column or a path, from behind with "-" before it.
 * What has no such field stands last; equals stay in their order. 0 or the exit code. */
int documents_sort(json_t *docs, const char *type, const char *by);

/* The same order in the words of the store's List, NULL when it has none for it; @one_namespace:
 * all stand in the same. 0 or the exit code. */
int documents_store_order(const char *type, const char *by, bool one_namespace, const char **ret);
