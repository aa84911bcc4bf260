/* SPDX-License-Identifier: Apache-2.0 */

/* What a recording would look like of a store that is broken: one damage at a time, so that the
 * check can be seen to see it. */

#include <stdlib.h>

#include "history.h"

static struct {
        Row *rows;
        size_t n_rows;
        uint32_t n;
        Item standing[N_KEYS];
        uint32_t to[N_STREAMS];
        Op op;
        size_t at;
        bool has_op;
        Item item, *item_of;
        Stream stream;
        size_t stream_at;
        bool has_stream;
} saved;

static uint32_t dice;

static uint32_t throw(size_t below)
{
        dice = dice * 1664525U + 1013904223U;
        return (uint32_t) ((uint64_t) dice * below >> 32);
}

static Op *save_op(Recording *r, size_t i)
{
        saved.op = r->ops[i];
        saved.at = i;
        saved.has_op = true;
        return &r->ops[i];
}

static void save_item(Item *item)
{
        saved.item = *item;
        saved.item_of = item;
}

static Stream *save_stream(Recording *r, size_t i)
{
        Stream *s = &r->streams[i];
        Watched *rows = malloc((s->n + 1) * sizeof(Watched));

        assert(rows);
        memcpy(rows, s->rows, s->n * sizeof(Watched));
        saved.stream = *s;
        saved.stream_at = i;
        saved.has_stream = true;
        s->rows = rows;
        return s;
}

/* Somewhere in the recording, from a place at random on. */
typedef bool (*Wanted)(const Recording *r, const Op *op);

static size_t find(const Recording *r, Wanted wanted)
{
        size_t begin = throw(r->n);

        for (size_t i = 0; i < r->n; i++)
                if (wanted(r, &r->ops[(begin + i) % r->n]))
                        return (begin + i) % r->n;
        return SIZE_MAX;
}

static bool told(const Recording *r, const Op *op)
{
        return op->effect > 0 && op->result == RESULT_OK;
}

static bool told_with_condition(const Recording *r, const Op *op)
{
        return told(r, op) && op->kind == OP_WRITE && op->steps->has_if;
}

static bool told_late(const Recording *r, const Op *op)
{
        return told(r, op) && op->effect > r->log.n / 2;
}

static bool refused_create(const Recording *r, const Op *op)
{
        return op->kind == OP_WRITE && op->refusal == REFUSAL_ALREADY_EXISTS;
}

static bool refused_conflict(const Recording *r, const Op *op)
{
        return op->kind == OP_WRITE && op->refusal == REFUSAL_CONFLICT;
}

static bool read_something(const Recording *r, const Op *op)
{
        return op->kind == OP_GET && op->result == RESULT_OK && op->items->revision > 0 &&
               op->items->key < N_DOCUMENTS && op->items->revision < r->log.n / 2;
}

static bool read_old(const Recording *r, const Op *op)
{
        return op->kind == OP_GET && op->result == RESULT_OK && op->items->key < N_DOCUMENTS &&
               op->items->revision > r->log.n / 2;
}

static bool listed(const Recording *r, const Op *op)
{
        return op->kind == OP_LIST && op->result == RESULT_OK && op->n_items > 2 &&
               op->answered > 0 && op->list_at == 0;
}

static bool listed_late(const Recording *r, const Op *op)
{
        return listed(r, op) && op->revision > r->log.n / 2;
}

static bool signalled(const Recording *r, const Op *op)
{
        return op->kind == OP_SIGNAL && op->revision < r->log.n / 2;
}

/* ---- damages; false: the recording has nothing to damage so ---- */

static bool lose_acknowledged(Recording *r)
{
        uint32_t newest = 0;

        for (size_t i = 0; i < r->n; i++)
                if (told(r, &r->ops[i]))
                        newest = MAX(newest, r->ops[i].effect);
        if (newest < 3)
                return false;
        r->log.n = newest - 1;
        r->log.n_rows = r->log.first[newest];
        return true;
}

/* At the very end, with a document that no call had. Nothing may stand there: on a full disk all
 * of it can be deleted, and nothing else. */
static bool happen_unasked(Recording *r)
{
        Key k = (Key) throw(N_OBJECTS);
        const Version *v = log_find(&r->log, r->log.n, k);
        Row *row = &r->log.rows[r->log.n_rows++];

        *row = (Row){ .revision = ++r->log.n,
                .change = v ? CHANGE_UPDATED : CHANGE_CREATED,
                .key = k,
                .tag = UINT32_MAX,
                .generation = v ? v->generation + 1 : 1,
                .document_revision = r->log.n,
                .uid = v ? v->uid : 1 };
        r->standing[k] = (Item){ k, r->log.n, row->generation, row->tag };
        for (size_t i = 0; i < N_STREAMS; i++)
                r->streams[i].to = r->log.n;
        return true;
}

