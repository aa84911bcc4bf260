/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Base64 of RFC 4648, padded. Decoding takes one spelling for each value, but for white space,
 * which may stand anywhere: people fold long lines. */

#include "macro.h"

/* Terminated. -ENOMEM. */
int base64_encode(const void *data, size_t size, char **ret);
/* Terminated behind its end, too. -EINVAL, -ENOMEM. */
int base64_decode(const char *s, size_t n, char **ret, size_t *ret_size);
