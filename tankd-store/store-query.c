/* SPDX-License-Identifier: Apache-2.0 */

/* Lists and counts; see store-query.h. A query is a scan with a filter before it. In the order of
 * names a page is told as it is scanned. In any other order each page scans all there is and keeps
 * the keys of those that come first behind the last page, never more than two pages of them; what
 * they hold is read behind that.
 *
 * All queries get their slices in turn, one whenever the loop has nothing else to do, and after
 * some milliseconds of other work all the same: so however many there are, a write waits for one
 * slice at most, and however much is written, lists go on. A query holds a view of the database:
 * none may outlive the handle. */

#include "store-query.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "names.h"
#include "quantity.h"
#include "selector.h"
#include "store-internal.h"
#include "store-problems.h"
#include "store-scan.h"

#define SLICE_USEC     (2 * USEC_PER_MSEC)
#define PAUSE_USEC     (4 * USEC_PER_MSEC) /* without a slice, when there is a lot else to do */
#define STEPS_UNTIMED  16U                 /* between two looks at the clock */
#define TOKEN_FORMAT   "2"
#define TOKEN_SIZE_MAX 512U
#define LIST_ID_SIZE   17 /* of a digest, enough to know one's own tokens by */

typedef enum SortBy {
        SORT_NAME,
        SORT_CREATED,
        SORT_UPDATED,
        SORT_REVISION,
        _SORT_BY_MAX,
} SortBy;

static const char *const sort_words[_SORT_BY_MAX] = {
        [SORT_NAME] = "name",
        [SORT_CREATED] = "created",
        [SORT_UPDATED] = "updated",
        [SORT_REVISION] = "revision",
};

/* Where an object stands in the order. */
typedef struct Place {
        uint64_t value; /* what is sorted by; 0 by name, and for what cannot be decoded */
        ObjectKey key;
} Place;

struct Query {
        Store *store;
        Selector *labels, *fields;
        SortBy sort;
        bool reverse, single_slice;
        uint32_t limit;
        uint64_t deadline_usec; /* USEC_INFINITY: none */
        char list_id[LIST_ID_SIZE];
        Scan *scan;
        bool scanned; /* all of it; the places are in order */

        bool resumed;
        Place last;    /* told last, on this page or the one before */
        Place *places; /* the first of all behind the last page, 2 * limit at most */
        size_t n_places, n_behind;

        StoreDocument each;
        StoreQueried done;
        void *userdata;
        uint64_t count;
        size_t bytes;
        char next[TOKEN_SIZE_MAX];
};

Query *query_free(Query *q)
{
        Store *s;

        if (!q)
                return NULL;
        s = q->store;
        for (size_t i = 0; i < s->n_queries; i++)
                if (s->queries[i] == q) {
                        memmove(&s->queries[i], &s->queries[i + 1],
                                        (--s->n_queries - i) * sizeof(*s->queries));
                        break;
                }
        scan_free(q->scan);
        selector_free(q->labels);
        selector_free(q->fields);
        free(q->places);
        free(q);
        return NULL;
}

/* ---- tokens ---- */

/* "2.<revision>.<list>.<value>.<type>.<namespace>.<name>": no part can hold a dot. */
static void write_token(Query *q)
{
        const ObjectKey *k = &q->last.key;

        (void) snprintf(q->next, sizeof(q->next),
                        TOKEN_FORMAT ".%" PRIu64 ".%s.%" PRIu64 ".%s.%s.%s", scan_revision(q->scan),
                        q->list_id, q->last.value, k->type, k->namespace, k->name); /* it fits */
}

