/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* At start: what earlier lives of this program left in the run directory. */

#include "reconcile-model.h"

int manager_adopt(Manager *m);
