/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verb kv: key-value data. Shared by the ctl-kv*.c files; completion asks for the stores.
 *
 * Keys and values are bytes. In JSON they are strings where they are valid UTF-8 without NUL, and
 * {"base64": "…"} where they are not. */

#include <jansson.h>

#include "ctl-bus.h"
#include "ctl.h"

extern const CtlPeer ctl_kv;

typedef struct KvData {
        const void *data;
        size_t size;
} KvData;

/* A key or value as JSON; NULL: out of memory. */
json_t *kv_json(KvData bytes);

int kv_read_bytes(sd_bus_message *m, KvData *ret);
int kv_append_bytes(sd_bus_message *m, KvData bytes);
int kv_append_bytes_option(sd_bus_message *m, const char *name, KvData bytes);

typedef struct KvShown {
        KvData key, value;
        uint64_t revision, expires_usec;
} KvShown;

/* All pages of a list, entry by entry, and up to which revision its first page is complete.
 * @durable: what the changes behind that revision go on from. */
typedef struct KvListing {
        const char *store, *prefix; /* NULL: all */
        bool values, durable;
        int (*each)(const KvShown *entry, void *userdata);
        void *userdata;
        uint64_t revision;
        size_t n_unreadable; /* keys whose value cannot be read; told on standard error */
        bool begun;
} KvListing;

int kv_list(sd_bus *bus, KvListing *l, sd_bus_error *reterr);
int kv_each_store(sd_bus *bus,
                void (*each)(const char *store, uint64_t keys, uint64_t bytes, void *userdata),
                void *userdata, sd_bus_error *reterr);

/* The words behind "kv"; each returns tankctl's exit code. */
int kv_watch(const Arguments *a);
int kv_import(const Arguments *a);
