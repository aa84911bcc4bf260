/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What must hold for any document that is given to the validator. */

#include "spec.h"

/* @doc: any JSON value. Returns the stored form, or NULL when it is refused; then *@reterr says
 * why. */
json_t *fuzz_normalize(const json_t *doc, SpecFlags flags, SpecError *reterr);
