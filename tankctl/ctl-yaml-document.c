/* SPDX-License-Identifier: Apache-2.0 */

/* The table of nodes that grows beside the value, in the order in which they were written: a parent
 * before its children. A path is looked up in one walk over it, in which each node continues the
 * match of its parent; so nothing but the keys is stored, and a lookup costs only when there is an
 * error. */

#include <stdio.h>

#include "ctl-yaml-document.h"

int yaml_document_add(YamlDocument *d, const YamlNode *node, const char *key)
{
        YamlNode *n;

        if (d->n_nodes == d->n_allocated) {
                size_t wanted = MAX(d->n_allocated * 2, (size_t) 64);
                YamlNode *grown = reallocarray(d->nodes, wanted, sizeof(YamlNode));

                if (!grown)
                        return -ENOMEM;
                d->nodes = grown;
                d->n_allocated = wanted;
        }
        n = &d->nodes[d->n_nodes];
        *n = *node;
        n->key = key ? strdup(key) : NULL;
        if (key && !n->key)
                return -ENOMEM;
        d->n_nodes++;
        return 0;
}

/* In a path '?' stands for a control character. */
static char in_path(char c)
{
        return (unsigned char) c < 0x20 || c == 0x7f ? '?' : c;
}

/* How far into @path the segment of @n reaches when its parent's reached to @from; 0: no match. */
static size_t match_segment(const YamlNode *n, const char *path, size_t from)
{
        const char *rest = path + from;

        if (n->key) {
                size_t i = 0;

                if (from > 0 && *rest == '.')
                        rest++;
                while (n->key[i] && rest[i] == in_path(n->key[i]))
                        i++;
                if (i == 0 || n->key[i] || !strchr(".[", rest[i])) /* strchr finds the NUL, too */
                        return 0;
                return (size_t) (rest + i - path);
        } else {
                char segment[32];
                const char *end;

                (void) snprintf(segment, sizeof(segment), "[%zu]", n->index);
                end = startswith(rest, segment);
                return end ? (size_t) (end - path) : 0;
        }
}

YamlPosition yaml_document_position(const YamlDocument *d, const char *path, bool at_key)
{
        CLEANUP_FREE size_t *reach = calloc(d->n_nodes, sizeof(size_t));
        size_t best = 0;

        if (!reach)
                return d->nodes[0].at;
        for (size_t i = 1; i < d->n_nodes; i++) {
                const YamlNode *n = &d->nodes[i];

                if (n->parent != 0 && reach[n->parent] == 0)
                        continue;
                reach[i] = match_segment(n, path, reach[n->parent]);
                if (reach[i] > reach[best])
                        best = i;
        }
        return at_key && path[reach[best]] == '\0' ? d->nodes[best].key_at : d->nodes[best].at;
}

size_t yaml_document_key_line(const YamlDocument *d, size_t parent, const char *key)
{
        size_t i = parent + 1;

        while (d->nodes[i].parent != parent || !streq(d->nodes[i].key, key))
                i++;
        return d->nodes[i].key_at.line;
}

json_t *yaml_document_root(const YamlDocument *d)
{
        return d->root;
}

YamlDocument *yaml_document_free(YamlDocument *d)
{
        if (!d)
                return NULL;
        if (d->root)
                json_decref(d->root);
        for (size_t i = 0; i < d->n_nodes; i++)
                free(d->nodes[i].key);
        free(d->nodes);
        free(d);
        return NULL;
}
