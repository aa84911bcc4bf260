/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where everything of a document was written; made by ctl-yaml.c. */

#include "ctl-yaml.h"

#define YAML_NO_PARENT SIZE_MAX

typedef struct YamlNode {
        size_t parent;
        char *key;    /* in a mapping, else NULL */
        size_t index; /* in a sequence */
        YamlPosition key_at, at;
} YamlNode;

struct YamlDocument {
        json_t *root;
        YamlNode *nodes; /* as they were written: a parent before its children */
        size_t n_nodes, n_allocated;
};

/* Appends @node with a copy of @key, which may be NULL. */
int yaml_document_add(YamlDocument *d, const YamlNode *node, const char *key);
/* In which line the mapping @parent has its @key, which it has. */
size_t yaml_document_key_line(const YamlDocument *d, size_t parent, const char *key);
