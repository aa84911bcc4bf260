/* SPDX-License-Identifier: Apache-2.0 */

/* What a step that was checked writes: the record that will stand there, and what the change log
 * and the quotas need to know of the one before it. */

#include "clock.h"
#include "document.h"
#include "error.h"
#include "store-operation.h"
#include "store-sealed.h"

/* The text of a document's labels, NULL when it has none. */
static int labels_of(const json_t *doc, char **ret)
{
        const json_t *labels = json_object_get(doc, "labels");

        *ret = NULL;
        return json_object_size(labels) > 0 ? document_format(labels, ret) : 0;
}

/* A parse is dear and few have labels: look for the word first. */
static int labels_of_record(const StoreRecord *r, char **ret)
{
        CLEANUP_JSON json_t *doc = NULL;

        *ret = NULL;
        if (r->document_size == 0) { /* it cannot be read, and is being deleted */
                *ret = strdup("null");
                return *ret ? 0 : -ENOMEM;
        }
        if (!memmem(r->document, r->document_size, "\"labels\":", strlen("\"labels\":")))
                return 0;
        doc = json_loadb(r->document, r->document_size, 0, NULL);
        return doc ? labels_of(doc, ret) : -ENOMEM;
}

static int encode_op(Op *op, const Step *p, uid_t by)
{
        CLEANUP_FREE char *labels = NULL, *previous_labels = NULL;
        int r;

        if ((r = labels_of(p->document, &labels)) < 0 ||
                        (p->exists && (r = labels_of_record(&p->previous, &previous_labels)) < 0))
                return r;
        return op_encode(op, by, labels, previous_labels);
}

/* Where a secret begins anew there is something all the same. */
static void grow_by(const Step *p, Op *op)
{
        const StoreRecord *was = &p->previous, *is = &op->record;

        op->more_objects = (is->operation != OPERATION_DELETED) -
                           (p->exists || was->document_size > 0);
        op->more_bytes = (int64_t) (is->document_size + is->sealed_size) -
                         (int64_t) (was->document_size + was->sealed_size);
}

int step_make_op(
                const Step *p, Store *s, uint64_t revision, uid_t by, Op *ret, sd_bus_error *reterr)
{
        CLEANUP_FREE char *sealed = NULL;
        uint64_t now = now_realtime_usec();
        int r;

        ret->key = p->key;
        ret->record = (StoreRecord){
                .operation = p->effect,
                .generation = p->exists ? p->previous.generation : 1,
                .revision = revision,
                .created_usec = p->exists ? p->previous.created_usec : now,
                .updated_usec = now,
                .document = p->text,
                .document_size = p->text ? strlen(p->text) : 0,
        };
        if (p->exists)
                memcpy(ret->record.uid, p->previous.uid, sizeof(ret->record.uid));
        else {
                r = random_id(ret->record.uid);
                if (r < 0)
                        return tank_error_set_errno(reterr, r, "no random bits for a uid");
        }
        if (p->effect == OPERATION_UPDATED)
                ret->record.generation++;
        if (p->values.data) {
                r = sealed_close(s, ret, &p->values, &sealed, reterr);
                if (r < 0)
                        return r;
        }
        if (encode_op(ret, p, by) < 0)
                return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        grow_by(p, ret);
        return 0;
}
