/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* References: one word that names an object, or one key of it.
 *
 *      tank://TYPE/NAMESPACE/NAME[/KEY]
 *      tank://TYPE/NAMESPACE/id/UID[/KEY]     whatever it is called now
 *      TYPE:NAME.NAMESPACE.tank[/KEY]         the short form
 *      TYPE:NAME[/KEY]                        the namespace is the caller's default
 *
 * "rune://" and ".rune" are accepted for "tank://" and ".tank"; in these two the type "configmap"
 * means "config". Each part is cut out first and then percent-decoded, once. Types, namespaces,
 * names and ids are legal names (lib/names); a key is any text of at most LIMIT_REFERENCE_KEY
 * bytes. What a URI may have besides (user, port, query, fragment, more parts) is refused, never
 * ignored.
 *
 * In "tank://T/N/id/X" the part "id" is literal: an object called "id" has keys as
 * "tank://T/N/%69d/KEY". In the short form everything behind the first slash is the key, slashes
 * too. Objects outside of namespaces have only the form without one: "namespace:prod". */

#include <systemd/sd-bus.h>

#include "limit.h"
#include "macro.h"

typedef struct Reference {
        char type[LIMIT_NAME_MAX + 1];
        char namespace[LIMIT_NAME_MAX + 1]; /* "": not said */
        char name[LIMIT_NAME_MAX + 1];      /* "": by @id, which then is not empty */
        char id[LIMIT_NAME_MAX + 1];
        char *key; /* owned; NULL: the object as a whole */
} Reference;

void reference_done(Reference *r);

/* Whether @s can only be meant as a reference: no name and no type has a colon. */
bool reference_is_meant(const char *s);
/* -EINVAL (InvalidArgument: what is wrong, and at which character), -ENOMEM. */
int reference_parse(const char *s, Reference *ret, sd_bus_error *reterr);
/* The one canonical spelling, which parses to the same. -ENOMEM. */
int reference_format(const Reference *r, char **ret);
