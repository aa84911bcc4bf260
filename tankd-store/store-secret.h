/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Secrets for those who may have their values: setting and reveal. Everything else about a secret
 * is said of its redacted document, by the interface that all objects have. */

#include <jansson.h>

#include "store-keyring.h"
#include "store.h"

/* Takes @k; once, before anybody is served. Without, no secret can be written or opened. */
void store_use_keyring(Store *s, Keyring *k);
const Keyring *store_keyring(const Store *s); /* NULL: none */

/* Whether any version of any secret is in the database. */
int store_has_secrets(Store *s);

typedef struct SecretSet {
        const char *namespace, *name;
        const char *type; /* NULL: as it stands */
        json_t *labels;   /* NULL: as they stand */
        json_t *data;     /* all of its values: KEY → data_encode() */
} SecretSet;

/* The document that STORE_APPLY of it creates or replaces the secret; annotations stay. */
int store_secret_compose(Store *s, const SecretSet *o, json_t **ret, sd_bus_error *reterr);

typedef int (*SecretValueSeen)(const SealedValue *value, void *userdata);
/* @revision 0: as it stands. What is durable is told. AuthenticationFailed as sealed_open() has it.
 */
int store_secret_reveal(Store *s, const char *namespace, const char *name, uint64_t revision,
                SecretValueSeen each, void *userdata, uint64_t *ret_revision,
                uint64_t *ret_generation, sd_bus_error *reterr);

/* A line of an export: the document of a record with its meta, and either the values in it, or in
 * its meta, as "sealed" (base64), the blob that only a key of ours opens, and only as what it is:
 * so also when it cannot be opened, which is logged. */
int store_secret_export(Store *s, const DbView *view, const ObjectKey *key,
                const StoreRecord *record, bool reveal, char **ret, sd_bus_error *reterr);
