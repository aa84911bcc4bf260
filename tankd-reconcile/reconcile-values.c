/* SPDX-License-Identifier: Apache-2.0 */

/* See reconcile-values.h. Variables: env_from in its order, then env; the last one that has a name
 * gives its value. Files: each key by its own name, or where `items` puts it. A value is never
 * looked into: neither `$` nor base64 means anything. */

#include <stdio.h>

#include "data.h"
#include "limit.h"
#include "names.h"
#include "reconcile-values.h"
#include "strv.h"

/* ---- which objects ---- */

static const Volume *values_volume(const Pod *pod, const Mount *mount, bool live)
{
        const Volume *v = pod_find_volume(pod, mount->volume);

        return v && v->object && (v->live || !live) ? v : NULL;
}

bool values_are_needed(const Pod *pod, const Container *c)
{
        if (c->n_env_values > 0 || c->n_env_from > 0)
                return true;
        for (size_t i = 0; i < c->n_mounts; i++)
                if (values_volume(pod, &c->mounts[i], false))
                        return true;
        return false;
}

const ValueObject *values_find(const Values *v, ValueSource source, const char *name)
{
        for (size_t i = 0; i < v->n_objects; i++)
                if (v->objects[i].source == source && streq(v->objects[i].name, name))
                        return &v->objects[i];
        return NULL;
}

bool values_use(const Values *v, ValueSource source, const char *name)
{
        return values_find(v, source, name);
}

static int add_object(Values *v, ValueSource source, const char *name)
{
        ValueObject *grown;

        if (values_find(v, source, name))
                return 0;
        grown = reallocarray(v->objects, v->n_objects + 1, sizeof(ValueObject));
        if (!grown)
                return -ENOMEM;
        v->objects = grown;
        v->objects[v->n_objects] = (ValueObject){ .source = source, .name = strdup(name) };
        if (!v->objects[v->n_objects].name)
                return -ENOMEM;
        v->n_objects++;
        return 0;
}

int values_new(const Pod *pod, const Container *c, bool live, Values **ret)
{
        CLEANUP(values_freep) Values *v = calloc(1, sizeof(Values));
        int r = v ? 0 : -ENOMEM;

        for (size_t i = 0; !live && i < c->n_env_from && r >= 0; i++)
                r = add_object(v, c->env_from[i].source, c->env_from[i].object);
        for (size_t i = 0; !live && i < c->n_env_values && r >= 0; i++)
                r = add_object(v, c->env_values[i].source, c->env_values[i].object);
        for (size_t i = 0; i < c->n_mounts && r >= 0; i++) {
                const Volume *volume = values_volume(pod, &c->mounts[i], live);

                if (volume)
                        r = add_object(v, volume->source, volume->object);
        }
        if (r < 0)
                return r;
        v->state = VALUES_ASKED;
        v->live = live;
        *ret = TAKE_PTR(v);
        return 0;
}

void value_object_clear(ValueObject *o)
{
        for (size_t i = 0; i < o->n_values; i++) {
                free(o->values[i].key);
                data_free(o->values[i].data, o->values[i].size);
        }
        free(o->values);
        o->values = NULL;
        o->n_values = o->allocated = 0;
}

Values *values_free(Values *v)
{
        if (!v)
                return NULL;
        sd_bus_slot_unref(v->call);
        for (size_t i = 0; i < v->n_objects; i++) {
                value_object_clear(&v->objects[i]);
                free(v->objects[i].name);
        }
        free(v->objects);
        free(v);
        return NULL;
}

/* ---- what is in them ---- */

int value_object_add(ValueObject *o, const char *key, char *consume, size_t size)
{
        Value *grown, value = { .data = consume, .size = size };

        value.key = strdup(key);
        if (o->n_values == o->allocated) {
                size_t want = MAX(o->allocated * 2, (size_t) 16);

                grown = reallocarray(o->values, want, sizeof(Value));
                if (grown) {
                        o->values = grown;
                        o->allocated = want;
                }
        }
        if (!value.key || o->n_values == o->allocated) {
                free(value.key);
                data_free(consume, size);
                return -ENOMEM;
        }
        o->values[o->n_values++] = value;
        return 0;
}

