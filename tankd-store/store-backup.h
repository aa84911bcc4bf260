/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A backup: all rows of one moment as bytes (store-dump.h), while everything goes on. And back,
 * into a directory where there is no database, before there is a store. */

#include "store.h"

typedef struct BackupResult {
        uint64_t revision, bytes;
} BackupResult;

typedef void (*BackupDone)(const BackupResult *result, const sd_bus_error *error, void *userdata);

/* @fd is duplicated. Answered once, when all of it is written. Who knows its name syncs it. */
int store_backup(Store *s, int fd, BackupDone done, void *userdata, sd_bus_error *reterr);

/* Makes a database in @dir, which must have none, of what @from ("-": standard input) holds. It is
 * verified whole before it stands there. It is a new database: its revisions go on from that of the
 * backup, and may come to mean something else than those that were told before; so it gets an id of
 * its own, and whoever followed the old one lists anew. Failures are logged; blocks. */
int store_restore(const char *from, const char *dir, const char *log_dir);
