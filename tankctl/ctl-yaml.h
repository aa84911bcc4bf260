/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* YAML (and JSON, which is YAML) into jansson values, with the position of every key and value. */

#include <jansson.h>
#include <stdio.h>

#include "macro.h"

typedef struct YamlReader YamlReader;
typedef struct YamlDocument YamlDocument;

typedef struct YamlPosition {
        size_t line, column; /* from 1; columns count characters */
} YamlPosition;

#define YAML_MESSAGE_SIZE 256

typedef struct YamlError {
        YamlPosition position;
        char message[YAML_MESSAGE_SIZE];
} YamlError;

/* @text is borrowed until the reader is freed. -EINVAL with @reterr: no UTF-8 text. */
int yaml_reader_new(const char *text, size_t size, YamlReader **ret, YamlError *reterr);
/* From now on a list that is all of a document is as many documents as it has elements, each with
 * bounds and anchors of its own; an empty one is none. */
void yaml_reader_split_lists(YamlReader *r);
YamlReader *yaml_reader_free(YamlReader *r);
DEFINE_CLEANUP(YamlReader *, yaml_reader_freep, yaml_reader_free);

/* The next document that is not empty. 1: there is one, 0: the end, -ENOMEM, and -EINVAL with
 * @reterr, after which the reader has nothing more to give. */
int yaml_reader_next(YamlReader *r, YamlDocument **ret, YamlError *reterr);

YamlDocument *yaml_document_free(YamlDocument *d);
DEFINE_CLEANUP(YamlDocument *, yaml_document_freep, yaml_document_free);

json_t *yaml_document_root(const YamlDocument *d); /* borrowed, never NULL */

/* Where "containers[0].limits.memory" stands; with @at_key its key. A path that was not written
 * gives the nearest enclosing thing that was. "" is the document. */
YamlPosition yaml_document_position(const YamlDocument *d, const char *path, bool at_key);

/* What a plain (unquoted) scalar means. */
typedef enum YamlScalar {
        YAML_STRING,
        YAML_NULL,
        YAML_BOOLEAN,
        YAML_INTEGER,
        YAML_FLOAT,
        YAML_UNREPRESENTABLE, /* .inf and .nan */
} YamlScalar;

YamlScalar yaml_scalar_classify(const char *s);

/* What libyaml calls @problem, for people: where it began, and what to do. */
void yaml_problem_words(const char *problem, size_t begin_line, char buf[static YAML_MESSAGE_SIZE]);

/* One YAML document, behind "---" if @separator. What would be read back as something else is
 * quoted. -ENOMEM, -EIO. */
int yaml_print(FILE *f, const json_t *value, bool separator);
