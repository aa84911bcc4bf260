/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two daemons as tankctl sees them. Calls block: this is a command line. Failures come back as
 * a negative errno with a named error; ctl_bus_failure() says it and finds the exit code. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "bus-util.h"

#define CLEANUP_BUS_ERROR CLEANUP(sd_bus_error_free)

/* 0, or the exit code when it is said already that there is no bus. */
int ctl_bus_open(sd_bus **ret);

/* "tankctl: WHAT: why" and the exit code. @what may be NULL. */
int ctl_bus_failure(const char *what, const sd_bus_error *e, int r);

/* The error in tank's words: what the bus says of a daemon that is not there becomes Unavailable.
 * Replaces *e. */
void ctl_bus_translate(sd_bus_error *e, const char *destination);

int store_get(sd_bus *bus, const char *type, const char *namespace, const char *name, json_t **ret,
                sd_bus_error *reterr);
/* All pages, as an array. @namespace "" for all. */
int store_list(sd_bus *bus, const char *type, const char *namespace, json_t **ret,
                sd_bus_error *reterr);
int store_delete(sd_bus *bus, const char *type, const char *namespace, const char *name,
                bool *ret_existed, sd_bus_error *reterr);

typedef struct PodStatus {
        char *uid;
        uint64_t generation;
        json_t *status;
} PodStatus;

void pod_status_done(PodStatus *s);

int reconcile_get_status(sd_bus *bus, const char *namespace, const char *pod, PodStatus *ret,
                sd_bus_error *reterr);
/* All pages, as an array of {"namespace", "name", "uid", "generation", "status"}. */
int reconcile_list_status(sd_bus *bus, const char *namespace, json_t **ret, sd_bus_error *reterr);
/* A call to Reconcile1 that answers nothing. */
int reconcile_call(sd_bus *bus, const char *method, sd_bus_error *reterr, const char *types, ...);
