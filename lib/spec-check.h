/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What no single field can tell. Internal to spec-*.c. */

#include "spec-error.h"

/* @pod is normalized otherwise. */
int spec_check_pod(SpecContext *c, const json_t *pod);
