/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rotation of the key: everything that is sealed with another one is sealed with the active one,
 * the history too, while the store goes on. Only the keys of the versions are touched: no version
 * is made, nobody is told of a change.
 *
 * The loop reads a slice of rows and submits them rewrapped; the next slice is read when that one
 * is durable, the first one when all is that was under way when the new key became the active one.
 * An object with a write under way is left to the next pass, whose turn comes behind that write. It
 * ends with a pass that finds nothing. */

#include "store-secret.h"

typedef struct RotateResult {
        char key_id[KEYRING_ID_TEXT_SIZE];
        uint64_t rewrapped; /* rows; twice, where a full key file had to be emptied first */
        uint64_t failed;    /* rows that no key here opens, or that are not what was sealed there */
} RotateResult;

/* @error NULL: done. Once for each rotation that was begun, from the loop. */
typedef void (*Rotated)(const RotateResult *result, const sd_bus_error *error, void *userdata);

typedef struct Rotation Rotation;

/* Busy: one is under way. When it fails later, or the process ends, the old keys are kept, and the
 * next one seals with a key of its own what either of them did. */
int store_rotate_key(Store *s, Rotated done, void *userdata, sd_bus_error *reterr);
/* The one under way fails. */
void store_end_rotation(Store *s);
Rotation *rotation_free(Rotation *r);