static const Value *find_value(const ValueObject *o, const char *key)
{
        for (size_t i = 0; o && i < o->n_values; i++)
                if (streq(o->values[i].key, key))
                        return &o->values[i];
        return NULL;
}

static const Value *find_in(
                const Values *v, ValueSource source, const char *object, const char *key)
{
        return find_value(values_find(v, source, object), key);
}

static int say_missing(const char *key, ValueSource source, const char *object, char **ret)
{
        if (asprintf(ret, "key %s of %s %s", key, value_source_to_string(source), object) < 0)
                return -ENOMEM;
        return 1;
}

int values_find_missing(const Values *v, const Pod *pod, const Container *c, char **ret)
{
        for (size_t i = 0; !v->live && i < c->n_env_values; i++) {
                const EnvValue *e = &c->env_values[i];

                if (!find_in(v, e->source, e->object, e->key))
                        return say_missing(e->key, e->source, e->object, ret);
        }
        for (size_t i = 0; i < c->n_mounts; i++) {
                const Volume *volume = values_volume(pod, &c->mounts[i], v->live);

                for (size_t j = 0; volume && j < volume->n_items; j++)
                        if (!find_in(v, volume->source, volume->object, volume->items[j].key))
                                return say_missing(volume->items[j].key, volume->source,
                                                volume->object, ret);
        }
        return 0;
}

static int PRINTF_LIKE(3, 4) refuse(int r, char **reterr, const char *format, ...);
static int refuse(int r, char **reterr, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(reterr, format, ap);
        va_end(ap);
        if (n < 0) {
                *reterr = NULL;
                return -ENOMEM;
        }
        return r;
}

/* ---- the environment ---- */

typedef struct Variable {
        char *text; /* "NAME=VALUE" */
        size_t order;
} Variable;

typedef struct Environment {
        Variable *variables;
        size_t n, size; /* size: of all texts */
} Environment;

static void environment_done(Environment *e)
{
        for (size_t i = 0; i < e->n; i++) {
                explicit_bzero(e->variables[i].text, strlen(e->variables[i].text));
                free(e->variables[i].text);
        }
        free(e->variables);
}

static int compare_variables(const void *a, const void *b)
{
        const Variable *x = a, *y = b;
        size_t n = strcspn(x->text, "="), m = strcspn(y->text, "=");
        int r = memcmp(x->text, y->text, MIN(n, m));

        if (r == 0)
                r = (n > m) - (n < m);
        return r != 0 ? r : (x->order > y->order) - (x->order < y->order);
}

static int environment_add(
                Environment *e, const char *prefix, const char *name, const char *data, size_t size)
{
        size_t p = strlen(prefix), n = strlen(name);
        char *text = malloc(p + n + 1 + size + 1);

        if (!text)
                return -ENOMEM;
        memcpy(text, prefix, p);
        memcpy(text + p, name, n);
        text[p + n] = '=';
        if (size > 0)
                memcpy(text + p + n + 1, data, size);
        text[p + n + 1 + size] = '\0';
        e->variables[e->n] = (Variable){ text, e->n };
        e->n++;
        e->size += p + n + 1 + size + 1;
        return 0;
}

static int add_value(Environment *e, const char *prefix, const char *name, const Value *value,
                ValueSource source, const char *object, char **reterr)
{
        if (value->size > 0 && memchr(value->data, 0, value->size))
                return refuse(-EINVAL, reterr,
                                "key %s of %s %s holds a NUL byte, which no variable can: use it "
                                "in a volume",
                                value->key, value_source_to_string(source), object);
        if (e->size > LIMIT_ARGV_ENV_MAX) /* no more of it is copied than it takes to see that */
                return 0;
        return environment_add(e, prefix, name, value->data, value->size);
}

