/* SPDX-License-Identifier: Apache-2.0 */

/* One page of the change log, of one view of the database: rows one after the other, each decided
 * upon by itself; see store-changes.h for what is promised. A page ends between two revisions, when
 * enough was told, or enough was looked at. */

#include "store-changes.h"

#include <inttypes.h>

#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "selector.h"
#include "store-internal.h"
#include "store-scan.h"

typedef struct Page {
        Store *store;
        const StoreChangesQuery *query;
        const Selector *labels; /* NULL: any */
        const DbView *view;
        DbIter *history; /* for what was deleted; made when it is needed */
        uint32_t limit;
        StoreChangeSeen each;
        void *userdata;

        uint64_t revision;   /* of the newest row; of the query before the first */
        uint32_t next_index; /* the one that a further row of this revision must have */
        uint32_t n_told, n_scanned;
        size_t bytes, bytes_gone; /* of what was told; of documents that were deleted */
        uint64_t hole;            /* here the log cannot be read; 0: nowhere */
} Page;

/* ---- which changes are wanted, and as what ---- */

static bool key_matches(const StoreChangesQuery *q, const ObjectKey *k)
{
        return (isempty(q->type) || streq(q->type, k->type)) &&
               (isempty(q->namespace) || streq(q->namespace, k->namespace)) &&
               (isempty(q->prefix) || strncmp(q->prefix, k->name, strlen(q->prefix)) == 0);
}

/* How the change looks to who sees only what matches @s; *c is adapted. 1: it is seen, 0: not. */
static int see_through_labels(const Selector *s, const void *row, size_t size, StoreChange *c)
{
        CLEANUP_JSON json_t *labels = NULL, *previous = NULL;
        bool is, was;
        int r;

        r = store_change_labels(row, size, &labels, &previous);
        if (r < 0)
                return r;
        is = c->operation != OPERATION_DELETED && selector_matches_labels(s, labels);
        /* What is not known may have matched: a "deleted" too many does no harm. */
        was = c->operation != OPERATION_CREATED &&
              (json_is_null(previous) || selector_matches_labels(s, previous));
        if (!is && !was)
                return 0;
        c->operation = !was ? OPERATION_CREATED : !is ? OPERATION_DELETED : OPERATION_UPDATED;
        return 1;
}

/* ---- documents ---- */

static int new_document(const Page *p, const ObjectKey *key, char **ret)
{
        CLEANUP_FREE char *value = NULL;
        StoreKey k = history_key_encode(key, p->revision, p->next_index - 1);
        size_t size;
        int r;

        r = db_get(p->store->db, p->view, DB_HISTORY, DB_KEY(&k), &value, &size);
        return r < 0 ? store_unreadable_text(key, r, ret) : store_row_text(key, value, size, ret);
}

/* The version before this change. Retention leaves it as long as the change is in the log. */
static int last_document(Page *p, const ObjectKey *key, char **ret)
{
        StoreKey prefix = key_prefix_history(key), k;
        const char *value;
        size_t size;
        int r;

        if (!p->history && (r = db_iter_new(p->store->db, p->view, DB_HISTORY, &p->history)) < 0)
                return r;
        k = history_key_encode(key, p->revision, p->next_index - 1);
        r = history_seek_before(p->history, &prefix, &k);
        if (r <= 0)
                return store_unreadable_text(key, r < 0 ? r : -ENOENT, ret);
        value = db_iter_value(p->history, &size);
        if (p->bytes_gone + size > LIMIT_CHANGES_GONE_BYTES)
                return 0;
        p->bytes_gone += size;
        return store_row_text(key, value, size, ret);
}

/* ---- rows ---- */

static int tell(Page *p, const StoreChange *c, size_t row_size)
{
        CLEANUP_FREE char *document = NULL;
        int r;

        if (p->query->documents) {
                r = c->operation == OPERATION_DELETED ? last_document(p, &c->key, &document)
                                                      : new_document(p, &c->key, &document);
                if (r < 0)
                        return r;
        }
        r = p->each(p->revision, c, strempty(document), p->userdata);
        if (r < 0)
                return r;
        p->n_told++;
        p->bytes += row_size + strlen(strempty(document));
        return 0;
}

static int tell_row(Page *p, const char *row, size_t size)
{
        int r = p->query->row(p->revision, row, size, p->userdata);

        if (r > 0) {
                p->n_told++;
                p->bytes += size;
        }
        return r == -EPROTONOSUPPORT ? -EBADMSG : r < 0 ? r : 1;
}

static bool is_full(const Page *p)
{
        return p->n_told >= p->limit || p->bytes >= LIMIT_PAGE_BYTES ||
               p->n_scanned >= LIMIT_CHANGES_SCANNED;
}

/* Whether the row at @revision and @index is the one that follows the last. */
static bool follows(Page *p, uint64_t revision, uint32_t index)
{
        if (revision == p->revision && index == p->next_index && p->n_scanned > 0)
                p->next_index++;
        else if (revision == p->revision + 1 && index == 0) {
                p->revision = revision;
                p->next_index = 1;
        } else
                return false;
        p->n_scanned++;
        return true;
}

