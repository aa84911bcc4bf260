/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "macro.h"

/* One line that says why a pod, a document with its status, does not run as declared; *ret is NULL
 * when it does. -ENOMEM. */
int pod_why(const json_t *doc, uint64_t now_usec, char **ret);
