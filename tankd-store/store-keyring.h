/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keys that secrets are sealed with. The first one seals, the others only open. They come from
 * one of
 *
 *   standard input   --key-stdin
 *   a key file       --key-file, else DATA-DIR/secrets.key
 *   a credential     $CREDENTIALS_DIRECTORY/tank-store.keys, when neither option is given
 *   nowhere          a store in memory makes one that goes with it
 *
 * in one form: lines with 32 bytes as base64 each, the first of them the active key. A key file is
 * nobody's but ours: a regular file, no symlink, owned by us or root, mode 0600 at most. It is made
 * when it is missing, but only while no secret was ever sealed: a new key opens nothing old, and
 * what was sealed shall not be given up by mistake.
 *
 * Where the keys are not as they have to be, there is no store until somebody has put them right:
 * no later start would find it otherwise. */

#include <systemd/sd-bus.h>

#include "macro.h"
#include "store-seal.h"

#define KEYRING_CREDENTIAL   "tank-store.keys"
#define KEYRING_DEFAULT_FILE "secrets.key"
#define KEYRING_MAX          16U

typedef struct Keyring Keyring;

typedef struct KeyringOptions {
        const char *file; /* --key-file; absolute */
        bool from_stdin;
        const char *data_dir; /* NULL: a store in memory */
} KeyringOptions;

/* @has_sealed: something in the database needs a key. Failures are logged in full. -ENOKEY: the
 * keys have to be put right; any other may pass. A key file that cannot be made while nothing needs
 * it (the disk is full) gives a keyring without keys. */
int keyring_open(const KeyringOptions *o, bool has_sealed, Keyring **ret);
/* As a store in memory has it: one key, made now. */
int keyring_new_in_memory(Keyring **ret);
Keyring *keyring_free(Keyring *k);
DEFINE_CLEANUP(Keyring *, keyring_freep, keyring_free);

const SealKey *keyring_active(const Keyring *k); /* NULL: there is none */
const SealKey *keyring_find(const Keyring *k, const unsigned char id[static SEAL_KEY_ID_SIZE]);
size_t keyring_count(const Keyring *k);
const SealKey *keyring_get(const Keyring *k, size_t i);

/* 16 hex digits. */
#define KEYRING_ID_TEXT_SIZE (2 * SEAL_KEY_ID_SIZE + 1)
const char *keyring_format_id(const unsigned char id[static SEAL_KEY_ID_SIZE],
                char buf[static KEYRING_ID_TEXT_SIZE]);

/* First: makes a new key the active one, durably, with the others kept, of which there may be
 * several: a rotation that was cut is ended by the next one, with a key that is newer than both. 1:
 * there is no room for one more, so it is the active one that all is to be sealed with; at the end
 * there is. Keys from outside cannot be added to: where there are several, somebody brought a new
 * one in front of the old one, which stays the active one; else FailedPrecondition, with how they
 * are. */
int keyring_rotate_begin(Keyring *k, sd_bus_error *reterr);
/* Last, when nothing needs them any more: gives up all keys but the active one, durably. */
int keyring_rotate_end(Keyring *k, sd_bus_error *reterr);