static bool drop_row(Recording *r)
{
        size_t i = r->log.n_rows / 2 + throw(r->log.n_rows / 4);

        memmove(&r->log.rows[i], &r->log.rows[i + 1], (r->log.n_rows - i - 1) * sizeof(Row));
        r->log.n_rows--;
        return true;
}

static bool refuse_what_happened(Recording *r)
{
        size_t i = find(r, told);
        Op *op;

        if (i == SIZE_MAX)
                return false;
        op = save_op(r, i);
        op->result = RESULT_REFUSED;
        op->refusal = REFUSAL_STATE;
        return true;
}

static bool ignore_condition(Recording *r)
{
        size_t i = find(r, told_with_condition);
        Op *op;

        if (i == SIZE_MAX)
                return false;
        op = save_op(r, i);
        op->steps = malloc(sizeof(Step));
        assert(op->steps);
        *op->steps = *saved.op.steps;
        op->steps->if_revision++;
        return true;
}

static bool answer_another_revision(Recording *r)
{
        size_t i = find(r, told_late);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->revision--;
        return true;
}

static bool happen_before_asked(Recording *r)
{
        size_t i = find(r, told), k = find(r, told_late);

        if (i == SIZE_MAX || k == SIZE_MAX || i >= k)
                return false;
        /* As if the later one had been asked for and answered at once, at the very end. */
        save_op(r, i)->invoked = r->now - 1;
        r->ops[i].answered = r->now;
        return true;
}

static bool refuse_without_reason(Recording *r, Wanted wanted, Refusal refusal)
{
        size_t i = find(r, wanted);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->refusal = refusal;
        return true;
}

static bool refuse_as_conflict(Recording *r)
{
        return refuse_without_reason(r, refused_create, REFUSAL_CONFLICT);
}

static bool refuse_as_exists(Recording *r)
{
        return refuse_without_reason(r, refused_conflict, REFUSAL_FAILED_PRECONDITION);
}

static bool tell_wrong_conflict(Recording *r)
{
        size_t i = find(r, refused_conflict);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->refused_revision++;
        return true;
}

static bool set_item(Recording *r, Item *item, const Version *v)
{
        save_item(item);
        *item = (Item){ item->key, v->revision, v->generation, v->tag };
        return true;
}

static bool read_stale(Recording *r)
{
        size_t i = find(r, read_old);
        Key k;

        if (i == SIZE_MAX)
                return false;
        k = r->ops[i].items->key;
        return !r->log.versions[k][0].gone && set_item(r, r->ops[i].items, &r->log.versions[k][0]);
}

static bool read_ahead(Recording *r)
{
        size_t i = find(r, read_something);
        Key k;

        if (i == SIZE_MAX)
                return false;
        k = r->ops[i].items->key;
        for (size_t n = r->log.n_versions[k]; n > 0; n--)
                if (!r->log.versions[k][n - 1].gone)
                        return set_item(r, r->ops[i].items, &r->log.versions[k][n - 1]);
        return false;
}

static bool read_mixed(Recording *r)
{
        size_t i = find(r, read_something);

        if (i == SIZE_MAX)
                return false;
        save_item(r->ops[i].items);
        r->ops[i].items->tag++;
        return true;
}

static bool tear_list(Recording *r)
{
        size_t i = find(r, listed);
        Item *item;
        Key k;

        if (i == SIZE_MAX)
                return false;
        item = &r->ops[i].items[1];
        k = item->key;
        for (size_t n = 0; n + 1 < r->log.n_versions[k]; n++)
                if (r->log.versions[k][n].revision == item->revision)
                        return set_item(r, item, &r->log.versions[k][n + 1]);
        return false;
}

static bool shorten_list(Recording *r)
{
        size_t i = find(r, listed);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->n_items--;
        return true;
}

static bool list_in_the_past(Recording *r)
{
        size_t i = find(r, listed_late);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->revision /= 2;
        return true;
}

static bool signal_ahead(Recording *r)
{
        size_t i = find(r, signalled);

        if (i == SIZE_MAX)
                return false;
        save_op(r, i)->revision = r->log.n;
        return true;
}

static bool watch_gap(Recording *r)
{
        Stream *s = save_stream(r, throw(N_STREAMS));
        size_t i = throw(s->n);

        memmove(&s->rows[i], &s->rows[i + 1], (s->n - i - 1) * sizeof(Watched));
        s->n--;
        return true;
}

