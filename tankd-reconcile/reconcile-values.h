/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The values of secrets and configs that one start of a container needs: which objects, what is
 * in them, and what the launch record says of it. Knows neither bus nor store: reconcile-
 * resolve.c fills a Values, and what is in it lives from then to the start, within one turn of
 * the loop. All of it is wiped when it goes. */

#include "reconcile-model.h"
#include "record.h"

typedef struct Value {
        char *key, *data; /* data: @size bytes, data_free() */
        size_t size;
} Value;

typedef struct ValueObject {
        ValueSource source;
        char *name;
        uint64_t revision;
        Value *values;
        size_t n_values, allocated;
} ValueObject;

typedef struct ValuesOps {
        void (*complete)(Values *v);
        void (*failed)(Values *v, bool retry, const char *what);
} ValuesOps;

struct Values {
        ContainerEntry *container;
        const ValuesOps *ops;
        ValuesState state;
        bool live;            /* only of live volumes */
        ValueObject *objects; /* each once */
        size_t n_objects;
        size_t next; /* the first that was not read yet */
        sd_bus_slot *call;
        bool retry; /* of what is missing no change will tell */
};

/* A file of a volume. */
typedef struct ValueFile {
        const char *volume;
        const char *path;
        unsigned mode;
        const Value *value;
} ValueFile;

bool values_are_needed(const Pod *pod, const Container *c);
int values_new(const Pod *pod, const Container *c, bool live, Values **ret); /* nothing read yet */
Values *values_free(Values *v);
DEFINE_CLEANUP(Values *, values_freep, values_free);
/* NULL: it is not used. */
const ValueObject *values_find(const Values *v, ValueSource source, const char *name);
bool values_use(const Values *v, ValueSource source, const char *name);
int value_object_add(ValueObject *o, const char *key, char *consume, size_t size);
void value_object_clear(ValueObject *o);

/* 1: a key that is asked for is not in its object; *@ret says which, "key a of secret b". */
int values_find_missing(const Values *v, const Pod *pod, const Container *c, char **ret);

/* Both give -EINVAL or -E2BIG with a sentence when a value cannot be where it is wanted. No
 * sentence has a value in it. */
int values_put_env(const Values *v, const Container *c, RecordWriter *w, char **reterr);
/* @ret: LIMIT_VALUE_FILES at most, in the order of the volumes. */
int values_list_files(const Values *v, const Pod *pod, const Container *c, ValueFile **ret,
                size_t *ret_n, char **reterr);

/* `file.*`, and the bytes behind the record: last of all. */
int values_put_files(const Values *v, const Pod *pod, const Container *c, RecordWriter *w,
                char **reterr);

void container_forget_used(ContainerEntry *c);