static int add_all_of(Environment *e, const EnvFrom *from, const ValueObject *o, char **reterr)
{
        int r = 0;

        for (size_t i = 0; i < o->n_values && r >= 0; i++) {
                const Value *value = &o->values[i];

                if (!*from->prefix ? !variable_name_is_valid(value->key)
                                   : strpbrk(value->key, "-.") != NULL)
                        return refuse(-EINVAL, reterr,
                                        "env_from: key %s of %s %s cannot name a variable: use "
                                        "A-Z, a-z, 0-9 and '_' in it, or take the others with env",
                                        value->key, value_source_to_string(from->source),
                                        from->object);
                r = add_value(e, from->prefix, value->key, value, from->source, from->object,
                                reterr);
        }
        return r;
}

static size_t count_variables(const Values *v, const Container *c)
{
        size_t n = strv_length(c->env) + c->n_env_values;

        for (size_t i = 0; i < c->n_env_from; i++) {
                const ValueObject *o = values_find(v, c->env_from[i].source, c->env_from[i].object);

                n += o ? o->n_values : 0;
        }
        return n;
}

static int collect(const Values *v, const Container *c, Environment *e, char **reterr)
{
        int r = 0;

        for (size_t i = 0; i < c->n_env_from && r >= 0; i++) {
                const ValueObject *o = values_find(v, c->env_from[i].source, c->env_from[i].object);

                r = o ? add_all_of(e, &c->env_from[i], o, reterr) : -EBADMSG;
        }
        for (size_t i = 0; i < c->n_env_values && r >= 0; i++) {
                const EnvValue *from = &c->env_values[i];
                const Value *value = find_in(v, from->source, from->object, from->key);

                r = value ? add_value(e, "", from->variable, value, from->source, from->object,
                                            reterr)
                          : -EBADMSG;
        }
        STRV_FOREACH(text, c->env)
        {
                const char *equals = strchr(*text, '=');
                CLEANUP_FREE char *name = NULL;

                if (r < 0)
                        break;
                name = strndup(*text, (size_t) (equals - *text));
                r = name ? environment_add(e, "", name, equals + 1, strlen(equals + 1)) : -ENOMEM;
        }
        return r;
}

static size_t argument_bytes(const Container *c)
{
        size_t size = 0;

        STRV_FOREACH(a, c->command)
        {
                size += strlen(*a) + 1;
        }
        STRV_FOREACH(a, c->args)
        {
                size += strlen(*a) + 1;
        }
        return size;
}

int values_put_env(const Values *v, const Container *c, RecordWriter *w, char **reterr)
{
        CLEANUP(environment_done) Environment e = {};
        size_t bytes;
        int r;

        if (!v) {
                record_put_strv(w, "env", c->env);
                return 0;
        }
        e.variables = calloc(MAX(count_variables(v, c), (size_t) 1), sizeof(Variable));
        if (!e.variables)
                return -ENOMEM;
        r = collect(v, c, &e, reterr);
        if (r < 0)
                return r;
        bytes = e.size + argument_bytes(c);
        if (bytes > LIMIT_ARGV_ENV_MAX)
                return refuse(-E2BIG, reterr,
                                "command, args and all variables have more than %u bytes, with the "
                                "values of secrets and configs: use larger ones in volumes",
                                LIMIT_ARGV_ENV_MAX);
        qsort(e.variables, e.n, sizeof(Variable), compare_variables);
        for (size_t i = 0; i < e.n; i++) {
                const char *text = e.variables[i].text;
                size_t n = strcspn(text, "=") + 1;

                /* Of one name the last one is in force. */
                if (i + 1 == e.n || strncmp(text, e.variables[i + 1].text, n) != 0)
                        record_put(w, "env", text);
        }
        return 0;
}

/* ---- files ---- */

static const char *path_of(const Volume *volume, const char *key)
{
        for (size_t i = 0; i < volume->n_items; i++)
                if (streq(volume->items[i].key, key))
                        return volume->items[i].path;
        return key;
}

static int compare_files(const void *a, const void *b)
{
        const ValueFile *x = a, *y = b;

        return path_compare(x->path, y->path);
}

