/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One pod: planning, carrying out. */

#include "reconcile-model.h"

void pod_plan(PodEntry *p);
