/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* get --watch: shows what there is, and again what has changed, until it is ended. */

#include "ctl.h"

int get_watch(const Arguments *a, const Resource *resource); /* the exit code */
