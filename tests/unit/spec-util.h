/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents for the tests of lib/spec, written as JSON with 'single' quotes. */

#include "document.h"
#include "spec.h"

/* The caller owns it; ends the test when the text is no JSON. */
json_t *document_from(const char *text);

/* Normalizes, ends the test when that fails; the compact text, to be freed. */
char *normal_form(const char *text);

/* A pod with one container; @pod and @container are further fields, each "" or ", 'key': …". */
char *pod_text(const char *pod, const char *container);
