/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The words of `tankctl store`; each returns the exit code. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "ctl.h"

int store_backup(const Arguments *a);
int store_compact(const Arguments *a);
int store_export(const Arguments *a);
int store_import(const Arguments *a);
int store_metrics(const Arguments *a);
int store_restore(const Arguments *a); /* only tells how */
int store_retention(const Arguments *a);
int store_verify(const Arguments *a);

/* What is wrong with the database: an array of sentences. @timeout: UINT64_MAX for none, since it
 * takes as long as there are things to read. */
int store_ask_problems(sd_bus *bus, uint64_t timeout, json_t **ret_problems, uint64_t *ret_rows,
                sd_bus_error *reterr);

/* The text of a file for node_exporter, from OpenMetrics text. The caller frees; -ENOMEM. */
int metrics_to_prometheus(const char *openmetrics, char **ret);
