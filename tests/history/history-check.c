/* SPDX-License-Identifier: Apache-2.0 */

/* Whether the recording can have been.
 *
 * Each revision is some write's: of the one that was answered with it, or of one that nobody was
 * told of (no answer, or one that left it open). What was answered has happened once, what was
 * refused never, what was left open once at most.
 *
 * Then time is gone through. At each moment the revisions up to @low are known to have been, as a
 * call that was over before saw them; and those behind high[] cannot have been yet, as a write
 * among them was not asked for yet. A call that changed nothing was answered from one state in
 * between. It is given the lowest that fits, which leaves the most room to those behind it; so the
 * whole recording is checked, not a sample of it, and in one pass.
 *
 * A refusal speaks of what stood there like any other answer, and of nothing that was lost. Only
 * what is told of keys and values before it is durable may be about a write that was. */

#include <inttypes.h>
#include <stdlib.h>

#include "history.h"

#define NOBODY UINT32_MAX

typedef struct Check {
        Recording *r;
        Findings *found;
        uint32_t *owners;      /* of each revision: the index of a call, or NOBODY */
        uint32_t *high;        /* by time */
        uint32_t *low_at_call; /* by call */
        uint32_t low;
} Check;

static const char *op_words(const Op *op)
{
        static const char *const kinds[] = { "a write", "a transaction", "a Get", "a List",
                "a GetChanges", "a Changed" };

        return kinds[op->kind];
}

static bool op_writes(const Op *op)
{
        return op->kind == OP_WRITE || op->kind == OP_TRANSACTION;
}

/* Of those that were left open nobody knows which of them it was that happened. */
static bool was_left_open(const Op *q)
{
        return op_writes(q) && (q->result == RESULT_OPEN || q->result == RESULT_UNKNOWN);
}

static const char *const result_names[] = { "no answer", "answered", "refused", "left open" };

/* Who else wrote there at that time: what a person needs to see why. */
static void show_others(const Check *c, const Op *op, Key key)
{
        const Log *l = &c->r->log;

        for (const Op *q = c->r->ops; q < c->r->ops + c->r->n; q++) {
                if (q == op || q->invoked > op->answered || q->life != op->life)
                        continue;
                for (unsigned i = 0; i < q->n; i++)
                        if (q->steps[i].key == key &&
                                        (q->answered == 0 || q->answered > op->invoked))
                                history_wrong("  beside call %zu of client %u at %u to %u, %s, "
                                              "made revision %u: %s document %u",
                                                (size_t) (q - c->r->ops), q->client, q->invoked,
                                                q->answered, result_names[q->result], q->effect,
                                                verb_names[q->steps[i].verb], q->steps[i].tag);
        }
        for (size_t i = 0; i < l->n_versions[key]; i++)
                if (l->versions[key][i].revision + 100 > c->low_at_call[op - c->r->ops] &&
                                l->versions[key][i].revision < c->high[op->answered] + 100)
                        history_wrong("  revision %u made it document %u%s",
                                        l->versions[key][i].revision, l->versions[key][i].tag,
                                        l->versions[key][i].gone ? ", deleted" : "");
}

static bool wrong_op(const Check *c, const Op *op, const char *what)
{
        char name[16];

        history_wrong("call %zu, %s of client %u at %u to %u: %s, revision %u, refusal %u of step "
                      "%u "
                      "at revision %u: %s",
                        (size_t) (op - c->r->ops), op_words(op), op->client, op->invoked,
                        op->answered, result_names[op->result], op->revision, op->refusal,
                        op->refused_step, op->refused_revision, what);
        for (unsigned i = 0; i < op->n; i++)
                history_wrong("  %s %s/%s/%s document %u, if revision %d, version %u: %s, revision "
                              "%u, generation %u",
                                verb_names[op->steps[i].verb], key_type(op->steps[i].key),
                                key_namespace(op->steps[i].key), key_name(op->steps[i].key, name),
                                op->steps[i].tag,
                                op->steps[i].has_if ? (int) op->steps[i].if_revision : -1,
                                op->steps[i].revision, change_names[op->answers[i].change],
                                op->answers[i].revision, op->answers[i].generation);
        for (unsigned i = 0; i < op->n_items && i < 3; i++)
                history_wrong("  %s/%s/%s stood at revision %u, generation %u, document %u",
                                key_type(op->items[i].key), key_namespace(op->items[i].key),
                                key_name(op->items[i].key, name), op->items[i].revision,
                                op->items[i].generation, op->items[i].tag);
        if (op->n > 0)
                show_others(c, op, op->steps[op->refused_step].key);
        else if (op->n_items > 0)
                show_others(c, op, op->items->key);
        return history_wrong("  states from %u to %u could be seen", c->low_at_call[op - c->r->ops],
                        c->high[op->answered]);
}

