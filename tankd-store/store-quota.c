/* SPDX-License-Identifier: Apache-2.0 */

/* See store-quota.h. The numbers of a namespace are those of what is accepted, of the keys up to
 * its cursor: a slice reads on behind it, from rows and overlay alike, and an op counts when its
 * key is not behind it. */

#include "store-quota.h"

#include <inttypes.h>
#include <search.h>

#include "clock.h"
#include "document.h"
#include "error.h"
#include "log.h"
#include "store-internal.h"

#define IDLE_USEC  USEC_PER_MSEC        /* of a turn in which nobody asks */
#define WRITE_USEC (20 * USEC_PER_MSEC) /* for one write that has to know */
#define LOOK_ROWS  64U                  /* between two looks at the clock */

typedef struct Entry Entry;
struct Entry {
        char namespace[LIMIT_NAME_MAX + 1];
        QuotaUse use;
        bool counted;
        StoreKey cursor;

        /* Of the transaction that is being judged. */
        Entry *next;
        bool touched;
        int64_t more_objects, more_bytes;
};

struct Quotas {
        Store *store;
        sd_event_source *source;
        void *entries; /* tsearch() tree of Entry*, by namespace: those with a quota */
        size_t n;
        bool known;      /* which have one, */
        StoreKey cursor; /* or of those up to here */
};

/* ---- which namespaces have one ---- */

static bool is_namespace(const Op *op)
{
        return streq(op->key.type, "namespace");
}

static int compare(const void *a, const void *b)
{
        return strcmp(((const Entry *) a)->namespace, ((const Entry *) b)->namespace);
}

static Entry *find(const Quotas *q, const char *namespace)
{
        Entry wanted = {};
        Entry **node;

        (void) snprintf(wanted.namespace, sizeof(wanted.namespace), "%s", namespace);
        node = tfind(&wanted, &q->entries, compare);
        return node ? *node : NULL;
}

static void drop(Quotas *q, Entry *e)
{
        tdelete(e, &q->entries, compare);
        free(e);
        q->n--;
}

static void wake_up(Quotas *q)
{
        /* Fails only for a source that is none. */
        (void) sd_event_source_set_enabled(q->source, SD_EVENT_ONESHOT);
}

/* What @document says of it; false: there is none. A parse is dear and few have one. */
static bool read_quota(const char *document, size_t size, QuotaUse *ret)
{
        static const char word[] = "\"quota\":";
        CLEANUP_JSON json_t *doc = NULL;
        const json_t *quota;

        if (!memmem(document, size, word, strlen(word)))
                return false;
        doc = json_loadb(document, size, 0, NULL);
        quota = json_object_get(doc, "quota");
        *ret = (QuotaUse){
                .max_objects = json_get_int(quota, "objects", QUOTA_NONE),
                .max_bytes = json_get_int(quota, "size", QUOTA_NONE),
        };
        return ret->max_objects != QUOTA_NONE || ret->max_bytes != QUOTA_NONE;
}

/* @record: of the namespace; NULL: there is none. */
static int note(Quotas *q, const char *namespace, const StoreRecord *record)
{
        Entry *e = find(q, namespace);
        QuotaUse use;

        if (!record || !read_quota(record->document, record->document_size, &use)) {
                if (e)
                        drop(q, e);
                return 0;
        }
        if (!e) {
                e = calloc(1, sizeof(*e));
                if (!e)
                        return -ENOMEM;
                (void) snprintf(e->namespace, sizeof(e->namespace), "%s", namespace);
                if (!tsearch(e, &q->entries, compare)) {
                        free(e);
                        return -ENOMEM;
                }
                q->n++;
                wake_up(q);
        }
        e->use.max_objects = use.max_objects;
        e->use.max_bytes = use.max_bytes;
        return 0;
}

/* As it is accepted. */
static int look_up(Quotas *q, const char *namespace)
{
        CLEANUP_FREE char *buffer = NULL;
        StoreRecord record;
        ObjectKey key;
        int r;

        if (object_key_init(&key, "namespace", "", namespace) < 0)
                return 0;
        r = store_lookup(q->store, &key, &record, &buffer);
        if (r < 0 && r != -ENOENT)
                (void) log_warning_errno(r,
                                "the namespace %s cannot be read: what stands in it has no quota",
                                namespace);
        return note(q, namespace, r < 0 ? NULL : &record);
}

static int look_at_row(Quotas *q, const DbIter *i)
{
        StoreRecord record;
        ObjectKey key;
        size_t size;
        const char *p = db_iter_key(i, &size);

        q->cursor = (StoreKey){ .size = MIN(size, sizeof(q->cursor.data)) };
        memcpy(q->cursor.data, p, q->cursor.size);
        if (object_key_decode(p, size, &key) < 0 || overlay_find(q->store, &key))
                return 0; /* what is under way goes before it */
        p = db_iter_value(i, &size);
        if (store_record_decode(p, size, &record) < 0)
                return 0;
        return note(q, key.name, &record);
}