static int read_token(Query *q, const char *token, uint64_t *ret_revision)
{
        char copy[TOKEN_SIZE_MAX], *rest = copy, *parts[7];

        if (strlen(token) >= sizeof(copy))
                return -EINVAL;
        memcpy(copy, token, strlen(token) + 1);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                parts[i] = strsep(&rest, ".");
                if (!parts[i])
                        return -EINVAL;
        }
        if (rest || !streq(parts[0], TOKEN_FORMAT) || !streq(parts[2], q->list_id))
                return -EINVAL;
        if (parse_u64(parts[1], ret_revision) < 0 || parse_u64(parts[3], &q->last.value) < 0)
                return -EINVAL;
        q->resumed = true;
        return object_key_init(&q->last.key, parts[4], parts[5], parts[6]);
}

/* What makes it this list, and no other, of this database. */
static int identify(Query *q, const StoreQuery *asked)
{
        CLEANUP_FREE char *text = NULL;
        char digest[SHA256_HEX_SIZE];

        if (asprintf(&text, "%s\n%s\n%s\n%s\n%s\n%d%d", q->store->database_id, asked->type,
                            asked->namespace, strempty(asked->labels), strempty(asked->fields),
                            (int) q->sort, (int) q->reverse) < 0)
                return -ENOMEM;
        sha256_hex(text, strlen(text), digest);
        memcpy(q->list_id, digest, LIST_ID_SIZE - 1);
        return 0;
}

/* ---- which ones, in which order ---- */

/* Of the labels alone, without parsing the rest. -EBADMSG: that cannot be told from them. */
static int labels_match(const Selector *s, const StoreRecord *record)
{
        CLEANUP_JSON json_t *labels = NULL;
        const char *text;
        size_t size;
        int r;

        r = document_find(record->document, record->document_size, "labels", &text, &size);
        if (r == -ENOENT)
                return selector_matches_labels(s, NULL);
        if (r >= 0)
                labels = json_loadb(text, size, 0, NULL);
        return labels ? selector_matches_labels(s, labels) : -EBADMSG;
}

/* 1: it is meant. *ret_text: its text, if that had to be made for this. */
static int query_matches(
                const Query *q, const ObjectKey *key, const char *row, size_t size, char **ret_text)
{
        CLEANUP_JSON json_t *doc = NULL;
        StoreRecord record;
        int r;

        if ((!q->labels && !q->fields) || store_record_decode(row, size, &record) < 0)
                return 1;
        if (q->labels) {
                r = labels_match(q->labels, &record);
                if (r == 0 || (r > 0 && !q->fields))
                        return r;
        }
        /* With meta, and with nothing that does not leave the store. */
        r = store_row_text(key, row, size, ret_text);
        if (r < 0)
                return r;
        doc = json_loads(*ret_text, 0, NULL);
        if (!doc) {
                free(*ret_text);
                *ret_text = NULL;
                r = store_unreadable_text(key, -EBADMSG, ret_text);
                return r < 0 ? r : 1;
        }
        return selector_matches(q->labels, doc) && selector_matches(q->fields, doc);
}

static uint64_t sort_value(const Query *q, const char *row, size_t size)
{
        StoreRecord record;

        if (q->sort == SORT_NAME || store_record_decode(row, size, &record) < 0)
                return 0;
        switch (q->sort) {
        case SORT_CREATED: return record.created_usec;
        case SORT_UPDATED: return record.updated_usec;
        case SORT_REVISION: return record.revision;
        case SORT_NAME:
        case _SORT_BY_MAX: break;
        }
        return 0;
}

static int compare_places(const void *left, const void *right, void *query)
{
        const Place *a = left, *b = right;
        const Query *q = query;
        int c = (a->value > b->value) - (a->value < b->value);

        if (c != 0)
                return q->reverse ? -c : c;
        c = strcmp(a->key.type, b->key.type);
        if (c == 0)
                c = strcmp(a->key.namespace, b->key.namespace);
        if (c == 0)
                c = strcmp(a->key.name, b->key.name);
        /* Of what is equal otherwise nobody asked to see the names from behind. */
        return q->reverse && q->sort == SORT_NAME ? -c : c;
}

