/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which documents of a list are meant. */

#include <jansson.h>

/* Leaves in the array @docs what the selector (NULL: none), "KEY,KEY=VALUE,KEY!=VALUE", is true of.
 * 0 or the exit code; a wrong selector is one for an empty list, too. */
int documents_select(json_t *docs, const char *selector);