/* ---- what each revision is ---- */

static bool rows_are(const Log *l, uint32_t revision, const Op *op, const Outcome *o)
{
        uint32_t i = l->first[revision];

        if (o->refusal != REFUSAL_NONE || o->n_effects != l->first[revision + 1] - i)
                return false;
        for (unsigned s = 0; s < op->n; s++) {
                const Row *row = &l->rows[i];

                if (o->steps[s].change < CHANGE_CREATED)
                        continue;
                if (row->key != op->steps[s].key || row->change != o->steps[s].change ||
                                (row->change != CHANGE_DELETED && row->tag != o->steps[s].tag))
                        return false;
                i++;
        }
        return true;
}

static bool answers_are(uint32_t revision, const Op *op, const Outcome *o)
{
        for (unsigned s = 0; s < op->n; s++) {
                const StepAnswer *a = &op->answers[s];
                bool effect = a->change >= CHANGE_CREATED;
                Key key = op->steps[s].key;

                /* Whether it was there is not told of a key that is set. */
                if (key_is_pair(key) && effect && o->steps[s].change >= CHANGE_CREATED &&
                                a->revision == revision)
                        continue;
                if (a->change != o->steps[s].change ||
                                a->revision != (effect ? revision : o->steps[s].revision))
                        return false;
                /* What is told of a single deletion has none. */
                if (a->change != CHANGE_DELETED && a->generation != o->steps[s].generation)
                        return false;
        }
        return true;
}

static bool has_effect(const Op *op)
{
        for (unsigned s = 0; s < op->n && op->result == RESULT_OK; s++)
                if (op->answers[s].change >= CHANGE_CREATED)
                        return true;
        return false;
}

/* An answered write with an effect owns the revision it was told. */
static bool own_answered(Check *c, Op *op)
{
        const Log *l = &c->r->log;
        Outcome o;

        if (op->revision < 2 || op->revision > l->n)
                return wrong_op(c, op, "was answered, and is lost");
        if (c->owners[op->revision] != NOBODY)
                return wrong_op(c, op, "has the revision of another");
        model_run(l, op->revision - 1, op, &o);
        if (!rows_are(l, op->revision, op, &o))
                return wrong_op(c, op, "is not what the change log has of it");
        if (!answers_are(op->revision, op, &o))
                return wrong_op(c, op, "was answered otherwise than it happened");
        c->owners[op->revision] = (uint32_t) (op - c->r->ops);
        op->effect = op->revision;
        c->found->effective++;
        return true;
}

static bool touches(const Op *op, Key key)
{
        for (unsigned s = 0; s < op->n; s++)
                if (op->steps[s].key == key)
                        return true;
        return false;
}

typedef struct Open {
        uint32_t *ops; /* that were left open, in the order of their calls */
        size_t n;
        uint32_t *low; /* by time: the newest revision that was told */
        /* By revision: of the store, when the nearest one before, and behind, was made for one who
         * was told. A call does not outlive the store that it was made to. */
        uint32_t *life, *life_behind;
} Open;

static bool own_open(Check *c, uint32_t revision, const Open *open)
{
        const Log *l = &c->r->log;
        Key key = l->rows[l->first[revision]].key;

        for (size_t i = 0; i < open->n; i++) {
                Op *op = &c->r->ops[open->ops[i]];
                Outcome o;

                if (op->effect > 0 || !touches(op, key) ||
                                (op->accepted && op->revision > 0 && op->revision != revision) ||
                                open->low[op->invoked] >= revision ||
                                op->life < open->life[revision] ||
                                op->life > open->life_behind[revision])
                        continue;
                model_run(l, revision - 1, op, &o);
                if (!rows_are(l, revision, op, &o))
                        continue;
                c->owners[revision] = open->ops[i];
                op->effect = revision;
                c->found->open_happened++;
                return true;
        }
        return history_wrong("revision %u: nobody asked for what it changed (%s %s), or it was "
                             "refused, or happened before",
                        revision, key_type(key), change_names[l->rows[l->first[revision]].change]);
}

