/* SPDX-License-Identifier: Apache-2.0 */

/* The writes under way, by key: at most LIMIT_WRITES_WAITING, the newest of each object. An entry
 * is borrowed from its Write and goes when that very write is done. */

#include <search.h>

#include "store-internal.h"

static int compare(const void *a, const void *b)
{
        const ObjectKey *x = &((const Op *) a)->key, *y = &((const Op *) b)->key;
        int r;

        r = strcmp(x->name, y->name);
        if (r == 0)
                r = strcmp(x->namespace, y->namespace);
        return r != 0 ? r : strcmp(x->type, y->type);
}

int overlay_set(Store *s, Op *op)
{
        Op **node;

        node = tsearch(op, &s->overlay, compare);
        if (!node)
                return -ENOMEM;
        *node = op;
        return 0;
}

Op *overlay_find(Store *s, const ObjectKey *key)
{
        const Op wanted = { .key = *key };
        Op **node;

        node = tfind(&wanted, &s->overlay, compare);
        return node ? *node : NULL;
}

void overlay_drop(Store *s, const Op *op)
{
        if (overlay_find(s, &op->key) == op)
                tdelete(op, &s->overlay, compare);
}

typedef struct Walk {
        Store *store;
        OverlayEach each;
        void *userdata;
} Walk;

static void visit(const void *node, VISIT which, void *closure)
{
        const Walk *w = closure;

        if (which == postorder || which == leaf)
                w->each(w->store, *(const Op *const *) node, w->userdata);
}

void overlay_walk(Store *s, OverlayEach each, void *userdata)
{
        Walk w = { s, each, userdata };

        twalk_r(s->overlay, visit, &w);
}
