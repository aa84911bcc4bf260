/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The numbers of the store: what is counted (store-metrics) and how it stands now, both in one. */

#include "store-census.h"
#include "store-metrics.h"
#include "store.h"

/* "Store1.Get.calls", "revision", …; names are not in any order. */
int store_walk_statistics(
                Store *s, const Metrics *m, const Census *c, MetricsNumber each, void *userdata);
/* All of it as OpenMetrics text, which the caller frees. */
int store_print_metrics(Store *s, const Metrics *m, const Census *c, char **ret);