/* 1: on to the next, 0: the page is full, -EBADMSG: @p->hole says where. */
static int look_at(Page *p, const DbIter *i)
{
        uint64_t revision;
        uint32_t index;
        const char *k, *row;
        StoreChange c;
        size_t size;
        int r;

        k = db_iter_key(i, &size);
        p->hole = p->revision + 1;
        if (change_key_decode(k, size, &revision, &index) < 0)
                return 1; /* the place of no change: were one missing, the next would not follow */
        if (revision > p->revision && is_full(p))
                return 0;
        if (!follows(p, revision, index)) {
                p->hole = MIN(revision, p->revision + 1);
                return -EBADMSG;
        }
        p->hole = revision;
        row = db_iter_value(i, &size);
        if (p->query->row)
                return tell_row(p, row, size);
        r = store_change_decode(row, size, &c);
        if (r == 0 && !key_matches(p->query, &c.key))
                r = 1;
        else if (r == 0 && p->labels)
                r = see_through_labels(p->labels, row, size, &c) == 0;
        if (r == -EBADMSG || r == -EPROTONOSUPPORT)
                return -EBADMSG;
        if (r == 0)
                r = tell(p, &c, size);
        return r < 0 ? r : 1;
}

/* 1: there is more, 0: that was all of it. */
static int read_page(Page *p, uint64_t newest)
{
        CLEANUP(db_iter_freep) DbIter *i = NULL;
        StoreKey first = change_key_encode(p->revision + 1, 0);
        int r;

        r = db_iter_new(p->store->db, p->view, DB_CHANGES, &i);
        if (r < 0)
                return r;
        for (db_iter_seek(i, DB_KEY(&first)); db_iter_valid(i); db_iter_next(i)) {
                r = look_at(p, i);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }
        p->hole = p->revision + 1;
        r = db_iter_status(i);
        if (r >= 0 && p->revision != newest)
                r = -EBADMSG;
        return r;
}

/* ---- the whole ---- */

static int refuse_hole(const Page *p, sd_bus_error *reterr)
{
        /* Of a database that is damaged what stands may be, too. */
        bool whole = !p->store->incomplete && !db_is_damaged(p->store->db);

        log_error("the change log cannot be read at revision %" PRIu64 ": who follows it has to "
                  "list anew",
                        p->hole);
        return tank_error_set(reterr, TANK_ERROR_COMPACTED,
                        "the change log is damaged at revision %" PRIu64
                        ": list anew, and follow from there%s",
                        p->hole, whole ? "; what stands is not affected" : "");
}

static int check_query(const StoreChangesQuery *q, sd_bus_error *reterr)
{
        if (!isempty(q->type) && !type_is_valid(q->type))
                return store_refuse_key(q->type, "", "", reterr);
        if (!isempty(q->namespace) &&
                        (!name_is_valid(q->namespace) || type_is_global(strempty(q->type))))
                return store_refuse_key(strempty(q->type), q->namespace, "", reterr);
        if (!isempty(q->prefix) && !name_prefix_is_valid(q->prefix))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"prefix\": no name begins with \"%.64s\"", q->prefix);
        return 0;
}

/* Against the same view that the log is read from. */
static int check_position(Store *s, const DbView *view, const StoreChangesQuery *q,
                uint64_t *ret_newest, sd_bus_error *reterr)
{
        uint64_t compacted;
        int r;

        if ((r = meta_get_u64(s->db, view, META_REVISION, ret_newest)) < 0 ||
                        (r = meta_get_u64(s->db, view, META_COMPACTED, &compacted)) < 0)
                return store_read_failed(r, reterr);
        if (q->since < compacted)
                return tank_error_set(reterr, TANK_ERROR_COMPACTED,
                                "the changes up to revision %" PRIu64 " are gone: list anew",
                                compacted);
        if (q->since > *ret_newest)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "revision %" PRIu64
                                " lies ahead of the database, which stands at %" PRIu64
                                ": it went back",
                                q->since, *ret_newest);
        return 0;
}

int store_changes(Store *s, const StoreChangesQuery *q, StoreChangeSeen each, void *userdata,
                bool *ret_more, uint64_t *ret_revision, sd_bus_error *reterr)
{
        CLEANUP(db_view_freep) DbView *view = NULL;
        CLEANUP(selector_freep) Selector *labels = NULL;
        Page p = {
                .store = s,
                .query = q,
                .limit = q->limit == 0 ? LIMIT_PAGE_ENTRIES : MIN(q->limit, LIMIT_PAGE_ENTRIES),
                .each = each,
                .userdata = userdata,
                .revision = q->since,
        };
        uint64_t newest;
        int r;

        if (!streq(q->database_id, s->database_id))
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "this is the database %s, not \"%.40s\": its revisions mean "
                                "something else; list anew",
                                s->database_id, q->database_id);
        r = check_query(q, reterr);
        if (r < 0)
                return r;
        if (!isempty(q->labels) && (r = selector_parse_labels(q->labels, &labels, reterr)) < 0)
                return r;
        r = db_view_new(s->db, &view);
        if (r < 0)
                return store_read_failed(r, reterr);
        r = check_position(s, view, q, &newest, reterr);
        if (r < 0)
                return r;
        p.view = view;
        p.labels = labels;
        r = q->since < newest ? read_page(&p, newest) : 0;
        p.history = db_iter_free(p.history);
        if (r == -EBADMSG && p.hole > 0)
                return refuse_hole(&p, reterr);
        if (r < 0)
                return store_read_failed(r, reterr);
        *ret_more = r > 0;
        *ret_revision = p.revision;
        return 0;
}