/* The first @limit of them, in order. */
static void order_places(Query *q)
{
        qsort_r(q->places, q->n_places, sizeof(*q->places), compare_places, q);
        q->n_places = MIN(q->n_places, (size_t) q->limit);
}

static int add_place(Query *q, const ObjectKey *key, const char *row, size_t size)
{
        Place p = { .value = sort_value(q, row, size), .key = *key };

        if (q->resumed && compare_places(&p, &q->last, q) <= 0)
                return 0;
        q->n_behind++;
        if (!q->places) {
                q->places = calloc(2 * q->limit, sizeof(*q->places));
                if (!q->places)
                        return -ENOMEM;
        }
        if (q->n_places == 2 * q->limit)
                order_places(q);
        q->places[q->n_places++] = p;
        return 0;
}

/* ---- the work ---- */

/* 1: told, 0: the page is full. */
static int tell(Query *q, const Place *at, const char *text)
{
        size_t n = strlen(text);
        int r;

        if (q->count >= q->limit || (q->count > 0 && q->bytes + n > LIMIT_PAGE_BYTES)) {
                write_token(q);
                return 0;
        }
        r = q->each(text, q->userdata);
        if (r < 0)
                return r;
        q->count++;
        q->bytes += n;
        q->last = *at;
        return 1;
}

/* One object of the scan. 1: the query is done, 0: it goes on. */
static int step_scan(Query *q)
{
        CLEANUP_FREE char *text = NULL;
        char buf[KEY_WORDS_SIZE];
        Place at = {};
        const char *row;
        size_t size;
        int r;

        r = scan_next(q->scan, &at.key, &row, &size);
        if (r == -EAGAIN)
                return 0;
        if (r == -EILSEQ) {
                log_error("a row is left out of a list: its key, %s, is the name of nothing",
                                key_words(row, size, buf));
                return 0;
        }
        if (r == 0 && q->places) {
                order_places(q);
                q->scanned = true;
                return 0;
        }
        if (r <= 0)
                return r < 0 ? r : 1;
        r = query_matches(q, &at.key, row, size, &text);
        if (r <= 0)
                return r;
        if (!q->each) {
                q->count++;
                return 0;
        }
        if (q->sort != SORT_NAME || q->reverse)
                return add_place(q, &at.key, row, size);
        r = text ? 0 : store_row_text(&at.key, row, size, &text);
        if (r >= 0)
                r = tell(q, &at, text);
        return r < 0 ? r : r == 0;
}

/* One document of those that come first. */
static int step_places(Query *q)
{
        CLEANUP_FREE char *text = NULL;
        const char *row;
        size_t size;
        int r;

        if (q->count >= q->n_places) {
                if (q->n_behind > q->count)
                        write_token(q);
                return 1;
        }
        r = scan_get(q->scan, &q->places[q->count].key, &row, &size);
        if (r >= 0)
                r = store_row_text(&q->places[q->count].key, row, size, &text);
        if (r >= 0)
                r = tell(q, &q->places[q->count], text);
        return r < 0 ? r : r == 0;
}

/* 1: done, 0: there is more to do. */
static int work_slice(Query *q)
{
        uint64_t until = now_boottime_usec() + SLICE_USEC;
        bool selects = q->labels || q->fields; /* a large document may take all of a slice */
        int r;

        for (unsigned n = 1;; n++) {
                r = q->scanned ? step_places(q) : step_scan(q);
                if (r != 0)
                        return r;
                if ((selects || n % STEPS_UNTIMED == 0) && !q->single_slice &&
                                now_boottime_usec() >= until)
                        return 0;
        }
}

static void answer(Query *q, const sd_bus_error *error)
{
        const StoreResult result = {
                .next = q->next,
                .count = q->count,
                .revision = scan_revision(q->scan),
        };
        StoreQueried done = q->done;
        void *userdata = q->userdata;

        done(error ? NULL : &result, error, userdata);
}

/* ---- slices ---- */