static void find_lives(const Check *c, Open *open)
{
        uint32_t n = c->r->log.n, life = 0;

        for (uint32_t v = 0; v <= n; v++) {
                if (c->owners[v] != NOBODY)
                        life = MAX(life, c->r->ops[c->owners[v]].life);
                open->life[v] = life;
        }
        life = UINT32_MAX;
        for (uint32_t v = n + 1; v-- > 0;) {
                if (c->owners[v] != NOBODY)
                        life = MIN(life, c->r->ops[c->owners[v]].life);
                open->life_behind[v] = life;
        }
}

static void find_open(Recording *r, Open *open)
{
        uint32_t newest = 0;

        for (size_t i = 0; i < r->n; i++) {
                if (was_left_open(&r->ops[i]))
                        open->ops[open->n++] = (uint32_t) i;
                if (r->ops[i].effect > 0)
                        open->low[r->ops[i].answered] = r->ops[i].effect;
        }
        for (uint32_t t = 0; t <= r->now; t++)
                open->low[t] = newest = MAX(newest, open->low[t]);
}

static bool own_rest(Check *c)
{
        Recording *r = c->r;
        Open open = {
                .ops = calloc(r->n + 1, sizeof(uint32_t)),
                .low = calloc(r->now + 2, sizeof(uint32_t)),
                .life = calloc(r->log.n + 1, sizeof(uint32_t)),
                .life_behind = calloc(r->log.n + 1, sizeof(uint32_t)),
        };
        bool ok = true;

        assert(open.ops && open.low && open.life && open.life_behind);
        find_open(r, &open);
        find_lives(c, &open);
        for (uint32_t v = 2; v <= r->log.n && ok; v++)
                if (c->owners[v] == NOBODY)
                        ok = own_open(c, v, &open);
        c->found->open_lost = open.n - c->found->open_happened;
        free(open.ops);
        free(open.low);
        free(open.life);
        free(open.life_behind);
        return ok;
}

/* ---- where a call that changed nothing stands ---- */

static bool fits_write(const Log *l, uint32_t revision, const Op *op)
{
        Outcome o;

        model_run(l, revision, op, &o);
        if (op->result == RESULT_REFUSED)
                return o.refusal == op->refusal && o.refused_step == op->refused_step &&
                       (!op->has_refused_revision || o.refused_revision == op->refused_revision);
        return o.refusal == REFUSAL_NONE && o.n_effects == 0 && answers_are(revision, op, &o);
}

static bool item_is(const Item *i, const Version *v)
{
        if (!v)
                return i->revision == 0;
        return i->revision == v->revision && i->generation == v->generation && i->tag == v->tag;
}

static bool is_listed(const Op *op, Key key, const Version *v)
{
        return key / N_NAMES / N_SPACES == op->list_type &&
               (op->list_space < 0 || op->list_space == key_space(key)) &&
               (op->list_color < 0 || op->list_color == tag_color(v->tag));
}

static bool fits_list(const Log *l, uint32_t revision, const Op *op)
{
        bool seen[N_KEYS] = {};

        for (uint32_t i = 0; i < op->n_items; i++) {
                const Item *item = &op->items[i];

                if (seen[item->key] || !item_is(item, log_find(l, revision, item->key)))
                        return false;
                seen[item->key] = true;
        }
        for (Key k = 0; k < N_OBJECTS; k++) {
                const Version *v = log_find(l, revision, k);

                if (seen[k] != (v && is_listed(op, k, v)))
                        return false;
        }
        return true;
}

static bool fits(const Log *l, uint32_t revision, const Op *op)
{
        switch (op->kind) {
        case OP_WRITE:
        case OP_TRANSACTION: return fits_write(l, revision, op);
        case OP_GET: return item_is(op->items, log_find(l, revision, op->items->key));
        case OP_LIST: return revision == op->revision && fits_list(l, revision, op);
        case OP_CHANGES:
        case OP_SIGNAL: return revision == op->revision;
        }
        return false;
}

