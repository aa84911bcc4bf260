/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Changing what is kept (store-rules.h): the new rules are written, then they hold, then what they
 * do not keep goes (store-compact.h). */

#include "store.h"
#include "store-rules.h"

/* Durable, or why not. */
typedef void (*RuleSet)(const sd_bus_error *error, void *userdata);

int store_set_retention(Store *s, const char *type, const Retention *rule, RuleSet done,
                void *userdata, sd_bus_error *reterr);
int store_set_log_retention(Store *s, const LogRetention *rule, RuleSet done, void *userdata,
                sd_bus_error *reterr);
/* That hold. */
const Rules *store_rules(const Store *s);