/* When it is of a namespace. */
static int note_op(Quotas *q, const Op *op)
{
        if (!is_namespace(op))
                return 0;
        return note(q, op->key.name,
                        op->record.operation == OPERATION_DELETED ? NULL : &op->record);
}

static void look_at_pending(Store *s, const Op *op, void *userdata)
{
        int *r = userdata;

        if (*r >= 0)
                *r = note_op(s->quotas, op);
}

/* 1: goes on later; 0: all are known. */
static int look_around(Quotas *q, uint64_t end_usec)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey prefix = key_prefix_type("namespace");
        const StoreKey *begin = q->cursor.size > 0 ? &q->cursor : &prefix;
        unsigned n = 0;
        int r;

        if (q->known)
                return 0;
        r = db_iter_new(q->store->db, NULL, DB_OBJECTS, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(begin)); db_iter_valid(i); db_iter_next(i)) {
                size_t size;
                const char *k = db_iter_key(i, &size);

                if (!key_has_prefix(k, size, &prefix))
                        break;
                r = look_at_row(q, i);
                if (r < 0)
                        return r;
                if (++n % LOOK_ROWS == 0 && now_boottime_usec() >= end_usec)
                        return 1;
        }
        r = db_iter_valid(i) ? 0 : db_iter_status(i);
        if (r >= 0)
                overlay_walk(q->store, look_at_pending, &r);
        q->known = r >= 0;
        return r;
}

/* ---- how much stands in them ---- */

static int add_object(const ObjectKey *key, size_t bytes, void *userdata)
{
        Entry *e = userdata;

        e->use.objects++;
        e->use.bytes += (int64_t) bytes;
        return 0;
}

/* 1: goes on later; 0: it is counted. */
static int count(Quotas *q, Entry *e, uint64_t end_usec)
{
        int r;

        if (e->counted)
                return 0;
        r = store_walk_namespace(q->store, e->namespace, &e->cursor, end_usec, add_object, e);
        if (r < 0) { /* what was added of this slice is not known */
                e->cursor = (StoreKey){};
                e->use.objects = e->use.bytes = 0;
        }
        e->counted = r == 0;
        return r;
}

typedef struct EntryWalk {
        Entry *uncounted;
        QuotaSeen each;
        void *userdata;
        int r;
} EntryWalk;

static void find_uncounted(const void *node, VISIT which, void *closure)
{
        EntryWalk *w = closure;
        Entry *e = *(Entry *const *) node;

        if ((which == postorder || which == leaf) && !e->counted)
                w->uncounted = e;
}

static int work(Quotas *q, uint64_t end_usec)
{
        int r = look_around(q, end_usec);

        while (r == 0) {
                EntryWalk w = {};

                twalk_r(q->entries, find_uncounted, &w);
                if (!w.uncounted)
                        return 0;
                r = count(q, w.uncounted, end_usec);
                if (r == 0 && now_boottime_usec() >= end_usec)
                        r = 1;
        }
        return r;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
        Quotas *q = userdata;
        int r = work(q, now_boottime_usec() + IDLE_USEC);

        if (r < 0)
                (void) log_warning_errno(r, "cannot count what stands in namespaces with a quota, "
                                            "until somebody writes there");
        if (r > 0)
                wake_up(q);
        return 0;
}

/* ---- a transaction ---- */

static void account(Entry *e, const Op *op, int sign)
{
        StoreKey k = object_key_encode(&op->key);

        if (!e->counted && key_compare(k.data, k.size, &e->cursor) > 0)
                return; /* whoever counts on will see it, or no longer */
        e->use.objects += sign * op->more_objects;
        e->use.bytes += sign * op->more_bytes;
}

static bool grows(const Entry *e)
{
        return (e->more_objects > 0 && e->use.max_objects != QUOTA_NONE) ||
               (e->more_bytes > 0 && e->use.max_bytes != QUOTA_NONE);
}

static int judge(Quotas *q, Entry *e, sd_bus_error *reterr)
{
        const QuotaUse *use = &e->use;
        int r;

        if (!grows(e))
                return 0;
        r = count(q, e, now_boottime_usec() + WRITE_USEC);
        if (r < 0)
                return store_read_failed(r, reterr);
        if (r > 0) {
                wake_up(q);
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "what stands in the namespace '%s' is still being counted for its "
                                "quota: try again in a moment",
                                e->namespace);
        }
        if (e->more_objects > 0 && use->objects > use->max_objects)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "the namespace '%s' is full: it holds %" PRId64 " of %" PRId64
                                " objects, and %" PRId64
                                " more would come: delete some, or raise its quota.objects",
                                e->namespace, use->objects - e->more_objects, use->max_objects,
                                e->more_objects);
        if (e->more_bytes > 0 && use->bytes > use->max_bytes)
                return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                                "the namespace '%s' is full: its objects have %" PRId64
                                " of %" PRId64 " bytes, and %" PRId64
                                " more would come: delete some, or raise its quota.size",
                                e->namespace, use->bytes - e->more_bytes, use->max_bytes,
                                e->more_bytes);
        return 0;
}

