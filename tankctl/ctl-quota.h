/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Namespaces that have a quota: how much stands in them, of how much. */

#include <jansson.h>
#include <systemd/sd-bus.h>

/* Gives each of @docs that has one a "status" of {"objects", "size"}, as the store counts; none as
 * long as that does not know. Asks it only when there is one. */
int namespaces_read_use(sd_bus *bus, json_t *docs, sd_bus_error *reterr);

/* "3/100", "3" without such a bound, "?/100" when the store did not tell; NULL without a quota. */
json_t *namespace_objects(const json_t *doc);
json_t *namespace_size(const json_t *doc);
