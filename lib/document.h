/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON text in and out, through jansson: duplicates refused, integers only where tank writes,
 * bounded size and depth. */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "digest.h"
#include "macro.h"

#define CLEANUP_JSON CLEANUP(json_decrefp)

/* An object of at most LIMIT_DOCUMENT_MAX bytes and LIMIT_DOCUMENT_DEPTH levels. On failure
 * InvalidArgument or TooLarge with "line L column C: …". */
int document_parse(const char *text, size_t size, json_t **ret, sd_bus_error *reterr);
/* The same with another bound in bytes; and a text that is within it is refused as beyond one. */
int document_parse_bounded(
                const char *text, size_t size, size_t max, json_t **ret, sd_bus_error *reterr);
int document_refuse_size(size_t size, size_t max, sd_bus_error *reterr);
/* Compact, keys sorted: the stored and hashed form. -ENOMEM. */
int document_format(const json_t *doc, char **ret);
/* SHA-256 of the compact form as 64 hex digits. */
int document_hash(const json_t *doc, char ret[static SHA256_HEX_SIZE]);

/* Where in a text that document_format() made the value of a member stands, which is found without
 * parsing: many times as fast. -ENOENT; -EBADMSG: it is no such text. */
int document_find(
                const char *text, size_t size, const char *key, const char **ret, size_t *ret_size);

/* Whether the text is an object, without duplicates, that does not have the member @without. What
 * document_format() made is looked at without a parser, many times as fast; all else is parsed. */
bool document_is_readable(const char *text, size_t size, const char *without);

const char *json_get_string(const json_t *o, const char *key); /* NULL when absent or no string */
bool json_get_bool(const json_t *o, const char *key, bool fallback);
int64_t json_get_int(const json_t *o, const char *key, int64_t fallback);
