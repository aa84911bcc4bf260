/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The names of the kernel's capabilities. */

#include "macro.h"

int capability_from_name(const char *s);        /* "CAP_CHOWN" or "CHOWN"; -EINVAL */
const char *capability_to_name(int capability); /* "CAP_CHOWN", NULL for an unknown one */
