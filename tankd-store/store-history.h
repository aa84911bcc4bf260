/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an object was: every version that was ever written, those of earlier objects of its name
 * included (their uids differ), and the deletions between them. Going back to a version is a write
 * (STORE_ROLLBACK) and makes another one: nothing here is ever rewritten. */

#include "store.h"

typedef struct StoreVersion {
        uint64_t revision;     /* an object and a revision name one version */
        const char *operation; /* "created", "updated", "deleted"; "unreadable": its record cannot
                                * be decoded, and @at_usec is not known */
        char uid[ID128_SIZE];  /* of the incarnation; a deletion has that of what it ended */
        uint64_t generation;
        uint64_t at_usec; /* real time */
        uid_t by;         /* who wrote it; UID_INVALID when that is not known any more */
} StoreVersion;

#define UID_INVALID ((uid_t) -1)

typedef int (*StoreVersionSeen)(const StoreVersion *version, void *userdata);

/* The newest first. @limit 0 is the greatest; @token "" begins, gives *ret_next NULL at the end.
 * NotFound: there never was such an object. */
int store_history(Store *s, const char *type, const char *namespace, const char *name,
                uint32_t limit, const char *token, StoreVersionSeen each, void *userdata,
                char **ret_next, sd_bus_error *reterr);

/* The document as @revision left it, with its meta. NotFound also for the revision that deleted it.
 */
int store_get_version(Store *s, const char *type, const char *namespace, const char *name,
                uint64_t revision, char **ret, sd_bus_error *reterr);
