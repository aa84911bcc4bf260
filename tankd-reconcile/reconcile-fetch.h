/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The store's side of secrets and configs: what a Values needs, read without waiting. One call at a
 * time, and the last word is that of its ops, once: `complete`, or `failed` with what is waited for
 * (a sentence without its beginning) and whether to try again without a change of it. Both may free
 * it; whoever frees it before ends the reading. */

#include "reconcile-values.h"

void values_fetch(Values *v);

/* Get of an object (@type), or Reveal (@type is NULL). Calls to the store never start it: whether
 * it runs is for the service manager to say. */
int call_store(Manager *m, const char *interface, const char *member, const char *type,
                const char *namespace, const char *name, sd_bus_message_handler_t done,
                void *userdata, sd_bus_slot **ret);
