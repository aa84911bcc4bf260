/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every name on the bus. */

#define TANK_STORE_NAME                "org.tankd.Store1"
#define TANK_STORE_PATH                "/org/tankd/Store1"
#define TANK_STORE_INTERFACE           "org.tankd.Store1"
#define TANK_STORE_KEY_VALUE_INTERFACE "org.tankd.Store1.KeyValue"
#define TANK_STORE_ADMIN_INTERFACE     "org.tankd.Store1.Admin"
#define TANK_STORE_SECRETS_INTERFACE   "org.tankd.Store1.Secrets"

#define TANK_RECONCILE_NAME                "org.tankd.Reconcile1"
#define TANK_RECONCILE_PATH                "/org/tankd/Reconcile1"
#define TANK_RECONCILE_INTERFACE           "org.tankd.Reconcile1"
#define TANK_RECONCILE_POD_PREFIX          "/org/tankd/Reconcile1/pod"
#define TANK_RECONCILE_POD_INTERFACE       "org.tankd.Reconcile1.Pod"
#define TANK_RECONCILE_CONTAINER_INTERFACE "org.tankd.Reconcile1.Container"

#define TANK_SHIM_NAME_PREFIX "org.tankd.Shim1.u" /* + first 16 hex digits of the run's uid */
#define TANK_SHIM_PATH        "/org/tankd/Shim1"
#define TANK_SHIM_INTERFACE   "org.tankd.Shim1"
