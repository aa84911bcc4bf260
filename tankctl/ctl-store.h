/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The words of `tankctl store`; each returns the exit code. */

#include "ctl.h"

int store_metrics(const Arguments *a);

/* The text of a file for node_exporter, from OpenMetrics text. The caller frees; -ENOMEM. */
int metrics_to_prometheus(const char *openmetrics, char **ret);
