/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a reference (lib/reference) stands for in this database. */

#include "reference.h"
#include "store.h"

/* Fills in the namespace when @text says none (@namespace; "" is "default"), and finds the name of
 * an id: that of the object of this type and namespace which has it now, NotFound when there is
 * none. A name is not looked up: it may be of what is still to be created. *ret is the caller's to
 * reference_done(), its id empty. */
int store_resolve(Store *s, const char *text, const char *namespace, Reference *ret,
                sd_bus_error *reterr);