static int check_file(const ValueFile *f, const Volume *volume, char **reterr)
{
        if (strlen(f->path) > LIMIT_FILE_NAME_MAX && !strchr(f->path, '/'))
                return refuse(-EINVAL, reterr,
                                "volume %s: key %s of %s %s is too long to name a file: give it a "
                                "path under items",
                                volume->name, f->value->key, value_source_to_string(volume->source),
                                volume->object);
        return 0;
}

/* One that is moved may stand in the way of one that is not. */
static int check_files(ValueFile *files, size_t n, const Volume *volume, char **reterr)
{
        qsort(files, n, sizeof(ValueFile), compare_files);
        for (size_t i = 1; i < n; i++)
                if (path_is_in(files[i].path, files[i - 1].path))
                        return refuse(-EINVAL, reterr,
                                        "volume %s: the keys %s and %s of %s %s cannot both be "
                                        "there, at %s and %s: give one of them another path under "
                                        "items",
                                        volume->name, files[i - 1].value->key, files[i].value->key,
                                        value_source_to_string(volume->source), volume->object,
                                        files[i - 1].path, files[i].path);
        return 0;
}

static int list_volume(
                const Values *v, const Volume *volume, ValueFile *files, size_t *n, char **reterr)
{
        const ValueObject *o = values_find(v, volume->source, volume->object);
        size_t first = *n;
        int r = 0;

        if (!o)
                return -EBADMSG;
        for (size_t i = 0; i < o->n_values && r >= 0; i++) {
                const Value *value = &o->values[i];

                if (*n == LIMIT_VALUE_FILES)
                        return refuse(-E2BIG, reterr,
                                        "the volumes of secrets and configs have more than %u "
                                        "files together",
                                        LIMIT_VALUE_FILES);
                files[*n] = (ValueFile){ volume->name, path_of(volume, value->key), volume->mode,
                        value };
                r = check_file(&files[(*n)++], volume, reterr);
        }
        return r < 0 ? r : check_files(files + first, *n - first, volume, reterr);
}

static bool is_mounted_before(const Container *c, size_t i)
{
        for (size_t j = 0; j < i; j++)
                if (streq(c->mounts[j].volume, c->mounts[i].volume))
                        return true;
        return false;
}

int values_list_files(const Values *v, const Pod *pod, const Container *c, ValueFile **ret,
                size_t *ret_n, char **reterr)
{
        CLEANUP_FREE ValueFile *files = NULL;
        size_t n = 0, bytes = 0;
        int r = 0;

        files = calloc(LIMIT_VALUE_FILES, sizeof(ValueFile));
        if (!files)
                return -ENOMEM;
        for (size_t i = 0; v && i < c->n_mounts && r >= 0; i++) {
                const Volume *volume = values_volume(pod, &c->mounts[i], v->live);

                if (volume && !is_mounted_before(c, i))
                        r = list_volume(v, volume, files, &n, reterr);
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                bytes += files[i].value->size;
        if (bytes > LIMIT_VALUES_BYTES)
                return refuse(-E2BIG, reterr,
                                "the volumes of secrets and configs have %zu bytes together, and "
                                "may have at most %u in one container",
                                bytes, LIMIT_VALUES_BYTES);
        *ret = TAKE_PTR(files);
        *ret_n = n;
        return 0;
}

int values_put_files(
                const Values *v, const Pod *pod, const Container *c, RecordWriter *w, char **reterr)
{
        CLEANUP_FREE ValueFile *files = NULL;
        size_t n = 0;
        int r;

        if (!v)
                return 0;
        r = values_list_files(v, pod, c, &files, &n, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                record_put(w, "file.volume", files[i].volume);
                record_put(w, "file.path", files[i].path);
                record_putf(w, "file.mode", "%04o", files[i].mode);
                record_put_u64(w, "file.size", files[i].value->size);
        }
        for (size_t i = 0; i < n; i++)
                record_attach(w, files[i].value->data, files[i].value->size);
        return 0;
}

/* ---- what was used ---- */

void container_forget_used(ContainerEntry *c)
{
        for (size_t i = 0; i < c->n_used; i++)
                free(c->used[i].name);
        free(c->used);
        c->used = NULL;
        c->n_used = 0;
}
