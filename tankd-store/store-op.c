/* SPDX-License-Identifier: Apache-2.0 */
#include "store-op.h"

#include "names.h"
#include "store-key.h"

void op_done(Op *op)
{
        free(op->value);
        free(op->change);
        *op = (Op){};
}

int op_encode(Op *op, uid_t by, const char *labels, const char *previous_labels)
{
        StoreChange c = {
                .operation = op->record.operation,
                .key = op->key,
                .generation = op->record.generation,
                .by = by,
                .labels = labels,
                .previous_labels = previous_labels,
        };
        int r;

        memcpy(c.uid, op->record.uid, sizeof(c.uid));
        r = store_change_encode(&c, &op->change, &op->change_size);
        if (r < 0)
                return r;
        /* Whoever looks the record up before it is durable reads it here. */
        return store_record_encode_into(&op->record, &op->value, &op->value_size);
}

size_t op_bytes(const Op *op)
{
        return 2 * op->value_size + op->change_size;
}

static void put_id(const Op *op, DbBatch *b, const Db *db)
{
        StoreKey object = object_key_encode(&op->key), id;

        if (id_key_encode(op->record.uid, &id) < 0)
                return; /* not one of ours: nobody can ask for it */
        /* It is there since the object is. A namespace's is mended by every write, as that one
         * cannot be deleted for it. */
        if (op->record.operation == OPERATION_DELETED)
                db_batch_delete(b, db, DB_IDS, DB_KEY(&id));
        else if (op->record.operation == OPERATION_CREATED || type_is_global(op->key.type))
                db_batch_put(b, db, DB_IDS, DB_KEY(&id), object.data, object.size);
}

void op_put(const Op *op, uint32_t index, DbBatch *b, const Db *db)
{
        uint64_t revision = op->record.revision;
        StoreKey object = object_key_encode(&op->key);
        StoreKey history = history_key_encode(&op->key, revision, index);
        StoreKey change = change_key_encode(revision, index);

        if (op->record.operation == OPERATION_DELETED)
                db_batch_delete(b, db, DB_OBJECTS, DB_KEY(&object));
        else
                db_batch_put(b, db, DB_OBJECTS, DB_KEY(&object), op->value, op->value_size);
        db_batch_put(b, db, DB_HISTORY, DB_KEY(&history), op->value, op->value_size);
        db_batch_put(b, db, DB_CHANGES, DB_KEY(&change), op->change, op->change_size);
        put_id(op, b, db);
}