/* The lowest state from which it can have been answered; UINT32_MAX: there is none. */
static uint32_t find_place(const Check *c, const Op *op)
{
        uint32_t low = c->low_at_call[op - c->r->ops], high = c->high[op->answered];

        if (op->kind == OP_LIST && op->list_at > 0) /* of a time before it */
                low = op->list_at;
        if (op->kind == OP_LIST || op->kind == OP_CHANGES)
                return op->revision >= low && op->revision <= high &&
                                                       fits(&c->r->log, op->revision, op)
                                       ? op->revision
                                       : UINT32_MAX;
        for (uint32_t s = low; s <= high; s++)
                if (fits(&c->r->log, s, op))
                        return s;
        return UINT32_MAX;
}

/* Whether what the steps up to the refused one found may follow from @q. */
static bool concerns(const Op *op, const Op *q)
{
        for (unsigned s = 0; s <= op->refused_step; s++)
                for (unsigned i = 0; i < q->n; i++) {
                        Key key = op->n > 0 ? op->steps[s].key : op->items->key;
                        Key other = q->steps[i].key;

                        if (other == key || (key_is_space(key) != key_is_space(other) &&
                                                            key_space(key) == key_space(other)))
                                return true;
                }
        return false;
}

bool history_excuses(const Recording *r, const Op *op)
{
        const Op *end = r->ops + r->n, *q = op;

        while (q > r->ops && q[-1].life == op->life)
                q--;
        for (; q < end && q->invoked < op->answered; q++)
                if (was_left_open(q) &&
                                (q->answered == 0 || q->answered > op->invoked || q->accepted) &&
                                concerns(op, q))
                        return true;
        return false;
}

static void count(Findings *f, const Op *op)
{
        switch (op->kind) {
        case OP_WRITE:
        case OP_TRANSACTION:
                if (op->result == RESULT_OK)
                        f->ineffective++;
                else
                        f->refused++;
                break;
        case OP_GET: f->reads++; break;
        case OP_LIST: f->lists++; break;
        case OP_CHANGES: f->changes++; break;
        case OP_SIGNAL: f->signals++; break;
        }
}

static bool on_answer(Check *c, const Op *op)
{
        uint32_t place;

        if (op->effect > 0) {
                /* Of those that were left open it may have been another one. */
                if (op->result == RESULT_OK)
                        c->low = MAX(c->low, op->effect);
                return true;
        }
        if (op->result == RESULT_UNKNOWN || op->refusal == REFUSAL_STATE)
                return true;
        place = find_place(c, op);
        if (place != UINT32_MAX) {
                count(c->found, op);
                if (op->list_at == 0 && !op->accepted)
                        c->low = MAX(c->low, place);
                return true;
        }
        if (op->accepted && history_excuses(c->r, op)) {
                c->found->excused++;
                return true;
        }
        return wrong_op(c, op,
                        op->result == RESULT_REFUSED
                                        ? "was refused, and there was no reason at any time of it"
                                        : "was answered with what never stood there at that time");
}

static bool on_call(Check *c, const Op *op)
{
        c->low_at_call[op - c->r->ops] = c->low;
        if (op->kind == OP_SIGNAL) {
                count(c->found, op);
                return op->revision <= c->high[op->invoked] ||
                       wrong_op(c, op, "told a revision that was not asked for yet");
        }
        return op->effect == 0 || op->effect > c->low ||
               wrong_op(c, op, "happened before it was asked for");
}

static bool go_through_time(Check *c)
{
        Recording *r = c->r;
        uint32_t *calls = calloc(r->now + 2, sizeof(uint32_t));
        uint32_t *answers = calloc(r->now + 2, sizeof(uint32_t));
        bool ok = true;

        assert(calls && answers);
        for (size_t i = 0; i < r->n; i++) {
                calls[r->ops[i].invoked] = (uint32_t) i + 1;
                if (r->ops[i].answered > 0)
                        answers[r->ops[i].answered] = (uint32_t) i + 1;
        }
        for (uint32_t t = 1; t <= r->now && ok; t++)
                ok = calls[t]     ? on_call(c, &r->ops[calls[t] - 1])
                     : answers[t] ? on_answer(c, &r->ops[answers[t] - 1])
                                  : true;
        free(calls);
        free(answers);
        return ok;
}

