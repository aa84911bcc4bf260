/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a client types, on its way to a terminal: no more is taken from the client than the terminal
 * takes, so that nothing is lost, nothing grows, and the client feels that nobody reads. */

#include <systemd/sd-event.h>

#include "macro.h"

typedef struct ShimInput ShimInput;

/* Nothing more will pass: the client has sent its last and the terminal has it, or the terminal is
 * gone. Called from the loop, once; may free the input. */
typedef void (*ShimInputOver)(ShimInput *input, void *userdata);

/* From @from, the client's socket or pipe, to @to, a terminal's master. Both are duplicated, and
 * must be non-blocking. */
int shim_input_new(sd_event *event, int from, int to, ShimInputOver over, void *userdata,
                ShimInput **ret);
ShimInput *shim_input_free(ShimInput *i);
DEFINE_CLEANUP(ShimInput *, shim_input_freep, shim_input_free);

/* Bytes that the terminal took, in all. */
uint64_t shim_input_passed(const ShimInput *i);

/* The client is gone. Whether the terminal has all that it sent before; if not, ShimInputOver tells
 * when it has. */
bool shim_input_flush(ShimInput *i);