static void end_query(Query *q, const char *error, const char *words)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        if (error)
                (void) tank_error_set(&e, error, "%s", words);
        answer(q, error ? &e : NULL);
        query_free(q);
}

static void end_expired(Store *s, uint64_t now)
{
        for (size_t i = 0; i < s->n_queries;)
                if (now >= s->queries[i]->deadline_usec)
                        end_query(s->queries[i], TANK_ERROR_TIMED_OUT,
                                        "the deadline was over before all was looked at");
                else
                        i++;
}

static int arm(Store *s)
{
        int enabled = s->n_queries > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF, r;

        r = sd_event_source_set_enabled(s->query_idle, enabled);
        if (r >= 0)
                r = sd_event_source_set_time(s->query_due, now_boottime_usec() + PAUSE_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(s->query_due, enabled);
}

static int on_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Store *s = userdata;
        Query *q;
        int r;

        end_expired(s, now_boottime_usec());
        if (s->n_queries > 0) {
                q = s->queries[0];
                memmove(s->queries, s->queries + 1, (s->n_queries - 1) * sizeof(*s->queries));
                s->queries[s->n_queries - 1] = q;
                r = work_slice(q);
                if (r < 0)
                        (void) store_read_failed(r, &e);
                if (r != 0)
                        end_query(q, e.name, e.message);
        }
        r = arm(s);
        if (r < 0)
                (void) log_error_errno(r, "cannot go on with the lists that are under way");
        return 0;
}

/* Both are timers: a defer source stays pending from its first turn on, and is then served before
 * all that comes later. */
static int make_sources(Store *s)
{
        int r;

        if (s->query_due)
                return 0;
        if ((r = sd_event_add_time(s->event, &s->query_idle, CLOCK_BOOTTIME, 0, 1, on_turn, s)) <
                                        0 ||
                        (r = sd_event_source_set_priority(s->query_idle, SD_EVENT_PRIORITY_IDLE)) <
                                        0)
                return r;
        return sd_event_add_time(s->event, &s->query_due, CLOCK_BOOTTIME, 0, 1, on_turn, s);
}

static int put_under_way(Query *q, sd_bus_error *reterr)
{
        Store *s = q->store;
        int r;

        if (s->n_queries >= LIMIT_QUERIES)
                return tank_error_set(reterr, TANK_ERROR_BUSY,
                                "%u long lists are under way already: try again", LIMIT_QUERIES);
        s->queries[s->n_queries++] = q; /* query_free() takes it out */
        r = make_sources(s);
        if (r >= 0)
                r = arm(s);
        if (r < 0)
                return tank_error_set_errno(reterr, r, "cannot go on with a long list");
        return 1;
}

void store_end_queries(Store *s)
{
        while (s->n_queries > 0)
                end_query(s->queries[0], TANK_ERROR_UNAVAILABLE,
                                "the database was closed while this was looked at: try again");
        s->query_idle = sd_event_source_disable_unref(s->query_idle);
        s->query_due = sd_event_source_disable_unref(s->query_due);
}

/* ---- the beginning ---- */

static int refuse_range(const StoreQuery *asked, sd_bus_error *reterr)
{
        if (!isempty(asked->type) && !type_is_valid(asked->type))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "\"%.80s\" is no type: 1 to 62 of a-z, 0-9, '-' and '_', beginning "
                                "with a letter; \"\" means every type",
                                asked->type);
        if (isempty(asked->namespace))
                return 0;
        if (!name_is_valid(asked->namespace))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "\"%.80s\" is no namespace: 1 to 63 of a-z, 0-9 and '-'; \"\" "
                                "means every namespace",
                                asked->namespace);
        if (type_is_global(asked->type))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "a %s stands in no namespace: leave \"%s\" out", asked->type,
                                asked->namespace);
        return 0;
}

