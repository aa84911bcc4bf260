/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SHA-256 through libgcrypt, which libsystemd brings into the address space anyway. */

#include "macro.h"

#define SHA256_HEX_SIZE 65
void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE]);