/* The quotas that it sets itself, first. */
static int take_namespaces(Quotas *q, const Op *ops, size_t n, sd_bus_error *reterr)
{
        size_t before = q->n;

        for (size_t i = 0; i < n; i++)
                if (note_op(q, &ops[i]) < 0)
                        return tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        if (q->n <= before || q->n <= LIMIT_QUOTAS)
                return 0;
        return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                        "at most %u namespaces have a quota: take it from another one first",
                        LIMIT_QUOTAS);
}

/* Those that it writes to, in a list. */
static int take_contents(Quotas *q, const Op *ops, size_t n, Entry **ret)
{
        Entry *touched = NULL;

        for (size_t i = 0; i < n; i++) {
                Entry *e;

                if (type_is_global(ops[i].key.type))
                        continue;
                if (!q->known && look_up(q, ops[i].key.namespace) < 0)
                        return -ENOMEM;
                e = find(q, ops[i].key.namespace);
                if (!e)
                        continue;
                if (!e->touched) {
                        e->touched = true;
                        e->more_objects = e->more_bytes = 0;
                        e->next = touched;
                        touched = e;
                }
                account(e, &ops[i], 1);
                e->more_objects += ops[i].more_objects;
                e->more_bytes += ops[i].more_bytes;
        }
        *ret = touched;
        return 0;
}

int quotas_take(Quotas *q, const Op *ops, size_t n, sd_bus_error *reterr)
{
        Entry *touched = NULL;
        int r;

        r = take_namespaces(q, ops, n, reterr);
        /* Commonly all of them are known after the first look. */
        if (!q->known && look_around(q, now_boottime_usec() + IDLE_USEC) < 0)
                q->cursor = (StoreKey){};
        if (q->known && q->n == 0)
                return r;
        if (take_contents(q, ops, n, &touched) < 0) {
                quotas_forget(q);
                return r < 0 ? r : tank_error_set(reterr, TANK_ERROR_INTERNAL, "out of memory");
        }
        for (; touched; touched = touched->next) {
                touched->touched = false;
                if (r >= 0)
                        r = judge(q, touched, reterr);
        }
        return r;
}

void quotas_give_back(Quotas *q, const Op *ops, size_t n)
{
        bool failed = false;

        for (size_t i = 0; i < n; i++) {
                Entry *e = type_is_global(ops[i].key.type) ? NULL : find(q, ops[i].key.namespace);

                if (e)
                        account(e, &ops[i], -1);
        }
        for (size_t i = 0; i < n; i++)
                failed = failed || (is_namespace(&ops[i]) && look_up(q, ops[i].key.name) < 0);
        if (failed)
                quotas_forget(q);
}

/* ---- the whole ---- */

static void forget_entries(Quotas *q)
{
        while (q->entries)
                drop(q, *(Entry **) q->entries);
}

void quotas_forget(Quotas *q)
{
        forget_entries(q);
        q->known = false;
        q->cursor = (StoreKey){};
        wake_up(q);
}

static void tell(const void *node, VISIT which, void *closure)
{
        const Entry *e = *(Entry *const *) node;
        EntryWalk *w = closure;

        if ((which == postorder || which == leaf) && e->counted && w->r >= 0)
                w->r = w->each(e->namespace, &e->use, w->userdata);
}

int quotas_walk(const Quotas *q, QuotaSeen each, void *userdata)
{
        EntryWalk w = { .each = each, .userdata = userdata };

        twalk_r(q->entries, tell, &w);
        return w.r;
}

int quotas_new(Store *s, Quotas **ret)
{
        CLEANUP(quotas_freep) Quotas *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        q->store = s;
        /* No defer source: one that is always on goes before all others of its priority. */
        if ((r = sd_event_add_time(s->event, &q->source, CLOCK_MONOTONIC, 0, 1, on_idle, q)) < 0 ||
                        (r = sd_event_source_set_priority(q->source, SD_EVENT_PRIORITY_IDLE)) < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

Quotas *quotas_free(Quotas *q)
{
        if (!q)
                return NULL;
        forget_entries(q);
        sd_event_source_disable_unref(q->source);
        free(q);
        return NULL;
}