static int read_sort(Query *q, const char *sort, sd_bus_error *reterr)
{
        if (isempty(sort))
                return 0;
        q->reverse = *sort == '-';
        while (q->sort < _SORT_BY_MAX && !streq(sort + q->reverse, sort_words[q->sort]))
                q->sort++;
        if (q->sort == _SORT_BY_MAX)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"sort\": \"%.80s\" is none of name, created, updated and "
                                "revision, maybe with '-' in front",
                                sort);
        return 0;
}

static int read_asked(Query *q, const StoreQuery *asked, sd_bus_error *reterr)
{
        int r;

        if ((r = refuse_range(asked, reterr)) < 0 || (r = read_sort(q, asked->sort, reterr)) < 0)
                return r;
        if (!isempty(asked->labels))
                r = selector_parse_labels(asked->labels, &q->labels, reterr);
        if (r >= 0 && !isempty(asked->fields))
                r = selector_parse_fields(asked->fields, &q->fields, reterr);
        if (r >= 0 && identify(q, asked) < 0)
                r = store_read_failed(-ENOMEM, reterr);
        return r;
}

/* From where on, and as it was when. */
static int begin_scan(Query *q, const StoreQuery *asked, sd_bus_error *reterr)
{
        ScanRange range = { .type = asked->type, .namespace = asked->namespace };
        uint64_t revision = asked->has_revision ? asked->revision : SCAN_NEWEST;
        int r;

        if (!isempty(asked->token) &&
                        (read_token(q, asked->token, &revision) < 0 ||
                                        (asked->has_revision && revision != asked->revision)))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"continue\": not a token of this list");
        if (revision == SCAN_NEWEST && (asked->has_revision || q->resumed))
                revision--; /* no less ahead */
        if (revision < q->store->compacted)
                return tank_error_set(reterr, TANK_ERROR_COMPACTED,
                                "what stood there at revision %" PRIu64
                                " is not known any more, only since %" PRIu64 ": list anew",
                                revision, q->store->compacted);
        if (q->resumed && q->sort == SORT_NAME && !q->reverse)
                range.behind = &q->last.key;
        r = scan_new(q->store->db, revision, &range, &q->scan);
        if (r == -ERANGE)
                return tank_error_set(reterr, TANK_ERROR_FAILED_PRECONDITION,
                                "revision %" PRIu64
                                " lies ahead of the database: it is not written yet, or it went "
                                "back",
                                revision);
        return r < 0 ? store_read_failed(r, reterr) : 0;
}

int store_query(Store *s, const StoreQuery *asked, StoreDocument each, StoreQueried done,
                void *userdata, Query **ret, sd_bus_error *reterr)
{
        CLEANUP(query_freep) Query *q = NULL;
        int r;

        if (asked->has_deadline && now_boottime_usec() >= asked->deadline_usec)
                return tank_error_set(reterr, TANK_ERROR_TIMED_OUT,
                                "the deadline was over before this began");
        q = calloc(1, sizeof(*q));
        if (!q)
                return store_read_failed(-ENOMEM, reterr);
        *q = (Query){
                .store = s,
                .limit = asked->limit == 0 ? LIMIT_PAGE_ENTRIES
                                           : MIN(asked->limit, LIMIT_PAGE_ENTRIES),
                .deadline_usec = asked->has_deadline ? asked->deadline_usec : USEC_INFINITY,
                .each = each,
                .done = done,
                .userdata = userdata,
        };
        if ((r = read_asked(q, asked, reterr)) < 0 || (r = begin_scan(q, asked, reterr)) < 0)
                return r;
        q->single_slice = each && !q->labels && !q->fields && q->sort == SORT_NAME && !q->reverse &&
                          scan_is_newest(q->scan);
        r = work_slice(q);
        if (r < 0)
                return store_read_failed(r, reterr);
        if (r > 0) {
                answer(q, NULL);
                return 0;
        }
        r = put_under_way(q, reterr);
        if (r > 0)
                *ret = TAKE_PTR(q);
        return r;
}
