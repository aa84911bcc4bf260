/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* References (lib/reference) on the command line. */

#include "ctl.h"
#include "reference.h"

/* What @word names, with the caller's namespace where it says none; an id is resolved by the store.
 * 0, or the exit code after a sentence. */
int reference_argument(const Arguments *a, const char *word, Reference *ret);
/* The same where an object as a whole is meant. */
int resource_from_reference(const Arguments *a, const char *word, Resource *ret);
