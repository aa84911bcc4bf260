/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Selectors: which documents are meant, in one line of text that is parsed once.
 *
 *      selector = [ term *( "," term ) ]             every term has to be true; none: all documents
 *      term     = path | "!" path                    there is such a thing; there is none
 *               | path ( "=" | "==" | "!=" ) value
 *               | path ( "in" | "notin" ) "(" value *( "," value ) ")"
 *      value    = a word without spaces, commas, quotes and parentheses, not beginning with "="
 *                 or "!", maybe empty behind "="; or a JSON string
 *
 * In a label selector the path is the key of a label. In a field selector it leads through the
 * document: `image`, `meta.generation`, `containers[0].image` (or `containers.0.image`),
 * `containers[*].image` for any element of a list, `labels["a.b/c"]` for keys that are no words. A
 * dot may stand in front.
 *
 * Strings compare by their bytes, whole numbers, booleans and null by their JSON text, other
 * numbers by what they are; maps and lists equal nothing. "!=", "notin" and "!" are true exactly
 * when "=", "in" and the bare path are not: so also where there is nothing. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "macro.h"

typedef struct Selector Selector;

/* InvalidArgument or TooLarge in @reterr, with the column. */
int selector_parse_labels(const char *text, Selector **ret, sd_bus_error *reterr);
int selector_parse_fields(const char *text, Selector **ret, sd_bus_error *reterr);
Selector *selector_free(Selector *s);
DEFINE_CLEANUP(Selector *, selector_freep, selector_free);

/* Of either kind. Without a selector (NULL) everything matches. */
bool selector_matches(const Selector *s, const json_t *document);
/* Of a label selector; NULL: no labels. */
bool selector_matches_labels(const Selector *s, const json_t *labels);
/* Whether a term of a field selector begins at this field of the document. */
bool selector_looks_at(const Selector *s, const char *field);
