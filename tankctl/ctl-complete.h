/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What may stand in place of the last of @words, a command line behind "tankctl", one candidate a
 * line on @f; COMPLETE_FILES alone: names of files.
 *
 * All of it comes from the tables of verbs and options: what a verb takes from its usage, what an
 * option takes from its placeholder. So a new verb completes as soon as it is in the table. Names
 * come from the daemons; when they are silent there are none. */

#include <stdio.h>

#define COMPLETE_FILES ":files"

void complete_words(FILE *f, char *const *words);
