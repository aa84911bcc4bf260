/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verb that is about sessions which there are already, and the part of it that only looks. */

#include "ctl.h"

/* "sessions list [POD[/CONTAINER]]": the exit code. */
int sessions_list(const Arguments *a);
