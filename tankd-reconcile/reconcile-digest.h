/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether what a container had of a secret or config is what it would have now. A run's record
 * keeps a digest for that, of the values of those keys that the container uses: all of them with
 * env_from or a volume, else those that its variables name. Values can be short and few, so a
 * digest is made under a random key, which is in the run directory alone, for root alone, and gone
 * with the boot like the records: who finds a digest without it can guess nothing. */

#include "reconcile-values.h"

/* Reads the key, or makes it. Without one nothing has a digest, and each change counts. */
void manager_read_values_key(Manager *m);
/* Of what @o, one of @v's objects, gives the container. "" when there is no key. */
int values_digest(const Manager *m, const Pod *pod, const Container *c, const ValueObject *o,
                char ret[static VALUES_DIGEST_SIZE]);
/* What @c is started with, to be compared later. @m: NULL: without digests. */
int values_note_used(const Manager *m, const Values *v, const Pod *pod, ContainerEntry *c);
