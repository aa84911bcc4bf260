/* SPDX-License-Identifier: Apache-2.0 */

/* The sequential store, as documented: the preconditions of a transaction, then its other steps one
 * after the other, each upon what those before it left, all or none. It knows objects by what stood
 * there at a revision. */

#include "history.h"

typedef struct Model {
        const Log *log;
        uint32_t revision;
        const Op *op;
        Outcome *outcome;
        unsigned at; /* the step */
} Model;

typedef struct Standing {
        bool is;
        uint32_t revision, tag, generation;
} Standing;

/* The earlier step of this transaction that wrote @key, or -1. Those to come have changed nothing
 * yet. */
static int written_by(const Model *m, Key key)
{
        for (unsigned i = 0; i < m->op->n; i++)
                if (m->op->steps[i].key == key && m->outcome->steps[i].change >= CHANGE_CREATED)
                        return (int) i;
        return -1;
}

static bool stands(const Model *m, Key key)
{
        int i = written_by(m, key);

        if (i >= 0)
                return m->outcome->steps[i].change != CHANGE_DELETED;
        return log_find(m->log, m->revision, key);
}

static int refuse(Model *m, Refusal refusal, uint32_t revision)
{
        m->outcome->refusal = refusal;
        m->outcome->refused_step = m->at;
        m->outcome->refused_revision = revision;
        return -1;
}

static bool has_space(const Model *m, Key key)
{
        return key >= N_OBJECTS || key_space(key) == 0 || stands(m, space_key(key_space(key)));
}

static uint32_t count_space(const Model *m, int space)
{
        uint32_t n = m->log->counts[space][m->revision];

        for (unsigned i = 0; i < m->op->n; i++) {
                if (m->op->steps[i].key >= N_OBJECTS || key_space(m->op->steps[i].key) != space)
                        continue;
                if (m->outcome->steps[i].change == CHANGE_CREATED)
                        n++;
                else if (m->outcome->steps[i].change == CHANGE_DELETED)
                        n--;
        }
        return n;
}

static void effect(Model *m, Change change, const Standing *before, uint32_t tag)
{
        m->outcome->steps[m->at].change = change;
        m->outcome->steps[m->at].tag = tag;
        m->outcome->steps[m->at].revision = before->revision;
        m->outcome->steps[m->at].generation =
                        before->generation + (change == CHANGE_CREATED || change == CHANGE_UPDATED);
        if (change >= CHANGE_CREATED)
                m->outcome->n_effects++;
}

static int put(Model *m, const Step *s, const Standing *now, uint32_t tag)
{
        if (!has_space(m, s->key))
                return refuse(m, REFUSAL_NOT_FOUND, 0);
        if (s->verb == VERB_UPDATE && !now->is)
                return refuse(m, REFUSAL_NOT_FOUND, 0);
        if (s->verb == VERB_CREATE && now->is)
                return refuse(m, REFUSAL_ALREADY_EXISTS, now->revision);
        if (s->has_if && s->if_revision != now->revision)
                return refuse(m, REFUSAL_CONFLICT, now->revision);
        effect(m,
                        !now->is          ? CHANGE_CREATED
                        : now->tag == tag ? CHANGE_UNCHANGED
                                          : CHANGE_UPDATED,
                        now, tag);
        return 0;
}

static int delete (Model *m, const Step *s, const Standing *now)
{
        if (s->has_if && s->if_revision != now->revision)
                return refuse(m, REFUSAL_CONFLICT, now->revision);
        if (now->is && key_is_space(s->key) && count_space(m, key_space(s->key)) > 0)
                return refuse(m, REFUSAL_FAILED_PRECONDITION, 0);
        effect(m, now->is ? CHANGE_DELETED : CHANGE_ABSENT, now, 0);
        return 0;
}

static int run_step(Model *m, const Step *s)
{
        const Version *v = log_find(m->log, m->revision, s->key), *old = NULL;
        Standing now = {};

        if (v)
                now = (Standing){ true, v->revision, v->tag, v->generation };
        if (s->verb == VERB_ROLLBACK) {
                old = s->revision <= m->revision ? log_version(m->log, s->revision, s->key) : NULL;
                if (!old)
                        return refuse(m, REFUSAL_NOT_FOUND, 0);
                if (old->gone)
                        return refuse(m, REFUSAL_FAILED_PRECONDITION, 0);
        }
        if (written_by(m, s->key) >= 0)
                return refuse(m, REFUSAL_INVALID_ARGUMENT, 0);
        switch (s->verb) {
        case VERB_CREATE:
        case VERB_APPLY:
        case VERB_UPDATE: return put(m, s, &now, s->tag);
        case VERB_ROLLBACK: return put(m, s, &now, old->tag);
        case VERB_DELETE: return delete (m, s, &now);
        case VERB_CHECK:
                effect(m, now.is ? CHANGE_UNCHANGED : CHANGE_ABSENT, &now, now.tag);
                return s->if_revision == now.revision ? 0
                                                      : refuse(m, REFUSAL_CONFLICT, now.revision);
        case _VERB_MAX: break;
        }
        return -1;
}

void model_run(const Log *l, uint32_t revision, const Op *op, Outcome *ret)
{
        Model m = { .log = l, .revision = revision, .op = op, .outcome = ret };

        *ret = (Outcome){};
        for (int checks = 1; checks >= 0; checks--)
                for (m.at = 0; m.at < op->n; m.at++)
                        if ((op->steps[m.at].verb == VERB_CHECK) == checks &&
                                        run_step(&m, &op->steps[m.at]) < 0)
                                return;
}
