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

/* A daemon of tank's. */
typedef struct CtlPeer {
        const char *program, *name, *path, *interface;
} CtlPeer;

extern const CtlPeer ctl_store, ctl_store_admin, ctl_secrets, ctl_reconcile;

int ctl_bus_new_call(sd_bus *bus, const CtlPeer *peer, const char *method, sd_bus_message **ret);
/* Sends @m and waits for the answer. */
int ctl_bus_call(sd_bus *bus, sd_bus_message *m, const CtlPeer *peer, sd_bus_message **ret,
                sd_bus_error *reterr);
/* A property of the type 's' (char **) or 't' (uint64_t *). */
int ctl_bus_property(sd_bus *bus, const CtlPeer *peer, const char *property, char type, void *ret,
                sd_bus_error *reterr);
/* @r, told in @reterr unless something is there already. */
int ctl_bus_bad_answer(int r, const CtlPeer *peer, sd_bus_error *reterr);

/* A list that comes in pages. @ask appends what @method takes, with the token of the page ("" for
 * the first one); @read reads a page, and finds the token of the next one, "" at the end. */
typedef struct CtlPages {
        const CtlPeer *peer;
        const char *method;
        int (*ask)(sd_bus_message *m, const char *token, void *userdata);
        int (*read)(sd_bus_message *reply, void *userdata, const char **ret_next,
                        sd_bus_error *reterr);
} CtlPages;

int ctl_bus_read_pages(sd_bus *bus, const CtlPages *p, void *userdata, sd_bus_error *reterr);

/* The error in tank's words: what the bus says of a daemon that is not there becomes Unavailable.
 * Replaces *e. */
void ctl_bus_translate(sd_bus_error *e, const char *destination);

int store_get(sd_bus *bus, const char *type, const char *namespace, const char *name, json_t **ret,
                sd_bus_error *reterr);
int store_get_version(sd_bus *bus, const char *type, const char *namespace, const char *name,
                uint64_t revision, json_t **ret, sd_bus_error *reterr);
/* Which objects; all zero: all of every type. */
typedef struct ListQuery {
        const char *type, *namespace;        /* NULL or "": all */
        const char *labels, *fields, *order; /* of the options of List; NULL: none */
        uint64_t limit;                      /* 0: none */
} ListQuery;

/* All pages, up to the limit, as an array: what stood there at one moment. *ret_more (may be NULL):
 * how many there are behind the limit. */
int store_list(sd_bus *bus, const ListQuery *q, json_t **ret, uint64_t *ret_more,
                sd_bus_error *reterr);
int store_count(sd_bus *bus, const ListQuery *q, uint64_t *ret, sd_bus_error *reterr);

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