/* By time: the greatest revision that can have been. */
static void find_high(Check *c)
{
        Recording *r = c->r;
        uint32_t least = r->log.n;

        for (uint32_t t = 0; t <= r->now + 1; t++)
                c->high[t] = r->log.n;
        for (size_t i = 0; i < r->n; i++)
                if (r->ops[i].effect > 0)
                        c->high[r->ops[i].invoked - 1] = r->ops[i].effect - 1;
        for (uint32_t t = r->now + 1; t-- > 0;)
                c->high[t] = least = MIN(least, c->high[t]);
}

/* ---- watchers ---- */

/* What a row is to who sees only what is wanted; CHANGE_UNCHANGED: nothing. */
static Change seen_as(const Log *l, const Stream *s, const Row *row)
{
        const Version *before = log_find(l, row->revision - 1, row->key);
        bool is = row->change != CHANGE_DELETED, was = before;

        if (key_is_pair(row->key) ||
                        (s->type >= 0 && (key_is_space(row->key) ||
                                                         row->key / N_NAMES / N_SPACES != s->type)))
                return CHANGE_UNCHANGED;
        if (s->color >= 0) {
                is = is && tag_color(row->tag) == s->color;
                was = was && tag_color(before->tag) == s->color;
        }
        return is ? (was ? CHANGE_UPDATED : CHANGE_CREATED)
                  : (was ? CHANGE_DELETED : CHANGE_UNCHANGED);
}

static bool check_stream(const Log *l, const Stream *s)
{
        size_t n = 0;

        if (s->to != l->n)
                return history_wrong("watcher %s ends at revision %u of %u", s->name, s->to, l->n);
        for (size_t i = l->first[s->from + 1]; i < l->n_rows; i++) {
                const Row *row = &l->rows[i];
                const Version *before = log_find(l, row->revision - 1, row->key);
                Change as = seen_as(l, s, row);
                const Watched *w = &s->rows[n];

                if (as == CHANGE_UNCHANGED)
                        continue;
                if (n == s->n || w->revision != row->revision || w->key != row->key ||
                                w->change != as ||
                                w->tag != (as == CHANGE_DELETED ? before->tag : row->tag))
                        return history_wrong("watcher %s: change %zu is not that of revision %u",
                                        s->name, n, row->revision);
                if (n > 0 && w[-1].ends_page && w[-1].revision == w->revision)
                        return history_wrong("watcher %s: the changes of revision %u came in parts",
                                        s->name, row->revision);
                n++;
        }
        return n == s->n || history_wrong("watcher %s: %zu changes too many", s->name, s->n - n);
}

/* ---- the whole ---- */

static bool check_all(Check *c)
{
        Recording *r = c->r;

        for (uint32_t v = 0; v <= r->log.n; v++)
                c->owners[v] = NOBODY;
        for (size_t i = 0; i < r->n; i++)
                r->ops[i].effect = 0;
        for (size_t i = 0; i < r->n; i++)
                if (op_writes(&r->ops[i]) && has_effect(&r->ops[i]) && !own_answered(c, &r->ops[i]))
                        return false;
        if (!own_rest(c))
                return false;
        find_high(c);
        if (!go_through_time(c))
                return false;
        for (size_t i = 0; i < N_STREAMS; i++)
                if (!check_stream(&r->log, &r->streams[i]))
                        return false;
        for (Key k = 0; k < N_KEYS; k++)
                if (!item_is(&r->standing[k], log_find(&r->log, r->log.n, k)))
                        return history_wrong("at the end %s %s is not what the change log made it",
                                        key_type(k), key_namespace(k));
        return true;
}

bool history_check(Recording *r, Findings *ret)
{
        Check c = { .r = r, .found = ret };
        bool ok;

        *ret = (Findings){};
        if (!log_build(&r->log))
                return false;
        c.owners = calloc(r->log.n + 2, sizeof(uint32_t));
        c.high = calloc(r->now + 2, sizeof(uint32_t));
        c.low_at_call = calloc(r->n + 1, sizeof(uint32_t));
        assert(c.owners && c.high && c.low_at_call);
        ok = check_all(&c);
        free(c.owners);
        free(c.high);
        free(c.low_at_call);
        return ok;
}
