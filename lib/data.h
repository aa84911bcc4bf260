/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of secrets and configs. A value is bytes: what is text, and can be shown, stands in a
 * document as text, everything else as {"base64": "…"}. Which of both a document used does not
 * matter: the stored form has one spelling for each value, and nothing is ever guessed. */

#include <jansson.h>

#include "macro.h"

/* Terminated behind its end, too, and the caller's to data_free(). -EINVAL: not as above. */
int data_decode(const json_t *value, char **ret, size_t *ret_size);
int data_encode(const void *data, size_t size, json_t **ret); /* -ENOMEM */

/* Leaves nothing of it in memory; takes NULL. */
void data_free(char *data, size_t size);

/* {"redacted": true}: there is a value, which is not shown; or the one that stands is kept. */
bool data_is_redacted(const json_t *value);
json_t *data_redacted(void); /* NULL: out of memory */
