/* SPDX-License-Identifier: Apache-2.0 */

/* The change log taken apart: whether it is a history at all, each row possible behind the one
 * before it, and the state at every revision. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "history.h"

const char *const type_names[N_TYPES] = { "widget", "gadget" };
const char *const space_names[N_SPACES] = { "default", "alpha", "beta" };
const char *const verb_names[_VERB_MAX] = { "create", "apply", "update", "delete", "rollback",
        "check" };
const char *const change_names[_CHANGE_MAX] = { "unchanged", "absent", "created", "updated",
        "deleted" };
bool history_quiet;

const char *key_type(Key k)
{
        if (key_is_pair(k))
                return "key";
        return key_is_space(k) ? "namespace" : type_names[k / N_NAMES / N_SPACES];
}

const char *key_namespace(Key k)
{
        return key_is_space(k) || key_is_pair(k) ? "" : space_names[key_space(k)];
}

const char *key_name(Key k, char buf[static 16])
{
        if (key_is_space(k))
                return space_names[key_space(k)];
        if (key_is_pair(k)) {
                (void) snprintf(buf, 16, "p/%d~", k - N_DOCUMENTS);
                return buf;
        }
        (void) snprintf(buf, 16, "n%d", k % N_NAMES);
        return buf;
}

Key key_find(const char *type, const char *namespace, const char *name)
{
        char buf[16];

        for (Key k = 0; k < N_KEYS; k++)
                if (streq(type, key_type(k)) && streq(namespace, key_namespace(k)) &&
                                streq(name, key_name(k, buf)))
                        return k;
        return -1;
}

bool history_wrong(const char *format, ...)
{
        va_list ap;

        if (history_quiet)
                return false;
        va_start(ap, format);
        (void) fputs("history: ", stderr);
        (void) vfprintf(stderr, format, ap);
        (void) fputc('\n', stderr);
        va_end(ap);
        return false;
}

size_t recording_add(Recording *r, OpKind kind, unsigned client)
{
        if (r->n == r->allocated) {
                r->allocated = MAX(2 * r->allocated, (size_t) 1024);
                r->ops = reallocarray(r->ops, r->allocated, sizeof(Op));
                assert(r->ops);
        }
        r->ops[r->n] = (Op){
                .kind = kind,
                .client = (uint8_t) client,
                .life = r->life,
                .invoked = ++r->now,
        };
        return r->n++;
}

void recording_done(Recording *r)
{
        for (size_t i = 0; i < r->n; i++) {
                free(r->ops[i].steps);
                free(r->ops[i].answers);
                free(r->ops[i].items);
        }
        free(r->ops);
        log_done(&r->log);
        free(r->log.rows);
        for (size_t i = 0; i < N_STREAMS; i++)
                free(r->streams[i].rows);
}

/* ---- versions ---- */

/* The newest version at or before @revision. */
static const Version *version_at(const Log *l, uint32_t revision, Key key)
{
        size_t low = 0, high = l->n_versions[key];

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (l->versions[key][middle].revision <= revision)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low > 0 ? &l->versions[key][low - 1] : NULL;
}

const Version *log_find(const Log *l, uint32_t revision, Key key)
{
        const Version *v = version_at(l, revision, key);

        return v && !v->gone ? v : NULL;
}

const Version *log_version(const Log *l, uint32_t revision, Key key)
{
        const Version *v = version_at(l, revision, key);

        return v && v->revision == revision ? v : NULL;
}

/* ---- building ---- */

static bool row_is_possible(const Log *l, const Row *row, const Version *before)
{
        bool stood = before && !before->gone;
        char name[16];

        if ((row->change == CHANGE_CREATED) == stood)
                return history_wrong("revision %u: %s/%s/%s is %s, and %s before", row->revision,
                                key_type(row->key), key_namespace(row->key),
                                key_name(row->key, name), change_names[row->change],
                                stood ? "stood there" : "did not stand there");
        if (key_is_pair(row->key))
                return row->change == CHANGE_CREATED || row->old_tag == before->tag ||
                       history_wrong("revision %u: the old value is %u, and was %u", row->revision,
                                       row->old_tag, before->tag);
        if (row->change == CHANGE_CREATED && row->generation != 1)
                return history_wrong("revision %u: generation %u is the first", row->revision,
                                row->generation);
        if (row->change == CHANGE_UPDATED &&
                        (row->generation != before->generation + 1 || row->uid != before->uid ||
                                        row->tag == before->tag))
                return history_wrong("revision %u: an update from generation %u to %u, document %u "
                                     "to %u",
                                row->revision, before->generation, row->generation, before->tag,
                                row->tag);
        if (row->change == CHANGE_DELETED ? row->document_revision != before->revision ||
                                                            row->tag != before->tag ||
                                                            row->uid != before->uid
                                          : row->document_revision != row->revision)
                return history_wrong("revision %u: comes with the document of revision %u",
                                row->revision, row->document_revision);
        if (row->change == CHANGE_CREATED && before && before->uid == row->uid)
                return history_wrong("revision %u: a uid that was another's", row->revision);
        return true;
}

static void add_version(Log *l, const Row *row)
{
        size_t *n = &l->n_versions[row->key];

        if ((*n & (*n - 1)) == 0) {
                l->versions[row->key] = reallocarray(
                                l->versions[row->key], MAX(2 * *n, (size_t) 1), sizeof(Version));
                assert(l->versions[row->key]);
        }
        l->versions[row->key][(*n)++] = (Version){
                .revision = row->revision,
                .tag = row->tag,
                .generation = row->generation,
                .uid = row->uid,
                .gone = row->change == CHANGE_DELETED,
        };
}

static bool add_rows(Log *l)
{
        uint32_t counts[N_SPACES] = {};
        size_t i = 0;

        for (uint32_t r = 0; r <= l->n; r++) {
                uint32_t n = 0;

                l->first[r] = (uint32_t) i;
                for (; i < l->n_rows && l->rows[i].revision == r; i++) {
                        const Row *row = &l->rows[i];

                        n++;
                        if (!row_is_possible(l, row, version_at(l, r, row->key)))
                                return false;
                        if (log_version(l, r, row->key))
                                return history_wrong("revision %u: one object twice", r);
                        add_version(l, row);
                        if (row->key < N_OBJECTS && row->change != CHANGE_UPDATED)
                                counts[key_space(row->key)] +=
                                                row->change == CHANGE_CREATED ? 1U : -1U;
                }
                if (n == 0 && r > 1)
                        return history_wrong("there are no changes of revision %u", r);
                for (int s = 0; s < N_SPACES; s++)
                        l->counts[s][r] = counts[s];
        }
        l->first[l->n + 1] = (uint32_t) i;
        return i == l->n_rows ||
               history_wrong("behind revision %u comes %u", l->n, l->rows[i].revision);
}

bool log_build(Log *l)
{
        log_done(l);
        l->first = calloc(l->n + 2, sizeof(uint32_t));
        assert(l->first);
        for (int s = 0; s < N_SPACES; s++) {
                l->counts[s] = calloc(l->n + 1, sizeof(uint32_t));
                assert(l->counts[s]);
        }
        return add_rows(l);
}

void log_done(Log *l)
{
        free(l->first);
        l->first = NULL;
        for (int s = 0; s < N_SPACES; s++) {
                free(l->counts[s]);
                l->counts[s] = NULL;
        }
        for (Key k = 0; k < N_KEYS; k++) {
                free(l->versions[k]);
                l->versions[k] = NULL;
                l->n_versions[k] = 0;
        }
}
