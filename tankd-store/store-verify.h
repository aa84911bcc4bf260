/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads everything that a database holds, as it stood at one moment, and says what is wrong and
 * what to do about it. Reading a block compares its checksum; besides
 *
 *   rows about the database   there, and in their form
 *   objects                   decode, name themselves, are their newest version, have their id
 *   ids                       one for each object that stands, and no other
 *   history                   decodes, in the order of its revisions, one incarnation after the
 *                             other; a value that is not deleted stands
 *   changes                   decode; every revision behind `compacted`, each from its first change
 *                             on; each has its version; the sums of rows and bytes are right
 *   key-value data            decodes
 *
 * It changes nothing. What it finds are sentences, at most LIMIT_VERIFY_PROBLEMS of them. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store-db.h"

typedef struct Verifier Verifier;

int verifier_new(Db *db, Verifier **ret);
Verifier *verifier_free(Verifier *v);
DEFINE_CLEANUP(Verifier *, verifier_freep, verifier_free);

/* Until about @deadline (boot time). 1: there is more to read, 0: all was. -ENOMEM. */
int verifier_turn(Verifier *v, uint64_t deadline);
char *const *verifier_problems(const Verifier *v); /* NULL-terminated; ends with how many more */
uint64_t verifier_rows(const Verifier *v);         /* that were read */

/* The same of a store that is served. Answered once. */
typedef struct Store Store;
typedef void (*Verified)(const Verifier *v, const sd_bus_error *error, void *userdata);
int store_verify(Store *s, Verified done, void *userdata, sd_bus_error *reterr);

/* Of the database in @dir, which nobody has open, on standard output. 0: nothing is wrong; 1:
 * something is; or it could not be looked at (told). */
int store_verify_directory(const char *dir, const char *log_dir);
