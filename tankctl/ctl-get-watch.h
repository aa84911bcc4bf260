/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* get --watch: shows what there is, and again what has changed, until it is ended. */

#include "ctl-select.h"
#include "ctl.h"

int get_watch(const Arguments *a, const Resource *resource,
                const Selection *selection); /* the exit code */
