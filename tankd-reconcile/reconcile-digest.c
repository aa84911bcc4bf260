/* SPDX-License-Identifier: Apache-2.0 */

/* See reconcile-digest.h. SHA-256 of the key and what is to be told apart, each piece behind its
 * size; and of the key and that once more, so that nobody can go on from a digest. */

#include "reconcile-digest.h"

#include <stdio.h>
#include <sys/random.h>

#include "digest.h"
#include "fd.h"
#include "log.h"

#define KEY_NAME "values.key"

void manager_read_values_key(Manager *m)
{
        CLEANUP_FREE char *text = NULL;
        size_t size = 0;
        int r;

        r = read_file_at(m->run_fd, KEY_NAME, VALUES_KEY_SIZE, &text, &size);
        if (r >= 0 && size == VALUES_KEY_SIZE)
                memcpy(m->values_key, text, VALUES_KEY_SIZE);
        else {
                r = getrandom(m->values_key, VALUES_KEY_SIZE, 0) == VALUES_KEY_SIZE ? 0 : -EIO;
                if (r >= 0)
                        r = write_file_atomic_at(m->run_fd, KEY_NAME, m->values_key,
                                        VALUES_KEY_SIZE, 0600, false);
        }
        if (text)
                explicit_bzero(text, size);
        m->has_values_key = r >= 0;
        if (r < 0)
                log_warning_errno(r,
                                "cannot use %s/" KEY_NAME ": each change of a secret or config "
                                "counts as one of the values that a container uses",
                                m->paths.run_dir);
}

static bool uses_all(const Pod *pod, const Container *c, const ValueObject *o)
{
        for (size_t i = 0; i < c->n_env_from; i++)
                if (c->env_from[i].source == o->source && streq(c->env_from[i].object, o->name))
                        return true;
        for (size_t i = 0; i < c->n_mounts; i++) {
                const Volume *v = pod_find_volume(pod, c->mounts[i].volume);

                if (v && v->object && v->source == o->source && streq(v->object, o->name))
                        return true;
        }
        return false;
}

static bool uses_key(const Container *c, const ValueObject *o, const char *key)
{
        for (size_t i = 0; i < c->n_env_values; i++) {
                const EnvValue *e = &c->env_values[i];

                if (e->source == o->source && streq(e->object, o->name) && streq(e->key, key))
                        return true;
        }
        return false;
}

static int compare_values(const void *a, const void *b)
{
        const Value *x = *(const Value *const *) a, *y = *(const Value *const *) b;

        return strcmp(x->key, y->key);
}

static void add_piece(Sha256 *h, const void *data, size_t size)
{
        uint64_t n = size;

        sha256_add(h, &n, sizeof(n));
        if (size > 0)
                sha256_add(h, data, size);
}

static int hash_values(const Manager *m, const Value *const *values, size_t n,
                unsigned char ret[static SHA256_SIZE])
{
        CLEANUP(sha256_freep) Sha256 *inner = NULL, *outer = NULL;
        int r;

        if ((r = sha256_new(&inner)) < 0 || (r = sha256_new(&outer)) < 0)
                return r;
        sha256_add(inner, m->values_key, VALUES_KEY_SIZE);
        for (size_t i = 0; i < n; i++) {
                add_piece(inner, values[i]->key, strlen(values[i]->key));
                add_piece(inner, values[i]->data, values[i]->size);
        }
        sha256_end(inner, ret);
        sha256_add(outer, m->values_key, VALUES_KEY_SIZE);
        sha256_add(outer, ret, SHA256_SIZE);
        sha256_end(outer, ret);
        return 0;
}

int values_digest(const Manager *m, const Pod *pod, const Container *c, const ValueObject *o,
                char ret[static VALUES_DIGEST_SIZE])
{
        CLEANUP_FREE const Value **used = NULL;
        unsigned char hash[SHA256_SIZE];
        bool all = uses_all(pod, c, o);
        size_t n = 0;
        int r;

        *ret = '\0';
        if (!m || !m->has_values_key)
                return 0;
        used = calloc(MAX(o->n_values, (size_t) 1), sizeof(Value *));
        if (!used)
                return -ENOMEM;
        for (size_t i = 0; i < o->n_values; i++)
                if (all || uses_key(c, o, o->values[i].key))
                        used[n++] = &o->values[i];
        qsort(used, n, sizeof(Value *), compare_values);
        r = hash_values(m, used, n, hash);
        for (size_t i = 0; r >= 0 && i < (VALUES_DIGEST_SIZE - 1) / 2; i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", hash[i]);
        return r;
}

/* ---- what was used ---- */

static bool is_live(const Pod *pod, const Container *c, const ValueObject *o)
{
        for (size_t i = 0; i < c->n_mounts; i++) {
                const Volume *volume = pod_find_volume(pod, c->mounts[i].volume);

                if (volume && volume->object && volume->live && volume->source == o->source &&
                                streq(volume->object, o->name))
                        return true;
        }
        return false;
}

int values_note_used(const Manager *m, const Values *v, const Pod *pod, ContainerEntry *c)
{
        const Container *spec = pod_find_container(pod, c->name);
        size_t n = v ? v->n_objects : 0;
        UsedObject *used = calloc(MAX(n, (size_t) 1), sizeof(UsedObject));

        if (!used)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r;

                used[i] = (UsedObject){ .source = v->objects[i].source,
                        .name = strdup(v->objects[i].name),
                        .revision = v->objects[i].revision,
                        .live_revision = is_live(pod, spec, &v->objects[i]) ? v->objects[i].revision
                                                                            : 0 };
                r = used[i].name ? values_digest(m, pod, spec, &v->objects[i], used[i].digest)
                                 : -ENOMEM;
                if (r < 0) {
                        for (size_t k = 0; k <= i; k++)
                                free(used[k].name);
                        free(used);
                        return r;
                }
        }
        container_forget_used(c);
        c->used = used;
        c->n_used = n;
        return 0;
}
