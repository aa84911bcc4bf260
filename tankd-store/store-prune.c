/* SPDX-License-Identifier: Apache-2.0 */
#include "store-prune.h"

#include "store-record.h"

/* How many expired versions of an object are looked at that the change log still needs. */
#define BLOCKED_MAX 1000U

/* The key of the oldest version that is not surplus: those before it have @versions behind them.
 * Keys alone are read, at most @versions. */
static int find_surplus(DbIter *i, const StoreKey *prefix, uint64_t versions, StoreKey *ret)
{
        StoreKey behind = *prefix;

        *ret = (StoreKey){}; /* none is */
        if (versions == 0)
                return 0;
        behind.data[behind.size - 1] = 1; /* the separator is 0, what a name is made of above 1 */
        db_iter_seek_before(i, DB_KEY(&behind));
        for (uint64_t n = 0; db_iter_valid(i); db_iter_previous(i)) {
                size_t size;
                const char *key = db_iter_key(i, &size);

                if (!key_has_prefix(key, size, prefix))
                        return 0;
                if (++n < versions)
                        continue;
                if (size > sizeof(ret->data))
                        return -EBADMSG;
                memcpy(ret->data, key, size);
                ret->size = size;
                return 0;
        }
        return db_iter_status(i);
}

/* A version, and what is known of it without a parser where it cannot be decoded. */
typedef struct Version {
        StoreKey key;
        uint64_t revision;
        bool readable, deleted;
        uint64_t at_usec;
} Version;

/* 1: @i stands on a version of the object, or was moved to it; 0: there is no more. */
static int read_version(DbIter *i, const StoreKey *prefix, Version *ret)
{
        const char *key, *value;
        StoreRecord record;
        uint32_t index;
        size_t size;

        for (;; db_iter_next(i)) {
                if (!db_iter_valid(i))
                        return db_iter_status(i);
                key = db_iter_key(i, &size);
                if (!key_has_prefix(key, size, prefix))
                        return 0;
                if (history_key_decode(key, size, prefix, &ret->revision, &index) >= 0)
                        break; /* else it is the place of no version, and left alone */
        }
        memcpy(ret->key.data, key, size);
        ret->key.size = size;
        value = db_iter_value(i, &size);
        ret->readable = store_record_decode(value, size, &record) >= 0;
        ret->deleted = ret->readable && record.operation == OPERATION_DELETED;
        ret->at_usec = ret->readable ? record.updated_usec : 0;
        return 1;
}

static bool is_before(const StoreKey *a, const StoreKey *b)
{
        int k = memcmp(a->data, b->data, MIN(a->size, b->size));

        return k < 0 || (k == 0 && a->size < b->size);
}

/* Decides upon @v, which @by replaced (or which is a deletion itself). 1: it goes; 0: it stays, and
 * so does all behind it; -EAGAIN: it would go if the change log had passed it. */
static int decide(Prune *p, const Retention *rule, const StoreKey *surplus, const Version *v,
                const Version *by)
{
        uint64_t expires = rule->age_usec > 0 && by->readable &&
                                                           by->at_usec < UINT64_MAX - rule->age_usec
                                           ? by->at_usec + rule->age_usec
                                           : UINT64_MAX;
        bool expired = expires <= p->now_usec;

        if (!expired && !is_before(&v->key, surplus)) {
                p->due_usec = MIN(p->due_usec, expires);
                return 0;
        }
        if (by->revision <= p->compacted)
                return 1;
        if (expired) {
                p->wanted = MAX(p->wanted, by->revision);
                return -EAGAIN;
        }
        p->due_usec = MIN(p->due_usec, expires);
        return 0;
}

static int prune(Prune *p, const StoreKey *prefix, const Retention *rule, const StoreKey *surplus)
{
        DbIter *i = p->iter;
        Version a, b, *v = &a, *by = &b;
        unsigned blocked = 0;
        int r, following;

        db_iter_seek(i, DB_KEY(prefix));
        for (r = read_version(i, prefix, v); r > 0; r = following) {
                Version *free = v;

                db_iter_next(i);
                following = read_version(i, prefix, by);
                if (following < 0)
                        return following;
                if (following == 0 && !v->deleted)
                        return 0; /* it stands */
                r = decide(p, rule, surplus, v, following > 0 ? by : v);
                if (r == 0)
                        return 0;
                if (r == -EAGAIN && ++blocked >= BLOCKED_MAX) {
                        p->due_usec = p->now_usec; /* the rest, when these are gone */
                        return 0;
                }
                if (r > 0 && p->n >= p->max)
                        return 1;
                if (r > 0 && upkeep_delete(p->upkeep, DB_HISTORY, DB_KEY(&v->key)) < 0)
                        return -ENOMEM;
                p->n += r > 0;
                v = by;
                by = free;
        }
        return r;
}

int prune_object(Prune *p, const StoreKey *prefix)
{
        Retention rule = rules_of(p->rules, prefix->data); /* the type, up to its separator */
        StoreKey surplus;
        int r = find_surplus(p->iter, prefix, rule.versions, &surplus);

        return r < 0 ? r : prune(p, prefix, &rule, &surplus);
}
