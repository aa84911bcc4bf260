/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is kept of what was: of each type's objects how many versions and for how long, of the
 * change log how much. One row of the database (META_RETENTION), so that it survives and goes with
 * a backup; without one the rules are as shipped.
 *
 * A version is surplus when there are enough newer ones, and expired when it was replaced (a
 * deletion: made) that long ago. Either may go, once the change log has passed it; the value that
 * stands never goes. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "macro.h"
#include "store-db.h"

#define META_RETENTION "retention" /* {"log": [rows, bytes], "types": {TYPE: [versions, age]}} */

typedef struct Retention {
        uint64_t versions; /* of an object, with the one that stands; 0: all */
        uint64_t age_usec; /* 0: for ever */
} Retention;

/* In both members: no rule of its own any more; of "" as shipped again. */
#define RETENTION_NONE UINT64_MAX

typedef struct LogRetention {
        uint64_t rows, bytes; /* 0: without end */
} LogRetention;

typedef struct Rules {
        json_t *own; /* of the row: what is not as shipped */
} Rules;

int rules_load(Db *db, Rules *ret); /* -EBADMSG: the row cannot be read */
int rules_keep_all(Rules *ret);
void rules_done(Rules *r);

Retention rules_of(const Rules *r, const char *type); /* "": of types without a rule */
LogRetention rules_of_log(const Rules *r);
uint64_t rules_least_age(const Rules *r); /* of all; 0: none says one */

typedef int (*RuleSeen)(const char *type, const Retention *rule, void *userdata);
int rules_list(const Rules *r, RuleSeen each, void *userdata); /* "" first, then by name */

/* The rules with one changed, and the text of their row. InvalidArgument, LimitExceeded. */
int rules_with(const Rules *r, const char *type, const Retention *rule, Rules *ret, char **ret_text,
                sd_bus_error *reterr);
int rules_with_log(const Rules *r, const LogRetention *rule, Rules *ret, char **ret_text,
                sd_bus_error *reterr);
