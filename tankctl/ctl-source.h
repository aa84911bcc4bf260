/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Declarations from files, directories and standard input, all of them read and checked before
 * anything is done with one. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

typedef struct Declaration {
        json_t *document; /* normalized; identity alone with LOAD_IDENTITY_ONLY */
        const char *type, *namespace,
                        *name; /* inside of document; namespace "" for types without */
        bool has_if_revision;
        uint64_t if_revision; /* meta.revision */
        bool stored;          /* it has meta.uid, so it is what the store gave, edited or not */
        json_t *sealed;       /* with LOAD_SEALED: the meta of a secret whose values are sealed */
        char *source;         /* "file:line" */
} Declaration;

typedef struct Declarations {
        Declaration *items;
        size_t n;
} Declarations;

typedef enum LoadFlags {
        LOAD_IDENTITY_ONLY = 1 << 0, /* kind, namespace and name are enough, as for deleting */
        LOAD_SKIP_BAD = 1 << 1,      /* say what is wrong with one, and go on without it */
        LOAD_SEALED = 1 << 2,        /* take what an export sealed, for an import */
} LoadFlags;

/* @namespace: of documents that name none; NULL: "default". Whoever gives one and a document with
 * another means two things at once: refused. Each error is printed as file:line:column: path:
 * message. 0 or the exit code. */
int declarations_load(
                char *const *files, const char *namespace, LoadFlags flags, Declarations *ret);
void declarations_done(Declarations *d);

/* "pod/default/web", or "namespace/prod": the name of a thing in all that is said. */
void declaration_print_identity(FILE *f, const Declaration *d);
char *declaration_identity(const Declaration *d); /* NULL: out of memory */