static bool watch_twice(Recording *r)
{
        Stream *s = save_stream(r, throw(N_STREAMS));
        size_t i = throw(s->n);

        memmove(&s->rows[i + 1], &s->rows[i], (s->n - i) * sizeof(Watched));
        s->n++;
        return true;
}

static bool watch_disorder(Recording *r)
{
        Stream *s = save_stream(r, throw(N_STREAMS));
        size_t i = 1 + throw(s->n - 1);
        Watched w = s->rows[i];

        s->rows[i] = s->rows[i - 1];
        s->rows[i - 1] = w;
        return true;
}

static bool watch_torn(Recording *r)
{
        Stream *s = save_stream(r, 0);

        for (size_t i = s->n / 2; i + 1 < s->n; i++)
                if (s->rows[i].revision == s->rows[i + 1].revision)
                        return s->rows[i].ends_page = true;
        return false;
}

static bool watch_end_missing(Recording *r)
{
        save_stream(r, 2)->to--;
        return true;
}

static bool watch_without_synthetic(Recording *r)
{
        Stream *s = save_stream(r, 3);

        for (size_t i = 0; i < s->n; i++)
                if (s->rows[i].change == CHANGE_DELETED) {
                        const Row *row = &r->log.rows[r->log.first[s->rows[i].revision]];

                        if (row->change == CHANGE_DELETED)
                                continue;
                        memmove(&s->rows[i], &s->rows[i + 1], (s->n - i - 1) * sizeof(Watched));
                        s->n--;
                        return true;
                }
        return false;
}

static const struct {
        const char *what;
        bool (*spoil)(Recording *r);
} spoils[] = {
        { "an acknowledged write is lost", lose_acknowledged },
        { "a write happens that nobody asked for", happen_unasked },
        { "a row of the change log is missing", drop_row },
        { "what was refused happens", refuse_what_happened },
        { "a precondition is not looked at", ignore_condition },
        { "a write is answered with another's revision", answer_another_revision },
        { "a write happens before it is asked for", happen_before_asked },
        { "a create is refused as a conflict", refuse_as_conflict },
        { "a conflict is refused as something else", refuse_as_exists },
        { "a conflict tells another revision", tell_wrong_conflict },
        { "a Get tells what no longer stood", read_stale },
        { "a Get tells what did not stand yet", read_ahead },
        { "a Get tells what never stood", read_mixed },
        { "a List is of two revisions", tear_list },
        { "a List misses an object", shorten_list },
        { "a List is of the past", list_in_the_past },
        { "Changed is ahead of what is durable", signal_ahead },
        { "a watcher misses a change", watch_gap },
        { "a watcher is told a change twice", watch_twice },
        { "a watcher is told in another order", watch_disorder },
        { "a watcher is told half of a transaction", watch_torn },
        { "a watcher does not come to the end", watch_end_missing },
        { "a watcher is not told that an object ceased to match", watch_without_synthetic },
};

const char *history_spoil(Recording *r, unsigned i, uint32_t seed)
{
        if (i >= ARRAY_SIZE(spoils))
                return NULL;
        dice = seed + i;
        saved.rows = r->log.rows;
        saved.n_rows = r->log.n_rows;
        saved.n = r->log.n;
        r->log.rows = malloc((saved.n_rows + 1) * sizeof(Row));
        assert(r->log.rows);
        memcpy(r->log.rows, saved.rows, saved.n_rows * sizeof(Row));
        memcpy(saved.standing, r->standing, sizeof(saved.standing));
        for (size_t k = 0; k < N_STREAMS; k++)
                saved.to[k] = r->streams[k].to;
        /* What cannot be damaged so counts as not seen: runs are long enough for all of them. */
        (void) spoils[i].spoil(r);
        return spoils[i].what;
}

void history_mend(Recording *r)
{
        free(r->log.rows);
        r->log.rows = saved.rows;
        r->log.n_rows = saved.n_rows;
        r->log.n = saved.n;
        memcpy(r->standing, saved.standing, sizeof(saved.standing));
        for (size_t k = 0; k < N_STREAMS; k++)
                r->streams[k].to = saved.to[k];
        if (saved.item_of)
                *saved.item_of = saved.item;
        if (saved.has_op) {
                if (r->ops[saved.at].steps != saved.op.steps)
                        free(r->ops[saved.at].steps);
                r->ops[saved.at] = saved.op;
        }
        if (saved.has_stream) {
                free(r->streams[saved.stream_at].rows);
                r->streams[saved.stream_at] = saved.stream;
        }
        saved.has_op = saved.has_stream = false;
        saved.item_of = NULL;
}
